import { ACCESS } from "../records/access-draft.ts";
import { ascii, CHAR, equalsText, indexOf, indexOfText, startsWith } from "./ascii.ts";
import { FIELD } from "./fields.ts";
import type { Reading } from "./reading.ts";
import type { ShapePlan } from "./shape-plan.ts";
import { WORD } from "./words.ts";

const RBAC_DENIED = ascii("rbac_access_denied");
const EXT_AUTHZ_DENIED = ascii("ext_authz_denied");
const EXT_AUTHZ_ERROR = ascii("ext_authz_error");
const JWT_DENIED = ascii("jwt_authn_access_denied");
const RATE_LIMITED = [
  ascii("local_rate_limited"),
  ascii("rate_limited"),
  ascii("request_rate_limited"),
] as const;
/** Envoy's basic_auth filter: `no_credential_for_basic_auth` and others with this end. */
const BASIC_AUTH = ascii("_for_basic_auth");
/** Envoy's api_key_auth filter; the third one is spelt as Envoy spells it. */
const API_KEY = [
  ascii("missing_api_key"),
  ascii("unknown_api_key"),
  ascii("unkonwn_api_key"),
  ascii("client_not_allowed"),
] as const;
/** Envoy's oauth2 filter sends who is not logged in to the page for it; its other redirects end a login, or a session. */
const OAUTH_REDIRECT = ascii("oauth.missing_credentials");
const CSRF_DENIED = ascii("csrf_origin_mismatch");
const VIA_UPSTREAM = ascii("via_upstream");
const DIRECT_RESPONSE = ascii("direct_response");
const NO_POLICY = ascii("none");
const DENIED = ascii("denied");
const ALLOWED = ascii("allowed");
/** What BoringSSL says when a client shows no certificate, or one that does not verify. */
const CLIENT_CERTIFICATE = [
  ascii("PEER_DID_NOT_RETURN_A_CERTIFICATE"),
  ascii("CERTIFICATE_VERIFY_FAILED"),
] as const;
/** Response flags that say who decided; long forms as in %RESPONSE_FLAGS_LONG%. */
const EXT_AUTHZ_FLAGS = [ascii("UAEX"), ascii("UnauthorizedExternalService")] as const;
const RATE_LIMIT_FLAGS = [
  ascii("RL"),
  ascii("RLSE"),
  ascii("RateLimited"),
  ascii("RateLimitServiceError"),
] as const;
/** A delay that was injected does not end a request. */
const HARMLESS_FLAGS = [ascii("DI"), ascii("DelayInjected")] as const;

/** Fields one of which every format has that names refusals. */
const OUTCOME: ReadonlySet<number> = new Set([
  FIELD.response_flags,
  FIELD.response_flags_long,
  FIELD.response_code_details,
]);

/** Nobody is named as the one who decided. */
export const NO_ENGINE = -1;

const FLAG = { none: 0, extAuthz: 1, rateLimit: 2, transport: 3 } as const;

/**
 * Decision and who took it, from every signal that Envoy gives. A status alone decides nothing: a denial can be a 302, and a 403 from the application behind
 * the proxy was allowed by the mesh.
 * Source: Envoy, response code details and response flags (configuration/observability/access_log/usage); RBAC filter, dynamic metadata.
 */
export function mapDecision(reading: Reading): void {
  mapShadow(reading);
  const viaUpstream = reading.is(FIELD.response_code_details, VIA_UPSTREAM);
  if (
    (!viaUpstream && deniedBy(reading, FIELD.response_code_details)) ||
    deniedBy(reading, FIELD.connection_termination_details)
  ) {
    if (!reading.is(FIELD.enforced_engine_result, ALLOWED)) namePolicy(reading);
    return;
  }
  const flag = strongestFlag(reading);
  if (flag === FLAG.extAuthz)
    return decide(reading, WORD.denied, WORD.ext_authz, flagsField(reading));
  if (flag === FLAG.rateLimit)
    return decide(reading, WORD.denied, WORD.rate_limit, flagsField(reading));
  if (refusedCertificate(reading))
    return decide(reading, WORD.denied, WORD.mtls, FIELD.downstream_transport_failure_reason);
  if (reading.is(FIELD.enforced_engine_result, DENIED)) return decideByRbac(reading, WORD.denied);
  if (reading.is(FIELD.enforced_engine_result, ALLOWED)) return decideByRbac(reading, WORD.allowed);
  if (reading.has(FIELD.downstream_transport_failure_reason))
    return decide(reading, WORD.failed, NO_ENGINE, FIELD.downstream_transport_failure_reason);
  const status = reading.draft.low[ACCESS.StatusCode]!;
  if (viaUpstream) return allowApplication(reading, status, FIELD.response_code_details);
  if (flag === FLAG.transport) return decide(reading, WORD.failed, NO_ENGINE, flagsField(reading));
  if (reading.has(FIELD.response_code_details)) return decideByDetails(reading, status);
  if (reading.has(FIELD.upstream_host))
    return allowApplication(reading, status, FIELD.upstream_host);
  if (status > 0 && status < 400 && !mayBeCutOff(reading, status))
    return decide(reading, WORD.allowed, NO_ENGINE, FIELD.response_code);
  reading.say(ACCESS.Decision, WORD.unknown);
}

