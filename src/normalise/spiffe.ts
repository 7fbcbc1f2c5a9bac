import { ascii, CHAR, equalsIgnoringCase, equalsText, startsWith } from "./ascii.ts";

export const SPIFFE_SCHEME = ascii("spiffe://");
/** Segments that are remembered: the longest path that has a form of a mesh, Consul's with a partition. */
const MAX_SEGMENTS = 8;
/** Longest SPIFFE ID and longest trust domain, in bytes. Source: SPIFFE-ID, section 2.3. */
const MAX_ID = 2048;
const MAX_TRUST_DOMAIN = 255;

/** 1 for the bytes that may stand in a trust domain (section 2.1) and in a path segment (section 2.2). */
const TRUST_DOMAIN_BYTES = allow("abcdefghijklmnopqrstuvwxyz0123456789._-");
const SEGMENT_BYTES = allow("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

function allow(bytes: string): Uint8Array {
  const table = new Uint8Array(256);
  for (const byte of ascii(bytes)) table[byte] = 1;
  return table;
}

/**
 * A SPIFFE ID and the segments of its path. Meshes break the rules of the standard, so anything with the scheme and a trust domain is taken;
 * `isStrict` says whether it keeps them. Source: SPIFFE-ID, sections 2.1 to 2.4.
 */
export class SpiffeId {
  isStrict = false;
  /** Where the path ends: in front of a query or a fragment, which no SPIFFE ID has. */
  pathEnd = 0;
  /** How many segments the path has; only the first eight are remembered. */
  segmentCount = 0;
  /** Where each segment begins, and one behind the end of the last. */
  readonly segments = new Int32Array(MAX_SEGMENTS + 1);

  /** Reads [start, end). False when it is no SPIFFE ID. A scheme has no case (RFC 3986, section 3.1), but SPIFFE's is in lower case. */
  parse(from: Uint8Array, start: number, end: number): boolean {
    const behind = start + SPIFFE_SCHEME.length;
    if (behind > end || !equalsIgnoringCase(from, start, behind, SPIFFE_SCHEME)) return false;
    if (!this.parseWithoutScheme(from, behind, end)) return false;
    if (!startsWith(from, start, end, SPIFFE_SCHEME)) this.isStrict = false;
    return true;
  }

  /** Reads what stands behind the scheme. */
  parseWithoutScheme(from: Uint8Array, start: number, end: number): boolean {
    const { segments } = this;
    const stop = (this.pathEnd = endOfPath(from, start, end));
    let strict = stop === end ? 1 : 0;
    let p = start;
    for (; p < stop && from[p] !== CHAR.slash; p++) strict &= TRUST_DOMAIN_BYTES[from[p]!]!;
    if (p === start) return false;
    if (p - start > MAX_TRUST_DOMAIN) strict = 0;
    let count = 0;
    while (p < stop) {
      const segment = ++p;
      if (count < MAX_SEGMENTS) segments[count] = segment;
      count++;
      for (; p < stop && from[p] !== CHAR.slash; p++) strict &= SEGMENT_BYTES[from[p]!]!;
      if (p - segment <= 2 && isDots(from, segment, p)) strict = 0;
    }
    if (count <= MAX_SEGMENTS) segments[count] = stop + 1;
    this.segmentCount = count;
    this.isStrict = strict === 1 && end - start <= MAX_ID - SPIFFE_SCHEME.length;
    return true;
  }

  startOf(segment: number): number {
    return this.segments[segment]!;
  }

  endOf(segment: number): number {
    return this.segments[segment + 1]! - 1;
  }

  /** Is there something in the segment that can be a name, and no dots alone? */
  isName(from: Uint8Array, segment: number): boolean {
    const start = this.startOf(segment);
    const end = this.endOf(segment);
    return end - start > 2 || !isDots(from, start, end);
  }

  /** Is the segment `text`? */
  is(from: Uint8Array, segment: number, text: Uint8Array): boolean {
    return equalsText(from, this.startOf(segment), this.endOf(segment), text);
  }
}

function endOfPath(from: Uint8Array, start: number, end: number): number {
  let p = start;
  while (p < end && from[p] !== CHAR.question && from[p] !== CHAR.hash) p++;
  return p;
}

/** Are there dots alone, or nothing? */
function isDots(from: Uint8Array, start: number, end: number): boolean {
  let p = start;
  while (p < end && from[p] === CHAR.dot) p++;
  return p === end;
}
