import { MeshproofError } from "../core/errors.ts";

/** How the lines of the input are to be understood. */
export const ENCODINGS = ["auto", "line", "json", "otlp"] as const;
export type Encoding = (typeof ENCODINGS)[number];

/** Log records of the input, as an export request in OTLP/JSON. */
export interface Sample {
  /** Line of the input at which it begins, from 1. */
  readonly line: number;
  readonly request: Uint8Array;
}

/** Members that a LogRecord in OTLP/JSON has and an access log hardly ever. */
const RECORD_KEYS = ["timeUnixNano", "observedTimeUnixNano", "time_unix_nano", "severityNumber"];
const ANY_VALUE = /^(?:string|bool|int|double|array|kvlist|bytes)(?:V|_v)alue$/;

/**
 * The samples in a text: lines, JSON objects (one a line, or one over all lines), export requests or single LogRecords in OTLP/JSON. A line that is no request and
 * no LogRecord is the body of a record, as a collector would send it.
 * Throws: BAD_REQUEST when a line is not what `encoding` says.
 */
export function* readSamples(text: string, encoding: Encoding): Generator<Sample> {
  const whole = encoding === "line" ? undefined : parseObject(text);
  if (whole !== undefined) {
    const start = /^\s*/.exec(text)![0];
    const line = start.split("\n").length;
    yield toSample(text.trim(), whole, encoding, line);
    return;
  }
  let line = 0;
  for (const part of text.split("\n")) {
    line++;
    const one = part.replace(/\r$/, "");
    if (one.trim() === "") continue;
    yield toSample(one, encoding === "line" ? undefined : parseObject(one), encoding, line);
  }
}

function toSample(
  text: string,
  json: Record<string, unknown> | undefined,
  encoding: Encoding,
  line: number,
): Sample {
  const isRequest = json !== undefined && (has(json, "resourceLogs") || has(json, "resource_logs"));
  const isRecord = json !== undefined && !isRequest && looksLikeRecord(json);
  if (encoding === "otlp" && !isRequest && !isRecord)
    throw new MeshproofError(
      "BAD_REQUEST",
      `line ${line}: expected an export request or a LogRecord in OTLP/JSON, got ${json === undefined ? "no JSON object" : "another JSON object"}`,
    );
  if (encoding === "json" && json === undefined)
    throw new MeshproofError(
      "BAD_REQUEST",
      `line ${line}: expected a JSON object, got another text`,
    );
  if (encoding !== "json" && isRequest) return { line, request: Buffer.from(text) };
  const record =
    encoding !== "json" && isRecord
      ? text
      : `{"body":{"stringValue":${JSON.stringify(text.toWellFormed())}}}`;
  return {
    line,
    request: Buffer.from(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[${record}]}]}]}`),
  };
}

function looksLikeRecord(json: Record<string, unknown>): boolean {
  if (RECORD_KEYS.some((key) => has(json, key))) return true;
  const { body, attributes } = json;
  const first: unknown = Array.isArray(attributes) ? attributes[0] : undefined;
  return isAnyValue(body) || (isObject(first) && isAnyValue(first["value"]));
}

function isAnyValue(value: unknown): boolean {
  return isObject(value) && Object.keys(value).some((key) => ANY_VALUE.test(key));
}

/** The object in a text, or undefined when it is no JSON or something else. */
function parseObject(text: string): Record<string, unknown> | undefined {
  if (!text.trimStart().startsWith("{")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function has(json: Record<string, unknown>, key: string): boolean {
  return Object.hasOwn(json, key);
}
