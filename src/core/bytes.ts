/** Lower-case hex of `bytes`. Not for the hot path. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}

/** Are the two byte strings equal? */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

/**
 * `length` bytes of memory of their own, not zeroed. A plain Uint8Array and not a Buffer, whose `slice` would not copy.
 * The caller writes every byte before it is read.
 */
export function allocate(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
}
