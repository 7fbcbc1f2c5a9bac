import { MeshproofError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import { equalBytes } from "../core/bytes.ts";
import { type LogVerifierKey, openCheckpoint, parseCheckpoint } from "../tlog/checkpoint.ts";
import { decodeEntry } from "../tlog/entry.ts";
import { subtreeHash } from "../tlog/hash-into.ts";
import { HASH_LENGTH, leafHash } from "../tlog/merkle.ts";
import {
  type VerifierKey,
  formatVerifierKey,
  isMadeBy,
  parseNote,
  verifyNote,
} from "../tlog/note.ts";
import {
  TILE_WIDTH,
  type TilePath,
  decodeBundle,
  formatTilePath,
  levelCount,
  tileWidth,
} from "../tlog/tiles.ts";
import { GrowingLog } from "./growing-log.ts";
import { type KeyPeriod, verifierKeysOf } from "./key-periods.ts";
import type { SealState } from "./state.ts";
import type { LogStore } from "./tile-store.ts";

/** A checkpoint with the note that signs it. */
export interface SignedCheckpoint {
  readonly size: number;
  readonly root: Uint8Array;
  readonly note: string;
}

/** A log as it was found on disk. */
export interface FoundLog {
  readonly signed: SignedCheckpoint | null;
  readonly published: SignedCheckpoint | null;
  readonly durableThrough: number;
  readonly checkpointSizes: readonly number[];
  readonly prunedThrough: number;
  /** Who signed which part of it; empty when nothing is signed. */
  readonly keys: readonly KeyPeriod[];
  /** The log of the first `durableThrough` records. */
  readonly log: GrowingLog;
}

/**
 * The log in `store` as far as its tiles are known to be durable, after these checks: the commit record is signed for `origin` by one of
 * `signers`, the keys that sign from now on, for whoever signs no more cannot vouch for where to go on; what is published is not newer, and
 * not another tree of the same size; the last entries hash to the last tile, that to the tile above, and, when nothing is to be replayed,
 * the right edge to the signed root.
 * Throws: KEY_INVALID when another key signed, LOG_INCONSISTENT when a check fails.
 */
export async function findLog(
  store: LogStore,
  origin: string,
  signers: readonly VerifierKey[],
  logger: Logger,
): Promise<FoundLog> {
  const state = await store.readState();
  const signed = state === null ? null : openSigned(state.checkpoint, origin, signers);
  const periods = state === null ? [] : periodsOf(state, signers);
  // What is published may lag behind, when witnesses do not answer, under a key that was replaced meanwhile.
  const known = [...signers, ...verifierKeysOf(periods)];
  const published = await openPublished(store, origin, known, signed, logger);
  const durableThrough = state?.durableThrough ?? 0;
  if (signed !== null && (state?.checkpointSizes.at(-1) ?? durableThrough) !== signed.size) {
    throw inconsistent(
      "the sizes in state/ do not end with that of its checkpoint: the file was changed",
    );
  }

  const read = async (path: TilePath): Promise<Uint8Array> => {
    const bytes = await store.read(path);
    if (bytes === null)
      throw inconsistent(
        `log/${formatTilePath(path)} is missing: restore log/ from a copy that is not older than state/`,
      );
    return bytes;
  };
  const readTile = async (path: TilePath): Promise<Uint8Array> => {
    const bytes = await read(path);
    if (bytes.length !== path.width * HASH_LENGTH)
      throw inconsistent(
        `log/${formatTilePath(path)}: expected ${path.width * HASH_LENGTH} bytes, got ${bytes.length}`,
      );
    return bytes;
  };
  const lastBundle =
    durableThrough === 0 ? new Uint8Array() : await checkLastBundle(durableThrough, read, readTile);
  const log = await GrowingLog.load(durableThrough, readTile, lastBundle);
  if (signed !== null && durableThrough === signed.size && !equalBytes(log.root(), signed.root)) {
    throw inconsistent(
      `the tiles of ${signed.size} records do not hash to the root that was signed: log/ or state/ were changed. Restore both from one copy`,
    );
  }
  return {
    signed,
    published,
    durableThrough,
    checkpointSizes: state?.checkpointSizes ?? [],
    prunedThrough: state?.prunedThrough ?? 0,
    keys: periods,
    log,
  };
}

/** The list in the commit record; in one that has none, whoever signed it has signed from the beginning. */
function periodsOf(
  { checkpoint, keys }: SealState,
  signers: readonly VerifierKey[],
): readonly KeyPeriod[] {
  const signedBy = verifyNote(parseNote(checkpoint), signers).map(({ key }) =>
    formatVerifierKey(key),
  );
  if (keys.length === 0)
    return signedBy.map((verifierKey) => ({ verifierKey, from: 0, through: null, record: null }));
  for (const key of signedBy)
    if (!keys.some(({ verifierKey, through }) => verifierKey === key && through === null))
      throw inconsistent(
        `the list of keys in state/ does not have ${key}, which signed the checkpoint beside it: the file was changed`,
      );
  return keys;
}

/** The checkpoint that the commit record holds. */
function openSigned(note: string, origin: string, keys: readonly VerifierKey[]): SignedCheckpoint {
  try {
    const checkpoint = openCheckpoint(note, origin, keys);
    return { size: checkpoint.size, root: checkpoint.root, note };
  } catch (cause) {
    const { text, signatures } = parseNoteOrRefuse(note);
    const found = text.slice(0, text.indexOf("\n"));
    if (found !== origin)
      throw inconsistent(
        `the log in this directory is ${found}, the configuration says ${origin}: an origin cannot change`,
        cause,
      );
    if (signatures.some((signature) => keys.some((key) => isMadeBy(signature, key)))) {
      throw inconsistent(
        "the checkpoint in state/ does not carry a valid signature of this log's key: the file was changed",
        cause,
      );
    }
    throw new MeshproofError(
      "KEY_INVALID",
      `the log was signed by key ${hexIds(signatures)} of ${origin}, the configured key is ${hexIds(keys)}: restore the key that signed it. To replace it, meshproof key rotate has to be run while the old one is there`,
      { cause },
    );
  }
}

function parseNoteOrRefuse(note: string): ReturnType<typeof parseNote> {
  try {
    const parsed = parseNote(note);
    parseCheckpoint(parsed.text);
    return parsed;
  } catch (cause) {
    throw inconsistent(
      "the checkpoint in state/ is not a signed checkpoint: the file was changed",
      cause,
    );
  }
}

/** The checkpoint that is published, compared with the one that was signed last. */
async function openPublished(
  store: LogStore,
  origin: string,
  keys: readonly LogVerifierKey[],
  signed: SignedCheckpoint | null,
  logger: Logger,
): Promise<SignedCheckpoint | null> {
  const note = await store.readPublished();
  if (note === null) return null;
  let size: number;
  let root: Uint8Array;
  try {
    ({ size, root } = openCheckpoint(note, origin, keys));
  } catch (error) {
    if (signed === null)
      throw inconsistent(
        "log/checkpoint exists, but state/ has no record of a log, and this key did not sign it: restore state/, or move log/ away to begin a new log",
        error,
      );
    // It proves nothing against us, and state/ has what we signed: it is published again.
    logger.warn({ err: error }, "log/checkpoint is not what this log signed; it is replaced");
    return null;
  }
  const signedSize = signed?.size ?? 0;
  if (size > signedSize) {
    throw inconsistent(
      `a checkpoint of ${size} records is published, state/ knows of ${signedSize}: this directory is an older copy. Restore a newer one; to go on would sign a second history`,
    );
  }
  if (signed !== null && size === signedSize && !equalBytes(root, signed.root)) {
    throw inconsistent(
      `log/checkpoint and state/ hold two different trees of ${size} records, both signed: the log was forked. Keep both files as evidence`,
    );
  }
  return { size, root, note };
}

/** Reads the bundle with the last of `size` entries and checks it against its tile, and that tile, when full, against the one above. */
async function checkLastBundle(
  size: number,
  read: (path: TilePath) => Promise<Uint8Array>,
  readTile: (path: TilePath) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const index = levelCount(size - 1, 1);
  const width = tileWidth(size, 0, index);
  const bundle = await read({ level: "entries", index, width });
  const tile = await readTile({ level: 0, index, width });
  decodeBundle(bundle, width).forEach((entry, i) => {
    decodeEntry(entry);
    if (!equalBytes(leafHash(entry), tile.subarray(i * HASH_LENGTH, (i + 1) * HASH_LENGTH)))
      throw inconsistent(
        `entry ${index * TILE_WIDTH + i} does not hash to its leaf in the tile: log/ was changed`,
      );
  });
  if (width === TILE_WIDTH) {
    const aboveIndex = levelCount(index, 1);
    const above = await readTile({
      level: 1,
      index: aboveIndex,
      width: tileWidth(size, 1, aboveIndex),
    });
    const at = (index % TILE_WIDTH) * HASH_LENGTH;
    if (!equalBytes(subtreeHash(tile, 0, TILE_WIDTH), above.subarray(at, at + HASH_LENGTH)))
      throw inconsistent(
        `tile ${index} of level 0 does not hash to its place in level 1: log/ was changed`,
      );
  }
  return bundle;
}

function hexIds(keys: readonly { readonly keyId: number }[]): string {
  return keys.map(({ keyId }) => keyId.toString(16).padStart(8, "0")).join(", ");
}

function inconsistent(message: string, cause?: unknown): MeshproofError {
  return new MeshproofError("LOG_INCONSISTENT", message, { cause });
}
