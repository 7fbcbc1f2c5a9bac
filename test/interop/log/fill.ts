import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { TABLES } from "../../../src/records/columns.ts";
import { oneScope, writeLogs } from "../../support/otlp-writer.ts";
import { CODINGS, send } from "../../support/senders.ts";
import type { ServerProcess } from "../../support/server-process.ts";
import { applicationBody, envoyBody, spanBody } from "../../support/traffic.ts";

/** Records of a request. */
const BATCH = 1000;
const SENDERS = 3;
/** Requests between two checkpoints that are kept. */
const REQUESTS_PER_CHECKPOINT = 10;
const SETTLE_TIME_LIMIT_MS = 120_000;
const POLL_MS = 100;

/** The answer of `GET /api/v1/log`, as far as it is looked at here. */
export interface LogStatus {
  readonly verifierKey: string;
  readonly publishedSize: string;
  readonly lag: string;
}

/**
 * Sends requests `from` to `to` of 1,000 records each through the OTLP port: application logs, Envoy's access logs and spans in turn, those of
 * one trace ID in the same third, in all content codings. Keeps a checkpoint now and then, as whoever watches the log would.
 */
export async function fill(
  server: ServerProcess,
  { from, to, checkpoints }: { from: number; to: number; checkpoints: string },
  signal: AbortSignal,
): Promise<void> {
  let next = from;
  const sender = async (): Promise<void> => {
    while (next < to) {
      signal.throwIfAborted();
      const request = next++;
      const first = Math.floor(request / 3) * BATCH;
      const body = [applicationBody, envoyBody, spanBody][request % 3]!(BATCH, first);
      const url = server.otlp(request % 3 === 2 ? "traces" : "logs");
      const response = await send(url, body, { coding: CODINGS[request % CODINGS.length]! });
      const answer = await response.text();
      if (response.status !== 200 || answer !== "")
        throw new Error(`request ${request} was answered ${response.status}: ${answer}`);
      if (request % REQUESTS_PER_CHECKPOINT === 0) await keepCheckpoint(server, checkpoints);
    }
  };
  await Promise.all(Array.from({ length: SENDERS }, sender));
}

/** A record that is refused, which the server seals as a finding of its own. */
export async function sendRefusedRecord(server: ServerProcess): Promise<void> {
  const record = { body: "its trace ID is a byte short", traceId: new Uint8Array(15).fill(1) };
  const body = writeLogs(oneScope([record], [["service.name", "faulty"]]));
  const response = await send(server.otlp("logs"), body);
  const answer = await response.text();
  if (response.status !== 200 || answer === "")
    throw new Error(`expected partial success, got ${response.status} ${answer}`);
}

/** One more record. */
export async function sendOne(server: ServerProcess, body: string): Promise<void> {
  const response = await send(
    server.otlp("logs"),
    writeLogs(oneScope([{ body }], [["service.name", "edge"]])),
  );
  await response.arrayBuffer();
  if (response.status !== 200) throw new Error(`a record was answered ${response.status}`);
}

/** Waits until all that was acknowledged is under the published checkpoint. Returns the log's status then. */
export async function settled(server: ServerProcess, signal: AbortSignal): Promise<LogStatus> {
  const deadline = Date.now() + SETTLE_TIME_LIMIT_MS;
  for (;;) {
    const response = await fetch(`http://127.0.0.1:${server.ports.api}/api/v1/log`, { signal });
    const status = (await response.json()) as LogStatus;
    if (status.lag === "0") return status;
    if (Date.now() > deadline) throw new Error(`${status.lag} records are under no checkpoint`);
    await setTimeout(POLL_MS, undefined, { signal });
  }
}

/** Writes the checkpoint that is served now to a file of its size. */
export async function keepCheckpoint(server: ServerProcess, directory: string): Promise<void> {
  const response = await fetch(`${logUrl(server)}/checkpoint`);
  const text = await response.text();
  if (response.status === 404) return; // before the first one
  if (!response.ok) throw new Error(`the checkpoint was answered ${response.status}: ${text}`);
  writeFileSync(join(directory, `${text.split("\n")[1]}.checkpoint`), text);
}

export function logUrl(server: ServerProcess): string {
  return `http://127.0.0.1:${server.ports.api}/log`;
}

/**
 * Rows below `size` in the tables of each kind, once ClickHouse has as many as the log; by the kind's number.
 * Rejects with what it has when it does not get there.
 */
export async function storedKinds(
  server: ServerProcess,
  size: number,
  signal: AbortSignal,
): Promise<Record<string, number>> {
  const statement = Object.values(TABLES)
    .map(
      ({ name, kind }) =>
        `SELECT ${kind} AS kind, count() AS rows FROM ${name} WHERE LeafIndex < ${size}`,
    )
    .join(" UNION ALL ");
  const deadline = Date.now() + SETTLE_TIME_LIMIT_MS;
  for (;;) {
    const rows = await server.query<{ kind: number; rows: string }>(
      `SELECT kind, rows FROM (${statement}) WHERE rows > 0 ORDER BY kind`,
    );
    const kinds = Object.fromEntries(rows.map(({ kind, rows }) => [kind, Number(rows)]));
    const stored = Object.values(kinds).reduce((sum, count) => sum + count, 0);
    if (stored === size) return kinds;
    if (Date.now() > deadline)
      throw new Error(`${stored} of ${size} records are stored: ${JSON.stringify(kinds)}`);
    await setTimeout(POLL_MS, undefined, { signal });
  }
}

/** A record of each kind that is stored, by leaf index. */
export async function oneOfEachKind(server: ServerProcess): Promise<number[]> {
  const found: number[] = [];
  for (const { name } of Object.values(TABLES)) {
    const rows = await server.query<{ leaf: string }>(
      `SELECT LeafIndex AS leaf FROM ${name} ORDER BY LeafIndex LIMIT 1`,
    );
    found.push(...rows.map(({ leaf }) => Number(leaf)));
  }
  return found;
}
