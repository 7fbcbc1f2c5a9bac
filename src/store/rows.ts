import {
  type Alteration,
  type BundleBatch,
  type LeafBatch,
  MAX_SILENCES,
  type RowBatchBytes,
  type RowSource,
  type StoredCheckpoint,
  type StrangeRows,
  type Timeline,
} from "../core/verification.ts";
import { SHA256_BYTES } from "../core/sha256.ts";
import { TABLES, type Table } from "../records/columns.ts";
import { DROP_RECORD_KINDS } from "../records/drops.ts";
import type { Parameters, StatementOptions, StoreClient } from "./client.ts";
import { splitRecords, splitTexts } from "./answers.ts";
import {
  bundleStatement,
  controlRowStatement,
  leafStatement,
  NEWEST_CHECKPOINTS,
  newestStatement,
  OPEN_FINDINGS,
  partitionLeafStatement,
  rowStatement,
  selectedLeafStatement,
  SPREAD_CHECKPOINTS,
  type ShapedTable,
  strangerStatement,
} from "./verify-sql.ts";
import { FORWARD_JUMPS, NEWEST_TIME, SILENCES, UNCLEAN_STOPS } from "./timeline-sql.ts";
import { FOUND_COLUMNS, type FoundColumn, shapeOf } from "./table-shape.ts";

/** LeafIndex UInt64, SHA-256. */
const LEAF_BYTES = 8 + SHA256_BYTES;
/** Bundle UInt64, count UInt64, SHA-256. */
const BUNDLE_BYTES = 8 + 8 + SHA256_BYTES;
const NS_PER_MS = 1_000_000n;
/** Findings of a clock that was set forward which are taken into account, the newest. */
const MAX_JUMPS = 1000;
/** The largest leaf index that ClickHouse can hold. */
const LAST_INDEX = 2n ** 64n - 1n;

const ALL: readonly Table[] = Object.values(TABLES);
const CHECKPOINTS = "checkpoints";

/** What tells the rows of one log apart. */
export interface RowSourceOptions {
  readonly client: StoreClient;
  readonly logId: string;
  /** Settings of every statement. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

/**
 * The rows of one log as ClickHouse spells and hashes them, for `verify`.
 * Cost: a row is read, spelled and hashed in 3 to 4 µs of ClickHouse's CPU, most of it formatRow over all columns; grouping into digests adds a tenth.
 */
export class ClickHouseRowSource implements RowSource {
  readonly tables = ALL.map(({ name, kind }) => ({ table: name, kind }));
  readonly #client: StoreClient;
  readonly #logId: string;
  readonly #options: StatementOptions;
  #shapes: Promise<Shapes> | undefined;

  constructor({ client, logId, settings = {} }: RowSourceOptions) {
    this.#client = client;
    this.#logId = logId;
    this.#options = { settings };
  }

