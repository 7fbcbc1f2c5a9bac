import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/config/load.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { openDataDirectory } from "../../src/cli/data-directory.ts";
import { otherPlaces } from "../../src/kept-rows.ts";
import { EmbeddedEngine } from "../../src/store/engine.ts";
import { createStoreClient } from "../../src/store/client.ts";
import { ClickHouseRowSource } from "../../src/store/rows.ts";
import { engineDirectories } from "../../src/store-connection.ts";
import { verify, type VerifyOptions } from "../../src/verify/verify.ts";
import { ServerProcess } from "../support/server-process.ts";
import { applicationBody, envoyBody, spanBody } from "../support/traffic.ts";
import { thousands } from "./decode.bench.ts";
import { printTable } from "./measure.ts";

/**
 * `meshproof verify` over real rows: a server seals and stores a third each of logs, access records and spans, then stops; its tables are read
 * by an embedded ClickHouse that changes nothing, as the command does without a server.
 */

const REQUESTS = 420;
const RECORDS = 1000;
const CONNECTIONS = 4;
const RUNS = 5;
const MS_PER_TICK = 10; // getconf CLK_TCK is 100 on Linux

const MODES: readonly (readonly [name: string, options: Partial<VerifyOptions>])[] = [
  ["rows hashed in ClickHouse", {}],
  ["--distrust-store", { distrustStore: true }],
  ["--log-only", { rows: null }],
];

async function fill(directory: string): Promise<ServerProcess> {
  const server = await ServerProcess.start(directory);
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const bodyOf = [applicationBody, envoyBody, spanBody] as const;
  let next = 0;
  const run = async (): Promise<void> => {
    while (next < REQUESTS) {
      const n = next++;
      const body = bodyOf[n % 3]!(RECORDS, n * RECORDS);
      await send(server.otlp(n % 3 === 2 ? "traces" : "logs"), agent, body);
    }
  };
  try {
    await Promise.all(Array.from({ length: CONNECTIONS }, run));
  } finally {
    agent.destroy();
    await server.stop();
  }
  return server;
}

function send(url: string, agent: Agent, body: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = {
      "content-type": "application/x-protobuf",
      "content-length": body.length,
    };
    request(url, { method: "POST", agent, headers }, (response) => {
      response
        .resume()
        .on("end", () =>
          response.statusCode === 200
            ? resolve()
            : reject(new Error(`status ${response.statusCode}`)),
        );
    })
      .on("error", reject)
      .end(body);
  });
}

/** CPU milliseconds of another process. */
function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK;
}

export async function benchVerify(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "meshproof-bench-"));
  try {
    const server = await fill(directory);
    const config = loadConfig([server.configFile], {});
    const { database } = config.exporters.clickhouse;
    // Its own, so that its process ID is known.
    const engine = await EmbeddedEngine.start({
      ...engineDirectories(server.dataDirectory),
      httpPort: 0,
      nativePort: 0,
      database,
      maxServerMemoryBytes: config.exporters.clickhouse.embedded.max_memory,
      readOnly: true,
      logger: silentLogger,
    });
    const client = createStoreClient({
      url: `http://127.0.0.1:${engine.httpPort}`,
      username: "writer",
      password: engine.passwords.writer,
      database,
      requestTimeoutMs: config.exporters.clickhouse.timeout,
    });
    try {
      const { log, key, logId, path, origin } = await openDataDirectory(config, { store: false });
      const lines: string[][] = [];
      for (const [name, options] of MODES) {
        const runs: { rate: number; node: number; clickhouse: number; rows: number }[] = [];
        for (let i = 0; i < RUNS; i++) {
          const cpu = process.cpuUsage();
          const before = cpuOf(engine.pid!);
          const started = performance.now();
          const { integrity, treeSize } = await verify({
            log,
            rows: new ClickHouseRowSource({ client, logId }),
            origin,
            keys: [key],
            places: otherPlaces(path, logId),
            isSoleLog: true,
            ...options,
          });
          const ms = performance.now() - started;
          if (integrity !== "ok") throw new Error("the log does not verify");
          const { user, system } = process.cpuUsage(cpu);
          runs.push({
            rows: treeSize,
            rate: (treeSize * 1000) / ms,
            node: (user + system) / treeSize,
            clickhouse: ((cpuOf(engine.pid!) - before) * 1000) / treeSize,
          });
        }
        const { rows, rate, node, clickhouse } = runs.toSorted((a, b) => a.rate - b.rate)[
          Math.floor(RUNS / 2)
        ]!;
        const best = Math.max(...runs.map((run) => run.rate));
        lines.push([
          name,
          thousands(rows),
          thousands(rate),
          thousands(best),
          node.toFixed(2),
          clickhouse.toFixed(2),
        ]);
      }
      printTable(
        "verify: a third each of logs, access records and spans; median of five runs, budget 300 k rows/s",
        ["mode", "rows", "rows/s", "best", "µs Node a row", "µs ClickHouse a row"],
        lines,
      );
    } finally {
      await client.close();
      await engine.stop();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
