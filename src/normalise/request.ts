import { ACCESS } from "../records/access-draft.ts";
import { VALUE_TYPES } from "../records/attributes.ts";
import { ascii, CHAR, equalsIgnoringCase, indexOf, indexOfText, startsWith } from "./ascii.ts";
import { FIELD } from "./fields.ts";
import type { Reading } from "./reading.ts";
import { WORD } from "./words.ts";

const HTTP = ascii("http");
const HTTP_SLASH = ascii("HTTP/");
const SCHEME_END = ascii("://");
const GRPC = ascii("grpc");
const GRPC_CONTENT = ascii("application/grpc");

/** Protocol, Method, Authority, Path, Query, RpcService and RpcMethod. */
export function mapRequest(reading: Reading): void {
  mapTarget(reading);
  mapProtocol(reading);
  if (
    reading.draft.isEmpty(ACCESS.RpcService) &&
    reading.draft.isEmpty(ACCESS.RpcMethod) &&
    isGrpc(reading)
  )
    mapRpc(reading);
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
function startOfPath(reading: Reading, field: number): number {
  const { buffer } = reading;
  const start = reading.start[field]!;
  const end = reading.end[field]!;
  if (buffer[start] === CHAR.slash) return start;
  const scheme = indexOfText(buffer, SCHEME_END, start, Math.min(end, start + 10));
  if (scheme < 0) return start;
  const slash = indexOf(buffer, CHAR.slash, scheme + SCHEME_END.length, end);
  const question = indexOf(buffer, CHAR.question, scheme + SCHEME_END.length, end);
  if (slash < 0) return question < 0 ? end : question;
  return question < 0 ? slash : Math.min(slash, question);
}

/** `HTTP/1.1` as it is; the semantic conventions' name `http` and version `1.1` put together likewise; TCP when there is nothing of HTTP in the record. */
function mapProtocol(reading: Reading): void {
  const { draft, buffer, start, end } = reading;
  const name = FIELD.protocol;
  const version = FIELD.protocol_version;
  if (
    reading.has(version) &&
    (!reading.has(name) || equalsIgnoringCase(buffer, start[name]!, end[name]!, HTTP))
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

/** Does anything but the path say that this is gRPC? */
function isGrpc(reading: Reading): boolean {
  const { buffer, start, end } = reading;
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
  return (
    reading.has(FIELD.protocol) &&
    equalsIgnoringCase(buffer, start[FIELD.protocol]!, end[FIELD.protocol]!, GRPC)
  );
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
