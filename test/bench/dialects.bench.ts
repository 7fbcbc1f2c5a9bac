import { existsSync, readdirSync, readFileSync } from "node:fs";
import { freeRows } from "../../src/core/rows.ts";
import { RequestEncoder } from "../../src/encoder.ts";
import { DIALECTS } from "../../src/normalise/load-dialects.ts";
import { Normaliser } from "../../src/normalise/normaliser.ts";
import type { RecordInput } from "../support/normalise.ts";
import { transcodeLogs } from "../support/transcoding.ts";
import { measure, printTable } from "./measure.ts";

/** Each dialect as its fixtures write it, from the request's bytes to hashed rows: lines, JSON and attributes apart. */

const FIXTURES = new URL("../fixtures/", import.meta.url);
const RECORDS = 1000;
const REQUESTS = 20;
/** The budget is for a line of this length. */
const BUDGET_BYTES = 400;
const RECEIVED = {
  receivedAtNs: 1_795_000_000_000_000_000n,
  sender: "bench",
  senderAuth: "none",
  retentionClass: "default",
};

const encoder = new RequestEncoder({
  logId: "0123456789abcdef",
  normaliser: new Normaliser({
    redact: {
      queryParameters: ["token", "code", "password"],
      headers: ["authorization", "cookie"],
    },
  }),
  maxRecordBytes: 1024 * 1024,
  maxEncodedBytes: 256 * 1024 * 1024,
});

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
      const us = cpuUs / (REQUESTS * records);
      const bytes = body.length / records;
      rows.push([
        dialect,
        form,
        String(inputs.length),
        String(Math.round(bytes)),
        us.toFixed(2),
        ((us / bytes) * BUDGET_BYTES).toFixed(2),
      ]);
    }
  }
  printTable(
    `Dialects: request bytes to hashed row, one thread (budget for lines and JSON: 20 µs for ${BUDGET_BYTES} bytes)`,
    ["dialect", "form", "fixtures", "B", "µs CPU", `µs for ${BUDGET_BYTES} B`],
    rows,
  );
}
