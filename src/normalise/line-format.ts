import { ascii, CHAR, isDigit } from "./ascii.ts";
import { findKey } from "./attribute-keys.ts";
import type { Expansion } from "./expansion.ts";
import { FIELD, FIELD_NAMES, type FieldName, IS_NUMERIC } from "./fields.ts";
import { LINE, type LineReader } from "./line.ts";
import type { ScopeTraits } from "./scope-traits.ts";

/**
 * What a field of a line may hold. `free` fields are whatever a client sent: they may hold anything, the text that follows them in the format included.
 * All others end where the text that follows them first stands, and hold only what their class allows:
 * `number` digits or a dash, `word` neither blanks nor quotation marks, `maybe` a word or nothing at all, `address` an address with or without a port, `text` no quotation marks, `nested` no blanks but inside brackets and braces.
 */
const CLASSES = [
  "free",
  "number",
  "word",
  "maybe",
  "address",
  "text",
  "nested",
  "time",
  "flags",
] as const;
export type FieldClass = (typeof CLASSES)[number];

/** Longest value of a field that is not free. Together with the fixed number of fields it keeps reading linear in the line. */
const MAX_BOUNDED = 2048;
const MAX_TIME = 64;

/** Classes of fields that are not free text of a client; others are free in quotation marks and words without. */
const CLASS_OF: Partial<Record<FieldName, FieldClass>> = {
  start_time: "time",
  method: "word",
  protocol: "word",
  authority: "word",
  request_id: "word",
  response_flags: "flags",
  response_flags_long: "flags",
  response_code_details: "nested",
  connection_termination_details: "text",
  upstream_transport_failure_reason: "text",
  downstream_transport_failure_reason: "text",
  upstream_host: "word",
  upstream_cluster: "word",
  upstream_local_address: "word",
  downstream_local_address: "word",
  downstream_remote_address: "word",
  downstream_direct_remote_address: "word",
  requested_server_name: "word",
  downstream_peer_uri_san: "word",
  downstream_tls_version: "word",
  downstream_tls_cipher: "word",
  path: "free",
  original_path: "free",
  user_agent: "free",
  x_forwarded_for: "free",
};

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

const NOTHING = new Uint8Array(0);

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
  flags: (c) => /[A-Za-z0-9,_-]/.test(String.fromCharCode(c)),
};
const ALLOWED_BYTES = Object.fromEntries(
  CLASSES.map((name) => [
    name,
    Uint8Array.from({ length: 256 }, (_, c) => (ALLOWED[name](c) ? 1 : 0)),
  ]),
) as Readonly<Record<FieldClass, Uint8Array>>;

