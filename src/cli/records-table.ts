import type { RecordJson } from "../records/row-json.ts";
import { displayWidth, fit, pad, shrink, type Style, sum, type TextStyle } from "./output.ts";
import {
  dayAndTime,
  decisionStyle,
  endUser,
  field,
  policy,
  requested,
  status,
  took,
  who,
} from "./record-text.ts";

interface TableColumn {
  readonly title: string;
  readonly cell: (record: RecordJson) => string;
  /** What to say where the cell is too long for the column; empty for the cell, cut. */
  readonly short?: (record: RecordJson) => string;
  readonly style?: (record: RecordJson) => Style | undefined;
  readonly side?: "start" | "end";
  /** Least width when the terminal is narrow; without it, the column keeps the width of its widest cell. */
  readonly min?: number;
  /** The column goes before others get narrower than their widest cell. */
  readonly isOptional?: boolean;
}

const dim = (): Style => "dim";

/** Together they fit 80 columns at their least, but for the optional one. */
const COLUMNS: readonly TableColumn[] = [
  { title: "TIME (UTC)", cell: (record) => dayAndTime(record).time, style: dim },
  { title: "DECIDED", cell: (record) => field(record, "Decision"), style: decisionStyle },
  { title: "WHO", cell: who, short: endUser, min: 12 },
  { title: "REQUEST", cell: requested, min: 20 },
  { title: "STATUS", cell: status, min: 8 },
  { title: "POLICY", cell: policy, min: 10 },
  { title: "TOOK", cell: (record) => took(record, "DurationNs"), side: "start", isOptional: true },
];

/** Narrower than this nothing can be told apart; such a terminal has to wrap lines. */
const MIN_TABLE_WIDTH = 40;

/**
 * Access records as a table: a line each, in the order given, under a line for each day.
 * The last column is what `meshproof trace` and `meshproof prove` take; where records of several logs stand together, it names the log.
 * Shape: no line is wider than `style.width`, but for terminals under 40 columns. Long values lose their middle.
 */
export function renderRecords(records: readonly RecordJson[], style: TextStyle): string[] {
  if (records.length === 0) return [];
  const isOneLog = records.every((record) => record["LogId"] === records[0]?.["LogId"]);
  const leaf = (record: RecordJson): string => {
    const index = field(record, "LeafIndex");
    return isOneLog ? index : `${field(record, "LogId")}:${index}`;
  };
  const all: TableColumn[] = [...COLUMNS, { title: "LEAF", cell: leaf, style: dim, side: "start" }];
  const cells = records.map((record) => all.map((column) => column.cell(record)));
  const natural = all.map(({ title }, at) => {
    const widest = Math.max(...cells.map((row) => displayWidth(row[at] as string)));
    return widest === 0 ? 0 : Math.max(widest, title.length);
  });
  const { widths, gap } = layOut(all, natural, Math.max(style.width, MIN_TABLE_WIDTH));

  const line = (texts: readonly string[], styleOf: (at: number) => Style | undefined): string =>
    texts
      .flatMap((text, at) => {
        const width = widths[at] as number;
        if (width === 0) return [];
        const colour = styleOf(at);
        return pad(colour === undefined ? text : style.paint(colour, text), width, all[at]?.side);
      })
      .join(gap)
      .trimEnd();
  const cut = (text: string, at: number, record: RecordJson): string => {
    const width = widths[at] as number;
    const isTooLong = displayWidth(text) > width;
    return fit((isTooLong && all[at]?.short?.(record)) || text, width);
  };

  const titles = all.map(({ title }, at) => fit(title, widths[at] as number));
  const lines = [line(titles, dim)];
  let day = "";
  for (const [index, record] of records.entries()) {
    const { day: itsDay } = dayAndTime(record);
    if (itsDay !== day) lines.push(style.paint("bold", (day = itsDay)));
    const texts = (cells[index] as string[]).map((text, at) => cut(text, at, record));
    lines.push(line(texts, (at) => all[at]?.style?.(record)));
  }
  return lines;
}

/** Widths that fit into `width`: columns without content have none, then the optional ones go, then the widest shrinks. */
function layOut(
  columns: readonly TableColumn[],
  natural: readonly number[],
  width: number,
): { readonly widths: readonly number[]; readonly gap: string } {
  const widths = natural.map((one) => Math.min(one, width));
  const gaps = (): number => widths.filter((one) => one > 0).length - 1;
  if (sum(widths) + 2 * gaps() <= width) return { widths, gap: "  " };
  const least = (): number[] => widths.map((one, at) => Math.min(one, columns[at]?.min ?? one));
  for (const [at, column] of columns.entries())
    if (column.isOptional === true && sum(widths) + gaps() > width) widths[at] = 0;
  return { widths: shrink(widths, least(), width - gaps()), gap: " " };
}
