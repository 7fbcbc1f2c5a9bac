import { strict as assert } from "node:assert";
import { equalBytes } from "../core/bytes.ts";
import { MeshproofError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import {
  type VerifiedSignature,
  type VerifierKey,
  addSignatures,
  formatVerifierKey,
} from "../tlog/note.ts";
import { type Policy, type PolicyWitness, isMet } from "../tlog/policy.ts";
import type { SignedCheckpoint } from "./recovery.ts";
import { type ConsistencyProver, WitnessClient } from "./witnesses/client.ts";

const DEFAULT_INTERVAL_MS = 10_000;
const DEFAULT_TIMEOUT_MS = 5_000;
/** When the quorum is there, the others have this long to add their cosignatures. */
const DEFAULT_GATHER_MS = 1_000;

export interface WitnessesOptions {
  readonly origin: string;
  /** Keys that this log signs with. */
  readonly logKeys: readonly VerifierKey[];
  /** Whom to ask and how many must agree; its witnesses have URLs. */
  readonly policy: Policy;
  readonly intervalMs?: number;
  /** Bound of one request. */
  readonly timeoutMs?: number;
  readonly gatherMs?: number;
  /** After so long without a quorum a checkpoint is published without it; null waits for ever. */
  readonly failOpenAfterMs?: number | null;
  readonly logger: Logger;
  /** A checkpoint was published without a quorum, the first after one that had it; or one has it again. */
  onFailOpen?(isOpen: boolean, message: string): void;
  /**
   * A witness showed a checkpoint that a key of this log has signed and this log does not have: this is an older copy of the
   * log, or the log was forked. `evidence.note` proves it to anyone. Called once a witness.
   */
  onConflict?(message: string, evidence: SignedCheckpoint, witness: string): void;
  /** Milliseconds since the epoch, and milliseconds of a clock that never jumps. */
  readonly clock?: { wall(): number; steady(): number };
}

/** What the witnesses need of the log. */
export interface WitnessedLog {
  /** Consistency proof between two trees of the log, the later one under a signed checkpoint. */
  readonly prove: ConsistencyProver;
  /** Makes this the checkpoint that everyone can read. Sizes never go down; the same size again has more cosignatures. */
  publish(checkpoint: SignedCheckpoint): Promise<void>;
}

/** How it stands with one witness. */
export interface WitnessStatus {
  readonly name: string;
  readonly verifierKey: string;
  readonly url: string;
  /** Tree size that it cosigned last, as far as is known. */
  readonly size: number;
  /** When, by its own clock, in seconds since the epoch; null before the first time in this process. */
  readonly cosignedAt: bigint | null;
  /** Why the last round had no cosignature of it, null when it had one. */
  readonly error: string | null;
}

interface Asked {
  readonly client: WitnessClient;
  cosignedAt: bigint | null;
  error: string | null;
  hasConflict: boolean;
}

/**
 * Takes signed checkpoints to the witnesses, on a cadence of its own, and publishes those that the quorum cosigned.
 *
 * A round asks every witness at once for the newest checkpoint. Each is independent: it may be down, slow or lying, and costs the
 * round at most `timeoutMs`, or `gatherMs` where the others are enough. Only a cosignature that verifies is used. What was offered
 * between two rounds is passed over: the newest checkpoint commits to it. Memory: one checkpoint, one status a witness.
 */
export class Witnesses {
  readonly #options: WitnessesOptions;
  readonly #log: WitnessedLog;
  readonly #clock: { wall(): number; steady(): number };
  readonly #asked: readonly Asked[];
  readonly #closing = new AbortController();
  #newest: SignedCheckpoint | null = null;
  /** Size of the newest checkpoint that was published here, and of the newest that had a quorum. */
  #publishedSize = 0;
  #witnessedSize = 0;
  #hasQuorum = false;
  #isOpen = false;
  /** When the quorum was seen last, by the steady clock. */
  #quorumAt: number;
  #round: Promise<void> | null = null;
  #timer: NodeJS.Timeout | undefined;

  /**
   * Throws: POLICY_INVALID when the policy has no witness, a witness has no URL to ask, or the policy lists logs and not this one:
   * whoever verifies by the same file would refuse what is published.
   */
  constructor(options: WitnessesOptions, log: WitnessedLog) {
    this.#options = options;
    this.#log = log;
    this.#clock = options.clock ?? { wall: Date.now, steady: () => performance.now() };
    this.#quorumAt = this.#clock.steady();
    const { origin, logKeys, policy, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
    if (policy.witnesses.length === 0)
      throw new MeshproofError("POLICY_INVALID", "policy: expected at least one witness, got none");
    if (policy.logs.length > 0 && !policy.logs.some(({ key }) => logKeys.some(isSameAs(key))))
      throw new MeshproofError(
        "POLICY_INVALID",
        `policy: expected ${logKeys.map(formatVerifierKey).join(" or ")} among its logs, or no log`,
      );
    this.#asked = policy.witnesses.map((witness) => ({
      client: new WitnessClient(witness, {
        origin,
        logKeys,
        timeoutMs,
        now: this.#clock.wall,
        onConflict: (by, theirs, ours) => this.#reportConflict(by, theirs, ours),
      }),
      cosignedAt: null,
      error: null,
      hasConflict: false,
    }));
  }

  /** Did the last round that was needed have a quorum? False before the first. */
  get hasQuorum(): boolean {
    return this.#hasQuorum;
  }

  /** Takes the newest signed checkpoint; sizes never go down. The first starts the rounds. */
  offer(checkpoint: SignedCheckpoint): void {
    assert.ok(checkpoint.size >= (this.#newest?.size ?? 0), "checkpoints grow");
    const isFirst = this.#newest === null;
    this.#newest = checkpoint;
    if (!isFirst || this.#closing.signal.aborted) return;
    this.#timer = setInterval(
      () => void this.askAll(),
      this.#options.intervalMs ?? DEFAULT_INTERVAL_MS,
    );
    this.#timer.unref();
    void this.askAll();
  }

  /** One round now, or the one that is under way. It never rejects: what goes wrong is in `status`, and the next round tries again. */
  askAll(): Promise<void> {
    this.#round ??= this.#ask().finally(() => (this.#round = null));
    return this.#round;
  }

  /**
   * The largest checkpoint of this log that a witness shows, null when none does. One that is larger than what the log knows
   * to have signed says, when it starts, that its directory is an older copy.
   */
  async newestSeen(): Promise<{ witness: PolicyWitness; checkpoint: SignedCheckpoint } | null> {
    const seen = await Promise.all(
      this.#asked.map(async ({ client }) => {
        const checkpoint = await client.latest(this.#closing.signal).catch(() => null);
        return checkpoint === null ? [] : [{ witness: client.witness, checkpoint }];
      }),
    );
    return seen.flat().toSorted((a, b) => b.checkpoint.size - a.checkpoint.size)[0] ?? null;
  }

  status(): WitnessStatus[] {
    return this.#asked.map(({ client, cosignedAt, error }) => ({
      name: client.witness.name,
      verifierKey: formatVerifierKey(client.witness.key),
      url: client.witness.url!,
      size: client.size,
      cosignedAt,
      error,
    }));
  }

  /** Ends the round that is under way, and starts no other. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#closing.abort();
    await this.#round;
  }

  async #ask(): Promise<void> {
    const checkpoint = this.#newest;
    if (checkpoint === null || checkpoint.size === this.#witnessedSize) return;
    if (this.#closing.signal.aborted) return;
    const cosigned = await this.#gather(checkpoint);
    if (this.#closing.signal.aborted) return;
    const isWitnessed = isMet(this.#options.policy.quorum, new Set(cosigned.keys()));
    this.#hasQuorum = isWitnessed;
    if (isWitnessed) this.#quorumAt = this.#clock.steady();
    else if (checkpoint.size === this.#publishedSize || !this.#mayFailOpen()) return;
    const note = addSignatures(checkpoint.note, [...cosigned.values()]);
    try {
      await this.#log.publish({ ...checkpoint, note });
    } catch (error) {
      this.#options.logger.warn({ err: error }, "the checkpoint is not published yet");
      return;
    }
    this.#publishedSize = checkpoint.size;
    if (isWitnessed) this.#witnessedSize = checkpoint.size;
    if (isWitnessed === this.#isOpen) this.#reportFailOpen(!isWitnessed, checkpoint.size);
  }

  /** Cosignatures of `checkpoint`: of all witnesses, or of the quorum and whoever else answers soon after it. */
  async #gather(
    checkpoint: SignedCheckpoint,
  ): Promise<ReadonlyMap<PolicyWitness, VerifiedSignature>> {
    const cosigned = new Map<PolicyWitness, VerifiedSignature>();
    const round = new AbortController();
    const signal = AbortSignal.any([round.signal, this.#closing.signal]);
    let timer: NodeJS.Timeout | undefined;
    const answers = this.#asked.map(async (asked) => {
      try {
        const signature = await asked.client.cosign(checkpoint, this.#log.prove, signal);
        cosigned.set(asked.client.witness, signature);
        this.#answered(asked, signature.timestamp);
      } catch (error) {
        this.#answered(asked, error as Error);
      }
      if (timer === undefined && isMet(this.#options.policy.quorum, new Set(cosigned.keys())))
        timer = setTimeout(() => round.abort(), this.#options.gatherMs ?? DEFAULT_GATHER_MS);
    });
    await Promise.all(answers);
    clearTimeout(timer);
    return cosigned;
  }

  #answered(asked: Asked, outcome: bigint | Error): void {
    const { logger } = this.#options;
    const { name } = asked.client.witness;
    const before = asked.error;
    if (typeof outcome === "bigint") {
      asked.cosignedAt = outcome;
      asked.error = null;
      if (before !== null) logger.info({ witness: name }, "the witness cosigns again");
      return;
    }
    if (this.#closing.signal.aborted) return;
    asked.error = outcome.message;
    if (before === null)
      logger.warn({ err: outcome, witness: name }, "no cosignature of a witness");
  }

  #mayFailOpen(): boolean {
    const { failOpenAfterMs = null } = this.#options;
    return failOpenAfterMs !== null && this.#clock.steady() - this.#quorumAt >= failOpenAfterMs;
  }

  #reportFailOpen(isOpen: boolean, size: number): void {
    this.#isOpen = isOpen;
    const silent = this.#asked.filter(({ error }) => error !== null);
    const names = silent.map(({ client }) => client.witness.name).join(", ");
    const message = isOpen
      ? `the checkpoint of ${size} records is published without a quorum of witnesses, for want of ${names}`
      : `the checkpoint of ${size} records has a quorum of witnesses again`;
    if (isOpen) this.#options.logger.warn({}, message);
    else this.#options.logger.info({}, message);
    this.#options.onFailOpen?.(isOpen, message);
  }

  #reportConflict(by: PolicyWitness, theirs: SignedCheckpoint, ours: SignedCheckpoint): void {
    const { name } = by;
    const asked = this.#asked.find(({ client }) => client.witness === by)!;
    if (asked.hasConflict) return;
    asked.hasConflict = true;
    const message =
      theirs.size > ours.size
        ? `witness ${name} has a checkpoint of ${theirs.size} records that this log's key signed, the log has ${ours.size}: this is an older copy of the log, or another one signs with its key`
        : `witness ${name} has another tree of ${ours.size} records that this log's key signed: the log was forked`;
    this.#options.logger.error({ evidence: theirs.note }, message);
    this.#options.onConflict?.(message, theirs, name);
  }
}

function isSameAs(key: VerifierKey): (other: VerifierKey) => boolean {
  return ({ name, publicKey }) => name === key.name && equalBytes(publicKey, key.publicKey);
}
