import { TABLES } from "./columns.ts";
import { viewOf } from "./row-buffer.ts";
import type { LogView } from "./views.ts";

const COLUMNS = TABLES.access.columns;

/** Position of each access-record column in the row, by name. */
export const ACCESS = Object.freeze(
  Object.fromEntries(COLUMNS.map((c, i) => [c.name, i])),
) as Readonly<Record<AccessColumn, number>>;
export type AccessColumn = (typeof ACCESS_COLUMN_NAMES)[number];
const ACCESS_COLUMN_NAMES = [
  "Timestamp",
  "TimestampRaw",
  "ObservedTimestamp",
  "DurationNs",
  "UpstreamDurationNs",
  "Phase",
  "TraceId",
  "SpanId",
  "ParentSpanId",
  "TraceFlags",
  "TraceSource",
  "RequestId",
  "Actor",
  "ActorKind",
  "EndUser",
  "EndUserIssuer",
  "AuthMethod",
  "PeerPrincipal",
  "PeerNamespace",
  "PeerServiceAccount",
  "PeerWorkload",
  "PeerAddress",
  "PeerPort",
  "PeerCertificateHash",
  "ForwardedFor",
  "ActorChain",
  "TlsVersion",
  "TlsCipher",
  "RequestedServerName",
  "UserAgent",
  "ServiceName",
  "LocalPrincipal",
  "LocalNamespace",
  "LocalServiceAccount",
  "LocalWorkload",
  "LocalAddress",
  "LocalPort",
  "UpstreamCluster",
  "UpstreamAddress",
  "Route",
  "Direction",
  "Protocol",
  "Method",
  "Authority",
  "Path",
  "Query",
  "RpcService",
  "RpcMethod",
  "Decision",
  "DecisionEngine",
  "Policy",
  "DecisionReason",
  "ShadowDecision",
  "ShadowPolicy",
  "StatusCode",
  "GrpcStatus",
  "ResponseFlags",
  "ResponseDetails",
  "RequestBytes",
  "ResponseBytes",
  "TransportFailure",
  "ConnectionId",
  "Attempts",
  "Dialect",
  "Mesh",
  "ProxyId",
  "ClusterName",
  "Body",
  "ResourceAttributes",
  "LogAttributes",
  "DataClass",
  "ActorAssurance",
  "UserAssurance",
  "TimeBasis",
  "TimePrecision",
  "DecisionSource",
  "ParseStatus",
  "SampledHint",
] as const;

/** How a column of the draft is held; the row writer switches on it. */
export const HOLDS = {
  text: 0,
  uint8: 1,
  uint16: 2,
  int8: 3,
  int16: 4,
  eight: 5,
  address: 6,
  chain: 7,
  resourceMap: 8,
  logMap: 9,
  head: 10,
} as const;

const HOLD_OF_TYPE: Readonly<Record<string, number>> = {
  String: HOLDS.text,
  "LowCardinality(String)": HOLDS.text,
  UInt8: HOLDS.uint8,
  UInt16: HOLDS.uint16,
  Int8: HOLDS.int8,
  Int16: HOLDS.int16,
  Int64: HOLDS.eight,
  UInt64: HOLDS.eight,
  "DateTime64(9)": HOLDS.eight,
  IPv6: HOLDS.address,
  "Array(String)": HOLDS.chain,
};

/** First column behind those that the request gives (LeafVersion … Redactions). */
export const FIRST_ACCESS_COLUMN = COLUMNS.findIndex((c) => c.name === "Timestamp");

/** HOLDS of every column, by position. */
export const ACCESS_HOLDS = Uint8Array.from(COLUMNS, (c, i) => {
  if (i < FIRST_ACCESS_COLUMN) return HOLDS.head;
  if (c.name === "ResourceAttributes") return HOLDS.resourceMap;
  if (c.name === "LogAttributes") return HOLDS.logMap;
  const hold = HOLD_OF_TYPE[c.type];
  if (hold === undefined) throw new TypeError(`no way to hold a column of type ${c.type}`);
  return hold;
});

