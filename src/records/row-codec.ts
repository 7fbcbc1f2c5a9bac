import { asBuffer, encodeText } from "../core/bytes.ts";
import { MeshproofError } from "../core/errors.ts";
import type { Column, ColumnType, Table } from "./columns.ts";
import { RowBuffer, viewOf } from "./row-buffer.ts";

/**
 * A row's columns as plain values, for everything that is not the hot path. By type:
 * numbers up to 32 bits: number; 64 bits and DateTime64(9) (nanoseconds since the epoch): bigint; String, LowCardinality, FixedString and IPv6: Buffer, since
 * a string may hold bytes that are not UTF-8 (in a browser a plain Uint8Array); arrays: arrays; maps: arrays of [key, value] pairs, since keys may repeat.
 */
export type RowValue = number | bigint | Buffer | RowValue[] | [Buffer, Buffer][];

/** What `encodeRow` takes: text also as a string. */
export type RowInput =
  | number
  | bigint
  | string
  | Uint8Array
  | readonly (number | bigint | string | Uint8Array | MapInput)[]
  | MapInput;
export type MapInput = readonly (readonly [string | Uint8Array, string | Uint8Array])[];

type Codec = {
  read: (reader: RowReader) => RowValue;
  write: (out: RowBuffer, value: never) => void;
};

/** Reads one row front to back. */
export class RowReader {
  readonly bytes: Buffer;
  readonly view: DataView;
  position = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = asBuffer(bytes);
    this.view = viewOf(bytes);
  }

  take(count: number): number {
    const at = this.position;
    if (count > this.bytes.length - at) {
      throw new MeshproofError(
        "ROW_INVALID",
        `expected ${count} more bytes of the row at byte ${at}, got ${this.bytes.length - at}`,
      );
    }
    this.position = at + count;
    return at;
  }

  length(): number {
    let value = 0;
    for (let scale = 1; scale <= 0x1000_0000; scale *= 0x80) {
      const byte = this.bytes[this.take(1)]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    throw new MeshproofError(
      "ROW_INVALID",
      `expected a length of at most 5 bytes before byte ${this.position}`,
    );
  }

  text(): Buffer {
    const length = this.length();
    const at = this.take(length);
    return this.bytes.subarray(at, at + length);
  }
}

const text: Codec = {
  read: (r) => r.text(),
  write(out, value: string | Uint8Array) {
    const bytes = typeof value === "string" ? encodeText(value) : value;
    out.ensure(bytes.length + 5);
    out.writeText(bytes, 0, bytes.length);
  },
};

function fixed(length: number): Codec {
  return {
    read(r) {
      const at = r.take(length);
      return r.bytes.subarray(at, at + length);
    },
    write(out, value: Uint8Array) {
      if (value.length !== length)
        throw new TypeError(`expected ${length} bytes, got ${value.length}`);
      out.ensure(length);
      out.writeBytes(value, 0, length);
    },
  };
}

function integer(bytes: 1 | 2 | 4, signed: boolean): Codec {
  return {
    read(r) {
      const at = r.take(bytes);
      if (bytes === 1) return signed ? r.view.getInt8(at) : r.view.getUint8(at);
      if (bytes === 2) return signed ? r.view.getInt16(at, true) : r.view.getUint16(at, true);
      return signed ? r.view.getInt32(at, true) : r.view.getUint32(at, true);
    },
    write(out, value: number) {
      out.ensure(4);
      const { position } = out;
      out.writeUint32(value);
      out.position = position + bytes;
    },
  };
}

function integer64(signed: boolean): Codec {
  return {
    read(r) {
      const at = r.take(8);
      return signed ? r.view.getBigInt64(at, true) : r.view.getBigUint64(at, true);
    },
    write(out, value: bigint | number) {
      const bits = BigInt.asUintN(64, BigInt(value));
      out.ensure(8);
      out.writeEight(Number(bits & 0xffff_ffffn), Number(bits >> 32n));
    },
  };
}

const float32: Codec = {
  read(r) {
    return r.view.getFloat32(r.take(4), true);
  },
  write(out, value: number) {
    const bytes = new Uint8Array(4);
    viewOf(bytes).setFloat32(0, value, true);
    out.ensure(4);
    out.writeBytes(bytes, 0, 4);
  },
};

const map: Codec = {
  read(r) {
    const count = r.length();
    const pairs: [Buffer, Buffer][] = [];
    for (let i = 0; i < count; i++) pairs.push([r.text(), r.text()]);
    return pairs;
  },
  write(out, value: MapInput) {
    out.ensure(5);
    out.writeVarint(value.length);
    for (const [key, item] of value) {
      text.write(out, key as never);
      text.write(out, item as never);
    }
  },
};

function array(item: Codec): Codec {
  return {
    read(r) {
      const count = r.length();
      const items: RowValue[] = [];
      for (let i = 0; i < count; i++) items.push(item.read(r));
      return items;
    },
    write(out, value: readonly RowInput[]) {
      out.ensure(5);
      out.writeVarint(value.length);
      for (const one of value) item.write(out, one as never);
    },
  };
}

const CODECS: Readonly<Record<ColumnType, Codec>> = {
  UInt8: integer(1, false),
  UInt16: integer(2, false),
  UInt32: integer(4, false),
  UInt64: integer64(false),
  Int8: integer(1, true),
  Int16: integer(2, true),
  Int64: integer64(true),
  Float32: float32,
  String: text,
  "LowCardinality(String)": text,
  "FixedString(16)": fixed(16),
  "DateTime64(9)": integer64(true),
  IPv6: fixed(16),
  "Map(LowCardinality(String), String)": map,
  "Array(String)": array(text),
  "Array(LowCardinality(String))": array(text),
  "Array(UInt32)": array(integer(4, false)),
  "Array(UInt64)": array(integer64(false)),
  "Array(DateTime64(9))": array(integer64(true)),
  "Array(Map(LowCardinality(String), String))": array(map),
};

/**
 * The values of `columns`, in order, from where `reader` stands; it stands behind them afterwards.
 * Throws: ROW_INVALID when the bytes end too soon.
 */
export function readColumns(reader: RowReader, columns: readonly Column[]): RowValue[] {
  return columns.map((column) => CODECS[column.type].read(reader));
}

/**
 * The columns of a row of `table`, in order.
 * Throws: ROW_INVALID when the bytes end too soon or go on behind the last column.
 */
export function decodeRow(table: Table, row: Uint8Array): RowValue[] {
  const reader = new RowReader(row);
  const values = readColumns(reader, table.columns);
  if (reader.position !== row.length) {
    throw new MeshproofError(
      "ROW_INVALID",
      `expected a row of ${table.name} to end at byte ${reader.position}, got ${row.length} bytes`,
    );
  }
  return values;
}

/** Writes `values`, one for each of `columns`, as RowBinary. */
export function encodeColumns(
  out: RowBuffer,
  columns: readonly Column[],
  values: readonly RowInput[],
): void {
  if (values.length !== columns.length)
    throw new TypeError(`expected ${columns.length} values, got ${values.length}`);
  columns.forEach((column, i) => CODECS[column.type].write(out, values[i] as never));
}

/** A row of `table` from the values of all its columns: the inverse of `decodeRow`. */
export function encodeRow(table: Table, values: readonly RowInput[]): Uint8Array {
  const out = new RowBuffer(1024);
  encodeColumns(out, table.columns, values);
  return out.bytes.slice(0, out.position);
}
