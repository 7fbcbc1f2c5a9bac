import type { RecordView } from "./record-view.ts";
import type { Rule } from "./rules/rule.ts";
import { SIDES, Window, type Entry } from "./window.ts";

/** Spans with the same key that an access record is linked to, at most: one sent twice, or shared by client and server (B3). */
export const MAX_SPANS = 4;

/** Called for each pair. `slot` in the matcher's window is the record that was there first; the other is in hand. */
export type OnPair = (matcher: Matcher, accessLeaf: number, spanLeaf: number, slot: number) => void;

/**
 * One rule with the records that it may still find partners for.
 *
 * An access record is linked to MAX_SPANS spans at most, and so many spans with one key are findable: else a sender who repeats one ID
 * a thousand times on both sides would be given a million links.
 */
export class Matcher {
  readonly rule: Rule;
  readonly window: Window;
  /** Can the record that was matched last have further partners? */
  isOpen = false;
  /** Links since the last report. */
  links = 0;

  constructor(rule: Rule, maxRecords: number) {
    this.rule = rule;
    this.window = new Window(maxRecords, !this.joinsSpans);
  }

  /** Does the rule join access records and spans, or access records with each other? */
  get joinsSpans(): boolean {
    return this.rule.isOther === undefined;
  }

  /** Pairs the record in hand, `view` and `entry`, with those in the window, and counts its links in `entry`. False when the rule has nothing to say of it. */
  match(view: RecordView, entry: Entry, onPair: OnPair): boolean {
    const { rule } = this;
    if (!rule.keyOf(view, entry.key)) return false;
    if (rule.isOther !== undefined) entry.side = rule.isOther(view) ? SIDES.span : SIDES.access;
    this.window.seek(entry.key);
    entry.links = 0;
    if (entry.side === SIDES.access) this.#matchAccess(entry, onPair);
    else this.#matchSpan(entry, onPair);
    return true;
  }

  #matchAccess(entry: Entry, onPair: OnPair): void {
    const { window } = this;
    let slot = window.first(SIDES.span, entry.key);
    for (; slot >= 0; slot = window.following(slot, entry.key)) {
      onPair(this, entry.leafIndex, window.leafIndex(slot), slot);
      window.countLink(slot);
      entry.links++;
    }
    this.isOpen = entry.links < MAX_SPANS;
  }

  #matchSpan(entry: Entry, onPair: OnPair): void {
    const { window } = this;
    let twins = 0;
    let slot = window.first(SIDES.span, entry.key);
    for (; slot >= 0; slot = window.following(slot, entry.key)) twins++;
    this.isOpen = twins < MAX_SPANS;
    if (!this.isOpen) return; // then the access records in the window have all the links that they may have
    slot = window.first(SIDES.access, entry.key);
    for (; slot >= 0; slot = window.following(slot, entry.key)) {
      if (window.links(slot) === MAX_SPANS) continue;
      onPair(this, window.leafIndex(slot), entry.leafIndex, slot);
      window.countLink(slot);
      entry.links++;
    }
  }
}
