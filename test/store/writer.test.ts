import assert, { AssertionError } from "node:assert";
import { appendFile, readFile, stat } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import fc from "fast-check";
import t from "tap";
import { KINDS } from "../../src/core/kinds.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { createStoreClient } from "../../src/store/client.ts";
import { coalesce } from "../../src/store/chunks.ts";
import { Quarantine, readQuarantine } from "../../src/store/quarantine.ts";
import { createRowStore } from "../../src/store/row-store.ts";
import {
  chunksOf,
  deduplicationToken,
  halve,
  rowCount,
  slicesByKind,
  withoutIndexes,
  type RowSlice,
} from "../../src/store/slices.ts";
import { StoreWriter, type StoreWriterOptions } from "../../src/store/writer.ts";
import { batch, encodeRow, LOG_ID, section } from "./encode.ts";
import {
  FakeJournal,
  FakeQuarantine,
  FakeStore,
  POISON,
  recordingLogger,
  type Fault,
} from "./fakes.ts";
import { missing, startTestServer } from "./server.ts";

const LONG_MS = 60_000;

/** A writer over fakes. It waits for nothing but batches that fill or `drain`. */
function setUp(t: { after(fn: () => unknown): void }, options: Partial<StoreWriterOptions> = {}) {
  const store = new FakeStore();
  const journal = new FakeJournal();
  const quarantine = new FakeQuarantine();
  const logger = recordingLogger();
  const open = (more: Partial<StoreWriterOptions> = {}): StoreWriter => {
    const writer = new StoreWriter({
      store,
      logId: LOG_ID,
      backlog: journal.read,
      quarantine,
      logger,
      batchAgeMs: LONG_MS,
      retryMinMs: 1,
      retryMaxMs: 4,
      ...options,
      ...more,
    });
    t.after(() => writer.close());
    return writer;
  };
  const writer = open();
  /** Appends a frame and hands it on, as the pipeline does. */
  const add = (links: number, controls = 0, poisoned: readonly number[] = [], to = writer): void =>
    to.add(journal.append(links, controls, poisoned));
  return { store, journal, quarantine, logger, writer, open, add };
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

t.test("slices", async (t) => {
  const rows = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => encodeRow(KINDS.link, { TraceId: `${from + i}` }));
  const slices = slicesByKind([
    batch(5, [[KINDS.link, rows(5, 3)]]),
    batch(8, [
      [KINDS.control, [encodeRow(KINDS.control, {})]],
      [KINDS.link, rows(9, 4)],
    ]),
  ]).get(KINDS.link)!;
  const indexes = (some: readonly RowSlice[]): number[] =>
    some.flatMap(({ base, start, end }) => upTo(end - start).map((i) => base + start + i));
  const ALL = [5, 6, 7, 9, 10, 11, 12];

  await t.test(
    "the rows of one kind have their indexes from before and behind the other kinds",
    async (t) => {
      t.same(indexes(slices), ALL);
      t.equal(rowCount(slices), 7);
    },
  );

  await t.test(
    "without any set of present indexes exactly the others are left, with their bytes",
    async (t) => {
      for (let set = 0; set < 1 << 9; set++) {
        const present = upTo(9)
          .filter((bit) => set & (1 << bit))
          .map((bit) => bit + 4);
        const rest = withoutIndexes(slices, BigUint64Array.from(present, BigInt));
        const expected = ALL.filter((index) => !present.includes(index));
        if (JSON.stringify(indexes(rest)) !== JSON.stringify(expected))
          return t.same(indexes(rest), expected);
        const bytes = Buffer.concat(
          expected.map((index) => section(KINDS.link, rows(index, 1), index).bytes),
        );
        if (!Buffer.concat(chunksOf(rest)).equals(bytes)) return t.fail(`bytes of ${expected}`);
      }
      t.pass();
    },
  );

  await t.test("halves are never empty and lose nothing", async (t) => {
    const parts = (some: readonly RowSlice[]): number[] =>
      rowCount(some) === 1
        ? indexes(some)
        : halve(some).flatMap((half) => (t.ok(rowCount(half) > 0), parts(half)));
    t.same(parts(slices), ALL);
  });

  await t.test(
    "a token changes with the log, the table, the rows and the generation, and with nothing else",
    async (t) => {
      const token = deduplicationToken("a", "x", slices, 0);
      t.match(token, /^[0-9a-f]{64}$/);
      t.equal(deduplicationToken("a", "x", [...slices], 0), token);
      const others = [
        deduplicationToken("b", "x", slices, 0),
        deduplicationToken("a", "y", slices, 0),
        deduplicationToken("a", "x", slices, 1),
        deduplicationToken("a", "x", slices.slice(1), 0),
        deduplicationToken(
          "a",
          "x",
          slicesByKind([batch(5, [[KINDS.link, rows(6, 3)]])]).get(KINDS.link)!,
          0,
        ),
        deduplicationToken(
          "a",
          "x",
          slicesByKind([batch(6, [[KINDS.link, rows(5, 3)]])]).get(KINDS.link)!,
          0,
        ),
      ];
      t.equal(new Set([token, ...others]).size, 7);
    },
  );

  await t.test(
    "gathering small chunks keeps every byte in order and copies no large one",
    async (t) => {
      const large = Buffer.alloc(20_000, 7);
      const chunks = [
        Buffer.from("a"),
        large,
        ...Array.from({ length: 9000 }, (_, i) => Buffer.from(`chunk ${i},`)),
        large,
        Buffer.alloc(0),
        Buffer.from("z"),
      ];
      const gathered = [...coalesce(chunks)];
      t.ok(Buffer.concat(gathered).equals(Buffer.concat(chunks)));
      t.equal(gathered.filter((chunk) => chunk === large).length, 2);
      t.ok(gathered.length < 10);
    },
  );
});

