import { readdirSync, readFileSync } from "node:fs";
import { MeshproofError } from "../../src/core/errors.ts";
import { freeRows, ROW_PREFIX_LENGTH, type RowSection } from "../../src/core/rows.ts";
import { RequestEncoder } from "../../src/encoder.ts";
import { Normaliser } from "../../src/normalise/normaliser.ts";
import type { RedactOptions } from "../../src/normalise/redaction/rules.ts";
import { ValueRedactor } from "../../src/normalise/redaction/value-redactor.ts";
import { Originals } from "../../src/originals.ts";
import { TABLE_OF_KIND } from "../../src/records/columns.ts";
import { decodeRow } from "../../src/records/row-codec.ts";
import { transcodeLogs } from "../support/transcoding.ts";
import { mutate, Random } from "./mutate.ts";

const FIXTURES = new URL("../fixtures/", import.meta.url);
/** What a parameter and a header of this name hold may be found nowhere. */
const SECRET = "S3CR3T-that-nobody-may-see";
const REDACT = {
  queryParameters: ["token", "code", "password"],
  headers: ["authorization", "cookie"],
};
const MAX_RECORD_BYTES = 64 * 1024;
/** One record may take so much CPU, generously: a reader that goes back takes minutes. */
const MAX_RECORD_MS = 500;
const RECEIVED = {
  receivedAtNs: 1_795_000_000_000_000_000n,
  sender: "fuzz",
  senderAuth: "none",
  retentionClass: "default",
};

interface Value {
  stringValue?: string;
  kvlistValue?: { values: { key: string; value?: Value }[] };
}
interface Input {
  readonly resource?: { attributes?: { key: string; value?: Value }[] };
  readonly scope?: object;
  readonly record: { body?: Value; attributes?: { key: string; value?: Value }[] };
}

export interface FuzzOptions {
  readonly seed: number;
  readonly minutes: number;
  /** By default as many as there is time for. */
  readonly maxInputs?: number;
  /** What hides the planted secrets. */
  readonly redact?: RedactOptions;
}

/** What came of a run. */
export interface FuzzResult {
  readonly inputs: number;
  /** Access records by dialect; `log` for what no dialect claimed. */
  readonly dialects: ReadonlyMap<string, number>;
  readonly partial: number;
  readonly slowestMs: number;
  /** Inputs that broke a promise, and how. */
  readonly failures: readonly { readonly reason: string; readonly input: Input }[];
}

function encoderOf(redact: RedactOptions): RequestEncoder {
  return new RequestEncoder({
    logId: "0123456789abcdef",
    normaliser: new Normaliser({ redact }),
    maxRecordBytes: MAX_RECORD_BYTES,
    maxEncodedBytes: 256 * 1024 * 1024,
    originals: new Originals(new ValueRedactor(redact), []),
  });
}

function readSeeds(): Input[] {
  return readdirSync(FIXTURES)
    .filter((folder) => folder !== "tls")
    .flatMap((folder) =>
      readdirSync(new URL(`${folder}/`, FIXTURES)).map(
        (name) =>
          JSON.parse(readFileSync(new URL(`${folder}/${name}/in.json`, FIXTURES), "utf8")) as Input,
      ),
    );
}

/** Every text of a record, in one list, so that pieces of one get into another. */
function textsOf(seeds: readonly Input[]): string[] {
  const texts: string[] = [];
  for (const { record } of seeds) {
    if (record.body?.stringValue !== undefined) texts.push(record.body.stringValue);
    for (const { key, value } of record.attributes ?? []) texts.push(key, value?.stringValue ?? "");
  }
  return texts.filter((text) => text.length > 0);
}

/** The input with its body, or some of its attributes, changed; a secret may be planted where it must be found. */
function change(seed: Input, texts: readonly string[], random: Random): Input {
  const input = structuredClone(seed);
  const { record } = input;
  if (record.body?.stringValue !== undefined && record.body.stringValue !== "")
    record.body = { stringValue: mutate(record.body.stringValue, texts, random) };
  for (const attribute of record.attributes ?? []) {
    if (random.below(8) > 0) continue;
    if (random.below(6) === 0) attribute.key = mutate(attribute.key, texts, random).slice(0, 500);
    if (attribute.value?.stringValue !== undefined)
      attribute.value.stringValue = mutate(attribute.value.stringValue, texts, random);
  }
  if (random.below(3) === 0)
    (record.attributes ??= []).push({
      key: "referer",
      value: { stringValue: `https://x.example/?token=${SECRET}` },
    });
  if (random.below(3) === 0)
    (record.attributes ??= []).push({
      key: "request_header_authorization",
      value: { stringValue: `Bearer ${SECRET}` },
    });
  return input;
}

function bodyOf({ resource = {}, scope = {}, record }: Input): Uint8Array {
  return transcodeLogs(
    Buffer.from(
      JSON.stringify({
        resourceLogs: [{ resource, scopeLogs: [{ scope, logRecords: [record] }] }],
      }),
    ),
  );
}

