import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import t, { type Test } from "tap";
import { OriginalsWriter, delimitedField } from "../../src/core/originals.ts";
import { OwnAttributes } from "../../src/forward/attributes.ts";
import { Exporter, type Compression, type ExporterOptions } from "../../src/forward/exporter.ts";
import {
  Forwarder,
  type ForwarderOptions,
  type ForwardFrame,
} from "../../src/forward/forwarder.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { NextBackend } from "../support/next-backend.ts";

const LOG_ID = "0123456789abcdef";
const RETRY = { initialMs: 20, maxMs: 100, multiplier: 2, randomization: 0, maxElapsedMs: 0 };

/** A journal in memory: frames of `per` logs each, whose bodies are their leaf indexes. */
class FakeJournal {
  readonly frames: ForwardFrame[] = [];
  nextIndex = 0;
  /** Frames below are gone. */
  firstIndex = 0;
  reads = 0;

  append(per: number, signal: "logs" | "traces" = "logs", padding = 0): ForwardFrame {
    const writer = new OriginalsWriter();
    writer.scope(new Uint8Array(0), new Uint8Array(0));
    for (let row = 0; row < per; row++) {
      const text = Buffer.from(`${this.nextIndex + row}${" ".repeat(padding)}`);
      // LogRecord.body, a string; or Span.name
      const record =
        signal === "logs"
          ? delimitedField(0x2a, delimitedField(0x0a, text))
          : delimitedField(0x2a, text);
      writer.record(record, row, false);
    }
    const frame = {
      sections: [],
      firstIndex: this.nextIndex,
      count: per,
      meta: { signal, originals: writer.finish(0)! },
    };
    this.nextIndex += per;
    this.frames.push(frame);
    return frame;
  }

  async *from(index: number): AsyncGenerator<ForwardFrame> {
    this.reads++;
    if (index < this.firstIndex) throw new Error("gone");
    for (const frame of this.frames) if (frame.firstIndex + frame.count > index) yield frame;
  }
}

interface Setup {
  readonly backend: NextBackend;
  readonly journal: FakeJournal;
  readonly forwarder: Forwarder;
  readonly lost: { signal: string; count: number; reason: string; isFull: boolean }[];
  readonly sent: Record<string, number>;
  passed: number;
}

async function setUp(
  t: Test,
  options: Partial<Omit<ForwarderOptions, "exporter">> & {
    backend?: NextBackend;
    journal?: FakeJournal;
    from?: number;
    exporter?: Partial<ExporterOptions>;
  } = {},
): Promise<Setup> {
  const {
    exporter: exporterOptions,
    from = 0,
    ...rest
  } = options as typeof options & {
    exporter?: Partial<ExporterOptions>;
  };
  const backend = options.backend ?? (await NextBackend.start());
  const journal = options.journal ?? new FakeJournal();
  const setup: Omit<Setup, "forwarder"> = { backend, journal, lost: [], sent: {}, passed: 0 };
  const exporter = new Exporter({
    urls: { logs: `${backend.url}/v1/logs`, traces: `${backend.url}/v1/traces` },
    headers: { authorization: "Bearer t0ken" },
    compression: "gzip",
    timeoutMs: 2_000,
    tls: { insecureSkipVerify: false },
    userAgent: "meshproof/test",
    ...exporterOptions,
  });
  const forwarder = new Forwarder({
    attributes: new OwnAttributes(LOG_ID, ""),
    maxQueueBytes: 64 * 1024 * 1024,
    linkWaitMs: 0,
    retry: RETRY,
    frames: (index) => journal.from(index),
    onSent: (signal, records) => {
      setup.sent[signal] = (setup.sent[signal] ?? 0) + records;
    },
    onLost: (signal, { count, reason }, isFull) =>
      setup.lost.push({ signal, count, reason, isFull }),
    onPassed: (index) => {
      setup.passed = index;
    },
    logger: silentLogger,
    ...rest,
    exporter,
  });
  t.teardown(async () => {
    await forwarder.stop(0);
    await backend.stop();
  });
  await forwarder.start(from);
  return Object.assign(setup, { forwarder });
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (const deadline = Date.now() + 20_000; !condition();) {
    if (Date.now() > deadline) throw new Error(`expected ${what}`);
    await setTimeout(10);
  }
}

