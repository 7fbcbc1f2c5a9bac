import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../../src/core/logger.ts";
import { createStoreClient, type StoreClient } from "../../src/store/client.ts";
import type { EngineUser } from "../../src/store/engine-config.ts";
import { findLibrary } from "../../src/store/engine-host.ts";
import { EmbeddedEngine } from "../../src/store/engine.ts";
import { migrate } from "../../src/store/migrations.ts";
import { quoteIdentifier } from "../../src/store/sql.ts";

const MEMORY_BYTES = 1024 ** 3;
const DATABASE = "otel";

interface Test {
  after(fn: () => unknown): void;
}

/** A ClickHouse server for one test file. */
export interface TestServer {
  readonly url: string;
  readonly passwords: Readonly<Record<EngineUser, string>>;
  /** The one database that its users have rights in. */
  readonly database: string;
  /** A client that is closed after the test, in the database or, before that exists, in none. */
  client(t: Test, user: EngineUser, database?: string): StoreClient;
  /** The database with all tables, and its administrator; all is gone after the test. */
  tables(t: Test, retention?: Record<string, number>): Promise<StoreClient>;
  stop(): Promise<void>;
}

/** Why the tests that need a server are skipped; false when there is one. */
export function missing(server: TestServer | undefined): string | false {
  return server === undefined
    ? "no ClickHouse: the optional packages for the embedded server are missing"
    : false;
}

/** The embedded server on free ports; undefined where its optional packages are missing. */
export async function startTestServer(): Promise<TestServer | undefined> {
  try {
    findLibrary();
  } catch {
    return undefined;
  }
  const data = await mkdtemp(join(tmpdir(), "meshproof-store-"));
  const engine = await EmbeddedEngine.start({
    directory: join(data, "clickhouse"),
    secretsDirectory: join(data, "secrets"),
    logFile: join(data, "clickhouse.log"),
    httpPort: 0,
    nativePort: 0,
    database: DATABASE,
    maxServerMemoryBytes: MEMORY_BYTES,
    logger: silentLogger,
  });
  const url = `http://127.0.0.1:${engine.httpPort}`;
  const client = (t: Test, username: EngineUser, database?: string): StoreClient => {
    const made = createStoreClient({
      url,
      username,
      password: engine.passwords[username],
      ...(database === undefined ? {} : { database }),
    });
    t.after(() => made.close());
    return made;
  };
  return {
    url,
    passwords: engine.passwords,
    database: DATABASE,
    client,
    async tables(t, retention = { default: 395 }) {
      const admin = client(t, "admin");
      await migrate(admin, { database: DATABASE, retention, logger: silentLogger });
      t.after(() => admin.command(`DROP DATABASE IF EXISTS ${quoteIdentifier(DATABASE)} SYNC`));
      return client(t, "admin", DATABASE);
    },
    async stop() {
      await engine.stop();
      await rm(data, { recursive: true, force: true });
    },
  };
}
