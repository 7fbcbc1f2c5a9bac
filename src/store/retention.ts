import { setTimeout } from "node:timers/promises";
import { MeshproofError } from "../core/errors.ts";
import type { Run } from "../records/drops.ts";
import type { StoreClient } from "./client.ts";
import { TRACE_TIMES } from "./schema.ts";
import { quoteIdentifier, quoteLiteral } from "./sql.ts";

/** A partition of a table, as ClickHouse tells it. */
export interface Partition {
  readonly id: string;
  /** Retention class, for tables that are partitioned by it; null for those of our own records, by month alone. */
  readonly class: string | null;
  /** Day (yyyymmdd) or month (yyyymm). */
  readonly period: string;
}

/** The rows of one log in a partition. */
export interface PartitionRows {
  readonly count: number;
  readonly first: number;
  readonly last: number;
}

const POLL_MS = 100;
/** Runs in one DELETE: its text stays below the server's bound. */
const RUNS_PER_STATEMENT = 1_000;
/** Parts that were replaced leave the disk at the first look after so long; ClickHouse looks each half minute. The default is 480. */
const OLD_PARTS_SECONDS = 1;

/** A backup or a long query may hold a part; the caller tries again. */
const MAX_WAIT_MS = 300_000;

const PARTITIONS = `SELECT partition_id AS id, any(partition) AS name FROM system.parts
  WHERE database = currentDatabase() AND table = {table:String} AND active GROUP BY id ORDER BY id`;
const MUTATIONS = `SELECT mutation_id AS id, latest_fail_reason AS reason FROM system.mutations
  WHERE database = currentDatabase() AND table = {table:String} AND NOT is_done`;
const OLD_PARTS = `SELECT name FROM system.parts
  WHERE database = currentDatabase() AND table = {table:String} AND NOT active`;

/** Drops rows for good, as the user `admin`. Nothing here asks whether it may: whoever calls has sealed what goes. */
export class RetentionStore {
  readonly #client: StoreClient;
  readonly #logId: string;
  readonly #signal: AbortSignal;

  constructor(client: StoreClient, logId: string, signal: AbortSignal) {
    this.#client = client;
    this.#logId = logId;
    this.#signal = signal;
  }

  /** Partitions of a table whose name can be read. */
  async partitions(table: string): Promise<Partition[]> {
    const rows = await this.#query<{ id: string; name: string }>(PARTITIONS, { table });
    return rows.flatMap(({ id, name }) => {
      const parsed = parsePartition(name);
      return parsed === null || !/^[\w-]+$/.test(id) ? [] : [{ id, ...parsed }];
    });
  }

  /** What the log has in a partition. */
  async rows(table: string, partition: string): Promise<PartitionRows> {
    const [found] = await this.#query<{ rows: string; first: string; last: string }>(
      `SELECT count() AS rows, min(LeafIndex) AS first, max(LeafIndex) AS last FROM ${quoteIdentifier(table)}
       WHERE _partition_id = {partition:String} AND LogId = {log:String}`,
      { partition, log: this.#logId },
    );
    return {
      count: Number(found!.rows),
      first: Number(found!.first),
      last: Number(found!.last),
    };
  }

