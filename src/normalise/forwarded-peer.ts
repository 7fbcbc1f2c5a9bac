import { ACCESS } from "../records/access-draft.ts";
import { startsWith } from "./ascii.ts";
import { setFingerprint } from "./peer-certificate.ts";
import { FIELD } from "./fields.ts";
import { CONFLICTS } from "./identity-marks.ts";
import type { Reading } from "./reading.ts";
import { SPIFFE_SCHEME } from "./spiffe.ts";

/** The certificates of X-Forwarded-Client-Cert as the header tells them. The header says more than their names, so it stays in LogAttributes too. */
export function mapActorChain(reading: Reading): void {
  const { certificates, draft, buffer } = reading;
  const field = FIELD.x_forwarded_client_cert;
  certificates.count = 0;
  if (!reading.has(field)) return;
  certificates.parse(buffer, reading.start[field]!, reading.end[field]!, draft);
  for (let i = 0; i < certificates.count; i++) {
    if (certificates.nameStart[i]! < certificates.nameEnd[i]!)
      draft.pushChain(certificates.nameStart[i]!, certificates.nameEnd[i]!);
  }
}

/** The nearest hop of the header, when somebody whom we are told to trust wrote it. */
export function mapForwardedPrincipal(reading: Reading): boolean {
  const { certificates, draft } = reading;
  const last = certificates.count - 1;
  if (last < 0) return false;
  if (!certificates.isWellFormed) reading.marks.conflicts |= CONFLICTS.forwarded_certificate;
  if (!certificates.isWellFormed || !certificates.isNamed(last)) return false;
  draft.setScratch(
    ACCESS.PeerPrincipal,
    certificates.nameStart[last]!,
    certificates.nameEnd[last]!,
  );
  if (draft.isEmpty(ACCESS.PeerCertificateHash))
    setFingerprint(reading, certificates.hashStart[last]!, certificates.hashEnd[last]!);
  return true;
}

/** Behind trusted hops, the actor is the oldest certificate that one of them forwarded. */
export function setForwardedActor(reading: Reading, trustedHops: number): void {
  const { certificates, draft } = reading;
  let oldest = Math.max(certificates.count - trustedHops, 0);
  while (!certificates.isNamed(oldest)) oldest++; // the last one is named
  if (oldest < certificates.count - 1)
    draft.setScratch(ACCESS.Actor, certificates.nameStart[oldest]!, certificates.nameEnd[oldest]!);
}

/**
 * The nearest trusted hop must be about the peer that was authenticated: either this proxy wrote it, of its peer (URI), or the peer wrote it (By) of its own.
 * A header that breaks the grammar is no hop's word.
 */
export function checkForwarded(reading: Reading, trustedHops: number): void {
  const { certificates, draft, buffer, marks } = reading;
  const last = certificates.count - 1;
  if (trustedHops === 0 || last < 0) return;
  const column = ACCESS.PeerPrincipal;
  const isForeign =
    startsWith(draft.bytesOf(column), draft.start[column]!, draft.end[column]!, SPIFFE_SCHEME) &&
    certificates.hasPeers(last) &&
    !certificates.isPeer(
      buffer,
      last,
      draft.bytesOf(column),
      draft.start[column]!,
      draft.end[column]!,
    );
  if (isForeign || !certificates.isWellFormed) marks.conflicts |= CONFLICTS.forwarded_certificate;
}