t.test("how long rows have been under way counts through all attempts", async (t) => {
  let now = 1000;
  const { writer, store, add } = setUp(t, { now: () => now });
  writer.start(0, 0);
  t.equal(writer.underWayMs, 0, "nothing is under way");
  store.down = true;
  add(3);
  const drained = writer.drain(LONG_MS);
  while (writer.underWayMs === 0) {
    await new Promise(setImmediate);
    now++;
  }
  now += 20_000;
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.ok(writer.underWayMs >= 20_000, "further attempts do not begin anew");
  store.down = false;
  await drained;
  t.equal(writer.underWayMs, 0);
});

t.test(
  "rows of several kinds arrive once, each in its table, in one INSERT a table and batch",
  async (t) => {
    const { writer, store, add, journal } = setUp(t);
    writer.start(0, 0);
    for (let i = 0; i < 10; i++) add(3, 2);
    t.equal(writer.pendingRows, 50);
    t.ok(writer.pendingBytes > 0);
    await writer.drain(LONG_MS);
    t.same(store.indexes, upTo(50));
    t.same(
      store.inserts.map(({ table, indexes }) => [table, indexes.length]),
      [
        ["trace_links", 30],
        ["control_records", 20],
      ],
    );
    t.equal(writer.storedThrough, 50);
    t.equal(writer.pendingRows, 0);
    t.equal(writer.pendingBytes, 0, "memory is let go");
    t.equal(store.questions, 0, "while all is well the store is not asked");
    t.same(journal.reads, [], "nor is the journal read");
  },
);

t.test("a batch is begun when it has enough rows, and ends where a frame ends", async (t) => {
  const stored: number[] = [];
  const { writer, store, add } = setUp(t, {
    batchRows: 10,
    onStored: (index) => void stored.push(index),
  });
  writer.start(0, 0);
  add(4);
  add(4);
  await new Promise(setImmediate);
  t.same(store.inserts, []);
  add(4);
  await writer.drain(LONG_MS);
  t.same(stored, [12]);
});

