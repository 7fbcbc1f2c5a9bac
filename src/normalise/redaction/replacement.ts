import { createHmac } from "node:crypto";
import { isDigit, lower } from "../ascii.ts";
import { isCardSeparator } from "./card-numbers.ts";
import { emailEnd, emailStart } from "./mail-addresses.ts";

/** What a value that is removed is replaced by. */
export const REMOVED = Buffer.from("[redacted]");
/** Hex digits of a pseudonym: 128 bits of the HMAC. */
export const PSEUDONYM_DIGITS = 32;
/** Characters that a key has at least: whoever guesses it can try e-mail addresses and card numbers. */
export const MIN_PSEUDONYM_KEY = 32;

/** Digits of a card number. */
const MIN_CARD = 13;
const MAX_CARD = 19;

/**
 * The pseudonym of a value: `[hmac:` and the first 128 bits of HMAC-SHA-256 under the key's characters, in hex, `]`. One person or card has one, whatever gave
 * the value away: an e-mail address is taken in lower case, a card number without blanks and dashes.
 */
export function pseudonym(key: string, value: Uint8Array): Buffer {
  const hmac = createHmac("sha256", key).update(spelled(value)).digest("hex");
  return Buffer.from(`[hmac:${hmac.slice(0, PSEUDONYM_DIGITS)}]`);
}

function spelled(value: Uint8Array): Uint8Array {
  if (isEmail(value)) return value.map(lower);
  return isCard(value) ? value.filter(isDigit) : value;
}

function isEmail(value: Uint8Array): boolean {
  const at = value.indexOf(0x40);
  return (
    at > 0 && emailStart(value, at, 0) === 0 && emailEnd(value, at, value.length) === value.length
  );
}

function isCard(value: Uint8Array): boolean {
  if (value.length < MIN_CARD || value.length > 2 * MAX_CARD) return false;
  const digits = value.filter(isDigit).length;
  return (
    digits >= MIN_CARD &&
    digits <= MAX_CARD &&
    isDigit(value[0]!) &&
    isDigit(value[value.length - 1]!) &&
    value.every((c) => isDigit(c) || isCardSeparator(c))
  );
}
