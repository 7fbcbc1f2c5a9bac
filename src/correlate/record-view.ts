import { behindLength, ColumnFinder, lengthAt } from "../records/column-finder.ts";
import { type Table, TABLES } from "../records/columns.ts";
import { lowAt } from "../records/timestamps.ts";
import { ProxySpans, SPAN_COLUMNS } from "./proxy-spans.ts";

/** Where the time of receipt stands in a row of kinds 1 to 3, behind LeafVersion, Kind and Salt. */
const RECEIVED_OFFSET = 18;
const TRACE_ID_DIGITS = 32;
const SPAN_ID_DIGITS = 16;
const ACCESS_COLUMNS = ["Timestamp", "TraceId", "SpanId", "RequestId"] as const;
/** Stands far behind the others, and is looked at only where there is a request ID. */
const DIALECT = "Dialect";
const BEHIND_REQUEST_ID: Table = {
  ...TABLES.access,
  columns: TABLES.access.columns.slice(
    TABLES.access.columns.findIndex(({ name }) => name === "RequestId") + 1,
  ),
};
/** Dialect of the records that a policy engine wrote of its decisions, as a String of a row. */
const DECISION_LOG = Buffer.from("\x03opa");

/** Columns that correlation looks at, in the order of the row: what it needs of rows that only the store still has. */
export const WANTED_COLUMNS = {
  access: ["ReceivedTimestamp", ...ACCESS_COLUMNS, DIALECT],
  span: ["ReceivedTimestamp", ...SPAN_COLUMNS],
} as const;

/** When the record was received, in milliseconds since the epoch; its row begins at `start`. */
export function receivedMs(bytes: Uint8Array, start: number): number {
  const low = lowAt(bytes, start + RECEIVED_OFFSET);
  return (low + lowAt(bytes, start + RECEIVED_OFFSET + 4) * 2 ** 32) / 1e6;
}

/** What the rules see of a record. One view is filled again for each record. */
export class RecordView {
  /** Words 0 to 3 are the trace ID, 4 and 5 the span ID; zeros where there is none. */
  readonly ids = new Uint32Array(6);
  hasTraceId = false;
  hasSpanId = false;
  /** Where the request ID of an access record stands in `bytes`: an empty range when there is none, and for a span. */
  bytes: Uint8Array = new Uint8Array(0);
  requestIdStart = 0;
  requestIdEnd = 0;
  /** Is it an access record that a policy engine wrote of a decision? */
  isDecision = false;
  /** Start of the request or span: low and high 32 bits of nanoseconds. */
  startLow = 0;
  startHigh = 0;
  /** Is it a proxy's span that an access record should stand beside? */
  isExpected = false;
  /** Whose span it is, where `isExpected`. */
  subjectStart = 0;
  subjectEnd = 0;
  readonly #access = new ColumnFinder(TABLES.access, ACCESS_COLUMNS);
  readonly #dialect = new ColumnFinder(BEHIND_REQUEST_ID, [DIALECT]);
  readonly #span = new ColumnFinder(TABLES.span, SPAN_COLUMNS);
  readonly #proxySpans = new ProxySpans();

  /** Reads an access record whose row begins at `start`. */
  readAccess(bytes: Uint8Array, start: number): void {
    const { positions } = this.#access;
    this.#access.find(bytes, start);
    this.#readIds(bytes, positions[0]!, positions[1]!, positions[2]!);
    this.isExpected = false;
    this.bytes = bytes;
    this.requestIdStart = behindLength(bytes, positions[3]!);
    this.requestIdEnd = this.requestIdStart + lengthAt(bytes, positions[3]!);
    this.isDecision = false;
    if (this.requestIdStart === this.requestIdEnd) return;
    this.#dialect.find(bytes, this.requestIdEnd);
    this.isDecision = beginsWith(bytes, this.#dialect.positions[0]!, DECISION_LOG);
  }

  /** Reads a span whose row begins at `start`. */
  readSpan(bytes: Uint8Array, start: number): void {
    const { positions } = this.#span;
    this.#span.find(bytes, start);
    this.#readIds(bytes, positions[0]!, positions[1]!, positions[2]!);
    this.requestIdStart = this.requestIdEnd = 0;
    this.isDecision = false;
    const proxySpans = this.#proxySpans;
    this.isExpected = proxySpans.read(bytes, positions);
    this.subjectStart = proxySpans.subjectStart;
    this.subjectEnd = proxySpans.subjectEnd;
  }

  #readIds(bytes: Uint8Array, timestamp: number, traceId: number, spanId: number): void {
    this.startLow = lowAt(bytes, timestamp);
    this.startHigh = lowAt(bytes, timestamp + 4);
    this.hasTraceId = readId(bytes, traceId, TRACE_ID_DIGITS, this.ids, 0);
    this.hasSpanId = readId(bytes, spanId, SPAN_ID_DIGITS, this.ids, 4);
  }
}

function beginsWith(bytes: Uint8Array, start: number, prefix: Uint8Array): boolean {
  for (let i = 0; i < prefix.length; i++) if (bytes[start + i] !== prefix[i]) return false;
  return true;
}

/** Reads an ID of lower-case hex digits; false when it is absent or zero. Source: W3C Trace Context, section 3.2.2. */
function readId(
  bytes: Uint8Array,
  at: number,
  digits: number,
  words: Uint32Array,
  first: number,
): boolean {
  const end = first + digits / 8;
  if (bytes[at] !== digits) {
    words.fill(0, first, end);
    return false;
  }
  let any = 0;
  let p = at + 1;
  for (let i = first; i < end; i++) {
    let word = 0;
    for (const behind = p + 8; p < behind; p++) {
      const char = bytes[p]!;
      word = (word << 4) | ((char & 15) + 9 * (char >>> 6)); // a to f are 0x61 to 0x66
    }
    words[i] = word;
    any |= word;
  }
  return any !== 0;
}
