import { spawn, type ChildProcess } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { freePorts } from "../../src/store/engine-host.ts";
import { cacheDirectory } from "../interop/cache.ts";
import { Children } from "../interop/child.ts";
import { GoModules } from "../interop/go.ts";
import { LaneSkipped } from "../interop/lane.ts";
import { whyMissing } from "../interop/needs.ts";
import { ServerProcess } from "../support/server-process.ts";
import { applicationBody } from "../support/traffic.ts";
import { thousands } from "./decode.bench.ts";
import { endLoad, send, sendPaced, useOf, waitForRows } from "./load.ts";
import { median, percentile, printTable } from "./measure.ts";

/**
 * The OpenTelemetry Collector with its ClickHouse exporter, and meshproof, in turns: the same bodies at the same pace into the same ClickHouse server.
 * CPU and memory are those of each process alone. What the two promise differs, and the table says so.
 */

const RECORDS = 1000;
const REQUESTS = 200;
const PACE_MS = 50;
const WARM_REQUESTS = 40;
/** Both run that often, one after the other; medians are printed. */
const ROUNDS = 5;
/** The journal's second and the exporter's batch are over. */
const SETTLE_MS = 1_500;
const TABLE = "peer_logs";

/** A process that takes OTLP, and the table that it writes to. */
interface Peer {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  readonly table: string;
}

interface Round {
  readonly cpuUs: number;
  readonly rssBytes: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export async function benchPeer(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "meshproof-bench-"));
  const children = new Children(new AbortController().signal);
  let server: ServerProcess | undefined;
  let collector: ChildProcess | undefined;
  try {
    const missing = await whyMissing("go", children);
    if (missing !== null) throw new LaneSkipped(missing);
    console.log("\nbuilding the Collector (minutes, the first time)");
    const go = await GoModules.open({ directory, cache: cacheDirectory(), children });
    const program = await go.build("collector");
    server = await ServerProcess.start(directory);
    const started = await startCollector(program, directory, server);
    collector = started.child;
    await compare(server, [
      { name: "meshproof", url: server.otlp("logs"), pid: server.pid, table: "otel_logs" },
      { name: "Collector", url: started.url, pid: collector.pid!, table: TABLE },
    ]);
  } catch (error) {
    if (!(error instanceof LaneSkipped)) throw error;
    console.log(`\nThe comparison with the Collector was skipped: ${error.message}`);
  } finally {
    endLoad();
    collector?.kill();
    await server?.stop();
    await children.endAll();
    await rm(directory, { recursive: true, force: true });
  }
}

async function startCollector(
  program: string,
  directory: string,
  server: ServerProcess,
): Promise<{ readonly child: ChildProcess; readonly url: string }> {
  const [port] = await freePorts("127.0.0.1", [0]);
  const password = readFileSync(join(server.dataDirectory, "secrets", "clickhouse-admin"), "utf8");
  const configuration = {
    receivers: {
      otlp: {
        protocols: {
          http: { endpoint: `127.0.0.1:${port}`, max_request_body_size: 64 * 1024 * 1024 },
        },
      },
    },
    // As the exporter's documentation has it: large batches, a short wait.
    processors: { batch: { send_batch_size: 10_000, timeout: "500ms" } },
    exporters: {
      clickhouse: {
        endpoint: `tcp://127.0.0.1:${server.ports.clickhouseNative}?dial_timeout=10s`,
        username: "admin",
        password: password.trim(),
        database: "otel",
        logs_table_name: TABLE,
        create_schema: true,
        async_insert: false,
      },
    },
    service: {
      telemetry: { metrics: { level: "none" }, logs: { level: "warn" } },
      pipelines: {
        logs: { receivers: ["otlp"], processors: ["batch"], exporters: ["clickhouse"] },
      },
    },
  };
  const file = join(directory, "collector.yaml");
  writeFileSync(file, JSON.stringify(configuration), { mode: 0o600 });
  const child = spawn(program, ["--config", `file:${file}`], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let printed = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (printed += text));
  const url = `http://127.0.0.1:${port}/v1/logs`;
  const deadline = Date.now() + 30_000;
  for (;;) {
    try {
      await (await fetch(url)).arrayBuffer(); // 405: it listens
      return { child, url };
    } catch {
      if (child.exitCode !== null || Date.now() > deadline) {
        child.kill("SIGKILL");
        throw new Error(`the Collector did not start:\n${printed}`);
      }
      await setTimeout(100);
    }
  }
}

