import { type AttributeList, VALUE_TYPES } from "../../records/attributes.ts";
import { behindLength, behindText } from "../../records/column-finder.ts";
import { TABLES } from "../../records/columns.ts";
import { ShapeCache } from "../../records/key-shape.ts";
import { RowBuffer, viewOf } from "../../records/row-buffer.ts";
import { ValueWriter } from "../../records/value-text.ts";
import { CHAR, indexOf } from "../ascii.ts";
import { columnsNamed, planOf, type RowPlan } from "./row-plan.ts";
import { type RedactOptions, Rules } from "./rules.ts";
import { RowWalk } from "./row-walk.ts";
import { CONTEXT } from "./value-end.ts";

/** An attribute, redacted: what stands for its key and, as text, for its value. */
export interface RedactedAttribute {
  readonly key: Uint8Array;
  readonly text: Uint8Array;
}

function planFor(columns: Parameters<typeof planOf>[0]): RowPlan {
  return planOf(columns, new Set());
}

/** A map and an array of texts; what they are columns of makes no difference. */
const MAP_AND_TEXTS = Int32Array.of(
  ...planFor(columnsNamed(TABLES.log, ["LogAttributes"])),
  ...planFor(columnsNamed(TABLES.span, ["Events.Name"])),
);
const AUTHORITY = planFor(columnsNamed(TABLES.access, ["Authority"]));
/** Keys whose values fill the column Authority, in which `user@host` needs no scheme in front. */
const HOST_KEY = /authority|host/i;
/** Lengths, which stand in front of what is written. */
const ROOM = 64;

/**
 * Redacts the attributes and texts of a message as RowRedactor redacts them in a row: they are written as a row would hold them, and looked through by the same walk,
 * so that the two cannot differ. For records that leave as they came in (src/originals.ts).
 *
 * Cost: a copy of each text and about one look at it; where something is found, another copy.
 */
export class ValueRedactor {
  readonly #walk: RowWalk;
  readonly #values: ValueWriter;
  readonly #shapes = new ShapeCache();
  readonly #row = new RowBuffer(4096);
  readonly #single = new RowBuffer(256);
  /** Where the texts of `#row` stood when it was written, lengths included, keys and values in turn. */
  readonly #written: number[] = [];
  /** Those in which base64 hid a secret, and which so are written as redacted. */
  readonly #hidden = new Set<number>();
  #before: Uint8Array = new Uint8Array(0);
  /** The same after the walk. */
  readonly #redacted: number[] = [];
  /** Values of attributes that name a host with a user in front, by the number of the attribute. */
  readonly #authorities = new Map<number, Uint8Array>();
  #from: Uint8Array = new Uint8Array(0);
  #attributes: AttributeList | undefined;
  #hasFound = false;

