import { styleText } from "node:util";

/** The part of a stream that output needs; `process.stdout` is one. */
export interface TextStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface Streams {
  readonly stdout: TextStream;
  readonly stderr: TextStream;
}

export type Style = "bold" | "dim" | "green" | "yellow" | "red" | "cyan";

/** All that commands know of the terminal. Results go to standard output, everything said about them to standard error. */
export class Output {
  readonly #streams: Streams;
  readonly #hasColour: boolean;

  /** Colour only on a terminal, and never where NO_COLOR says so (no-color.org) or the terminal is dumb. */
  constructor(streams: Streams, env: Readonly<Record<string, string | undefined>>) {
    this.#streams = streams;
    this.#hasColour =
      streams.stdout.isTTY === true && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
  }

  /** Columns of the terminal; 80 where there is none. */
  get width(): number {
    return this.#streams.stdout.columns ?? 80;
  }

  line(text = ""): void {
    this.#streams.stdout.write(`${text}\n`);
  }

  /** A result for programs: one line of JSON. */
  json(value: unknown): void {
    this.line(JSON.stringify(value));
  }

  note(text: string): void {
    this.#streams.stderr.write(`${text}\n`);
  }

  paint(style: Style, text: string): string {
    return this.#hasColour ? styleText(style, text, { validateStream: false }) : text;
  }

  /** Rows of cells in columns as wide as their widest cell; the last column is not padded. */
  columns(rows: readonly (readonly string[])[], indent = "  "): void {
    const widths: number[] = [];
    for (const row of rows)
      for (const [at, cell] of row.entries())
        widths[at] = Math.max(widths[at] ?? 0, displayLength(cell));
    for (const row of rows) {
      const cells = row.map((cell, at) =>
        at === row.length - 1
          ? cell
          : cell + " ".repeat((widths[at] as number) - displayLength(cell)),
      );
      this.line(`${indent}${cells.join("  ")}`.trimEnd());
    }
  }
}

/** Characters that show: colour codes do not. */
function displayLength(text: string): number {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/\u001b\[\d+m/g, "").length;
}