/** Columns of the one row, by name. */
function readRow(sections: readonly RowSection[]): ReadonlyMap<string, unknown> | undefined {
  const [section] = sections;
  if (section === undefined) return undefined;
  const table = TABLE_OF_KIND.get(section.kind)!;
  const values = decodeRow(table, section.bytes.subarray(ROW_PREFIX_LENGTH, section.offsets[1]));
  return new Map(table.columns.map((column, i) => [column.name, values[i]]));
}

/**
 * Changes the fixtures at random for `minutes`, sends each through the encoder, and looks whether what it promises holds: nothing is thrown, the row can be read back and is not too
 * long, no secret is in it, a body that was read in part is kept, the same input gives the same columns whatever came before it, and none takes long.
 */
export async function fuzz(
  options: FuzzOptions,
  progress: (result: FuzzResult) => void = () => undefined,
): Promise<FuzzResult> {
  const { redact = REDACT } = options;
  const random = new Random(options.seed);
  const seeds = readSeeds();
  const texts = textsOf(seeds);
  const encoder = encoderOf(redact);
  const dialects = new Map<string, number>();
  const failures: { reason: string; input: Input }[] = [];
  let inputs = 0;
  let partial = 0;
  let slowestMs = 0;
  const result = (): FuzzResult => ({ inputs, dialects, partial, slowestMs, failures });
  const deadline = performance.now() + options.minutes * 60_000;
  let nextReport = performance.now() + 2_000;
  while (performance.now() < deadline && inputs < (options.maxInputs ?? Infinity)) {
    const input = change(random.of(seeds), texts, random);
    inputs++;
    const started = process.cpuUsage();
    const outcome = await tryOne(encoder, input);
    const used = process.cpuUsage(started);
    const ms = (used.user + used.system) / 1000;
    slowestMs = Math.max(slowestMs, ms);
    let reason = outcome.failure;
    if (ms > MAX_RECORD_MS) reason ??= `took ${Math.round(ms)} ms`;
    if (reason === undefined && inputs % 50 === 0) {
      const again = await tryOne(encoderOf(redact), input);
      if (again.text !== outcome.text) reason = "other columns after other records";
    }
    if (reason !== undefined) failures.push({ reason, input });
    if (outcome.dialect !== undefined)
      dialects.set(outcome.dialect, (dialects.get(outcome.dialect) ?? 0) + 1);
    if (outcome.isPartial) partial++;
    if (failures.length >= 10) break;
    if (performance.now() > nextReport) {
      progress(result());
      nextReport = performance.now() + 5_000;
    }
  }
  return result();
}

interface Outcome {
  readonly failure?: string;
  readonly dialect?: string;
  readonly isPartial?: boolean;
  /** All columns but the salt. */
  readonly text?: string;
}

async function tryOne(encoder: RequestEncoder, input: Input): Promise<Outcome> {
  let body: Uint8Array;
  try {
    body = bodyOf(input);
  } catch (error) {
    return error instanceof MeshproofError
      ? {}
      : { failure: `transcoding threw: ${String(error)}` };
  }
  try {
    const encoded = await encoder.encode("logs", body, RECEIVED);
    try {
      const outcome = judge(input, encoded.sections, encoded.rejected);
      if (outcome.failure === undefined && Buffer.from(encoded.originals ?? []).includes(SECRET))
        return { ...outcome, failure: "a secret would be passed on" };
      return outcome;
    } finally {
      freeRows(encoded);
    }
  } catch (error) {
    return error instanceof MeshproofError
      ? {}
      : { failure: `threw: ${(error as Error).stack ?? String(error)}` };
  }
}

function judge(input: Input, sections: readonly RowSection[], rejected: number): Outcome {
  const row = readRow(sections);
  if (row === undefined) return rejected === 1 ? {} : { failure: "no row, and nothing rejected" };
  const { bytes } = sections[0]!;
  const textOf = (name: string): string => String(row.get(name) ?? "");
  const dialect = row.has("Dialect") ? textOf("Dialect") : "log";
  const text = [...row]
    .filter(([name]) => name !== "Salt")
    .map(
      ([name, value]) =>
        `${name}=${JSON.stringify(value, (_key, item) => (typeof item === "bigint" ? String(item) : item) as unknown)}`,
    )
    .join("\n");
  const isPartial = textOf("ParseStatus") === "partial";
  const shared = { dialect, isPartial, text };
  if (bytes.length > MAX_RECORD_BYTES + ROW_PREFIX_LENGTH)
    return { ...shared, failure: `row of ${bytes.length} bytes` };
  if (Buffer.from(bytes).includes(SECRET)) return { ...shared, failure: "a secret is in the row" };
  if (isPartial && (input.record.body?.stringValue ?? "") !== "" && textOf("Body") === "")
    return { ...shared, failure: "read in part, and the body is not kept" };
  return shared;
}
