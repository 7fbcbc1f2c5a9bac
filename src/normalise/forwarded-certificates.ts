import type { AccessDraft } from "../records/access-draft.ts";
import { ascii, CHAR, equalsIgnoringCase } from "./ascii.ts";

/** As many elements as ActorChain holds; of more, the nearest hops are kept. */
const MAX_ELEMENTS = 16;
const URI = ascii("uri");
const HASH = ascii("hash");
const DNS = ascii("dns");
const SUBJECT = ascii("subject");
/** Which of the values names the hop, the best first. */
const RANK = { uri: 4, subject: 3, dns: 2, hash: 1, none: 0 } as const;

/**
 * The elements of an X-Forwarded-Client-Cert header, oldest hop first: a name for each and its certificate's hash.
 *
 *   header = element *("," element); element = pair *(";" pair); pair = key "=" value
 *
 * Keys are case-insensitive and may repeat; a value with `,`, `;` or `=` stands in quotation marks, in which `\"` is a quotation mark. Broken headers are read as far as they go.
 * Source: Envoy, configuration/http/http_conn_man/headers, x-forwarded-client-cert.
 */
export class ForwardedCertificates {
  count = 0;
  /** What names each hop (URI, else Subject, DNS or Hash), in the draft's scratch; empty when nothing does. */
  readonly nameStart = new Int32Array(MAX_ELEMENTS);
  readonly nameEnd = new Int32Array(MAX_ELEMENTS);
  /** Is the name a URI? */
  readonly isUri = new Uint8Array(MAX_ELEMENTS);
  /** Hash of each, in the record. */
  readonly hashStart = new Int32Array(MAX_ELEMENTS);
  readonly hashEnd = new Int32Array(MAX_ELEMENTS);

  #valueStart = 0;
  #valueEnd = 0;

  /** Reads the header in [start, end) of `from`; the names go to the draft's scratch. */
  parse(from: Uint8Array, start: number, end: number, draft: AccessDraft): void {
    this.count = 0;
    let skip = countElements(from, start, end) - MAX_ELEMENTS;
    let p = start;
    while (p < end) {
      if (skip-- > 0) p = endOfElement(from, p, end);
      else p = this.#readElement(from, p, end, draft);
      p++; // the comma
    }
  }

  /** Reads one element and returns where it ends. */
  #readElement(from: Uint8Array, start: number, end: number, draft: AccessDraft): number {
    let rank: number = RANK.none;
    let nameStart = 0;
    let nameEnd = 0;
    let hashStart = 0;
    let hashEnd = 0;
    let p = start;
    while (p < end && from[p] !== CHAR.comma) {
      while (p < end && (from[p] === CHAR.space || from[p] === CHAR.semicolon)) p++;
      const key = p;
      while (
        p < end &&
        from[p] !== CHAR.equals &&
        from[p] !== CHAR.comma &&
        from[p] !== CHAR.semicolon
      )
        p++;
      if (p >= end || from[p] !== CHAR.equals) continue;
      const keyEnd = p;
      p = this.#readValue(from, p + 1, end);
      if (this.#valueStart === this.#valueEnd) continue;
      const found = rankOf(from, key, keyEnd);
      if (found === RANK.hash) {
        hashStart = this.#valueStart;
        hashEnd = this.#valueEnd;
      }
      if (found <= rank) continue;
      rank = found;
      nameStart = this.#valueStart;
      nameEnd = this.#valueEnd;
    }
    if (p === start || this.count === MAX_ELEMENTS) return p;
    const i = this.count++;
    this.nameStart[i] = draft.scratchEnd;
    copyUnescaped(from, nameStart, nameEnd, draft);
    this.nameEnd[i] = draft.scratchEnd;
    this.isUri[i] = rank === RANK.uri ? 1 : 0;
    this.hashStart[i] = hashStart;
    this.hashEnd[i] = hashEnd;
    return p;
  }

  /** Finds the value at `start`, quotation marks off, and returns the position behind it. */
  #readValue(from: Uint8Array, start: number, end: number): number {
    let p = start;
    if (p < end && from[p] === CHAR.quote) {
      this.#valueStart = ++p;
      while (p < end && from[p] !== CHAR.quote)
        p += from[p] === CHAR.backslash && p + 1 < end ? 2 : 1;
      this.#valueEnd = Math.min(p, end);
      p = Math.min(p + 1, end);
      while (p < end && from[p] !== CHAR.comma && from[p] !== CHAR.semicolon) p++;
      return p;
    }
    this.#valueStart = p;
    while (p < end && from[p] !== CHAR.comma && from[p] !== CHAR.semicolon) p++;
    this.#valueEnd = p;
    return p;
  }
}

function rankOf(from: Uint8Array, start: number, end: number): number {
  if (equalsIgnoringCase(from, start, end, URI)) return RANK.uri;
  if (equalsIgnoringCase(from, start, end, SUBJECT)) return RANK.subject;
  if (equalsIgnoringCase(from, start, end, DNS)) return RANK.dns;
  return equalsIgnoringCase(from, start, end, HASH) ? RANK.hash : RANK.none;
}

/** Position of the comma behind the element at `start`, or `end`. */
function endOfElement(from: Uint8Array, start: number, end: number): number {
  let quoted = false;
  for (let p = start; p < end; p++) {
    const c = from[p]!;
    if (quoted && c === CHAR.backslash) p++;
    else if (c === CHAR.quote) quoted = !quoted;
    else if (c === CHAR.comma && !quoted) return p;
  }
  return end;
}

function countElements(from: Uint8Array, start: number, end: number): number {
  let count = 0;
  for (let p = start; p < end; p = endOfElement(from, p, end) + 1) count++;
  return count;
}

function copyUnescaped(from: Uint8Array, start: number, end: number, draft: AccessDraft): void {
  draft.reserve(end - start);
  let at = draft.scratchEnd;
  for (let p = start; p < end; p++) {
    if (from[p] === CHAR.backslash && p + 1 < end && from[p + 1] === CHAR.quote) p++;
    draft.scratch[at++] = from[p]!;
  }
  draft.scratchEnd = at;
}
