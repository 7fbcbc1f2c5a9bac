import { FINDINGS } from "../../src/correlate/findings/index.ts";
import { COLUMN_TYPES, type ColumnType, type Table, TABLES } from "../../src/records/columns.ts";
import { CONTROL_KINDS, FINDING_DETAIL } from "../../src/records/own-kinds.ts";
import { formatTime } from "../../src/records/row-json.ts";
import type { RowInput } from "../../src/records/row-codec.ts";
import {
  BUNDLE,
  CHECKPOINT,
  encoded,
  type ExampleRecord,
  LOG_ID,
  NODES,
  PROOF,
  PROVED,
  RECORDS,
  VERIFIER_KEY,
} from "./example.ts";

/** docs/design/format.md: its sentences stand here, its bytes come from the code. */

/** How each type is written, and a value that shows it. */
const ENCODINGS: Readonly<Record<ColumnType, readonly [how: string, value: RowInput, shown: string]>> = {
  UInt8: ["1 byte", 9, "9"],
  UInt16: ["2 bytes, little endian", 403, "403"],
  UInt32: ["4 bytes, little endian", 257, "257"],
  UInt64: ["8 bytes, little endian", 1n, "1"],
  Int8: ["1 byte, two's complement", -1, "-1"],
  Int16: ["2 bytes, little endian, two's complement", -1, "-1"],
  Int64: ["8 bytes, little endian, two's complement", -1n, "-1"],
  Float32: ["4 bytes, little endian, IEEE 754 binary32", 0.75, "0.75"],
  String: ["length in bytes as LEB128, then the bytes. UTF-8 as a rule, but any bytes may come", "é\n", '"é\\n"'],
  "LowCardinality(String)": ["as String: LowCardinality is how a column is stored, it is not seen here", "GET", '"GET"'],
  "FixedString(16)": ["its 16 bytes, no length", Buffer.from("00112233445566778899aabbccddeeff", "hex"), "these bytes"],
  "DateTime64(9)": ["nanoseconds since 1970-01-01T00:00:00Z as Int64", 1_767_323_045_000_000_001n, "2026-01-02T03:04:05.000000001Z"],
  IPv6: ["16 bytes in network order. IPv4 is ::ffff:a.b.c.d", Buffer.from("00000000000000000000ffff0a010203", "hex"), "::ffff:10.1.2.3"],
  "Map(LowCardinality(String), String)": ["number of pairs as LEB128, then key, value, key, value …, each as String. Sorted by the bytes of the keys; equal keys stay, in the order in which they came", [["a", "1"], ["a", "0"]], "a: 1, a: 0"],
  "Array(String)": ["number of items as LEB128, then each", ["x", ""], '"x", ""'],
  "Array(LowCardinality(String))": ["the same", ["x"], '"x"'],
  "Array(UInt32)": ["the same", [1], "1"],
  "Array(UInt64)": ["the same", [1n], "1"],
  "Array(DateTime64(9))": ["the same", [1n], "1970-01-01T00:00:00.000000001Z"],
  "Array(Map(LowCardinality(String), String))": ["the same, each item a map", [[["k", "v"]], []], "{k: v}, {}"],
};

const KIND_WORDS: Readonly<Record<number, string>> = { 1: "access record", 2: "span", 3: "log", 4: "link", 5: "finding", 6: "control record" };

export function formatDocument(): string {
  return [
    head(),
    encodings(),
    rows(),
    "## Worked bytes: a log of six records\n\nOne record of each kind. The key is the one of RFC 8032, section 7.1, TEST 1, so that whoever likes can sign the same bytes.\n",
    ...RECORDS.map(record),
    tree(),
    proof(),
    sql(),
    ownKinds(),
    cutting(),
    versions(),
  ].join("\n");
}

