import { ascii, CHAR, indexOf, indexOfText, startsWith } from "./ascii.ts";

const SCHEME = ascii("spiffe://");
const NAMESPACE = ascii("/ns/");
const SERVICE_ACCOUNT = ascii("/sa/");
/** Longest SPIFFE ID and longest trust domain, in bytes. */
const MAX_ID = 2048;
const MAX_TRUST_DOMAIN = 255;

/**
 * Reads a SPIFFE ID. Meshes break the rules of the standard, so anything with the scheme and a trust domain is taken, and `strict` says whether it keeps them.
 * Source: SPIFFE-ID, sections 2.1 to 2.4; Istio's form is spiffe://<trust domain>/ns/<namespace>/sa/<service account>.
 */
export class SpiffeId {
  strict = false;
  trustDomainStart = 0;
  trustDomainEnd = 0;
  /** Empty unless the ID has Istio's form. */
  namespaceStart = 0;
  namespaceEnd = 0;
  serviceAccountStart = 0;
  serviceAccountEnd = 0;

  /** Is [start, end) a SPIFFE ID? */
  parse(from: Uint8Array, start: number, end: number): boolean {
    this.#clear();
    if (!startsWith(from, start, end, SCHEME)) return false;
    if (!this.#parseBare(from, start + SCHEME.length, end)) return false;
    this.strict &&= end - start <= MAX_ID;
    return true;
  }

  /** Is [start, end) a SPIFFE ID in Istio's form without the scheme, as RBAC principals are written? */
  parseWithoutScheme(from: Uint8Array, start: number, end: number): boolean {
    this.#clear();
    return this.#parseBare(from, start, end) && this.strict && this.namespaceEnd > this.namespaceStart;
  }

  #clear(): void {
    this.strict = false;
    this.namespaceStart = this.namespaceEnd = this.serviceAccountStart = this.serviceAccountEnd = 0;
  }

  #parseBare(from: Uint8Array, start: number, end: number): boolean {
    const slash = indexOf(from, CHAR.slash, start, end);
    const path = slash < 0 ? end : slash;
    if (path === start) return false;
    this.trustDomainStart = start;
    this.trustDomainEnd = path;
    this.strict = path - start <= MAX_TRUST_DOMAIN && isTrustDomain(from, start, path) && isPath(from, path, end);
    if (!startsWith(from, path, end, NAMESPACE)) return true;
    const namespace = path + NAMESPACE.length;
    const account = indexOfText(from, SERVICE_ACCOUNT, namespace, end);
    const name = account + SERVICE_ACCOUNT.length;
    if (account <= namespace || name >= end || indexOf(from, CHAR.slash, namespace, account) >= 0 || indexOf(from, CHAR.slash, name, end) >= 0) return true;
    this.namespaceStart = namespace;
    this.namespaceEnd = account;
    this.serviceAccountStart = name;
    this.serviceAccountEnd = end;
    return true;
  }
}

/** Lower-case letters, digits, dots, dashes, underscores (section 2.1). */
function isTrustDomain(from: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const c = from[i]!;
    if (!((c >= 0x61 && c <= 0x7a) || (c >= 0x30 && c <= 0x39) || c === CHAR.dot || c === CHAR.minus || c === CHAR.underscore)) return false;
  }
  return true;
}

/** Nothing, or segments of letters, digits, dots, dashes and underscores, none of them empty, `.` or `..` (section 2.2). */
function isPath(from: Uint8Array, start: number, end: number): boolean {
  let p = start;
  while (p < end) {
    const segment = p + 1;
    let dots = 0;
    for (p = segment; p < end && from[p] !== CHAR.slash; p++) {
      const c = from[p]!;
      const letter = c | 0x20;
      if (c === CHAR.dot) dots++;
      else if (!((letter >= 0x61 && letter <= 0x7a) || (c >= 0x30 && c <= 0x39) || c === CHAR.minus || c === CHAR.underscore)) return false;
    }
    const length = p - segment;
    if (length === 0 || (length === dots && length <= 2)) return false;
  }
  return true;
}