t.test("a batch is begun when its oldest row is old enough", async (t) => {
  const { open, store, add } = setUp(t);
  const done = Promise.withResolvers<void>();
  const writer = open({ batchAgeMs: 5, onStored: () => done.resolve() });
  writer.start(0, 0);
  add(1, 0, [], writer);
  await done.promise;
  t.same(store.indexes, [0]);
});

t.test(
  "what gathers behind a slow store makes larger batches, up to batchBytes and a frame",
  async (t) => {
    const { writer, store, add, journal } = setUp(t, { batchRows: 1, batchBytes: 4000 });
    writer.start(0, 0);
    for (let i = 0; i < 40; i++) add(5);
    await writer.drain(LONG_MS);
    t.same(store.indexes, upTo(200));
    const frame = journal.frames[0]!.sections[0]!.bytes.length;
    const sizes = store.inserts.map(({ indexes }) => (indexes.length / 5) * frame);
    t.ok(sizes.every((bytes) => bytes < 4000 + frame));
    t.ok(store.inserts.length < 20, "not an INSERT a frame");
  },
);

t.test(
  "an INSERT that fails is repeated until it is done, and nothing goes on before",
  async (t) => {
    const { writer, store, add } = setUp(t);
    const seen: number[] = [];
    store.faults = ["fail", "fail", "fail", "fail"];
    writer.start(0, 0);
    add(3, 2);
    seen.push(writer.storedThrough);
    await writer.drain(LONG_MS);
    t.same(seen, [0]);
    t.same(store.indexes, upTo(5));
    t.equal(writer.storedThrough, 5);
  },
);

for (const fault of ["stored", "half", "late"] satisfies Fault[]) {
  t.test(
    `an INSERT with an unknown outcome (${fault}) doubles no row and loses none`,
    async (t) => {
      const { writer, store, add } = setUp(t);
      store.faults = [fault, fault];
      writer.start(0, 0);
      add(7, 7);
      await writer.drain(LONG_MS);
      t.same(store.indexes, upTo(14));
      t.ok(store.questions >= 2, "the store was asked");
    },
  );
}

t.test("rows that a used deduplication token swallows are inserted under another", async (t) => {
  const { writer, store, add } = setUp(t);
  store.faults = ["lost"];
  writer.start(0, 0);
  add(3);
  await writer.drain(LONG_MS);
  t.same(store.indexes, upTo(3));
  t.equal(new Set(store.inserts.map(({ token }) => token)).size, 2);
});

t.test(
  "while the store is down memory is bounded, and later every row arrives from the journal in order",
  async (t) => {
    const maxPendingBytes = 20_000;
    const stored: number[] = [];
    const { writer, store, add, journal } = setUp(t, {
      maxPendingBytes,
      batchBytes: 5000,
      onStored: (index) => void stored.push(index),
    });
    store.down = true;
    writer.start(0, 0);
    let most = 0;
    for (let i = 0; i < 500; i++) {
      add(4, 1);
      most = Math.max(most, writer.pendingBytes);
      if (i % 50 === 0) await new Promise(setImmediate);
    }
    t.ok(most <= maxPendingBytes, `${most} bytes`);
    t.equal(writer.pendingRows, 2500);
    await writer.drain(20);
    t.equal(writer.storedThrough, 0, "a drain ends at its deadline");
    store.down = false;
    await writer.drain(LONG_MS);
    t.same(store.indexes, upTo(2500));
    t.same(
      stored,
      stored.toSorted((a, b) => a - b),
    );
    t.equal(writer.pendingBytes, 0);
    const reads = journal.reads.length;
    t.ok(reads > 0);
    add(1);
    await writer.drain(LONG_MS);
    t.equal(journal.reads.length, reads, "memory has taken over again");
    t.same(store.indexes, upTo(2501));
  },
);

