import { ACCESS } from "../records/access-draft.ts";
import { VALUE_TYPES } from "../records/attributes.ts";
import { ascii, CHAR, equalsIgnoringCase, indexOf, indexOfText, startsWith } from "./ascii.ts";
import { FIELD } from "./fields.ts";
import type { Reading } from "./reading.ts";
import { WORD } from "./words.ts";

const HTTP = ascii("http");
const HTTP_SLASH = ascii("HTTP/");
const SCHEME_END = ascii("://");
const HTTPS = ascii("https");
const AT = 0x40;
const GRPC = ascii("grpc");
const GRPC_CONTENT = ascii("application/grpc");
/** How gRPC's own clients introduce themselves: `grpc-<language>[-<transport>]/<version>` (grpc, doc/PROTOCOL-HTTP2.md, User Agents). */
const GRPC_CLIENT = ascii("grpc-");
const POST = ascii("POST");

/** Protocol, Method, Authority, Path, Query, RpcService and RpcMethod. */
export function mapRequest(reading: Reading): void {
  if (reading.has(FIELD.request_line) && !reading.has(FIELD.method)) mapRequestLine(reading);
  mapTarget(reading);
  mapProtocol(reading);
  if (
    reading.draft.isEmpty(ACCESS.RpcService) &&
    reading.draft.isEmpty(ACCESS.RpcMethod) &&
    isGrpc(reading)
  )
    mapRpc(reading);
}

/**
 * `GET /path HTTP/1.1` as it stands in the log: Method, Path, Query and Protocol. Whatever else a client sent in its place (the hello of TLS, garbage) stays in LogAttributes.
 * Clients send blanks in paths too, so the first and the last one count; HTTP/0.9 has no version.
 */
function mapRequestLine(reading: Reading): void {
  const { buffer, draft } = reading;
  const field = FIELD.request_line;
  const start = reading.start[field]!;
  const end = reading.end[field]!;
  const blank = endOfMethod(buffer, start, end);
  if (blank < 0) return;
  let last = end - 1;
  while (last > blank && buffer[last] !== CHAR.space) last--;
  const hasVersion = last > blank && startsWith(buffer, last + 1, end, HTTP_SLASH);
  const stop = hasVersion ? last : end;
  const isTarget = buffer[blank + 1] === CHAR.slash || (hasVersion && stop > blank + 1);
  if (!isTarget) return;
  draft.setText(ACCESS.Method, start, blank);
  if (hasVersion) draft.setText(ACCESS.Protocol, last + 1, end);
  const from = startOfTarget(buffer, blank + 1, stop, false);
  setAuthority(reading, blank + 1, from);
  const question = indexOf(buffer, CHAR.question, from, stop);
  draft.setText(ACCESS.Path, from, question < 0 ? stop : question);
  if (question >= 0) draft.setText(ACCESS.Query, question + 1, stop);
  if (from === blank + 1) reading.take(field);
}

/** Position of the blank behind a method, which is a word of letters and what else a token may hold (RFC 9110, section 9.1), or -1. */
function endOfMethod(from: Uint8Array, start: number, end: number): number {
  for (let p = start; p < end; p++) {
    const c = from[p]!;
    const letter = c | 0x20;
    if ((letter >= 0x61 && letter <= 0x7a) || c === CHAR.minus || c === CHAR.underscore) continue;
    return c === CHAR.space && p > start && p + 1 < end ? p : -1;
  }
  return -1;
}

/** The path as Envoy's `path` operator gives it, else the one before a rewrite, else that of a URL. What is not used stays in LogAttributes. */
function mapTarget(reading: Reading): void {
  const { buffer } = reading;
  const field = reading.has(FIELD.path)
    ? FIELD.path
    : reading.has(FIELD.original_path)
      ? FIELD.original_path
      : FIELD.url;
  if (reading.has(field)) {
    const start = startOfPath(reading, field);
    const end = reading.end[field]!;
    if (start === reading.start[field]) reading.take(field);
    else setAuthority(reading, reading.start[field]!, start);
    const question = indexOf(buffer, CHAR.question, start, end);
    reading.draft.setText(ACCESS.Path, start, question < 0 ? end : question);
    if (question >= 0) reading.draft.setText(ACCESS.Query, question + 1, end);
  }
  if (!reading.has(FIELD.query) || !reading.draft.isEmpty(ACCESS.Query)) return;
  // Some write the question mark in front of a query, others do not.
  const start = reading.start[FIELD.query]!;
  const behindMark = buffer[start] === CHAR.question ? start + 1 : start;
  reading.draft.setText(ACCESS.Query, behindMark, reading.end[FIELD.query]!);
  reading.take(FIELD.query);
}

/** Behind scheme and authority, when the target is a whole URL (`url.full`, a request to a forward proxy). */
function startOfPath({ buffer, start, end }: Reading, field: number): number {
  return startOfTarget(buffer, start[field]!, end[field]!, field === FIELD.url);
}

/** Authority as the URL in `field` names it, where nothing else did. */
export function mapAuthorityOfUrl(reading: Reading, field: number): void {
  if (reading.has(field)) setAuthority(reading, reading.start[field]!, startOfPath(reading, field));
}

