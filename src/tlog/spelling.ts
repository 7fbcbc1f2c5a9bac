import { decodeText, encodeText } from "../core/bytes.ts";

/** How C2SP's text formats spell bytes and numbers. Each has one spelling; any other is refused, so that one statement is one text. */

/** The digits of base64 in order, and the padding (RFC 4648, section 4). */
const DIGITS = encodeText("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
const PADDING = 0x3d;
/** The value of each digit; 0xff for every other byte. */
const VALUES = new Uint8Array(256).fill(0xff);
for (const [value, digit] of DIGITS.entries()) VALUES[digit] = value;

/** Standard base64 with padding (RFC 4648, section 4). */
export function encodeBase64(bytes: Uint8Array): string {
  const out = new Uint8Array(Math.ceil(bytes.length / 3) * 4);
  let at = 0;
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const bits =
      (bytes[i]! << 16) | ((left > 1 ? bytes[i + 1]! : 0) << 8) | (left > 2 ? bytes[i + 2]! : 0);
    out[at++] = DIGITS[bits >> 18]!;
    out[at++] = DIGITS[(bits >> 12) & 63]!;
    out[at++] = left > 1 ? DIGITS[(bits >> 6) & 63]! : PADDING;
    out[at++] = left > 2 ? DIGITS[bits & 63]! : PADDING;
  }
  return decodeText(out);
}

/** The bytes of standard base64 with padding, or null when `text` is not the one canonical spelling of them (RFC 4648, section 3.5). */
export function decodeBase64(text: string | Uint8Array): Uint8Array | null {
  const digits = typeof text === "string" ? encodeText(text) : text;
  if (digits.length % 4 !== 0) return null;
  if (digits.length === 0) return new Uint8Array();
  const padding = digits.at(-1) !== PADDING ? 0 : digits.at(-2) !== PADDING ? 1 : 2;
  const out = new Uint8Array((digits.length / 4) * 3 - padding);
  const last = digits.length - padding;
  let at = 0;
  let bits = 0;
  for (let i = 0; i < last; i++) {
    const value = VALUES[digits[i]!]!;
    if (value === 0xff) return null;
    bits = ((bits & 0xff_ffff) << 6) | value;
    if (i % 4 === 0) continue;
    // After the second, third and fourth digit of four a byte is complete; 4, 2 and 0 bits are left.
    out[at++] = bits >> (4 - 2 * ((i % 4) - 1));
  }
  // The bits behind the last byte have to be zero ("Canonical Encoding").
  if (padding > 0 && (bits & (padding === 1 ? 0b11 : 0b1111)) !== 0) return null;
  return out;
}

/** The number that `text` spells in decimal without leading zeroes, or null when it does not, or spells one past 2^53 - 1. */
export function parseDecimal(text: string): number | null {
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(text)) return null;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : null;
}
