import type { AccessDraft } from "../records/access-draft.ts";
import { ascii, CHAR, equalRanges, equalsIgnoringCase, startsWith } from "./ascii.ts";
import { SPIFFE_SCHEME } from "./spiffe.ts";

/** As many elements as ActorChain holds; of more, the nearest hops are kept. */
const MAX_ELEMENTS = 16;
const URI = ascii("uri");
/** URI in Envoy before version 1.6. */
const SAN = ascii("san");
const HASH = ascii("hash");
const DNS = ascii("dns");
const SUBJECT = ascii("subject");
const BY = ascii("by");
/** Which of the values names the hop, the best first. */
const RANK = { spiffe: 5, uri: 4, subject: 3, dns: 2, hash: 1, none: 0 } as const;

/**
 * The elements of an X-Forwarded-Client-Cert header, oldest hop first: a name for each and its certificate's hash.
 *
 *   header = element *("," element); element = pair *(";" pair); pair = key "=" value
 *
 * Keys are case-insensitive and may repeat; a value with `,`, `;` or `=` stands in quotation marks, in which `\"` is a quotation mark.
 * Broken headers are read as far as they go, but `isWellFormed` says so: whoever wrote an earlier element could leave a quotation mark open
 * to swallow the elements that later hops append, so of such a header no hop may be believed.
 * Source: Envoy, configuration/http/http_conn_man/headers, x-forwarded-client-cert.
 */