t.test(
  "rows that are added while the journal is read keep their order and come once",
  async (t) => {
    const { writer, store, add } = setUp(t, { maxPendingBytes: 2000, batchBytes: 1000 });
    writer.start(0, 0);
    for (let i = 0; i < 200; i++) {
      add(2);
      await new Promise(setImmediate);
    }
    await writer.drain(LONG_MS);
    t.same(store.indexes, upTo(400));
  },
);

t.test("after a restart only the rows that the store has not are inserted", async (t) => {
  const { store, journal, open } = setUp(t, { batchBytes: 2000 });
  for (let i = 0; i < 20; i++) journal.append(3, 2);
  // What a killed process left behind: all of the first frames, one table of the next, every third row after that.
  store.stored.set(
    "trace_links",
    upTo(100).filter((index) => index % 5 < 3 && (index < 45 || index % 3 === 0)),
  );
  store.stored.set(
    "control_records",
    upTo(40).filter((index) => index % 5 >= 3),
  );
  const left = store.indexes;
  const writer = open();
  writer.start(0, 100);
  writer.add(journal.append(5));
  await writer.drain(LONG_MS);
  t.same(store.indexes, upTo(105));
  t.same(
    store.inserts.flatMap(({ indexes }) => indexes).filter((index) => left.includes(index)),
    [],
  );
});

t.test(
  "an INSERT that outlives its process doubles no row of the next one's larger batch",
  async (t) => {
    const { writer, store, journal, open, add } = setUp(t);
    store.faults = ["late"];
    writer.start(0, 0);
    add(5);
    await writer.drain(0);
    while (store.inserts.length === 0) await new Promise(setImmediate);
    await writer.close();
    t.same(store.indexes, []);
    journal.append(5);
    const next = open();
    next.start(0, 10);
    await next.drain(LONG_MS);
    t.same(store.indexes, upTo(10));
  },
);

t.test(
  "after a failure of our own everything starts over from the journal, and no row is doubled",
  async (t) => {
    const logger = recordingLogger();
    let failures = 1;
    const warn = (): void => {
      if (failures-- > 0) throw new TypeError("a mistake of ours");
    };
    const { writer, store, journal, add } = setUp(t, { logger: { ...logger, warn } });
    store.faults = [undefined, "fail"];
    writer.start(0, 0);
    add(3, 3);
    await writer.drain(LONG_MS);
    t.same(store.indexes, upTo(6));
    t.same(journal.reads, [0]);
    t.ok(logger.lines.some((line) => line.includes("a mistake of ours")));
  },
);

t.test("ClickHouse's refusal puts exactly the refused rows into quarantine", async (t) => {
  const told: object[] = [];
  const { writer, store, add, quarantine } = setUp(t, {
    onQuarantined: (row) => void told.push(row),
  });
  const poisoned = [0, 17, 18, 63, 99];
  writer.start(0, 0);
  add(60, 40, poisoned);
  add(10);
  await writer.drain(LONG_MS);
  t.same(
    store.indexes,
    upTo(110).filter((index) => !poisoned.includes(index)),
  );
  t.same(
    quarantine.rows.map(({ leafIndex }) => leafIndex).toSorted((a, b) => a - b),
    poisoned,
  );
  const row = quarantine.rows.find(({ leafIndex }) => leafIndex === 17)!;
  t.same(Buffer.from(row.row), encodeRow(KINDS.link, { TraceId: POISON }));
  t.match(row, { table: "trace_links", reason: /CANNOT_READ_ALL_DATA/ });
  t.equal(told.length, 5);
  t.equal(writer.storedThrough, 110);
});

t.test("a body that was cut on the way once is no refusal", async (t) => {
  const { writer, store, add, quarantine } = setUp(t);
  store.faults = ["cut"];
  writer.start(0, 0);
  add(1);
  await writer.drain(LONG_MS);
  t.same(quarantine.rows, []);
  t.same(store.indexes, [0]);
});

