import t, { type Test } from "tap";
import { KINDS } from "../src/core/kinds.ts";
import { silentLogger } from "../src/core/logger.ts";
import type { RowSection } from "../src/core/rows.ts";
import { Correlator } from "../src/correlate/correlator.ts";
import { findingRecords, FindingLedger } from "../src/correlate/ledger.ts";
import { recoverCorrelation } from "../src/correlation.ts";
import { RequestEncoder } from "../src/encoder.ts";
import { internalMeta } from "../src/journal/frame.ts";
import { Journal } from "../src/journal/journal.ts";
import { Normaliser } from "../src/normalise/normaliser.ts";
import { Pipeline } from "../src/pipeline.ts";
import { findingSection } from "../src/records/own-rows.ts";
import type { StoreClient } from "../src/store/client.ts";
import {
  accessRow,
  hex,
  LOG_ID,
  makeSection,
  proxySpanRow,
  sealedRows,
} from "./correlate/fixture.ts";
import { MemoryFileSystem, options } from "./journal/fixture.ts";
import { oneScope, writeLogs, type LogInput } from "./support/otlp-writer.ts";

/** What is found again after a crash, with a real journal on a disk in memory. */

const MINUTE_NS = 1_795_000_020_000_000_000n;
const WINDOW_MS = 1_000;

/** A store that does not answer. */
const DOWN = {
  query: async () => {
    throw new Error("connect ECONNREFUSED");
  },
} as unknown as StoreClient;

interface Run {
  readonly journal: Journal;
  readonly ledger: FindingLedger;
  readonly correlator: Correlator;
  readonly pipeline: Pipeline;
}

/** Opens the journal as a start does, and brings correlation to its end. */
async function open(t: Test, fileSystem: MemoryFileSystem): Promise<Run> {
  const journal: Journal = await Journal.open(
    options({
      fileSystem,
      segmentBytes: 4_000,
      onDurable: (batch) => correlator.follow(batch),
    }),
  );
  const ledger = new FindingLedger();
  const seal = (sections: readonly RowSection[], nowNs: bigint): Promise<void> =>
    journal.append({ sections }, internalMeta(nowNs)).durable;
  const limits = { logId: LOG_ID, windowMs: WINDOW_MS, maxRecords: 10_000 };
  const correlator: Correlator = new Correlator({ ...limits, seal, logger: silentLogger });
  const { signal } = new AbortController();
  await recoverCorrelation({
    ...limits,
    correlator,
    ledger,
    journal,
    client: DOWN,
    logger: silentLogger,
    signal,
  });
  t.teardown(() => correlator.stop());
  const pipeline = new Pipeline({
    encoder: new RequestEncoder({
      logId: LOG_ID,
      normaliser: new Normaliser({ redact: { queryParameters: [], headers: [] } }),
      maxRecordBytes: 4_096,
      maxEncodedBytes: 1_000_000,
    }),
    journal,
    deduplication: null,
    batchSecret: Buffer.alloc(32),
    ledger,
    observer: { decoded() {}, accepted() {}, deduplicated() {} },
  });
  return { journal, ledger, correlator, pipeline };
}

const GOOD: LogInput = { body: "good" };
const BAD: LogInput = { body: "bad", traceId: new Uint8Array(15).fill(1) };
const LONG: LogInput = { body: "x".repeat(10_000) };

async function post(
  { pipeline }: Run,
  records: readonly LogInput[],
  sender: string,
  receivedAtNs: bigint,
): Promise<void> {
  await pipeline.consume({
    signal: "logs",
    encoding: "protobuf",
    body: writeLogs(oneScope(records)),
    sender: { name: sender, auth: "none" },
    userAgent: "",
    receivedAtNs,
  });
}

/** Everything that is open, as text. */
function openFindings({ ledger }: Run): string[] {
  const taken = ledger.take(Infinity);
  ledger.restore(taken);
  return findingRecords(taken)
    .map(({ findingKind, subject, timestampNs, detail }) =>
      [findingKind, subject, (timestampNs - MINUTE_NS) / 60_000_000_000n, detail["count"]].join(
        " ",
      ),
    )
    .sort();
}

