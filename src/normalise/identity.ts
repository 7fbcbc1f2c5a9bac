import { ACCESS } from "../records/access-draft.ts";
import {
  ascii,
  CHAR,
  equalRanges,
  indexOf,
  isHex,
  isLowerHex,
  lower,
  startsWith,
} from "./ascii.ts";
import { FIELD } from "./fields.ts";
import { NO_NUMBER, readInteger } from "./numbers.ts";
import type { Reading } from "./reading.ts";
import { WORD } from "./words.ts";

const MAX_PORT = 0xffff;
/** Hex digits of a SHA-256. */
const FINGERPRINT = 64;
const SCHEME = ascii("spiffe://");

/**
 * Who: the peer, the end user, and which of them is the actor.
 *
 * The actor is the end user whose token the proxy verified, else the peer. A peer's name comes from what the proxy itself authenticated (the URI SAN of its certificate,
 * or the principal that the policy engine saw), else from forwarded certificates as far as hops are trusted, else from metadata that the proxies exchanged, else it is the address.
 * A header that a client can set never outranks the proxy: X-Forwarded-Client-Cert fills ActorChain, and names the peer only when `trustedHops` says so.
 */
export function mapIdentity(reading: Reading, trustedHops: number): void {
  const { draft } = reading;
  mapPeerAddress(reading);
  mapFingerprint(reading);
  setSpiffeParts(reading, ACCESS.LocalPrincipal, ACCESS.LocalNamespace, ACCESS.LocalServiceAccount);
  mapActorChain(reading);

  reading.say(ACCESS.AuthMethod, WORD.none);
  reading.say(ACCESS.UserAssurance, WORD.none);
  if (mapPeerPrincipal(reading)) setWorkloadActor(reading, WORD.mtls);
  else if (mapEnginePrincipal(reading)) setWorkloadActor(reading, WORD.policy_engine);
  else if (trustedHops > 0 && mapForwardedPrincipal(reading))
    setForwardedActor(reading, trustedHops);
  else if (!draft.isEmpty(ACCESS.PeerWorkload)) {
    draft.copyText(ACCESS.Actor, ACCESS.PeerWorkload);
    reading.say(ACCESS.ActorKind, WORD.workload);
    reading.say(ACCESS.ActorAssurance, WORD.proxy_metadata);
  } else setAddressActor(reading);
  mapPeerNamespace(reading);

  if (!mapEndUser(reading)) return;
  draft.copyText(ACCESS.Actor, ACCESS.EndUser);
  reading.say(ACCESS.ActorKind, WORD.user);
  reading.say(ACCESS.AuthMethod, WORD.jwt);
  reading.say(ACCESS.UserAssurance, WORD.token);
}

/**
 * The peer as its certificate names it: the SPIFFE ID among the URI SANs, else the first of them, else the subject.
 * Envoy also logs the names in a certificate that it refused: they are anybody's claim, and stay in LogAttributes.
 */
function mapPeerPrincipal(reading: Reading): boolean {
  if (reading.has(FIELD.downstream_transport_failure_reason)) return false;
  const { buffer, draft } = reading;
  const field = FIELD.downstream_peer_uri_san;
  if (reading.has(field)) {
    const start = reading.start[field]!;
    const end = reading.end[field]!;
    // Several SANs are separated by commas.
    let first = start;
    let stop = endOfItem(buffer, start, end);
    if (stop < end) {
      while (stop < end && !startsWith(buffer, first, stop, SCHEME)) {
        first = stop + 1;
        stop = endOfItem(buffer, first, end);
      }
      if (!startsWith(buffer, first, stop, SCHEME)) stop = endOfItem(buffer, (first = start), end);
    }
    draft.setText(ACCESS.PeerPrincipal, first, stop);
    if (stop - first === end - start) reading.take(field);
    if (first < stop) return true;
  }
  reading.setText(ACCESS.PeerPrincipal, FIELD.downstream_peer_subject);
  return !draft.isEmpty(ACCESS.PeerPrincipal);
}

function endOfItem(from: Uint8Array, start: number, end: number): number {
  const comma = indexOf(from, CHAR.comma, start, end);
  return comma < 0 ? end : comma;
}

