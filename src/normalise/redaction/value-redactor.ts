import { TABLES } from "../../records/columns.ts";
import { VALUE_TYPES } from "../../records/attributes.ts";
import { RowBuffer, viewOf } from "../../records/row-buffer.ts";
import { ValueWriter } from "../../records/value-text.ts";
import { columnsNamed, planOf, type RowPlan } from "./row-plan.ts";
import { type RedactOptions, Rules } from "./rules.ts";
import { RowWalk } from "./row-walk.ts";
import { CONTEXT } from "./value-end.ts";

/** An attribute, redacted: what stands for its key and, as text, for its value. */
export interface RedactedAttribute {
  readonly key: Uint8Array;
  readonly text: Uint8Array;
}

const NO_COLUMNS: ReadonlySet<string> = new Set();
const MAP = planOf(columnsNamed(TABLES.log, ["LogAttributes"]), NO_COLUMNS);
const TEXT = planOf(columnsNamed(TABLES.log, ["Body"]), NO_COLUMNS);
const AUTHORITY = planOf(columnsNamed(TABLES.access, ["Authority"]), NO_COLUMNS);
/** Lengths, which stand in front of what is written. */
const ROOM = 32;
const AT = 0x40;

/**
 * Redacts single values as RowRedactor redacts them in a row: each is written as the row would hold it, and looked through by the same walk, so that the two
 * cannot differ. For records that leave as they came in (src/originals.ts).
 */
export class ValueRedactor {
  readonly #walk: RowWalk;
  readonly #values: ValueWriter;
  readonly #row = new RowBuffer(1024);

  /** Throws: PatternError. */
  constructor(options: RedactOptions) {
    const walk = new RowWalk(new Rules(options), options.pseudonymKey);
    this.#walk = walk;
    this.#values = new ValueWriter((from, start, end) => {
      if (!walk.finder.find(from, viewOf(from), start, end, CONTEXT.text)) return false;
      walk.hidden = walk.finder.name[0]!;
      return true;
    });
  }

  /**
   * The attribute with its key in [keyStart, keyEnd) of `from` and a value of `type` (VALUE_TYPES) in [start, end), redacted; null when there is nothing to redact in it.
   * Throws: WireError when a nested value cannot be read.
   */
  attribute(
    from: Uint8Array,
    keyStart: number,
    keyEnd: number,
    type: number,
    start: number,
    end: number,
  ): RedactedAttribute | null {
    const row = this.#begin(keyEnd - keyStart + end - start);
    row.writeByte(1);
    row.writeText(from, keyStart, keyEnd);
    this.#values.writeText(row, from, type, start, end);
    if (this.#isClean(MAP)) {
      if (type !== VALUE_TYPES.string || !hasUserinfo(from, start, end)) return null;
      if (!HOST_KEY.test(Buffer.from(from.subarray(keyStart, keyEnd)).toString("latin1")))
        return null;
      const text = this.#text(from, type, start, end, AUTHORITY);
      return text === null ? null : { key: from.slice(keyStart, keyEnd), text };
    }
    const [key, behindKey] = textAt(row.bytes, 1);
    return { key, text: textAt(row.bytes, behindKey)[0] };
  }

  /** A value without a key, as redacted text; null when there is nothing to redact in it. Throws: as `attribute`. */
  text(from: Uint8Array, type: number, start: number, end: number): Uint8Array | null {
    return this.#text(from, type, start, end, TEXT);
  }

  /** Lets go of what was read last. */
  reset(): void {
    this.#row.reset();
  }

  #text(
    from: Uint8Array,
    type: number,
    start: number,
    end: number,
    plan: RowPlan,
  ): Uint8Array | null {
    const row = this.#begin(end - start);
    this.#values.writeText(row, from, type, start, end);
    return this.#isClean(plan) ? null : textAt(row.bytes, 0)[0];
  }

  #begin(bytes: number): RowBuffer {
    this.#walk.hidden = -1;
    this.#row.position = 0;
    this.#row.ensure(bytes + ROOM);
    return this.#row;
  }

  /** Walks over what was written, and replaces what is found. */
  #isClean(plan: RowPlan): boolean {
    const walk = this.#walk;
    walk.walk(this.#row, 0, plan, false);
    if (walk.hasFound) walk.replace(this.#row, []);
    return !walk.hasFound && walk.hidden < 0;
  }
}

/** Keys whose values fill the column Authority, in which `user@host` needs no scheme in front. */
const HOST_KEY = /authority|host/i;

function hasUserinfo(from: Uint8Array, start: number, end: number): boolean {
  const at = from.indexOf(AT, start);
  return at >= start && at < end;
}

/** The text whose length stands at `p`, copied, and the position behind it. */
function textAt(bytes: Uint8Array, p: number): [text: Uint8Array, behind: number] {
  let length = 0;
  let shift = 0;
  let position = p;
  for (; bytes[position]! >= 0x80; shift += 7) length |= (bytes[position++]! & 0x7f) << shift;
  length |= bytes[position++]! << shift;
  return [bytes.slice(position, position + length), position + length];
}