/** Numbers that say "unknown" by -1; all others by 0. */
const UNKNOWN_IS_MINUS_ONE = new Set([
  "DurationNs",
  "UpstreamDurationNs",
  "RequestBytes",
  "ResponseBytes",
  "GrpcStatus",
  "SampledHint",
]);

/** Where the bytes of a text column are: the record, what a dialect wrote, constants, or what all records of a scope share. */
export const SOURCES = { empty: 0, record: 1, scratch: 2, constant: 3, shared: 4 } as const;

/** What a dialect did with an attribute: left for LogAttributes, or taken into a column. */
export const TAKEN = { left: 0, taken: 1 } as const;

const SCRATCH_BYTES = 64 * 1024;
const CONSTANT_BYTES = 4096;
const NOTHING = new Uint8Array(0);

/** What `reset` sets anew lies in one piece of memory, so that it is one copy: low, high, two addresses, sources. */
const ADDRESS_BYTES = 16;
const HIGH_AT = COLUMNS.length * 4;
const PEER_AT = HIGH_AT * 2;
const LOCAL_AT = PEER_AT + ADDRESS_BYTES;
const SOURCE_AT = LOCAL_AT + ADDRESS_BYTES;
const STATE_BYTES = SOURCE_AT + COLUMNS.length;
const DEFAULT_STATE = defaultState();

/** Zeros, but for the numbers that say "unknown" by -1. */
function defaultState(): Uint8Array {
  const state = new Uint8Array(STATE_BYTES);
  const numbers = new Int32Array(state.buffer, 0, COLUMNS.length * 2);
  COLUMNS.forEach(({ name }, i) => {
    if (UNKNOWN_IS_MINUS_ONE.has(name)) numbers[i] = numbers[i + COLUMNS.length] = -1;
  });
  return state;
}

/**
 * An access record that is being put together from a LogView, without making strings: a text column is a range of the record's own bytes,
 * or of `scratch`, where a dialect writes what does not stand verbatim in the record. The same draft is used for record after record.
 *
 * Defaults after `reset`: texts empty, addresses ::, DurationNs, UpstreamDurationNs, RequestBytes, ResponseBytes, GrpcStatus and SampledHint -1, other numbers 0,
 * nothing taken. The row writer fills LogAttributes with the attributes that are not taken, and ResourceAttributes from the resource.
 */
