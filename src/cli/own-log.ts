import type { Config } from "../config/options.ts";
import { MeshproofError } from "../core/errors.ts";
import { silentLogger } from "../core/logger.ts";
import { openSigners } from "../seal/open-signer.ts";
import { readState, type SealState } from "../seal/state.ts";
import { type LogVerifierKey, parseCheckpoint } from "../tlog/checkpoint.ts";
import { formatVerifierKey, parseNote, parseVerifierKey, type VerifierKey } from "../tlog/note.ts";
import type { LogReader } from "../verify/log-reader.ts";

/** What the files beside a log say of it: whose keys sign it, whose did before, and how far it is signed. */

/**
 * The verifier keys of the log that the configuration names: two while the key is being replaced.
 * Throws: KEY_INVALID, also where there is no key.
 */
export async function readOwnKeys(config: Config): Promise<readonly VerifierKey[]> {
  const { origin, signer, retiring_signer: retiring } = config.processors.seal;
  const opened = await openSigners({
    config: signer,
    retiring,
    origin,
    directory: config.storage.directory,
    mayCreate: false,
    logger: silentLogger,
  });
  return [opened.signer, opened.retiring].flatMap((one) =>
    one === null ? [] : [parseVerifierKey(one.verifierKey)],
  );
}

/**
 * Keys that were replaced by one of `keys`, each with the size through which it signed alone or beside it, as the commit record has them. They vouch
 * for checkpoints from before; what the newest one says is left to `keys`.
 */
export async function readFormerKeys(
  directory: string,
  keys: readonly VerifierKey[],
): Promise<readonly LogVerifierKey[]> {
  const periods = (await readStateIfSound(directory))?.keys ?? [];
  const trusted = new Set(keys.map(formatVerifierKey));
  const from = Math.min(
    ...periods.filter(({ verifierKey }) => trusted.has(verifierKey)).map((period) => period.from),
  );
  if (from === Infinity) return [];
  return periods
    .filter(({ verifierKey }) => !trusted.has(verifierKey))
    .map(({ verifierKey, through }) => ({
      ...parseVerifierKey(verifierKey),
      // One that signs until the next start of the server: from there on a trusted key signs beside it.
      through: through ?? from - 1,
    }));
}

/** `log` with the newest signed checkpoint as its newest: while witnesses do not answer, what is published stands back behind what is sealed and stored. */
export function signedLog(log: LogReader, directory: string): LogReader {
  return {
    tile: (path) => log.tile(path),
    async checkpoint() {
      const published = await log.checkpoint();
      const signed = (await readStateIfSound(directory))?.checkpoint ?? null;
      const isAhead = signed !== null && (published === null || isLarger(signed, published));
      return isAhead ? signed : published;
    },
  };
}

/** The newest checkpoint that the commit record says was signed; null where there is none, or no commit record. */
export async function readLastSigned(directory: string): Promise<string | null> {
  return (await readStateIfSound(directory))?.checkpoint ?? null;
}

function isLarger(signed: string, published: string): boolean {
  try {
    const [a, b] = [signed, published].map((note) => parseCheckpoint(parseNote(note).text).size);
    return a! > b!;
  } catch (error) {
    // One that is no checkpoint is for `verify` to find where it is served.
    if (error instanceof MeshproofError) return false;
    throw error;
  }
}

async function readStateIfSound(directory: string): Promise<SealState | null> {
  try {
    return await readState(directory);
  } catch (error) {
    if (error instanceof MeshproofError) return null;
    throw error;
  }
}
