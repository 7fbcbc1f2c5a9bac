import { createPublicKey, hash, verify } from "node:crypto";

/** What whoever trusts none of our code writes to check a log: from the standards, with node:crypto alone. */

/** C2SP signed-note, written down once more: "— name base64(key ID ‖ signature)", the key ID being the first four bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ key). */
export function isSigned(text: string, signatures: string, verifierKey: string): boolean {
  const [, name, id, base64] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(verifierKey)!;
  const key = Buffer.from(base64!, "base64").subarray(1);
  const keyId = sha256(Buffer.from(`${name}\n\x01`), key).subarray(0, 4);
  const line = signatures.split("\n").find((one) => one.startsWith(`— ${name} `))!;
  const signature = Buffer.from(line.split(" ")[2]!, "base64");
  const publicKey = createPublicKey({
    key: { kty: "OKP", crv: "Ed25519", x: key.toString("base64url") },
    format: "jwk",
  });
  return (
    keyId.toString("hex") === id &&
    signature.subarray(0, 4).equals(keyId) &&
    verify(null, Buffer.from(text), publicKey, signature.subarray(4))
  );
}

/** RFC 6962, section 2.1, by its definition. */
export function merkleRoot(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 1) return leaves[0]!;
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return sha256(
    Buffer.from([1]),
    merkleRoot(leaves.slice(0, split)),
    merkleRoot(leaves.slice(split)),
  );
}

export function sha256(...parts: readonly Uint8Array[]): Buffer {
  return hash("sha256", Buffer.concat(parts), "buffer");
}

/** C2SP tlog-tiles: 1234067 is x001/x234/067. */
export function tilePath(index: number): string {
  const digits = String(index).padStart(Math.ceil(String(index).length / 3) * 3, "0");
  return digits.replaceAll(/\d{3}(?=\d)/g, "x$&/");
}

/**
 * C2SP tlog-proof for a record of meshproof, written down once more: the row that a proof file carries, when it is the record at the
 * file's index under a checkpoint that `verifierKey` signed; null when it is not.
 */
export function provedRow(file: string, verifierKey: string): Buffer | null {
  const end = file.indexOf("\n\n");
  const [header, extra, place, ...path] = file.slice(0, end).split("\n");
  const note = file.slice(end + 2);
  const [text, signatures] = note.split("\n\n");
  if (header !== "c2sp.org/tlog-proof@v1" || !isSigned(`${text}\n`, signatures!, verifierKey))
    return null;
  const row = Buffer.from(extra!.replace("extra ", ""), "base64");
  const leaf = sha256(Buffer.from([0, 1, row[1]!]), sha256(row));
  const [, size, root] = text!.split("\n");
  const hashes = path.map((line) => Buffer.from(line, "base64"));
  const computed = rootFrom(leaf, Number(place!.replace("index ", "")), Number(size), hashes);
  return computed.toString("base64") === root ? row : null;
}

/** RFC 6962, section 2.1.1, read backwards: the root that an audit path, leaf side first, gives. */
function rootFrom(leaf: Buffer, index: number, size: number, path: readonly Buffer[]): Buffer {
  if (size === 1) return leaf;
  let split = 1;
  while (split * 2 < size) split *= 2;
  const [sibling, below] = [path.at(-1)!, path.slice(0, -1)];
  return index < split
    ? sha256(Buffer.from([1]), rootFrom(leaf, index, split, below), sibling)
    : sha256(Buffer.from([1]), sibling, rootFrom(leaf, index - split, size - split, below));
}