async function compare(server: ServerProcess, peers: readonly Peer[]): Promise<void> {
  const rounds = new Map<Peer, Round[]>(peers.map((peer) => [peer, []]));
  const sent = new Map<Peer, number>(peers.map((peer) => [peer, 0]));
  let next = 0;
  const bodiesOf = (count: number): Buffer[] =>
    Array.from({ length: count }, () =>
      gzipSync(applicationBody(RECORDS, next++ * RECORDS), { level: 1 }),
    );
  const settled = async (peer: Peer): Promise<void> => {
    await waitForRows(
      async () => {
        const [row] = await server.query<{ n: string }>(`SELECT count() AS n FROM ${peer.table}`);
        return Number(row!.n);
      },
      sent.get(peer)! * RECORDS,
    );
    await setTimeout(SETTLE_MS);
  };
  for (const peer of peers) {
    for (const body of bodiesOf(WARM_REQUESTS)) await send(peer.url, body);
    sent.set(peer, WARM_REQUESTS);
    await settled(peer);
  }
  for (let round = 1; round <= ROUNDS; round++) {
    for (const peer of peers) {
      const bodies = bodiesOf(REQUESTS);
      let rssBytes = 0;
      const before = useOf(peer.pid);
      const latencies = await sendPaced(peer.url, bodies, PACE_MS, () => {
        rssBytes = Math.max(rssBytes, useOf(peer.pid).rssBytes);
      });
      sent.set(peer, sent.get(peer)! + REQUESTS);
      await settled(peer);
      rounds.get(peer)!.push({
        cpuUs: (useOf(peer.pid).cpuUs - before.cpuUs) / (REQUESTS * RECORDS),
        rssBytes,
        p50Ms: median(latencies),
        p99Ms: percentile(latencies, 0.99),
      });
    }
  }
  print(peers.map((peer) => ({ ...peer, rounds: rounds.get(peer)! })));
}

function print(peers: readonly (Peer & { readonly rounds: readonly Round[] })[]): void {
  const [ours, theirs] = peers;
  const row = (
    what: string,
    of: (round: Round) => number,
    unit: string,
    digits: number,
  ): string[] => [
    what,
    ...peers.map(({ rounds }) => {
      const values = rounds.map(of);
      return `${median(values).toFixed(digits)} ${unit} (${Math.min(...values).toFixed(digits)} to ${Math.max(...values).toFixed(digits)})`;
    }),
    median(ours!.rounds.map((round, i) => of(round) / of(theirs!.rounds[i]!))).toFixed(2),
  ];
  printTable(
    `meshproof and the Collector's ClickHouse exporter at ${thousands((1000 / PACE_MS) * RECORDS)} records/s in batches of ${RECORDS}, gzip; medians of ${ROUNDS} rounds in turns`,
    ["what", ...peers.map(({ name }) => name), "ratio"],
    [
      row("CPU a record, socket to insert sent", ({ cpuUs }) => cpuUs, "µs", 2),
      row("memory, largest", ({ rssBytes }) => rssBytes / 1048576, "MB", 0),
      row("acknowledged, p50", ({ p50Ms }) => p50Ms, "ms", 1),
      row("acknowledged, p99", ({ p99Ms }) => p99Ms, "ms", 1),
      ["an acknowledged record is", "on disk, fsynced; then sealed", "in memory", ""],
    ],
  );
}