t.test("a table that somebody altered refuses rows, yet none goes into quarantine", async (t) => {
  const { writer, store, add, quarantine, logger } = setUp(t);
  store.altered = true;
  store.faults = Array(12).fill("cut");
  writer.start(0, 0);
  add(2);
  await writer.drain(LONG_MS);
  t.same(quarantine.rows, []);
  t.same(store.indexes, upTo(2));
  t.ok(
    logger.lines.some((line) =>
      line.includes("the columns of trace_links are not those that we write"),
    ),
  );
});

t.test("a part that the store cannot read when it is asked is no refusal of rows", async (t) => {
  const { writer, store, add, quarantine } = setUp(t);
  store.faults = ["stored"];
  store.brokenReads = 3;
  writer.start(0, 0);
  add(4);
  await writer.drain(LONG_MS);
  t.same(quarantine.rows, []);
  t.same(store.indexes, upTo(4));
});

t.test("a refused row that nobody can be told of does not hold the others", async (t) => {
  const { writer, store, add, logger } = setUp(t, {
    onQuarantined: () => Promise.reject(new Error("the journal is full")),
  });
  writer.start(0, 0);
  add(3, 0, [1]);
  await writer.drain(LONG_MS);
  t.same(store.indexes, [0, 2]);
  t.equal(writer.storedThrough, 3);
  t.ok(logger.lines.some((line) => line.includes("the journal is full")));
});

t.test("a journal that cannot be read is read again", async (t) => {
  const { journal, store, open, logger } = setUp(t);
  for (let i = 0; i < 5; i++) journal.append(2);
  journal.failures = 2;
  const writer = open();
  writer.start(0, 10);
  await writer.drain(LONG_MS);
  t.same(store.indexes, upTo(10));
  t.equal(logger.lines.filter((line) => line.includes("EIO")).length, 2);
});

t.test("a journal that has lost rows is said, and never passed over", async (t) => {
  const { journal, store, open, logger } = setUp(t);
  for (let i = 0; i < 5; i++) journal.append(2);
  journal.frames.splice(2, 1);
  const writer = open();
  writer.start(0, 10);
  await writer.drain(30);
  t.equal(writer.storedThrough, 4, "what comes before is stored");
  t.same(store.indexes, upTo(4));
  t.ok(
    logger.lines.some((line) =>
      line.includes("the journal goes on at index 6, expected index 4 of 10"),
    ),
  );
});

t.test("a journal that ends too early is said", async (t) => {
  const { journal, open, logger } = setUp(t);
  for (let i = 0; i < 5; i++) journal.append(2);
  const writer = open();
  writer.start(0, 12);
  const drained = writer.drain(LONG_MS);
  const isSaid = (): boolean =>
    logger.lines.some((line) => line.includes("the journal ends, expected index 10 of 12"));
  while (!isSaid()) await new Promise(setImmediate);
  t.equal(writer.storedThrough, 10, "what is there is stored");
  await writer.close();
  await drained;
});

t.test("a hole in the indexes, or rows before the start, are the caller's mistake", async (t) => {
  const { writer, open } = setUp(t);
  writer.start(5, 5);
  t.throws(
    () => writer.add(batch(6, [[KINDS.control, [encodeRow(KINDS.control, {})]]])),
    AssertionError,
  );
  t.throws(() => writer.start(0, 0), AssertionError);
  t.throws(() => open().add(batch(0, [])), AssertionError);
});

t.test(
  "closing ends a wait for a store that is down, and those who wait for a drain",
  async (t) => {
    const { writer, store, add } = setUp(t, { retryMinMs: LONG_MS, retryMaxMs: LONG_MS });
    store.down = true;
    writer.start(0, 0);
    add(5);
    const drained = writer.drain(LONG_MS);
    await new Promise(setImmediate);
    await writer.close();
    await drained;
    t.equal(writer.storedThrough, 0);
  },
);