/** Was the body cut off, perhaps in front of the flags and details that name a refusal? Of a redirect flags alone do not say whether it is one. */
function mayBeCutOff({ partial, bodyIsRead, plan }: Reading, status: number): boolean {
  return partial && bodyIsRead && (status >= 300 || plan.once(namesOutcome) === 0);
}

function namesOutcome({ fields }: ShapePlan): number {
  return fields.some((field) => OUTCOME.has(field)) ? 1 : 0;
}

/** Sets Decision and DecisionEngine (numbers in WORD), DecisionSource, and for everything but a plain allowance the words of the field as DecisionReason. */
export function decide(reading: Reading, decision: number, engine: number, field: number): void {
  reading.say(ACCESS.Decision, decision);
  if (engine !== NO_ENGINE) reading.say(ACCESS.DecisionEngine, engine);
  reading.nameSource(field);
  if (decision !== WORD.allowed)
    reading.draft.setText(ACCESS.DecisionReason, reading.start[field]!, reading.end[field]!);
}

/** Details, of a response or of a connection's end, that name the filter which refused. */
function deniedBy(reading: Reading, field: number): boolean {
  if (!reading.has(field)) return false;
  const { buffer, draft } = reading;
  const start = reading.start[field]!;
  const end = reading.end[field]!;
  if (startsWith(buffer, start, end, RBAC_DENIED)) {
    decide(reading, WORD.denied, WORD.rbac, field);
    const open = indexOf(buffer, CHAR.bracketOpen, start, end);
    if (open >= 0)
      setPolicy(
        reading,
        ACCESS.Policy,
        open + 1,
        buffer[end - 1] === CHAR.bracketClose ? end - 1 : end,
      );
    return true;
  }
  if (startsWith(buffer, start, end, EXT_AUTHZ_DENIED))
    decide(reading, WORD.denied, WORD.ext_authz, field);
  else if (startsWith(buffer, start, end, EXT_AUTHZ_ERROR))
    decide(reading, WORD.failed, WORD.ext_authz, field);
  else if (startsWith(buffer, start, end, JWT_DENIED)) {
    decide(reading, WORD.denied, WORD.jwt, field);
    const open = indexOf(buffer, CHAR.braceOpen, start, end);
    if (open >= 0 && open + 1 < end)
      draft.setText(
        ACCESS.DecisionReason,
        open + 1,
        buffer[end - 1] === CHAR.braceClose ? end - 1 : end,
      );
  } else if (startsWithAny(buffer, start, end, RATE_LIMITED))
    decide(reading, WORD.denied, WORD.rate_limit, field);
  else if (
    end - start > BASIC_AUTH.length &&
    equalsText(buffer, end - BASIC_AUTH.length, end, BASIC_AUTH)
  )
    decide(reading, WORD.denied, WORD.basic_auth, field);
  else if (isAny(buffer, start, end, API_KEY)) decide(reading, WORD.denied, WORD.api_key, field);
  else if (equalsText(buffer, start, end, OAUTH_REDIRECT))
    decide(reading, WORD.denied, WORD.oauth2, field);
  else if (equalsText(buffer, start, end, CSRF_DENIED))
    decide(reading, WORD.denied, WORD.csrf, field);
  else return false;
  return true;
}

/** A policy that the details do not name, but the RBAC filter's metadata does. Who passed it may still be refused by another filter: that was not its policy. */
function namePolicy(reading: Reading): void {
  const field = FIELD.enforced_effective_policy_id;
  if (reading.has(field) && reading.draft.isEmpty(ACCESS.Policy)) {
    setPolicy(reading, ACCESS.Policy, reading.start[field]!, reading.end[field]!);
    reading.take(field);
  }
  reading.take(FIELD.enforced_engine_result);
}

/** The RBAC filter's own word: the only way in which an allowance names its policy. */
function decideByRbac(reading: Reading, decision: number): void {
  decide(reading, decision, WORD.rbac, FIELD.enforced_engine_result);
  namePolicy(reading);
}

/** The request reached the application. What it answered is its own business; a refusal of its own is marked as such. */
function allowApplication(reading: Reading, status: number, field: number): void {
  decide(reading, WORD.allowed, status === 401 || status === 403 ? WORD.app : NO_ENGINE, field);
}

