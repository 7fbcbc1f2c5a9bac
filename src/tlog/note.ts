import { concatBytes, decodeTextStrictly, encodeText } from "../core/bytes.ts";
import { MeshproofError } from "../core/errors.ts";
import { sha256 } from "../core/sha256.ts";
import { checkSignature, type SignatureCheck } from "./signature-check.ts";
import { expectedKeyLength, signatureClaim } from "./signature-types.ts";
import { decodeBase64, encodeBase64 } from "./spelling.ts";

export { ED25519_TYPE } from "./signature-types.ts";

/** Signed notes: C2SP signed-note v1.0.0. */

/** The standard asks for at least 16; golang.org/x/mod/sumdb/note stops at 100 lines and 1 MB, and so do we. */
const MAX_SIGNATURES = 100;
const MAX_NOTE_LENGTH = 1_000_000;

/** Types whose key ID is SHA-256(name ‖ 0x0A ‖ type ‖ key)[:4]; 0x02 hashes otherwise, for others it is a recommendation. */
const TYPES_WITH_STANDARD_ID: ReadonlySet<number> = new Set([0x01, 0x04, 0x05, 0x06]);

// oxlint-disable-next-line no-control-regex -- the standard forbids exactly these ("Format")
const CONTROL = /[\u0000-\u0009\u000b-\u001f]/;

const SIGNATURE_PREFIX = "— "; // U+2014, space

/** One signature line. */
export interface NoteSignature {
  readonly name: string;
  readonly keyId: number;
  readonly signature: Uint8Array;
}

