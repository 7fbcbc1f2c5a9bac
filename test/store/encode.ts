import { createHash } from "node:crypto";
import {
  LEAF_INDEX_OFFSET,
  LOG_ID_LENGTH,
  type PlacedBatch,
  type RowSection,
} from "../../src/core/rows.ts";
import { LEAF_VERSION, type Kind } from "../../src/core/kinds.ts";
import { TABLE_OF_KIND, type ColumnType } from "../../src/records/columns.ts";

/** A value of one column: numbers and bigints for integers and times (nanoseconds), bytes or text for strings, pairs for maps. */
export type Value =
  | number
  | bigint
  | string
  | Uint8Array
  | readonly Value[]
  | readonly (readonly [Value, Value])[];

/** Values of a row by column name; the others are encoded as their defaults. */
export type Values = Readonly<Record<string, Value>>;

export const LOG_ID = "0123456789abcdef";

/** RowBinary of one value, written from ClickHouse's format documentation and nothing of ours. */
export function encodeValue(type: string, value: Value): Buffer {
  const array = /^Array\((.*)\)$/.exec(type);
  if (array !== null) {
    const items = value as readonly Value[];
    return Buffer.concat([
      varint(items.length),
      ...items.map((item) => encodeValue(array[1]!, item)),
    ]);
  }
  if (type === "Map(LowCardinality(String), String)") {
    const pairs = value as readonly (readonly [Value, Value])[];
    return Buffer.concat([
      varint(pairs.length),
      ...pairs.flat().map((text) => encodeValue("String", text)),
    ]);
  }
  if (type === "String" || type === "LowCardinality(String)") {
    const bytes = Buffer.from(value as string);
    return Buffer.concat([varint(bytes.length), bytes]);
  }
  if (type === "FixedString(16)" || type === "IPv6") return Buffer.from(value as Uint8Array);
  const out = Buffer.alloc(8);
  if (type === "Float32") return (out.writeFloatLE(value as number), out.subarray(0, 4));
  if (type === "Int64" || type === "DateTime64(9)")
    return (out.writeBigInt64LE(BigInt(value as number | bigint)), out);
  if (type === "UInt64") return (out.writeBigUInt64LE(BigInt(value as number | bigint)), out);
  const size = Number(/\d+$/.exec(type)![0]) / 8;
  if (type.startsWith("U")) out.writeUIntLE(value as number, 0, size);
  else out.writeIntLE(value as number, 0, size);
  return out.subarray(0, size);
}

/** The value that ClickHouse has for an absent column. */
export function defaultValue(type: ColumnType): Value {
  if (type.startsWith("Array") || type.startsWith("Map")) return [];
  if (type.endsWith("String") || type === "LowCardinality(String)") return "";
  return type === "IPv6" || type === "FixedString(16)" ? new Uint8Array(16) : 0;
}

/** The canonical bytes of a row: version, kind, salt and the columns in order. */
export function encodeRow(kind: Kind, values: Values): Buffer {
  const head: Values = { LeafVersion: LEAF_VERSION, Kind: kind };
  const columns = TABLE_OF_KIND.get(kind)!.columns;
  return Buffer.concat(
    columns.map(({ name, type }) =>
      encodeValue(type, values[name] ?? head[name] ?? defaultValue(type)),
    ),
  );
}

/** A section of rows as the pipeline hands them over. Indexes are filled in as the journal does. */
export function section(kind: Kind, rows: readonly Uint8Array[], firstIndex: number): RowSection {
  const parts = rows.map((row, i) => {
    const prefix = Buffer.alloc(LEAF_INDEX_OFFSET + 8);
    prefix[0] = LOG_ID_LENGTH;
    prefix.write(LOG_ID, 1, "latin1");
    prefix.writeBigUInt64LE(BigInt(firstIndex + i), LEAF_INDEX_OFFSET);
    return Buffer.concat([prefix, row]);
  });
  const offsets = new Uint32Array(rows.length + 1);
  for (const [i, part] of parts.entries()) offsets[i + 1] = offsets[i]! + part.length;
  const hashes = Buffer.concat(rows.map(rowHash));
  return { kind, count: rows.length, bytes: Buffer.concat(parts), offsets, hashes };
}

export function rowHash(row: Uint8Array): Buffer {
  return createHash("sha256").update(row).digest();
}

/** A batch of rows by kind, section after section, from `firstIndex` on. */
export function batch(
  firstIndex: number,
  sections: readonly (readonly [Kind, readonly Uint8Array[]])[],
): PlacedBatch {
  let next = firstIndex;
  const placed = sections.map(([kind, rows]) => {
    const made = section(kind, rows, next);
    next += rows.length;
    return made;
  });
  return { firstIndex, count: next - firstIndex, sections: placed };
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value % 0x80) | 0x80);
  return Buffer.from([...bytes, value]);
}
