import type { LineFormat } from "./line-format.ts";
import { type FieldClass, type Part, scan } from "./line-part.ts";

/** How far a line follows a format, for those who wonder why it is not read. */
export interface LineProgress {
  /** Fields of the format that could be read, of how many. */
  readonly read: number;
  readonly fields: number;
  /** Position behind what could be read, and what should stand there. */
  readonly position: number;
  readonly expected: string;
}

/** What each class may hold, in words. */
const CLASS_WORDS: Readonly<Record<FieldClass, string>> = {
  free: "anything",
  number: "digits or a dash",
  word: "no blanks",
  maybe: "no blanks, or nothing",
  text: "no quotation marks",
  nested: "blanks only in brackets",
  time: "a time",
  flags: "response flags or a dash",
  address: "an address",
  socket: "no blanks, and a port at the end",
  host: "an address with a port, a path, or a dash",
  identity: "a SPIFFE ID, or a name of Linkerd's",
  details: "words with underscores between",
  unbracketed: "neither quotation marks nor an opening bracket",
  list: "words with commas or colons between",
  numbers: "numbers or dashes, with commas or colons between",
  statuses: "three digits each, or dashes, with commas or colons between",
  quoted: "a text in quotation marks, or a dash",
  instant: "a time such as 2026-11-22T20:20:28Z",
  common_time: "a time such as 22/Nov/2026:20:20:28 +0000",
};

/** Where parts stand: how many of them, and where the last ends. */
interface Place {
  readonly count: number;
  readonly end: number;
}

/**
 * Follows the line [start, end) of `from` along the format, from the left, until it parts from it.
 * Behind a free field the rest can begin anywhere: the place where most of it stands is taken for the one that was meant.
 * Cost: the line's length times that of the format.
 */
export function followLine(
  { parts, names }: LineFormat,
  from: Uint8Array,
  start: number,
  end: number,
): LineProgress {
  let read = 0;
  let position = start;
  for (let i = 0; i < parts.length;) {
    const isBehindFree = isFree(parts[i]!);
    const first = isBehindFree ? i + 1 : i;
    let behind = first;
    while (behind < parts.length && !isFree(parts[behind]!)) behind++;
    const run = parts.slice(first, behind);
    if (run.length === 0)
      return { read: read + 1, fields: names.length, position: end, expected: END };
    const place = isBehindFree
      ? bestPlace(run, from, position, end)
      : placeAt(run, from, position, end);
    if (place.count > 0) {
      position = place.end;
      read += run.slice(0, place.count).filter(({ field }) => field >= 0).length;
      if (isBehindFree) read++;
    }
    if (place.count < run.length)
      return { read, fields: names.length, position, expected: describe(run[place.count]!, names) };
    i = behind;
  }
  return { read, fields: names.length, position, expected: END };
}

const END = "the end of the line";

function isFree({ field, class: fieldClass }: Part): boolean {
  return field >= 0 && fieldClass === "free";
}

/** The place from `start` on where most of the parts stand: of equals one that ends the line, else the first. */
function bestPlace(run: readonly Part[], from: Uint8Array, start: number, end: number): Place {
  let best = placeAt(run, from, start, end);
  for (let p = start + 1; p < end; p++) {
    const place = placeAt(run, from, p, end);
    const isAsGood = place.count === best.count && place.end === end && best.end !== end;
    if (place.count > best.count || (isAsGood && place.count > 0)) best = place;
  }
  return best;
}

function placeAt(run: readonly Part[], from: Uint8Array, p: number, end: number): Place {
  let at = p;
  for (const [count, part] of run.entries()) {
    const next = endOfPart(part, from, at, end);
    if (next < 0) return { count, end: at };
    at = next;
  }
  return { count: run.length, end: at };
}

/** Where the part ends that begins at `p`, or -1 when something else stands there. */
function endOfPart(part: Part, from: Uint8Array, p: number, end: number): number {
  const { field, text } = part;
  if (field < 0) {
    if (p + text.length > end) return -1;
    return text.every((byte, i) => from[p + i] === byte) ? p + text.length : -1;
  }
  const stop = scan(from, p, end, part);
  return stop === p && !part.maySayNothing ? -1 : stop;
}

function describe({ field, text, class: fieldClass }: Part, names: readonly string[]): string {
  return field < 0
    ? JSON.stringify(Buffer.from(text).toString("utf8"))
    : `${names[field]} (${CLASS_WORDS[fieldClass]})`;
}
