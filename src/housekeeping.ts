import type { Logger } from "./core/logger.ts";
import type { RowSection } from "./core/rows.ts";
import { nowNanos } from "./core/time.ts";
import { findingRecords, type FindingLedger } from "./correlate/ledger.ts";
import type { ControlKind } from "./records/own-kinds.ts";
import { controlSection, findingSection } from "./records/own-rows.ts";

export interface HousekeepingOptions {
  readonly logId: string;
  readonly ledger: FindingLedger;
  /** Seals rows of our own; may fail when even the journal's reserve is full. */
  readonly seal: (sections: readonly RowSection[], nowNs: bigint) => Promise<void>;
  /** Totals since the start and the state of the clock, for the records start, stop and heartbeat. */
  readonly totals: () => Readonly<Record<string, string>>;
  /** Index of the next record: when it has not moved for a minute, a heartbeat is due. */
  readonly nextIndex: () => number;
  readonly logger: Logger;
}

const MINUTE_MS = 60_000;
/** A log that is never quiet says its totals so often. */
const TOTALS_MINUTES = 10;

/**
 * What meshproof seals about itself: start and stop, and each minute the findings and counts of the minute that ended, and a heartbeat
 * when nothing was recorded, so that a quiet log can be told from one whose end was cut off. Its running totals are for auditors who count rows,
 * and so there is one every ten minutes in any case.
 */
export class Housekeeping {
  readonly #options: HousekeepingOptions;
  #timer: NodeJS.Timeout | undefined;
  #duplicates = 0;
  #lastIndex = -1;
  #minutesWithoutTotals = 0;
  #isHurrying = false;
  #running: Promise<void> = Promise.resolve();

  constructor(options: HousekeepingOptions) {
    this.#options = options;
  }

  /** A batch came again. */
  countDuplicate(): void {
    this.#duplicates++;
  }

  /** Seals the start record and what the run before had no time to seal, and begins the minutes. */
  async start(detail: Readonly<Record<string, string>>): Promise<void> {
    await this.#seal("start", { ...this.#options.totals(), ...detail });
    await this.#sealOpen(Date.now()).catch((error: unknown) => this.#failed(error));
    this.#lastIndex = this.#options.nextIndex();
    this.#timer = setInterval(() => this.#run(() => this.#minute()), MINUTE_MS);
    this.#timer.unref();
  }

  /** Seals what is open now: the journal is to let go of what it rests on, or the clock by which it would be due was set. */
  hurry(): void {
    if (this.#isHurrying) return;
    this.#isHurrying = true;
    this.#run(async () => {
      this.#isHurrying = false;
      await this.#sealOpen(Infinity);
    });
  }

  /** Seals what is open, then the stop record. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
    await this.#sealOpen(Infinity);
    await this.#seal("stop", this.#options.totals());
  }

  async #minute(): Promise<void> {
    await this.#sealOpen(Date.now());
    const isQuiet = this.#options.nextIndex() === this.#lastIndex;
    if (isQuiet || ++this.#minutesWithoutTotals >= TOTALS_MINUTES) {
      await this.#seal("heartbeat", this.#options.totals());
      this.#minutesWithoutTotals = 0;
    }
    this.#lastIndex = this.#options.nextIndex();
  }

  /** One after the other. */
  #run(act: () => Promise<void>): void {
    this.#running = this.#running.then(act).catch((error: unknown) => this.#failed(error));
  }

  #failed(error: unknown): void {
    this.#options.logger.error(
      { err: error },
      "findings and counts could not be sealed; they are kept for the next minute",
    );
  }

  /** Findings that are due at `nowMs` and the count of duplicates, in one frame. */
  async #sealOpen(nowMs: number): Promise<void> {
    const { logId, ledger, seal } = this.#options;
    const now = nowNanos();
    const duplicates = this.#duplicates;
    const findings = ledger.take(nowMs);
    const sections: RowSection[] = [];
    if (findings.length > 0) sections.push(findingSection(logId, findingRecords(findings)));
    if (duplicates > 0) {
      sections.push(
        controlSection(logId, [
          {
            timestampNs: now,
            controlKind: "deduplicated_batches",
            detail: { count: String(duplicates) },
          },
        ]),
      );
    }
    if (sections.length === 0) return;
    try {
      await seal(sections, now);
      this.#duplicates -= duplicates;
      ledger.sealed(findings);
    } catch (error) {
      ledger.restore(findings);
      throw error;
    }
  }

  async #seal(controlKind: ControlKind, detail: Readonly<Record<string, string>>): Promise<void> {
    const { logId, seal } = this.#options;
    const now = nowNanos();
    await seal([controlSection(logId, [{ timestampNs: now, controlKind, detail }])], now);
  }
}
