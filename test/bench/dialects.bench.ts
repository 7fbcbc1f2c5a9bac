import { existsSync, readdirSync, readFileSync } from "node:fs";
import { freeRows } from "../../src/core/rows.ts";
import { DIALECTS } from "../../src/normalise/load-dialects.ts";
import type { RecordInput } from "../support/normalise.ts";
import { transcodeLogs } from "../support/transcoding.ts";
import { encoder, RECEIVED } from "./encoding.ts";
import { measure, printTable } from "./measure.ts";

/** Each dialect as its fixtures write it, from the request's bytes to hashed rows: lines, JSON and attributes apart. */

const FIXTURES = new URL("../fixtures/", import.meta.url);
const RECORDS = 1000;
const REQUESTS = 20;
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

/** A request of RECORDS records, the inputs in turn, each under its own resource and scope. */
function requestOf(inputs: readonly RecordInput[]): Uint8Array {
  const each = Math.ceil(RECORDS / inputs.length);
  return transcodeLogs(
    Buffer.from(
      JSON.stringify({
        resourceLogs: inputs.map(({ resource = {}, scope = {}, record }) => ({
          resource,
          scopeLogs: [{ scope, logRecords: Array<object>(each).fill(record) }],
        })),
      }),
    ),
  );
}

export async function benchDialects(): Promise<void> {
  const rows: string[][] = [];
  for (const dialect of [...DIALECTS.map(({ name }) => name), "none"]) {
    const forms = Map.groupBy(fixturesOf(dialect), formOf);
    for (const [form, inputs] of forms) {
      const body = requestOf(inputs);
      const records = Math.ceil(RECORDS / inputs.length) * inputs.length;
      const { cpuUs } = await measure(async () => {
        for (let i = 0; i < REQUESTS; i++) freeRows(await encoder.encode("logs", body, RECEIVED));
      });
      rows.push([
        dialect,
        form,
        String(inputs.length),
        String(Math.round(body.length / records)),
        (cpuUs / (REQUESTS * records)).toFixed(2),
      ]);
    }
  }
  printTable(
    "Dialects: request bytes to hashed row, one thread (budget for lines and JSON of 400 bytes: 20 µs)",
    ["dialect", "form", "fixtures", "B", "µs CPU"],
    rows,
  );
}
