import { ascii, CHAR, indexOf, isDash, startsWith } from "./ascii.ts";
import type { Expansion } from "./expansion.ts";
import type { FieldName } from "./fields.ts";
import {
  type Anchor,
  cutBehind,
  fieldName,
  fieldOf,
  parseFormat,
  splitAtFreeFields,
  withoutLastField,
} from "./format-string.ts";
import { LINE, type LineReader } from "./line.ts";
import { type FieldClass, NOTHING, type Part, scan } from "./line-part.ts";
import type { ScopeTraits, Writer } from "./scope-traits.ts";

/** Parts of an opening: a text, a time, and a text. */
const OPENING_PARTS = 3;

/** What a format is made of, as `%NAME%` and text between. Fields whose names begin with `_` become no attributes. */
export interface LineFormatOptions {
  /** Class of a field, by its name in the format, where it is not what its meaning says. */
  readonly classes?: Readonly<Record<string, FieldClass>>;
  /** What names in the format mean, where attribute-keys.ts says otherwise or nothing. Their attributes keep these names; all others get our names of the fields. */
  readonly keys?: Readonly<Record<string, FieldName | null>>;
  /** A field of the format: a line that is read up to here but not to its end is the format's, in part. By default a line must fit the whole format. */
  readonly partialFrom?: string;
  /** What the format reads is not all that the line says, so that the line counts as read in part. */
  readonly isPart?: boolean;
  /** Only lines of this proxy's container are looked at: what others may write as well is unmistakable there. */
  readonly writer?: Writer;
  /** What a line can begin with, where the format begins with a field. By default anything but a blank. */
  readonly firstBytes?: string;
  /** Appends a value without its escapes to the expansion; false leaves the value as it is. Asked about values with a backslash. */
  readonly unescape?: (into: Expansion, start: number, end: number) => boolean;
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
  readonly lastByte: number | undefined;
  readonly opening: string | undefined;
  isOpenedOtherwise = false;
  /** The format string. */
  readonly format: string;
  /** Does it read but a part of a line? */
  readonly isPart: boolean;
  /** What it is made of: texts and fields. */
  readonly parts: readonly Part[];
  /** Names of the fields, in the order of the format. */
  readonly names: readonly string[];
  readonly #isUnknown: Uint8Array;
  readonly #isSilent: Uint8Array;
  /** What a line counts as that is read for sure. */
  readonly #best: number;
  readonly #writer: Writer | undefined;
  readonly #unescape: LineFormatOptions["unescape"];
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
  /** The part of an anchor that did not stand where `#walk` looked last. */
  #failed = 0;
  #from: Uint8Array = NOTHING;
  #lineEnd = 0;
  /** Behind the anchor that `#find` found. */
  #stop = 0;

  /** Throws: LineFormatError. */
  constructor(
    format: string,
    {
      classes = {},
      keys: own = {},
      partialFrom,
      isPart = false,
      writer,
      firstBytes,
      unescape,
    }: LineFormatOptions = {},
  ) {
    this.format = format;
    this.isPart = isPart;
    this.#best = isPart ? LINE.partial : LINE.full;
    this.#writer = writer;
    this.#unescape = unescape;
    const { parts, fields } = parseFormat(format, classes, own);
    this.parts = parts;
    this.names = fields.map(({ name }) => (Object.hasOwn(own, name) ? name : fieldName(name)));
    this.#isUnknown = Uint8Array.from(fields, ({ name }) =>
      fieldOf(name, own) === undefined ? 1 : 0,
    );
    this.#isSilent = Uint8Array.from(fields, ({ name }) => (name.startsWith("_") ? 1 : 0));
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
    this.opening = openingOf(parts);
    this.#noteFirstBytes(firstBytes);
    // Whatever is read in part may be cut off.
    if (partialFrom === undefined) this.lastByte = parts.at(-1)!.text.at(-1);
  }

  read(into: Expansion, start: number, end: number, traits: ScopeTraits): number {
    this.isOpenedOtherwise = false;
    if (this.#writer !== undefined && this.#writer !== traits.writer) return LINE.foreign;
    this.#from = into.bytes;
    this.#lineEnd = end;
    const count = this.#anchors.length;
    const last = count - 1;
    const read = this.#readFromLeft(start);
    if (read === 0 && this.opening !== undefined && this.#failed < OPENING_PARTS) {
      this.isOpenedOtherwise = true;
      return LINE.foreign;
    }
    this.#start.fill(-1);
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
    return isSure ? this.#best : LINE.partial;
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
    if (this.#setEnd(probeEnd) < 0 && !traits.envoyLabels && !traits.kuma) return LINE.foreign;
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
        if (!startsWith(from, p, end, text)) {
          this.#failed = i;
          return -1;
        }
        p += text.length;
        continue;
      }
      const stop = scan(from, p, end, part);
      if (stop < 0 || (stop === p && !part.maySayNothing)) {
        this.#failed = i;
        return -1;
      }
      if (isSetting) {
        const inside = part.class === "quoted" && stop - p > 1 ? 1 : 0;
        this.#setField(field, p + inside, stop - inside);
      }
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
      const saysNothing = this.#isUnknown[i] === 1 && isDash(into.bytes, start, end);
      if (start >= 0 && this.#isSilent[i] === 0 && !saysNothing)
        this.#emitValue(into, key, keyEnd, start, end);
      key = keyEnd;
    }
  }

  #emitValue(into: Expansion, key: number, keyEnd: number, start: number, end: number): void {
    if (this.#unescape !== undefined && indexOf(into.bytes, CHAR.backslash, start, end) >= 0) {
      const at = into.length;
      if (this.#unescape(into, start, end)) return into.push(key, keyEnd, at, into.length);
    }
    into.push(key, keyEnd, start, end);
  }

  #noteFirstBytes(firstBytes: string | undefined): void {
    const { firstByte } = this.#anchors[0]!;
    if (firstByte >= 0) this.firstBytes[firstByte] = 1;
    else if (firstBytes !== undefined) for (const c of ascii(firstBytes)) this.firstBytes[c] = 1;
    else this.firstBytes.fill(1, CHAR.space + 1);
  }
}

/** `[`, a time, and `] "`: as most formats of Envoys begin, and few other lines. */
function openingOf([text, time, next]: readonly Part[]): string | undefined {
  if (time?.class !== "time" || next?.text.at(-1) !== CHAR.quote) return undefined;
  return `${Buffer.from(text!.text).toString()}%${Buffer.from(next.text).toString()}`;
}
