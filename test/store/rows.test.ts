import assert from "node:assert";
import { createHash, randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import { KINDS } from "../../src/core/kinds.ts";
import { silentLogger } from "../../src/core/logger.ts";
import type { RowSource } from "../../src/core/verification.ts";
import { TABLES, type ColumnType } from "../../src/records/columns.ts";
import { CheckpointRecorder } from "../../src/store/checkpoints.ts";
import type { StoreClient } from "../../src/store/client.ts";
import { ClickHouseRowSource } from "../../src/store/rows.ts";
import { insertColumns } from "../../src/store/schema.ts";
import { encodeRow, LOG_ID, rowHash, section, type Value } from "./encode.ts";
import { missing, startTestServer } from "./server.ts";

const server = await startTestServer();
t.teardown(() => server?.stop());

/** Text that is easy to get wrong: empty, long, with zero bytes, quotes and blank lines, and bytes that are no UTF-8. */
const TEXTS = [
  "",
  "a",
  "ü€😀",
  "\0\x01",
  "x".repeat(300),
  Buffer.from([0xff, 0xfe, 0x80]),
  "\n\n'\\`\t",
];
const MAPS: Value[] = [
  [],
  [
    ["b", "1"],
    ["a", "2"],
    ["b", "3"],
  ],
  [
    ["", ""],
    ["", "x"],
  ],
  [[TEXTS[5]!, TEXTS[6]!]],
];
const I64 = [0n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 1763800000123456789n];

/** Values of each type that lie at its edges. */
const EDGES: Readonly<Record<ColumnType, readonly Value[]>> = {
  UInt8: [0, 1, 255],
  UInt16: [0, 7, 65_535],
  UInt32: [0, 9, 4_294_967_295],
  UInt64: [0n, 5n, 2n ** 53n + 1n, 2n ** 64n - 1n],
  Int8: [-128, -1, 0, 127],
  Int16: [-32_768, -1, 0, 32_767],
  Int64: I64,
  Float32: [0, -0, 1.5, Number.NaN, Infinity, -Infinity, 1e-45],
  String: TEXTS,
  "LowCardinality(String)": TEXTS,
  "FixedString(16)": [
    Buffer.alloc(16),
    Buffer.alloc(16, 255),
    Buffer.from("0a0a00000000000000000000000000ff", "hex"),
  ],
  "DateTime64(9)": I64,
  IPv6: [
    "00000000000000000000000000000000",
    "00000000000000000000ffff0a000001",
    "20010db8000000000000000000000001",
    "ffffffffffffffffffffffffffffffff",
  ].map((hex) => Buffer.from(hex, "hex")),
  "Map(LowCardinality(String), String)": MAPS,
  "Array(String)": [[], [""], TEXTS],
  "Array(LowCardinality(String))": [[], ["", ""], TEXTS],
  "Array(UInt32)": [[], [0, 4_294_967_295]],
  "Array(UInt64)": [[], [0n, 2n ** 64n - 1n]],
  "Array(DateTime64(9))": [[], I64],
  "Array(Map(LowCardinality(String), String))": [[], MAPS],
};

/** Times that partition and order the tables are clamped by the encoders to what ClickHouse can compute with. */
const CLAMPED: Readonly<Record<string, readonly Value[]>> = {
  Timestamp: [0n, 1763800000123456789n, 4_260_211_199_999_999_999n],
  ReceivedTimestamp: [1763800000123456789n],
};

t.test("with a ClickHouse server", { skip: missing(server) }, async (t) => {
  assert(server !== undefined);

  for (const table of Object.values(TABLES)) {
    await t.test(
      `${table.name}: ClickHouse's hash of a stored row is the hash of the bytes that were inserted, before and after a merge`,
      async (t) => {
        const client = await server.tables(t);
        const rows = Array.from({ length: 70 }, (_, i) => {
          const values: Record<string, Value> = {};
          for (const [at, { name, type }] of table.columns.entries()) {
            const edges = CLAMPED[name] ?? EDGES[type];
            if (name !== "LeafVersion" && name !== "Kind")
              values[name] = edges[(i * 3 + at) % edges.length]!;
            // Nested columns of one row have the same length.
            const nested = /^(Events|Links)\./.test(name);
            if (nested)
              values[name] = Array.from({ length: i % 4 }, (_, k) => nestedValue(type, i + at + k));
          }
          return encodeRow(table.kind, values);
        });
        for (const half of [0, 1])
          await insert(client, table, rows.slice(half * 35, half * 35 + 35), half * 35);
        const source = new ClickHouseRowSource({ client, logId: LOG_ID });
        for (const state of ["before", "after"]) {
          const leaves = await collect(source, table.name, 0, 1000);
          t.same(
            leaves.map(({ index }) => index),
            rows.map((_, i) => BigInt(i)),
          );
          const differing = leaves.filter(
            ({ hash }, i) => hash !== rowHash(rows[i]!).toString("hex"),
          );
          t.same(differing, [], state);
          await client.command(`OPTIMIZE TABLE ${table.name} FINAL`);
        }
      },
    );
  }

  await t.test(
    "the rows of one log come from a range, doubled rows twice, and no other log's",
    async (t) => {
      const client = await server.tables(t);
      const row = (i: number) => encodeRow(KINDS.control, { ControlKind: `${i}` });
      const indexes = [3, 4, 5, 9, 10, 250, 1000, 1001, 2 ** 40, 2 ** 53 - 1];
      for (const index of [...indexes].reverse())
        await insert(client, TABLES.control, [row(index)], index);
      await insert(client, TABLES.control, [row(9)], 9);
      await client.command("INSERT INTO control_records (LogId, LeafIndex) VALUES ('another', 4)");
      const source = new ClickHouseRowSource({ client, logId: LOG_ID });
      const all = await collect(source, "control_records", 0, Infinity);
      t.same(
        all.map(({ index }) => Number(index)),
        [3, 4, 5, 9, 9, 10, 250, 1000, 1001, 2 ** 40, 2 ** 53 - 1],
      );
      t.same(
        all.map(({ hash }) => hash),
        all.map(({ index }) => rowHash(row(Number(index))).toString("hex")),
      );
      t.same(
        (await collect(source, "control_records", 4, 250)).map(({ index }) => Number(index)),
        [4, 5, 9, 9, 10],
        "from is in, to is not",
      );
      t.same(await collect(source, "control_records", 11, 11), []);
      t.same(await collect(source, "otel_logs", 0, Infinity), []);
    },
  );

  await t.test("a row at an index that no number can hold shows itself", async (t) => {
    const client = await server.tables(t);
    await client.command(
      "INSERT INTO findings (LogId, LeafIndex) VALUES ({log:String}, 18446744073709551615)",
      { log: LOG_ID },
    );
    const source = new ClickHouseRowSource({ client, logId: LOG_ID });
    t.same(
      (await collect(source, "findings", 5, Infinity)).map(({ index }) => index),
      [2n ** 64n - 1n],
    );
  });

  await t.test("any column that is changed in ClickHouse changes the hash", async (t) => {
    const client = await server.tables(t);
    await insert(
      client,
      TABLES.link,
      [encodeRow(KINDS.link, { Salt: Buffer.alloc(16, 1), Confidence: 1 })],
      0,
    );
    const source = new ClickHouseRowSource({ client, logId: LOG_ID });
    let before = (await collect(source, "trace_links", 0, 1))[0]!.hash;
    for (const change of [
      "LeafVersion = 2",
      "Kind = 3",
      "Salt = 'x'",
      "Confidence = 0.5",
      "AccessLog = 'y'",
      "SpanLeaf = 1",
      "ClockDifferenceNs = -1",
    ]) {
      await client.command(
        `ALTER TABLE trace_links UPDATE ${change} WHERE 1 SETTINGS mutations_sync = 2`,
      );
      const [leaf] = await collect(source, "trace_links", 0, 1);
      t.not(leaf!.hash, before, change);
      before = leaf!.hash;
    }
  });

  await t.test("every table of sealed rows is offered with its kind", async (t) => {
    const client = await server.tables(t);
    const { tables } = new ClickHouseRowSource({ client, logId: LOG_ID });
    t.same(
      tables,
      Object.values(TABLES).map(({ name, kind }) => ({ table: name, kind })),
    );
  });

  await t.test("findings count those whose last word is open", async (t) => {
    const client = await server.tables(t);
    const finding = (FindingKind: string, Subject: string, minute: bigint, State: string) =>
      encodeRow(KINDS.finding, {
        FindingKind,
        Subject,
        State,
        Timestamp: minute * 60_000_000_000n,
      });
    const rows = [
      finding("late", "a", 1n, "open"),
      finding("late", "a", 2n, "open"),
      finding("late", "b", 1n, "open"),
      finding("late", "b", 1n, "resolved"),
      finding("clock_skew", "a", 1n, "resolved"),
      finding("rejected_record", "c", 1n, "resolved"),
      finding("rejected_record", "c", 1n, "open"),
    ];
    await insert(client, TABLES.finding, rows, 0);
    await client.command(
      "INSERT INTO findings (LogId, FindingKind, State) VALUES ('another', 'late', 'open')",
    );
    t.same(await new ClickHouseRowSource({ client, logId: LOG_ID }).findings(), {
      late: 2,
      rejected_record: 1,
    });
  });

  await t.test(
    "the newest checkpoint is recorded at most once an interval, and the last one at the end",
    async (t) => {
      const client = await server.tables(t);
      const recorder = new CheckpointRecorder({
        client,
        logId: LOG_ID,
        logger: silentLogger,
        intervalMs: 60_000,
      });
      const checkpoint = (size: number) => ({
        size,
        root: Buffer.alloc(32, size),
        note: `origin\n${size}\nroot=\n\n— name it's\\ ok\n`,
      });
      for (const size of [1, 2, 3]) recorder.record(checkpoint(size));
      await recorder.close();
      const again = new CheckpointRecorder({
        client,
        logId: LOG_ID,
        logger: silentLogger,
        intervalMs: 60_000,
      });
      again.record(checkpoint(3));
      again.record(checkpoint(5));
      await again.close();
      const source = new ClickHouseRowSource({ client, logId: LOG_ID });
      t.same(
        await source.checkpoints(10),
        [5, 3].map((size) => ({ size, note: checkpoint(size).note })),
      );
      t.same((await source.checkpoints(1))[0], { size: 5, note: checkpoint(5).note });
      t.same(await client.query("SELECT RootHash FROM checkpoints WHERE TreeSize = 3"), [
        { RootHash: "03".repeat(32) },
      ]);
    },
  );

  await t.test(
    "one digest a bundle, over all tables: what the entries of the rows give",
    async (t) => {
      const client = await server.tables(t);
      const source = new ClickHouseRowSource({ client, logId: LOG_ID });
      t.same(await digests(source, 0, 1000), []);
      const kinds = [KINDS.control, KINDS.finding, KINDS.link, KINDS.log] as const;
      const entries: { index: number; part: Buffer }[] = [];
      for (const [at, kind] of kinds.entries()) {
        // Leaf indexes of one table come in blocks of 100, so that bundles hold rows of several; not in order.
        for (const first of [at * 100, at * 100 + 400].reverse()) {
          const rows = Array.from({ length: 100 }, (_, i) =>
            encodeRow(kind, { Salt: randomBytes(16), Timestamp: BigInt(first + i) * 1_000_000n }),
          );
          await insert(
            client,
            Object.values(TABLES).find((one) => one.kind === kind)!,
            rows,
            first,
          );
          for (const [i, row] of rows.entries()) {
            const index = first + i;
            const part = Buffer.concat([Buffer.of(index % 256, 1, kind), rowHash(row)]);
            entries.push({ index, part });
          }
        }
      }
      const expected = (from: number, to: number) =>
        [...Map.groupBy(entries, ({ index }) => Math.floor(index / 256))]
          .map(([bundle, all]) => {
            const parts = all
              .filter(({ index }) => from <= index && index < to)
              .map(({ part }) => part)
              .sort(Buffer.compare);
            return { bundle, count: parts.length, digest: sha256(Buffer.concat(parts)) };
          })
          .filter(({ count }) => count > 0)
          .sort((a, b) => a.bundle - b.bundle);
      for (const [from, to] of [
        [0, 800],
        [256, 512],
        [300, 301],
        [511, 700],
        [700, 5000],
      ] as const)
        t.same(await digests(source, from, to), expected(from, to), `${from} to ${to}`);

      // A row that is there many times is counted as often.
      await client.command(
        "INSERT INTO control_records SELECT c.* FROM control_records AS c, numbers(300) AS n WHERE c.LeafIndex = 5",
      );
      const [doubled, other] = await digests(source, 0, 512);
      t.equal(doubled!.count, 556);
      t.same(other, expected(0, 512)[1]);
    },
  );

  await t.test("rows come as the bytes that were inserted", async (t) => {
    const client = await server.tables(t);
    const rows = [0, 1, 130, 70_000, 300_000].map((length, i) =>
      encodeRow(KINDS.log, { Salt: Buffer.alloc(16, i), Body: "x".repeat(length) }),
    );
    await insert(client, TABLES.log, rows, 7);
    const source = new ClickHouseRowSource({ client, logId: LOG_ID });
    const found = new Map<bigint, Buffer>();
    for await (const { indexes, rows: bytes } of source.rowBytes("otel_logs", 0, 100))
      for (const [i, row] of bytes.entries()) found.set(indexes[i]!, Buffer.from(row));
    t.equal(found.size, rows.length);
    for (const [i, row] of rows.entries()) t.ok(found.get(BigInt(7 + i))?.equals(row), `row ${i}`);
  });

  await t.test(
    "a column that nothing seals changes the hash of a row where it holds a value",
    async (t) => {
      const client = await server.tables(t);
      const rows = [1, 2, 3].map((n) => encodeRow(KINDS.link, { Salt: Buffer.alloc(16, n) }));
      await insert(client, TABLES.link, rows, 0);
      for (const column of [
        "Verdict String",
        "Weight Nullable(Float64)",
        "Tags Map(String, Array(UInt8))",
        "Computed String ALIAS upper(TraceId)",
        "Copied String MATERIALIZED upper(Rule)",
      ])
        await client.command(`ALTER TABLE trace_links ADD COLUMN ${column}`);
      const hashes = async (): Promise<boolean[]> => {
        const source = new ClickHouseRowSource({ client, logId: LOG_ID });
        const leaves = await collect(source, "trace_links", 0, 3);
        const [bundle] = await digests(source, 0, 3);
        const parts = rows.map((row, i) => Buffer.concat([Buffer.of(i, 1, 4), rowHash(row)]));
        t.equal(
          bundle!.digest === sha256(Buffer.concat(parts)),
          leaves.every(({ hash }, i) => hash === rowHash(rows[i]!).toString("hex")),
          "digest and hashes agree",
        );
        return leaves.map(({ hash }, i) => hash === rowHash(rows[i]!).toString("hex"));
      };
      t.same(await hashes(), [true, true, true], "columns with their defaults say nothing");
      for (const [change, expected] of [
        ["Verdict = 'approved' WHERE LeafIndex = 0", [false, true, true]],
        ["Weight = 0 WHERE LeafIndex = 1", [false, false, true]],
        ["Tags = map('a', [1]) WHERE LeafIndex = 2", [false, false, false]],
        ["Verdict = '' WHERE LeafIndex = 0", [true, false, false]],
      ] as const) {
        await client.command(
          `ALTER TABLE trace_links UPDATE ${change} SETTINGS mutations_sync = 2`,
        );
        t.same(await hashes(), expected, change);
      }
    },
  );

  await t.test(
    "the rows with the highest indexes come first, and rows of other logs are told",
    async (t) => {
      const client = await server.tables(t);
      const row = (i: number) => encodeRow(KINDS.control, { ControlKind: `${i}` });
      await insert(client, TABLES.control, [1, 2, 3, 4, 5].map(row), 1);
      const source = new ClickHouseRowSource({ client, logId: LOG_ID });
      const seen: number[] = [];
      for await (const { indexes } of source.newest("control_records", 2, 3))
        seen.push(...Array.from(indexes, Number));
      t.same(seen, [5, 4, 3]);
      t.same(await source.strangers(), []);
      await client.command(
        "INSERT INTO findings (LogId, LeafIndex) VALUES ('x', 1), ('x', 2), ('y', 1)",
      );
      t.same(await source.strangers(), [
        { table: "findings", logId: "x", rows: 2 },
        { table: "findings", logId: "y", rows: 1 },
      ]);
    },
  );

  await t.test("stretches without a record, stops and the newest record are told", async (t) => {
    const client = await server.tables(t);
    const source = new ClickHouseRowSource({ client, logId: LOG_ID, settings: { max_threads: 1 } });
    const SILENCE_MS = 300_000;
    const ns = (minute: number): bigint =>
      1_800_000_000_000_000_000n + BigInt(minute * 60_000_000_000);
    let next = 0;
    const add = async (minute: number, what: string): Promise<void> => {
      const kind =
        what === "span" ? KINDS.span : what === "finding" ? KINDS.finding : KINDS.control;
      const table = Object.values(TABLES).find((one) => one.kind === kind)!;
      const row = encodeRow(kind, {
        [kind === KINDS.span ? "ReceivedTimestamp" : "Timestamp"]: ns(minute),
        ...(kind === KINDS.control ? { ControlKind: what } : {}),
      });
      await insert(client, table, [row], next++);
    };
    const timeline = (from = 0, to = next) => source.timeline(from, to, SILENCE_MS);
    const none = { newestNs: null, silences: [], silenceCount: 0, uncleanStops: 0 };
    t.same(await timeline(), none, "of no rows");
    t.same(await timeline(0, 10), none, "of rows that are not there");
    for (let minute = 0; minute < 4; minute++)
      await add(minute, minute === 0 ? "start" : "heartbeat");
    await add(8, "span");
    t.same(await timeline(), { ...none, newestNs: ns(8) }, "five minutes are none");
    await add(8.5, "stop");
    await add(30, "start");
    t.same(await timeline(), { ...none, newestNs: ns(30) }, "nor is a stop");
    await add(31, "span");
    await add(32, "finding");
    await add(40.1, "heartbeat"); // silent while it ran
    await add(41, "start"); // killed, and started soon
    await add(50, "start"); // killed, and started late
    const silences = [
      { fromNs: ns(32), toNs: ns(40.1) },
      { fromNs: ns(41), toNs: ns(50) },
    ];
    const all = { newestNs: ns(50), silences, silenceCount: 2, uncleanStops: 2 };
    t.same(await timeline(), all);
    t.same(await timeline(10), { ...all, silences: silences.slice(1), silenceCount: 1 });
    t.same(await timeline(0, 10), {
      ...all,
      newestNs: ns(40.1),
      silences: [silences[0]],
      silenceCount: 1,
      uncleanStops: 0,
    });
    await add(45, "heartbeat"); // a clock that was set back fills no stretch, and makes none
    await add(46, "finding");
    t.same(await timeline(), { ...all, newestNs: ns(46) });
    await add(200, "span"); // a clock that was set forward
    t.match(await timeline(), { silenceCount: 3, newestNs: ns(200) });
    const time = (minute: number): string =>
      new Date(Number(ns(minute) / 1_000_000n)).toISOString();
    for (const [before, after] of [
      ["?", "?"],
      [time(47), time(200)],
    ] as const) {
      const detail = { after, before, direction: "forward" };
      const row = encodeRow(KINDS.finding, {
        Timestamp: ns(46),
        FindingKind: "clock_jump",
        Detail: Object.entries(detail),
      });
      await insert(client, TABLES.finding, [row], next++);
    }
    all.newestNs = ns(200);
    t.same(await timeline(), all, "is no stretch of time, once a finding says so");
    await client.command(
      "INSERT INTO findings (LogId, LeafIndex, Timestamp) VALUES ('x', 99, '2050-01-01 00:00:00')",
    );
    t.same(await timeline(0, 1000), all, "rows of other logs do not count");
  });

  await t.test("of very many checkpoints the newest come, and some of the older", async (t) => {
    const client = await server.tables(t);
    await client.command(
      "INSERT INTO checkpoints (LogId, TreeSize, Note) SELECT {log:String}, number * 10 + 10, toString(number) FROM numbers(1000)",
      { log: LOG_ID },
    );
    const source = new ClickHouseRowSource({ client, logId: LOG_ID });
    const sizes = (await source.checkpoints(20)).map(({ size }) => size);
    t.same(
      sizes.slice(0, 20),
      Array.from({ length: 20 }, (_, i) => 10_000 - i * 10),
    );
    t.ok(sizes.length > 35 && sizes.length <= 41, `${sizes.length}`);
    t.same(
      sizes,
      sizes.toSorted((a, b) => b - a),
    );
    t.ok(sizes.at(-1)! < 1000);
  });
});

function nestedValue(type: ColumnType, at: number): Value {
  const inner = /^Array\((.*)\)$/.exec(type)![1] as ColumnType;
  return EDGES[inner][at % EDGES[inner].length]!;
}

async function insert(
  client: StoreClient,
  table: (typeof TABLES)[keyof typeof TABLES],
  rows: readonly Uint8Array[],
  firstIndex: number,
): Promise<void> {
  const names = insertColumns(table).map(({ name }) => name);
  await client.insertRows(table.name, names, [section(table.kind, rows, firstIndex).bytes], {
    token: randomBytes(8).toString("hex"),
  });
}

async function collect(
  source: RowSource,
  table: string,
  from: number,
  to: number,
): Promise<{ index: bigint; hash: string }[]> {
  const leaves: { index: bigint; hash: string }[] = [];
  for await (const { indexes, rowHashes } of source.leaves(table, from, to)) {
    for (const [i, index] of indexes.entries()) leaves.push({ index, hash: hexAt(rowHashes, i) });
  }
  return leaves.sort((a, b) => (a.index < b.index ? -1 : 1));
}

/** The digests of a range, in the order of the bundles. */
async function digests(
  source: ClickHouseRowSource,
  from: number,
  to: number,
): Promise<{ bundle: number; count: number; digest: string }[]> {
  const found: { bundle: number; count: number; digest: string }[] = [];
  for await (const { bundles, counts, digests } of source.bundles(from, to))
    for (const [i, bundle] of bundles.entries())
      found.push({ bundle: Number(bundle), count: Number(counts[i]), digest: hexAt(digests, i) });
  return found.sort((a, b) => a.bundle - b.bundle);
}

function hexAt(hashes: Uint8Array, i: number): string {
  return Buffer.from(hashes.subarray(i * 32, i * 32 + 32)).toString("hex");
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

t.test(
  "a store that does not answer holds up the end of a recorder for a moment only",
  async (t) => {
    const asked: number[] = [];
    const client = {
      command: (_: string, parameters: { size: number }, { signal }: { signal: AbortSignal }) =>
        new Promise((_resolve, reject) => {
          asked.push(parameters.size);
          signal.addEventListener("abort", () => reject(new Error("too late")));
        }),
    } as unknown as StoreClient;
    const recorder = new CheckpointRecorder({
      client,
      logId: LOG_ID,
      logger: silentLogger,
      intervalMs: 0,
      closeMs: 50,
    });
    const checkpoint = { root: Buffer.alloc(32), note: "note" };
    recorder.record({ ...checkpoint, size: 1 });
    await sleep(20);
    recorder.record({ ...checkpoint, size: 2 });
    await recorder.close();
    t.same(asked, [1, 2], "one under way, and the last one");
  },
);
