import { grown } from "../../records/attributes.ts";
import { behindLength, behindText, lengthAt, skipTexts } from "../../records/column-finder.ts";
import type { KeyShape } from "../../records/key-shape.ts";
import { RowBuffer, viewOf } from "../../records/row-buffer.ts";
import { CHAR, equalRanges, equalsText, indexOf, isDash } from "../ascii.ts";
import { endsWithIdName } from "./card-numbers.ts";
import { PAIR_VALUE, RULE } from "./name-table.ts";
import { pseudonym, REMOVED } from "./replacement.ts";
import {
  contextOf,
  IDENTITY_KEYS,
  isWhole,
  placeOf,
  type RowPlan,
  STEP,
  stepOf,
  widthOf,
} from "./row-plan.ts";
import type { Rules } from "./rules.ts";
import { SecretFinder } from "./secret-finder.ts";
import { MIN_TEXT } from "./signs.ts";
import { CONTEXT } from "./value-end.ts";

/** Pairs of attributes in one row. */
const MAX_PAIRS = 64;
/** Entries of Redactions in one row; where there are more, another says so. */
export const MAX_NOTES = 16;

/**
 * A walk over the texts of a row, or of some of its columns, where they stand. What is to be replaced is noted, and replaced when the walk is over:
 * a row in which nothing is found is not touched.
 */
export class RowWalk {
  readonly finder: SecretFinder;
  /** What was found: numbers of a place and a name, `place * (names + 1) + name`. Each once; `hasMore` where they did not all fit. */
  readonly notes = new Int32Array(MAX_NOTES);
  noteCount = 0;
  hasMore = false;
  /** Number of a name that was found in bytes which the row holds as base64, and which so stand there as REMOVED already; else -1. */
  hidden = -1;
  /** With `keepsSecrets` the texts that are replaced, as they stood in the row. */
  readonly secrets: Buffer[] = [];
  keepsSecrets = false;

  readonly #rules: Rules;
  readonly #names: number;
  readonly #key: string | undefined;
  #bytes: Uint8Array = REMOVED;
  #view: DataView = new DataView(new ArrayBuffer(0));
  /** What is replaced by what: ranges of the row, lengths of texts included, and where the text for each ends in `#texts`. The first is Redactions. */
  #count = 0;
  #pairs = 0;
  #start = new Int32Array(16);
  #end = new Int32Array(16);
  #textEnd = new Int32Array(16);
  readonly #texts = new RowBuffer(256);
  readonly #value = new RowBuffer(256);

  constructor(rules: Rules, pseudonymKey: string | undefined) {
    this.#rules = rules;
    this.#names = rules.labels.length;
    this.#key = pseudonymKey;
    this.finder = new SecretFinder(rules);
  }

  /** Walks over what `row` holds from `start` on: the columns of `plan`. With `cleanKeys` the keys of its one map need no look. */
  walk(row: RowBuffer, start: number, plan: RowPlan, cleanKeys: boolean): void {
    const { bytes } = row;
    this.#bytes = bytes;
    this.#view = row.view;
    this.noteCount = 0;
    this.#pairs = 0;
    this.hasMore = false;
    this.secrets.length = 0;
    this.#texts.position = 0;
    this.#count = 1;
    this.#start[0] = this.#end[0] = start;
    let p = start;
    for (let i = 0; i < plan.length; i++) {
      const step = plan[i]!;
      switch (stepOf(step)) {
        case STEP.skip:
          p += widthOf(step);
          break;
        case STEP.text:
          // Most columns are empty.
          p = bytes[p] === 0 ? p + 1 : this.#walkText(p, step);
          break;
        case STEP.skipText:
          p = behindText(bytes, p);
          break;
        case STEP.map:
          p = this.#walkMap(p, step, cleanKeys);
          break;
        case STEP.skipMap:
          p = skipTexts(bytes, behindLength(bytes, p), 2 * lengthAt(bytes, p));
          break;
        case STEP.texts: {
          const count = lengthAt(bytes, p);
          p = behindLength(bytes, p);
          for (let n = 0; n < count; n++) p = this.#walkText(p, step);
          break;
        }
        case STEP.skipTexts:
          p = skipTexts(bytes, behindLength(bytes, p), lengthAt(bytes, p));
          break;
        case STEP.maps: {
          const count = lengthAt(bytes, p);
          p = behindLength(bytes, p);
          for (let n = 0; n < count; n++) p = this.#walkMap(p, step, false);
          break;
        }
        case STEP.skipValues:
          p = behindLength(bytes, p) + lengthAt(bytes, p) * widthOf(step);
          break;
        case STEP.notes:
          this.#start[0] = p;
          p = this.#end[0] = skipTexts(bytes, behindLength(bytes, p), lengthAt(bytes, p));
          break;
      }
    }
  }

