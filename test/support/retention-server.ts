import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { Test } from "tap";
import { loadConfig } from "../../src/config/load.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { nowNanos } from "../../src/core/time.ts";
import { type RunningServer, startServer } from "../../src/server.ts";
import { createStoreClient, type StoreClient } from "../../src/store/client.ts";
import { RetentionStore } from "../../src/store/retention.ts";
import { readStoredThrough } from "../../src/store/stored-mark.ts";
import type { Report } from "../../src/verify/report.ts";
import { runCommand } from "./command.ts";
import { oneScope, writeLogs, writeTraces } from "./otlp-writer.ts";
import { send } from "./senders.ts";
import { envoyLog, spanInput } from "./traffic.ts";

export const SYNC = { settings: { mutations_sync: 1 } };
export const TABLES = ["access_records", "otel_traces", "otel_logs"];
const NS_PER_DAY = 86_400_000_000_000n;

/** A server in this process whose expiry goes by a clock of the test's own. */
export class RetentionServer {
  days = 0n;
  readonly #directory: string;
  readonly #t: Test;
  #server: RunningServer | undefined;

  constructor(t: Test, directory: string) {
    this.#t = t;
    this.#directory = directory;
    mkdirSync(directory, { recursive: true });
    t.teardown(() => this.stop());
  }

  get files(): string[] {
    return [join(this.#directory, "test.yaml")];
  }

  async start(extra = ""): Promise<void> {
    writeFileSync(
      this.files[0]!,
      `receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
processors:
  correlate: { window: 100ms }
  seal: { checkpoint_interval: 50ms }
  retention: { rules: [{ class: short, namespace: shop }] }
exporters:
  clickhouse:
    embedded: { http_port: 0, native_port: 0 }
    batch: { timeout: 20ms }
    retention: { default: 13 months, short: 7 days }
    expiry: { interval: 1s${extra.includes("grace") ? "" : ", grace: 0s"}${extra} }
extensions: { health_check: { endpoint: "127.0.0.1:0" }, api: { endpoint: "127.0.0.1:0" } }
storage: { directory: ${JSON.stringify(join(this.#directory, "data"))} }
service: { telemetry: { metrics: { address: "127.0.0.1:0" } } }
`,
    );
    this.#server = await startServer(loadConfig(this.files, {}), {
      logger: silentLogger,
      now: () => nowNanos() + this.days * NS_PER_DAY,
    });
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await server?.stop();
  }

  get ports(): RunningServer["ports"] {
    return this.#server!.ports;
  }

  admin(): StoreClient {
    const client = createStoreClient({
      url: `http://127.0.0.1:${this.ports.clickhouseHttp}`,
      username: "admin",
      password: readFileSync(
        join(this.#directory, "data", "secrets", "clickhouse-admin"),
        "utf8",
      ).trim(),
      database: "otel",
    });
    this.#t.teardown(() => client.close());
    return client;
  }

  async query<T>(statement: string): Promise<T[]> {
    const client = this.admin();
    const rows = await client.query<T>(statement);
    await client.close();
    return rows;
  }

  async count(table: string, where = "1"): Promise<number> {
    const [row] = await this.query<{ rows: string }>(
      `SELECT count() AS rows FROM ${table} WHERE ${where}`,
    );
    return Number(row!.rows);
  }

  /** Waits until rows are no longer looked for in the journal, whatever index they have now. */
  async untilMarked(): Promise<void> {
    const [row] = await this.query<{ i: string }>(
      `SELECT max(i) AS i FROM (${TABLES.map((table) => `SELECT max(LeafIndex) AS i FROM ${table}`).join(" UNION ALL ")})`,
    );
    await until(() => readStoredThrough(join(this.#directory, "data")) > Number(row!.i));
  }

  /** Waits until a table has so many rows. */
  async until(expected: number, table: string, where = "1"): Promise<void> {
    for (let tries = 0; (await this.count(table, where)) !== expected; tries++) {
      if (tries > 300)
        throw new Error(`${table} ${where}: ${await this.count(table, where)}, not ${expected}`);
      await setTimeout(100);
    }
  }

  async send(namespace: string, count: number): Promise<void> {
    const resource = [
      ["k8s.namespace.name", namespace],
      ["service.name", "cart"],
    ] as const;
    const at = ++sent * 1000;
    const logs = Array.from({ length: count }, (_, i) => envoyLog(at + i));
    const plain = Array.from({ length: count }, (_, i) => ({ body: `log ${at + i}` }));
    const spans = Array.from({ length: count }, (_, i) => spanInput(at + i));
    const url = `http://127.0.0.1:${this.ports.otlp}/v1`;
    for (const [path, body] of [
      ["logs", writeLogs(oneScope([...logs, ...plain], resource))],
      ["traces", writeTraces(oneScope(spans, resource))],
    ] as const)
      this.#t.equal((await send(`${url}/${path}`, body)).status, 200);
  }

  async verify(...args: string[]): Promise<{ code: number | null; report: Report }> {
    const { code, stdout, stderr } = await runCommand(
      "verify",
      "--json",
      ...args,
      ...this.files.flatMap((file) => ["--config", file]),
    );
    if (stdout === "") throw new Error(stderr);
    return { code, report: JSON.parse(stdout) as Report };
  }
}
let sent = 0;

const detailOf = `mapFilter((k, v) -> k IN ('table', 'count', 'class', 'leaves', 'records', 'reason'), Detail)`;

/** Control records about drops, in the order of the log. */
export async function dropRecords(
  server: RetentionServer,
): Promise<{ kind: string; detail: Detail }[]> {
  return server.query(
    `SELECT ControlKind AS kind, ${detailOf} AS detail FROM control_records
     WHERE ControlKind IN ('expired', 'expiry_finished', 'erased', 'erasure_finished') ORDER BY LeafIndex`,
  );
}
export type Detail = Record<string, string>;

/** Makes a step of every drop in this process end in `what`, until it is put back. */
export function breakStep(
  t: Test,
  step: "dropPartition" | "deleteRows",
  what: "before" | "after",
): { readonly broken: number; mend(): void } {
  const store = RetentionStore.prototype;
  const whole = store[step] as (...args: never[]) => Promise<void>;
  const state = { broken: 0, mend: () => void Object.assign(store, { [step]: whole }) };
  t.teardown(state.mend);
  Object.assign(store, {
    async [step](this: RetentionStore, ...args: never[]) {
      if (what === "after") await whole.apply(this, args);
      state.broken++;
      throw new Error(`the process dies ${what} ${step}`);
    },
  });
  return state;
}

/** Waits until something holds. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await holds()); tries++) {
    if (tries > 1200) throw new Error(`not within two minutes: ${holds}`);
    await setTimeout(100);
  }
}

/** Kinds of faults, each once. */
export const faultsOf = ({ faults }: Report): string[] => [
  ...new Set(faults.map(({ fault }) => fault)),
];