export class AccessDraft {
  view: LogView | undefined;
  readonly #state = new Uint8Array(STATE_BYTES);
  /** Numbers: the low 32 bits, and for columns of eight bytes the high 32 bits. */
  readonly low = new Int32Array(this.#state.buffer, 0, COLUMNS.length);
  readonly high = new Int32Array(this.#state.buffer, HIGH_AT, COLUMNS.length);
  /** PeerAddress and LocalAddress, 16 bytes each in network order. */
  readonly peerAddress = this.#state.subarray(PEER_AT, LOCAL_AT);
  readonly localAddress = this.#state.subarray(LOCAL_AT, SOURCE_AT);
  /** SOURCES of each text column, and its range there. */
  readonly source = this.#state.subarray(SOURCE_AT);
  readonly start = new Int32Array(COLUMNS.length);
  readonly end = new Int32Array(COLUMNS.length);
  /** Ranges in scratch: ActorChain, oldest hop first. */
  chainCount = 0;
  chainStart = new Int32Array(16);
  chainEnd = new Int32Array(16);
  /** Names for the Redactions column: ranges of `constants`. Stays within 16; one for a column or key. */
  redactionCount = 0;
  readonly redactionStart = new Int32Array(16);
  readonly redactionEnd = new Int32Array(16);
  /** TAKEN of each attribute of the view. */
  taken = new Uint8Array(64);
  /** For the row writer: the attributes that go to LogAttributes, in the order of their keys. */
  left = new Int32Array(64);
  /** What we say of the record ourselves, further entries of LogAttributes: keys, ascending, and values are ranges of `constants`. */
  remarkCount = 0;
  readonly remarkKeyStart = new Int32Array(4);
  readonly remarkKeyEnd = new Int32Array(4);
  readonly remarkStart = new Int32Array(4);
  readonly remarkEnd = new Int32Array(4);
  /** Perhaps LogAttributes says that the sources of the record contradict each other on who called (REMARKS.identityConflict). */
  mayHaveConflict = false;
  /** Body gets the view's body as it is. */
  keepBody = false;

  scratch = new Uint8Array(SCRATCH_BYTES);
  scratchEnd = 0;
  /** The bytes of all constants. */
  constants = new Uint8Array(CONSTANT_BYTES);
  /** By SOURCES: the bytes that text columns are in. */
  readonly #bytes: Uint8Array[] = [NOTHING, NOTHING, this.scratch, this.constants, NOTHING];
  /** The same, as views. */
  readonly views: DataView[] = this.#bytes.map(viewOf);
  #constantsEnd = 0;
  readonly #constantNumbers = new Map<string, number>();
  readonly #constantStart: number[] = [];
  readonly #constantEnd: number[] = [];

  /** Empties the draft for the next record. */
  reset(view: LogView): void {
    this.view = view;
    this.#state.set(DEFAULT_STATE);
    if (this.#bytes[SOURCES.record] !== view.buffer) this.#setBytes(SOURCES.record, view.buffer);
    this.chainCount = 0;
    this.redactionCount = 0;
    this.remarkCount = 0;
    this.mayHaveConflict = false;
    this.keepBody = false;
    const count = view.attributes.count;
    if (this.taken.length < count) {
      this.taken = new Uint8Array(count * 2);
      this.left = new Int32Array(count * 2);
    } else this.taken.fill(TAKEN.left, 0, count);
    this.scratchEnd = 0;
  }

  /** Interns a text and returns its number, for `setConstant`. Constants stay for ever: never intern a record's own content. */
  constant(text: string): number {
    const known = this.#constantNumbers.get(text);
    if (known !== undefined) return known;
    const bytes = Buffer.from(text, "utf8");
    const start = this.#constantsEnd;
    if (start + bytes.length > this.constants.length) {
      const larger = new Uint8Array(Math.max(this.constants.length * 2, start + bytes.length));
      larger.set(this.constants);
      this.constants = larger;
      this.#setBytes(SOURCES.constant, larger);
    }
    this.constants.set(bytes, start);
    this.#constantsEnd = start + bytes.length;
    const number = this.#constantStart.push(start) - 1;
    this.#constantEnd.push(this.#constantsEnd);
    this.#constantNumbers.set(text, number);
    return number;
  }

  /** A text column gets a constant. */
  setConstant(column: number, constant: number): void {
    this.source[column] = SOURCES.constant;
    this.start[column] = this.#constantStart[constant]!;
    this.end[column] = this.#constantEnd[constant]!;
  }

  /** A text column gets the bytes [start, end) of the record. An empty range leaves it empty. */
  setText(column: number, start: number, end: number): void {
    this.source[column] = start < end ? SOURCES.record : SOURCES.empty;
    this.start[column] = start;
    this.end[column] = end;
  }

  /** A text column gets the bytes [start, end) of `scratch`. */
  setScratch(column: number, start: number, end: number): void {
    this.source[column] = start < end ? SOURCES.scratch : SOURCES.empty;
    this.start[column] = start;
    this.end[column] = end;
  }

  /** A text column gets what another one has. */
  copyText(column: number, from: number): void {
    this.source[column] = this.source[from]!;
    this.start[column] = this.start[from]!;
    this.end[column] = this.end[from]!;
  }

  /** The bytes that all records of a scope share; columns get ranges of them by `setShared`. */
  share(bytes: Uint8Array): void {
    if (this.#bytes[SOURCES.shared] !== bytes) this.#setBytes(SOURCES.shared, bytes);
  }

  /** A text column gets the bytes [start, end), not empty, of what was shared. */
  setShared(column: number, start: number, end: number): void {
    this.source[column] = SOURCES.shared;
    this.start[column] = start;
    this.end[column] = end;
  }

  /** The bytes that a text column's range is in. */
  bytesOf(column: number): Uint8Array {
    return this.#bytes[this.source[column]!]!;
  }

  isEmpty(column: number): boolean {
    return this.source[column] === SOURCES.empty;
  }

  /** A number column gets an integer, |value| < 2^53. The writer takes as many bytes of it as the column has: the caller keeps it in range. */
  setNumber(column: number, value: number): void {
    const low = value | 0;
    if (low === value) {
      this.low[column] = low;
      this.high[column] = low >> 31;
      return;
    }
    const high = Math.floor(value / 0x1_0000_0000);
    this.high[column] = high | 0;
    this.low[column] = (value - high * 0x1_0000_0000) | 0;
  }

  /** Two number columns get each other's value. */
  swapNumbers(a: number, b: number): void {
    const { low, high } = this;
    const lowA = low[a]!;
    const highA = high[a]!;
    low[a] = low[b]!;
    high[a] = high[b]!;
    low[b] = lowA;
    high[b] = highA;
  }

  /** An eight-byte column gets the little-endian bytes at `offset` of the record. */
  setEightBytes(column: number, offset: number): void {
    const b = this.view!.buffer;
    this.low[column] =
      b[offset]! | (b[offset + 1]! << 8) | (b[offset + 2]! << 16) | (b[offset + 3]! << 24);
    this.high[column] =
      b[offset + 4]! | (b[offset + 5]! << 8) | (b[offset + 6]! << 16) | (b[offset + 7]! << 24);
  }

  /** Appends a hop to ActorChain: the bytes [start, end) of `scratch`. */
  pushChain(start: number, end: number): void {
    if (this.chainCount === this.chainStart.length) return;
    this.chainStart[this.chainCount] = start;
    this.chainEnd[this.chainCount] = end;
    this.chainCount++;
  }

  /** Adds an entry to LogAttributes: two constants. Keys come in ascending order, four at most. */
  addRemark(key: number, constant: number): void {
    const i = this.remarkCount++;
    this.remarkKeyStart[i] = this.#constantStart[key]!;
    this.remarkKeyEnd[i] = this.#constantEnd[key]!;
    this.remarkStart[i] = this.#constantStart[constant]!;
    this.remarkEnd[i] = this.#constantEnd[constant]!;
  }

  /** Notes in Redactions that something was redacted; once for each constant. */
  addRedaction(constant: number): void {
    const start = this.#constantStart[constant]!;
    for (let i = 0; i < this.redactionCount; i++) if (this.redactionStart[i] === start) return;
    if (this.redactionCount === this.redactionStart.length) return;
    this.redactionStart[this.redactionCount] = start;
    this.redactionEnd[this.redactionCount] = this.#constantEnd[constant]!;
    this.redactionCount++;
  }

  /** Makes room for `bytes` more behind scratchEnd. Positions stay; the array may be another one afterwards. */
  reserve(bytes: number): void {
    if (this.scratchEnd + bytes <= this.scratch.length) return;
    const larger = new Uint8Array(Math.max(this.scratch.length * 2, this.scratchEnd + bytes));
    larger.set(this.scratch.subarray(0, this.scratchEnd));
    this.scratch = larger;
    this.#setBytes(SOURCES.scratch, larger);
  }

  #setBytes(source: number, bytes: Uint8Array): void {
    this.#bytes[source] = bytes;
    this.views[source] = viewOf(bytes);
  }
}
