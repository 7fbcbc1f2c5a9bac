import { CHAR, isDigit, lower } from "../ascii.ts";

/**
 * Credentials that are known by their look, wherever they stand. Each function looks at one byte that gives it away and answers with the end of the
 * credential, or -1; `bearer` and `basic` leave the word in front of it.
 */

const KIND = { letter: 1, digit: 2, url64: 4, base64: 8, token: 16 } as const;
const KINDS_OF = kinds();
/** Least lengths of a JWT's parts: `{"a":1}` and `{}`, encoded, are shorter than any that is in use. */
const MIN_JWT_HEADER = 10;
const MIN_JWT_CLAIMS = 4;
const MIN_BASIC = 4;
const MAX_BASIC = 4096;
/** A word behind "Bearer" is a token when it is this long, or is at least so long and holds what words do not: a digit, or a capital behind the first letter. */
const MIN_TOKEN = 20;
const MIN_ODD_TOKEN = 6;
const AWS_PREFIXES = [Buffer.from("AKIA"), Buffer.from("ASIA")] as const;
const AWS_KEY_DIGITS = 16;

function kinds(): Uint8Array {
  const table = new Uint8Array(256);
  for (let c = 0; c < 256; c++) {
    const isLetter = lower(c) >= 0x61 && lower(c) <= 0x7a;
    const any = KIND.url64 | KIND.base64 | KIND.token;
    if (isLetter) table[c] = KIND.letter | any;
    if (isDigit(c)) table[c] = KIND.digit | any;
  }
  const more = (text: string, kind: number): void => {
    for (const c of Buffer.from(text)) table[c]! |= kind;
  };
  more("-_", KIND.url64);
  more("+/-_", KIND.base64);
  more("-._~+/", KIND.token); // RFC 9110, section 11.2: token68
  return table;
}

function endOfRun(from: Uint8Array, p: number, end: number, kind: number): number {
  while (p < end && (KINDS_OF[from[p]!]! & kind) !== 0) p++;
  return p;
}

/** Behind the digits of base64url at `p`. */
export function endOfUrl64(from: Uint8Array, p: number, end: number): number {
  return endOfRun(from, p, end, KIND.url64);
}

/** The JWT that begins with the `eyJ` at `p`. Source: RFC 7519, RFC 7515, section 7.1: base64url of JSON, a dot, and so on; cut ones count as well. */
export function endOfJwt(from: Uint8Array, p: number, end: number): number {
  const header = endOfRun(from, p, end, KIND.url64);
  if (header - p < MIN_JWT_HEADER || from[header] !== CHAR.dot || header >= end) return -1;
  let q = endOfRun(from, header + 1, end, KIND.url64);
  // An encrypted one (JWE) with a key agreed on has an empty second part, and then three more.
  if (q - header - 1 < MIN_JWT_CLAIMS && !(q === header + 1 && q < end && from[q] === CHAR.dot))
    return -1;
  while (q < end && from[q] === CHAR.dot) q = endOfRun(from, q + 1, end, KIND.url64);
  return q;
}

const BEARER = Buffer.from("bearer");
const BASIC = Buffer.from("basic");

/** Where the credentials behind the word `Bearer` or `Basic` at `p` begin, or -1. */
export function startOfCredentials(from: Uint8Array, p: number, end: number): number {
  const word = lower(from[p + 1]!) === BASIC[1] ? BASIC : BEARER;
  if (end - p <= word.length + 1) return -1;
  for (let i = 0; i < word.length; i++) if (lower(from[p + i]!) !== word[i]) return -1;
  let q = p + word.length;
  if (!isBlank(from[q]!) && from[q] !== CHAR.plus) return -1;
  while (q < end && isBlank(from[q]!)) q++;
  return from[q] === CHAR.plus ? q + 1 : q;
}

function isBlank(c: number): boolean {
  return c === CHAR.space || c === 0x09;
}

