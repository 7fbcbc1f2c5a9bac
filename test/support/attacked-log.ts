import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Test } from "tap";
import type { Config } from "../../src/config/options.ts";
import { silentLogger } from "../../src/core/logger.ts";
import type { RowSource } from "../../src/core/verification.ts";
import { otherPlaces } from "../../src/kept-rows.ts";
import { TABLES } from "../../src/records/columns.ts";
import { openStore, type StoreConnection } from "../../src/store-connection.ts";
import type { StoreClient } from "../../src/store/client.ts";
import { ClickHouseRowSource } from "../../src/store/rows.ts";
import type { VerifierKey } from "../../src/tlog/note.ts";
import { DirectoryLogReader } from "../../src/verify/log-reader.ts";
import type { FaultKind, Report } from "../../src/verify/report.ts";
import { verify, type VerifyOptions } from "../../src/verify/verify.ts";

/** A fault as it is compared: which, of which record, in which table. */
export type NamedFault = readonly [
  fault: FaultKind,
  leafIndex: number | null,
  table: string | null,
];

export const TABLE_NAMES = [...Object.values(TABLES).map(({ name }) => name), "checkpoints"];

/** Both ways to hash rows: in ClickHouse, and here. */
export const MODES: readonly Partial<VerifyOptions>[] = [{}, { distrustStore: true }];

/**
 * The data directory of a server that has ended, with its ClickHouse in the hands of an attacker: everything may be changed by SQL and in files,
 * and put back from copies that the attacker does not know of.
 */
export class AttackedLog {
  readonly data: string;
  readonly key: VerifierKey;
  /** Ask for silences, too: slow, and of no matter to most attacks. */
  asksTimes = true;
  readonly #origin: string;
  readonly #store: StoreConnection;
  readonly #admin: StoreClient;
  readonly #writer: StoreClient;

  private constructor(config: Config, key: VerifierKey, store: StoreConnection) {
    const { database } = config.exporters.clickhouse;
    this.data = config.storage.directory;
    this.key = key;
    this.#origin = config.processors.seal.origin;
    this.#store = store;
    this.#admin = store.client("admin", database);
    this.#writer = store.client("writer", database);
  }

  /** Starts the ClickHouse of a data directory. */
  static async open(config: Config, key: VerifierKey): Promise<AttackedLog> {
    const { clickhouse } = config.exporters;
    return new AttackedLog(
      config,
      key,
      await openStore(clickhouse, config.storage.directory, silentLogger),
    );
  }

  /** Keeps a copy of every table, from which `put` takes. */
  async keep(): Promise<void> {
    for (const name of TABLE_NAMES) {
      await this.sql(`CREATE TABLE kept_${name} AS ${name}`);
      await this.sql(`INSERT INTO kept_${name} SELECT * FROM ${name}`);
    }
  }

  /** Runs statements with every right that there is, one after the other. */
  async sql(...statements: readonly string[]): Promise<void> {
    for (const statement of statements)
      await this.#admin.command(
        statement,
        {},
        {
          settings: {
            mutations_sync: 2,
            insert_deduplicate: 0,
            async_insert: 0,
          },
        },
      );
  }

  query<T>(statement: string): Promise<T[]> {
    return this.#admin.query<T>(statement);
  }

  /** Leaf indexes of the rows of a table, ascending. */
  async indexes(table: string, where = "1"): Promise<number[]> {
    return this.indexesOf(
      `SELECT LeafIndex AS leaf FROM kept_${table} WHERE ${where} ORDER BY leaf`,
    );
  }

  /** The numbers that a statement gives in its column `leaf`. */
  async indexesOf(statement: string): Promise<number[]> {
    return (await this.query<{ leaf: string }>(statement)).map(({ leaf }) => Number(leaf));
  }

  /** Makes tables anew as they were. */
  async restore(...tables: readonly string[]): Promise<void> {
    for (const table of tables) await this.put(table, `SELECT * FROM kept_${table}`);
  }

  /** Makes a table anew, with the rows that `select` gives. */
  async put(table: string, select: string): Promise<void> {
    await this.sql(
      `DROP TABLE IF EXISTS ${table} SYNC`,
      `CREATE TABLE ${table} AS kept_${table}`,
      `INSERT INTO ${table} ${select}`,
    );
  }

  /** The rows, as verification asks for them. */
  rows(logId = this.#logId()): RowSource {
    const rows = new ClickHouseRowSource({ client: this.#writer, logId });
    if (!this.asksTimes)
      rows.timeline = async () => ({
        newestNs: null,
        silences: [],
        silenceCount: 0,
        uncleanStops: 0,
      });
    return rows;
  }

  #logId(): string {
    return readFileSync(join(this.data, "state/log-id"), "utf8").trim();
  }

  /** What verification says. */
  verify(options: Partial<VerifyOptions> = {}): Promise<Report> {
    const logId = this.#logId();
    return verify({
      log: new DirectoryLogReader(join(this.data, "log")),
      rows: this.rows(logId),
      origin: this.#origin,
      keys: [this.key],
      logId,
      isSoleLog: true,
      places: otherPlaces(this.data, logId),
      ...options,
    });
  }

  /** Verification names these faults and no others, wherever the rows are hashed. */
  async finds(
    t: Test,
    expected: readonly NamedFault[],
    what: string,
    options: Partial<VerifyOptions> = {},
    modes = MODES,
  ): Promise<void> {
    for (const mode of modes) {
      const report = await this.verify({ ...mode, ...options });
      const found = namedFaults(report);
      const where = mode.distrustStore === true ? "hashed here" : "hashed in ClickHouse";
      t.strictSame(found, expected.map(String).toSorted(), `${what}, ${where}`);
      t.equal(report.integrity, expected.length === 0 ? "ok" : "broken");
    }
  }

  async close(): Promise<void> {
    await this.#admin.close();
    await this.#writer.close();
    await this.#store.close();
  }
}

/** The faults of a report in one order, as text. */
export function namedFaults({ faults }: Report): string[] {
  return faults.map(({ fault, leafIndex, table }) => String([fault, leafIndex, table])).toSorted();
}