/** The principal that the policy engine saw. Istio writes it without the scheme; one identity has one spelling here. */
function mapEnginePrincipal(reading: Reading): boolean {
  const { buffer, draft, spiffe } = reading;
  const field = FIELD.peer_principal;
  if (!reading.has(field)) return false;
  const start = reading.start[field]!;
  const end = reading.end[field]!;
  reading.take(field);
  if (!spiffe.parseWithoutScheme(buffer, start, end)) {
    draft.setText(ACCESS.PeerPrincipal, start, end);
    return true;
  }
  const at = draft.scratchEnd;
  draft.reserve(SCHEME.length + end - start);
  draft.scratch.set(SCHEME, at);
  let to = at + SCHEME.length;
  for (let i = start; i < end; i++) draft.scratch[to++] = buffer[i]!;
  draft.scratchEnd = to;
  draft.setScratch(ACCESS.PeerPrincipal, at, to);
  return true;
}

/** The certificates of X-Forwarded-Client-Cert as the header tells them. The header says more than their names, so it stays in LogAttributes too. */
function mapActorChain(reading: Reading): void {
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
function mapForwardedPrincipal(reading: Reading): boolean {
  const { certificates, draft } = reading;
  const last = certificates.count - 1;
  if (last < 0 || certificates.isUri[last] === 0) return false;
  draft.setScratch(
    ACCESS.PeerPrincipal,
    certificates.nameStart[last]!,
    certificates.nameEnd[last]!,
  );
  const start = certificates.hashStart[last]!;
  const end = certificates.hashEnd[last]!;
  if (draft.isEmpty(ACCESS.PeerCertificateHash)) setFingerprint(reading, start, end);
  return true;
}

/** The peer's certificate, or the policy engine that saw it, names the actor. */
function setWorkloadActor(reading: Reading, assurance: number): void {
  reading.draft.copyText(ACCESS.Actor, ACCESS.PeerPrincipal);
  reading.say(ACCESS.ActorKind, WORD.workload);
  reading.say(ACCESS.ActorAssurance, assurance);
  reading.say(ACCESS.AuthMethod, WORD.mtls);
}

/** Behind trusted hops, the actor is the oldest certificate that one of them forwarded. */
function setForwardedActor(reading: Reading, trustedHops: number): void {
  const { certificates, draft } = reading;
  let oldest = Math.max(certificates.count - trustedHops, 0);
  while (certificates.isUri[oldest] === 0) oldest++; // the last one is a URI
  draft.setScratch(ACCESS.Actor, certificates.nameStart[oldest]!, certificates.nameEnd[oldest]!);
  reading.say(ACCESS.ActorKind, WORD.workload);
  reading.say(ACCESS.ActorAssurance, WORD.forwarded_certificate);
}

/** Nobody was authenticated: the address is all that there is. Without a port it was taken from X-Forwarded-For, which is a header's word. */
function setAddressActor(reading: Reading): void {
  const { draft, address } = reading;
  const field = peerAddressField(reading);
  if (field === 0 || !address.parse(reading.buffer, reading.start[field]!, reading.end[field]!))
    return reading.say(ACCESS.ActorAssurance, WORD.none);
  draft.setText(ACCESS.Actor, address.hostStart, address.hostEnd);
  reading.say(ACCESS.ActorKind, WORD.address);
  reading.say(ACCESS.ActorAssurance, address.port === 0 ? WORD.header : WORD.address);
}

/** The field that holds the peer's address, or 0. */
function peerAddressField(reading: Reading): number {
  if (isAddress(reading, FIELD.downstream_remote_address)) return FIELD.downstream_remote_address;
  if (isAddress(reading, FIELD.downstream_direct_remote_address))
    return FIELD.downstream_direct_remote_address;
  return isAddress(reading, FIELD.client_address) ? FIELD.client_address : 0;
}

function isAddress(reading: Reading, field: number): boolean {
  return (
    reading.has(field) &&
    reading.address.parse(reading.buffer, reading.start[field]!, reading.end[field]!)
  );
}

/** PeerAddress and PeerPort. An address of another kind (`envoy://…`, a socket's path) stays in LogAttributes. */
function mapPeerAddress(reading: Reading): void {
  const { draft, address } = reading;
  const field = peerAddressField(reading);
  if (field !== 0) {
    address.copyTo(draft.peerAddress);
    if (address.port > 0) draft.setNumber(ACCESS.PeerPort, address.port);
    reading.take(field);
  }
  if (!reading.has(FIELD.client_port) || draft.low[ACCESS.PeerPort] !== 0) return;
  const port = readInteger(reading, FIELD.client_port, MAX_PORT);
  if (port === NO_NUMBER) return;
  draft.setNumber(ACCESS.PeerPort, port);
  reading.take(FIELD.client_port);
}

function mapFingerprint(reading: Reading): void {
  const field = FIELD.downstream_peer_fingerprint_256;
  if (reading.has(field) && setFingerprint(reading, reading.start[field]!, reading.end[field]!))
    reading.take(field);
}

/** PeerCertificateHash in lower case; false when [start, end) is no SHA-256 in hex. */
function setFingerprint(reading: Reading, start: number, end: number): boolean {
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

/** Namespace and service account of the peer's SPIFFE ID; the namespace of exchanged metadata where there is none. */
function mapPeerNamespace(reading: Reading): void {
  const { draft, spiffe, buffer, start, end } = reading;
  setSpiffeParts(reading, ACCESS.PeerPrincipal, ACCESS.PeerNamespace, ACCESS.PeerServiceAccount);
  const field = FIELD.source_namespace;
  if (!reading.has(field)) return;
  if (draft.isEmpty(ACCESS.PeerNamespace)) reading.setText(ACCESS.PeerNamespace, field);
  else if (
    equalRanges(
      draft.bytesOf(ACCESS.PeerPrincipal),
      spiffe.namespaceStart,
      spiffe.namespaceEnd,
      buffer,
      start[field]!,
      end[field]!,
    )
  )
    reading.take(field);
}

/** Namespace and service account of the SPIFFE ID in `principal`, where the columns are still empty. */
function setSpiffeParts(
  reading: Reading,
  principal: number,
  namespace: number,
  account: number,
): void {
  const { draft, spiffe } = reading;
  if (draft.isEmpty(principal)) return;
  if (
    !spiffe.parse(draft.bytesOf(principal), draft.start[principal]!, draft.end[principal]!) ||
    spiffe.namespaceStart === spiffe.namespaceEnd
  )
    return;
  if (draft.isEmpty(namespace))
    setPart(reading, namespace, principal, spiffe.namespaceStart, spiffe.namespaceEnd);
  if (draft.isEmpty(account))
    setPart(reading, account, principal, spiffe.serviceAccountStart, spiffe.serviceAccountEnd);
}

/** A column gets a part of what another one holds. */
function setPart(
  reading: Reading,
  column: number,
  whole: number,
  start: number,
  end: number,
): void {
  const { draft } = reading;
  draft.copyText(column, whole);
  draft.start[column] = start;
  draft.end[column] = end;
}

/** The end user of a token that the proxy verified: Istio's `issuer/subject`, or the claims one by one. */
function mapEndUser(reading: Reading): boolean {
  const { draft, buffer, start, end } = reading;
  const field = FIELD.request_principal;
  if (reading.has(field) && draft.isEmpty(ACCESS.EndUser)) {
    // An issuer is a URL and holds slashes; a subject seldom does.
    let slash = end[field]! - 1;
    while (slash > start[field]! && buffer[slash] !== CHAR.slash) slash--;
    if (slash > start[field]! && draft.isEmpty(ACCESS.EndUserIssuer)) {
      draft.setText(ACCESS.EndUserIssuer, start[field]!, slash);
      draft.setText(ACCESS.EndUser, slash + 1, end[field]!);
    } else draft.setText(ACCESS.EndUser, start[field]!, end[field]!);
    if (!draft.isEmpty(ACCESS.EndUser)) reading.take(field);
  }
  return !draft.isEmpty(ACCESS.EndUser);
}
