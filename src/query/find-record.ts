import { authorise } from "../core/callers.ts";
import { MeshproofError } from "../core/errors.ts";
import type { HttpRequest } from "../core/http.ts";
import { KINDS } from "../core/kinds.ts";
import { bad, show } from "./parameters.ts";
import { type LogSizes, type ProvableLog, sealedKind } from "./proofs.ts";
import { type FoundRecord, readRecord } from "./record-reader.ts";
import type { StatementRunner } from "./store.ts";

/** One record by its place, and why it cannot be shown. */

const RETRY_SOON = { retryAfterSeconds: 1 };

/** A place in a log, not necessarily this server's. */
export interface Place {
  readonly logId: string;
  readonly index: number;
}

/** Throws: BAD_REQUEST. */
export function parsePlace(params: unknown, ownLogId: string): Place {
  const text = (params as { readonly record: string }).record;
  const [, logId = ownLogId, index] = /^(?:([0-9a-f]{16}):)?(0|[1-9]\d{0,15})$/.exec(text) ?? [];
  if (index === undefined || !Number.isSafeInteger(Number(index)))
    throw bad(`record: expected <leaf index> or <log ID>:<leaf index>, got ${show(text)}`);
  return { logId, index: Number(index) };
}

/** Throws: NOT_FOUND, UNAVAILABLE while the record is on its way to the store, ROW_TAMPERED for two, FORBIDDEN. */
export async function findRecord(
  run: StatementRunner,
  log: ProvableLog,
  { logId, index }: Place,
  request: HttpRequest,
): Promise<FoundRecord> {
  const sizes = log.sizes(); // before the store is asked, since it grows
  const kind = logId === log.id ? await sealedKind(log, index) : undefined;
  const found = await readRecord(run, logId, BigInt(index), kind);
  if (found.length === 0 && logId !== log.id)
    throw new MeshproofError("NOT_FOUND", `the store has no record ${index} of the log ${logId}`);
  return theOne({ logId, index }, found, sizes, request);
}

/**
 * The row that was found for a record of this server's log, when it is one and may be shown to whoever asks.
 * Throws: as `findRecord`.
 */
export function theOne(
  { logId, index }: Place,
  found: readonly FoundRecord[],
  { recorded, stored }: LogSizes,
  { caller }: HttpRequest,
): FoundRecord {
  const [first] = found;
  if (first === undefined) {
    if (index >= recorded) throw beyondLog(index, recorded);
    if (index >= stored)
      throw new MeshproofError(
        "UNAVAILABLE",
        `record ${index} is not in the store yet`,
        RETRY_SOON,
      );
    throw new MeshproofError(
      "NOT_FOUND",
      `record ${index} is in the log and not in the store: expired, erased, in quarantine, or removed; meshproof verify tells which`,
    );
  }
  if (first.kind === KINDS.control && caller !== null) authorise(caller, ["auditor", "admin"]);
  if (found.length > 1)
    throw new MeshproofError(
      "ROW_TAMPERED",
      `record ${index} of the log ${logId}: expected one row, found ${found.length}: rows were added to the store; meshproof verify names them`,
    );
  return first;
}

/** Throws: NOT_FOUND when no proof of the record can be had here, UNAVAILABLE when none can yet. */
export function checkProvable(log: ProvableLog, { logId, index }: Place): void {
  if (logId !== log.id)
    throw new MeshproofError(
      "NOT_FOUND",
      `expected a record of the log ${log.id} (${log.origin}), got one of the log ${logId}: the server that keeps that log proves its records`,
    );
  const { recorded, published } = log.sizes();
  if (index >= recorded) throw beyondLog(index, recorded);
  if (index >= published)
    throw new MeshproofError(
      "UNAVAILABLE",
      `record ${index} is under no published checkpoint yet`,
      RETRY_SOON,
    );
}

function beyondLog(index: number, recorded: number): MeshproofError {
  return new MeshproofError(
    "NOT_FOUND",
    `record ${index}: expected an index below ${recorded}, the number of records`,
  );
}
