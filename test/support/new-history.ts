import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Kind } from "../../src/core/kinds.ts";
import { TreeBuilder } from "../../src/tlog/builder.ts";
import { formatCheckpoint, parseCheckpoint } from "../../src/tlog/checkpoint.ts";
import { encodeEntry } from "../../src/tlog/entry.ts";
import { leafHash } from "../../src/tlog/merkle.ts";
import {
  keyId,
  type NoteSigner,
  parseNote,
  signNote,
  type VerifierKey,
} from "../../src/tlog/note.ts";
import { encodeBundle, formatTilePath, TILE_WIDTH, tileWidth } from "../../src/tlog/tiles.ts";

/** What whoever holds a signing key and the data directory can do. */

const ENTRY = 34;
const STRIDE = 2 + ENTRY;

/** The key pair of a log: the one in its directory, or a new one. */
export function signerOf(origin: string, data?: string): { signer: NoteSigner; key: VerifierKey } {
  const privateKey: KeyObject =
    data === undefined
      ? generateKeyPairSync("ed25519").privateKey
      : createPrivateKey(readFileSync(join(data, "secrets/log-key.pem")));
  const { x } = createPublicKey(privateKey).export({ format: "jwk" });
  const publicKey = Buffer.from(x!, "base64url");
  const id = keyId(origin, 1, publicKey);
  return {
    signer: { name: origin, keyId: id, sign: async (message) => sign(null, message, privateKey) },
    key: { name: origin, keyId: id, type: 1, publicKey },
  };
}

/**
 * Writes the log below `directory` anew, with other records in the place of `changed`, and signs it: every tile, every bundle and the checkpoint are as
 * if it had always been so. Returns the checkpoint.
 */
export async function newHistory(
  directory: string,
  signer: NoteSigner,
  changed: ReadonlyMap<number, { readonly kind: Kind; readonly rowHash: Uint8Array }>,
): Promise<string> {
  const file = (path: string): string => join(directory, path);
  const old = parseCheckpoint(parseNote(readFileSync(file("checkpoint"), "utf8")).text);
  const entries: Uint8Array[] = [];
  for (let index = 0; index * TILE_WIDTH < old.size; index++) {
    const width = tileWidth(old.size, 0, index);
    const bundle = readFileSync(file(formatTilePath({ level: "entries", index, width })));
    for (let at = 0; at < bundle.length; at += STRIDE)
      entries.push(bundle.subarray(at + 2, at + STRIDE));
  }
  for (const [index, { kind, rowHash }] of changed) entries[index] = encodeEntry(kind, rowHash);
  rmSync(file("tile"), { recursive: true });
  const put = (path: string, bytes: Uint8Array): void => {
    mkdirSync(dirname(file(path)), { recursive: true });
    writeFileSync(file(path), bytes);
  };
  const builder = new TreeBuilder((level, index, hashes) =>
    put(formatTilePath({ level, index, width: TILE_WIDTH }), hashes),
  );
  for (const entry of entries) builder.append(Buffer.from(leafHash(entry)), 0);
  for (const { tile, hashes } of builder.partials()) put(formatTilePath(tile), hashes);
  for (let index = 0; index * TILE_WIDTH < old.size; index++) {
    const some = entries.slice(index * TILE_WIDTH, (index + 1) * TILE_WIDTH);
    put(formatTilePath({ level: "entries", index, width: some.length }), encodeBundle(some));
  }
  const { origin, size } = old;
  const note = await signNote(formatCheckpoint({ origin, size, root: builder.root() }), [signer]);
  writeFileSync(file("checkpoint"), note);
  return note;
}
