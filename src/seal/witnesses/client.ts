import { createHash } from "node:crypto";
import { MeshproofError } from "../../core/errors.ts";
import {
  TREE_SIZE_TYPE,
  formatAddCheckpoint,
  openCosignature,
  parseTreeSize,
} from "../../tlog/add-checkpoint.ts";
import { openCheckpoint } from "../../tlog/checkpoint.ts";
import type { VerifiedSignature, VerifierKey } from "../../tlog/note.ts";
import type { PolicyWitness } from "../../tlog/policy.ts";
import type { SignedCheckpoint } from "../recovery.ts";
import { type BoundedAnswer, request } from "./http.ts";

/** A body of signature lines: sixteen of ML-DSA-44 are 55 kB. */
const MAX_COSIGNATURE_BYTES = 64 * 1024;
/** A checkpoint of a witness's monitoring interface, with everybody's signatures. */
const MAX_CHECKPOINT_BYTES = 1_000_000;
/** How often one round asks one witness: the sizes in 409 answers are followed, not for ever. */
const MAX_ATTEMPTS = 3;
/** How far a witness's clock may be from ours: a verifier may refuse a cosignature from its future (tlog-cosignature, "Format"). */
const MAX_CLOCK_DIFFERENCE_S = 300n;

export interface WitnessClientOptions {
  readonly origin: string;
  /** Keys that this log signs with. */
  readonly logKeys: readonly VerifierKey[];
  readonly timeoutMs: number;
  /** Milliseconds since the epoch, now. */
  now(): number;
  /** The witness showed a checkpoint that this log's key has signed and this log does not have. */
  onConflict(witness: PolicyWitness, evidence: SignedCheckpoint, ours: SignedCheckpoint): void;
}

/** Consistency proof between the trees of `from` and of `to` leaves, where 0 < `from` < `to`. */
export type ConsistencyProver = (from: number, to: number) => Promise<readonly Uint8Array[]>;

/** One witness: what it has cosigned, as far as we know, and how it is asked for more (C2SP tlog-witness). */
export class WitnessClient {
  readonly witness: PolicyWitness;
  readonly #prefix: string;
  readonly #options: WitnessClientOptions;
  /** Size of the tree that it cosigned last. Nothing is stored: a wrong one is corrected by its 409 answer. */
  #size = 0;

  /** Throws: POLICY_INVALID when the witness has no URL that can be asked. */
  constructor(witness: PolicyWitness, options: WitnessClientOptions) {
    this.witness = witness;
    this.#prefix = submissionPrefix(witness);
    this.#options = options;
  }

  /** Size of the tree that the witness cosigned last, as far as is known; 0 before the first time. */
  get size(): number {
    return this.#size;
  }

