import { WORKLOAD } from "./sql.ts";
import { identity, namespace, requests, workload } from "./variables.ts";

/** Requests that fit what is chosen on the dashboard of identities. */
export const SEEN = requests([namespace, workload, identity]);

/** Those of the proxy in front of what was reached: the one that has authenticated the peer. The client's own proxy tells the same request once more. */
export const ARRIVED = `${SEEN}
  AND Direction != 'outbound'`;

/** A workload as the peer's certificate names it; where there was none, that is said. */
export const PEER = "if(PeerPrincipal = '', '(not authenticated)', PeerPrincipal)";

/** What was reached. */
export const REACHED = WORKLOAD;

/** Nobody whom the mesh has authenticated: neither a certificate, nor a token that was verified, nor a policy engine's word. */
export const UNAUTHENTICATED =
  "ActorAssurance IN ('none', 'address', 'header', 'proxy_metadata') AND UserAssurance NOT IN ('token', 'policy_engine')";