t.test(
  "whatever fails and wherever it is restarted, no row is stored twice and none is left out",
  async (t) => {
    const faults = fc.array(
      fc.constantFrom<(Fault | undefined)[]>(
        undefined,
        "fail",
        "stored",
        "half",
        "late",
        "lost",
        "cut",
      ),
      { maxLength: 30 },
    );
    const frames = fc.array(
      fc.record({
        links: fc.nat(6),
        controls: fc.nat(3),
        poison: fc.boolean(),
        restart: fc.boolean(),
      }),
      { minLength: 1, maxLength: 25 },
    );
    await fc.assert(
      fc.asyncProperty(
        faults,
        frames,
        fc.integer({ min: 200, max: 4000 }),
        async (faults, frames, maxPendingBytes) => {
          const closing: (() => unknown)[] = [];
          const { open, journal, store, quarantine, add } = setUp(
            { after: (fn) => void closing.push(fn) },
            { maxPendingBytes, batchRows: 5, batchBytes: 600, retryMinMs: 0, retryMaxMs: 0 },
          );
          store.faults = faults;
          let writer = open();
          writer.start(0, 0);
          for (const { links, controls, poison, restart } of frames) {
            add(links, controls, poison ? [journal.nextIndex + (links >> 1)] : [], writer);
            await new Promise(setImmediate);
            if (!restart) continue;
            const from = writer.storedThrough;
            await writer.close();
            writer = open();
            writer.start(from, journal.nextIndex);
          }
          await writer.drain(LONG_MS);
          for (const close of closing) await close();
          // A row that went into quarantine before a restart may be taken after it.
          const settled = new Set([
            ...store.indexes,
            ...quarantine.rows.map(({ leafIndex }) => leafIndex),
          ]);
          return (
            new Set(store.indexes).size === store.indexes.length &&
            settled.size === journal.nextIndex &&
            writer.storedThrough === journal.nextIndex
          );
        },
      ),
      { numRuns: 60 },
    );
    t.pass();
  },
);

t.test("the quarantine file", async (t) => {
  const path = join(t.testdir(), "quarantine", "rows.jsonl");
  const refused = (leafIndex: number) => ({
    table: "otel_logs",
    leafIndex,
    row: Buffer.from([0xff, 0, 10, leafIndex]),
    reason: 'says "no"\n',
  });

  await t.test(
    "gives back what was put in, once a row, also after a crash cut its last line",
    async (t) => {
      const first = await Quarantine.open(path, LOG_ID);
      await Promise.all([first.add(refused(7)), first.add(refused(3)), first.add(refused(7))]);
      await first.close();
      await appendFile(path, '{"time":"2026-11-22T00:00:00.000Z","logId":"0123');
      const second = await Quarantine.open(path, LOG_ID);
      t.equal(second.size, 2);
      await second.add(refused(3));
      await second.add(refused(9));
      await second.close();
      const rows = await collect(readQuarantine(path));
      t.same(
        rows.map(({ leafIndex }) => leafIndex),
        [7, 3, 9],
      );
      t.match(rows[2], { logId: LOG_ID, table: "otel_logs", reason: 'says "no"\n' });
      t.same(Buffer.from(rows[2]!.row), Buffer.from([0xff, 0, 10, 9]));
    },
  );

  await t.test("keeps rows of another log with the same index apart", async (t) => {
    const other = await Quarantine.open(path, "another log");
    t.equal(other.size, 0);
    await other.add(refused(3));
    await other.close();
    t.equal((await collect(readQuarantine(path))).length, 4);
  });

  await t.test("can be read by its owner alone", async (t) => {
    t.equal((await stat(path)).mode & 0o777, 0o600);
    t.match(await readFile(path, "utf8"), /"row":"\/wAKBw=="/);
  });
});

