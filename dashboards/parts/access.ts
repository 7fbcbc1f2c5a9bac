import { ADDRESS, RECORD, SERVICE } from "./sql.ts";
import {
  accessRecords,
  decision,
  identity,
  namespace,
  path,
  policy,
  traceId,
  workload,
} from "./variables.ts";

/** What an investigation is narrowed by. */
export const CHOSEN = [identity, namespace, workload, decision, policy, path, traceId];

/** Access records that fit all that is chosen. */
export const MATCHING = accessRecords(CHOSEN);

/** Columns of a list of access records: who, what, where, what was decided and by whom, and where it is proven. */
const COLUMNS = `Timestamp, Actor, ActorAssurance, EndUser, PeerPrincipal, ${ADDRESS} AS Address, ${SERVICE} AS Service, Method, Authority, Path, Query,
  Decision, DecisionEngine, Policy, DecisionReason, nullIf(StatusCode, 0) AS StatusCode, ResponseFlags, nullIf(DurationNs, -1) AS DurationNs, TraceId, ${RECORD}`;

/**
 * The newest access records that fit `where`. In two steps: which these are is read from a few narrow columns, or the projection by actor; all
 * columns are then read of those rows alone, which their leaf indexes find.
 */
export function newestRecords(where: string, limit: number): string {
  return `
SELECT ${COLUMNS}
FROM access_records
WHERE ${where}
  AND LeafIndex IN (
    SELECT LeafIndex FROM access_records
    WHERE ${where}
    ORDER BY Timestamp DESC LIMIT ${limit}
  )
ORDER BY Timestamp DESC
LIMIT ${limit}`;
}

export const RECORD_UNITS = { DurationNs: "ns" };
