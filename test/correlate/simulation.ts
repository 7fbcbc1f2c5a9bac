import { KINDS } from "../../src/core/kinds.ts";
import { silentLogger } from "../../src/core/logger.ts";
import type { PlacedBatch, RowSection } from "../../src/core/rows.ts";
import { Correlator } from "../../src/correlate/correlator.ts";
import { RULES } from "../../src/correlate/rules/index.ts";
import type { Rule } from "../../src/correlate/rules/rule.ts";
import { controlSection } from "../../src/records/own-rows.ts";
import { LOG_ID, msToNs, place, sealedRows, type Sealed } from "./fixture.ts";

export interface SimulationOptions {
  readonly windowMs?: number;
  readonly maxRecords?: number;
  readonly rules?: readonly Rule[];
}

/** A correlator on a log in memory that can crash, and start again with what is left of its journal. */
export class Simulation {
  readonly log: PlacedBatch[] = [];
  readonly options: Required<SimulationOptions>;
  correlator: Correlator;
  /** The clock of the machine. */
  nowMs = 1_000_000_000;
  /** Do seals fail? */
  isFull = false;
  overflow = 0;
  links = 0;
  /** Frames below are no longer in the journal. */
  released = 0;

  constructor({ windowMs = 1_000, maxRecords = 100_000, rules = RULES }: SimulationOptions = {}) {
    this.options = { windowMs, maxRecords, rules };
    this.correlator = this.#create();
    this.correlator.begin(0);
  }

  get size(): number {
    const last = this.log.at(-1);
    return last === undefined ? 0 : last.firstIndex + last.count;
  }

  /** Makes rows durable, as the journal does. */
  append(...sections: RowSection[]): void {
    const batch = place(sections, this.size);
    this.log.push(batch);
    this.correlator.follow(batch);
  }

  /** The record with which each run begins. */
  start(): void {
    this.append(
      controlSection(LOG_ID, [
        { timestampNs: msToNs(this.nowMs), controlKind: "start", detail: {} },
      ]),
    );
  }

  /** Lets go of what is not needed, as far as whole frames go. */
  release(): void {
    const { releasableThrough } = this.correlator;
    while (
      this.released < this.log.length - 1 &&
      this.log[this.released + 1]!.firstIndex <= releasableThrough
    )
      this.released++;
  }

  /** Ends it without warning, with only `frames` of the log durable, and starts it again. Rows before the journal come from the store, or do not. */
  restart(frames: number, { store = true }: { store?: boolean } = {}): void {
    void this.correlator.stop(); // its timers; what it still seals goes nowhere
    this.log.length = frames;
    this.released = Math.min(this.released, frames);
    const correlator = this.#create();
    this.correlator = correlator;
    if (this.released > 0 && !store) correlator.skip();
    for (const [number, batch] of this.log.entries()) {
      if (number >= this.released) correlator.replay(batch);
      else if (store)
        for (const { leafIndex, kind, row } of sealedRows(batch))
          if (kind !== KINDS.log) correlator.replayRow(leafIndex, row);
    }
    correlator.begin(this.size);
  }

  /** Lets time pass and everything that is due be sealed. */
  async pass(ms: number): Promise<void> {
    this.nowMs += ms;
    await this.correlator.tick();
  }

  rows(kind: number): Sealed[] {
    return this.log.flatMap(sealedRows).filter((row) => row.kind === kind);
  }

  #create(): Correlator {
    const correlator: Correlator = new Correlator({
      logId: LOG_ID,
      ...this.options,
      seal: async (sections) => {
        if (this.isFull) throw new Error("the journal is full");
        if (this.correlator === correlator) this.append(...sections);
      },
      onLinks: (_rule, count) => (this.links += count),
      onOverflow: (count) => (this.overflow += count),
      logger: silentLogger,
      now: () => this.nowMs,
    });
    return correlator;
  }
}
