import type { Expansion } from "./expansion.ts";
import type { ScopeTraits } from "./scope-traits.ts";

/** What a text turned out to be: not what was looked for; that, but not all of it can be read for sure; that, and wholly read. */
export const LINE = { foreign: 0, partial: 1, full: 2 } as const;

/** Reads text lines of one format. */
export interface LineReader {
  /** 1 for each byte that a line can begin with. Whatever begins otherwise is not asked about. */
  readonly firstBytes: Uint8Array;
  /** The byte that every line ends with; undefined when there are several. */
  readonly lastByte?: number | undefined;
  /** How lines begin, where other formats begin alike: a line that does not begin so is none of theirs. */
  readonly opening?: string | undefined;
  /** Had the line that was read last another opening? */
  readonly isOpenedOtherwise?: boolean;
  /**
   * Reads the line [start, end) of the expansion's own bytes, without its line break, and makes its fields attributes. Returns one of LINE; after LINE.foreign
   * what was added is forgotten.
   * Cost: linear in the line.
   */
  read(into: Expansion, start: number, end: number, traits: ScopeTraits): number;
}
