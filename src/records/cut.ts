import { createHash } from "node:crypto";
import type { Table } from "./columns.ts";
import { decodeRow, encodeRow, type RowInput, type RowValue } from "./row-codec.ts";

/** What stands at the end of a value that was cut. */
const MARK = Buffer.from("…");

/** Bounds tried one after the other until the row fits: items of a map or array, bytes of a value. */
const BOUNDS = [
  { items: 1024, bytes: 64 * 1024 },
  { items: 1024, bytes: 16 * 1024 },
  { items: 256, bytes: 4 * 1024 },
  { items: 64, bytes: 1024 },
  { items: 16, bytes: 256 },
  { items: 4, bytes: 64 },
] as const;

/**
 * What is left when the notes of many cuts would themselves take too much: a few bytes of each text, no items, and one note on the whole row. The least
 * max_record_size, 4 KiB, holds it, whatever the row was.
 */
const LEAST = { items: 0, bytes: 16 } as const;
const LEAST_REDACTIONS = { items: 16, bytes: 64 } as const;

/**
 * A row of `table` (kinds 1 to 3) that takes at most `maxBytes`, with the longest values cut.
 * Each cut is named in the column Truncations: the column (and key), the original length and the SHA-256 of the original. Where too many values would have to
 * be named, one entry, `row`, says length and SHA-256 of the whole row as it was. The row is redacted already, so no hash is of a secret.
 * Arrays of one Nested structure have equal lengths and are cut to the same length, as ClickHouse demands.
 */
export function cutRow(table: Table, row: Uint8Array, maxBytes: number): Uint8Array {
  const values = decodeRow(table, row);
  const noteColumn = table.columns.findIndex((column) => column.name === "Truncations");
  for (const bounds of BOUNDS) {
    const notes: string[] = [];
    const shortened = values.map((value, i) =>
      i === noteColumn ? [] : cutValue(value, table.columns[i]!.name, bounds, notes),
    ) as RowInput[];
    shortened[noteColumn] = notes;
    const cut = encodeRow(table, shortened);
    if (cut.length <= maxBytes) return cut;
  }
  const digest = createHash("sha256").update(row).digest("hex");
  const least = values.map((value, i) => {
    const { name } = table.columns[i]!;
    return cutValue(value, name, name === "Redactions" ? LEAST_REDACTIONS : LEAST, []);
  }) as RowInput[];
  least[noteColumn] = [`row ${row.length} bytes sha256:${digest}`];
  return encodeRow(table, least);
}

type Bounds = { readonly items: number; readonly bytes: number };

function cutValue(value: RowValue, where: string, bounds: Bounds, notes: string[]): unknown {
  if (Buffer.isBuffer(value)) {
    if (value.length <= bounds.bytes) return value;
    notes.push(
      `${where} ${value.length} bytes sha256:${createHash("sha256").update(value).digest("hex")}`,
    );
    return Buffer.concat([
      value.subarray(0, characterStart(value, bounds.bytes - MARK.length)),
      MARK,
    ]);
  }
  if (!Array.isArray(value)) return value;
  let items: readonly unknown[] = value;
  if (value.length > bounds.items) {
    notes.push(`${where} ${value.length} items sha256:${hashItems(value)}`);
    items = value.slice(0, bounds.items);
  }
  return items.map((item, i) => {
    if (!isPair(item)) return cutValue(item as RowValue, `${where}[${i}]`, bounds, notes);
    // Keys name what follows in a note; only their beginning fits there.
    const name = item[0].subarray(0, characterStart(item[0], 128)).toString("utf8");
    return [
      cutValue(item[0], `${where} key`, bounds, notes),
      cutValue(item[1], `${where}[${JSON.stringify(name)}]`, bounds, notes),
    ];
  });
}

function isPair(item: unknown): item is [Buffer, Buffer] {
  return (
    Array.isArray(item) && item.length === 2 && Buffer.isBuffer(item[0]) && Buffer.isBuffer(item[1])
  );
}

/** The last start of a UTF-8 character at or before `at`. */
function characterStart(bytes: Buffer, at: number): number {
  if (at >= bytes.length) return bytes.length;
  let p = at;
  while (p > 0 && at - p < 3 && (bytes[p]! & 0xc0) === 0x80) p--;
  return p;
}

/** SHA-256 over the parts of a map or array, each behind its length as eight bytes, little endian. */
function hashItems(value: readonly unknown[]): string {
  const hash = createHash("sha256");
  const length = Buffer.alloc(8);
  const add = (item: unknown): void => {
    if (Buffer.isBuffer(item)) {
      length.writeBigUInt64LE(BigInt(item.length));
      hash.update(length).update(item);
    } else if (Array.isArray(item)) item.forEach(add);
    else hash.update(String(item));
  };
  add(value);
  return hash.digest("hex");
}
