import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { ServerProcess } from "../support/server-process.ts";
import { applicationBody } from "../support/traffic.ts";
import { thousands } from "./decode.bench.ts";
import { CONNECTIONS, endLoad, send, sendPaced, useOf, waitForRows } from "./load.ts";
import { median, percentile, printTable } from "./measure.ts";

/**
 * The whole process over loopback: gzip in, journal, tiles, checkpoints, inserts into its embedded ClickHouse.
 * The load comes from this process; CPU and memory are those of the server's process alone (ClickHouse is a child of its own).
 */

const RECORDS = 1000;
/** Requests of the paced run: 20 a second, 20,000 records/s. */
const PACED_REQUESTS = 300;
const PACE_MS = 50;
const FULL_SPEED_REQUESTS = 300;

async function storedCount(server: ServerProcess): Promise<number> {
  const [row] = await server.query<{ n: string }>("SELECT toString(count()) AS n FROM otel_logs");
  return Number(row!.n);
}

export async function benchProcess(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "meshproof-bench-"));
  const bodies = Array.from({ length: PACED_REQUESTS + FULL_SPEED_REQUESTS }, (_, i) =>
    gzipSync(applicationBody(RECORDS, i * RECORDS), { level: 1 }),
  );
  const server = await ServerProcess.start(directory);
  const url = server.otlp("logs");
  const stored = (): Promise<number> => storedCount(server);
  try {
    // Warm: the first requests compile the hot path.
    for (let i = 0; i < 40; i++)
      await send(url, gzipSync(applicationBody(RECORDS, 10_000_000 + i * RECORDS), { level: 1 }));
    await waitForRows(stored, 40 * RECORDS);

    const rss: number[] = [];
    let before = useOf(server.pid);
    const latencies = await sendPaced(url, bodies.slice(0, PACED_REQUESTS), PACE_MS, (i) => {
      if (i % 20 === 0) rss.push(useOf(server.pid).rssBytes);
    });
    const acknowledged = performance.now();
    await waitForRows(stored, (40 + PACED_REQUESTS) * RECORDS);
    const visible = performance.now();
    let after = useOf(server.pid);
    const pacedUs = (after.cpuUs - before.cpuUs) / (PACED_REQUESTS * RECORDS);
    printTable(
      `Whole process at ${thousands((1000 / PACE_MS) * RECORDS)} records/s in batches of ${RECORDS}, gzip`,
      ["what", "measured", "budget"],
      [
        ["CPU a record, socket to insert sent", `${pacedUs.toFixed(2)} µs`, "9 µs"],
        ["acknowledged, p50", `${median(latencies).toFixed(1)} ms`, "10 ms"],
        ["acknowledged, p99", `${percentile(latencies, 0.99).toFixed(1)} ms`, "50 ms"],
        [
          "memory of the process, largest",
          `${Math.round(Math.max(...rss) / 1048576)} MB`,
          "300 MB",
        ],
        [
          "last record visible in ClickHouse after its 200",
          `${Math.round(visible - acknowledged)} ms`,
          "2000 ms",
        ],
      ],
    );

    before = useOf(server.pid);
    const fullStart = performance.now();
    let next = PACED_REQUESTS;
    await Promise.all(
      Array.from({ length: CONNECTIONS }, async () => {
        while (next < bodies.length) await send(url, bodies[next++]!);
      }),
    );
    const fullMs = performance.now() - fullStart;
    await waitForRows(stored, (40 + PACED_REQUESTS + FULL_SPEED_REQUESTS) * RECORDS);
    after = useOf(server.pid);
    printTable(
      `Whole process at full speed, ${CONNECTIONS} connections, load and ClickHouse on the same cores`,
      ["what", "measured"],
      [
        ["acknowledged records/s", thousands((FULL_SPEED_REQUESTS * RECORDS * 1000) / fullMs)],
        [
          "CPU a record",
          `${((after.cpuUs - before.cpuUs) / (FULL_SPEED_REQUESTS * RECORDS)).toFixed(2)} µs`,
        ],
        ["memory of the process afterwards", `${Math.round(after.rssBytes / 1048576)} MB`],
      ],
    );
  } finally {
    endLoad();
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  }
}
