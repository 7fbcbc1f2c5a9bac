import { ascii, CHAR, indexOf, startsWith } from "./ascii.ts";

const SCHEME = ascii("spiffe://");
const NAMESPACE = ascii("/ns/");
const SERVICE_ACCOUNT = ascii("/sa/");
/** Longest SPIFFE ID and longest trust domain, in bytes. */
const MAX_ID = 2048;
const MAX_TRUST_DOMAIN = 255;

/** Bytes that may stand in a trust domain (section 2.1) and in a path segment (section 2.2), by code. */
const TRUST_DOMAIN_BYTES = allow("abcdefghijklmnopqrstuvwxyz0123456789._-");
const SEGMENT_BYTES = allow("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

function allow(bytes: string): Uint8Array {
  const table = new Uint8Array(256);
  for (const byte of ascii(bytes)) table[byte] = 1;
  return table;
}

/**
 * Reads a SPIFFE ID. Meshes break the rules of the standard, so anything with the scheme and a trust domain is taken; `isStrictSpiffeId` asks for the rules.
 * Istio's form is spiffe://<trust domain>/ns/<namespace>/sa/<service account>.
 */
export class SpiffeId {
  trustDomainStart = 0;
  trustDomainEnd = 0;
  /** Empty unless the ID has Istio's form. */
  namespaceStart = 0;
  namespaceEnd = 0;
  serviceAccountStart = 0;
  serviceAccountEnd = 0;

  /** Is [start, end) a SPIFFE ID, by its scheme? */
  parse(from: Uint8Array, start: number, end: number): boolean {
    this.#clear();
    return (
      startsWith(from, start, end, SCHEME) && this.#parseBare(from, start + SCHEME.length, end)
    );
  }

  /** Is [start, end) a SPIFFE ID by all the rules, in Istio's form and without the scheme, as RBAC principals are written? */
  parseWithoutScheme(from: Uint8Array, start: number, end: number): boolean {
    this.#clear();
    return (
      this.#parseBare(from, start, end) &&
      this.namespaceEnd > this.namespaceStart &&
      isStrict(from, start, end)
    );
  }

  #clear(): void {
    this.trustDomainStart = this.trustDomainEnd = 0;
    this.namespaceStart = this.namespaceEnd = this.serviceAccountStart = this.serviceAccountEnd = 0;
  }

  #parseBare(from: Uint8Array, start: number, end: number): boolean {
    const slash = indexOf(from, CHAR.slash, start, end);
    const path = slash < 0 ? end : slash;
    if (path === start) return false;
    this.trustDomainStart = start;
    this.trustDomainEnd = path;
    if (!startsWith(from, path, end, NAMESPACE)) return true;
    // Exactly four segments: ns, its name, sa, its name.
    const namespace = path + NAMESPACE.length;
    const account = indexOf(from, CHAR.slash, namespace, end);
    if (account <= namespace || !startsWith(from, account, end, SERVICE_ACCOUNT)) return true;
    const name = account + SERVICE_ACCOUNT.length;
    if (name === end || indexOf(from, CHAR.slash, name, end) >= 0) return true;
    this.namespaceStart = namespace;
    this.namespaceEnd = account;
    this.serviceAccountStart = name;
    this.serviceAccountEnd = end;
    return true;
  }
}

/**
 * Does [start, end) keep every rule of the standard?
 * Source: SPIFFE-ID, sections 2.1 to 2.4.
 */
export function isStrictSpiffeId(from: Uint8Array, start: number, end: number): boolean {
  return (
    end - start <= MAX_ID &&
    startsWith(from, start, end, SCHEME) &&
    isStrict(from, start + SCHEME.length, end)
  );
}

/** A trust domain, and nothing or segments behind it, none of them empty, `.` or `..`. */
function isStrict(from: Uint8Array, start: number, end: number): boolean {
  let p = start;
  while (p < end && TRUST_DOMAIN_BYTES[from[p]!] === 1) p++;
  if (p === start || p - start > MAX_TRUST_DOMAIN || (p < end && from[p] !== CHAR.slash))
    return false;
  while (p < end) {
    const segment = p + 1;
    let dots = 0;
    for (p = segment; p < end && from[p] !== CHAR.slash; p++) {
      if (SEGMENT_BYTES[from[p]!] === 0) return false;
      if (from[p] === CHAR.dot) dots++;
    }
    const length = p - segment;
    if (length === 0 || (length === dots && length <= 2)) return false;
  }
  return true;
}