/** Details that name no known filter: the proxy itself answered, or ended the stream. */
function decideByDetails(reading: Reading, status: number): void {
  const field = FIELD.response_code_details;
  if (status > 0 && status < 400) decide(reading, WORD.allowed, NO_ENGINE, field);
  // An unknown filter may have refused (401, 403, 429), or a route may be configured to answer so.
  else if (status === 401 || status === 403 || status === 429 || reading.is(field, DIRECT_RESPONSE))
    reading.say(ACCESS.Decision, WORD.unknown);
  else decide(reading, WORD.failed, NO_ENGINE, field);
}

/** The field that ResponseFlags was filled from. */
function flagsField(reading: Reading): number {
  return reading.has(FIELD.response_flags) ? FIELD.response_flags : FIELD.response_flags_long;
}

/** The response flag that says most. */
function strongestFlag(reading: Reading): number {
  const field = flagsField(reading);
  if (!reading.has(field)) return FLAG.none;
  const { buffer } = reading;
  const end = reading.end[field]!;
  let strongest: number = FLAG.none;
  for (let p = reading.start[field]!; p < end;) {
    const comma = indexOf(buffer, CHAR.comma, p, end);
    const stop = comma < 0 ? end : comma;
    if (isAny(buffer, p, stop, EXT_AUTHZ_FLAGS)) return FLAG.extAuthz;
    if (isAny(buffer, p, stop, RATE_LIMIT_FLAGS)) return FLAG.rateLimit;
    if (stop > p && !isAny(buffer, p, stop, HARMLESS_FLAGS)) strongest = FLAG.transport;
    p = stop + 1;
  }
  return strongest;
}

function refusedCertificate(reading: Reading): boolean {
  const field = FIELD.downstream_transport_failure_reason;
  if (!reading.has(field)) return false;
  for (const reason of CLIENT_CERTIFICATE)
    if (indexOfText(reading.buffer, reason, reading.start[field]!, reading.end[field]!) >= 0)
      return true;
  return false;
}

/** What policies in shadow mode would have decided. Of Istio's two dry runs a denial by the deny policies counts first. */
function mapShadow(reading: Reading): void {
  const byDeny =
    reading.is(FIELD.deny_shadow_engine_result, DENIED) || !reading.has(FIELD.shadow_engine_result);
  const result = byDeny ? FIELD.deny_shadow_engine_result : FIELD.shadow_engine_result;
  const policy = byDeny ? FIELD.deny_shadow_effective_policy_id : FIELD.shadow_effective_policy_id;
  if (reading.is(result, DENIED)) reading.say(ACCESS.ShadowDecision, WORD.denied);
  else if (reading.is(result, ALLOWED)) reading.say(ACCESS.ShadowDecision, WORD.allowed);
  else return;
  reading.take(result);
  if (!reading.has(policy)) return;
  setPolicy(reading, ACCESS.ShadowPolicy, reading.start[policy]!, reading.end[policy]!);
  reading.take(policy);
}

const ISTIO_POLICY = [ascii("ns["), ascii("]-policy["), ascii("]-rule[")] as const;

/** A policy's name: Istio's `ns[N]-policy[P]-rule[i]` as `N/P#i`, any other as it is, and none when none matched. */
export function setPolicy(reading: Reading, column: number, start: number, end: number): void {
  const { buffer, draft } = reading;
  if (start >= end || equalsText(buffer, start, end, NO_POLICY)) return;
  const [ns, policy, rule] = ISTIO_POLICY;
  const policyAt = startsWith(buffer, start, end, ns)
    ? indexOfText(buffer, policy, start, end)
    : -1;
  const ruleAt = policyAt < 0 ? -1 : indexOfText(buffer, rule, policyAt, end);
  if (ruleAt < 0 || buffer[end - 1] !== CHAR.bracketClose || ruleAt + rule.length > end - 1)
    return draft.setText(column, start, end);
  const from = draft.scratchEnd;
  draft.reserve(end - start);
  append(reading, start + ns.length, policyAt);
  draft.scratch[draft.scratchEnd++] = CHAR.slash;
  append(reading, policyAt + policy.length, ruleAt);
  draft.scratch[draft.scratchEnd++] = CHAR.hash;
  append(reading, ruleAt + rule.length, end - 1);
  draft.setScratch(column, from, draft.scratchEnd);
}

function append(reading: Reading, start: number, end: number): void {
  const { draft, buffer } = reading;
  for (let i = start; i < end; i++) draft.scratch[draft.scratchEnd++] = buffer[i]!;
}

function isAny(
  from: Uint8Array,
  start: number,
  end: number,
  texts: readonly Uint8Array[],
): boolean {
  for (let i = 0; i < texts.length; i++) if (equalsText(from, start, end, texts[i]!)) return true;
  return false;
}

function startsWithAny(
  from: Uint8Array,
  start: number,
  end: number,
  prefixes: readonly Uint8Array[],
): boolean {
  for (let i = 0; i < prefixes.length; i++)
    if (startsWith(from, start, end, prefixes[i]!)) return true;
  return false;
}