const indexes = (backend: NextBackend): number[] =>
  backend.records().map(({ attributes }) => Number(attributes["meshproof.leaf_index"]));
const range = (count: number, first = 0): number[] =>
  Array.from({ length: count }, (_, i) => first + i);

t.test("records arrive once, in order, as OTLP/HTTP says, in every coding", async (t) => {
  for (const compression of ["gzip", "zstd", "deflate", "none"] as Compression[]) {
    const { backend, journal, forwarder, sent, ...setup } = await setUp(t, {
      exporter: { compression },
    });
    for (let i = 0; i < 5; i++) forwarder.follow(journal.append(100));
    forwarder.follow(journal.append(50, "traces"));
    await until(() => (sent["logs"] ?? 0) + (sent["traces"] ?? 0) === 550, "all records");
    const [first] = backend.requests;
    t.equal(first!.path, "/v1/logs");
    t.equal(first!.headers["content-type"], "application/x-protobuf");
    t.equal(first!.headers["content-encoding"] ?? "none", compression);
    t.equal(first!.headers["authorization"], "Bearer t0ken");
    t.equal(first!.headers["user-agent"], "meshproof/test");
    t.same(indexes(backend), range(550), compression);
    const logs = backend.records().filter(({ record }) => record["body"] !== undefined);
    t.ok(
      logs.every(
        ({ record, attributes }) =>
          (record["body"] as { stringValue: string }).stringValue ===
          attributes["meshproof.leaf_index"],
      ),
      "each index stands at its record",
    );
    t.same(sent, { logs: 500, traces: 50 });
    t.same(setup.lost, []);
    await until(() => forwarder.passedThrough === 550, "all is passed");
    t.equal(forwarder.pendingBytes, 0);
  }
});

t.test(
  "no answer, 429, 502, 503 and 504 are tried again until the backend takes them",
  async (t) => {
    const { backend, journal, forwarder, sent, lost } = await setUp(t, {
      exporter: { timeoutMs: 200 },
    });
    const answers = [null, { status: 429 }, { status: 502 }, { status: 503 }, { status: 504 }];
    backend.answer = (_, number) => (number < answers.length ? answers[number]! : { status: 200 });
    forwarder.follow(journal.append(10));
    await until(() => forwarder.failure !== null, "a failure that can be told of");
    t.equal(forwarder.passedThrough, 0, "the journal keeps them meanwhile");
    await until(() => sent["logs"] === 10, "the records");
    t.equal(backend.requests.length, 6);
    t.same(lost, []);
    t.equal(forwarder.failure, null);
  },
);

t.test("Retry-After is waited for", async (t) => {
  const { backend, journal, forwarder, sent } = await setUp(t);
  backend.answer = (_, number) =>
    number === 0 ? { status: 503, headers: { "retry-after": "1" } } : { status: 200 };
  forwarder.follow(journal.append(1));
  await until(() => sent["logs"] === 1, "the record");
  const [first, second] = backend.requests;
  t.ok(second!.atMs - first!.atMs >= 990, `${second!.atMs - first!.atMs} ms`);
});

t.test("a backend that is not there is waited for, and nothing is lost", async (t) => {
  const away = await NextBackend.start();
  const { port } = away;
  await away.stop();
  const { journal, forwarder, sent, lost } = await setUp(t, { backend: away });
  for (let i = 0; i < 20; i++) forwarder.follow(journal.append(10));
  await until(() => forwarder.failure !== null, "a failure");
  t.match(forwarder.failure!.reason, "ECONNREFUSED");
  const backend = await NextBackend.start(undefined, port);
  t.teardown(() => backend.stop());
  await until(() => sent["logs"] === 200, "all records");
  t.same(indexes(backend), range(200));
  t.same(lost, []);
});

