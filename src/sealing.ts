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
import { readNamed } from "./store-connection.ts";
import { parsePolicy } from "./tlog/policy-file.ts";
import type { WitnessFindings } from "./witness-findings.ts";

/** A remote store gets this long to say at a start which checkpoints it holds; one that answers later is asked then. */
const STORED_WAIT_MS = 3_000;

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
  /** The store showed, after the start, that this log was taken back or forked. */
  onConflict(error: unknown): void;
}

/**
 * Holds the checkpoints in the store against the log, before anything is signed. A remote store that does not answer holds up no start:
 * it is asked when it does, and what it shows then ends the process.
 * Throws: LOG_INCONSISTENT; what `tables` rejects with, for the embedded store.
 */
export async function compareStored(options: StoredCheckpoints): Promise<void> {
  const { sealer, client, origin, tables, isRemote, logger } = options;
  // At once: making tables takes a store that is busy longer than reading one, and what it shows has to be known before anything is signed.
  const compared = readNewestNotes(client, origin)
    .catch(() => tables.then(() => readNotes(options))) // a new database has no such table yet
    .then((notes) => compareNotes(sealer, notes));
  if (!isRemote) return Promise.all([tables, compared]).then(() => {});
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
      "the store does not say which checkpoints it holds: a rollback that only it would show is not seen before it answers",
    );
}

/** What the table holds that stands now; nothing, with a warning, when it cannot be read even so. */
async function readNotes({
  client,
  origin,
  logger,
}: StoredCheckpoints): Promise<readonly string[]> {
  try {
    return await readNewestNotes(client, origin);
  } catch (error) {
    logger.warn({ err: error }, "the checkpoints in the store cannot be read");
    return [];
  }
}

async function compareNotes(sealer: Sealer, notes: readonly string[]): Promise<void> {
  for (const note of notes) await sealer.compare({ source: "the table checkpoints", note });
}

function isConflict(error: unknown): boolean {
  return error instanceof MeshproofError && error.code === "LOG_INCONSISTENT";
}