/** The end of what stands behind `Bearer ` at `p`, when it is a token and not a word of a sentence. */
export function endOfBearer(from: Uint8Array, p: number, end: number): number {
  let q = endOfRun(from, p, end, KIND.token);
  const length = q - p;
  let isOdd = isDigit(from[p]!);
  for (let i = p + 1; i < q && !isOdd; i++)
    isOdd = isDigit(from[i]!) || (from[i]! >= 0x41 && from[i]! <= 0x5a);
  if (length < (isOdd ? MIN_ODD_TOKEN : MIN_TOKEN)) return -1;
  while (q < end && from[q] === CHAR.equals) q++;
  return q;
}

/** The end of what stands behind `Basic ` at `p`, when it is base64 of a text with a colon. Source: RFC 7617, section 2. */
export function endOfBasic(from: Uint8Array, p: number, end: number): number {
  let q = endOfRun(from, p, Math.min(end, p + MAX_BASIC), KIND.base64);
  if (q - p < MIN_BASIC) return -1;
  const text = Buffer.from(Buffer.from(from.subarray(p, q)).toString("latin1"), "base64");
  if (!text.includes(CHAR.colon) || text.some((c) => c < CHAR.space)) return -1;
  q = endOfRun(from, q, end, KIND.base64);
  while (q < end && from[q] === CHAR.equals) q++;
  return q;
}

/** The end of the AWS access key ID that begins at `p` with AKIA or ASIA. Source: IAM, unique identifiers. */
export function endOfAwsKey(from: Uint8Array, p: number, end: number): number {
  const last = p + AWS_PREFIXES[0].length + AWS_KEY_DIGITS;
  if (last > end || !AWS_PREFIXES.some((prefix) => equalsAt(from, p, end, prefix))) return -1;
  for (let i = p; i < last; i++)
    if (!isDigit(from[i]!) && !(from[i]! >= 0x41 && from[i]! <= 0x5a)) return -1;
  return last < end && (KINDS_OF[from[last]!]! & (KIND.letter | KIND.digit)) !== 0 ? -1 : last;
}

const PRIVATE_KEY = Buffer.from("PRIVATE KEY");
const BEGIN = Buffer.from("-----BEGIN ");
const END = Buffer.from("-----END ");
/** `-----BEGIN ENCRYPTED `, and whatever other kind stands there. */
const MAX_LABEL = 40;

/** Where the PEM block begins whose label is the `PRIVATE KEY` at `p`, or -1; in a form its blanks are plusses. Source: RFC 7468, section 2; PGP: RFC 9580, section 6.2. */
export function startOfPrivateKey(from: Uint8Array, p: number, end: number, floor: number): number {
  if (!equalsAt(from, p, end, PRIVATE_KEY)) return -1;
  for (let q = p - BEGIN.length; q >= Math.max(floor, p - MAX_LABEL); q--)
    if (equalsAt(from, q, end, BEGIN)) return q;
  return -1;
}

/** The end of the PEM block of a private key; of one without an end, the end of the text. */
export function endOfPrivateKey(from: Uint8Array, p: number, end: number): number {
  for (let q = p + PRIVATE_KEY.length; q < end; q++) {
    if (from[q] !== CHAR.minus || !equalsAt(from, q, end, END)) continue;
    q += END.length;
    while (q < end && from[q] !== CHAR.minus && from[q] !== CHAR.newline) q++;
    while (q < end && from[q] === CHAR.minus) q++;
    return q;
  }
  return end;
}

/** A blank of `text` may be a plus. */
function equalsAt(from: Uint8Array, p: number, end: number, text: Uint8Array): boolean {
  if (end - p < text.length) return false;
  for (let i = 0; i < text.length; i++) {
    const c = from[p + i];
    if (c !== text[i] && (text[i] !== CHAR.space || c !== CHAR.plus)) return false;
  }
  return true;
}

/** `Bas` of Basic or `Bea` of Bearer, in any case? Shorter beginnings stand in many words and in every fifth hash. */
export function isSchemeStart(from: Uint8Array, p: number): boolean {
  if ((from[p]! | 0x20) !== 0x62) return false;
  const second = from[p + 1]! | 0x20;
  const third = from[p + 2]! | 0x20;
  return second === 0x61 ? third === 0x73 : second === 0x65 && third === 0x61;
}
