import { readdirSync, readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import t from "tap";
import { freeRows } from "../../src/core/rows.ts";
import { RequestEncoder } from "../../src/encoder.ts";
import { DIALECTS } from "../../src/normalise/load-dialects.ts";
import { Normaliser } from "../../src/normalise/normaliser.ts";
import { actualRows, textOf } from "../support/expected-rows.ts";
import type { Columns, RecordInput } from "../support/normalise.ts";
import { transcodeLogs } from "../support/transcoding.ts";

const FIXTURES = new URL("../fixtures/", import.meta.url);
const RECEIVED = {
  receivedAtNs: 1_795_000_000_123_456_789n,
  sender: "127.0.0.1",
  senderAuth: "none",
  retentionClass: "default",
};
/** What must be the same in whatever form a record comes. */
const COLUMNS = ["Dialect", "ParseStatus", "Decision", "Policy", "Method", "Path", "RequestId"];
/** A container runtime's prefix, or a member that is a line: such a fixture stands for a form of its own. */
const WRAPPED = /^\S+ (?:stdout|stderr) |^\{.*"(?:log|message|msg)": ?"(?:\{|[^"]{20})/s;

interface Sample {
  readonly name: string;
  readonly input: RecordInput;
  /** Undefined for a log. */
  readonly expected: Columns | undefined;
}

interface LogRecord {
  body?: object;
  attributes?: object[];
}

function valueOf(value: unknown): object {
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  if (typeof value === "number")
    return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
  if (value === null) return {};
  if (Array.isArray(value)) return { arrayValue: { values: value.map(valueOf) } };
  return { kvlistValue: { values: membersOf(value as object) } };
}

function membersOf(members: object): object[] {
  return Object.entries(members).map(([key, value]) => ({ key, value: valueOf(value) }));
}

function parse(line: string): object | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The ways in which a line comes from a file, a journal or a parser. */
function formsOf(line: string): Record<string, LogRecord> {
  const members = parse(line);
  return {
    "line of a container": { body: { stringValue: `2026-11-22T20:20:29.5Z stdout F ${line}\n` } },
    "line in JSON": { body: valueOf(JSON.stringify({ log: `${line}\n`, stream: "stdout" })) },
    "line of the journal": { body: valueOf({ MESSAGE: line }) },
    "line in an attribute": { attributes: membersOf({ log: line, stream: "stdout" }) },
    ...(members !== undefined && {
      list: { body: valueOf(members) },
      attributes: { attributes: membersOf({ ...members, "log.file.path": "/var/log/x.log" }) },
      "attributes beside the line": {
        body: { stringValue: line },
        attributes: membersOf({ ...members, "log.file.path": "/var/log/x.log" }),
      },
    }),
  };
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(new URL(path, FIXTURES), "utf8"));
}

function samplesOf(folder: string): Sample[] {
  return readdirSync(new URL(folder, FIXTURES)).flatMap((fixture) => {
    const name = `${folder}/${fixture}`;
    const input = readJson(`${name}/in.json`) as RecordInput;
    const expected = (readJson(`${name}/out.json`) as Columns | null) ?? undefined;
    const own = input.record as LogRecord & { body?: { stringValue?: string } };
    const line = own.body?.stringValue?.trim() ?? "";
    const sample = { name, input, expected };
    if (line === "" || own.attributes !== undefined || WRAPPED.test(line)) return [sample];
    const { body: _, ...rest } = own;
    return [
      sample,
      ...Object.entries(formsOf(line)).map(([form, record]) => ({
        name: `${name}, ${form}`,
        input: { ...input, record: { ...rest, ...record } },
        expected,
      })),
    ];
  });
}

/** One request; samples of one resource and scope come under one, in their order. */
function requestOf(samples: readonly Sample[]): { body: Buffer; samples: Sample[] } {
  const scopes = Map.groupBy(samples, ({ input: { resource = {}, scope = {} } }) =>
    JSON.stringify([resource, scope]),
  );
  const resourceLogs = [...scopes].map(([key, list]) => {
    const [resource, scope] = JSON.parse(key) as [object, object];
    return { resource, scopeLogs: [{ scope, logRecords: list.map(({ input }) => input.record) }] };
  });
  return {
    body: Buffer.from(transcodeLogs(Buffer.from(JSON.stringify({ resourceLogs })))),
    samples: [...scopes.values()].flat(),
  };
}

t.test(
  "in a stream of everything each record finds its own dialect, in whatever form",
  async (t) => {
    const all = [...DIALECTS.map(({ name }) => name), "none"].flatMap(samplesOf);
    const encoder = new RequestEncoder({
      logId: "0123456789abcdef",
      normaliser: new Normaliser({
        redact: {
          queryParameters: ["token", "code", "password"],
          headers: ["authorization", "cookie"],
        },
      }),
      maxRecordBytes: 1 << 20,
      maxEncodedBytes: 1 << 28,
    });
    const order = fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length });
    await fc.assert(
      fc.asyncProperty(order, async (shuffled) => {
        const { body, samples } = requestOf(shuffled);
        const result = await encoder.encode("logs", body, RECEIVED);
        const rows = result.sections.flatMap((section) => actualRows(section));
        const access = rows.filter((row) => row["Dialect"] !== undefined);
        freeRows(result);
        const claimed = samples.filter(({ expected }) => expected !== undefined);
        t.equal(rows.length, all.length);
        t.equal(access.length, claimed.length);
        const seen = access.map((row) => COLUMNS.map((column) => row[column]));
        const wanted = claimed.map(({ expected }) =>
          COLUMNS.map((name) => textOf(String(expected![name] ?? ""))),
        );
        const wrong = claimed.findIndex((_, i) => !isDeepStrictEqual(seen[i], wanted[i]));
        t.strictSame(seen[wrong], wanted[wrong], claimed[wrong]?.name ?? "all are what they are");
      }),
      { numRuns: 8 },
    );
  },
);
