import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { setTimeout } from "node:timers/promises";

/** OTLP/HTTP load from this process, and what another process uses meanwhile. */

export const CONNECTIONS = 4;
const TICKS_PER_SECOND = 100; // getconf CLK_TCK on Linux
let agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });

export interface ProcessUse {
  /** User and system time of all threads so far. */
  readonly cpuUs: number;
  readonly rssBytes: number;
}

export function useOf(pid: number): ProcessUse {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return {
    cpuUs: ((Number(fields[11]) + Number(fields[12])) * 1e6) / TICKS_PER_SECOND,
    rssBytes: Number(/VmRSS:\s+(\d+)/.exec(status)![1]) * 1024,
  };
}

/** Sends one gzipped protobuf body; resolves with the milliseconds until the answer, which must be 200. */
export function send(url: string, body: Buffer): Promise<number> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const outgoing = request(
      url,
      {
        method: "POST",
        agent,
        headers: {
          "content-type": "application/x-protobuf",
          "content-encoding": "gzip",
          "content-length": body.length,
        },
      },
      (response) => {
        response
          .resume()
          .on("end", () =>
            response.statusCode === 200
              ? resolve(performance.now() - started)
              : reject(new Error(`status ${response.statusCode}`)),
          );
      },
    );
    outgoing.on("error", reject).end(body);
  });
}

/** Sends, over connections of their own, a body each `paceMs`, whether the ones before it were answered or not. Returns the milliseconds that each answer took, ascending. */
export async function sendPaced(
  url: string,
  bodies: readonly Buffer[],
  paceMs: number,
  onSent: (index: number) => void = () => {},
): Promise<number[]> {
  endLoad(); // connections that were idle meanwhile may be about to be closed by the other side
  const latencies: number[] = [];
  const started = performance.now();
  const sent: Promise<void>[] = [];
  for (const [i, body] of bodies.entries()) {
    const due = started + i * paceMs - performance.now();
    if (due > 0) await setTimeout(due);
    sent.push(send(url, body).then((ms) => void latencies.push(ms)));
    onSent(i);
  }
  await Promise.all(sent);
  return latencies.sort((a, b) => a - b);
}

/** Closes the connections. */
export function endLoad(): void {
  agent.destroy();
  agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
}

/** Waits until `count` says that so many rows are there. Rejects when they do not come within a minute. */
export async function waitForRows(count: () => Promise<number>, rows: number): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const found = await count();
    if (found >= rows) return;
    if (Date.now() > deadline) throw new Error(`${found} of ${rows} rows are stored`);
    await setTimeout(50);
  }
}
