import type { KindName } from "../core/kinds.ts";
import { type Column, TABLES } from "../records/columns.ts";
import { formatTime, type RecordJson } from "../records/row-json.ts";
import { printable } from "./output.ts";

/** Characters of a value that people are shown unless they ask for all. */
const SHOWN_CHARACTERS = 1_000;
const EPOCH = formatTime(0n);

/**
 * A record as a list for people: cells of column and value, one value a line of its own for each item of an array and each key of a map.
 * Columns that hold nothing are left out, and long values cut, unless `all`. Values are printable.
 */
export function listRecord(
  kind: KindName,
  record: RecordJson,
  { all = false }: { all?: boolean } = {},
): [name: string, value: string][] {
  const cells: [string, string][] = [];
  for (const column of TABLES[kind].columns) {
    const value = record[column.name];
    if (!all && isEmpty(column, value)) continue;
    const lines = linesOf(value);
    for (const [i, line] of (lines.length > 0 ? lines : [""]).entries())
      cells.push([i === 0 ? column.name : "", printable(all ? line : cut(line))]);
  }
  return cells;
}

/** Does the column hold what stands for nothing in it? (DESIGN: an absent text is empty, an absent number -1 where 0 means something.) */
export function isEmpty({ type, comment }: Column, value: unknown): boolean {
  if (type === "DateTime64(9)") return value === EPOCH;
  if (type === "IPv6") return value === "::";
  if (type.startsWith("UInt")) return Number(value) === 0;
  if (type.startsWith("Int")) return Number(value) === -1 && comment.includes("-1 unknown");
  return value === "" || (typeof value === "object" && Object.keys(value!).length === 0);
}

/** A value as lines: one for each item of an array and each key of a map. */
export function linesOf(value: unknown): string[] {
  if (Array.isArray(value))
    return value.map((item) => (typeof item === "object" ? JSON.stringify(item) : String(item)));
  if (typeof value === "object" && value !== null)
    return Object.entries(value).map(([key, item]) => `${key} = ${item}`);
  return [String(value)];
}

function cut(text: string): string {
  if (text.length <= SHOWN_CHARACTERS) return text;
  const rest = text.length - SHOWN_CHARACTERS;
  return `${text.slice(0, SHOWN_CHARACTERS)}… (${rest} more characters; --all shows them)`;
}
