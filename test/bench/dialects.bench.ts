import { existsSync, readdirSync, readFileSync } from "node:fs";
import { freeRows } from "../../src/core/rows.ts";
import { DIALECTS } from "../../src/normalise/load-dialects.ts";
import type { RecordInput } from "../support/normalise.ts";
import { transcodeLogs } from "../support/transcoding.ts";
import { encoder, RECEIVED } from "./encoding.ts";
import { measure, median, printTable } from "./measure.ts";

/** Each dialect as its fixtures write it, from the request's bytes to hashed rows: lines, JSON and attributes apart. */

const FIXTURES = new URL("../fixtures/", import.meta.url);
const RECORDS = 1000;
const REQUESTS = 3;
type Form = "line" | "JSON" | "attributes";

interface FixtureRecord {
  readonly body?: { readonly stringValue?: string };
}

function formOf({ record }: RecordInput): Form {
  const text = ((record as FixtureRecord).body?.stringValue ?? "").trimStart();
  if (text.length < 40) return "attributes";
  return text.startsWith("{") ? "JSON" : "line";
}

function fixturesOf(folder: string): RecordInput[] {
  const directory = new URL(`${folder}/`, FIXTURES);
  if (!existsSync(directory)) return [];
  return readdirSync(directory).map(
    (name) =>
      JSON.parse(readFileSync(new URL(`${name}/in.json`, directory), "utf8")) as RecordInput,
  );
}

/** A request with the record RECORDS times. */
function requestOf({ resource = {}, scope = {}, record }: RecordInput): Uint8Array {
  const logRecords = Array<object>(RECORDS).fill(record);
  return transcodeLogs(
    Buffer.from(
      JSON.stringify({ resourceLogs: [{ resource, scopeLogs: [{ scope, logRecords }] }] }),
    ),
  );
}

/** CPU microseconds a record, of each request. */
async function timesOf(bodies: readonly Uint8Array[]): Promise<number[]> {
  const times: number[] = [];
  for (const body of bodies) {
    const encodeAll = async (): Promise<void> => {
      for (let i = 0; i < REQUESTS; i++) freeRows(await encoder.encode("logs", body, RECEIVED));
    };
    const { cpuUs } = await measure(encodeAll, { warmUps: 1, runs: 5 });
    times.push(cpuUs / (REQUESTS * RECORDS));
  }
  return times;
}

export async function benchDialects(): Promise<void> {
  const groups = [...DIALECTS.map(({ name }) => name), "none"].flatMap((dialect) =>
    [...Map.groupBy(fixturesOf(dialect), formOf)].map(([form, inputs]) => ({
      names: [dialect, form],
      bodies: inputs.map(requestOf),
    })),
  );
  // Code is compiled by what all of them do, not by what the first ones do.
  for (const { bodies } of groups)
    for (const body of bodies) freeRows(await encoder.encode("logs", body, RECEIVED));
  const rows: string[][] = [];
  for (const { names, bodies } of groups) {
    const times = await timesOf(bodies);
    const bytes = median(bodies.map(({ length }) => length)) / RECORDS;
    const figures = [median(times), Math.max(...times)].map((us) => us.toFixed(1));
    rows.push([...names, String(bodies.length), bytes.toFixed(0), ...figures]);
  }
  printTable(
    "Dialects: request bytes to hashed row, one thread (budget for lines and JSON of 400 bytes: 20 µs)",
    ["dialect", "form", "fixtures", "B, median", "µs CPU, median", "slowest fixture"],
    rows,
  );
}