const server = await startTestServer();
t.teardown(() => server?.stop());

t.test("with a ClickHouse server", { skip: missing(server) }, async (t) => {
  assert(server !== undefined);

  const logRow = (i: number): Uint8Array =>
    encodeRow(KINDS.log, {
      Body: `log ${i}\n\n'; DROP TABLE x`,
      ServiceName: `s${i % 7}`,
      LogAttributes: [["k", `${i}`]],
    });
  const spanRow = (i: number): Uint8Array =>
    encodeRow(KINDS.span, {
      SpanName: `span ${i % 9}`,
      TraceId: i.toString(16).padStart(32, "0"),
      RetentionClass: i % 2 === 0 ? "default" : "other",
    });
  const frames = (from: number, count: number, size: number) =>
    upTo(count).map((i) =>
      batch(from + i * size * 2, [
        [KINDS.log, upTo(size).map((k) => logRow(k))],
        [KINDS.span, upTo(size).map((k) => spanRow(k))],
      ]),
    );

  await t.test(
    "rows arrive exactly once through connections that break after every INSERT",
    async (t) => {
      const client = await server.tables(t);
      const { database } = server;
      const proxy = await breakingProxy(server.url, 6);
      t.teardown(() => proxy.close());
      const url = `http://127.0.0.1:${(proxy.address() as { port: number }).port}`;
      const flaky = createStoreClient({
        url,
        username: "writer",
        password: server.passwords.writer,
        database,
      });
      t.teardown(() => flaky.close());
      const store = createRowStore({
        client: flaky,
        logId: LOG_ID,
        database,
        logger: silentLogger,
      });
      const all = frames(0, 10, 50);
      const read = async function* (from: number) {
        yield* all.filter(({ firstIndex }) => firstIndex >= from);
      };
      const writer = new StoreWriter({
        store,
        logId: LOG_ID,
        backlog: read,
        quarantine: new FakeQuarantine(),
        logger: silentLogger,
        retryMinMs: 1,
        retryMaxMs: 5,
        batchRows: 100,
      });
      t.teardown(() => writer.close());
      writer.start(0, 500);
      for (const frame of all.slice(5)) writer.add(frame);
      await writer.drain(LONG_MS);
      for (const [table, odd] of [
        ["otel_logs", 0],
        ["otel_traces", 1],
      ] as const) {
        const rows = await client.query<{ LeafIndex: string }>(
          `SELECT LeafIndex FROM ${table} ORDER BY LeafIndex`,
        );
        t.same(
          rows.map(({ LeafIndex }) => Number(LeafIndex)),
          upTo(1000).filter((i) => Math.floor(i / 50) % 2 === odd),
          table,
        );
      }
    },
  );

  await t.test(
    "a row that ClickHouse cannot read is quarantined and the others are stored",
    async (t) => {
      const client = await server.tables(t);
      const { database } = server;
      const quarantine = new FakeQuarantine();
      const store = createRowStore({
        client: server.client(t, "writer", database),
        logId: LOG_ID,
        database,
        logger: silentLogger,
      });
      const writer = new StoreWriter({
        store,
        logId: LOG_ID,
        backlog: async function* () {},
        quarantine,
        logger: silentLogger,
        retryMinMs: 1,
      });
      t.teardown(() => writer.close());
      const rows = upTo(40).map(logRow);
      // A string that claims more bytes than a string may have.
      rows[23] = Buffer.concat([rows[23]!.subarray(0, 26), Buffer.from("ffffffffffffff7f", "hex")]);
      // Nested arrays of different lengths: readable, yet no row.
      const spans = upTo(10).map(spanRow);
      spans[4] = encodeRow(KINDS.span, { "Events.Name": ["a", "b"], "Events.Timestamp": [1] });
      writer.start(0, 0);
      writer.add(
        batch(0, [
          [KINDS.log, rows],
          [KINDS.span, spans],
        ]),
      );
      await writer.drain(LONG_MS);
      t.same(quarantine.rows.map(({ table, leafIndex }) => [table, leafIndex]).toSorted(), [
        ["otel_logs", 23],
        ["otel_traces", 44],
      ]);
      t.same(await client.query("SELECT count() AS n FROM otel_logs"), [{ n: "39" }]);
      t.same(await client.query("SELECT count() AS n FROM otel_traces"), [{ n: "9" }]);
      t.equal(writer.storedThrough, 50);
    },
  );

  await t.test("an INSERT that still runs is waited for", async (t) => {
    const client = await server.tables(t);
    const { database } = server;
    const store = createRowStore({
      client: server.client(t, "writer", database),
      logId: LOG_ID,
      database,
      logger: silentLogger,
    });
    const { signal } = new AbortController();
    let ended = false;
    const running = server
      .client(t, "writer")
      .query("SELECT sleep(1)", {}, { queryId: "meshproof-x-1" })
      .finally(() => (ended = true));
    while (
      (await client.query("SELECT 1 FROM system.processes WHERE query_id = 'meshproof-x-1'"))
        .length === 0
    );
    await store.settled("meshproof-y-", signal);
    t.equal(ended, false, "another log's INSERTs are not ours");
    await store.settled("meshproof-x-", signal);
    t.same(
      await client.query("SELECT 1 FROM system.processes WHERE query_id = 'meshproof-x-1'"),
      [],
    );
    await running;
  });

  await t.test("errors hold no password, and say what ClickHouse said", async (t) => {
    const wrong = createStoreClient({
      url: server.url,
      username: "writer",
      password: "open sesame",
    });
    t.teardown(() => wrong.close());
    const error = await wrong.ping().then(
      () => t.fail("logged in"),
      (error: unknown) => error as Error,
    );
    t.match(error, { code: "STORE_FAILED", message: /REQUIRED_PASSWORD|AUTHENTICATION_FAILED/ });
    t.notMatch(
      JSON.stringify([(error as Error).message, (error as Error).stack, (error as Error).cause]),
      /sesame/,
    );
    const gone = createStoreClient({
      url: "http://127.0.0.1:1",
      username: "writer",
      password: "open sesame",
    });
    t.teardown(() => gone.close());
    await t.rejects(gone.query("SELECT 1"), {
      code: "STORE_FAILED",
      message: /ECONNREFUSED/,
      retryable: true,
    });
  });

  await t.test(
    "an answer that breaks off in the middle rejects with ClickHouse's reason",
    async (t) => {
      const client = await server.tables(t);
      let bytes = 0;
      const read = async (): Promise<void> => {
        for await (const chunk of client.streamBytes(
          "SELECT throwIf(number = 400000, 'in the middle'), repeat('x', 100) FROM numbers(1000000) FORMAT RowBinary SETTINGS max_block_size = 10000",
        ))
          bytes += chunk.length;
      };
      await t.rejects(read(), { code: "STORE_FAILED", message: /in the middle/ });
      t.ok(bytes > 0);
    },
  );
});

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** A proxy that forwards everything, and breaks the connection in place of the answer for the first `count` INSERTs. */
async function breakingProxy(target: string, count: number): Promise<Server> {
  let left = count;
  const proxy = createServer(async (request, response) => {
    const body = Buffer.concat(await collect(request as AsyncIterable<Buffer>));
    const answer = await fetch(target + request.url, {
      method: "POST",
      body,
      headers: { authorization: request.headers.authorization ?? "" },
    });
    const bytes = Buffer.from(await answer.arrayBuffer());
    if (request.url!.includes("INSERT") && left-- > 0) return void request.socket.destroy();
    response
      .writeHead(answer.status, {
        "x-clickhouse-exception-code": answer.headers.get("x-clickhouse-exception-code") ?? [],
      })
      .end(bytes);
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  return proxy;
}