/** Authority from what stands in front of the path, if nothing else says it: without scheme, and without a name and a password. */
function setAuthority({ buffer, draft }: Reading, start: number, stop: number): void {
  if (!draft.isEmpty(ACCESS.Authority)) return;
  const scheme = indexOfText(buffer, SCHEME_END, start, stop);
  let host = scheme < 0 ? start : scheme + SCHEME_END.length;
  for (let p = host; p < stop; p++) if (buffer[p] === AT) host = p + 1;
  draft.setText(ACCESS.Authority, host, stop);
}

/** Where the path of a target begins. That of a URL may lack the scheme. */
function startOfTarget(buffer: Uint8Array, start: number, end: number, isUrl: boolean): number {
  if (buffer[start] === CHAR.slash) return start;
  const scheme = indexOfText(buffer, SCHEME_END, start, Math.min(end, start + 10));
  if (scheme < 0 && !isUrl) return start;
  const host = scheme < 0 ? start : scheme + SCHEME_END.length;
  const slash = indexOf(buffer, CHAR.slash, host, end);
  const question = indexOf(buffer, CHAR.question, host, end);
  if (slash < 0) return question < 0 ? end : question;
  return question < 0 ? slash : Math.min(slash, question);
}

/** `HTTP/1.1` as it is; the semantic conventions' name `http` and version `1.1` put together likewise; TCP when there is nothing of HTTP in the record. */
function mapProtocol(reading: Reading): void {
  const { draft, buffer, start, end } = reading;
  if (!draft.isEmpty(ACCESS.Protocol)) return;
  const name = FIELD.protocol;
  const version = FIELD.protocol_version;
  if (
    reading.has(version) &&
    (!reading.has(name) ||
      equalsIgnoringCase(buffer, start[name]!, end[name]!, HTTP) ||
      equalsIgnoringCase(buffer, start[name]!, end[name]!, HTTPS))
  ) {
    const at = draft.scratchEnd;
    const length = end[version]! - start[version]!;
    draft.reserve(HTTP_SLASH.length + length);
    draft.scratch.set(HTTP_SLASH, at);
    for (let i = 0; i < length; i++)
      draft.scratch[at + HTTP_SLASH.length + i] = buffer[start[version]! + i]!;
    draft.scratchEnd = at + HTTP_SLASH.length + length;
    draft.setScratch(ACCESS.Protocol, at, draft.scratchEnd);
    reading.take(name);
    reading.take(version);
  } else if (reading.has(name)) reading.setText(ACCESS.Protocol, name);
  else if (isTcp(reading)) reading.say(ACCESS.Protocol, WORD.TCP);
}

/** Envoy's TCP proxy and listeners write the operators of HTTP as dashes, and 0 for the status; a collector may have left out what was null. */
function isTcp(reading: Reading): boolean {
  if (reading.has(FIELD.method) || !reading.draft.isEmpty(ACCESS.Path)) return false;
  if (!reading.has(FIELD.response_code)) return reading.plan.namesProtocol;
  return reading.type[FIELD.response_code] === VALUE_TYPES.string
    ? reading.is(FIELD.response_code, ZERO)
    : reading.draft.low[ACCESS.StatusCode] === 0;
}

const ZERO = ascii("0");

/** Does anything but the path say that this is gRPC? All its requests are POST; early Envoys gave every status of HTTP a number of gRPC's. */
function isGrpc(reading: Reading): boolean {
  const { buffer, start, end } = reading;
  if (reading.has(FIELD.method) && !reading.is(FIELD.method, POST)) return false;
  if (reading.has(FIELD.grpc_status)) return true;
  if (
    reading.has(FIELD.content_type) &&
    startsWith(buffer, start[FIELD.content_type]!, end[FIELD.content_type]!, GRPC_CONTENT)
  )
    return true;
  if (
    reading.has(FIELD.rpc_system) &&
    equalsIgnoringCase(buffer, start[FIELD.rpc_system]!, end[FIELD.rpc_system]!, GRPC)
  )
    return true;
  if (
    reading.has(FIELD.protocol) &&
    equalsIgnoringCase(buffer, start[FIELD.protocol]!, end[FIELD.protocol]!, GRPC)
  )
    return true;
  return reading.beginsWith(FIELD.user_agent, GRPC_CLIENT);
}

/** `/package.Service/Method`. Source: grpc, doc/PROTOCOL-HTTP2.md, Path. */
function mapRpc(reading: Reading): void {
  const { draft } = reading;
  const from = draft.bytesOf(ACCESS.Path);
  const start = draft.start[ACCESS.Path]!;
  const end = draft.end[ACCESS.Path]!;
  if (draft.isEmpty(ACCESS.Path) || from[start] !== CHAR.slash) return;
  let slash = end - 1;
  while (slash > start && from[slash] !== CHAR.slash) slash--;
  if (slash <= start + 1 || slash + 1 === end) return;
  draft.copyText(ACCESS.RpcService, ACCESS.Path);
  draft.start[ACCESS.RpcService] = start + 1;
  draft.end[ACCESS.RpcService] = slash;
  draft.copyText(ACCESS.RpcMethod, ACCESS.Path);
  draft.start[ACCESS.RpcMethod] = slash + 1;
}