t.test("any other answer is final: the records are lost, what comes behind goes on", async (t) => {
  for (const status of [301, 400, 401, 404, 413, 500]) {
    const { backend, journal, forwarder, sent, lost } = await setUp(t);
    backend.answer = (_, number) =>
      number === 0 ? { status, headers: { location: `${backend.url}/v1/logs` } } : { status: 200 };
    forwarder.follow(journal.append(10));
    await until(() => lost.length > 0, "a loss");
    forwarder.follow(journal.append(5));
    await until(() => sent["logs"] === 5, "the others");
    t.same(lost, [
      { signal: "logs", count: 10, reason: `answered with status ${status}`, isFull: false },
    ]);
    t.equal(backend.requests.length, 2, `${status} is not tried again`);
    t.equal(forwarder.passedThrough, 0, "the journal keeps what the finding is about");
    forwarder.settle();
    t.equal(forwarder.passedThrough, 15, "until it is sealed");
  }
});

t.test("what partial success rejects is lost, and not sent again", async (t) => {
  const { backend, journal, forwarder, sent, lost } = await setUp(t);
  // partial_success { rejected_log_records: 3, error_message: "too old" }
  const partial = delimitedField(
    0x0a,
    Buffer.concat([Buffer.from([0x08, 3]), delimitedField(0x12, Buffer.from("too old"))]),
  );
  backend.answer = () => ({ status: 200, body: partial });
  forwarder.follow(journal.append(10));
  await until(() => lost.length > 0, "a loss");
  t.same(lost, [{ signal: "logs", count: 3, reason: "rejected: too old", isFull: false }]);
  t.same(sent, { logs: 7 });
  await setTimeout(200);
  t.equal(backend.requests.length, 1);
});

t.test(
  "max_elapsed_time gives up, and so does retry_on_failure.enabled: false at once",
  async (t) => {
    for (const retry of [null, { ...RETRY, maxElapsedMs: 100 }]) {
      const { backend, journal, forwarder, lost } = await setUp(t, { retry });
      backend.answer = () => ({ status: 503 });
      forwarder.follow(journal.append(10));
      await until(() => lost.length > 0, "a loss");
      t.equal(lost[0]!.count, 10);
      t.equal(backend.requests.length === 1, retry === null);
    }
  },
);

t.test("a full queue loses the oldest, says how many, and never makes anybody wait", async (t) => {
  const { backend, journal, forwarder, lost, sent } = await setUp(t, {
    maxQueueBytes: 4 * 1024 * 1024,
  });
  backend.answer = () => ({ status: 503 });
  const frame = 1000 * 1100;
  let longestMs = 0;
  for (let i = 0; i < 12; i++) {
    const appended = journal.append(1000, "logs", 1000);
    const before = performance.now();
    forwarder.follow(appended);
    longestMs = Math.max(longestMs, performance.now() - before);
    await setTimeout(20);
  }
  t.ok(longestMs < 50, `${longestMs} ms`);
  t.ok(forwarder.pendingBytes <= 4 * 1024 * 1024 + frame);
  const count = lost.reduce((sum, one) => sum + one.count, 0);
  t.ok(count >= 7000, `${count} lost`);
  t.ok(lost.every(({ isFull, reason }) => isFull && reason === "the queue is full"));
  backend.answer = () => ({ status: 200 });
  await until(() => sent["logs"] === 12_000 - count, "all others");
  const delivered = new Set(indexes(backend).slice(-(12_000 - count)));
  t.ok(delivered.has(11_999), "the newest are among them");
});

t.test("the journal's need goes first", async (t) => {
  const { backend, journal, forwarder, lost } = await setUp(t);
  backend.answer = () => ({ status: 503 });
  for (let i = 0; i < 8; i++) forwarder.follow(journal.append(1000, "logs", 1000));
  await until(() => backend.requests.length > 0, "an attempt");
  forwarder.shed(1);
  t.equal(
    lost.reduce((sum, { count }) => sum + count, 0),
    6000,
    "all but what is under way",
  );
  t.equal(forwarder.passedThrough, 0);
});

t.test("a start goes on where the last run stopped, with what the journal has", async (t) => {
  const journal = new FakeJournal();
  for (let i = 0; i < 30; i++) journal.append(10);
  const { backend, sent } = await setUp(t, { journal, from: 100 });
  await until(() => sent["logs"] === 200, "what was not passed on");
  t.same(indexes(backend), range(200, 100));
  t.ok(journal.reads >= 2, "from the journal, not from memory");
});