t.test("rejected and cut records are found again after a crash, exactly", async (t) => {
  const fileSystem = new MemoryFileSystem();
  let run = await open(t, fileSystem);
  const crash = async (): Promise<void> => {
    await run.journal.close();
    run = await open(t, fileSystem);
  };
  await post(run, [GOOD, BAD, BAD], "gateway", MINUTE_NS + 1n);
  await post(run, [BAD], "gateway", MINUTE_NS + 2n);
  await post(run, [BAD], "other", MINUTE_NS + 3n);
  await post(run, [LONG, GOOD], "gateway", MINUTE_NS + 4n);
  await post(run, [BAD], "gateway", MINUTE_NS + 60_000_000_000n);
  await post(run, [GOOD], "quiet", MINUTE_NS + 5n);
  const expected = [
    "rejected_record gateway 0 3",
    "rejected_record gateway 1 1",
    "rejected_record other 0 1",
    "truncated gateway 0 1",
  ];
  t.same(openFindings(run), expected);
  for (let i = 0; i < 2; i++) {
    await crash();
    t.same(openFindings(run), expected);
    const [first] = run.ledger.take(Infinity);
    t.match(first!.reason, "trace_id: expected 16 bytes, got 15", "why, too");
    run.ledger.restore([first!]);
  }

  // What is sealed is not found again; what comes after it is.
  await crash();
  const taken = run.ledger.take(Infinity).filter(({ subject }) => subject === "gateway");
  const seal = findingSection(LOG_ID, findingRecords(taken));
  await run.journal.append({ sections: [seal] }, internalMeta(MINUTE_NS)).durable;
  await post(run, [BAD, BAD], "gateway", MINUTE_NS + 70_000_000_000n);
  await crash();
  t.same(openFindings(run), ["rejected_record gateway 1 2", "rejected_record other 0 1"]);
  await run.journal.close();
});

/** An access record of `workload` whose certificate and policy engine name these peers. */
function access(workload: string, certified: string, seen: string): LogInput {
  return {
    attributes: [
      ["method", "GET"],
      ["path", "/"],
      ["response_code", "200"],
      ["response_flags", "-"],
      ["upstream_cluster", "inbound|8080||"],
      ["destination_workload", workload],
      ["downstream_peer_uri_san", certified],
      ["peer_principal", seen],
    ],
  };
}

t.test(
  "contradicting identities are found by the rows alone, before and after a crash",
  async (t) => {
    const fileSystem = new MemoryFileSystem();
    let run = await open(t, fileSystem);
    const web = "spiffe://cluster.local/ns/web/sa/frontend";
    const edge = "spiffe://cluster.local/ns/edge/sa/gateway";
    const agrees = access("orders", web, web);
    const contradicts = access("orders", web, edge);
    await post(run, [GOOD, agrees], "gateway", MINUTE_NS);
    await post(run, [agrees, contradicts, GOOD, contradicts, BAD], "gateway", MINUTE_NS + 1n);
    await post(run, [access("stock", edge, web)], "gateway", MINUTE_NS + 2n);
    const many = Array<LogInput>(150).fill(access("bulk", edge, web));
    await post(run, many, "gateway", MINUTE_NS + 60_000_000_000n);
    const expected = [
      "identity_conflict bulk 1 150",
      "identity_conflict orders 0 2",
      "identity_conflict stock 0 1",
      "rejected_record gateway 0 1",
    ];
    const evidence = (): number[][] => {
      const taken = run.ledger.take(Infinity);
      run.ledger.restore(taken);
      return ["orders", "stock", "bulk"].map(
        (name) => taken.find(({ subject }) => subject === name)!.evidence,
      );
    };
    t.same(openFindings(run), expected);
    // Of a request the access records come first: agrees at 2, then the two that contradict.
    const leaves = [[3, 4], [6], Array.from({ length: 100 }, (_, i) => 7 + i)];
    t.same(evidence(), leaves);
    for (let i = 0; i < 2; i++) {
      await run.journal.close();
      run = await open(t, fileSystem);
      t.same(openFindings(run), expected);
      t.same(evidence(), leaves);
    }

    const taken = run.ledger.take(Infinity).filter(({ subject }) => subject === "orders");
    t.equal(taken[0]!.reason, "policy_engine", "it says which source");
    const seal = findingSection(LOG_ID, findingRecords(taken));
    await run.journal.append({ sections: [seal] }, internalMeta(MINUTE_NS)).durable;
    await run.journal.close();
    run = await open(t, fileSystem);
    t.same(openFindings(run), expected.toSpliced(1, 1), "what is sealed is not found again");
    await run.journal.close();
  },
);

