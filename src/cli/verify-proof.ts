import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Readable } from "node:stream";
import { MeshproofError } from "../core/errors.ts";
import type { VerifierKey } from "../tlog/note.ts";
import type { Policy } from "../tlog/policy.ts";
import { parsePolicy } from "../tlog/policy-file.ts";
import { isProofBundle, MAX_BUNDLE_BYTES } from "../tlog/proof-bundle.ts";
import { checkProofBundle, extractProof } from "../verify/proof-bundle.ts";
import { checkRecordProof } from "../verify/proof.ts";
import { logKeysOf, type TrustOptions } from "../verify/signed.ts";
import { readConfig, type ConfigOption, type Context } from "./context.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { type Output, printable } from "./output.ts";
import { readFormerKeys, readOwnKeys } from "./own-log.ts";
import { showBundle, showRecord } from "./proof-text.ts";

export interface VerifyProofOptions extends ConfigOption {
  readonly json?: boolean;
  /** Keys to trust; none means that of the log on this machine. */
  readonly key: readonly VerifierKey[];
  /** The log that it has to be. */
  readonly origin?: string;
  /** File with the witnesses that have to have seen the checkpoint (C2SP tlog-policy). */
  readonly policy?: string;
  /** Print the tlog-proof of this record of a bundle. */
  readonly extract?: number;
  /** Show empty columns too, and long values whole. */
  readonly all?: boolean;
}

/** A row is at most max_record_size, 1 MiB by default, in base64; the rest of a proof takes some kilobytes. */
const MAX_PROOF_BYTES = 16 * 1024 * 1024;
const STANDARD_INPUT = "-";
/** Chunks that hold the first line, however small they are. */
const HEADER_CHUNKS = 32;
/** Messages may quote the file. */
const MAX_MESSAGE_LENGTH = 500;

/** Checks proof files and bundles against keys and a policy alone and shows the records in them. Exit code 1 when one does not hold. */
export async function verifyProof(
  files: readonly string[],
  options: VerifyProofOptions,
  context: Context,
): Promise<ExitCode> {
  checkUsage(files, options);
  const trust = await trustOf(options, context);
  const codes: ExitCode[] = [];
  for (const file of files) codes.push(await verifyFile(file, trust, options, context.output));
  if (codes.includes(EXIT.failed)) return EXIT.failed;
  return codes.includes(EXIT.unable) ? EXIT.unable : EXIT.ok;
}

function checkUsage(files: readonly string[], { extract, json }: VerifyProofOptions): void {
  if (extract === undefined) return;
  if (files.length !== 1) throw wrongUsage("one file with --extract");
  if (json === true) throw wrongUsage("--json or --extract, not both");
}

async function trustOf(options: VerifyProofOptions, context: Context): Promise<TrustOptions> {
  const { key, origin } = options;
  const policy = options.policy === undefined ? undefined : await readPolicy(options.policy);
  if (policy !== undefined && policy.logs.length > 0 && key.length > 0)
    throw wrongUsage("--key, or a policy that names logs, not both");
  const given: TrustOptions = {
    keys: key,
    ...(origin === undefined ? {} : { origin }),
    ...(policy === undefined ? {} : { policy }),
  };
  if (logKeysOf(given).length > 0) return given;
  return { ...given, keys: await readKeysHere(options, context) };
}

async function readPolicy(file: string): Promise<Policy> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    throw new MeshproofError(
      "CONFIG_INVALID",
      `meshproof verify-proof: the policy cannot be read: ${(cause as Error).message}`,
      { cause },
    );
  }
  return parsePolicy(bytes);
}

/** The keys of the log on this machine, those that were replaced included: a proof may be older than the key. */
async function readKeysHere(
  options: ConfigOption,
  context: Context,
): Promise<readonly VerifierKey[]> {
  const config = readConfig(options, context);
  try {
    const keys = await readOwnKeys(config);
    return [...keys, ...(await readFormerKeys(config.storage.directory, keys))];
  } catch (cause) {
    if (!(cause instanceof MeshproofError) || cause.code !== "KEY_INVALID") throw cause;
    throw new MeshproofError(
      "CONFIG_INVALID",
      `meshproof verify-proof: expected --key, the verifier key of the log, since this machine has none.
Ask whoever runs the log, best by another way than the proof came; \`meshproof key\` prints it there.`,
      { cause },
    );
  }
}

async function verifyFile(
  file: string,
  trust: TrustOptions,
  options: VerifyProofOptions,
  output: Output,
): Promise<ExitCode> {
  const name = file === STANDARD_INPUT ? "standard input" : printable(file);
  let bytes: Uint8Array;
  try {
    bytes = await readBounded(file === STANDARD_INPUT ? process.stdin : createReadStream(file));
  } catch (error) {
    output.note(`meshproof: ${name} cannot be read: ${printable((error as Error).message)}`);
    return EXIT.unable;
  }
  const { json = false, all = false, extract } = options;
  try {
    if (extract !== undefined) {
      const proof = extracted(bytes, extract, trust);
      output.write(proof);
      return EXIT.ok;
    }
    const shown = { file, name, json, all, policy: trust.policy ?? null };
    if (isProofBundle(bytes)) return showBundle(checkProofBundle(bytes, trust), shown, output);
    showRecord(checkRecordProof(bytes, trust), shown, output);
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof MeshproofError) || error.code === "CONFIG_INVALID") throw error;
    const detail = printable(error.message.slice(0, MAX_MESSAGE_LENGTH));
    const line = `${output.paint("red", "FAILS")}  ${name}: ${detail} (${error.code})`;
    if (json) output.json({ file, verdict: "failed", code: error.code, detail });
    else if (extract !== undefined) output.note(line);
    else output.line(line);
    return EXIT.failed;
  }
}

/** The tlog-proof of a record of a bundle that holds. */
function extracted(bytes: Uint8Array, index: number, trust: TrustOptions): string {
  const { rows } = checkProofBundle(bytes, trust);
  if (!rows.some(({ leafIndex }) => leafIndex === index))
    throw wrongUsage(`a record of the bundle for --extract, got ${index}`);
  const proof = extractProof(bytes, index);
  checkRecordProof(proof, trust);
  return proof;
}

/** What one file may have at most: more in a bundle. */
async function readBounded(stream: Readable): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  let most = MAX_PROOF_BYTES;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    length += chunk.length;
    if (
      length > MAX_PROOF_BYTES &&
      most === MAX_PROOF_BYTES &&
      isProofBundle(Buffer.concat(chunks.slice(0, HEADER_CHUNKS)))
    )
      most = MAX_BUNDLE_BYTES;
    if (length > most) throw new Error(`expected a proof of at most ${most} bytes, got more`);
  }
  return Buffer.concat(chunks);
}

function wrongUsage(expected: string): MeshproofError {
  return new MeshproofError("CONFIG_INVALID", `meshproof verify-proof: expected ${expected}`);
}