  /** Throws: PatternError. */
  constructor(options: RedactOptions) {
    const rules = new Rules(options);
    const walk = new RowWalk(rules, options.pseudonymKey);
    this.#walk = walk;
    this.#values = new ValueWriter((from, start, end) => {
      if (!walk.finder.find(from, viewOf(from), start, end, CONTEXT.text)) return false;
      walk.hidden = walk.finder.name[0]!;
      return true;
    });
  }

  /**
   * Is there anything to redact in the attributes of a message, or in its texts, which are values without keys? They stand in [start, end) of `from`.
   * `attribute` and `text` then say what, until the next call.
   * Throws: WireError when a nested value cannot be read.
   */
  look(
    from: Uint8Array,
    start: number,
    end: number,
    attributes: AttributeList,
    texts: AttributeList,
  ): boolean {
    const row = this.#row;
    const walk = this.#walk;
    this.#from = from;
    this.#attributes = attributes;
    this.#hidden.clear();
    this.#authorities.clear();
    this.#written.length = 0;
    row.position = 0;
    row.ensure(ROOM);
    row.writeVarint(attributes.count);
    for (let i = 0; i < attributes.count; i++) {
      const keyStart = attributes.keyStart[i]!;
      const keyEnd = attributes.keyEnd[i]!;
      this.#written.push(row.position);
      row.ensure(keyEnd - keyStart + ROOM);
      row.writeText(from, keyStart, keyEnd);
      this.#write(from, attributes, i);
    }
    row.ensure(ROOM);
    row.writeVarint(texts.count);
    for (let i = 0; i < texts.count; i++) this.#write(from, texts, i);
    walk.walk(row, 0, MAP_AND_TEXTS, walk.areKeysClean(this.#shapes.find(from, attributes)));
    this.#hasFound = walk.hasFound;
    if (walk.hasFound) {
      this.#before = row.bytes.slice(0, row.position);
      walk.replace(row, []);
      this.#locate(attributes.count, texts.count);
    }
    // Of the message alone: what stands behind it can be megabytes.
    if (from.subarray(start, end).includes(CHAR.at)) this.#findAuthorities(from, attributes);
    return walk.hasFound || this.#hidden.size > 0 || this.#authorities.size > 0;
  }

  /** What attribute `i` becomes; null when it stays as it is. */
  attribute(i: number): RedactedAttribute | null {
    const { keyStart, keyEnd } = this.#attributes!;
    const key = this.#changed(2 * i);
    const text = this.#changed(2 * i + 1) ?? this.#authorities.get(i);
    if (key === undefined && text === undefined) return null;
    return {
      key: key ?? this.#from.slice(keyStart[i], keyEnd[i]),
      text: text ?? this.#textNumber(2 * i + 1),
    };
  }

  /** What text `i` becomes; null when it stays as it is. */
  text(i: number): Uint8Array | null {
    return this.#changed(2 * this.#attributes!.count + i) ?? null;
  }

  /** Lets go of what was read last. */
  reset(): void {
    this.#row.reset();
    this.#single.reset();
    this.#from = this.#before = new Uint8Array(0);
  }

  #write(from: Uint8Array, list: AttributeList, i: number): void {
    const row = this.#row;
    const start = list.valueStart[i]!;
    const end = list.valueEnd[i]!;
    this.#walk.hidden = -1;
    row.ensure(end - start + ROOM);
    const number = this.#written.push(row.position) - 1;
    this.#values.writeText(row, from, list.valueType[i]!, start, end);
    if (this.#walk.hidden >= 0) this.#hidden.add(number);
    this.#walk.hidden = -1;
  }

  /** Finds where the texts stand after the walk. */
  #locate(attributes: number, texts: number): void {
    const { bytes } = this.#row;
    const redacted = this.#redacted;
    redacted.length = 0;
    let p = behindLength(bytes, 0); // behind the number of attributes
    for (let i = 0; i < 2 * attributes; i++) {
      redacted.push(p);
      p = behindText(bytes, p);
    }
    p = behindLength(bytes, p); // behind the number of texts
    for (let i = 0; i < texts; i++) {
      redacted.push(p);
      p = behindText(bytes, p);
    }
  }

  /** A text by its number, keys and values in turn, as it stands now. */
  #textNumber(number: number): Uint8Array {
    const positions = this.#hasFound ? this.#redacted : this.#written;
    return this.#row.bytes.slice(...contentOf(this.#row.bytes, positions[number]!));
  }

  #changed(number: number): Uint8Array | undefined {
    if (this.#hidden.has(number)) return this.#textNumber(number);
    return this.#hasFound && this.#differs(number) ? this.#textNumber(number) : undefined;
  }

  /** Is a text, its length included, another one than before the walk? Texts follow one another, but for the number of texts behind the attributes. */
  #differs(number: number): boolean {
    const { bytes } = this.#row;
    const before = this.#before;
    let p = this.#redacted[number]!;
    for (let q = this.#written[number]!, end = behindText(before, q); q < end; q++)
      if (bytes[p++] !== before[q]) return true;
    return false;
  }

  #findAuthorities(from: Uint8Array, { count, ...list }: AttributeList): void {
    for (let i = 0; i < count; i++) {
      const start = list.valueStart[i]!;
      const end = list.valueEnd[i]!;
      if (list.valueType[i] !== VALUE_TYPES.string || indexOf(from, CHAR.at, start, end) < 0)
        continue;
      const key = Buffer.from(from.subarray(list.keyStart[i], list.keyEnd[i])).toString("latin1");
      if (!HOST_KEY.test(key)) continue;
      const row = this.#single;
      row.position = 0;
      row.ensure(end - start + ROOM);
      row.writeText(from, start, end);
      this.#walk.walk(row, 0, AUTHORITY, false);
      if (!this.#walk.hasFound) continue;
      this.#walk.replace(row, []);
      this.#authorities.set(i, row.bytes.slice(...contentOf(row.bytes, 0)));
    }
  }
}

/** Where the text begins and ends whose length stands at `p`. */
function contentOf(bytes: Uint8Array, p: number): [start: number, end: number] {
  return [behindLength(bytes, p), behindText(bytes, p)];
}
