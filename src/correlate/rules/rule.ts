import type { RecordView } from "../record-view.ts";

/**
 * How an access record and a span, or two access records, are recognised as the same request: both have the same key.
 * A rule is one file beside this one and a line in index.ts; what it must see of a record is in RecordView.
 */
export interface Rule {
  /** Column `Rule` of the links that it makes. */
  readonly name: string;
  /** From 0 to 1: column `Confidence`. */
  readonly confidence: number;
  /** Of a rule that joins two access records: is the record the one that stands in the place of the span (column SpanLeaf)? Without this it joins access records and spans. */
  isOther?(record: RecordView): boolean;
  /** Writes the key of a record, KEY_WORDS words, into `key`; false when the rule has nothing to say of it. */
  keyOf(record: RecordView, key: Uint32Array): boolean;
}