  async *bundles(from: number, to: number): AsyncGenerator<BundleBatch> {
    const tables = await this.#tablesThere();
    if (tables.length === 0) return;
    const statement = bundleStatement(tables);
    for await (const records of splitRecords(this.#read(statement, from, to), BUNDLE_BYTES)) {
      yield {
        bundles: records.numbers(0),
        counts: records.numbers(8),
        digests: records.bytes(16, SHA256_BYTES),
      };
    }
  }

  /** As RowSource says. `to` may be Infinity: then rows beyond 2^53, which nobody wrote but an intruder, come too. */
  async *leaves(table: string, from: number, to: number): AsyncGenerator<LeafBatch> {
    const shaped = await this.#there(table);
    if (shaped === undefined) return;
    const statement = leafStatement(shaped);
    yield* leavesIn(this.#read(statement, from, to));
  }

  /** As `leaves`, of the rows in one partition. */
  async *partitionLeaves(
    table: string,
    partition: string,
    from: number,
    to: number,
  ): AsyncGenerator<LeafBatch> {
    const shaped = await this.#there(table);
    if (shaped === undefined) return;
    yield* leavesIn(this.#read(partitionLeafStatement(shaped), from, to, { partition }));
  }

  /** As `leaves`, of the rows with these indexes, which ascend. */
  async *selectedLeaves(table: string, indexes: readonly number[]): AsyncGenerator<LeafBatch> {
    const shaped = await this.#there(table);
    if (indexes.length === 0 || shaped === undefined) return;
    const statement = selectedLeafStatement(shaped);
    const [first, last] = [indexes[0]!, indexes.at(-1)!];
    yield* leavesIn(this.#read(statement, first, last + 1, { indexes }));
  }

  async *dropRecords(): AsyncGenerator<RowBatchBytes> {
    const shaped = await this.#there(TABLES.control.name);
    if (shaped === undefined || shaped.shape.absent.has("ControlKind")) return;
    const statement = controlRowStatement(shaped);
    const answer = this.#read(statement, 0, Infinity, { kinds: DROP_RECORD_KINDS });
    for await (const { numbers, texts } of splitTexts(answer))
      yield { indexes: numbers, rows: texts };
  }

  async *newest(table: string, from: number, limit: number): AsyncGenerator<LeafBatch> {
    const shaped = await this.#there(table);
    if (shaped === undefined) return;
    const statement = newestStatement(shaped);
    yield* leavesIn(this.#read(statement, from, Infinity, { limit }));
  }

  async *rowBytes(table: string, from: number, to: number): AsyncGenerator<RowBatchBytes> {
    const shaped = await this.#there(table);
    if (shaped === undefined) return;
    const statement = rowStatement(shaped);
    for await (const { numbers, texts } of splitTexts(this.#read(statement, from, to)))
      yield { indexes: numbers, rows: texts };
  }

  async checkpoints(limit: number): Promise<readonly StoredCheckpoint[]> {
    const { hasCheckpoints } = await this.#readShapes();
    if (!hasCheckpoints) return [];
    const newest = await this.#checkpoints(NEWEST_CHECKPOINTS, { limit });
    const below = newest.at(-1)?.size ?? 0;
    if (newest.length < limit || below === 0) return newest;
    const step = Math.ceil(below / limit);
    return [...newest, ...(await this.#checkpoints(SPREAD_CHECKPOINTS, { below, step }))];
  }

  async strangers(): Promise<readonly StrangeRows[]> {
    const found = await Promise.all(
      (await this.#tablesThere()).map(async ({ table }) => {
        const rows = await this.#ask<{ logId: string; rows: string }>(strangerStatement(table), {
          log: this.#logId,
        });
        return rows.map(({ logId, rows }) => ({ table: table.name, logId, rows: Number(rows) }));
      }),
    );
    return found.flat();
  }

  async alterations(): Promise<readonly Alteration[]> {
    const { tables, hasCheckpoints } = await this.#readShapes();
    const found = tables.flatMap(({ table: { name }, shape }) =>
      shape.alterations.map((detail): Alteration => ({
        table: name,
        of: shape.isThere ? "columns" : "rows",
        detail,
      })),
    );
    if (hasCheckpoints) return found;
    return [...found, { table: CHECKPOINTS, of: "checkpoints", detail: "the table is gone" }];
  }

  async findings(): Promise<Record<string, number>> {
    // What was altered is a fault, and can be asked for nothing else.
    if ((await this.#there(TABLES.finding.name))?.shape.alterations.length !== 0) return {};
    const rows = await this.#ask<{ FindingKind: string; open: string }>(OPEN_FINDINGS, {
      log: this.#logId,
    });
    return Object.fromEntries(rows.map(({ FindingKind, open }) => [FindingKind, Number(open)]));
  }

  async timeline(from: number, to: number, silenceMs: number): Promise<Timeline> {
    const range = { log: this.#logId, first: BigInt(from), last: BigInt(to) - 1n };
    const { tables } = await this.#readShapes();
    if (to <= from || tables.some(({ shape }) => shape.alterations.length > 0))
      return { newestNs: null, silences: [], silenceCount: 0, uncleanStops: 0 };
    const [newest] = await this.#ask<{ rows: string; newest: string }>(NEWEST_TIME, range);
    const jumps = await this.#ask<{ before: string; after: string }>(FORWARD_JUMPS, {
      ...range,
      limit: MAX_JUMPS,
    });
    const set = jumps
      .map(({ before, after }) => [Date.parse(before), Date.parse(after)] as const)
      .filter(([from, to]) => from < to);
    const found = await this.#ask<{ from: string; to: string; total: string }>(SILENCES, {
      ...range,
      jumpsFrom: set.map(([ms]) => BigInt(ms) * NS_PER_MS),
      jumpsTo: set.map(([, ms]) => BigInt(ms) * NS_PER_MS),
      silence: BigInt(silenceMs) * NS_PER_MS,
      limit: MAX_SILENCES,
    });
    const [starts] = await this.#ask<{ unclean: string }>(UNCLEAN_STOPS, range);
    return {
      newestNs: newest === undefined || newest.rows === "0" ? null : BigInt(newest.newest),
      silences: found
        .map((silence) => ({ fromNs: BigInt(silence.from), toNs: BigInt(silence.to) }))
        .toSorted((a, b) => (a.fromNs < b.fromNs ? -1 : 1)),
      silenceCount: Number(found[0]?.total ?? 0),
      uncleanStops: Number(starts?.unclean ?? 0),
    };
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  #read(
    statement: string,
    from: number,
    to: number,
    others: Parameters = {},
  ): AsyncIterable<Uint8Array> {
    const last = Number.isFinite(to) ? BigInt(to) - 1n : LAST_INDEX;
    return this.#client.streamBytes(
      statement,
      {
        log: this.#logId,
        first: BigInt(from),
        last,
        ...others,
      },
      this.#options,
    );
  }

  #ask<T>(statement: string, parameters: Parameters): Promise<T[]> {
    return this.#client.query<T>(statement, parameters, this.#options);
  }

  async #checkpoints(statement: string, parameters: Parameters): Promise<StoredCheckpoint[]> {
    const rows = await this.#ask<{ TreeSize: string; Note: string }>(statement, {
      log: this.#logId,
      ...parameters,
    });
    return rows.map(({ TreeSize, Note }) => ({ size: Number(TreeSize), note: Note }));
  }

  /** The table of this name, unless it is gone. */
  async #there(name: string): Promise<ShapedTable | undefined> {
    return (await this.#tablesThere()).find(({ table }) => table.name === name);
  }

  async #tablesThere(): Promise<readonly ShapedTable[]> {
    return (await this.#readShapes()).tables.filter(({ shape }) => shape.isThere);
  }

  /** Asked for once: whoever alters a table while rows are read is found the next time. */
  #readShapes(): Promise<Shapes> {
    return (this.#shapes ??= this.#askShapes());
  }

  async #askShapes(): Promise<Shapes> {
    const names = [...ALL.map(({ name }) => name), CHECKPOINTS];
    const found = await this.#ask<FoundColumn>(FOUND_COLUMNS, { tables: names });
    const byTable = Map.groupBy(found, ({ table }) => table);
    const tables = ALL.map((table) => ({
      table,
      shape: shapeOf(table, byTable.get(table.name) ?? []),
    }));
    return { tables, hasCheckpoints: byTable.has(CHECKPOINTS) };
  }
}

interface Shapes {
  readonly tables: readonly ShapedTable[];
  readonly hasCheckpoints: boolean;
}

async function* leavesIn(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<LeafBatch> {
  for await (const records of splitRecords(chunks, LEAF_BYTES))
    yield { indexes: records.numbers(0), rowHashes: records.bytes(8, SHA256_BYTES) };
}
