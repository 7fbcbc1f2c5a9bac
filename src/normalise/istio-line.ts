import { ascii, CHAR, indexOf, indexOfText, isDigit, isDigits } from "./ascii.ts";
import { FIELD, FIELD_NAMES } from "./fields.ts";
import type { Reading } from "./reading.ts";

/** What a line turned out to be. */
export const LINE = { foreign: 0, partial: 1, full: 2 } as const;

/** The fields of Istio's default text format, in the order of the line. */
const ORDER = Int32Array.of(
  FIELD.start_time,
  FIELD.method,
  FIELD.path,
  FIELD.protocol,
  FIELD.response_code,
  FIELD.response_flags,
  FIELD.response_code_details,
  FIELD.connection_termination_details,
  FIELD.upstream_transport_failure_reason,
  FIELD.bytes_received,
  FIELD.bytes_sent,
  FIELD.duration,
  FIELD.upstream_service_time,
  FIELD.x_forwarded_for,
  FIELD.user_agent,
  FIELD.request_id,
  FIELD.authority,
  FIELD.upstream_host,
  FIELD.upstream_cluster,
  FIELD.upstream_local_address,
  FIELD.downstream_local_address,
  FIELD.downstream_remote_address,
  FIELD.requested_server_name,
  FIELD.route_name,
);

/** The same in the order of their names. */
export const LINE_FIELDS = ORDER.toSorted((a, b) => (FIELD_NAMES[a]! < FIELD_NAMES[b]! ? -1 : 1));

const TIME = 0;
const METHOD = 1;
const PATH = 2;
const PROTOCOL = 3;
const CODE = 4;
const FLAGS = 5;
const DETAILS = 6;
const TERMINATION = 7;
const FAILURE = 8;
const FIRST_NUMBER = 9;
const FORWARDED_FOR = 13;
const USER_AGENT = 14;
const REQUEST_ID = 15;
const UPSTREAM_HOST = 17;
const CLUSTER = 18;
const ROUTE = 23;
const TOKENS = 24;

/** Longest protocol that is looked for behind a path: `HTTP/1.1`. */
const MAX_PROTOCOL = 12;
const MAX_TIME = 40;
const HTTP = ascii(" HTTP/");

/**
 * Splits a line of Istio's default text format into its fields:
 *
 *   [TIME] "METHOD PATH PROTOCOL" CODE FLAGS DETAILS TERMINATION "FAILURE" RECEIVED SENT DURATION UPSTREAM_TIME
 *   "FORWARDED_FOR" "USER_AGENT" "REQUEST_ID" "AUTHORITY" "UPSTREAM_HOST" CLUSTER UPSTREAM_LOCAL LOCAL REMOTE SNI ROUTE
 *
 * Envoy escapes nothing. Details may hold brackets and braces, and a termination blanks; whatever a client sends (path, user agent, forwarded-for, request ID)
 * may hold quotation marks. So the line is read from both ends, towards the user agent. A client that puts `" "` into a header can shift the border between
 * its own headers, and only these: then the line counts as read in part. One that writes the end of a request and a status into its path or a header makes
 * two lines of one: then nobody can say which status is the proxy's, and none of what stands between the method and the request ID is believed.
 * Source: istio, pilot/pkg/model/telemetry_logging.go, EnvoyTextLogFormat.
 */
export class IstioLine {
  readonly #start = new Int32Array(ORDER.length);
  readonly #end = new Int32Array(ORDER.length);
  #from: Uint8Array = new Uint8Array(0);
  #lineEnd = 0;

  /** Reads [start, end) and fills the reading's fields, unless the line is foreign. */
  read(reading: Reading, start: number, end: number): number {
    if (!looksLikeLine(reading.buffer, start, end)) return LINE.foreign;
    this.#from = reading.buffer;
    this.#lineEnd = trimmedEnd(reading.buffer, start, end);
    this.#start.fill(0);
    this.#end.fill(0);
    const behindFlags = this.#readRequest(start);
    if (behindFlags < 0) return LINE.foreign;
    const headers = this.#readResult(behindFlags);
    const from = headers < 0 ? behindFlags : headers;
    const unquoted = this.#readRoute(from);
    const clean = unquoted && headers >= 0 && this.#readHeaders(headers);
    // The first half alone, "[time] "GET / HTTP/1.1" 200 -", could be anybody's: something else must say that this is a proxy.
    if (headers < 0 && !unquoted && !reading.traits.envoyLabels) return LINE.foreign;
    const isForged = this.#hasSecondStatus(behindFlags - 1); // the blank counts too
    if (isForged) this.#forget(PATH, REQUEST_ID);
    for (let i = 0; i < ORDER.length; i++)
      reading.setFromBody(ORDER[i]!, this.#start[i]!, this.#end[i]!);
    return clean && !isForged ? LINE.full : LINE.partial;
  }

  #set(token: number, start: number, end: number): void {
    this.#start[token] = start;
    this.#end[token] = end;
  }