  /** Leaf indexes of the log's rows in `table` that lie in `runs`: ascending, at most `limit`. */
  async findRuns(table: string, runs: readonly Run[], limit: number): Promise<number[]> {
    const found: number[] = [];
    for (let at = 0; at < runs.length && found.length < limit; at += RUNS_PER_STATEMENT) {
      const { condition, parameters } = within(runs.slice(at, at + RUNS_PER_STATEMENT));
      const left = limit - found.length;
      found.push(...(await this.#find(table, condition, { ...parameters, limit: left })));
    }
    return found;
  }

  /** The same of the access records of a principal: end user, actor or peer. */
  findPrincipal(principal: string, limit: number): Promise<number[]> {
    const condition =
      "(EndUser = {principal:String} OR Actor = {principal:String} OR PeerPrincipal = {principal:String})";
    return this.#find("access_records", condition, { principal, limit });
  }

  async #find(
    table: string,
    condition: string,
    parameters: Readonly<Record<string, string | number>>,
  ): Promise<number[]> {
    const rows = await this.#query<{ i: string }>(
      `SELECT DISTINCT LeafIndex AS i FROM ${quoteIdentifier(table)} WHERE LogId = {log:String} AND ${condition} ORDER BY i LIMIT {limit:UInt64}`,
      { ...parameters, log: this.#logId },
    );
    return rows.map(({ i }) => Number(i));
  }

  /** Drops the log's rows of a partition: the whole partition, unless the table has rows of another log. */
  async dropPartition(
    table: string,
    { id, class: retentionClass, period }: Partition,
  ): Promise<void> {
    const others = await this.#query<object>(
      `SELECT 1 AS one FROM ${quoteIdentifier(table)} WHERE LogId != {log:String} LIMIT 1`,
      { log: this.#logId },
    );
    if (others.length > 0) {
      await this.#delete(
        table,
        `IN PARTITION ID ${quoteLiteral(id)} WHERE LogId = {log:String}`,
        {},
      );
      return;
    }
    await this.#command(
      `ALTER TABLE ${quoteIdentifier(table)} DROP PARTITION ID ${quoteLiteral(id)}`,
    );
    if (table !== "otel_traces" || retentionClass === null) return;
    for (const times of await this.partitions(TRACE_TIMES.name))
      if (times.class === retentionClass && times.period === period)
        await this.#command(
          `ALTER TABLE ${quoteIdentifier(TRACE_TIMES.name)} DROP PARTITION ID ${quoteLiteral(times.id)}`,
        );
  }

  /** Deletes rows of the log, and resolves when the parts that held their bytes are gone from the disk. */
  async deleteRows(table: string, runs: readonly Run[]): Promise<void> {
    const name = quoteIdentifier(table);
    await this.#command(
      `ALTER TABLE ${name} MODIFY SETTING old_parts_lifetime = ${OLD_PARTS_SECONDS}`,
    );
    try {
      for (let at = 0; at < runs.length; at += RUNS_PER_STATEMENT) {
        const { condition, parameters } = within(runs.slice(at, at + RUNS_PER_STATEMENT));
        await this.#delete(table, `WHERE LogId = {log:String} AND ${condition}`, parameters);
      }
      await this.#untilGone(table);
    } finally {
      await this.#command(`ALTER TABLE ${name} RESET SETTING old_parts_lifetime`);
    }
  }

  /** Waits until the parts that were replaced so far are gone from the disk. Merges go on meanwhile and leave others behind. */
  async #untilGone(table: string): Promise<void> {
    const old = async (): Promise<string[]> =>
      (await this.#query<{ name: string }>(OLD_PARTS, { table })).map(({ name }) => name);
    let waiting = new Set(await old());
    for (const deadline = Date.now() + MAX_WAIT_MS; waiting.size > 0;) {
      if (Date.now() > deadline)
        throw new MeshproofError(
          "STORE_FAILED",
          `${table}: ${waiting.size} parts that were replaced are still on the disk`,
        );
      await setTimeout(OLD_PARTS_SECONDS * 1000, undefined, { signal: this.#signal });
      const left = new Set(await old());
      waiting = new Set([...waiting].filter((name) => left.has(name)));
    }
  }

  /** A DELETE that has come to its end. */
  async #delete(
    table: string,
    condition: string,
    parameters: Readonly<Record<string, number>>,
  ): Promise<void> {
    await this.#command(`ALTER TABLE ${quoteIdentifier(table)} DELETE ${condition}`, {
      ...parameters,
      log: this.#logId,
    });
    for (;;) {
      const [left] = await this.#query<{ id: string; reason: string }>(MUTATIONS, { table });
      if (left === undefined) return;
      if (left.reason !== "")
        throw new MeshproofError("STORE_FAILED", `deleting from ${table}: ${left.reason}`);
      await this.#pause();
    }
  }

  #pause(): Promise<void> {
    return setTimeout(POLL_MS, undefined, { signal: this.#signal });
  }

  #query<T>(
    statement: string,
    parameters: Readonly<Record<string, string | number>>,
  ): Promise<T[]> {
    return this.#client.query<T>(statement, parameters, { signal: this.#signal });
  }

  #command(
    statement: string,
    parameters: Readonly<Record<string, string | number>> = {},
  ): Promise<void> {
    return this.#client.command(statement, parameters, { signal: this.#signal });
  }
}

function within(runs: readonly Run[]): {
  readonly condition: string;
  readonly parameters: Readonly<Record<string, number>>;
} {
  const parts = runs.map((_, i) => `LeafIndex BETWEEN {f${i}:UInt64} AND {l${i}:UInt64}`);
  return {
    condition: `(${parts.join(" OR ")})`,
    parameters: Object.fromEntries(
      runs.flatMap(({ first, last }, i) => [
        [`f${i}`, first],
        [`l${i}`, last],
      ]),
    ),
  };
}

/** `('default',202601)` or `202601`; null for what is no partition of ours. */
export function parsePartition(name: string): Omit<Partition, "id"> | null {
  const [, retentionClass = null, period = ""] =
    /^(?:\('([a-z][a-z0-9_-]*)',)?(\d{6}(?:\d\d)?)\)?$/.exec(name) ?? [];
  return period === "" ? null : { class: retentionClass, period };
}