t.test("what an open finding rests on stays in the journal", async (t) => {
  const fileSystem = new MemoryFileSystem();
  let run = await open(t, fileSystem);
  const fill = async (): Promise<void> => {
    for (let i = 0; i < 12; i++) await post(run, [GOOD, GOOD, GOOD, GOOD], "filler", MINUTE_NS);
  };
  await fill();
  await post(run, [BAD], "rowless", MINUTE_NS);
  await fill();
  const { nextIndex } = run.journal;
  await run.journal.release(Math.min(nextIndex, run.ledger.lowestIndex()));
  t.ok(run.journal.firstIndex > 0, "what is older may go");
  await run.journal.close();
  run = await open(t, fileSystem);
  t.same(openFindings(run), ["rejected_record rowless 0 1"]);
  run.ledger.sealed(run.ledger.take(Infinity));
  t.equal(run.ledger.lowestIndex(), Infinity);
  await run.journal.close();
});

t.test("rows that come while the journal is read are read too", async (t) => {
  const fileSystem = new MemoryFileSystem();
  const run = await open(t, fileSystem);
  const ids = { traceId: hex(1, 32), spanId: hex(1, 16) };
  const received = Number(MINUTE_NS / 1_000_000n);
  const append = (section: RowSection, journal: Journal): Promise<void> =>
    journal.append({ sections: [section] }, internalMeta(MINUTE_NS)).durable;
  await append(makeSection(KINDS.access, [accessRow({ ...ids, received })]), run.journal);
  await run.journal.close();

  const journal: Journal = await Journal.open(
    options({ fileSystem, onDurable: (batch) => correlator.follow(batch) }),
  );
  const limits = { logId: LOG_ID, windowMs: WINDOW_MS, maxRecords: 10_000 };
  const correlator: Correlator = new Correlator({
    ...limits,
    seal: (sections, nowNs) => journal.append({ sections }, internalMeta(nowNs)).durable,
    logger: silentLogger,
  });
  t.teardown(() => correlator.stop());
  const recovered = recoverCorrelation({
    ...limits,
    correlator,
    ledger: new FindingLedger(),
    journal,
    client: DOWN,
    logger: silentLogger,
    signal: new AbortController().signal,
  });
  t.equal(correlator.releasableThrough, 0, "nothing may go before all is read");
  await append(makeSection(KINDS.span, [proxySpanRow({ ...ids, received })]), journal);
  await recovered;
  await correlator.tick();
  const kinds: number[] = [];
  for await (const frame of journal.frames(0))
    kinds.push(...sealedRows(frame).map(({ kind }) => kind));
  t.same(kinds, [KINDS.access, KINDS.span, KINDS.link]);
  t.equal(correlator.releasableThrough, journal.nextIndex);
  await journal.close();
});

t.test("a store that does not answer does not keep it from starting", async (t) => {
  const fileSystem = new MemoryFileSystem();
  const run = await open(t, fileSystem);
  for (let i = 0; i < 30; i++) await post(run, [GOOD, GOOD, GOOD, GOOD], "filler", MINUTE_NS);
  await run.journal.release(run.journal.nextIndex);
  await run.journal.close();
  const again = await open(t, fileSystem);
  t.ok(again.journal.firstIndex > 0);
  t.equal(again.correlator.releasableThrough, again.journal.nextIndex);
  await again.journal.close();
});
