import { VALUE_TYPES } from "../records/attributes.ts";
import type { LogView } from "../records/views.ts";
import { ascii, CHAR, equalRanges, equalsText, indexOf, isDigit, startsWith } from "./ascii.ts";
import type { Dialect } from "./dialect.ts";
import { Expansion } from "./expansion.ts";
import { HELD, heldBy, HOLDERS, isMetadata, isObjectText } from "./held.ts";
import { JsonMembers } from "./json-members.ts";
import { LINE, type LineReader } from "./line.ts";
import { isListed, ListMembers } from "./list-members.ts";
import type { ScopeTraits } from "./scope-traits.ts";

/** Of one record; of more the text stays. */
const MAX_METADATA = 16;
/** Longer texts are no access log's: they stay logs. What a reader does for one line is bounded by this. */
const MAX_LINE_BYTES = 64 * 1024;
const MAX_JSON_BYTES = 1024 * 1024;
/** What container runtimes write in front of a line: time, stream and whether the line is full or in part (Kubernetes, CRI log format). */
const CRI_STREAMS = [ascii(" stdout "), ascii(" stderr ")] as const;
const MAX_CRI_TIME = 36;
const STREAM_KEY = ascii("log.iostream");
const TIME_KEY = ascii("log.time");
const NO_LINE = -1;
/** How lines with the same first byte end: with anything, or, of all formats that begin so, with a byte that is known. */
const ENDS = { any: 1, known: 2 } as const;

interface KnownLine {
  readonly dialect: Dialect;
  readonly reader: LineReader;
}

/** Turns what stands in the body of a record, and in attributes that are lists, into attributes of their own. */
export class BodyReader {
  readonly expansion: Expansion;
  /** One of LINE: how the last body could be read. */
  status: number = LINE.foreign;
  /** The first attribute of the expansion that stood in the body; as many as there are when none did. */
  bodyFrom = 0;
  /** Where the line that was read stands in the expansion: in the body, or in what a member of it says without escapes. */
  lineStart = 0;
  lineEnd = 0;
  readonly #lines: readonly KnownLine[];
  /** For each byte that a line of some dialect begins with: ENDS of such lines. */
  readonly #firstBytes = new Uint8Array(256);
  /** 1 for each byte that lines of some format always end with. */
  readonly #lastBytes = new Uint8Array(256);
  readonly #isOrdered: boolean;
  /** Position of the reader that took the last line. */
  #lastLine = NO_LINE;
  readonly #json = new JsonMembers();
  readonly #list = new ListMembers();
  /** The line in the body, behind what a container runtime put in front of it; positions in the record. */
  #lineStart = 0;
  #lineEnd = 0;
  #prefixEnd = 0;

