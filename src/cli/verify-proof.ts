import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { MeshproofError } from "../core/errors.ts";
import type { KindName } from "../core/kinds.ts";
import { formatVerifierKey, type VerifierKey } from "../tlog/note.ts";
import { type CheckedRecord, checkRecordProof } from "../verify/proof.ts";
import { readConfig, type ConfigOption, type Context } from "./context.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { type Output, printable } from "./output.ts";
import { readFormerKeys, readOwnKeys } from "./own-log.ts";
import { listRecord } from "./record-list.ts";

export interface VerifyProofOptions extends ConfigOption {
  readonly json?: boolean;
  /** Keys to trust; none means that of the log on this machine. */
  readonly key: readonly VerifierKey[];
  /** The log that it has to be. */
  readonly origin?: string;
  /** Show empty columns too, and long values whole. */
  readonly all?: boolean;
}

/** A row is at most max_record_size, 1 MiB by default, in base64; the rest of a proof takes some kilobytes. */
const MAX_PROOF_BYTES = 16 * 1024 * 1024;
const STANDARD_INPUT = "-";
/** Messages may quote the file. */
const MAX_MESSAGE_LENGTH = 500;
/** The last second that a Date holds (ECMA-262, "Time Values and Time Range"). */
const MAX_DATE_SECONDS = 8_640_000_000_000n;

const KIND_TEXT: Readonly<Record<KindName, string>> = {
  access: "access record",
  span: "span",
  log: "log record",
  link: "link of an access record and a span",
  finding: "finding",
  control: "control record",
};

/** Checks proof files against the log's key alone and shows the records in them. Exit code 1 when one does not hold. */
export async function verifyProof(
  files: readonly string[],
  options: VerifyProofOptions,
  context: Context,
): Promise<ExitCode> {
  const keys = options.key.length > 0 ? options.key : await readKeysHere(options, context);
  const codes: ExitCode[] = [];
  for (const file of files) codes.push(await verifyFile(file, keys, options, context.output));
  if (codes.includes(EXIT.failed)) return EXIT.failed;
  return codes.includes(EXIT.unable) ? EXIT.unable : EXIT.ok;
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
  keys: readonly VerifierKey[],
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
  const { origin } = options;
  try {
    const checked = checkRecordProof(bytes, { keys, ...(origin === undefined ? {} : { origin }) });
    if (options.json === true) printJson(file, checked, output);
    else print(name, checked, options.all === true, output);
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof MeshproofError)) throw error;
    const detail = printable(error.message.slice(0, MAX_MESSAGE_LENGTH));
    if (options.json === true) output.json({ file, verdict: "failed", code: error.code, detail });
    else output.line(`${output.paint("red", "FAILS")}  ${name}: ${detail} (${error.code})`);
    return EXIT.failed;
  }
}

/** One byte more than a proof may have: enough to be refused. */
async function readBounded(stream: Readable): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_PROOF_BYTES)
      throw new Error(`expected a proof of at most ${MAX_PROOF_BYTES} bytes, got more`);
  }
  return Buffer.concat(chunks);
}

function printJson(file: string, checked: CheckedRecord, output: Output): void {
  const { origin, treeSize, leafIndex, kind, record } = checked;
  const signatures = checked.signatures.map(({ key, timestamp }) => ({
    key: formatVerifierKey(key),
    time: timestamp === null ? null : timeText(timestamp),
  }));
  output.json({ file, verdict: "ok", origin, treeSize, leafIndex, signatures, kind, record });
}

function print(name: string, checked: CheckedRecord, all: boolean, output: Output): void {
  const { origin, treeSize, leafIndex, kind, table, record } = checked;
  output.line(
    `${output.paint("green", "HOLDS")}  ${name}: this ${KIND_TEXT[kind]} is what was sealed`,
  );
  output.columns([
    ["Log", printable(origin)],
    ["Position", `record ${leafIndex} of the ${treeSize} that the checkpoint covers`],
    ...checked.signatures.map(({ key, timestamp }) => [
      "Signed by",
      printable(`${key.name}+${key.keyId.toString(16).padStart(8, "0")}`) +
        (timestamp === null ? "" : ` at ${timeText(timestamp)}`),
    ]),
  ]);
  output.line();
  output.line(`${table}:`);
  output.columns(listRecord(kind, record, { all }));
}

/** Seconds since the epoch, which a witness may set as it likes, as a time. */
function timeText(seconds: bigint): string {
  return seconds <= MAX_DATE_SECONDS
    ? new Date(Number(seconds) * 1000).toISOString()
    : `${seconds} s after 1970`;
}
