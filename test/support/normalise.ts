import { Cursor } from "../../src/core/wire.ts";
import { ValueRange } from "../../src/decode/any-value.ts";
import { indexRequest, readScope } from "../../src/decode/envelope.ts";
import { readLogRecord } from "../../src/decode/logs.ts";
import type { Normaliser } from "../../src/normalise/normaliser.ts";
import {
  ACCESS_HOLDS,
  type AccessDraft,
  FIRST_ACCESS_COLUMN,
  HOLDS,
  TAKEN,
} from "../../src/records/access-draft.ts";
import { VALUE_TYPES } from "../../src/records/attributes.ts";
import { TABLES } from "../../src/records/columns.ts";
import { ShapeCache } from "../../src/records/key-shape.ts";
import { ScopeView } from "../../src/records/resource.ts";
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
  if (
    !normaliser.recognise(view, shapes.find(view.buffer, view.attributes), normaliser.scope(scope))
  )
    return undefined;
  return columnsOf(normaliser.draft, normaliser.view);
}

/** What the row writer would write: times as nanoseconds in decimal, addresses as hex, LogAttributes as pairs. Defaults are left out. */
export function columnsOf(draft: AccessDraft, view: LogView): Columns {
  const columns: Columns = {};
  TABLES.access.columns.forEach(({ name }, c) => {
    if (c < FIRST_ACCESS_COLUMN) return;
    const low = draft.low[c]!;
    const high = draft.high[c]!;
    switch (ACCESS_HOLDS[c]) {
      case HOLDS.text:
        put(
          columns,
          name,
          draft.isEmpty(c) ? "" : text(draft.bytesOf(c), draft.start[c]!, draft.end[c]!),
          "",
        );
        break;
      case HOLDS.eight: {
        const value = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
        put(
          columns,
          name,
          String(name === "TimestampRaw" ? value : BigInt.asIntN(64, value)),
          name.endsWith("Ns") || name.endsWith("Bytes") ? "-1" : "0",
        );
        break;
      }
      case HOLDS.uint8:
      case HOLDS.uint16:
        put(columns, name, low, 0);
        break;
      case HOLDS.int8:
      case HOLDS.int16:
        put(columns, name, low, -1);
        break;
      case HOLDS.address:
        put(
          columns,
          name,
          Buffer.from(name === "PeerAddress" ? draft.peerAddress : draft.localAddress).toString(
            "hex",
          ),
          "0".repeat(32),
        );
        break;
      case HOLDS.chain:
        if (draft.chainCount > 0)
          columns[name] = Array.from({ length: draft.chainCount }, (_, i) =>
            text(draft.scratch, draft.chainStart[i]!, draft.chainEnd[i]!),
          );
        break;
      case HOLDS.logMap: {
        const map = logAttributes(draft, view);
        if (map.length > 0) columns[name] = map;
        break;
      }
    }
  });
  if (draft.keepBody)
    columns["Body"] = valueOf(view.buffer, view.bodyType, view.bodyStart, view.bodyEnd);
  if (draft.redactionCount > 0)
    columns["Redactions"] = Array.from({ length: draft.redactionCount }, (_, i) =>
      text(draft.constants, draft.redactionStart[i]!, draft.redactionEnd[i]!),
    );
  return columns;
}

function logAttributes(
  draft: AccessDraft,
  { attributes: list, buffer }: LogView,
): [string, string][] {
  const map: [string, string][] = [];
  for (let i = 0; i < list.count; i++) {
    const key = text(buffer, list.keyStart[i]!, list.keyEnd[i]!);
    if (draft.taken[i] === TAKEN.left)
      map.push([key, valueOf(buffer, list.valueType[i]!, list.valueStart[i]!, list.valueEnd[i]!)]);
    if (draft.taken[i] === TAKEN.redacted) map.push([key, "[redacted]"]);
    if (draft.taken[i] === TAKEN.rewritten)
      map.push([key, text(draft.scratch, draft.rewrittenStart[i]!, draft.rewrittenEnd[i]!)]);
  }
  for (let i = 0; i < draft.remarkCount; i++)
    map.push([
      text(draft.constants, draft.remarkKeyStart[i]!, draft.remarkKeyEnd[i]!),
      text(draft.constants, draft.remarkStart[i]!, draft.remarkEnd[i]!),
    ]);
  return map.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

/** Texts as they are; of anything else its bytes, which is enough to see whether a secret is in them. */
function valueOf(buffer: Uint8Array, type: number, start: number, end: number): string {
  return type === VALUE_TYPES.string
    ? text(buffer, start, end)
    : `${Object.keys(VALUE_TYPES)[type]}:${Buffer.from(buffer.subarray(start, end)).toString("latin1")}`;
}

function text(from: Uint8Array, start: number, end: number): string {
  return Buffer.from(from.subarray(start, end)).toString("utf8");
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
