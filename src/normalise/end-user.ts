import { ACCESS } from "../records/access-draft.ts";
import { ascii, CHAR, equalRanges, indexOfText } from "./ascii.ts";
import { CLAIMS } from "./claims.ts";
import { FIELD } from "./fields.ts";
import { CONFLICTS } from "./identity-marks.ts";
import type { Reading } from "./reading.ts";
import { WORD } from "./words.ts";

const SCHEME_END = ascii("://");
const UNAUTHORIZED = 401;

/**
 * EndUser, EndUserIssuer and UserAssurance; AuthMethod too where it is the user's. The first that the record has counts:
 *
 *   token          claims of a token that the proxy verified: its subject, else its client, else its e-mail address
 *   policy_engine  a user whose password the proxy checked, or whom a policy engine names
 *   header         a user that a header names: anybody's claim
 *
 * What is not used stays in LogAttributes. True when somebody authenticated the user.
 */
export function mapEndUser(reading: Reading): boolean {
  if (mapToken(reading)) {
    reading.say(ACCESS.AuthMethod, WORD.jwt);
    reading.say(ACCESS.UserAssurance, WORD.token);
    return true;
  }
  if (reading.has(FIELD.basic_auth_user)) {
    reading.setText(ACCESS.EndUser, FIELD.basic_auth_user);
    reading.say(ACCESS.AuthMethod, WORD.basic);
    // The name stands in the log also when the password was wrong.
    const isRefused = reading.draft.low[ACCESS.StatusCode] === UNAUTHORIZED;
    reading.say(ACCESS.UserAssurance, isRefused ? WORD.header : WORD.policy_engine);
    return !isRefused;
  }
  if (reading.has(FIELD.end_user)) {
    reading.setText(ACCESS.EndUser, FIELD.end_user);
    reading.setText(ACCESS.EndUserIssuer, FIELD.end_user_issuer);
    reading.say(ACCESS.UserAssurance, WORD.policy_engine);
    return true;
  }
  mapClaimedUser(reading);
  return false;
}

/** A name that nobody checked. That of an Authorization header still tells how the user meant to authenticate. */
function mapClaimedUser(reading: Reading): void {
  const isBasic = reading.has(FIELD.remote_user);
  const field = isBasic ? FIELD.remote_user : FIELD.claimed_user;
  if (!reading.has(field)) return;
  reading.setText(ACCESS.EndUser, field);
  reading.say(ACCESS.UserAssurance, WORD.header);
  if (isBasic && reading.draft.isEmpty(ACCESS.PeerPrincipal))
    reading.say(ACCESS.AuthMethod, WORD.basic);
}

/** The claims, one by one (jwt_subject and jwt_issuer are in their columns already), in a payload, or as Istio's principal. */
function mapToken(reading: Reading): boolean {
  const { draft } = reading;
  if (reading.has(FIELD.jwt_payload)) mapPayload(reading);
  if (reading.has(FIELD.request_principal)) mapRequestPrincipal(reading);
  if (draft.isEmpty(ACCESS.EndUser)) reading.setText(ACCESS.EndUser, FIELD.jwt_client);
  if (draft.isEmpty(ACCESS.EndUser)) reading.setText(ACCESS.EndUser, FIELD.jwt_email);
  return !draft.isEmpty(ACCESS.EndUser);
}

/** The payload says more than the columns take, so it stays in LogAttributes too. */
function mapPayload(reading: Reading): void {
  const { buffer, claims, draft } = reading;
  const field = FIELD.jwt_payload;
  if (!claims.parse(buffer, reading.start[field]!, reading.end[field]!)) return;
  if (draft.isEmpty(ACCESS.EndUserIssuer) && claims.has(CLAIMS.iss))
    claims.copyTo(draft, ACCESS.EndUserIssuer, buffer, CLAIMS.iss);
  if (!draft.isEmpty(ACCESS.EndUser)) return;
  for (const claim of [CLAIMS.sub, CLAIMS.azp, CLAIMS.client_id, CLAIMS.email]) {
    if (!claims.has(claim)) continue;
    claims.copyTo(draft, ACCESS.EndUser, buffer, claim);
    return;
  }
}

/**
 * Istio's `issuer/subject`. Both may hold slashes: what is known of the two from claims tells them apart, else a subject that is a URL itself,
 * else the last slash.
 */
function mapRequestPrincipal(reading: Reading): void {
  const { draft, buffer } = reading;
  const field = FIELD.request_principal;
  const start = reading.start[field]!;
  const end = reading.end[field]!;
  const knowsIssuer = !draft.isEmpty(ACCESS.EndUserIssuer);
  const knowsUser = !draft.isEmpty(ACCESS.EndUser);
  let slash = lastSlash(reading, start, end);
  if (knowsIssuer) slash = start + lengthOf(reading, ACCESS.EndUserIssuer);
  else if (knowsUser) slash = end - lengthOf(reading, ACCESS.EndUser) - 1;
  const isSplit = slash > start && slash < end && buffer[slash] === CHAR.slash;
  if (
    (knowsIssuer && !(isSplit && holds(reading, ACCESS.EndUserIssuer, start, slash))) ||
    (knowsUser && !(isSplit && holds(reading, ACCESS.EndUser, slash + 1, end)))
  ) {
    reading.marks.conflicts |= CONFLICTS.request_principal;
    return;
  }
  if (isSplit) {
    draft.setText(ACCESS.EndUserIssuer, start, slash);
    draft.setText(ACCESS.EndUser, slash + 1, end);
  } else draft.setText(ACCESS.EndUser, start, end);
  if (!draft.isEmpty(ACCESS.EndUser)) reading.take(field);
}

function lastSlash(reading: Reading, start: number, end: number): number {
  const { buffer } = reading;
  let behind = end;
  // A second scheme begins the subject.
  const issuer = indexOfText(buffer, SCHEME_END, start, end);
  const subject =
    issuer < 0 ? -1 : indexOfText(buffer, SCHEME_END, issuer + SCHEME_END.length, end);
  if (subject >= 0) behind = subject;
  let slash = behind - 1;
  while (slash > start && buffer[slash] !== CHAR.slash) slash--;
  return slash;
}

function lengthOf(reading: Reading, column: number): number {
  return reading.draft.end[column]! - reading.draft.start[column]!;
}

function holds(reading: Reading, column: number, start: number, end: number): boolean {
  const { draft, buffer } = reading;
  return equalRanges(
    draft.bytesOf(column),
    draft.start[column]!,
    draft.end[column]!,
    buffer,
    start,
    end,
  );
}