  /**
   * Replaces what was found in `row`, which the walk went over, and puts `labels` behind the entries that Redactions has.
   * Cost: each byte behind the first change is moved twice, by `copyWithin`.
   */
  replace(row: RowBuffer, labels: readonly Uint8Array[]): void {
    const first = this.#start[0]!;
    const notes = this.#notesText(labels);
    let growth = Math.max(0, notes.position - (this.#end[0]! - first));
    for (let i = 1, text = 0; i < this.#count; text = this.#textEnd[i++]!)
      growth += Math.max(0, this.#textEnd[i]! - text - (this.#end[i]! - this.#start[i]!));
    const end = row.position;
    row.ensure(growth);
    const { bytes } = row;
    // All to the right, as far as it can ever be needed, then each piece back to where it belongs.
    bytes.copyWithin(first + growth, first, end);
    row.position = first;
    row.writeBytes(notes.bytes, 0, notes.position);
    for (let i = 0; i < this.#count; i++) {
      if (i > 0)
        row.writeBytes(this.#texts.bytes, i === 1 ? 0 : this.#textEnd[i - 1]!, this.#textEnd[i]!);
      const from = this.#end[i]! + growth;
      const to = (i + 1 < this.#count ? this.#start[i + 1]! : end) + growth;
      bytes.copyWithin(row.position, from, to);
      row.position += to - from;
    }
  }

  /** Redactions with `labels` behind what it has. */
  #notesText(labels: readonly Uint8Array[]): RowBuffer {
    const value = this.#value;
    const start = this.#start[0]!;
    const end = this.#end[0]!;
    value.position = 0;
    // A part of a row has no Redactions.
    if (start === end) return value;
    value.ensure(end - start + 5);
    // The number of entries is one byte: they are few.
    value.writeVarint(this.#bytes[start]! + labels.length);
    value.writeBytes(this.#bytes, start + 1, end);
    for (const label of labels) {
      value.ensure(label.length + 5);
      value.writeText(label, 0, label.length);
    }
    return value;
  }

  /** A text by itself, with marks in the place of what is found in it. */
  redactText(text: string, context: number): string {
    const bytes = Buffer.from(text);
    const { finder } = this;
    if (!finder.find(bytes, viewOf(bytes), 0, bytes.length, context)) return text;
    let redacted = "";
    let copied = 0;
    for (let i = 0; i < finder.count; i++) {
      const mark = this.#mark(finder.text, finder.textStart[i]!, finder.textEnd[i]!);
      const quote = finder.isBare[i] === 1 ? '"' : "";
      redacted += `${bytes.toString("utf8", copied, finder.start[i])}${quote}${String(mark)}${quote}`;
      copied = finder.end[i]!;
    }
    return redacted + bytes.toString("utf8", copied);
  }

  /** Do the keys of a shape hold no secret, and name none? Worked out once for each. */
  areKeysClean(shape: KeyShape): boolean {
    if (shape.redactor === this) return shape.areKeysClean;
    shape.redactor = this;
    shape.areKeysClean = true;
    const { keys } = shape;
    const view = viewOf(keys);
    let start = 0;
    for (let i = 0; i < shape.count && shape.areKeysClean; i++) {
      const end = start + shape.lengths[i]!;
      shape.areKeysClean =
        this.#rules.names.findInKey(keys, start, end) === -1 &&
        !this.finder.find(keys, view, start, end, CONTEXT.text);
      start = end;
    }
    return shape.areKeysClean;
  }

  /** Was something found that is to be replaced? */
  get hasFound(): boolean {
    return this.#count > 1;
  }

  /** A text at `p`, its length in front; answers with the position behind it. */
  #walkText(p: number, step: number): number {
    const bytes = this.#bytes;
    let length = bytes[p]!;
    let start = p + 1;
    // Most columns are empty or hold a short word.
    if (length < MIN_TEXT && !isWhole(step)) return start + length;
    if (length >= 0x80) {
      length = lengthAt(bytes, p);
      start = behindLength(bytes, p);
    }
    const end = start + length;
    if (isWhole(step)) this.#replaceWhole(p, start, end, placeOf(step), this.#names);
    else if (this.#find(start, end, contextOf(step)))
      this.#replaceFound(p, start, end, placeOf(step));
    else if (this.hidden >= 0) this.#noteHidden(start, end, placeOf(step));
    return end;
  }

  #find(start: number, end: number, context: number): boolean {
    return this.finder.find(this.#bytes, this.#view, start, end, context);
  }

  #walkMap(p: number, step: number, cleanKeys: boolean): number {
    const bytes = this.#bytes;
    const count = lengthAt(bytes, p);
    const context = contextOf(step);
    const place = placeOf(step);
    let q = behindLength(bytes, p);
    const mapAt = q;
    if (cleanKeys && !isWhole(step) && this.hidden < 0) return this.#walkValues(q, count, step);
    for (let i = 0; i < count; i++) {
      const keyAt = q;
      const at = behindText(bytes, q);
      q = behindText(bytes, at);
      let secret = isWhole(step) ? this.#names : -1;
      if (!cleanKeys) {
        const keyStart = behindLength(bytes, keyAt);
        if (this.#find(keyStart, at, context)) this.#replaceFound(keyAt, keyStart, at, place);
        if (secret < 0) secret = this.#rules.names.findInKey(bytes, keyStart, at);
        if (secret === PAIR_VALUE) secret = this.#nameBeside(mapAt, count, keyStart, at);
      }
      if (secret < 0 && bytes[at]! < MIN_TEXT) continue;
      const start = behindLength(bytes, at);
      if (secret >= 0) this.#replaceWhole(at, start, q, place, secret);
      else this.#walkValue(keyAt, at, start, q, step);
    }
    return q;
  }

  /**
   * Number of the name of a secret that stands beside `header.value`, whose key is [keyStart, keyEnd), as the value of `header.name` or the like, in the map of `count` entries
   * at `p`; -1 when none does.
   */
  #nameBeside(p: number, count: number, keyStart: number, keyEnd: number): number {
    if (this.#pairs++ >= MAX_PAIRS) return -1;
    const { names } = this.#rules;
    const bytes = this.#bytes;
    let prefixEnd = keyEnd;
    while (prefixEnd > keyStart && bytes[prefixEnd - 1] !== CHAR.dot) prefixEnd--;
    const length = prefixEnd - keyStart;
    let q = p;
    for (let i = 0; i < count; i++) {
      const start = behindLength(bytes, q);
      const at = behindText(bytes, q);
      q = behindText(bytes, at);
      const name = start + length;
      if (name >= at || !equalRanges(bytes, start, name, bytes, keyStart, prefixEnd)) continue;
      if (indexOf(bytes, CHAR.dot, name, at) >= 0) continue;
      if (names.find(bytes, name, at, RULE.pairName) < 0) continue;
      const found = names.findWhole(bytes, behindLength(bytes, at), q);
      if (found >= 0) return found;
    }
    return -1;
  }

  /** The values of a map of `count` entries, the first of which stands at `p`: the usual map, whose keys need no look, in a loop of its own for speed. */
  #walkValues(p: number, count: number, step: number): number {
    const { finder } = this;
    const bytes = this.#bytes;
    const view = this.#view;
    for (let i = 0; i < count; i++) {
      const at = behindText(bytes, p);
      const length = bytes[at]!;
      let start = at + 1;
      let end = start + length;
      if (length >= 0x80) {
        start = behindLength(bytes, at);
        end = start + lengthAt(bytes, at);
      }
      if (length >= MIN_TEXT && finder.mayFind(bytes, view, start, end))
        this.#walkValue(p, at, start, end, step);
      p = end;
    }
    return p;
  }

  /** The value [start, end) in a map, whose length stands at `at`; that of its key at `keyAt`. */
  #walkValue(keyAt: number, at: number, start: number, end: number, step: number): void {
    const key = behindLength(this.#bytes, keyAt);
    if (this.#find(start, end, contextOf(step) | this.#contextOf(key, at, start))) {
      this.#heedKey(key, at);
      if (this.finder.count > 0) this.#replaceFound(at, start, end, placeOf(step));
    } else if (this.hidden >= 0) this.#noteHidden(start, end, placeOf(step));
  }

  /** What the key [keyStart, keyEnd) adds to the context of the value that begins at `start`. */
  #contextOf(keyStart: number, keyEnd: number, start: number): number {
    const bytes = this.#bytes;
    if (bytes[start] !== CHAR.braceOpen && bytes[start] !== CHAR.bracketOpen) return 0;
    const isQuery = this.#rules.names.find(bytes, keyStart, keyEnd, RULE.query) >= 0;
    return isQuery ? CONTEXT.query : 0;
  }

  /** What looks like a card number is none under the name of a trace's ID, and an e-mail address may be the name of who acted. */
  #heedKey(start: number, end: number): void {
    const bytes = this.#bytes;
    const { card, email } = this.#rules.detect;
    if (endsWithIdName(bytes, start, end)) this.finder.drop(card);
    if (IDENTITY_KEYS.some((key) => equalsText(bytes, start, end, key))) this.finder.drop(email);
  }

  /** The text [start, end), whose length stands at `at`, gets marks in the place of what the finder found in it. */
  #replaceFound(at: number, start: number, end: number, place: number): void {
    const { finder } = this;
    const bytes = this.#bytes;
    const value = this.#value;
    value.position = 0;
    value.ensure(end - start + finder.count * (REMOVED.length + 2));
    let copied = start;
    for (let i = 0; i < finder.count; i++) {
      const name = finder.name[i]!;
      const mark = this.#mark(finder.text, finder.textStart[i]!, finder.textEnd[i]!);
      value.ensure(end - copied + mark.length + 2);
      value.writeBytes(bytes, copied, finder.start[i]!);
      if (this.keepsSecrets)
        this.secrets.push(Buffer.from(bytes.subarray(finder.start[i], finder.end[i])));
      if (finder.isBare[i] === 1) value.writeByte(CHAR.quote);
      value.writeBytes(mark, 0, mark.length);
      if (finder.isBare[i] === 1) value.writeByte(CHAR.quote);
      copied = finder.end[i]!;
      this.addNote(place * (this.#names + 1) + name);
    }
    value.ensure(end - copied);
    value.writeBytes(bytes, copied, end);
    this.#put(at, end, value.bytes, value.position);
  }

  /** A whole text is replaced, unless it says nothing. */
  #replaceWhole(at: number, start: number, end: number, place: number, name: number): void {
    const bytes = this.#bytes;
    if (start === end || isDash(bytes, start, end)) return;
    this.addNote(place * (this.#names + 1) + name);
    if (equalsText(bytes, start, end, REMOVED)) return;
    if (this.keepsSecrets) this.secrets.push(Buffer.from(bytes.subarray(start, end)));
    const mark = this.#mark(bytes, start, end);
    this.#put(at, end, mark, mark.length);
  }

  #mark(from: Uint8Array, start: number, end: number): Buffer {
    return this.#key === undefined ? REMOVED : pseudonym(this.#key, from.subarray(start, end));
  }

  /** Notes that the text from `at`, where its length stands, to `end` becomes another one. */
  #put(at: number, end: number, text: Uint8Array, length: number): void {
    const i = this.#count++;
    if (i === this.#start.length) {
      this.#start = grown(this.#start, i * 2);
      this.#end = grown(this.#end, i * 2);
      this.#textEnd = grown(this.#textEnd, i * 2);
    }
    this.#start[i] = at;
    this.#end[i] = end;
    this.#texts.ensure(length + 5);
    this.#texts.writeVarint(length);
    this.#texts.writeBytes(text, 0, length);
    this.#textEnd[i] = this.#texts.position;
  }

  #noteHidden(start: number, end: number, place: number): void {
    const text = Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + start, end - start);
    if (text.includes(REMOVED)) this.addNote(place * (this.#names + 1) + this.hidden);
  }

  addNote(note: number): void {
    for (let i = 0; i < this.noteCount; i++) if (this.notes[i] === note) return;
    if (this.noteCount === MAX_NOTES) this.hasMore = true;
    else this.notes[this.noteCount++] = note;
  }
}