  /** `isOrdered`: of two readers that take the whole line the first counts, whichever took the one before. */
  constructor(
    dialects: readonly Dialect[],
    isOrdered = false,
    isSecretName?: Expansion["isSecretName"],
  ) {
    this.expansion = new Expansion(isSecretName);
    this.#isOrdered = isOrdered;
    this.#lines = dialects.flatMap((dialect) =>
      (dialect.lines ?? []).map((reader) => ({ dialect, reader })),
    );
    for (const { reader } of this.#lines) {
      const { firstBytes, lastByte } = reader;
      const ends = lastByte === undefined ? ENDS.any : ENDS.known;
      firstBytes.forEach((may, byte) => (this.#firstBytes[byte]! |= may * ends));
      if (lastByte !== undefined) this.#lastBytes[lastByte] = 1;
    }
  }

  /** The dialect whose line the body of text is; its fields stand in the expansion then, behind the record's own attributes. */
  readLine(view: LogView, traits: ScopeTraits): Dialect | undefined {
    const { buffer } = view;
    if (view.bodyType !== VALUE_TYPES.string || view.bodyEnd - view.bodyStart > MAX_LINE_BYTES)
      return undefined;
    this.#findLine(buffer, view.bodyStart, view.bodyEnd);
    const start = this.#lineStart;
    if (start === this.#lineEnd) return undefined;
    const ends = this.#firstBytes[buffer[start]!]!;
    if (ends === 0 || (ends === ENDS.known && this.#lastBytes[buffer[this.#lineEnd - 1]!] === 0))
      return undefined;
    const into = this.expansion;
    into.begin(view);
    const moved = into.view.bodyStart - view.bodyStart;
    return this.#readWith(view, start + moved, this.#lineEnd + moved, traits);
  }

  /**
   * Makes attributes of a body that is JSON or a list of values, and of attributes that are lists. `held`: heldBy(view). False when there is nothing of the kind.
   * Throws: WireError when a list is not valid protobuf.
   */
  expand(view: LogView, held = heldBy(view)): boolean {
    const isList = view.bodyType === VALUE_TYPES.kvlist;
    const isJson =
      view.bodyType === VALUE_TYPES.string &&
      view.bodyEnd - view.bodyStart <= MAX_JSON_BYTES &&
      this.#beginsObject(view);
    if (!isList && !isJson && held === 0) return false;
    const into = this.expansion;
    into.begin(view);
    this.status = LINE.foreign;
    if (!this.#copyAttributes(view)) this.status = LINE.partial;
    this.bodyFrom = into.attributes.count;
    if (isJson) {
      const moved = into.view.bodyStart - view.bodyStart;
      const status = this.#json.read(into, this.#lineStart + moved, this.#lineEnd + moved);
      if (status === LINE.foreign && (held & HELD.members) === 0) return false;
      this.status = status;
      this.#keepPrefix(view);
    } else if (isList)
      this.status = this.#list.read(into, 0, 0, into.view.bodyStart, into.view.bodyEnd)
        ? LINE.full
        : LINE.partial;
    this.#expandMetadata(this.bodyFrom);
    return true;
  }

  /** The dialect whose line stands in a member of what was expanded: what collected the line wrapped it in JSON. */
  readWrapped(traits: ScopeTraits): Dialect | undefined {
    const into = this.expansion;
    const list = into.attributes;
    for (let i = 0; i < list.count; i++) {
      if (list.valueType[i] !== VALUE_TYPES.string) continue;
      const { bytes } = into;
      if (!HOLDERS.some((key) => equalsText(bytes, list.keyStart[i]!, list.keyEnd[i]!, key)))
        continue;
      if (i < this.bodyFrom && !this.#isAllThere(i)) continue;
      this.#findLine(bytes, list.valueStart[i]!, list.valueEnd[i]!);
      const start = this.#lineStart;
      const end = this.#lineEnd;
      if (start === end || end - start > MAX_LINE_BYTES) continue;
      const outer = this.status;
      if (bytes[start] === CHAR.braceOpen) {
        const before = list.count;
        const status = this.#json.read(into, start, end);
        if (status === LINE.foreign) continue;
        this.#unwrap(i, before, outer === LINE.partial ? outer : status);
        this.#expandMetadata(this.bodyFrom);
        return undefined;
      }
      const before = list.count;
      const dialect = this.#tryLines(start, end, before, traits);
      if (dialect === undefined) continue;
      this.#unwrap(i, before, outer === LINE.partial ? outer : this.status);
      return dialect;
    }
    return undefined;
  }

  /** Is the record's own attribute all that its body says, or all but what a transport wrote in front of it? A line that a log speaks of is none. */
  #isAllThere(attribute: number): boolean {
    const { view, attributes: list, bytes } = this.expansion;
    if (view.bodyStart === view.bodyEnd) return true;
    const start = list.valueStart[attribute]!;
    const end = endOfText(bytes, start, list.valueEnd[attribute]!);
    const bodyEnd = endOfText(bytes, view.bodyStart, view.bodyEnd);
    const from = bodyEnd - (end - start);
    return from >= view.bodyStart && equalRanges(bytes, from, bodyEnd, bytes, start, end);
  }

  /** The member that held the line goes; what stands beside it is no part of the line. It is the body of a record without one. `from`: the line's first attribute. */
  #unwrap(member: number, from: number, status: number): void {
    const { view, attributes: list } = this.expansion;
    if (view.bodyStart === view.bodyEnd) {
      view.bodyType = VALUE_TYPES.string;
      view.bodyStart = list.valueStart[member]!;
      view.bodyEnd = list.valueEnd[member]!;
    }
    list.remove(member);
    this.bodyFrom = from - 1;
    this.status = status;
  }

  /** Where the line in a body of text stands: without its line break, and behind what a container runtime put in front of it. */
  lineIn(view: LogView): { readonly start: number; readonly end: number } {
    this.#findLine(view.buffer, view.bodyStart, view.bodyEnd);
    return { start: this.#lineStart, end: this.#lineEnd };
  }

  #readWith(view: LogView, start: number, end: number, traits: ScopeTraits): Dialect | undefined {
    const into = this.expansion;
    // The attributes come first, so that what the line says outranks them; but most lines are nobody's, so they are copied last.
    const dialect = this.#tryLines(start, end, 0, traits);
    if (dialect === undefined) return undefined;
    const fromLine = into.attributes.count;
    this.#copyAttributes(view);
    into.attributes.rotate(fromLine);
    this.bodyFrom = into.attributes.count - fromLine;
    this.#keepPrefix(view);
    return dialect;
  }

  /** The reader that takes the whole line, else the first that takes a part. The one that took the last line is asked first: most lines are like the one before. */
  #tryLines(
    start: number,
    behind: number,
    before: number,
    traits: ScopeTraits,
  ): Dialect | undefined {
    const into = this.expansion;
    // Proxies write no line breaks into their lines: behind one stands another line, and the body counts as read in part.
    const lineBreak = indexOf(into.bytes, CHAR.newline, start, behind);
    const end = lineBreak < 0 ? behind : endOfText(into.bytes, start, lineBreak);
    const best = lineBreak < 0 ? LINE.full : LINE.partial;
    this.lineStart = start;
    this.lineEnd = end;
    const first = into.bytes[start]!;
    const { length } = into;
    const last = this.#lastLine;
    let partly = NO_LINE;
    let closed: string | undefined;
    for (let i = NO_LINE; i < this.#lines.length; i++) {
      // Before the others the last one, which is not asked again.
      const line = i === NO_LINE ? last : i === last ? NO_LINE : i;
      if (line === NO_LINE) continue;
      const { dialect, reader } = this.#lines[line]!;
      if (reader.firstBytes[first] === 0) continue;
      if (closed !== undefined && reader.opening === closed) continue;
      const status = reader.read(into, start, end, traits);
      if (status === LINE.foreign && reader.isOpenedOtherwise === true) closed = reader.opening;
      if (status === LINE.full) {
        this.status = best;
        if (!this.#isOrdered) this.#lastLine = line;
        return dialect;
      }
      if (status === LINE.partial && (partly === NO_LINE || line < partly)) partly = line;
      into.rewind(length, before);
    }
    if (partly === NO_LINE) return undefined;
    const { dialect, reader } = this.#lines[partly]!;
    this.status = reader.read(into, start, end, traits);
    return dialect;
  }

  /** The record's own attributes, lists among them taken apart. False when one could not be wholly. */
  #copyAttributes(view: LogView): boolean {
    const into = this.expansion;
    const { attributes: list, buffer } = view;
    const first = into.attributes.count;
    let isComplete = true;
    for (let i = 0; i < list.count; i++) {
      const type = list.valueType[i]!;
      if (
        !isListed(buffer, type, list.valueStart[i]!, list.valueEnd[i]!) ||
        into.isSecretName(buffer, list.keyStart[i]!, list.keyEnd[i]!)
      ) {
        into.copyAttribute(buffer, list, i);
        continue;
      }
      const key = into.append(buffer, list.keyStart[i]!, list.keyEnd[i]!);
      const keyEnd = into.length;
      const start = into.append(buffer, list.valueStart[i]!, list.valueEnd[i]!);
      const end = into.length;
      const before = into.attributes.count;
      if (this.#list.read(into, key, keyEnd, start, end, type)) continue;
      // What does not fit stays one value.
      isComplete = false;
      into.attributes.count = before;
      into.attributes.push(key, keyEnd, type, start, end);
    }
    this.#expandMetadata(first);
    return isComplete;
  }

  /** Of the attributes from `first` on: metadata that is JSON text becomes its members. */
  #expandMetadata(first: number): void {
    const into = this.expansion;
    const list = into.attributes;
    let end = list.count;
    let left = MAX_METADATA;
    for (let i = first; i < end && left > 0; i++) {
      if (
        !isObjectText(into.bytes, list, i) ||
        !isMetadata(into.bytes, list.keyStart[i]!, list.keyEnd[i]!)
      )
        continue;
      left--;
      const { length } = into;
      const { count } = list;
      const start = list.valueStart[i]!;
      const stop = list.valueEnd[i]!;
      const status = this.#json.read(into, start, stop, list.keyStart[i], list.keyEnd[i]);
      if (status !== LINE.full || list.count === count) {
        into.rewind(length, count);
        continue;
      }
      list.remove(i--);
      end--;
    }
  }

  /** Sets `#lineStart` and `#lineEnd`: without line break, blanks in front, and what a container runtime wrote in front of it. */
  #findLine(from: Uint8Array, bodyStart: number, bodyEnd: number): void {
    let start = bodyStart;
    const end = endOfText(from, start, bodyEnd);
    while (start < end && from[start]! <= CHAR.space) start++;
    this.#lineEnd = end;
    this.#prefixEnd = start;
    this.#lineStart = start;
    if (start + MAX_CRI_TIME >= end || !isDigit(from[start]!) || from[start + 4] !== CHAR.minus)
      return;
    let blank = start;
    while (blank < start + MAX_CRI_TIME && from[blank] !== CHAR.space) blank++;
    if (!CRI_STREAMS.some((stream) => startsWith(from, blank, end, stream))) return;
    const tag = blank + CRI_STREAMS[0].length;
    if (tag + 2 > end || from[tag + 1] !== CHAR.space) return;
    this.#prefixEnd = blank;
    this.#lineStart = tag + 2;
  }

  /** Time and stream that a container runtime put in front of the line. */
  #keepPrefix(view: LogView): void {
    const start = view.bodyStart;
    const end = this.#prefixEnd;
    if (this.#lineStart === end) return;
    const into = this.expansion;
    const moved = into.view.bodyStart - start;
    const timeStart = into.view.bodyStart;
    const timeEnd = end + moved;
    const timeKey = into.append(TIME_KEY, 0, TIME_KEY.length);
    into.push(timeKey, into.length, timeStart, timeEnd);
    const streamKey = into.append(STREAM_KEY, 0, STREAM_KEY.length);
    into.push(streamKey, into.length, timeEnd + 1, timeEnd + 1 + STREAM_BYTES);
  }

  #beginsObject(view: LogView): boolean {
    this.#findLine(view.buffer, view.bodyStart, view.bodyEnd);
    return this.#lineStart < this.#lineEnd && view.buffer[this.#lineStart] === CHAR.braceOpen;
  }
}

/** Where the text ends without blanks and line breaks behind it. */
function endOfText(from: Uint8Array, start: number, end: number): number {
  let p = end;
  while (p > start && from[p - 1]! <= CHAR.space) p--;
  return p;
}

/** Length of `stdout` and of `stderr`. */
const STREAM_BYTES = 6;
