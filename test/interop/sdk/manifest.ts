import { readFileSync } from "node:fs";
import { type Expected, expectedLog, expectedSpan } from "../../support/expected-rows.ts";
import type { Attributes, Batch, LogInput, SpanInput, Value } from "../../support/otlp-writer.ts";

/** A value as the programs write it down: with its type in the protocol, 64-bit integers as text. */
type WrittenValue =
  | null
  | { string: string }
  | { bool: boolean }
  | { int: string }
  | { double: number | string }
  | { bytes: string }
  | { array: WrittenValue[] }
  | { map: WrittenAttributes };
type WrittenAttributes = [string, WrittenValue][];

interface Written {
  readonly n: number;
  /** Index of the scope. */
  readonly scope: number;
  readonly attributes: WrittenAttributes;
  readonly dropped: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly flags: number;
}

interface WrittenLog extends Written {
  readonly time: string;
  readonly observed: string;
  readonly severityText: string;
  readonly severityNumber: number;
  readonly body: WrittenValue;
  readonly eventName: string;
}

interface WrittenSpan extends Written {
  readonly name: string;
  readonly kind: number;
  readonly parentSpanId: string;
  readonly traceState: string;
  readonly start: string;
  readonly end: string;
  readonly events: { name: string; time: string; attributes: WrittenAttributes }[];
  readonly links: {
    traceId: string;
    spanId: string;
    traceState: string;
    attributes: WrittenAttributes;
    flags: number;
  }[];
  readonly status: { code: number; message: string };
}

/** What the exporter said of one batch. */
export interface Export {
  readonly signal: Signal;
  /** Numbers of its records. */
  readonly records: readonly number[];
  readonly startedMs: number;
  readonly endedMs: number;
  /** Null: it was sent. */
  readonly error: string | null;
}

/** An access log that a program wrote within a span. */
export interface AccessLog {
  readonly requestId: string;
  readonly path: string;
  readonly traceId: string;
  readonly spanId: string;
}

export type Signal = "logs" | "traces";

/** What a program says that it sent, each record under its number. */
export interface Manifest {
  readonly logs: ReadonlyMap<number, Expected>;
  readonly traces: ReadonlyMap<number, Expected>;
  readonly accessLogs: readonly AccessLog[];
  readonly exports: readonly Export[];
  /** What the SDK said in its own log. */
  readonly diagnostics: readonly string[];
}

interface ManifestFile {
  readonly resource: { schemaUrl: string; attributes: WrittenAttributes };
  readonly scopes: {
    name: string;
    version: string;
    schemaUrl: string;
    attributes: WrittenAttributes;
  }[];
  readonly logs: WrittenLog[];
  readonly spans: WrittenSpan[];
  readonly accessLogs: AccessLog[];
  readonly exports: Export[];
  readonly diagnostics: string[];
}

/** Reads what a program wrote; each record as the row that it must be. */
export function readManifest(file: string): Manifest {
  const written = JSON.parse(readFileSync(file, "utf8")) as ManifestFile;
  const scopes = written.scopes.map((scope) => ({
    ...scope,
    attributes: attributesOf(scope.attributes),
    records: [],
  }));
  const batch: Batch<never> = {
    resource: attributesOf(written.resource.attributes),
    resourceSchemaUrl: written.resource.schemaUrl,
    scopes,
  };
  return {
    logs: new Map(
      written.logs.map((log) => [log.n, expectedLog(batch, scopes[log.scope]!, logOf(log), 0n)]),
    ),
    traces: new Map(
      written.spans.map((span) => [
        span.n,
        expectedSpan(batch, scopes[span.scope]!, spanOf(span), 0n),
      ]),
    ),
    accessLogs: written.accessLogs,
    exports: written.exports,
    diagnostics: written.diagnostics,
  };
}

const id = (hex: string): Uint8Array => Buffer.from(hex, "hex");

function logOf(log: WrittenLog): LogInput {
  return {
    ...log,
    time: BigInt(log.time),
    observed: BigInt(log.observed),
    body: valueOf(log.body),
    attributes: attributesOf(log.attributes),
    traceId: id(log.traceId),
    spanId: id(log.spanId),
  };
}

function spanOf(span: WrittenSpan): SpanInput {
  return {
    ...span,
    traceId: id(span.traceId),
    spanId: id(span.spanId),
    parentSpanId: id(span.parentSpanId),
    start: BigInt(span.start),
    end: BigInt(span.end),
    attributes: attributesOf(span.attributes),
    events: span.events.map((event) => ({
      ...event,
      time: BigInt(event.time),
      attributes: attributesOf(event.attributes),
    })),
    links: span.links.map((link) => ({
      ...link,
      traceId: id(link.traceId),
      spanId: id(link.spanId),
      attributes: attributesOf(link.attributes),
    })),
  };
}

const attributesOf = (written: WrittenAttributes): Attributes =>
  written.map(([key, value]) => [key, valueOf(value)]);

function valueOf(written: WrittenValue): Value {
  if (written === null) return null;
  if ("string" in written) return written.string;
  if ("bool" in written) return written.bool;
  if ("int" in written) return BigInt(written.int);
  if ("double" in written) return Number(written.double);
  if ("bytes" in written) return new Uint8Array(Buffer.from(written.bytes, "base64"));
  if ("array" in written) return written.array.map(valueOf);
  return Object.fromEntries(written.map.map(([key, value]) => [key, valueOf(value)]));
}