  /** `[TIME] "METHOD PATH PROTOCOL" CODE FLAGS `: position behind it, or -1. */
  #readRequest(start: number): number {
    const from = this.#from;
    const end = this.#lineEnd;
    const timeEnd = indexOf(from, CHAR.bracketClose, start, Math.min(end, start + MAX_TIME));
    if (
      timeEnd < 0 ||
      timeEnd + 3 >= end ||
      from[timeEnd + 1] !== CHAR.space ||
      from[timeEnd + 2] !== CHAR.quote
    )
      return -1;
    this.#set(TIME, start + 1, timeEnd);
    const method = timeEnd + 3;
    const methodEnd = indexOf(from, CHAR.space, method, end);
    if (methodEnd < 0) return -1;
    this.#set(METHOD, method, methodEnd);
    // The path ends where a protocol, a quotation mark and the status follow.
    let protocol = methodEnd + 1;
    let protocolEnd = -1;
    for (;;) {
      const pathEnd = indexOf(from, CHAR.space, protocol, end);
      if (pathEnd < 0) return -1;
      protocol = pathEnd + 1;
      protocolEnd = indexOf(from, CHAR.quote, protocol, Math.min(end, protocol + MAX_PROTOCOL));
      if (
        protocolEnd > protocol &&
        protocolEnd + 2 < end &&
        from[protocolEnd + 1] === CHAR.space &&
        isDigit(from[protocolEnd + 2]!) &&
        indexOf(from, CHAR.space, protocol, protocolEnd) < 0
      ) {
        this.#set(PATH, methodEnd + 1, pathEnd);
        break;
      }
    }
    this.#set(PROTOCOL, protocol, protocolEnd);
    const code = protocolEnd + 2;
    const codeEnd = indexOf(from, CHAR.space, code, end);
    if (codeEnd < 0 || codeEnd - code > 3 || !isDigits(from, code, codeEnd)) return -1;
    this.#set(CODE, code, codeEnd);
    const flagsEnd = indexOf(from, CHAR.space, codeEnd + 1, end);
    if (flagsEnd < 0 || !areFlags(from, codeEnd + 1, flagsEnd)) return -1;
    this.#set(FLAGS, codeEnd + 1, flagsEnd);
    // Envoy's own default format has the number of bytes here; Istio's has details (older versions a quoted reason).
    const next = flagsEnd + 1;
    const nextEnd = indexOf(from, CHAR.space, next, end);
    return isDigits(from, next, nextEnd < 0 ? end : nextEnd) ? -1 : next;
  }

  /** Does ` HTTP/…" CODE FLAGS DETAILS` stand once more behind the first? */
  #hasSecondStatus(start: number): boolean {
    const from = this.#from;
    const end = this.#lineEnd;
    for (let p = indexOfText(from, HTTP, start, end); p >= 0; p = indexOfText(from, HTTP, p, end)) {
      p += HTTP.length;
      const quote = indexOf(from, CHAR.quote, p, Math.min(end, p + MAX_PROTOCOL));
      if (quote < 0 || quote + 2 >= end || from[quote + 1] !== CHAR.space) continue;
      const code = quote + 2;
      const codeEnd = indexOf(from, CHAR.space, code, end);
      if (codeEnd < 0 || codeEnd - code > 3 || !isDigits(from, code, codeEnd)) continue;
      const flagsEnd = indexOf(from, CHAR.space, codeEnd + 1, end);
      if (flagsEnd >= 0 && areFlags(from, codeEnd + 1, flagsEnd)) return true;
    }
    return false;
  }

  /** `DETAILS TERMINATION "FAILURE" RECEIVED SENT DURATION UPSTREAM_TIME "`: position behind it, or -1. */
  #readResult(start: number): number {
    const from = this.#from;
    const end = this.#lineEnd;
    // The first blank and the first quotation mark behind a blank that do not stand in brackets or braces.
    let border = -1;
    let quote = start;
    for (let depth = 0; quote < end; quote++) {
      const c = from[quote]!;
      if (c === CHAR.bracketOpen || c === CHAR.braceOpen) depth++;
      else if (c === CHAR.bracketClose || c === CHAR.braceClose) depth--;
      else if (c === CHAR.space && depth <= 0 && border < 0) border = quote;
      else if (c === CHAR.quote && depth <= 0 && from[quote - 1] === CHAR.space) break;
    }
    if (quote === end || border <= start || border + 1 >= quote - 1) return -1;
    const close = indexOf(from, CHAR.quote, quote + 1, end);
    const headers =
      close < 0 || close + 1 >= end || from[close + 1] !== CHAR.space
        ? -1
        : this.#readNumbers(close + 2);
    if (headers < 0) {
      this.#forget(FIRST_NUMBER, FORWARDED_FOR);
      return -1;
    }
    this.#set(DETAILS, start, border);
    this.#set(TERMINATION, border + 1, quote - 1);
    this.#set(FAILURE, quote + 1, close);
    return headers;
  }

  /** Four numbers or dashes and the opening quotation mark of the headers: position behind it, or -1. */
  #readNumbers(start: number): number {
    const from = this.#from;
    let p = start;
    for (let token = FIRST_NUMBER; token < FORWARDED_FOR; token++) {
      const end = indexOf(from, CHAR.space, p, this.#lineEnd);
      if (end <= p || !(isDigits(from, p, end) || (end === p + 1 && from[p] === CHAR.minus)))
        return -1;
      this.#set(token, p, end);
      p = end + 1;
    }
    return p < this.#lineEnd && from[p] === CHAR.quote ? p + 1 : -1;
  }

  /** Reads the end of the line, or forgets it. */
  #readRoute(start: number): boolean {
    if (this.#readTail(start)) return true;
    this.#forget(REQUEST_ID, TOKENS);
    return false;
  }

  /** From the end: `"REQUEST_ID" "AUTHORITY" "UPSTREAM_HOST" CLUSTER UPSTREAM_LOCAL LOCAL REMOTE SNI ROUTE`. */
  #readTail(start: number): boolean {
    const from = this.#from;
    const end = this.#lineEnd;
    let close = end - 2;
    while (close > start && from[close] !== CHAR.quote) close--;
    if (close <= start || from[close + 1] !== CHAR.space) return false;
    let p = close + 2;
    for (let token = CLUSTER; token < ROUTE; token++) {
      const tokenEnd = indexOf(from, CHAR.space, p, end);
      if (tokenEnd <= p) return false;
      this.#set(token, p, tokenEnd);
      p = tokenEnd + 1;
    }
    if (p >= end) return false;
    this.#set(ROUTE, p, end);
    for (let token = UPSTREAM_HOST; token >= REQUEST_ID; token--) {
      const open = separatorBefore(from, start, close);
      if (open < 0) return false;
      this.#set(token, open + 3, close);
      close = open;
    }
    return true;
  }

  /** Forgets the tokens from `first` to the one before `end`. */
  #forget(first: number, end: number): void {
    this.#start.fill(0, first, end);
    this.#end.fill(0, first, end);
  }

  /** `FORWARDED_FOR" "USER_AGENT`, between what was read from the left and what was read from the right. True when there is one way only to split it. */
  #readHeaders(start: number): boolean {
    const from = this.#from;
    const end = this.#start[REQUEST_ID]! - 3;
    let border = -1;
    let borders = 0;
    for (let p = start; p + 2 < end; p++) {
      if (from[p] !== CHAR.quote || from[p + 1] !== CHAR.space || from[p + 2] !== CHAR.quote)
        continue;
      if (borders++ === 0) border = p;
    }
    if (border < 0) return false;
    this.#set(FORWARDED_FOR, start, border);
    this.#set(USER_AGENT, border + 3, end);
    return borders === 1;
  }
}

