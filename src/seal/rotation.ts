import fs from "node:fs/promises";
import { dirname } from "node:path";
import { MeshproofError } from "../core/errors.ts";
import { ED25519_TYPE, formatVerifierKey, keyId } from "../tlog/note.ts";
import { readFileIfAny, replaceFile, syncDirectory } from "./durable.ts";
import type { KeyPeriod } from "./key-periods.ts";
import { makeKeyPem, openLogKey, retiringFile } from "./keys.ts";

/**
 * Puts a new key in the place of the one in `path`; the old one stays beside it, and both sign from the next start on. A crash within leaves the
 * old key in both places, which counts as no rotation; calling it again goes on.
 * Throws: KEY_INVALID when there is no log that the key has signed, or a rotation is under way.
 */
export async function startRotation(
  path: string,
  origin: string,
  keys: readonly KeyPeriod[],
): Promise<{ old: string; current: string }> {
  const old = await readVerifierKey(path, origin);
  const retiring = retiringFile(path);
  if (!signsNow(keys, old))
    throw refused(
      `${path}: expected the key that signs the log, got ${old}, which has signed nothing yet. A key that is new needs no rotation; after a rotation was begun, start the server once`,
    );
  if ((await readFileIfAny(retiring)) !== null) {
    const before = await readVerifierKey(retiring, origin);
    if (before !== old)
      throw refused(
        `${retiring}: ${before} is being replaced already; end that with meshproof key rotate --finish`,
      );
  } else {
    await fs.link(path, retiring);
    await syncDirectory(dirname(path));
  }
  await replaceFile(path, makeKeyPem(), 0o600);
  return { old, current: await readVerifierKey(path, origin) };
}

/**
 * Deletes the old key: from the next start on the new one signs alone.
 * Throws: KEY_INVALID when no rotation is under way, or no checkpoint has the signatures of both yet.
 */
export async function finishRotation(
  path: string,
  origin: string,
  keys: readonly KeyPeriod[],
): Promise<{ retired: string; current: string }> {
  const retiring = retiringFile(path);
  if ((await readFileIfAny(retiring)) === null)
    throw refused(`${retiring}: no rotation is under way; meshproof key rotate begins one`);
  const [retired, current] = [
    await readVerifierKey(retiring, origin),
    await readVerifierKey(path, origin),
  ];
  if (retired !== current && !signsNow(keys, current))
    throw refused(
      `${current} has signed no checkpoint yet, so nothing under the old key names it: start the server once before the old key goes`,
    );
  await fs.unlink(retiring);
  await syncDirectory(dirname(path));
  return { retired, current };
}

async function readVerifierKey(path: string, origin: string): Promise<string> {
  const { publicKey } = await openLogKey(path, false);
  return formatVerifierKey({
    name: origin,
    keyId: keyId(origin, ED25519_TYPE, publicKey),
    type: ED25519_TYPE,
    publicKey,
  });
}

function signsNow(keys: readonly KeyPeriod[], key: string): boolean {
  return keys.some(({ verifierKey, through }) => verifierKey === key && through === null);
}

function refused(message: string): MeshproofError {
  return new MeshproofError("KEY_INVALID", message);
}
