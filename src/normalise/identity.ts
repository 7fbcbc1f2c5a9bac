import { ACCESS } from "../records/access-draft.ts";
import { CHAR, equalRanges } from "./ascii.ts";
import { mapEndUser } from "./end-user.ts";
import { FIELD } from "./fields.ts";
import {
  checkForwarded,
  mapActorChain,
  mapForwardedPrincipal,
  setForwardedActor,
} from "./forwarded-peer.ts";
import { CONFLICTS, LENIENT } from "./identity-marks.ts";
import { mapPeerAddress, setAddressActor } from "./peer-address.ts";
import {
  checkEnginePrincipal,
  mapCertificatePrincipal,
  mapFingerprint,
} from "./peer-certificate.ts";
import { FORMS } from "./principal.ts";
import { readPrincipal, setParts } from "./principal-columns.ts";
import type { Reading } from "./reading.ts";
import { WORD } from "./words.ts";

/**
 * Who: the peer, the end user, and which of them is the actor.
 *
 * The actor is the end user whom somebody authenticated, else the peer. A peer's name comes from what the proxy itself authenticated (the certificate of its
 * peer), else from the principal that the policy engine saw, else from forwarded certificates as far as hops are trusted, else from metadata that the proxies
 * exchanged, else it is the address. A header that a client can set never outranks the proxy: X-Forwarded-Client-Cert fills ActorChain, and names the peer
 * only when `trustedHops` says so. docs/access-records.md has all of it in tables.
 */
export function mapIdentity(reading: Reading, trustedHops: number): void {
  const { draft, marks } = reading;
  marks.clear();
  mapPeerAddress(reading);
  mapFingerprint(reading);
  if (
    !draft.isEmpty(ACCESS.LocalPrincipal) &&
    readPrincipal(reading, ACCESS.LocalPrincipal, LENIENT.LocalPrincipal) !== FORMS.other
  )
    setParts(reading, ACCESS.LocalPrincipal, ACCESS.LocalNamespace, ACCESS.LocalServiceAccount);
  mapActorChain(reading);
  unquotePrincipal(reading);

  reading.say(ACCESS.AuthMethod, WORD.none);
  reading.say(ACCESS.UserAssurance, WORD.none);
  if (mapCertificatePrincipal(reading)) {
    setPeer(reading, WORD.mtls);
    checkEnginePrincipal(reading);
    checkForwarded(reading, trustedHops);
  } else if (reading.has(FIELD.peer_principal)) {
    reading.setText(ACCESS.PeerPrincipal, FIELD.peer_principal);
    setPeer(reading, WORD.policy_engine);
    checkForwarded(reading, trustedHops);
  } else if (trustedHops > 0 && mapForwardedPrincipal(reading)) {
    setPeer(reading, WORD.forwarded_certificate);
    setForwardedActor(reading, trustedHops);
  } else if (!draft.isEmpty(ACCESS.PeerWorkload)) {
    draft.copyText(ACCESS.Actor, ACCESS.PeerWorkload);
    reading.say(ACCESS.ActorKind, WORD.workload);
    reading.say(ACCESS.ActorAssurance, WORD.proxy_metadata);
  } else setAddressActor(reading);
  mapPeerMetadata(reading);

  if (mapEndUser(reading)) {
    draft.copyText(ACCESS.Actor, ACCESS.EndUser);
    reading.say(ACCESS.ActorKind, WORD.user);
  }
  marks.write(reading);
}

/** Envoy writes filter state as JSON, a text in quotation marks, unless the operator says PLAIN. */
function unquotePrincipal(reading: Reading): void {
  const { buffer, start, end } = reading;
  const field = FIELD.peer_principal;
  if (!reading.has(field) || end[field]! - start[field]! < 3) return;
  if (buffer[start[field]!] !== CHAR.quote || buffer[end[field]! - 1] !== CHAR.quote) return;
  start[field]!++;
  end[field]!--;
}

/** The peer has a principal: it is the actor, and its name has parts. What a hop forwarded was authenticated by others, in whatever way. */
function setPeer(reading: Reading, assurance: number): void {
  const form = readPrincipal(reading, ACCESS.PeerPrincipal, LENIENT.PeerPrincipal);
  if (form !== FORMS.other)
    setParts(reading, ACCESS.PeerPrincipal, ACCESS.PeerNamespace, ACCESS.PeerServiceAccount);
  checkNamespace(reading);
  reading.draft.copyText(ACCESS.Actor, ACCESS.PeerPrincipal);
  reading.say(ACCESS.ActorKind, WORD.workload);
  reading.say(ACCESS.ActorAssurance, assurance);
  if (assurance !== WORD.forwarded_certificate)
    reading.say(ACCESS.AuthMethod, form === FORMS.arn ? WORD.aws_sigv4 : WORD.mtls);
}

/** Exchanged metadata must name the namespace that the principal has, where that is one of Kubernetes. */
function checkNamespace(reading: Reading): void {
  const { draft, principal, buffer } = reading;
  const field = FIELD.source_namespace;
  if (!reading.has(field) || principal.namespaceStart === principal.namespaceEnd) return;
  const isSame = equalRanges(
    draft.bytesOf(ACCESS.PeerPrincipal),
    principal.namespaceStart,
    principal.namespaceEnd,
    buffer,
    reading.start[field]!,
    reading.end[field]!,
  );
  if (isSame) reading.take(field);
  else if (principal.isKubernetes) reading.marks.conflicts |= CONFLICTS.source_namespace;
}

/** Namespace and service account of exchanged metadata, where the principal has none. */
function mapPeerMetadata(reading: Reading): void {
  const { draft } = reading;
  if (draft.isEmpty(ACCESS.PeerNamespace))
    reading.setText(ACCESS.PeerNamespace, FIELD.source_namespace);
  if (draft.isEmpty(ACCESS.PeerServiceAccount))
    reading.setText(ACCESS.PeerServiceAccount, FIELD.source_service_account);
}