/** Begins the range like an access log line with a date: `[2026-`? */
export function looksLikeLine(from: Uint8Array, start: number, end: number): boolean {
  return (
    end - start > MAX_TIME &&
    from[start] === CHAR.bracketOpen &&
    isDigits(from, start + 1, start + 5) &&
    from[start + 5] === CHAR.minus
  );
}

function trimmedEnd(from: Uint8Array, start: number, end: number): number {
  let p = end;
  while (p > start && (from[p - 1] === CHAR.newline || from[p - 1] === CHAR.carriageReturn)) p--;
  return p;
}

/** A dash, or codes such as `UF,URX`. */
function areFlags(from: Uint8Array, start: number, end: number): boolean {
  if (start >= end || isDigit(from[start]!)) return false;
  if (end - start === 1 && from[start] === CHAR.minus) return true;
  for (let i = start; i < end; i++) {
    const letter = from[i]! | 0x20;
    if (
      !(
        (letter >= 0x61 && letter <= 0x7a) ||
        isDigit(from[i]!) ||
        from[i] === CHAR.comma ||
        from[i] === CHAR.underscore
      )
    )
      return false;
  }
  return true;
}

/** Position of the last `" "` that ends before `before`, not before `start`; -1 when there is none. */
function separatorBefore(from: Uint8Array, start: number, before: number): number {
  for (let p = before - 3; p >= start; p--) {
    if (from[p] === CHAR.quote && from[p + 1] === CHAR.space && from[p + 2] === CHAR.quote)
      return p;
  }
  return -1;
}
