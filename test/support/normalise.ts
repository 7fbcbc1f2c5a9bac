import { KINDS } from "../../src/core/kinds.ts";
import { Cursor } from "../../src/core/wire.ts";
import { ValueRange } from "../../src/decode/any-value.ts";
import { indexRequest, readScope } from "../../src/decode/envelope.ts";
import { readLogRecord } from "../../src/decode/logs.ts";
import type { Normaliser } from "../../src/normalise/normaliser.ts";
import { FIRST_ACCESS_COLUMN } from "../../src/records/access-draft.ts";
import { writeAccessRow } from "../../src/records/access-row.ts";
import { TABLES } from "../../src/records/columns.ts";
import { ShapeCache } from "../../src/records/key-shape.ts";
import { ScopeView } from "../../src/records/resource.ts";
import { decodeRow } from "../../src/records/row-codec.ts";
import { encodeScopeColumns } from "../../src/records/scope-columns.ts";
import { RowHead, SectionBuilder } from "../../src/records/section-builder.ts";
import { ValueWriter } from "../../src/records/value-text.ts";
import { LogView } from "../../src/records/views.ts";
import { transcodeLogs } from "./transcoding.ts";

/** One log record in OTLP/JSON with the resource and the scope that it came under: `in.json` of a fixture. */
export interface RecordInput {
  resource?: { attributes?: object[] };
  scope?: { name?: string; version?: string };
  record: object;
}

export type Columns = Record<string, unknown>;

/** Decodes a record into views; `shapes` is shared so that plans are found again, as in production. */
export function readRecord(
  input: RecordInput,
  body = bodyOf(input),
): { view: LogView; scope: ScopeView } {
  const envelope = indexRequest(body, 1);
  const scope = new ScopeView();
  readScope(envelope, 0, scope);
  const view = new LogView();
  const cursor = new Cursor();
  cursor.reset(body, 0);
  readLogRecord(cursor, envelope.recordStart[0]!, envelope.recordEnd[0]!, view, new ValueRange());
  return { view, scope };
}

export function bodyOf({ resource = {}, scope = {}, record }: RecordInput): Uint8Array {
  const request = { resourceLogs: [{ resource, scopeLogs: [{ scope, logRecords: [record] }] }] };
  return transcodeLogs(Buffer.from(JSON.stringify(request)));
}

const shapes = new ShapeCache();

/** The columns that the normaliser makes of a record, without those that hold their default; undefined when it is a log. */
export function normalise(normaliser: Normaliser, input: RecordInput): Columns | undefined {
  const { view, scope } = readRecord(input);
  const shape = shapes.find(view.buffer, view.attributes);
  return normaliser.recognise(view, shape, normaliser.scope(scope))
    ? columnsOf(normaliser)
    : undefined;
}

const HEAD = new RowHead("0".repeat(16), KINDS.access, {
  receivedAtNs: 0n,
  sender: "",
  senderAuth: "",
  retentionClass: "",
});
const DEFAULTS: ReadonlyMap<string, number | bigint> = new Map<string, number | bigint>([
  ["DurationNs", -1n],
  ["UpstreamDurationNs", -1n],
  ["RequestBytes", -1n],
  ["ResponseBytes", -1n],
  ["GrpcStatus", -1],
  ["SampledHint", -1],
]);

/** What the draft becomes as a redacted row: times as nanoseconds in decimal, addresses as hex, LogAttributes as pairs. Defaults are left out. */
export function columnsOf({ draft, view, shape, redactor }: Normaliser): Columns {
  const section = new SectionBuilder(KINDS.access);
  const values = new ValueWriter(redactor.hidesSecret);
  const scope = redactor.redactScope(encodeScopeColumns(new ScopeView(), values));
  writeAccessRow(section, HEAD, draft, view, shape, scope, 0n, values);
  redactor.redactRow(section, scope, shape);
  const row = decodeRow(TABLES.access, section.row);
  const columns: Columns = {};
  TABLES.access.columns.forEach(({ name, type }, c) => {
    if (c < FIRST_ACCESS_COLUMN && name !== "Redactions") return;
    const value = row[c]!;
    if (Array.isArray(value)) {
      if (value.length > 0) columns[name] = value.map((item) => plain(item));
    } else if (type === "IPv6")
      put(columns, name, (value as Buffer).toString("hex"), "0".repeat(32));
    else if (Buffer.isBuffer(value)) put(columns, name, value.toString("utf8"), "");
    else if (value !== (DEFAULTS.get(name) ?? (typeof value === "bigint" ? 0n : 0)))
      columns[name] = typeof value === "bigint" ? String(value) : value;
  });
  return columns;
}

/** A text, or a pair of texts. */
function plain(item: unknown): unknown {
  return Array.isArray(item) ? item.map(plain) : (item as Buffer).toString("utf8");
}

function put(columns: Columns, name: string, value: unknown, none: unknown): void {
  if (value !== none) columns[name] = value;
}

/** OTLP/JSON attributes of texts, integers (bigint) and others (as they are). */
export function attributes(values: Record<string, unknown>): object[] {
  return Object.entries(values).map(([key, value]) => ({
    key,
    value:
      typeof value === "string"
        ? { stringValue: value }
        : typeof value === "bigint"
          ? { intValue: String(value) }
          : value,
  }));
}