export class ForwardedCertificates {
  count = 0;
  /** Every quotation mark of the header begins or ends a value. */
  isWellFormed = true;
  /** What names each hop (URI, a SPIFFE ID first, else Subject, DNS or Hash), in the draft's scratch; empty when nothing does. */
  readonly nameStart = new Int32Array(MAX_ELEMENTS);
  readonly nameEnd = new Int32Array(MAX_ELEMENTS);
  /** Hash of each, in the record. */
  readonly hashStart = new Int32Array(MAX_ELEMENTS);
  readonly hashEnd = new Int32Array(MAX_ELEMENTS);
  /** Where each element stands in the record, RANK of its name and whether it has a By or a URI. */
  readonly #start = new Int32Array(MAX_ELEMENTS);
  readonly #end = new Int32Array(MAX_ELEMENTS);
  readonly #rank = new Int32Array(MAX_ELEMENTS);
  readonly #hasPeers = new Int32Array(MAX_ELEMENTS);
  readonly #lists = [
    this.nameStart,
    this.nameEnd,
    this.hashStart,
    this.hashEnd,
    this.#start,
    this.#end,
    this.#rank,
    this.#hasPeers,
  ];

  #keyStart = 0;
  #keyEnd = 0;
  #valueStart = 0;
  #valueEnd = 0;

  /** Reads the header in [start, end) of `from`; the names go to the draft's scratch. */
  parse(from: Uint8Array, start: number, end: number, draft: AccessDraft): void {
    this.count = 0;
    this.isWellFormed = true;
    for (let p = start; p < end; p++) p = this.#readElement(from, p, end); // and the comma
    for (let i = 0; i < this.count; i++) {
      const at = draft.scratchEnd;
      copyUnescaped(from, this.nameStart[i]!, this.nameEnd[i]!, draft);
      this.nameStart[i] = at;
      this.nameEnd[i] = draft.scratchEnd;
    }
  }

  /** Does the element name its hop by more than a hash? */
  isNamed(element: number): boolean {
    return this.#rank[element]! > RANK.hash;
  }

  /** Does the element say, by By or URI, who sent the request or who wrote the element? */
  hasPeers(element: number): boolean {
    return this.#hasPeers[element] === 1;
  }

  /** Is `name` the By or the URI of the element, or one of several? */
  isPeer(from: Uint8Array, element: number, name: Uint8Array, start: number, end: number): boolean {
    const behind = this.#end[element]!;
    let p = this.#start[element]!;
    while (p < behind) {
      p = this.#readPair(from, p, behind);
      if (
        this.#namesPeer(from) &&
        equalRanges(from, this.#valueStart, this.#valueEnd, name, start, end)
      )
        return true;
    }
    return false;
  }

  /** Reads one element and returns where it ends. One of blanks and semicolons alone is none. */
  #readElement(from: Uint8Array, start: number, end: number): number {
    let rank: number = RANK.none;
    let nameStart = 0;
    let nameEnd = 0;
    let hashStart = 0;
    let hashEnd = 0;
    let hasPeers = 0;
    let isEmpty = true;
    let p = start;
    while (p < end && from[p] !== CHAR.comma) {
      p = this.#readPair(from, p, end);
      if (this.#keyStart < p) isEmpty = false;
      if (this.#valueStart === this.#valueEnd) continue;
      if (this.#namesPeer(from)) hasPeers = 1;
      const found = this.#rankOf(from);
      if (found === RANK.hash) {
        hashStart = this.#valueStart;
        hashEnd = this.#valueEnd;
      }
      if (found <= rank) continue;
      rank = found;
      nameStart = this.#valueStart;
      nameEnd = this.#valueEnd;
    }
    if (isEmpty) return p;
    if (this.count === MAX_ELEMENTS) for (const list of this.#lists) list.copyWithin(0, 1);
    else this.count++;
    const i = this.count - 1;
    this.nameStart[i] = nameStart;
    this.nameEnd[i] = nameEnd;
    this.hashStart[i] = hashStart;
    this.hashEnd[i] = hashEnd;
    this.#start[i] = start;
    this.#end[i] = p;
    this.#rank[i] = rank;
    this.#hasPeers[i] = hasPeers;
    return p;
  }

  /** Finds the key and the value of the pair at `start`, and returns where the pair ends. */
  #readPair(from: Uint8Array, start: number, end: number): number {
    let p = start;
    while (p < end && (from[p] === CHAR.space || from[p] === CHAR.semicolon)) p++;
    this.#keyStart = p;
    while (p < end && from[p] !== CHAR.equals && !isSeparator(from[p]!)) {
      if (from[p] === CHAR.quote) this.isWellFormed = false;
      p++;
    }
    this.#keyEnd = this.#valueStart = this.#valueEnd = p;
    return p < end && from[p] === CHAR.equals ? this.#readValue(from, p + 1, end) : p;
  }

  /** Finds the value at `start`, quotation marks off, and returns where the pair ends. */
  #readValue(from: Uint8Array, start: number, end: number): number {
    let p = start;
    const isQuoted = p < end && from[p] === CHAR.quote;
    if (isQuoted) {
      this.#valueStart = ++p;
      while (p < end && from[p] !== CHAR.quote) p += from[p] === CHAR.backslash ? 2 : 1;
      if (p >= end) {
        this.isWellFormed = false;
        return (this.#valueEnd = end);
      }
      this.#valueEnd = p++;
      if (p < end && !isSeparator(from[p]!)) this.isWellFormed = false;
    } else this.#valueStart = p;
    for (; p < end && !isSeparator(from[p]!); p++)
      if (from[p] === CHAR.quote) this.isWellFormed = false;
    if (!isQuoted) this.#valueEnd = p;
    return p;
  }

  #namesPeer(from: Uint8Array): boolean {
    return this.#keyIs(from, URI) || this.#keyIs(from, SAN) || this.#keyIs(from, BY);
  }

  #keyIs(from: Uint8Array, key: Uint8Array): boolean {
    return equalsIgnoringCase(from, this.#keyStart, this.#keyEnd, key);
  }

  #rankOf(from: Uint8Array): number {
    if (this.#keyIs(from, URI) || this.#keyIs(from, SAN))
      return startsWith(from, this.#valueStart, this.#valueEnd, SPIFFE_SCHEME)
        ? RANK.spiffe
        : RANK.uri;
    if (this.#keyIs(from, SUBJECT)) return RANK.subject;
    if (this.#keyIs(from, DNS)) return RANK.dns;
    return this.#keyIs(from, HASH) ? RANK.hash : RANK.none;
  }
}

function isSeparator(c: number): boolean {
  return c === CHAR.comma || c === CHAR.semicolon;
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
