import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/options.ts";
import { MeshproofError } from "../core/errors.ts";
import { silentLogger } from "../core/logger.ts";
import { type DirectoryLock, lockDirectory } from "../seal/lock.ts";
import { localStore, openStore, readSecret, type StoreConnection } from "../store-connection.ts";
import type { StoreClient } from "../store/client.ts";
import type { LogVerifierKey } from "../tlog/checkpoint.ts";
import { parseVerifierKey, type VerifierKey } from "../tlog/note.ts";
import { DirectoryLogReader, type LogReader } from "../verify/log-reader.ts";
import { readFormerKeys, readLastSigned, readOwnKeys, signedLog } from "./own-log.ts";

/** Beside a running server the newest rows may still be on their way to the store or to a checkpoint. */
export const SETTLE_MS = 15_000;

/** The log and the store of a data directory, for commands that read them beside a running server or without one. */
export interface DataDirectory {
  readonly path: string;
  readonly log: DirectoryLogReader;
  readonly logId: string;
  readonly origin: string;
  /** The same log up to the newest signed checkpoint, which may wait for witnesses to be published. */
  readonly signedLog: LogReader;
  /** The checkpoint that the commit record holds, where what was published stands not behind it: no server runs, and the last one stopped cleanly. */
  readonly lastSigned: string | null;
  /** The verifier key to trust. */
  readonly key: VerifierKey;
  /** The keys to trust: `key`, and beside it the one that it replaces, while both sign. */
  readonly keys: readonly VerifierKey[];
  /** Keys that signed before, for checkpoints of their time. */
  readonly formerKeys: readonly LogVerifierKey[];
  /** The store, as the writer reads it; null when it was not asked for. */
  readonly client: StoreClient | null;
  /** A server has the directory open. */
  readonly isServed: boolean;
  /** A server had it open, and ended without a clean stop: its journal may hold what is nowhere else. */
  readonly wasKilled: boolean;
  /** Closes the store. From then on a server may start. */
  close(): Promise<void>;
}

export interface DataDirectoryOptions {
  /** Verifier key to trust; without it, that of the key file beside the log. */
  readonly key?: string | undefined;
  /** Is the store needed? */
  readonly store: boolean;
}

/**
 * The data directory that the configuration names. With `store`, an embedded ClickHouse that nobody runs is started for this.
 * Throws: CONFIG_INVALID where there is no log; KEY_INVALID, LOG_INCONSISTENT; ENGINE_FAILED.
 */
export async function openDataDirectory(
  config: Config,
  options: DataDirectoryOptions,
): Promise<DataDirectory> {
  const { directory: path } = config.storage;
  const { origin, witnesses } = config.processors.seal;
  const logDirectory = join(path, "log");
  if (!existsSync(logDirectory)) {
    throw new MeshproofError(
      "CONFIG_INVALID",
      `${logDirectory}: expected the log of a meshproof server, found nothing; name its configuration with --config`,
    );
  }
  const keys =
    options.key === undefined ? await readOwnKeys(config) : [parseVerifierKey(options.key)];
  const formerKeys = await readFormerKeys(path, keys);
  const logId = readLogId(path);
  const server = options.store ? findServer(path) : NO_SERVER;
  let store: StoreConnection | undefined;
  try {
    store = options.store ? await reachStore(config, server.running) : undefined;
  } catch (error) {
    server.release();
    throw error;
  }
  const log = new DirectoryLogReader(logDirectory);
  const client = store?.client("writer", config.exporters.clickhouse.database) ?? null;
  return {
    path,
    log,
    // Without witnesses nothing that is signed waits: then a checkpoint that stands back was put there.
    signedLog: witnesses === undefined ? log : signedLog(log, path),
    logId,
    origin,
    lastSigned:
      store === undefined || server.running !== null || server.wasKilled
        ? null
        : await readLastSigned(path),
    key: keys[0]!,
    keys,
    formerKeys,
    client,
    isServed: server.running !== null,
    wasKilled: server.wasKilled,
    async close() {
      await client?.close();
      await store?.close();
      server.release();
    },
  };
}

interface RunningPorts {
  readonly clickhouseHttp: number | null;
}

interface FoundServer {
  /** The ports of the server that runs on the data directory. */
  readonly running: RunningPorts | null;
  /** It ran, and ended without a clean stop. */
  readonly wasKilled: boolean;
  /** From now on a server may start. */
  release(): void;
}

const NO_SERVER: FoundServer = { running: null, wasKilled: false, release() {} };

/** Does a server run on this data directory? When none does, none can start until `release`: the journal and the embedded store are ours that long. */
function findServer(directory: string): FoundServer {
  const path = join(directory, "ports.json");
  let lock: DirectoryLock;
  try {
    lock = lockDirectory(directory);
  } catch {
    if (!existsSync(path)) return NO_SERVER; // it starts or stops, or this is a copy that nobody may write to
    return {
      running: JSON.parse(readFileSync(path, "utf8")) as RunningPorts,
      wasKilled: false,
      release() {},
    };
  }
  return { running: null, wasKilled: existsSync(path), release: () => lock.release() };
}

/** The store that the configuration names: a remote one, the running server's, or an embedded one started for this. */
async function reachStore(config: Config, running: RunningPorts | null): Promise<StoreConnection> {
  const { clickhouse } = config.exporters;
  const { directory } = config.storage;
  if (clickhouse.endpoint === "embedded" && running?.clickhouseHttp != null) {
    const passwordOf = (user: string): string =>
      readSecret(join(directory, "secrets", `clickhouse-${user}`));
    return localStore(`http://127.0.0.1:${running.clickhouseHttp}`, passwordOf, null, clickhouse);
  }
  const embedded = { ...clickhouse.embedded, http_port: 0, native_port: 0 };
  return openStore({ ...clickhouse, embedded }, directory, silentLogger, { readOnly: true });
}

function readLogId(directory: string): string {
  const path = join(directory, "state", "log-id");
  if (!existsSync(path))
    throw new MeshproofError("LOG_INCONSISTENT", `${path}: expected the log's ID, found no file`);
  return readFileSync(path, "utf8").trim();
}