  /**
   * The witness's cosignature of `checkpoint`, verified, with a time that is close to ours.
   * Cost:   one request as a rule, two after a start, three at most; one more where there is a conflict to prove.
   * Throws: WITNESS_FAILED when it does not answer, refuses, or answers with anything that does not verify; what `prove` rejects with.
   */
  async cosign(
    checkpoint: SignedCheckpoint,
    prove: ConsistencyProver,
    signal: AbortSignal,
  ): Promise<VerifiedSignature & { readonly timestamp: bigint }> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const oldSize = this.#size;
      const proof =
        oldSize === 0 || oldSize === checkpoint.size ? [] : await prove(oldSize, checkpoint.size);
      const answer = await request({
        url: `${this.#prefix}/add-checkpoint`,
        body: formatAddCheckpoint(oldSize, proof, checkpoint.note),
        maxBytes: MAX_COSIGNATURE_BYTES,
        timeoutMs: this.#options.timeoutMs,
        signal,
      });
      if (answer.status === 200) {
        const signature = this.#open(checkpoint, answer);
        this.#size = checkpoint.size;
        return signature;
      }
      // "Unprocessable" at the witness's own size: another root is cosigned there. Otherwise it does not follow our proof.
      if (answer.status === 422) await this.#lookForConflict(checkpoint, signal);
      if (answer.status !== 409) throw this.#failed(refusalOf(answer));
      this.#size = await this.#sizeIn(answer, checkpoint, signal);
    }
    throw this.#failed(`another tree size in each of ${MAX_ATTEMPTS} answers`);
  }

  /**
   * The newest checkpoint of this log that the witness shows, null when it shows none. It is signed by one of the log's keys.
   * Source: tlog-witness, "Monitor Retrieval Mechanism", under the submission prefix: there is no place for another one in a policy.
   * Throws: WITNESS_FAILED, NOTE_INVALID when what it shows is not signed by the log.
   */
  async latest(signal: AbortSignal): Promise<SignedCheckpoint | null> {
    const { origin, logKeys, timeoutMs } = this.#options;
    const hash = createHash("sha256").update(origin).digest("hex");
    const answer = await request({
      url: `${this.#prefix}/${hash}/checkpoint`,
      maxBytes: MAX_CHECKPOINT_BYTES,
      timeoutMs,
      signal,
    });
    if (answer.status === 404) return null;
    if (answer.status !== 200) throw this.#failed(refusalOf(answer));
    const { size, root } = openCheckpoint(answer.body, origin, logKeys);
    return { size, root, note: Buffer.from(answer.body).toString() };
  }

  #open(
    { note }: SignedCheckpoint,
    { body }: BoundedAnswer,
  ): VerifiedSignature & { readonly timestamp: bigint } {
    let signature;
    try {
      signature = openCosignature(note, body, this.witness.key);
    } catch (cause) {
      throw this.#failed((cause as Error).message, cause);
    }
    const ahead = signature.timestamp - BigInt(Math.floor(this.#options.now() / 1000));
    if (ahead > MAX_CLOCK_DIFFERENCE_S || ahead < -MAX_CLOCK_DIFFERENCE_S)
      throw this.#failed(
        `expected a timestamp within ${MAX_CLOCK_DIFFERENCE_S} s of our clock, got one ${ahead} s ahead`,
      );
    return signature;
  }

  /** The size that a 409 answer names, when it is one that this log can go on from. */
  async #sizeIn(
    { type, body }: BoundedAnswer,
    checkpoint: SignedCheckpoint,
    signal: AbortSignal,
  ): Promise<number> {
    const size = type === TREE_SIZE_TYPE ? parseTreeSize(body) : null;
    if (size === null)
      throw this.#failed(`expected a tree size in ${TREE_SIZE_TYPE}, got ${excerpt(body)}`);
    if (size > checkpoint.size) {
      await this.#lookForConflict(checkpoint, signal);
      throw this.#failed(
        `it says that it cosigned ${size} records of this log, which has ${checkpoint.size}`,
      );
    }
    return size;
  }

  /** What a witness says proves nothing against this log; a checkpoint with this log's own signature does. */
  async #lookForConflict(ours: SignedCheckpoint, signal: AbortSignal): Promise<void> {
    const theirs = await this.latest(signal).catch(() => null);
    if (theirs === null) return;
    const isOtherRoot = theirs.size === ours.size && Buffer.compare(theirs.root, ours.root) !== 0;
    if (theirs.size > ours.size || isOtherRoot)
      this.#options.onConflict(this.witness, theirs, ours);
  }

  #failed(what: string, cause?: unknown): MeshproofError {
    return new MeshproofError("WITNESS_FAILED", `witness ${this.witness.name}: ${what}`, { cause });
  }
}

/** The URL in front of "/add-checkpoint". */
function submissionPrefix({ name, url }: PolicyWitness): string {
  const parsed = url === null || !URL.canParse(url) ? null : new URL(url);
  const isPlain =
    parsed !== null &&
    /^https?:$/.test(parsed.protocol) &&
    `${parsed.username}${parsed.password}${parsed.search}${parsed.hash}` === "";
  if (!isPlain)
    throw new MeshproofError(
      "POLICY_INVALID",
      `policy, witness ${name}: expected an http or https URL without user, query and fragment, got ${url ?? "none"}`,
    );
  return parsed.href.replace(/\/+$/, "");
}

function refusalOf({ status, body }: BoundedAnswer): string {
  const meaning: Readonly<Record<number, string>> = {
    400: "it cannot read the request",
    403: "it does not know the key that signed the checkpoint",
    404: "it does not know this log's origin, or its URL is another",
    422: "it does not accept the consistency proof",
  };
  return `answered ${status}${meaning[status] === undefined ? "" : ` (${meaning[status]})`}: ${excerpt(body)}`;
}

/** The beginning of a body, safe to log. */
function excerpt(body: Uint8Array): string {
  return JSON.stringify(Buffer.from(body.subarray(0, 200)).toString());
}
