import { MeshproofError } from "../core/errors.ts";

/** Answers in RowBinary, taken apart without an object a row where rows have one length. */

/** Rows of one length, one behind the other. */
export class FixedRecords {
  readonly #bytes: Buffer;
  readonly #length: number;
  readonly count: number;

  constructor(bytes: Buffer, length: number) {
    this.#bytes = bytes;
    this.#length = length;
    this.count = bytes.length / length;
  }

  /** The UInt64 at `offset` of each row. */
  numbers(offset: number): BigUint64Array {
    const numbers = new BigUint64Array(this.count);
    for (let i = 0; i < this.count; i++)
      numbers[i] = this.#bytes.readBigUInt64LE(i * this.#length + offset);
    return numbers;
  }

  /** `length` bytes at `offset` of each row, one behind the other. */
  bytes(offset: number, length: number): Uint8Array {
    const out = Buffer.allocUnsafeSlow(this.count * length);
    for (let i = 0, at = offset; i < this.count; i++, at += this.#length)
      this.#bytes.copy(out, i * length, at, at + length);
    return out;
  }
}

/** The rows of an answer whose rows all have `length` bytes: what came in one chunk at a time. */
export async function* splitRecords(
  chunks: AsyncIterable<Uint8Array>,
  length: number,
): AsyncGenerator<FixedRecords> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const bytes = join(rest, chunk);
    const whole = bytes.length - (bytes.length % length);
    if (whole > 0) yield new FixedRecords(bytes.subarray(0, whole), length);
    rest = bytes.subarray(whole);
  }
  if (rest.length > 0) throw cutShort();
}

/** Rows of a UInt64 and a String. */
export interface NumberedTexts {
  readonly numbers: BigUint64Array;
  /** Views into the answer. */
  readonly texts: readonly Uint8Array[];
}

/** The rows of an answer that consist of a UInt64 and a String, as many as came in one chunk. */
export async function* splitTexts(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<NumberedTexts> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const bytes = join(rest, chunk);
    const numbers: bigint[] = [];
    const texts: Uint8Array[] = [];
    let at = 0;
    for (;;) {
      const start = textStart(bytes, at + 8);
      if (start === null || start.at + start.length > bytes.length) break;
      numbers.push(bytes.readBigUInt64LE(at));
      at = start.at + start.length;
      texts.push(bytes.subarray(start.at, at));
    }
    rest = bytes.subarray(at);
    if (texts.length > 0) yield { numbers: BigUint64Array.from(numbers), texts };
  }
  if (rest.length > 0) throw cutShort();
}

/** Where the text behind the LEB128 length at `at` begins and how long it is; null when the length is not whole yet. */
function textStart(bytes: Buffer, at: number): { at: number; length: number } | null {
  let length = 0;
  for (let scale = 1; at < bytes.length; scale *= 0x80) {
    const byte = bytes[at++]!;
    length += (byte & 0x7f) * scale;
    if (byte < 0x80) return { at, length };
  }
  return null;
}

function join(rest: Buffer, chunk: Uint8Array): Buffer {
  return rest.length === 0
    ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    : Buffer.concat([rest, chunk]);
}

function cutShort(): MeshproofError {
  return new MeshproofError("STORE_FAILED", "reading: ClickHouse's answer ends within a row");
}
