import type { Config } from "../config/options.ts";
import { MeshproofError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import { nowNanos } from "../core/time.ts";
import type { FindingLedger } from "../correlate/ledger.ts";
import type { DropLog } from "./drops.ts";
import type { ErasureRequest, ErasureResult } from "./erasure.ts";
import { internalMeta } from "../journal/frame.ts";
import type { Journal } from "../journal/journal.ts";
import { controlSection } from "../records/own-rows.ts";
import { Retention } from "./retention.ts";
import type { Sealer } from "../seal/sealer.ts";
import type { StoreConnection } from "../store-connection.ts";
import { RetentionStore } from "../store/retention.ts";
import { ClickHouseRowSource } from "../store/rows.ts";
import type { StoreWriter } from "../store/writer.ts";
import type { Metrics } from "../telemetry/metrics.ts";

/** The parts of a server that expiry and erasure work on. */
export interface RetentionParts {
  readonly config: Config;
  readonly store: StoreConnection;
  readonly tables: Promise<unknown>;
  readonly logId: string;
  readonly journal: Journal;
  readonly sealer: Sealer;
  readonly writer: StoreWriter;
  readonly release: () => void;
  readonly ledger: FindingLedger;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly now: () => bigint;
}

/** What the server needs of expiry and erasure once they run. */
export interface RunningRetention {
  erase(request: ErasureRequest): Promise<ErasureResult>;
  openErasures(): Promise<readonly number[]>;
  stop(): Promise<void>;
}

/** Starts expiry and makes ready for erasures. On a cluster there is neither: the partitions of its tables are not one server's to drop. */
export function startRetention(parts: RetentionParts): RunningRetention {
  const { config, store, logId, logger, metrics, ledger } = parts;
  const { clickhouse } = config.exporters;
  if (clickhouse.cluster !== "") {
    logger.warn(
      { cluster: clickhouse.cluster },
      "records in tables of a cluster do not expire and cannot be erased by this version: they are kept for ever",
    );
    return new NoRetention();
  }
  const stopping = new AbortController();
  const client = store.client("admin", clickhouse.database);
  const retention = new Retention({
    log: dropLog(parts),
    // Each with a look of its own at the tables: a source remembers what they were like.
    rows: {
      dropRecords: () => new ClickHouseRowSource({ client, logId }).dropRecords(),
      partitionLeaves: (...where) =>
        new ClickHouseRowSource({ client, logId }).partitionLeaves(...where),
      selectedLeaves: (...which) =>
        new ClickHouseRowSource({ client, logId }).selectedLeaves(...which),
    },
    store: new RetentionStore(client, logId, stopping.signal),
    signal: stopping.signal,
    logger,
    tables: parts.tables,
    periods: clickhouse.retention,
    intervalMs: clickhouse.expiry.interval,
    graceMs: clickhouse.expiry.grace,
    dryRun: clickhouse.expiry.dry_run,
    now: parts.now,
    onExpired: (table, rows) => metrics.rowsDropped("expired", table, rows),
    onErased: (table, rows) => metrics.rowsDropped("erased", table, rows),
    onRefused: (subject, reason) =>
      ledger.note({ kind: "expiry_refused", subject, atNs: nowNanos(), reason }),
  });
  retention.start();
  return {
    erase: (request) => retention.erase(request),
    openErasures: () => retention.openErasures(),
    async stop() {
      stopping.abort();
      await retention.stop();
      await client.close();
    },
  };
}

function dropLog({ logId, journal, sealer, writer, release }: RetentionParts): DropLog {
  return {
    progress: () => ({
      next: journal.durableIndex,
      signed: sealer.signedSize,
      published: sealer.publishedSize,
      stored: writer.storedThrough,
      journalFrom: journal.firstIndex,
    }),
    read: (path) => sealer.read(path),
    async seal(records) {
      const sections = [controlSection(logId, records)];
      const meta = internalMeta(nowNanos());
      const { placed, durable } = journal.append({ sections }, meta, { reserve: true });
      await durable;
      return placed.firstIndex;
    },
    turnJournal: () => journal.beginSegment(),
    releaseJournal: release,
  };
}

class NoRetention implements RunningRetention {
  async erase(): Promise<never> {
    throw new MeshproofError(
      "UNAVAILABLE",
      "records in tables of a cluster cannot be erased by this version",
    );
  }

  async openErasures(): Promise<readonly number[]> {
    return [];
  }

  async stop(): Promise<void> {}
}
