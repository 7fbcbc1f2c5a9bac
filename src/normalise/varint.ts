/** Halves of a varint of 64 bits, unsigned: seven bits a byte, 28 and 28 bits and the eight that are left. A negative number is its two's complement. */

/** The low 32 bits of the varint at `start`. */
export function varintLow(from: Uint8Array, start: number): number {
  const lowest = bitsAt(from, start, 4);
  const middle = continues(from, start, 4) ? bitsAt(from, start + 4, 4) : 0;
  return (lowest | (middle << 28)) >>> 0;
}

/** The high 32 bits of the varint at `start`. */
export function varintHigh(from: Uint8Array, start: number): number {
  const middle = continues(from, start, 4) ? bitsAt(from, start + 4, 4) : 0;
  const highest = continues(from, start, 8) ? bitsAt(from, start + 8, 2) : 0;
  return ((middle >>> 4) | (highest << 24)) >>> 0;
}

/** The bits of up to `count` bytes of a varint, the first lowest. */
function bitsAt(from: Uint8Array, start: number, count: number): number {
  let bits = 0;
  for (let i = 0; i < count; i++) {
    const byte = from[start + i]!;
    bits |= (byte & 0x7f) << (i * 7);
    if (byte < 0x80) break;
  }
  return bits;
}

/** Does the varint at `start` have more than `count` bytes? */
function continues(from: Uint8Array, start: number, count: number): boolean {
  for (let i = 0; i < count; i++) if (from[start + i]! < 0x80) return false;
  return true;
}
