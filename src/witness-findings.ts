import type { Logger } from "./core/logger.ts";
import type { RowSection } from "./core/rows.ts";
import { nowNanos } from "./core/time.ts";
import { FINDINGS } from "./correlate/findings/index.ts";
import { FINDING_INTERVAL_MS } from "./correlate/ledger.ts";
import { type FindingRecord, findingSection } from "./records/own-rows.ts";
import { formatNote, parseNote } from "./tlog/note.ts";

const INTERVAL_NS = BigInt(FINDING_INTERVAL_MS) * 1_000_000n;

/** A checkpoint with two signatures of its log, one of them ML-DSA-44, has half of it. */
const MAX_NOTE_LENGTH = 8_192;

/** Seals rows of our own; may fail when even the journal's reserve is full. */
export type SealOwn = (sections: readonly RowSection[], nowNs: bigint) => Promise<void>;

/**
 * Findings about witnesses, sealed one by one as they come: they are few, and the row that resolves one has to stand behind the row that opens it.
 * Until the log takes records, and when it does not, they wait here: two for each time that the quorum is lost, one for each witness in conflict.
 */
export class WitnessFindings {
  readonly #origin: string;
  readonly #logger: Logger;
  readonly #waiting: FindingRecord[] = [];
  #logId = "";
  #seal: SealOwn | null = null;
  #sealing: Promise<void> = Promise.resolve();
  /** The minute of the finding that is open. */
  #openSinceNs: bigint | null = null;

  constructor(origin: string, logger: Logger) {
    this.#origin = origin;
    this.#logger = logger;
  }

  /** From now on findings are sealed; those that came before are now. */
  start(logId: string, seal: SealOwn): void {
    this.#logId = logId;
    this.#seal = seal;
    this.flush();
  }

  /** A checkpoint was published without its quorum, or one has it again. */
  failedOpen(isOpen: boolean, message: string): void {
    const minute = minuteOf(nowNanos());
    // Kind, subject and minute are a finding's identity: the row that resolves it repeats them.
    this.#note("unwitnessed", isOpen ? minute : (this.#openSinceNs ?? minute), this.#origin, {
      state: isOpen ? "open" : "resolved",
      reason: message,
    });
    this.#openSinceNs = isOpen ? minute : null;
  }

  /** A witness proved that this log was rolled back or forked. */
  conflict(witness: string, message: string, note: string): void {
    const { text, signatures } = parseNote(note);
    const ours = signatures.filter(({ name }) => name === this.#origin);
    this.#note("witness_conflict", minuteOf(nowNanos()), witness, {
      state: "open",
      reason: message,
      // What others signed on it proves nothing about us.
      checkpoint: formatNote(text, ours).slice(0, MAX_NOTE_LENGTH),
    });
  }

  /** Seals what waits. Called whenever it may have become possible again. */
  flush(): void {
    const seal = this.#seal;
    if (seal === null || this.#waiting.length === 0) return;
    this.#sealing = this.#sealing.then(async () => {
      try {
        for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
          await seal([findingSection(this.#logId, [first])], nowNanos());
          this.#waiting.shift();
        }
      } catch (error) {
        this.#logger.error(
          { err: error },
          "a finding about witnesses could not be sealed; it is tried again",
        );
      }
    });
  }

  /** Resolves when nothing is being sealed. */
  async idle(): Promise<void> {
    await this.#sealing;
  }

  #note(
    findingKind: "unwitnessed" | "witness_conflict",
    timestampNs: bigint,
    subject: string,
    { state, ...detail }: { state: FindingRecord["state"] } & Readonly<Record<string, string>>,
  ): void {
    const { severity, sentence } = FINDINGS[findingKind];
    this.#waiting.push({
      timestampNs,
      findingKind,
      severity,
      state,
      subject,
      traceId: "",
      message: sentence(1, subject),
      evidence: [],
      detail,
    });
    this.flush();
  }
}

function minuteOf(atNs: bigint): bigint {
  return atNs - (atNs % INTERVAL_NS);
}
