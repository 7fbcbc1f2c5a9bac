import { ACCESS } from "../records/access-draft.ts";
import { CHAR, equalRanges, indexOf, isHex, isLowerHex, lower, startsWith } from "./ascii.ts";
import { FIELD } from "./fields.ts";
import { CONFLICTS } from "./identity-marks.ts";
import { FORMS } from "./principal.ts";
import type { Reading } from "./reading.ts";
import { SPIFFE_SCHEME } from "./spiffe.ts";

/** Hex digits of a SHA-256. */
const FINGERPRINT = 64;

/**
 * The peer as its certificate names it: the SPIFFE ID among the URI SANs, else the first of them, else the first DNS SAN, else the subject.
 * Envoy also logs the names in a certificate that it refused: they are anybody's claim, and stay in LogAttributes.
 */
export function mapCertificatePrincipal(reading: Reading): boolean {
  if (reading.has(FIELD.downstream_transport_failure_reason)) return false;
  if (mapName(reading, FIELD.downstream_peer_uri_san)) return true;
  if (mapName(reading, FIELD.downstream_peer_dns_san)) return true;
  reading.setText(ACCESS.PeerPrincipal, FIELD.downstream_peer_subject);
  return !reading.draft.isEmpty(ACCESS.PeerPrincipal);
}

/** One of a list of names that commas separate: the SPIFFE ID, else the first. A list of several stays in LogAttributes too. */
function mapName(reading: Reading, field: number): boolean {
  if (!reading.has(field)) return false;
  const { buffer } = reading;
  const start = reading.start[field]!;
  const end = reading.end[field]!;
  let first = start;
  let stop = endOfItem(buffer, start, end);
  if (stop < end) {
    while (stop < end && !startsWith(buffer, first, stop, SPIFFE_SCHEME)) {
      first = stop + 1;
      stop = endOfItem(buffer, first, end);
    }
    if (!startsWith(buffer, first, stop, SPIFFE_SCHEME))
      stop = endOfItem(buffer, (first = start), end);
  }
  reading.draft.setText(ACCESS.PeerPrincipal, first, stop);
  if (stop - first === end - start) reading.take(field);
  return first < stop;
}

function endOfItem(from: Uint8Array, start: number, end: number): number {
  const comma = indexOf(from, CHAR.comma, start, end);
  return comma < 0 ? end : comma;
}

/** The principal that the policy engine saw must be one of the names in the certificate. Names of different kinds (a DNS name, a SPIFFE ID) say nothing of each other. */
export function checkEnginePrincipal(reading: Reading): void {
  const field = FIELD.peer_principal;
  if (!reading.has(field)) return;
  const { buffer, principal } = reading;
  const { form } = principal;
  const names = FIELD.downstream_peer_uri_san;
  const start = withoutScheme(buffer, reading.start[field]!, reading.end[field]!);
  const end = reading.end[field]!;
  if (reading.has(names)) {
    const behind = reading.end[names]!;
    for (let first = reading.start[names]!; first < behind;) {
      const stop = endOfItem(buffer, first, behind);
      const name = withoutScheme(buffer, first, stop);
      if (equalRanges(buffer, name, stop, buffer, start, end)) return reading.take(field);
      first = stop + 1;
    }
  }
  const other = principal.parse(buffer, reading.start[field]!, end);
  const isSpiffe = other === FORMS.spiffe || principal.parseWithoutScheme(buffer, start, end);
  if (form !== FORMS.other && form === (isSpiffe ? FORMS.spiffe : other))
    reading.marks.conflicts |= CONFLICTS.policy_engine;
}

function withoutScheme(from: Uint8Array, start: number, end: number): number {
  return startsWith(from, start, end, SPIFFE_SCHEME) ? start + SPIFFE_SCHEME.length : start;
}

export function mapFingerprint(reading: Reading): void {
  const field = FIELD.downstream_peer_fingerprint_256;
  if (reading.has(field) && setFingerprint(reading, reading.start[field]!, reading.end[field]!))
    reading.take(field);
}

/** PeerCertificateHash in lower case; false when [start, end) is no SHA-256 in hex. */
export function setFingerprint(reading: Reading, start: number, end: number): boolean {
  const { buffer, draft } = reading;
  if (end - start !== FINGERPRINT || !isHex(buffer, start, end)) return false;
  if (isLowerHex(buffer, start, end)) {
    draft.setText(ACCESS.PeerCertificateHash, start, end);
    return true;
  }
  const at = draft.scratchEnd;
  draft.reserve(FINGERPRINT);
  for (let i = 0; i < FINGERPRINT; i++) draft.scratch[at + i] = lower(buffer[start + i]!);
  draft.scratchEnd += FINGERPRINT;
  draft.setScratch(ACCESS.PeerCertificateHash, at, draft.scratchEnd);
  return true;
}
