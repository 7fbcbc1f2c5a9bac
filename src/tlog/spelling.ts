/** How C2SP's text formats spell bytes and numbers. Each has one spelling; any other is refused, so that one statement is one text. */

/** Standard base64 with padding (RFC 4648, section 4). */
export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}

/** The bytes of standard base64 with padding, or null when `text` is not the one canonical spelling of them (RFC 4648, section 3.5). */
export function decodeBase64(text: string): Uint8Array | null {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes : null;
}

/** The number that `text` spells in decimal without leading zeroes, or null when it does not, or spells one past 2^53 - 1. */
export function parseDecimal(text: string): number | null {
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(text)) return null;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : null;
}
