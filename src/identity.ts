import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { MeshproofError } from "./core/errors.ts";
import { toHex } from "./core/bytes.ts";
import { KINDS } from "./core/kinds.ts";
import { LOG_ID_LENGTH, type RowSection } from "./core/rows.ts";
import { BATCH_SECRET_BYTES } from "./journal/batch-key.ts";
import { internalMeta } from "./journal/frame.ts";
import type { Journal } from "./journal/journal.ts";
import { controlSection } from "./records/own-rows.ts";
import { createFile, makeDirectory, readFileIfAny, replaceFile } from "./seal/durable.ts";

/** LogId of a row that is not hashed yet: row 0, whose hash becomes the LogId. The prefix is not part of what is hashed. */
const UNKNOWN_LOG_ID = "0".repeat(LOG_ID_LENGTH);
const LOG_ID = /^[0-9a-f]{16}$/;

/** What row 0, the first record of a log, says of it. */
export interface LogBirth {
  readonly origin: string;
  readonly verifierKey: string;
  readonly nowNs: bigint;
}

/**
 * The LogId: the first 16 hex digits of the SHA-256 of row 0, which names origin, key and time. Seals row 0 when the log is empty.
 * It is kept in `state/log-id`, since the journal lets go of row 0; a crash before that file is written leaves row 0 in the journal.
 * Throws: LOG_INCONSISTENT when neither holds it.
 */
export async function openLogId(
  dataDirectory: string,
  journal: Journal,
  birth: LogBirth,
): Promise<string> {
  const path = join(dataDirectory, "state", "log-id");
  const known = (await readFileIfAny(path))?.trim();
  if (known !== undefined && LOG_ID.test(known)) return known;
  if (known !== undefined || journal.firstIndex > 0) {
    throw new MeshproofError(
      "LOG_INCONSISTENT",
      `${path}: expected the 16 hex digits of the log's ID, got ${known ?? "no file"}; restore it from a copy of the data directory`,
    );
  }
  const logId =
    journal.nextIndex === 0 ? await sealRowZero(journal, birth) : await readRowZero(journal);
  await replaceFile(path, `${logId}\n`, 0o600);
  return logId;
}

async function sealRowZero(
  journal: Journal,
  { origin, verifierKey, nowNs }: LogBirth,
): Promise<string> {
  const section = controlSection(UNKNOWN_LOG_ID, [
    {
      timestampNs: nowNs,
      controlKind: "log_created",
      detail: { origin, verifier_key: verifierKey },
    },
  ]);
  const logId = logIdOf(section);
  for (let i = 0; i < LOG_ID_LENGTH; i++) section.bytes[1 + i] = logId.charCodeAt(i);
  await journal.append({ sections: [section] }, internalMeta(nowNs)).durable;
  return logId;
}

async function readRowZero(journal: Journal): Promise<string> {
  for await (const frame of journal.frames(0)) {
    const section = frame.sections[0];
    if (section?.kind === KINDS.control) return logIdOf(section);
    break;
  }
  throw new MeshproofError(
    "LOG_INCONSISTENT",
    "expected the journal to begin with the record that opens the log",
  );
}

function logIdOf(section: RowSection): string {
  return toHex(section.hashes.subarray(0, LOG_ID_LENGTH / 2));
}

/**
 * The secret under which batches are recognised when they come again, made at the first start and kept in `secrets/batch-key`: without it none of those
 * that came before is recognised.
 * Throws: KEY_INVALID when the file holds something else.
 */
export async function openBatchSecret(dataDirectory: string): Promise<Uint8Array> {
  const directory = join(dataDirectory, "secrets");
  const path = join(directory, "batch-key");
  await makeDirectory(directory, 0o700);
  await createFile(path, `${randomBytes(BATCH_SECRET_BYTES).toString("hex")}\n`, 0o600);
  const text = (await readFileIfAny(path))?.trim() ?? "";
  if (!/^[0-9a-f]{64}$/.test(text))
    throw new MeshproofError(
      "KEY_INVALID",
      `${path}: expected 64 hex digits; delete the file to have a new one made, and know that batches from before will not be recognised`,
    );
  return Buffer.from(text, "hex");
}
