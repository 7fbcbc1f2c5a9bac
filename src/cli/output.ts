import { styleText } from "node:util";

/** The part of a stream that output needs; `process.stdout` is one. */
export interface TextStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  /** More waits for the reader than the stream means to hold; `drain` comes when it has gone. */
  readonly writableNeedDrain?: boolean;
  once?(event: "drain", listener: () => void): unknown;
}

export interface Streams {
  readonly stdout: TextStream;
  readonly stderr: TextStream;
}

export type Style = "bold" | "dim" | "green" | "yellow" | "red" | "cyan";

/** What a renderer needs to know of the terminal; an Output is one. */
export interface TextStyle {
  readonly width: number;
  paint(style: Style, text: string): string;
}

/** All that commands know of the terminal. Results go to standard output, everything said about them to standard error. */
export class Output implements TextStyle {
  readonly #streams: Streams;
  readonly #hasColour: boolean;
  /** Somebody watches standard error. */
  readonly isWatched: boolean;
  #hasStatus = false;

  /** Colour only on a terminal, and never where NO_COLOR says so (no-color.org) or the terminal is dumb. */
  constructor(streams: Streams, env: Readonly<Record<string, string | undefined>>) {
    this.#streams = streams;
    this.#hasColour =
      streams.stdout.isTTY === true && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
    this.isWatched = streams.stderr.isTTY === true && env["TERM"] !== "dumb";
  }

  /** Columns of the terminal; 80 where there is none. */
  get width(): number {
    return this.#streams.stdout.columns ?? 80;
  }

  line(text = ""): void {
    this.status("");
    this.#streams.stdout.write(`${text}\n`);
  }

  /** A result that is a file: as it is. */
  write(text: string): void {
    this.#streams.stdout.write(text);
  }

  /** Resolves when whoever reads standard output has caught up: between the parts of a long result, which would else pile up in memory. */
  async drained(): Promise<void> {
    const { stdout } = this.#streams;
    if (stdout.writableNeedDrain !== true) return;
    await new Promise<void>((resolve) => void stdout.once?.("drain", resolve));
  }

  /** A result for programs: one line of JSON. */
  json(value: unknown): void {
    this.line(JSON.stringify(value));
  }

  note(text: string): void {
    this.status("");
    this.#streams.stderr.write(`${text}\n`);
  }

  /** A line of progress that whatever comes next replaces; nothing where nobody watches. */
  status(text: string): void {
    if (!this.isWatched || (text === "" && !this.#hasStatus)) return;
    // Back to the first column, and erase the line (ECMA-48, CR and EL).
    this.#streams.stderr.write(`\r\u001b[2K${text}`);
    this.#hasStatus = text !== "";
  }

  paint(style: Style, text: string): string {
    return this.#hasColour ? styleText(style, text, { validateStream: false }) : text;
  }

  /** Rows of cells in columns as wide as their widest cell; the last column is not padded. */
  columns(rows: readonly (readonly string[])[], indent = "  "): void {
    const widths: number[] = [];
    for (const row of rows)
      for (const [at, cell] of row.entries())
        widths[at] = Math.max(widths[at] ?? 0, displayWidth(cell));
    for (const row of rows) {
      const cells = row.map((cell, at) =>
        at === row.length - 1 ? cell : pad(cell, widths[at] as number),
      );
      this.line(`${indent}${cells.join("  ")}`.trimEnd());
    }
  }
}

/**
 * `text` on one line, fit for a terminal. Values of records are written by others: a control character could move the cursor, clear or
 * recolour the screen or answer for the user, and a direction mark could make one name read as another. Those are shown as escapes.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => {
    const short = SHORT_ESCAPES[character];
    if (short !== undefined) return short;
    const code = character.codePointAt(0)!;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}

/** Control characters (C0, DEL, C1), invisible format characters such as direction marks, lone surrogates, line and paragraph separators. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const SHORT_ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Characters that take no column: marks over the letter before them, and what completes a Hangul syllable. */
const MARK = /[\p{Mn}\p{Me}\u1160-\u11ff]/u;
/** More than four marks on one letter are no writing, but a text that climbs over its neighbours. */
const EXCESS_MARKS = /([\p{Mn}\p{Me}\u1160-\u11ff]{4})[\p{Mn}\p{Me}\u1160-\u11ff]+/gu;
/** Two columns wide, near enough. Source: UAX #11, East_Asian_Width W and F; UTS #51, emoji presentation. */
const WIDE =
  /[\u1100-\u115f\u2329\u232a\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{1b2ff}\u{1f200}-\u{1f2ff}\u{20000}-\u{3fffd}[\p{Emoji_Presentation}--\p{Regional_Indicator}]]/v;

/** Columns that `text` takes on a terminal. Colour codes take none. */
export function displayWidth(text: string): number {
  let width = 0;
  // oxlint-disable-next-line no-control-regex
  for (const character of text.replace(/\u001b\[\d+m/g, "")) width += characterWidth(character);
  return width;
}

function characterWidth(character: string): number {
  if (character < "\u0300") return 1;
  if (MARK.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}

/** `text`, without colour codes, in at most `width` columns. What does not fit loses its middle, for both ends of a path or a name tell more. */
export function fit(text: string, width: number): string {
  const tame = text.replace(EXCESS_MARKS, "$1…");
  if (displayWidth(tame) <= width) return tame;
  if (width < 1) return "";
  const characters = Array.from(tame);
  const tailWidth = Math.floor((width - 1) / 2);
  const head = countWithin(characters, width - 1 - tailWidth);
  const tail = countWithin(characters.toReversed(), tailWidth);
  return `${characters.slice(0, head).join("")}…${characters.slice(characters.length - tail).join("")}`;
}

/** How many of the first characters fit into `width` columns. */
function countWithin(characters: readonly string[], width: number): number {
  let used = 0;
  const end = characters.findIndex((character) => (used += characterWidth(character)) > width);
  return end < 0 ? characters.length : end;
}

/** `text`, which may have colour codes, with spaces up to `width` columns. */
export function pad(text: string, width: number, side: "start" | "end" = "end"): string {
  const spaces = " ".repeat(Math.max(0, width - displayWidth(text)));
  return side === "start" ? spaces + text : text + spaces;
}

const MIN_SHRUNK = 3;

/** `widths` made smaller until they add up to `total`: the widest first, and none under its least before all are there. None gets smaller than three columns. */
export function shrink(
  widths: readonly number[],
  least: readonly number[],
  total: number,
): number[] {
  const shrunk = [...widths];
  for (let excess = sum(shrunk) - total; excess > 0; excess--) {
    const above = shrunk.map((width, at) =>
      width > Math.max(least[at] as number, MIN_SHRUNK) ? width : 0,
    );
    const candidates = above.some((width) => width > 0) ? above : shrunk;
    const widest = Math.max(...candidates);
    if (widest <= MIN_SHRUNK) break;
    shrunk[candidates.indexOf(widest)] = widest - 1;
  }
  return shrunk;
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