function fieldPart(number: number, fieldClass: FieldClass, maySayNothing: boolean): Part {
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

/** The parts between two free fields. */
interface Anchor {
  readonly parts: readonly Part[];
  /** First byte, or -1 when a field stands first. */
  readonly firstByte: number;
}

/** What a format is made of, as `%NAME%` and text between. */
export interface LineFormatOptions {
  /** Class of a field, by its name in the format, where it is not what its meaning says. */
  readonly classes?: Readonly<Record<string, FieldClass>>;
  /** What names in the format mean, where attribute-keys.ts says otherwise or nothing. Their attributes keep these names; all others get our names of the fields. */
  readonly keys?: Readonly<Record<string, FieldName | null>>;
  /** A field of the format: a line that is read up to here but not to its end is the format's, in part. By default a line must fit the whole format. */
  readonly partialFrom?: string;
}

/** The format cannot be compiled. `at` is where in it, counted from 0. */
export class LineFormatError extends Error {
  readonly at: number;

  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

interface ParsedField {
  readonly name: string;
  readonly at: number;
}

/**
 * Reads lines that a proxy wrote by a format string, Envoy's (`%REQ(:METHOD)%`, `%DURATION%`) or one of the same kind with names of its own.
 *
 * Proxies escape nothing or little, and clients choose paths and headers, so a line can be read in several ways. The fields that a client cannot choose, with
 * the text between them, are anchors; between two anchors stands one free field. Read from the left, every anchor is found as early as it can stand; read from the right,
 * as late. Every way to read the line lies between the two: an anchor that both find in one place stands there in all of them, and what lies between two such is certain.
 * The rest is not guessed: it becomes no field, and the line counts as read in part.
 */
export class LineFormat implements LineReader {
  readonly firstBytes = new Uint8Array(256);
  /** The format string. */
  readonly format: string;
  /** What it is made of: texts and fields. */
  readonly parts: readonly Part[];
  /** Names of the fields, in the order of the format. */
  readonly names: readonly string[];
  readonly #isUnknown: Uint8Array;
  readonly #anchors: readonly Anchor[] = [];
  /** Anchor `i` is followed by the free field `#freeFields[i]`; -1 behind the last anchor when it ends the format. */
  readonly #freeFields: readonly number[];
  /** The anchor with the field `partialFrom`, and it cut off behind that field. */
  readonly #probeAnchor: number;
  readonly #probe: Anchor | undefined;
  /** The last anchor without the field that ends the format. */
  readonly #stem: Anchor | undefined;
  readonly #keys: Uint8Array;
  readonly #keyEnds: Int32Array;
  /** Where each anchor begins and ends, read from the left and from the right. */
  readonly #early: Int32Array;
  readonly #earlyEnd: Int32Array;
  readonly #late: Int32Array;
  readonly #start: Int32Array;
  readonly #end: Int32Array;
  #from: Uint8Array = NOTHING;
  #lineEnd = 0;
  /** Behind the anchor that `#find` found. */
  #stop = 0;

  /** Throws: LineFormatError. */
  constructor(
    format: string,
    { classes = {}, keys: own = {}, partialFrom }: LineFormatOptions = {},
  ) {
    this.format = format;
    const { parts, fields } = parseFormat(format, classes, own);
    this.parts = parts;
    this.names = fields.map(({ name }) => (Object.hasOwn(own, name) ? name : fieldName(name)));
    this.#isUnknown = Uint8Array.from(fields, ({ name }) =>
      fieldOf(name, own) === undefined ? 1 : 0,
    );
    const { anchors, freeFields } = splitAtFreeFields(parts, fields);
    this.#anchors = anchors;
    this.#freeFields = freeFields;
    const probe = partialFrom === undefined ? -1 : fields.findIndex((f) => f.name === partialFrom);
    this.#probeAnchor = anchors.findIndex(({ parts: list }) =>
      list.some(({ field }) => probe >= 0 && field === probe),
    );
    this.#probe = this.#probeAnchor < 0 ? undefined : cutBehind(anchors[this.#probeAnchor]!, probe);
    this.#stem = withoutLastField(anchors.at(-1)!);
    const keys = this.names.map((name) => Buffer.from(name));
    this.#keys = new Uint8Array(Buffer.concat(keys));
    let at = 0;
    this.#keyEnds = Int32Array.from(keys, (key) => (at += key.length));
    this.#early = new Int32Array(anchors.length);
    this.#earlyEnd = new Int32Array(anchors.length);
    this.#late = new Int32Array(anchors.length);
    this.#start = new Int32Array(fields.length);
    this.#end = new Int32Array(fields.length);
    this.#noteFirstBytes();
  }

  read(into: Expansion, start: number, end: number, traits: ScopeTraits): number {
    this.#from = into.bytes;
    this.#lineEnd = end;
    this.#start.fill(-1);
    const count = this.#anchors.length;
    const last = count - 1;
    const read = this.#readFromLeft(start);
    let result: number = LINE.foreign;
    if (read === count && this.#fitsEnd(last)) {
      result = this.#readFromRight(last, end) ? this.#setAll() : LINE.foreign;
    } else if (this.#probe !== undefined) result = this.#readPartly(start, read, traits);
    if (result !== LINE.foreign) this.#emit(into);
    return result;
  }

  /** Does the last anchor, as it was read from the left, leave nothing behind it? */
  #fitsEnd(last: number): boolean {
    return this.#freeFields[last]! >= 0 || this.#earlyEnd[last] === this.#lineEnd;
  }

  /** Places anchors as early as they can stand; how many could be placed. The last one, when no free field follows it, must end the line. */
  #readFromLeft(start: number): number {
    const anchors = this.#anchors;
    const last = anchors.length - 1;
    this.#stop = this.#walk(anchors[0]!, start, false);
    if (this.#stop < 0) return 0;
    this.#early[0] = start;
    this.#earlyEnd[0] = this.#stop;
    for (let i = 1; i <= last; i++) {
      const mustEnd = i === last && this.#freeFields[last]! < 0;
      const at = this.#find(anchors[i]!, this.#earlyEnd[i - 1]!, mustEnd);
      if (at < 0) return i;
      this.#early[i] = at;
      this.#earlyEnd[i] = this.#stop;
    }
    return anchors.length;
  }

  /**
   * Position of the first place from `start` on where the anchor stands, and ends the line if it must; without such, the first where it stands at all; or -1.
   * `#stop` is behind it.
   */
  #find(anchor: Anchor, start: number, mustEnd: boolean): number {
    const { firstByte } = anchor;
    const from = this.#from;
    const end = this.#lineEnd;
    let at = -1;
    for (let p = start; p < end; p++) {
      if (from[p] !== firstByte) continue;
      const stop = this.#walk(anchor, p, false);
      if (stop < 0) continue;
      const isEnd = stop === end;
      if (at < 0 || isEnd) {
        at = p;
        this.#stop = stop;
      }
      if (!mustEnd || isEnd) break;
    }
    return at;
  }

  /** Places the anchors up to `last` as late as they can stand, the last one not behind `end`; false when one has no place. */
  #readFromRight(last: number, end: number): boolean {
    const from = this.#from;
    let limit = end;
    for (let i = last; i > 0; i--) {
      const anchor = this.#anchors[i]!;
      const mustEnd = i === last && this.#freeFields[last]! < 0 && end === this.#lineEnd;
      const early = this.#early[i]!;
      let p = limit - 1;
      for (; p > early; p--) {
        if (from[p] !== anchor.firstByte) continue;
        const stop = this.#walk(anchor, p, false);
        if (stop >= 0 && (mustEnd ? stop === end : stop <= limit)) break;
      }
      // Where it stands when it is read from the left it need not be looked at again.
      if (p <= early && this.#earlyEnd[i]! > limit) return false;
      this.#late[i] = p = Math.max(p, early);
      limit = p;
    }
    this.#late[0] = this.#early[0]!;
    return true;
  }

  /** Fills the fields that are certain; what is left out counts as read in part. */
  #setAll(): number {
    const last = this.#anchors.length - 1;
    const isSure = this.#setPrefix(last + 1);
    const free = this.#freeFields[last]!;
    if (free >= 0 && this.#isSure(last)) this.#setField(free, this.#earlyEnd[last]!, this.#lineEnd);
    return isSure ? LINE.full : LINE.partial;
  }

  /** Fills what is certain of the first `count` anchors and the fields between them; true when all of it is. */
  #setPrefix(count: number): boolean {
    let isSure = true;
    for (let i = 0; i < count; i++) {
      if (!this.#isSure(i)) {
        isSure = false;
        continue;
      }
      this.#walk(this.#anchors[i]!, this.#early[i]!, true);
      if (i > 0 && this.#isSure(i - 1))
        this.#setField(this.#freeFields[i - 1]!, this.#earlyEnd[i - 1]!, this.#early[i]!);
    }
    return isSure;
  }

  #isSure(anchor: number): boolean {
    return this.#early[anchor] === this.#late[anchor];
  }

  #setField(field: number, start: number, end: number): void {
    this.#start[field] = start;
    this.#end[field] = end;
  }

  /**
   * A line that fits the format's beginning and not its end: it was cut off, or somebody changed the format. What is certain from the left is taken, and the end
   * if the last anchor stands there.
   */
  #readPartly(start: number, read: number, traits: ScopeTraits): number {
    const probeAt = this.#probeAnchor;
    const { length } = this.#anchors;
    if (read < probeAt || read === 0) return LINE.foreign;
    if (read > probeAt) {
      // The whole anchor stands there: that nobody else writes.
      const endAt = read < length ? this.#setEnd(this.#earlyEnd[read - 1]!) : -1;
      if (!this.#readFromRight(read - 1, endAt < 0 ? this.#lineEnd : endAt)) return LINE.foreign;
      this.#setPrefix(read);
      if (endAt >= 0 && read === length - 1 && this.#isSure(read - 1))
        this.#setField(this.#freeFields[read - 1]!, this.#earlyEnd[read - 1]!, endAt);
      return LINE.partial;
    }
    const probe = this.#probe!;
    const behind = probeAt === 0 ? start : this.#earlyEnd[probeAt - 1]!;
    const at = probeAt === 0 ? start : this.#find(probe, behind, false);
    const probeEnd = at < 0 ? -1 : this.#walk(probe, at, false);
    if (probeEnd < 0) return LINE.foreign;
    const isOnly = this.#find(probe, at + 1, false) < 0;
    // The beginning alone could be anybody's.
    if (this.#setEnd(probeEnd) < 0 && !traits.envoyLabels) return LINE.foreign;
    this.#late.set(this.#early);
    this.#setPrefix(probeAt);
    if (isOnly) {
      this.#walk(probe, at, true);
      if (probeAt > 0) this.#setField(this.#freeFields[probeAt - 1]!, behind, at);
    }
    return LINE.partial;
  }

  /** The last anchor, if it ends the line; or all of it but its last field, if it stands in one place only: somebody added to the format. Not before `start`. Returns where it stands, or -1. */
  #setEnd(start: number): number {
    const last = this.#anchors.length - 1;
    const anchor = this.#anchors[last]!;
    if (this.#freeFields[last]! >= 0) return -1;
    for (let p = this.#lineEnd - 1; p >= start; p--) {
      if (this.#from[p] !== anchor.firstByte) continue;
      if (this.#walk(anchor, p, false) !== this.#lineEnd) continue;
      this.#walk(anchor, p, true);
      return p;
    }
    const stem = this.#stem;
    if (stem === undefined) return -1;
    const at = this.#find(stem, start, false);
    if (at < 0 || this.#find(stem, at + 1, false) >= 0) return -1;
    this.#walk(stem, at, true);
    return at;
  }

  /** Position behind the anchor when it stands at `at`, else -1. `isSetting`: it does, and its fields are to be filled. */
  #walk(anchor: Anchor, at: number, isSetting: boolean): number {
    const { parts } = anchor;
    const from = this.#from;
    const end = this.#lineEnd;
    let p = at;
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]!;
      const { text, field } = part;
      if (field < 0) {
        if (p + text.length > end) return -1;
        for (let j = 0; j < text.length; j++) if (from[p++] !== text[j]) return -1;
        continue;
      }
      const stop = scan(from, p, end, part);
      if (stop < 0 || (stop === p && !part.maySayNothing)) return -1;
      if (isSetting) this.#setField(field, p, stop);
      p = stop;
    }
    return p;
  }

  #emit(into: Expansion): void {
    const keys = into.append(this.#keys, 0, this.#keys.length);
    let key = keys;
    for (let i = 0; i < this.names.length; i++) {
      const keyEnd = keys + this.#keyEnds[i]!;
      const start = this.#start[i]!;
      const end = this.#end[i]!;
      // A name that we know says by a dash that it is part of the format; any other says nothing.
      const isDash = end - start === 1 && into.bytes[start] === CHAR.minus;
      if (start >= 0 && !(isDash && this.#isUnknown[i] === 1)) into.push(key, keyEnd, start, end);
      key = keyEnd;
    }
  }

  #noteFirstBytes(): void {
    const { firstByte } = this.#anchors[0]!;
    if (firstByte >= 0) this.firstBytes[firstByte] = 1;
    else this.firstBytes.fill(1, CHAR.space + 1);
  }
}

/** Where the field that begins at `p` ends: in front of the text that follows it, or at the end of the line when none does; -1 when it does not fit its class. */
export function scan(from: Uint8Array, p: number, end: number, part: Part): number {
  const { next, allowed } = part;
  const limit = Math.min(end, p + part.maxBytes);
  const first = next.length === 0 ? -1 : next[0]!;
  let i = p;
  if (part.class === "nested") {
    let depth = 0;
    for (; i < limit; i++) {
      const c = from[i]!;
      if (c === first && depth === 0 && standsAt(from, i, end, next)) break;
      if (c === CHAR.bracketOpen || c === CHAR.braceOpen) depth++;
      else if (c === CHAR.bracketClose || c === CHAR.braceClose) depth--;
      else if (depth <= 0 && allowed[c] === 0) return -1;
    }
  } else {
    for (; i < limit; i++) {
      const c = from[i]!;
      if (c === first && standsAt(from, i, end, next)) break;
      if (allowed[c] === 0) return -1;
    }
  }
  if (first < 0 ? i < end : i === limit) return -1;
  if (part.class === "number" && !isNumber(from, p, i)) return -1;
  return part.class === "flags" && !areFlags(from, p, i) ? -1 : i;
}

function standsAt(from: Uint8Array, p: number, end: number, text: Uint8Array): boolean {
  if (p + text.length > end) return false;
  for (let i = 1; i < text.length; i++) if (from[p + i] !== text[i]) return false;
  return true;
}

/** A dash, or digits with at most one point between them. */
function isNumber(from: Uint8Array, start: number, end: number): boolean {
  if (end - start === 1 && from[start] === CHAR.minus) return true;
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

/** The name under which a field becomes an attribute: ours when we know it, else as it stands in the format. */
function fieldName(name: string): string {
  const known = findKey(name);
  return known === undefined ? name : FIELD_NAMES[known.field]!;
}

function parseFormat(
  format: string,
  classes: Readonly<Record<string, FieldClass>>,
  own: Readonly<Record<string, FieldName | null>>,
): { parts: Part[]; fields: ParsedField[] } {
  const parts: Part[] = [];
  const fields: ParsedField[] = [];
  let text = "";
  const flush = (): void => {
    if (text === "") return;
    const part = { ...fieldPart(-1, "free", false), text: ascii(text) };
    const before = parts.at(-1);
    if (before !== undefined) before.next = part.text;
    parts.push(part);
    text = "";
  };
  const trimmed = format.replace(/[\r\n]+$/, "");
  for (let p = 0; p < trimmed.length;) {
    if (trimmed[p] !== "%") {
      text += trimmed[p++];
      continue;
    }
    if (trimmed[p + 1] === "%") {
      text += "%";
      p += 2;
      continue;
    }
    const end = endOfField(trimmed, p);
    const name = trimmed.slice(p + 1, end).replace(/:\d+$/, "");
    const before = parts.at(-1);
    if (text === "" && before !== undefined && before.field >= 0) {
      const other = fields.at(-1)!.name;
      throw new LineFormatError(
        `expected text between %${other}% and %${name}%, so that it can be told where one ends and the other begins; got none`,
        p,
      );
    }
    const isQuoted = text.endsWith('"') && trimmed[end + 1] === '"';
    flush();
    const fieldClass = Object.hasOwn(classes, name)
      ? classes[name]!
      : classOf(fieldOf(name, own), isQuoted);
    parts.push(fieldPart(fields.length, fieldClass, isQuoted));
    fields.push({ name, at: p });
    p = end + 1;
  }
  flush();
  if (fields.length === 0)
    throw new LineFormatError("expected at least one field such as %START_TIME%, got none", 0);
  return { parts, fields };
}

/** Position of the percent sign that closes the field at `p`; those in parentheses (`%START_TIME(%s.%9f)%`) do not. */
function endOfField(format: string, p: number): number {
  let depth = 0;
  for (let i = p + 1; i < format.length; i++) {
    const c = format[i]!;
    if (c === "(") depth++;
    else if (c === ")") depth--;
    else if (c === "%" && depth === 0) {
      if (i === p + 1) break;
      return i;
    }
  }
  throw new LineFormatError(
    `expected a % that closes the field, got the end of the format behind "${format.slice(p, p + 40)}"`,
    p,
  );
}

function fieldOf(
  name: string,
  own: Readonly<Record<string, FieldName | null>>,
): FieldName | undefined {
  if (Object.hasOwn(own, name)) return own[name] ?? undefined;
  const known = findKey(name);
  return known === undefined ? undefined : (FIELD_NAMES[known.field] as FieldName);
}

function classOf(field: FieldName | undefined, isQuoted: boolean): FieldClass {
  const own = field === undefined ? undefined : CLASS_OF[field];
  if (own === "free" && !isQuoted && field !== "path" && field !== "original_path") return "word";
  if (own !== undefined) return own;
  if (field !== undefined && IS_NUMERIC[FIELD[field]] === 1) return "number";
  return isQuoted ? "free" : "nested";
}

function splitAtFreeFields(
  parts: readonly Part[],
  fields: readonly ParsedField[],
): { anchors: Anchor[]; freeFields: number[] } {
  const anchors: Anchor[] = [];
  const freeFields: number[] = [];
  let current: Part[] = [];
  const close = (free: number): void => {
    const [first] = current;
    if (first === undefined && anchors.length > 0)
      throw new LineFormatError(
        "expected text between two fields, got none",
        fields[free]?.at ?? 0,
      );
    anchors.push({ parts: current, firstByte: first?.text[0] ?? -1 });
    freeFields.push(free);
    current = [];
  };
  for (const part of parts) {
    if (part.field >= 0 && part.class === "free") close(part.field);
    else current.push(part);
  }
  if (current.length > 0) close(-1);
  return { anchors, freeFields };
}

function cutBehind(anchor: Anchor, field: number): Anchor {
  const i = anchor.parts.findIndex((part) => part.field === field);
  return { ...anchor, parts: anchor.parts.slice(0, i + 2) };
}

function withoutLastField(anchor: Anchor): Anchor | undefined {
  const parts = anchor.parts.slice(0, -1);
  const last = anchor.parts.at(-1);
  return last !== undefined && last.field >= 0 && parts.length > 1
    ? { ...anchor, parts }
    : undefined;
}
