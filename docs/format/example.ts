import { createPrivateKey, createPublicKey, hash, sign } from "node:crypto";
import { TABLES, type Column, type ColumnType, type Table } from "../../src/records/columns.ts";
import { RowBuffer } from "../../src/records/row-buffer.ts";
import { encodeColumns, encodeRow, type RowInput } from "../../src/records/row-codec.ts";
import { formatCheckpoint } from "../../src/tlog/checkpoint.ts";
import { encodeEntry } from "../../src/tlog/entry.ts";
import { leafHash, nodeHash } from "../../src/tlog/merkle.ts";
import { ED25519_TYPE, formatNote, formatVerifierKey, keyId } from "../../src/tlog/note.ts";
import { formatProof } from "../../src/tlog/proof.ts";
import { encodeBundle } from "../../src/tlog/tiles.ts";

/** The log of docs/design/format.md: six records, one of each kind, from which every byte in that document comes. */

export const ORIGIN = "format.example/log";
/** Ed25519 secret key of RFC 8032, section 7.1, TEST 1: everybody has it. */
const SEED = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
/** A PKCS#8 Ed25519 key up to its 32 bytes (RFC 8410, section 7). */
const PKCS8_PREFIX = "302e020100300506032b657004220420";

const privateKey = createPrivateKey({
  key: Buffer.from(PKCS8_PREFIX + SEED, "hex"),
  format: "der",
  type: "pkcs8",
});
const publicKey = Buffer.from(createPublicKey(privateKey).export({ format: "jwk" }).x!, "base64url");
const id = keyId(ORIGIN, ED25519_TYPE, publicKey);
export const VERIFIER_KEY = formatVerifierKey({
  name: ORIGIN,
  keyId: id,
  type: ED25519_TYPE,
  publicKey,
});

type Values = Readonly<Record<string, RowInput>>;

/** A record of the example, encoded. */
export interface ExampleRecord {
  readonly index: number;
  readonly table: Table;
  readonly row: Uint8Array;
  /** The row column by column. */
  readonly columns: readonly { readonly column: Column; readonly value: RowInput; readonly bytes: Buffer }[];
  readonly rowHash: Buffer;
  readonly entry: Buffer;
  readonly leaf: Buffer;
}

const EMPTY: Partial<Record<ColumnType, RowInput>> = {
  String: "",
  "LowCardinality(String)": "",
  IPv6: Buffer.alloc(16),
};
/** 2026-01-02T03:04:05Z in nanoseconds. */
const TIME = 1_767_323_045_000_000_000n;
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";

const RECEIVED: Values = {
  ReceivedTimestamp: TIME + 250_000_000n,
  Sender: "collector",
  SenderAuth: "token",
  RetentionClass: "default",
};

function example(index: number, table: Table, given: Values): ExampleRecord {
  const salt = hash("sha256", `meshproof format, record ${index}`, "buffer").subarray(0, 16);
  const values: Values = { LeafVersion: 1, Kind: table.kind, Salt: salt, ...given };
  const all = table.columns.map(
    ({ name, type }): RowInput =>
      values[name] ?? EMPTY[type] ?? (/^(?:Array|Map)/.test(type) ? [] : 0),
  );
  const unknown = Object.keys(values).find((key) => !table.columns.some(({ name }) => name === key));
  if (unknown !== undefined) throw new TypeError(`${table.name} has no column ${unknown}`);
  const columns = table.columns.map((column, i) => ({
    column,
    value: all[i]!,
    bytes: encoded(column, all[i]!),
  }));
  const row = encodeRow(table, all);
  const rowHash = hash("sha256", row, "buffer");
  const entry = Buffer.from(encodeEntry(table.kind, rowHash));
  return { index, table, row, columns, rowHash, entry, leaf: Buffer.from(leafHash(entry)) };
}

/** A value as RowBinary. */
export function encoded(column: Column, value: RowInput): Buffer {
  const out = new RowBuffer(64);
  encodeColumns(out, [column], [value]);
  return Buffer.from(out.bytes.slice(0, out.position));
}

const created = example(0, TABLES.control, {
  Timestamp: TIME,
  ControlKind: "log_created",
  Detail: [
    ["origin", ORIGIN],
    ["verifier_key", VERIFIER_KEY],
  ],
});

/** First 16 hex digits of the hash of row 0. */
export const LOG_ID = created.rowHash.toString("hex", 0, 8);

