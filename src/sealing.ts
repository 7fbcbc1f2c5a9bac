import { existsSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import type { Config } from "./config/options.ts";
import { MeshproofError } from "./core/errors.ts";
import type { Logger } from "./core/logger.ts";
import { openMlDsaSigner } from "./seal/ml-dsa.ts";
import { openSigners } from "./seal/open-signer.ts";
import { Sealer, type SealerOptions } from "./seal/sealer.ts";
import { readNewestNotes } from "./store/checkpoints.ts";
import type { StoreClient } from "./store/client.ts";
import { serverErrorType } from "./store/refusals.ts";
import { readNamed } from "./store-connection.ts";
import { parsePolicy } from "./tlog/policy-file.ts";
import type { WitnessFindings } from "./witness-findings.ts";

/** A remote store gets this long to say at a start which checkpoints it holds; one that answers later is asked then. */
const STORED_WAIT_MS = 3_000;
const STORED_RETRY_MS = 2_000;

/**
 * Opens the log that the configuration describes: its keys, its tree on disk, witnesses and anchor.
 * Throws: what `openSigners`, `parsePolicy` and `Sealer.open` throw.
 */
export async function openSealer(
  config: Config,
  logger: Logger,
  findings: WitnessFindings,
  hooks: Pick<SealerOptions, "onFatal" | "onSigned" | "onPublished" | "onDurable">,
): Promise<Sealer> {
  const { seal } = config.processors;
  const { directory } = config.storage;
  const { origin, anchor, ml_dsa_44_key: mlDsa } = seal;
  const { signer, retiring } = await openSigners({
    config: seal.signer,
    retiring: seal.retiring_signer,
    origin,
    directory,
    // An anchor that is there was written by a log that had a key.
    mayCreate: anchor === "" || !existsSync(anchor),
    logger,
  });
  const witnesses = witnessOptions(config, findings);
  if (
    anchor === "" &&
    witnesses === undefined &&
    config.exporters.clickhouse.endpoint === "embedded"
  )
    logger.info(
      { directory },
      "nothing outside the data directory knows how far this log is: an older copy of the whole directory would not be noticed. " +
        "Set processors.seal.anchor, ask witnesses, or keep checkpoints elsewhere for verify --expect-checkpoint",
    );
  return Sealer.open({
    directory,
    origin,
    signer,
    otherSigners: [
      ...(retiring === null ? [] : [retiring]),
      ...(mlDsa === "" ? [] : [await openMlDsaSigner(mlDsa, origin)]),
    ],
    ...(witnesses === undefined ? {} : { witnesses }),
    ...(anchor === "" ? {} : { anchor }),
    checkpointIntervalMs: seal.checkpoint_interval,
    checkpointRecords: seal.checkpoint_records,
    logger,
    ...hooks,
  });
}

function witnessOptions(config: Config, findings: WitnessFindings): SealerOptions["witnesses"] {
  const { witnesses } = config.processors.seal;
  if (witnesses === undefined) return undefined;
  const { policy_file, interval, timeout, fail_open_after: failOpenAfterMs } = witnesses;
  return {
    policy: parsePolicy(readNamed(policy_file)),
    intervalMs: interval,
    timeoutMs: timeout,
    failOpenAfterMs: failOpenAfterMs === 0 ? null : failOpenAfterMs,
    onFailOpen: (isOpen, message) => findings.failedOpen(isOpen, message),
    onConflict: (message, { note }, witness) => findings.conflict(witness, message, note),
  };
}

export interface StoredCheckpoints {
  readonly sealer: Sealer;
  readonly client: StoreClient;
  readonly origin: string;
  /** Resolves when the tables stand. */
  readonly tables: Promise<void>;
  readonly isRemote: boolean;
  readonly logger: Logger;
  /** How long a remote store is waited for. */
  readonly waitMs?: number;
  /** When one that did not answer is asked again. */
  readonly retryMs?: number;
  /** Ends the asking. */
  readonly signal: AbortSignal;
  /** The store showed, after the start, that this log was taken back or forked. */
  onConflict(error: unknown): void;
}

/**
 * Holds the checkpoints in the store against the log, before anything is signed. A remote store that does not answer holds up no start:
 * it is asked when it does, and what it shows then ends the process.
 * Returns: whether the store may be written to. Until it was asked it may not: it could be the store of a newer log, and what an older copy
 * writes into it would bar the newer one from it.
 * Throws: LOG_INCONSISTENT; what `tables` rejects with, for the embedded store.
 */
export async function compareStored(options: StoredCheckpoints): Promise<() => boolean> {
  const { sealer, client, origin, tables, isRemote, logger } = options;
  const isNew = sealer.signedSize === 0;
  let isCompared = false;
  // At once: making tables takes a store that is busy longer than reading one, and what it shows has to be known before anything is signed.
  const compared = readNewestNotes(client, origin)
    .catch(() => tables.then(() => readNotes(options))) // a new database has no such table yet
    .then((notes) => compareNotes(options, notes, isNew))
    .then(() => void (isCompared = true));
  const mayWrite = (): boolean => isCompared;
  if (!isRemote) return Promise.all([tables, compared]).then(() => mayWrite);
  compared.catch((error: unknown) => isConflict(error) && options.onConflict(error));
  const ended = new AbortController();
  const answered = await Promise.race([
    compared.then(
      () => true,
      (error: unknown) => {
        if (isConflict(error)) throw error;
        return false;
      },
    ),
    setTimeout(options.waitMs ?? STORED_WAIT_MS, false, { signal: ended.signal }),
  ]).finally(() => ended.abort());
  if (!answered)
    logger.warn(
      {},
      "the store does not say which checkpoints it holds: a rollback that only it would show is not seen before it answers, and nothing is written to it",
    );
  return mayWrite;
}

/** What the table holds that stands now; nothing, with a warning, when the store does not let it be read. A remote store that does not answer is asked again until it does. */
async function readNotes({
  client,
  origin,
  logger,
  isRemote,
  retryMs = STORED_RETRY_MS,
  signal,
}: StoredCheckpoints): Promise<readonly string[]> {
  for (;;) {
    try {
      return await readNewestNotes(client, origin);
    } catch (error) {
      if (!isRemote || serverErrorType(error) !== undefined) {
        logger.warn({ err: error }, "the checkpoints in the store cannot be read");
        return [];
      }
      await setTimeout(retryMs, undefined, { signal });
    }
  }
}

async function compareNotes(
  { sealer, origin, logger }: StoredCheckpoints,
  notes: readonly string[],
  isNew: boolean,
): Promise<void> {
  let foreign = 0;
  for (const note of notes)
    if (!(await sealer.compare({ source: "the table checkpoints", note }))) foreign++;
  if (foreign === 0) return;
  if (isNew)
    throw new MeshproofError(
      "LOG_INCONSISTENT",
      `the table checkpoints has checkpoints of ${origin} that another key signed: there was a log of this name before, and it is not in the data directory. ` +
        "Restore its directory and key; or give the new log a name of its own (processors.seal.origin)",
    );
  logger.warn(
    { origin, checkpoints: foreign },
    "the table checkpoints has checkpoints under this origin that no key of this log signed: they prove nothing against it, but no two logs may bear one name",
  );
}

function isConflict(error: unknown): boolean {
  return error instanceof MeshproofError && error.code === "LOG_INCONSISTENT";
}
