import type { Kind } from "../../../src/core/kinds.ts";
import { SHA256_BYTES, sha256Into } from "../../../src/core/sha256.ts";
import type { LeafBatch, RowSource } from "../../../src/core/verification.ts";
import { TABLES, type Table } from "../../../src/records/columns.ts";
import { placedRows } from "../../../src/records/row-json.ts";
import type { RowStore } from "../../../src/store/table-insert.ts";
import { type Life, Stopped } from "./life.ts";

export interface StoredRow {
  readonly index: number;
  readonly row: Uint8Array;
  readonly record: Readonly<Record<string, unknown>>;
}

/**
 * ClickHouse as the durable path meets it, in memory: a server of its own that goes on when meshproof dies. An INSERT may have happened though nobody
 * was told, or in one partition alone; it may outlive its connection; and rows under a used deduplication token vanish without an error.
 */
export class Warehouse {
  readonly tables = new Map<string, StoredRow[]>(
    Object.values(TABLES).map(({ name }) => [name, []]),
  );
  /** Turns of the event loop that an INSERT takes. */
  insertTurns = 1;
  readonly #tokens = new Set<string>();
  /** INSERTs whose client has died, and that are still running. */
  readonly #running: (() => void)[] = [];

  /** The rows of all tables. */
  get rows(): StoredRow[] {
    return [...this.tables.values()].flat();
  }

  /** How one life of the process reaches it. */
  client(life: Life): RowStore {
    const answer = async (): Promise<void> => {
      await new Promise((turn) => setImmediate(turn));
      life.checkAlive();
    };
    return {
      insert: async (table, chunks, { token }) => {
        for (let turn = 0; turn < this.insertTurns; turn++) await answer();
        const rows = placedRows(table.kind, Buffer.concat(chunks)).map(stored);
        const store = (): void => this.#insert(table, rows, token);
        try {
          life.perform("insert", table.name, store, () => {
            this.tables.get(table.name)!.push(...rows.filter((_, i) => i % 2 === 0));
          });
        } catch (error) {
          if (
            error instanceof Stopped &&
            life.stoppedAt?.fate === "before" &&
            life.operations % 2 === 0
          )
            this.#running.push(store);
          throw error;
        }
      },
      presentIndexes: async (table, from, to) => {
        await answer();
        const indexes = this.tables.get(table.name)!.map(({ index }) => index);
        const asked = indexes.filter((index) => index >= from && index <= to);
        return BigUint64Array.from(
          [...new Set(asked)].toSorted((a, b) => a - b),
          BigInt,
        );
      },
      settled: async () => {
        await answer();
        for (const insert of this.#running.splice(0)) insert();
      },
      tableMatches: async () => true,
    };
  }

  #insert({ name }: Table, rows: readonly StoredRow[], token: string): void {
    if (this.#tokens.has(token)) return;
    this.#tokens.add(token);
    this.tables.get(name)!.push(...rows);
  }

  /** The rows as `verify` reads them. */
  source(): RowSource {
    const between = (table: string, from: number, to: number): StoredRow[] =>
      this.tables.get(table)!.filter(({ index }) => from <= index && index < to);
    return {
      tables: Object.values(TABLES).map(({ name: table, kind }) => ({ table, kind: kind as Kind })),
      async *leaves(table, from, to) {
        yield hashed(between(table, from, to));
      },
      async *newest(table, from) {
        yield hashed(between(table, from, Infinity));
      },
      async *rowBytes(table, from, to) {
        const rows = between(table, from, to);
        yield { indexes: indexesOf(rows), rows: rows.map(({ row }) => row) };
      },
      checkpoints: async () => [],
      strangers: async () => [],
      alterations: async () => [],
      timeline: async () => ({ newestNs: null, silences: [], silenceCount: 0, uncleanStops: 0 }),
      findings: async () => ({}),
      close: async () => {},
    };
  }
}

function stored({ leafIndex, row, record }: ReturnType<typeof placedRows>[number]): StoredRow {
  return { index: Number(leafIndex), row, record };
}

function indexesOf(rows: readonly StoredRow[]): BigUint64Array {
  return BigUint64Array.from(rows, ({ index }) => BigInt(index));
}

function hashed(rows: readonly StoredRow[]): LeafBatch {
  return { indexes: indexesOf(rows), rowHashes: Buffer.concat(rows.map(({ row }) => hashOf(row))) };
}

export function hashOf(row: Uint8Array): Buffer {
  const hash = Buffer.alloc(SHA256_BYTES);
  sha256Into(row, hash, 0);
  return hash;
}