function head(): string {
  return `# Row and entry, version 1

<!-- Generated from docs/format and src/records by \`npm run generate\`. Every byte below comes from the code. -->

What is hashed, byte by byte: with this document, [the columns](../schema.md) and the standards that it names, a verifier can be written that shares nothing with ours.
\`test/interop/format/formatcheck.py\` is one, 500 lines of Python with its standard library alone; \`npm run interop -- format\` sets it against a running server, and a test against this document.

\`\`\`
row    = RowBinary of LeafVersion, Kind, Salt and the other columns of its table, in the order of schema.md
entry  = 0x01 ‖ Kind ‖ SHA-256(row)                                34 bytes
leaf   = SHA-256(0x00 ‖ entry)                                     RFC 6962, section 2.1
node   = SHA-256(0x01 ‖ left ‖ right)
bundle = for each entry 0x00 0x22 (its length, big endian), entry  C2SP tlog-tiles
\`\`\`

- **One encoding.** A record is encoded once. The same bytes are hashed, kept in the journal, inserted into ClickHouse, and given away in proofs.
- **LogId and LeafIndex are no part of the row.** They stand in front of it in the tables. \`LeafIndex\` is the entry's index, from 0; all tables share the indexes, and each has exactly one row.
  \`LogId\` is the first 16 hex digits of SHA-256(row 0), lower case. Row 0 is a control record \`log_created\`, which names origin and key; its salt makes each log's ID another.
- **The salt** is 16 random bytes a record. The log is public and holds hashes alone: the salt keeps anybody from guessing a record and comparing.
- **The kind** stands in the row and in the entry: 1 access record, 2 span, 3 log, 4 link, 5 finding, 6 control record. It decides the table, and with it the columns.
- **Bounds.** A row of kind 1 to 3 has at most \`max_record_size\` bytes (1 MiB unless configured otherwise; see [below](#values-that-were-cut)).
`;
}

function encodings(): string {
  for (const type of COLUMN_TYPES) if (ENCODINGS[type] === undefined) throw new TypeError(type);
  return `## Types

The row is ClickHouse's RowBinary: values one behind the other, no names, no separators, nothing that says that a value is missing. An absent text is empty; absent numbers that could be zero are -1, where
[the columns](../schema.md) say so. No column is Nullable. LEB128 is unsigned, in the shortest form: seven bits a byte, the lowest first, the high bit set on all but the last; 300 is \`ac 02\`.

| type | bytes | for example | |
| --- | --- | --- | --- |
${COLUMN_TYPES.map((type) => {
  const [how, value, shown] = ENCODINGS[type];
  return `| ${type} | ${how} | ${code(shown)} | ${code(spaced(encoded({ name: "", type, comment: "" }, value)))} |`;
}).join("\n")}

Columns with a dot in their name (\`Events.Name\`) are the parts of a Nested structure: plain arrays, all of one structure of equal length.
`;
}

function rows(): string {
  return `## Reading rows from ClickHouse

\`SELECT LogId, LeafIndex, <columns> FROM <table> FORMAT RowBinary\` gives LogId as String, LeafIndex as UInt64, then the row; then the next one, without anything in between. To find where a row ends, it has
to be decoded. Rows may come in any order. The columns have to be named: \`SELECT *\` gives them in the table's order, with columns that somebody added.
`;
}

function record({ index, table, columns, row, rowHash, entry, leaf }: ExampleRecord): string {
  let offset = 0;
  const lines = columns.map(({ column: { name }, value, bytes }) => {
    const line = `| ${offset} | ${code(spaced(bytes))} | ${name} | ${show(value, table, name)} |`;
    offset += bytes.length;
    return line;
  });
  return `### Record ${index}: ${KIND_WORDS[table.kind]}, \`${table.name}\`

| offset | bytes | column | value |
| --: | --- | --- | --- |
${lines.join("\n")}

${row.length} bytes.

\`\`\`text
row       ${wrapped(row, 10)}
row hash  ${rowHash.toString("hex")}
entry     ${entry.toString("hex")}
leaf      ${leaf.toString("hex")}
\`\`\`
`;
}

