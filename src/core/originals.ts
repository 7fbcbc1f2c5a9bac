/**
 * The records of a request as they came in, in the frame of the journal that holds their rows, for the forwarder. All numbers are u32, little endian:
 *
 *   per scope    length of the resource, or SAME for that of the scope before, and its bytes: ResourceLogs or ResourceSpans without the records;
 *                length of the scope and its bytes, likewise; how many records it has
 *   per record   leaf index, counted from the first of the frame; length; the bytes of LogRecord or Span
 */
const SAME = 0xffff_ffff;
/** What stands around a record, about. */
const AROUND_BYTES = 8;

export class OriginalsWriter {
  #bytes: Buffer;
  #length = 0;
  /** Where the count of the scope's records stands; -1 before the first scope. */
  #countAt = -1;
  /** Where leaf indexes stand that are to be moved behind the access records. */
  readonly #behind: number[] = [];

  /** `bytes` and `records`: of the request, in which there is hardly more than goes on. */
  constructor(bytes = 0, records = 0) {
    this.#bytes = Buffer.allocUnsafeSlow(bytes + AROUND_BYTES * (records + 1));
  }

  /** Begins a scope; `resource` null means that of the scope before. */
  scope(resource: Uint8Array | null, scope: Uint8Array): void {
    this.#ensure(12 + (resource?.length ?? 0) + scope.length);
    this.#number(resource === null ? SAME : resource.length);
    if (resource !== null) this.#copy(resource);
    this.#number(scope.length);
    this.#copy(scope);
    this.#countAt = this.#length;
    this.#number(0);
  }

  record(record: Uint8Array, row: number, isBehind: boolean): void {
    this.#ensure(8 + record.length);
    if (isBehind) this.#behind.push(this.#length);
    this.#number(row);
    this.#number(record.length);
    this.#copy(record);
    this.#bytes.writeUInt32LE(this.#bytes.readUInt32LE(this.#countAt) + 1, this.#countAt);
  }

  /** The bytes, when `accessRows` rows stand before those that are behind them; null when no scope was begun. */
  finish(accessRows: number): Uint8Array | null {
    if (this.#length === 0) return null;
    for (const at of this.#behind)
      this.#bytes.writeUInt32LE(this.#bytes.readUInt32LE(at) + accessRows, at);
    return this.#bytes.subarray(0, this.#length);
  }

  #number(value: number): void {
    this.#length = this.#bytes.writeUInt32LE(value, this.#length);
  }

  #copy(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #ensure(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#length + count, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

/** One record with what is around it. All bytes are views. */
export interface OriginalRecord {
  /** The same array for all records of a resource; and of a scope. */
  readonly resource: Uint8Array;
  readonly scope: Uint8Array;
  /** Leaf index, counted from the first of the frame. */
  readonly row: number;
  readonly record: Uint8Array;
}

/** What an OriginalsWriter wrote, record by record. */
export function* readOriginals(bytes: Uint8Array): Generator<OriginalRecord, void, void> {
  const from = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let position = 0;
  const take = (length: number): Uint8Array => from.subarray(position, (position += length));
  const number = (): number => from.readUInt32LE((position += 4) - 4);
  let resource: Uint8Array = from.subarray(0, 0);
  while (position < from.length) {
    const length = number();
    if (length !== SAME) resource = take(length);
    const scope = take(number());
    for (let count = number(); count > 0; count--) {
      const row = number();
      yield { resource, scope, row, record: take(number()) };
    }
  }
}

/** How many records an OriginalsWriter wrote. */
export function countOriginals(bytes: Uint8Array): number {
  const from = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let position = 0;
  let count = 0;
  while (position < from.length) {
    const resource = from.readUInt32LE(position);
    position += 4 + (resource === SAME ? 0 : resource);
    position += 4 + from.readUInt32LE(position);
    const records = from.readUInt32LE(position);
    position += 4;
    count += records;
    for (let i = 0; i < records; i++) position += 8 + from.readUInt32LE(position + 4);
  }
  return count;
}

/** A length-delimited protobuf field. */
export function delimitedField(tag: number, content: Uint8Array): Buffer {
  const head = [...varint(tag), ...varint(content.length)];
  const field = Buffer.allocUnsafe(head.length + content.length);
  field.set(head, 0);
  field.set(content, head.length);
  return field;
}

/** An unsigned number below 2^53 as a varint. */
export function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return bytes;
}
