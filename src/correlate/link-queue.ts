import type { RowSection } from "../core/rows.ts";
import { LinkSection, type LinkRecord } from "../records/link-row.ts";

/** Links that are sealed at once, and how long the first of them waits for others. */
export const PARCEL_LINKS = 1_000;

interface Parcel {
  readonly section: RowSection;
  readonly lowestIndex: number;
}

/** Links that were made and are not durable yet, oldest first, as rows. */
export class LinkQueue {
  size = 0;
  readonly #maxLinks: number;
  readonly #open: LinkSection;
  #openLowest = Infinity;
  readonly #parcels: Parcel[] = [];

  /** Holds at most `maxLinks`, of some 200 bytes. */
  constructor(logId: string, maxLinks: number) {
    this.#open = new LinkSection(logId);
    this.#maxLinks = maxLinks;
  }

  /** False when there is no room: the link is not kept. */
  add(link: LinkRecord): boolean {
    if (this.size >= this.#maxLinks) return false;
    this.#open.add(link);
    this.#openLowest = Math.min(this.#openLowest, link.accessLeaf, link.spanLeaf);
    this.size++;
    if (this.#open.count === PARCEL_LINKS) this.#pack();
    return true;
  }

  /** The lowest leaf index that a link rests on, Infinity without links. */
  get lowestIndex(): number {
    return this.#parcels.reduce(
      (lowest, { lowestIndex }) => Math.min(lowest, lowestIndex),
      this.#openLowest,
    );
  }

  /** Rows of the oldest links, at most PARCEL_LINKS; undefined when there are none. They stay here until `drop`. */
  oldest(): RowSection | undefined {
    if (this.#parcels.length === 0 && this.#open.count > 0) this.#pack();
    return this.#parcels[0]?.section;
  }

  /** What `oldest` gave is durable. */
  drop(): void {
    this.size -= this.#parcels.shift()!.section.count;
  }

  #pack(): void {
    this.#parcels.push({ section: this.#open.take(), lowestIndex: this.#openLowest });
    this.#openLowest = Infinity;
  }
}