/** A note as it was read: nothing in it is to be trusted before `verifyNote`. */
export interface Note {
  /** The signed text, final newline included. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** A signature that its key vouches for. */
export interface VerifiedSignature extends NoteSignature {
  readonly key: VerifierKey;
  /** Seconds since the epoch, where the type of the signature has them: when a cosigner says that it signed. */
  readonly timestamp: bigint | null;
}

/** A public key that may verify notes, of any signature type. */
export interface VerifierKey {
  readonly name: string;
  readonly keyId: number;
  readonly type: number;
  readonly publicKey: Uint8Array;
}

/** What signs the text of a note; `sign` gives the bytes that follow the key ID. */
export interface NoteSigner {
  readonly name: string;
  readonly keyId: number;
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** May `name` name a key? Not empty, no Unicode space, no "+", no control character. */
export function isKeyName(name: string): boolean {
  return /^[^\p{White_Space}+]+$/u.test(name) && !CONTROL.test(name) && name.isWellFormed();
}

/** Key ID: the first four bytes of SHA-256(name ‖ 0x0A ‖ type ‖ public key), as a number. */
export function keyId(name: string, type: number, publicKey: Uint8Array): number {
  return readUint32(sha256(concatBytes(encodeText(name), Uint8Array.of(0x0a, type), publicKey)));
}

/** The verifier key (vkey) as text: `<name>+<8 hex digits of the key ID>+<base64 of type and public key>`. */
export function formatVerifierKey(key: VerifierKey): string {
  return `${key.name}+${hexId(key.keyId)}+${encodeBase64(concatBytes(Uint8Array.of(key.type), key.publicKey))}`;
}

/**
 * The verifier key that `text` spells. A type that is not known here parses too; `verifyNote` passes over its signatures.
 * Throws: KEY_INVALID when the text is of another form or its key ID is not that of its key.
 */
export function parseVerifierKey(text: string): VerifierKey {
  const wrong = (expected: string): MeshproofError =>
    new MeshproofError("KEY_INVALID", `verifier key ${JSON.stringify(text)}: expected ${expected}`);
  // The base64 may contain "+" itself: split at the first two.
  const match = /^([^+]*)\+([0-9a-f]{8})\+(.*)$/su.exec(text);
  if (match === null) throw wrong("<name>+<8 lower-case hex digits>+<base64>");
  const [, name, id, base64] = match as unknown as [string, string, string, string];
  if (!isKeyName(name)) throw wrong('a name without spaces and without "+"');
  const bytes = decodeBase64(base64);
  if (bytes === null || bytes.length < 2) throw wrong("the base64 of the key type and the key");
  const key: VerifierKey = {
    name,
    keyId: Number.parseInt(id, 16),
    type: bytes[0]!,
    publicKey: bytes.subarray(1),
  };
  const length = expectedKeyLength(key.type);
  if (length !== null && key.publicKey.length !== length)
    throw wrong(
      `a key of ${length} bytes for signature type ${key.type}, got ${key.publicKey.length}`,
    );
  if (TYPES_WITH_STANDARD_ID.has(key.type) && keyId(name, key.type, key.publicKey) !== key.keyId)
    throw wrong(`the key ID ${hexId(keyId(name, key.type, key.publicKey))}`);
  return key;
}

/** The text of a signed note: `text`, a blank line, and a line for each signature. */
export function formatNote(text: string, signatures: readonly NoteSignature[]): string {
  let note = `${text}\n`;
  for (const { name, keyId: id, signature } of signatures) {
    const bytes = new Uint8Array(4 + signature.length);
    new DataView(bytes.buffer).setUint32(0, id);
    bytes.set(signature, 4);
    note += `${SIGNATURE_PREFIX}${name} ${encodeBase64(bytes)}\n`;
  }
  return note;
}

/**
 * `text` signed by each of `signers`, in their order, as the text of a note.
 * Throws: NOTE_INVALID when the text cannot be signed: it must end in a newline and hold no other control character.
 */
export async function signNote(text: string, signers: readonly NoteSigner[]): Promise<string> {
  checkText(text);
  const message = encodeText(text);
  return formatNote(
    text,
    await Promise.all(
      signers.map(async (signer) => ({
        name: signer.name,
        keyId: signer.keyId,
        signature: await signer.sign(message),
      })),
    ),
  );
}

/**
 * The text and the signatures of a note. No signature is verified.
 * Throws: NOTE_INVALID when `note` is not a signed note to the letter.
 */
export function parseNote(note: string | Uint8Array): Note {
  const whole = typeof note === "string" ? note : decodeUtf8(note);
  if (whole.length > MAX_NOTE_LENGTH)
    throw invalid(`expected at most ${MAX_NOTE_LENGTH} characters, got ${whole.length}`);
  checkCharacters(whole);
  // The text may hold blank lines; the last one ends it.
  const split = whole.lastIndexOf("\n\n");
  if (split < 0) throw invalid("expected a blank line between text and signatures");
  const text = whole.slice(0, split + 1);
  if (!whole.endsWith("\n")) throw invalid("expected a newline at the end");
  const lines = whole
    .slice(split + 2)
    .split("\n")
    .slice(0, -1);
  if (lines.length === 0) throw invalid("expected at least one signature");
  if (lines.length > MAX_SIGNATURES)
    throw invalid(`expected at most ${MAX_SIGNATURES} signatures, got ${lines.length}`);
  return { text, signatures: lines.map(parseSignature) };
}

/**
 * The signatures of `note` that verified, one for each key at most. Those of keys that are not in `keys`, or of a type
 * that is not known here, are passed over.
 * Throws: NOTE_INVALID when a signature of a known key does not verify, whatever the others say, and when none is of a known key;
 * KEY_INVALID when one of them cannot be verified here (ML-DSA-44 before Node 24.6).
 */
export function verifyNote(
  note: Note,
  keys: readonly VerifierKey[],
  isValid: SignatureCheck = checkSignature,
): VerifiedSignature[] {
  const verified = new Map<VerifierKey, VerifiedSignature>();
  for (const line of note.signatures) {
    const key = keys.find((known) => isMadeBy(line, known));
    if (key === undefined || expectedKeyLength(key.type) === null) continue;
    const claim = signatureClaim(key, note.text, line.signature);
    if (claim === null || !isValid(claim))
      throw invalid(`the signature by ${key.name}+${hexId(key.keyId)} does not verify`);
    verified.set(key, { ...line, key, timestamp: claim.timestamp });
  }
  if (verified.size === 0) {
    const signedBy = note.signatures
      .map(({ name, keyId: id }) => `${name}+${hexId(id)}`)
      .join(", ");
    throw invalid(
      `expected a signature by ${keys.map((key) => `${key.name}+${hexId(key.keyId)}`).join(" or ") || "a known key"}, got ${signedBy}`,
    );
  }
  return [...verified.values()];
}

/** Does the signature line name this key? Name and ID together are a key's identity ("Signatures"). */
export function isMadeBy(
  line: Pick<NoteSignature, "name" | "keyId">,
  key: Pick<VerifierKey, "name" | "keyId">,
): boolean {
  return line.keyId === key.keyId && line.name === key.name;
}

/**
 * `note` with the lines of `signatures` behind its own; one by a key that signed already takes the place of that line.
 * Nothing is verified.
 * Throws: NOTE_INVALID when `note` is none.
 */
export function addSignatures(note: string, signatures: readonly NoteSignature[]): string {
  const { text, signatures: before } = parseNote(note);
  const kept = before.filter((line) => !signatures.some((added) => isMadeBy(line, added)));
  return formatNote(text, [...kept, ...signatures]);
}

/** A key ID as it stands in a verifier key. */
function hexId(id: number): string {
  return id.toString(16).padStart(8, "0");
}

function parseSignature(line: string): NoteSignature {
  const [name, base64, ...rest] = line.startsWith(SIGNATURE_PREFIX)
    ? line.slice(SIGNATURE_PREFIX.length).split(" ")
    : [];
  if (name === undefined || base64 === undefined || rest.length > 0 || !isKeyName(name))
    throw invalid(`expected a signature line "— <name> <base64>", got ${JSON.stringify(line)}`);
  const bytes = decodeBase64(base64);
  if (bytes === null || bytes.length < 5)
    throw invalid(`expected the base64 of a key ID and a signature, got ${JSON.stringify(base64)}`);
  return { name, keyId: readUint32(bytes), signature: bytes.subarray(4) };
}

function checkText(text: string): void {
  if (!text.endsWith("\n")) throw invalid("expected a text that ends in a newline");
  checkCharacters(text);
}

function checkCharacters(text: string): void {
  if (CONTROL.test(text)) throw invalid("expected no control character but newline");
  if (!text.isWellFormed()) throw invalid("expected valid Unicode");
}

function decodeUtf8(bytes: Uint8Array): string {
  const text = decodeTextStrictly(bytes);
  if (text === null) throw invalid("expected valid UTF-8");
  return text;
}

/** The first four bytes, big-endian. */
function readUint32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
}

function invalid(what: string): MeshproofError {
  return new MeshproofError("NOTE_INVALID", `signed note: ${what}`);
}
