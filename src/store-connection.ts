import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { Config } from "./config/options.ts";
import { retentionDays } from "./config/values.ts";
import { MeshproofError } from "./core/errors.ts";
import type { Logger } from "./core/logger.ts";
import { createStoreClient, type StoreClient, type StoreClientOptions } from "./store/client.ts";
import { EmbeddedEngine } from "./store/engine.ts";
import { migrate } from "./store/migrations.ts";

type ClickHouseConfig = Config["exporters"]["clickhouse"];

/** A ClickHouse, embedded or remote, and how its users reach it. */
export interface StoreConnection {
  readonly engine: EmbeddedEngine | null;
  readonly url: string;
  /** A client of one of the users; whoever asks for it closes it. */
  client(user: "writer" | "admin" | "reader", database?: string): StoreClient;
  close(): Promise<void>;
}

/** Where the embedded server and its users' passwords live below the data directory. */
export function engineDirectories(dataDirectory: string): {
  readonly directory: string;
  readonly secretsDirectory: string;
  readonly logFile: string;
} {
  return {
    directory: join(dataDirectory, "clickhouse"),
    secretsDirectory: join(dataDirectory, "secrets"),
    logFile: join(dataDirectory, "clickhouse.log"),
  };
}

/** Starts the embedded server, with `readOnly` one that changes nothing, or makes ready to reach the remote one. Throws: ENGINE_FAILED, DIRECTORY_LOCKED, CONFIG_INVALID. */
export async function openStore(
  config: ClickHouseConfig,
  dataDirectory: string,
  logger: Logger,
  { readOnly = false }: { readonly readOnly?: boolean } = {},
): Promise<StoreConnection> {
  if (config.endpoint !== "embedded") return remoteStore(config);
  const engine = await EmbeddedEngine.start({
    ...engineDirectories(dataDirectory),
    httpPort: config.embedded.http_port,
    nativePort: config.embedded.native_port,
    database: config.database,
    guests: config.embedded.guests,
    maxServerMemoryBytes: config.embedded.max_memory,
    readOnly,
    logger,
    onExit: ({ pid, code, signal }) =>
      logger.error(
        { pid, code, signal },
        "the embedded ClickHouse server ended; it is started again",
      ),
  });
  return localStore(
    `http://127.0.0.1:${engine.httpPort}`,
    (user) => engine.passwords[user],
    engine,
    config,
  );
}

/** The embedded server of another process that runs now: `verify` beside a running server. */
export function localStore(
  url: string,
  passwordOf: (user: "writer" | "admin" | "reader") => string,
  engine: EmbeddedEngine | null,
  config: ClickHouseConfig,
): StoreConnection {
  return {
    engine,
    url,
    client: (user, database) =>
      createStoreClient({
        url,
        username: user,
        password: passwordOf(user),
        requestTimeoutMs: config.timeout,
        ...(database === undefined ? {} : { database }),
      }),
    close: async () => engine?.stop(),
  };
}

function remoteStore(config: ClickHouseConfig): StoreConnection {
  const tls = config.tls === undefined ? undefined : readTls(config.tls);
  return {
    engine: null,
    url: config.endpoint,
    client: (user, database) => {
      const { username, password, password_file: file } = user === "writer" ? config : config[user];
      const options: StoreClientOptions = {
        url: config.endpoint,
        username,
        password: file === "" ? password : readSecret(file),
        requestTimeoutMs: config.timeout,
        ...(tls === undefined ? {} : { tls }),
        ...(database === undefined ? {} : { database }),
      };
      return createStoreClient(options);
    },
    close: async () => {},
  };
}

function readTls({
  ca_file: ca,
  cert_file: cert,
  key_file: key,
}: NonNullable<ClickHouseConfig["tls"]>): NonNullable<StoreClientOptions["tls"]> {
  return {
    ...(ca === "" ? {} : { ca: readNamed(ca) }),
    ...(cert === "" ? {} : { cert: readNamed(cert) }),
    ...(key === "" ? {} : { key: readNamed(key) }),
  };
}

/** The first line of a password file. */
export function readSecret(path: string): string {
  return readNamed(path).toString("utf8").split(/\r?\n/, 1)[0]!;
}

/** A file that the configuration names. Throws: CONFIG_INVALID. */
export function readNamed(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new MeshproofError(
      "CONFIG_INVALID",
      `${path}: expected a file that can be read: ${(cause as Error).message}`,
      { cause },
    );
  }
}

const RETRY_MS = 2_000;

/**
 * Brings the tables to this version. The embedded server has to be there; a remote one that does not answer is tried again until it does,
 * while records gather in the journal.
 * Returns: a promise that resolves when the tables stand, for the remote case only when `signal` is not aborted before.
 * Throws: SCHEMA_MISMATCH; STORE_FAILED from the embedded server.
 */
export async function prepareTables(
  store: StoreConnection,
  config: ClickHouseConfig,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  if (!config.create_schema) return;
  const retention = Object.fromEntries(
    Object.entries(config.retention).map(([name, period]) => [name, retentionDays(period)]),
  );
  const schema = {
    database: config.database,
    retention,
    ...(config.cluster === "" ? {} : { cluster: config.cluster }),
    logger,
  };
  const admin = store.client("admin");
  let told = "";
  try {
    for (;;) {
      try {
        await migrate(admin, schema);
        return;
      } catch (error) {
        const isRetryable =
          error instanceof MeshproofError && error.code === "STORE_FAILED" && store.engine === null;
        if (!isRetryable) throw error;
        // What it says when it has come up may be another matter than that it was not there.
        if (error.message !== told)
          logger.warn(
            { url: store.url, err: error },
            "ClickHouse does not take the tables yet; records wait in the journal until it does",
          );
        told = error.message;
        await setTimeout(RETRY_MS, undefined, { signal });
      }
    }
  } finally {
    await admin.close();
  }
}
