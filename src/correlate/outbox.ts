import type { Logger } from "../core/logger.ts";
import type { RowSection } from "../core/rows.ts";
import { nowNanos } from "../core/time.ts";
import type { LinkRecord } from "../records/link-row.ts";
import { findingSection } from "../records/own-rows.ts";
import { findingRecords, type FindingLedger } from "./ledger.ts";
import { LinkQueue, PARCEL_LINKS } from "./link-queue.ts";

export interface OutboxOptions {
  readonly logId: string;
  readonly maxLinks: number;
  readonly ledger: FindingLedger;
  /** The time by which findings are due. */
  readonly nowMs: () => number;
  /** Seals rows of our own; resolves when they are durable. */
  readonly seal: (sections: readonly RowSection[], nowNs: bigint) => Promise<void>;
  readonly logger: Logger;
}

/** The first link of a parcel waits so long for others. */
const LINK_DELAY_MS = 200;

/** Links and findings on their way into the log. What cannot be sealed is kept and tried again. */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #links: LinkQueue;
  #delay: NodeJS.Timeout | undefined;
  #flushing: Promise<void> | undefined;
  #isFailing = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#links = new LinkQueue(options.logId, options.maxLinks);
  }

  /** Links that are not durable yet. */
  get pendingLinks(): number {
    return this.#links.size;
  }

  /** The lowest leaf index that something unsealed rests on, of the findings those that are due. */
  get lowestIndex(): number {
    const { ledger, nowMs } = this.#options;
    return Math.min(this.#links.lowestIndex, ledger.lowestIndex(nowMs()));
  }

  /** False when there is no room for the link. */
  addLink(link: LinkRecord): boolean {
    return this.#links.add(link);
  }

  /** Sees to it that links are sealed soon. */
  schedule(): void {
    if (this.#links.size >= PARCEL_LINKS) void this.flush();
    else if (this.#links.size > 0)
      this.#delay ??= setTimeout(() => {
        this.#delay = undefined;
        void this.flush();
      }, LINK_DELAY_MS).unref();
  }

  /** Seals all that can be sealed, one frame after the other. Never rejects. */
  flush(): Promise<void> {
    this.#flushing ??= Promise.resolve()
      .then(() => this.#sealAll())
      .finally(() => (this.#flushing = undefined));
    return this.#flushing;
  }

  /** Seals what is there at last; what fails now is found again by the next start. */
  async close(): Promise<void> {
    clearTimeout(this.#delay);
    await this.#flushing;
    await this.flush();
  }

  async #sealAll(): Promise<void> {
    const { logId, ledger, nowMs, seal, logger } = this.#options;
    for (;;) {
      const links = this.#links.oldest();
      const findings = ledger.take(nowMs());
      const sections = links === undefined ? [] : [links];
      if (findings.length > 0) sections.push(findingSection(logId, findingRecords(findings)));
      if (sections.length === 0) return;
      try {
        await seal(sections, nowNanos());
      } catch (error) {
        ledger.restore(findings);
        if (!this.#isFailing)
          logger.error(
            { err: error, links: this.#links.size, findings: findings.length },
            "links and findings could not be sealed; they are kept and tried again",
          );
        this.#isFailing = true;
        return;
      }
      this.#isFailing = false;
      if (links !== undefined) this.#links.drop();
      ledger.sealed(findings);
    }
  }
}