function tree(): string {
  return `## Tree and checkpoint

\`\`\`text
${NODES.map(([leaves, from, hash]) => `node ${leaves}  ${hash.toString("hex")}  SHA-256(0x01 ‖ ${from.split(":")[0]!.replace(", ", " ‖ ")})`).join("\n")}
\`\`\`

The last one is the root. Files of this log, as they lie below \`log/\` and are served at \`/log/\` (C2SP [tlog-tiles](https://c2sp.org/tlog-tiles)); the last number of a partial one is its width:

| path | bytes | what |
| --- | --: | --- |
| \`tile/0/000.p/${RECORDS.length}\` | ${RECORDS.length * 32} | the ${RECORDS.length} leaf hashes, one behind the other |
| \`tile/entries/000.p/${RECORDS.length}\` | ${BUNDLE.length} | the ${RECORDS.length} entries, each behind its length |
| \`checkpoint\` | ${Buffer.byteLength(CHECKPOINT)} | below |

\`\`\`text
bundle    ${wrapped(BUNDLE, 10)}
\`\`\`

A full tile has 256 hashes, and its root is one hash of the tile above it; a full bundle has 256 entries. Entry \`i\` of a bundle begins at byte 36 · i with its length, \`00 22\`.

The checkpoint ([tlog-checkpoint](https://c2sp.org/tlog-checkpoint), [signed-note](https://c2sp.org/signed-note)): origin, size, root, an empty line, and a signature line: an em dash (U+2014), the key's name, and the base64 of the
key ID (4 bytes) and the Ed25519 signature (64 bytes) over everything before the empty line, its newline included. There may be more lines, of other keys of the log and of witnesses; those of unknown keys are passed over.

\`\`\`text
${CHECKPOINT}\`\`\`

It is signed by this key (\`<name>+<key ID>+<base64 of 0x01 ‖ public key>\`, key ID the first four bytes of SHA-256(name ‖ 0x0a ‖ 0x01 ‖ public key)):

\`\`\`text
${VERIFIER_KEY}
\`\`\`

The log's ID is the beginning of the first row hash: \`${LOG_ID}\`.
`;
}

function proof(): string {
  return `## Proof

The proof of record ${PROVED.index} ([tlog-proof](https://c2sp.org/tlog-proof)): \`extra\` is the base64 of the row; then the hashes beside its way up, here leaf 5 and node 0 to 3; then the checkpoint. Base64 is canonical.
[Proofs](../proofs.md) says how to check one by hand.

\`\`\`text
${PROOF}\`\`\`
`;
}

/** The leaf hashes of a table, computed by ClickHouse alone. */
export function leafSql({ name, kind, columns }: Table): string {
  const list = columns.map((column) => (column.name.includes(".") ? `\`${column.name}\`` : column.name)).join(", ");
  return `SELECT LeafIndex, lower(hex(SHA256(concat(char(0), char(1), char(${kind}), SHA256(formatRow('RowBinary', ${list})))))) AS Leaf FROM ${name} ORDER BY LeafIndex`;
}

function sql(): string {
  return `## Leaf hashes by SQL

ClickHouse can compute every leaf hash by itself; for any table with its columns in the order of the schema. Compare them with the hashes in \`tile/0/…\`.

\`\`\`sql
${leafSql(TABLES.link)}
\`\`\`

\`\`\`sql
${leafSql(TABLES.control)}
\`\`\`
`;
}

function ownKinds(): string {
  const row = ([key, meaning]: readonly [string, string]): string => `| | \`${key}\` | ${meaning} |`;
  const totals = Object.keys(CONTROL_KINDS.stop.detail);
  const controls = Object.entries(CONTROL_KINDS).flatMap(([kind, { comment, detail }]) => {
    const own = Object.entries(detail).filter(([key]) => !totals.includes(key));
    const hasTotals = totals.every((key) => key in detail);
    return [
      `| \`${kind}\` | ${hasTotals ? "the totals below" : ""} | ${comment} |`,
      ...(hasTotals ? own : Object.entries(detail)).map(row),
    ];
  });
  const findings = Object.entries(FINDINGS).map(
    ([kind, { severity, isGap, sentence }]) => `| \`${kind}\` | ${severity} | ${isGap ? "yes" : ""} | ${sentence(2, "SUBJECT")} |`,
  );
  return `## What meshproof says of itself

Control records (\`ControlKind\`, and the keys that \`Detail\` may have). A reader passes over kinds and keys that it does not know.

| kind | key of Detail | |
| --- | --- | --- |
${controls.join("\n")}
| totals | | [Heartbeats](heartbeats.md) says what they are for |
${Object.entries(CONTROL_KINDS.stop.detail).map(row).join("\n")}

Findings (\`FindingKind\`): one for each kind, subject and minute; a second row of the same three, \`State\` = \`resolved\`, ends it. Those that are gaps say that something is missing.

| kind | severity | gap | for example |
| --- | --- | --- | --- |
${findings.join("\n")}

| key of Detail | |
| --- | --- |
${Object.entries(FINDING_DETAIL).map(([key, meaning]) => `| \`${key}\` | ${meaning} |`).join("\n")}
`;
}

function cutting(): string {
  return `## Values that were cut

