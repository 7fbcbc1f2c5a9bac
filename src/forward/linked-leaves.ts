import { ROW_PREFIX_LENGTH, type RowSection } from "../core/rows.ts";
import { TABLES } from "../records/columns.ts";
import { decodeRow } from "../records/row-codec.ts";

/** Rules that link an access record to another access record. */
const NOT_TO_SPANS: ReadonlySet<string> = new Set(["peer", "decision"]);
/** Records whose links are remembered, about 80 bytes each; those beyond are passed on without. */
const MAX_LEAVES = 262_144;
const [RULE, ACCESS_LEAF, SPAN_LEAF] = ["Rule", "AccessLeaf", "SpanLeaf"].map((name) =>
  TABLES.link.columns.findIndex((column) => column.name === name),
) as [number, number, number];

/** The linked record of each record that waits to be passed on, as far as it is known by then. Of several links the first counts. */
export class LinkedLeaves {
  readonly #linked = new Map<number, number>();

  /** Heeds the rows of trace_links in a section. Records below `from` have been passed on. */
  add({ bytes, offsets, count }: RowSection, from: number): void {
    for (let i = 0; i < count; i++) {
      const row = bytes.subarray(offsets[i]! + ROW_PREFIX_LENGTH, offsets[i + 1]);
      const values = decodeRow(TABLES.link, row);
      if (NOT_TO_SPANS.has(String(values[RULE]))) continue;
      const access = Number(values[ACCESS_LEAF]);
      const span = Number(values[SPAN_LEAF]);
      this.#note(access, span, from);
      this.#note(span, access, from);
    }
  }

  /** Leaf index of the record that the one at `leaf` is linked to. */
  of(leaf: number): number | undefined {
    return this.#linked.get(leaf);
  }

  /** Forgets what is known of records below `leaf`. */
  forgetBelow(leaf: number): void {
    for (const known of this.#linked.keys()) if (known < leaf) this.#linked.delete(known);
  }

  #note(leaf: number, other: number, from: number): void {
    if (leaf < from || this.#linked.has(leaf) || this.#linked.size >= MAX_LEAVES) return;
    this.#linked.set(leaf, other);
  }
}
