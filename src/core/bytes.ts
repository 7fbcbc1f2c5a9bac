/** Lower-case hex of `bytes`. Not for the hot path. */
export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** Are the two byte strings equal? */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** `bytes` as a Buffer that shares their memory. In a browser, which has none, they stay what they are: call no method of Buffer alone there. */
export function asBuffer(bytes: Uint8Array): Buffer {
  if (typeof Buffer === "undefined") return bytes as Buffer;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** `parts` one behind the other. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const strictDecoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** The UTF-8 of `text`. */
export function encodeText(text: string): Uint8Array {
  return encoder.encode(text);
}

/** The text that `bytes` are the UTF-8 of; what is none shows as U+FFFD. */
export function decodeText(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** The text that `bytes` are the UTF-8 of, or null when they are none. */
export function decodeTextStrictly(bytes: Uint8Array): string | null {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return null;
  }
}

/**
 * `length` bytes of memory of their own, not zeroed. A plain Uint8Array and not a Buffer, whose `slice` would not copy.
 * The caller writes every byte before it is read.
 */
export function allocate(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
}
