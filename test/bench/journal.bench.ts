import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../../src/core/logger.ts";
import { internalMeta } from "../../src/journal/frame.ts";
import { Journal, type FrameMeta } from "../../src/journal/journal.ts";
import { applicationBody } from "../support/traffic.ts";
import { encoder, RECEIVED } from "./encoding.ts";
import { median, percentile, printTable } from "./measure.ts";

const RECORDS = 1000;
const FRAMES = 200;

/** Frames of 1,000 rows appended one after the other and eight at a time, each made durable. */
export async function benchJournal(): Promise<void> {
  const { sections } = await encoder.encode("logs", applicationBody(RECORDS), RECEIVED);
  const meta: FrameMeta = { ...internalMeta(1n), signal: "logs" };
  const rows: string[][] = [];
  for (const parallel of [1, 8]) {
    const directory = await mkdtemp(join(tmpdir(), "meshproof-bench-"));
    const journal = await Journal.open({
      directory,
      maxBytes: 4 * 1024 ** 3,
      logger: silentLogger,
      onFatal: (error) => console.error(error),
    });
    const latencies: number[] = [];
    const cpu = process.cpuUsage();
    const started = performance.now();
    await Promise.all(
      Array.from({ length: parallel }, async () => {
        for (let i = 0; i < FRAMES / parallel; i++) {
          const at = performance.now();
          await journal.append({ sections }, meta).durable;
          latencies.push(performance.now() - at);
          await journal.release(journal.durableIndex);
        }
      }),
    );
    const ms = performance.now() - started;
    const { user, system } = process.cpuUsage(cpu);
    await journal.close();
    await rm(directory, { recursive: true, force: true });
    rows.push([
      String(parallel),
      ((user + system) / (FRAMES * RECORDS)).toFixed(2),
      `${median(latencies).toFixed(1)} ms`,
      `${percentile(latencies, 0.99).toFixed(1)} ms`,
      `${Math.round((FRAMES * RECORDS) / ms)} k`,
      `${Math.round((FRAMES * sections[0]!.bytes.length) / ms / 1000)}`,
    ]);
  }
  printTable(
    "Journal: frames of 1,000 rows, durable",
    ["frames at a time", "µs CPU a record", "p50", "p99", "records/s", "MB/s"],
    rows,
  );
}
