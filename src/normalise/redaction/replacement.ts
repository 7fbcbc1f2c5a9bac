import { createHmac } from "node:crypto";
import { lower, isDigit } from "../ascii.ts";

/** What a value that is removed is replaced by. */
export const REMOVED = Buffer.from("[redacted]");
/** Hex digits of a pseudonym: 128 bits of the HMAC. */
export const PSEUDONYM_DIGITS = 32;
/** Characters that a key has at least: whoever guesses it can try e-mail addresses and card numbers. */
export const MIN_PSEUDONYM_KEY = 32;

/** How a value is written before its HMAC is taken, so that one person or card has one pseudonym. */
export const SPELLING = { asIs: 0, lowerCase: 1, digits: 2 } as const;

/**
 * The pseudonym of a value: `[hmac:` and the first 128 bits of HMAC-SHA-256 under the key's characters, in hex, `]`. Spelling: an e-mail address in lower
 * case, a card number without blanks and dashes, and everything without percent-encoding.
 */
export function pseudonym(key: string, value: Uint8Array, spelling: number): Buffer {
  const bytes =
    spelling === SPELLING.lowerCase
      ? value.map(lower)
      : spelling === SPELLING.digits
        ? value.filter(isDigit)
        : value;
  const hmac = createHmac("sha256", key).update(bytes).digest("hex");
  return Buffer.from(`[hmac:${hmac.slice(0, PSEUDONYM_DIGITS)}]`);
}
