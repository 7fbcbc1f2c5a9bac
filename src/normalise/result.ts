import { ACCESS } from "../records/access-draft.ts";
import { VALUE_TYPES } from "../records/attributes.ts";
import { CHAR } from "./ascii.ts";
import { FIELD } from "./fields.ts";
import { NO_NUMBER, readGrpcStatus, readInteger } from "./numbers.ts";
import type { Reading } from "./reading.ts";

const MAX_UINT16 = 0xffff;

/** What came of the request: status, flags, bytes, why the transport failed. */
export function mapResult(reading: Reading): void {
  const { draft } = reading;
  // The short form is in the column already; the long one, of two, stays in LogAttributes.
  if (draft.isEmpty(ACCESS.ResponseFlags))
    reading.setText(ACCESS.ResponseFlags, FIELD.response_flags_long);
  setNumber(reading, ACCESS.StatusCode, FIELD.response_code, MAX_UINT16);
  setNumber(reading, ACCESS.RequestBytes, FIELD.bytes_received, Number.MAX_SAFE_INTEGER);
  setNumber(reading, ACCESS.ResponseBytes, FIELD.bytes_sent, Number.MAX_SAFE_INTEGER);
  setNumber(reading, ACCESS.Attempts, FIELD.attempts, MAX_UINT16);
  setConnectionId(reading);
  if (reading.has(FIELD.grpc_status)) {
    const status = readGrpcStatus(reading);
    draft.setNumber(ACCESS.GrpcStatus, status);
    if (status !== NO_NUMBER) reading.take(FIELD.grpc_status);
  }
  // One column for three reasons: the first that is there; the others stay in LogAttributes.
  reading.setText(ACCESS.TransportFailure, FIELD.upstream_transport_failure_reason);
  if (draft.isEmpty(ACCESS.TransportFailure))
    reading.setText(ACCESS.TransportFailure, FIELD.connection_termination_details);
  if (draft.isEmpty(ACCESS.TransportFailure))
    reading.setText(ACCESS.TransportFailure, FIELD.downstream_transport_failure_reason);
}

/** Text as it is, and a number, as Envoy's JSON lines have it, as its digits. */
function setConnectionId(reading: Reading): void {
  const field = FIELD.connection_id;
  if (!reading.has(field)) return;
  if (reading.type[field] === VALUE_TYPES.string)
    return reading.setText(ACCESS.ConnectionId, field);
  const value = readInteger(reading, field, Number.MAX_SAFE_INTEGER);
  if (value === NO_NUMBER) return;
  const { draft } = reading;
  let digits = 1;
  for (let power = 10; value >= power; power *= 10) digits++;
  const start = draft.scratchEnd;
  draft.reserve(digits);
  draft.scratchEnd += digits;
  let rest = value;
  for (let at = draft.scratchEnd - 1; at >= start; at--) {
    draft.scratch[at] = CHAR.zero + (rest % 10);
    rest = Math.floor(rest / 10);
  }
  draft.setScratch(ACCESS.ConnectionId, start, draft.scratchEnd);
  reading.take(field);
}

/** A number column gets the field; one that is no number, or too large, leaves the column as it is and stays in LogAttributes. */
function setNumber(reading: Reading, column: number, field: number, max: number): void {
  if (!reading.has(field)) return;
  const value = readInteger(reading, field, max);
  if (value === NO_NUMBER) return;
  reading.draft.setNumber(column, value);
  reading.take(field);
}