A row that would be longer than \`max_record_size\` has its longest values cut: texts at a character's border, ending in \`…\` (\`e2 80 a6\`), maps and arrays to their first items. Each cut is a line in the column
\`Truncations\`:

\`\`\`text
<place> <length> bytes sha256:<hex>     a text; the hash is that of the whole text
<place> <number> items sha256:<hex>     a map or array; the hash is that of all items, keys and values, each behind its length as UInt64, little endian
\`\`\`

\`<place>\` is the column (\`Body\`), an item of an array (\`ActorChain[3]\`), a value of a map by its key as a JSON string, of which at most 128 bytes are shown (\`LogAttributes["k"]\`), or a key (\`LogAttributes key\`), and these
behind one another (\`Events.Attributes[0]["k"]\`). Numbers among the items are hashed as decimal text without a length.

Where the lines of all cuts would not fit either, one stands for them, \`row <length> bytes sha256:<hex>\`, of the whole row as it was; texts are then cut to 16 bytes, and maps and arrays are empty.

Record 1 above has such a line. Its \`Body\` is shorter than a cut would leave it, to spare you 64 kB.

\`Redactions\` names what was replaced before sealing, as \`column:name\`, at most 16 times; \`more\` behind them says that there was more. A row is redacted before it is cut: what was there is nowhere, not even as a hash. A key that was redacted keeps its place in its map.
`;
}

function versions(): string {
  return `## Versions

- \`LeafVersion\` 1 is the only one so far, and so is the first byte of the entry, 0x01. A reader refuses others: it cannot know what they cover.
- The columns of a version, their order and their types never change. A later version may add columns behind the last one of a table. A row of an older version has no bytes of them, and in the tables they hold their type's default;
  a verifier has to look that they do, or somebody could write there.
- The same holds today for a column that somebody adds to a table: it is covered by no hash. \`meshproof verify\` reports each row where it holds anything but its type's default.
`;
}

/** Hex digits by two. */
function spaced(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex").replaceAll(/..(?=.)/g, "$& ");
}

/** Hex in lines of 48 bytes, all but the first behind so many spaces. */
function wrapped(bytes: Uint8Array, indent: number): string {
  return Buffer.from(bytes).toString("hex").match(/.{1,96}/g)!.join(`\n${" ".repeat(indent)}`);
}

function code(text: string): string {
  return `\`${text.replaceAll("|", "\\|")}\``;
}

function show(value: RowInput, table: Table, name: string): string {
  const { type } = table.columns.find((column) => column.name === name)!;
  if (type.includes("DateTime64(9)") && !Array.isArray(value)) return formatTime(BigInt(value as number));
  if (typeof value === "string") return value === "" ? "" : code(value.length > 60 ? `${value.slice(0, 57)}…` : value);
  if (value instanceof Uint8Array) return type === "IPv6" ? (ADDRESSES[Buffer.from(value).toString("hex")] ?? "") : "";
  if (Array.isArray(value)) return value.length === 0 ? "" : value.map((item) => (isPair(item) ? code(item.join(": ").slice(0, 60)) : show(item as RowInput, table, name))).join(", ");
  return String(value);
}

function isPair(item: unknown): item is [string, string] {
  return Array.isArray(item) && item.length === 2 && item.every((part) => typeof part === "string");
}

const ADDRESSES: Readonly<Record<string, string>> = {
  "00000000000000000000000000000000": "`::`",
  "00000000000000000000ffff0a010203": "`::ffff:10.1.2.3`",
  "20010db8000000000000000000000001": "`2001:db8::1`",
};
