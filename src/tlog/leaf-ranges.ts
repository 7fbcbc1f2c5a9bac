import { parseDecimal } from "./spelling.ts";

/** How leaf indexes are named where several may be: `7`, `1200-1299` (both ends included), `7,9,1200-1299`. */
export const LEAF_RANGES_FORM = "leaf indexes such as 7,9,1200-1299";

/** The leaf indexes that `text` names, ascending and each once; null when it names none, more than `max`, or is of another form. */
export function parseLeafRanges(text: string, max: number): number[] | null {
  const indexes = new Set<number>();
  for (const part of text.split(",")) {
    const [first, last = first, ...rest] = part.split("-").map(parseDecimal);
    if (first == null || last == null || rest.length > 0 || last < first) return null;
    if (last - first >= max) return null;
    for (let index = first; index <= last; index++) indexes.add(index);
    if (indexes.size > max) return null;
  }
  return [...indexes].sort((a, b) => a - b);
}
