import { createReadStream } from "node:fs";
import { mkdir, open, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import type { RefusedRow } from "./table-insert.ts";

/** A refused row as it stands in the file: one JSON object a line, the row in base64. */
interface Line {
  readonly time: string;
  readonly logId: string;
  readonly table: string;
  readonly leafIndex: number;
  readonly reason: string;
  readonly row: string;
}

/**
 * The file of rows that ClickHouse refuses: append only, each line on disk before the writer goes on.
 * It is made for people, so it is text; it holds records, so only its owner may read it.
 * A row that comes again after a restart is not written twice.
 */
export class Quarantine {
  readonly #file: FileHandle;
  readonly #logId: string;
  readonly #known: Set<string>;
  /** One line after the other: also for tables that are inserted at the same time. */
  #last: Promise<void> = Promise.resolve();

  private constructor(file: FileHandle, logId: string, known: Set<string>) {
    this.#file = file;
    this.#logId = logId;
    this.#known = known;
  }

  /** Opens or creates the file of one log. Its directory and its name are durable when it resolves. */
  static async open(path: string, logId: string): Promise<Quarantine> {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await open(path, "a", 0o600);
    const known = new Set<string>();
    for await (const line of readQuarantine(path)) if (line.logId === logId) known.add(key(line));
    // A crash may have cut the last line: what follows begins on a line of its own.
    await file.appendFile("\n");
    await file.sync();
    const directory = await open(dirname(path), "r");
    await directory.sync();
    await directory.close();
    return new Quarantine(file, logId, known);
  }

  /** How many rows of this log are in the file. */
  get size(): number {
    return this.#known.size;
  }

  /** Keeps a row; durable when it resolves. */
  add(row: RefusedRow): Promise<void> {
    const added = this.#last.then(() => this.#append(row));
    this.#last = added.catch(() => {});
    return added;
  }

  async #append({ table, leafIndex, reason, row }: RefusedRow): Promise<void> {
    if (this.#known.has(key({ table, leafIndex }))) return;
    const line: Line = {
      time: new Date().toISOString(),
      logId: this.#logId,
      table,
      leafIndex,
      reason,
      row: Buffer.from(row).toString("base64"),
    };
    await this.#file.appendFile(`${JSON.stringify(line)}\n`);
    await this.#file.datasync();
    this.#known.add(key({ table, leafIndex }));
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#file.close();
  }
}

function key({ table, leafIndex }: { readonly table: string; readonly leafIndex: number }): string {
  return `${table} ${leafIndex}`;
}

/** The rows of a quarantine file in the order in which they were refused. A line that a crash cut is left out. */
export async function* readQuarantine(
  path: string,
): AsyncGenerator<RefusedRow & { readonly logId: string; readonly time: string }> {
  for await (const text of createInterface({
    input: createReadStream(path),
    crlfDelay: Infinity,
  })) {
    const line = parse(text);
    if (line !== undefined) yield { ...line, row: Buffer.from(line.row, "base64") };
  }
}

function parse(text: string): Line | undefined {
  try {
    const line = JSON.parse(text) as Line;
    return Number.isSafeInteger(line.leafIndex) && typeof line.row === "string" ? line : undefined;
  } catch {
    return undefined;
  }
}