export const RECORDS: readonly ExampleRecord[] = [
  created,
  example(1, TABLES.log, {
    ...RECEIVED,
    Truncations: [`Body 70000 bytes sha256:${hash("sha256", "a".repeat(70_000), "hex")}`],
    Timestamp: TIME + 1n,
    TraceId: TRACE,
    SpanId: SPAN,
    TraceFlags: 1,
    SeverityText: "INFO",
    SeverityNumber: 9,
    ServiceName: "orders",
    // Shorter than the code would cut it, to spare the reader 64 kB.
    Body: "aaa…",
    ResourceAttributes: [["service.name", "orders"]],
    LogAttributes: [
      ["a", "3"],
      ["b", "1"],
      ["b", "2"],
    ],
  }),
  example(2, TABLES.access, {
    ...RECEIVED,
    Redactions: ["Query"],
    Timestamp: TIME + 2n,
    DurationNs: 12_000_000n,
    UpstreamDurationNs: -1n,
    TraceId: TRACE,
    SpanId: SPAN,
    TraceFlags: 1,
    TraceSource: "traceparent",
    Actor: "spiffe://cluster.local/ns/shop/sa/web",
    ActorKind: "workload",
    AuthMethod: "mtls",
    PeerAddress: Buffer.from("00000000000000000000ffff0a010203", "hex"),
    PeerPort: 40_000,
    ServiceName: "orders",
    LocalAddress: Buffer.from("20010db8000000000000000000000001", "hex"),
    LocalPort: 8080,
    Direction: "inbound",
    Protocol: "HTTP/2",
    Method: "GET",
    Path: "/orders/7",
    Query: "token=[redacted]",
    Decision: "denied",
    DecisionEngine: "rbac",
    StatusCode: 403,
    GrpcStatus: -1,
    RequestBytes: 0n,
    ResponseBytes: 19n,
    Dialect: "envoy_otel",
    ActorAssurance: "mtls",
    ParseStatus: "full",
    SampledHint: 1,
  }),
  example(3, TABLES.span, {
    ...RECEIVED,
    Timestamp: TIME + 2n,
    TraceId: TRACE,
    SpanId: SPAN,
    SpanName: "GET /orders",
    SpanKind: "Server",
    ServiceName: "orders",
    Duration: 12_000_000n,
    StatusCode: "Ok",
    "Events.Timestamp": [TIME + 3n],
    "Events.Name": ["retry"],
    "Events.Attributes": [[["attempt", "2"]]],
    "Events.DroppedAttributesCount": [0],
    TraceFlags: 257,
  }),
  example(4, TABLES.link, {
    Timestamp: TIME + 1_000_000_000n,
    TraceId: TRACE,
    Rule: "span",
    Confidence: 1,
    AccessLog: LOG_ID,
    AccessLeaf: 2n,
    SpanLog: LOG_ID,
    SpanLeaf: 3n,
    ClockDifferenceNs: 0n,
  }),
  example(5, TABLES.finding, {
    Timestamp: TIME - (TIME % 60_000_000_000n),
    FindingKind: "truncated",
    Severity: "info",
    State: "open",
    Subject: "collector",
    Message: "1 record from collector had values cut to fit max_record_size.",
    Evidence: [1n],
    Detail: [
      ["count", "1"],
      ["first", String(TIME + 250_000_000n)],
      ["last", String(TIME + 250_000_000n)],
    ],
  }),
];

const [n0, n1, n2, n3, n4, n5] = RECORDS.map(({ leaf }) => leaf) as [
  Buffer, Buffer, Buffer, Buffer, Buffer, Buffer,
];
const node = (left: Uint8Array, right: Uint8Array): Buffer => Buffer.from(nodeHash(left, right));

const h01 = node(n0, n1);
const h23 = node(n2, n3);
const h45 = node(n4, n5);
const h0123 = node(h01, h23);
export const ROOT = node(h0123, h45);
/** Inner nodes, by the leaves below them. */
export const NODES: readonly (readonly [leaves: string, from: string, hash: Buffer])[] = [
  ["0 to 1", "leaf 0, leaf 1", h01],
  ["2 to 3", "leaf 2, leaf 3", h23],
  ["4 to 5", "leaf 4, leaf 5", h45],
  ["0 to 3", "0 to 1, 2 to 3", h0123],
  ["0 to 5", "0 to 3, 4 to 5: the root", ROOT],
];

export const BUNDLE = Buffer.from(encodeBundle(RECORDS.map(({ entry }) => entry)));

const text = formatCheckpoint({ origin: ORIGIN, size: RECORDS.length, root: ROOT });
export const CHECKPOINT = formatNote(text, [
  { name: ORIGIN, keyId: id, signature: sign(null, Buffer.from(text), privateKey) },
]);

/** The proof of record 4: the link. */
export const PROVED = RECORDS[4]!;
export const PROOF = formatProof({
  index: PROVED.index,
  hashes: [n5, h0123],
  checkpoint: CHECKPOINT,
  extra: PROVED.row,
});