t.test("what the journal had to let go of is lost, and the others go on", async (t) => {
  const journal = new FakeJournal();
  journal.append(10);
  const backend = await NextBackend.start();
  const { forwarder, lost, sent } = await setUp(t, { journal, backend, linkWaitMs: 300 });
  journal.firstIndex = 10;
  await until(() => lost.length > 0, "a loss");
  t.match(lost, [{ count: 10, reason: "the journal does not have them" }]);
  forwarder.follow(journal.append(10));
  await until(() => sent["logs"] === 10, "the others");
});

t.test("a stop passes on what waits, but waits for no backend that is away", async (t) => {
  const { backend, journal, forwarder, sent } = await setUp(t, { linkWaitMs: 60_000 });
  forwarder.follow(journal.append(10));
  await forwarder.stop(5_000);
  t.same(sent, { logs: 10 });
  t.equal(backend.requests.length, 1);
  const other = await setUp(t, { retry: { ...RETRY, initialMs: 60_000, maxMs: 60_000 } });
  other.backend.answer = () => ({ status: 503 });
  other.forwarder.follow(other.journal.append(10));
  await until(() => other.forwarder.failure !== null, "a failure");
  const before = performance.now();
  await other.forwarder.stop(5_000);
  t.ok(performance.now() - before < 1_000);
  t.equal(other.passed, 0, "they wait for the next start");
});

t.test("a large request is cut between records", async (t) => {
  const { backend, journal, forwarder, sent } = await setUp(t);
  forwarder.follow(journal.append(10_000, "logs", 1000));
  await until(() => sent["logs"] === 10_000, "all records");
  t.ok(backend.requests.length >= 3, `${backend.requests.length} requests`);
  t.same(indexes(backend), range(10_000));
});

t.test("over TLS: its certificate is checked, and ours is shown", async (t) => {
  const file = (name: string): Buffer =>
    readFileSync(new URL(`../fixtures/tls/${name}.pem`, import.meta.url));
  const backend = await NextBackend.start({
    key: file("server-key"),
    cert: file("server"),
    ca: file("ca"),
    requestCert: true,
    rejectUnauthorized: true,
  });
  const ours = { cert: file("client-name"), key: file("client-name-key") };
  const good = await setUp(t, {
    backend,
    exporter: { tls: { ca: file("ca"), ...ours, insecureSkipVerify: false } },
  });
  good.forwarder.follow(good.journal.append(3));
  await until(() => good.sent["logs"] === 3, "the records");
  for (const [tls, reason] of [
    [{ ...ours, insecureSkipVerify: false }, /CERT|SELF_SIGNED|ISSUER/],
    [{ ca: file("ca"), insecureSkipVerify: false }, /ECONNRESET|CERTIFICATE|EPIPE|SSL/],
    [
      { ca: file("ca"), ...ours, serverName: "other.example", insecureSkipVerify: false },
      /ALTNAME/,
    ],
  ] as const) {
    const bad = await setUp(t, { backend, exporter: { tls } });
    bad.forwarder.follow(bad.journal.append(1));
    await until(() => bad.forwarder.failure !== null, "a failure");
    t.match(bad.forwarder.failure!.reason, reason);
    t.same(bad.lost, [], "which is tried again");
    await bad.forwarder.stop(0);
  }
  const blind = await setUp(t, {
    backend,
    exporter: { tls: { ...ours, insecureSkipVerify: true } },
  });
  blind.forwarder.follow(blind.journal.append(2));
  await until(() => blind.sent["logs"] === 2, "the records, unchecked");
});

t.test("an answer without end is not read to its end", async (t) => {
  const { backend, journal, forwarder, sent } = await setUp(t);
  backend.answer = (_, number) =>
    number === 0 ? { status: 200, body: Buffer.alloc(1024 * 1024) } : { status: 200 };
  forwarder.follow(journal.append(3));
  await until(() => sent["logs"] === 3, "the records");
  t.equal(backend.requests.length, 2, "such an answer is none");
});
