import { CHAR, isDash, isDigit, startsWith } from "./ascii.ts";
import {
  areDetails,
  areStatuses,
  endOfQuoted,
  endsWithPort,
  isCommonTime,
  isHost,
  isIdentity,
  isInstant,
  isInstantByte,
  isWithinList,
} from "./line-fields.ts";

/**
 * What a field of a line may hold. `free` fields are whatever a client sent: they may hold anything, the text that follows them in the format included.
 * All others end where the text that follows them first stands, and hold only what their class allows:
 * `number` digits or a dash, `word` neither blanks nor quotation marks, `maybe` a word or nothing at all, `address` an address with or without a port, `socket` a word that ends with a port,
 * `host` a word with a port or a path, `identity` a SPIFFE ID or a name of Linkerd's, `details` Envoy's words for what became of a request, with underscores between,
 * `text` no quotation marks, `unbracketed` no opening bracket either, `nested` no blanks but inside brackets and braces, `list` words with `, ` or ` : ` between, `numbers` and `statuses` such lists of
 * numbers, and of three digits, `quoted` a text in quotation marks or a bare dash, `instant` a time as in RFC 3339, `common_time` one as in the Common Log Format. A dash stands for nothing in all of them.
 */
export const CLASSES = [
  "free",
  "number",
  "word",
  "maybe",
  "address",
  "socket",
  "host",
  "identity",
  "details",
  "text",
  "unbracketed",
  "nested",
  "list",
  "numbers",
  "statuses",
  "quoted",
  "instant",
  "common_time",
  "time",
  "flags",
] as const;
export type FieldClass = (typeof CLASSES)[number];

/** Longest value of a field that is not free. Together with the fixed number of fields it keeps reading linear in the line. */
const MAX_BOUNDED = 2048;
const MAX_TIME = 64;

/** A part of a format: text that stands in every line, or a field. */
export interface Part {
  /** Empty for a field. */
  readonly text: Uint8Array;
  /** Number of the field, or -1. */
  readonly field: number;
  readonly class: FieldClass;
  readonly maySayNothing: boolean;
  /** 1 for each byte that the class allows, outside brackets. */
  readonly allowed: Uint8Array;
  readonly maxBytes: number;
  /** The text that follows a field; empty when the field ends the format. */
  next: Uint8Array;
}

export const NOTHING = new Uint8Array(0);

/** Bytes that a class allows. */
const ALLOWED: Readonly<Record<FieldClass, (c: number) => boolean>> = {
  free: () => true,
  time: () => true,
  number: (c) => isDigit(c) || c === CHAR.dot || c === CHAR.minus,
  word: (c) => c > CHAR.space && c !== CHAR.quote,
  maybe: (c) => c > CHAR.space && c !== CHAR.quote,
  address: (c) => /[0-9A-Fa-f.:[\]-]/.test(String.fromCharCode(c)),
  text: (c) => c !== CHAR.quote,
  nested: (c) => c !== CHAR.space && c !== CHAR.quote,
  list: (c) => c > CHAR.space && c !== CHAR.quote,
  numbers: (c) => /[0-9.,:-]/.test(String.fromCharCode(c)),
  statuses: (c) => /[0-9,:-]/.test(String.fromCharCode(c)),
  unbracketed: (c) => c !== CHAR.quote && c !== CHAR.bracketOpen,
  quoted: () => true,
  instant: isInstantByte,
  common_time: (c) => c >= CHAR.space && c !== CHAR.bracketClose,
  socket: (c) => c > CHAR.space && c !== CHAR.quote,
  host: (c) => c > CHAR.space && c !== CHAR.quote,
  identity: (c) => c > CHAR.space && c !== CHAR.quote,
  details: (c) => c !== CHAR.space && c !== CHAR.quote,
  flags: (c) => /[A-Za-z0-9,_-]/.test(String.fromCharCode(c)),
};
const ALLOWED_BYTES = Object.fromEntries(
  CLASSES.map((name) => [
    name,
    Uint8Array.from({ length: 256 }, (_, c) => (ALLOWED[name](c) ? 1 : 0)),
  ]),
) as Readonly<Record<FieldClass, Uint8Array>>;

export function fieldPart(number: number, fieldClass: FieldClass, maySayNothing: boolean): Part {
  return {
    text: NOTHING,
    field: number,
    class: fieldClass,
    maySayNothing: maySayNothing || fieldClass === "maybe",
    allowed: ALLOWED_BYTES[fieldClass],
    maxBytes: fieldClass === "time" ? MAX_TIME : MAX_BOUNDED,
    next: NOTHING,
  };
}

/** Where the field that begins at `p` ends: in front of the text that follows it, or at the end of the line when none does; -1 when it does not fit its class. */
export function scan(from: Uint8Array, p: number, end: number, part: Part): number {
  const { next, allowed } = part;
  const limit = Math.min(end, p + part.maxBytes);
  if (part.class === "quoted") return endOfQuoted(from, p, limit);
  const isList = part.class === "list" || part.class === "numbers" || part.class === "statuses";
  const first = next.length === 0 ? -1 : next[0]!;
  let i = p;
  if (part.class === "nested" || part.class === "details") {
    let depth = 0;
    for (; i < limit; i++) {
      const c = from[i]!;
      if (c === first && depth === 0 && startsWith(from, i, end, next)) break;
      if (c === CHAR.bracketOpen || c === CHAR.braceOpen) depth++;
      else if (c === CHAR.bracketClose || c === CHAR.braceClose) depth--;
      else if (depth <= 0 && allowed[c] === 0) return -1;
    }
  } else {
    for (; i < limit; i++) {
      const c = from[i]!;
      const isBetween = isList && c === CHAR.space && isWithinList(from, p, i, end);
      if (c === first && !isBetween && startsWith(from, i, end, next)) break;
      if (allowed[c] === 0 && !isBetween) return -1;
    }
  }
  if (first < 0 ? i < end : i === limit) return -1;
  return fitsAsAWhole(from, p, i, part.class) ? i : -1;
}

/** Does the range, of bytes that the class allows, make one of its values? */
function fitsAsAWhole(from: Uint8Array, start: number, end: number, name: FieldClass): boolean {
  switch (name) {
    case "number":
      return isNumber(from, start, end);
    case "flags":
      return areFlags(from, start, end);
    case "socket":
      return endsWithPort(from, start, end);
    case "host":
      return isHost(from, start, end);
    case "identity":
      return isIdentity(from, start, end);
    case "details":
      return areDetails(from, start, end);
    case "statuses":
      return areStatuses(from, start, end);
    case "instant":
      return isInstant(from, start, end);
    case "common_time":
      return isCommonTime(from, start, end);
    default:
      return true;
  }
}

/** A dash, or digits with at most one point between them. */
function isNumber(from: Uint8Array, start: number, end: number): boolean {
  if (isDash(from, start, end)) return true;
  let points = 0;
  for (let i = start; i < end; i++) {
    if (from[i] === CHAR.minus) return false;
    if (from[i] === CHAR.dot) points++;
  }
  return points === 0 || (points === 1 && isDigit(from[start]!) && isDigit(from[end - 1]!));
}

/** A dash alone, or codes such as `UF,URX`, which no digit begins. */
function areFlags(from: Uint8Array, start: number, end: number): boolean {
  if (from[start] === CHAR.minus) return end - start === 1;
  return start < end && !isDigit(from[start]!);
}
