import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { X509Certificate } from "node:crypto";
import type { Sender } from "./consumer.ts";
import { MeshproofError } from "./errors.ts";
import { peerAddress } from "./hosts.ts";
import type { Role, TokenTable } from "./tokens.ts";

/** Finds the holder of a bearer token. */
export type TokenFinder = Pick<TokenTable, "find">;

/** Who makes a request. `role` is null where nobody is asked who they are: then everything is allowed. */
export interface Caller extends Sender {
  readonly role: Role | null;
}

export interface AuthenticationOptions {
  readonly tokens: TokenFinder | null;
  /** The listener verifies client certificates; each holder counts as a sender. */
  readonly clientCertificates: boolean;
}

/** The caller of a request. Throws: UNAUTHENTICATED. */
export type Authenticate = (request: IncomingMessage) => Caller;

/**
 * How callers are told apart on one listener. A bearer token says more than a certificate and goes first;
 * with neither tokens nor certificates configured, the caller is the address of the peer.
 */
export function createAuthenticator(options: AuthenticationOptions): Authenticate {
  const byConnection = new WeakMap<Socket, Caller | null>(); // certificate and address last as long as the connection
  const { tokens, clientCertificates } = options;

  function callerOfConnection(socket: Socket): Caller | null {
    if (clientCertificates) return socket instanceof TLSSocket ? certificateCaller(socket) : null;
    return tokens === null
      ? { name: peerAddress(socket.remoteAddress), auth: "none", role: null }
      : null;
  }

  return (request) => {
    const authorization = request.headers.authorization;
    if (tokens !== null && authorization !== undefined) return tokenCaller(tokens, authorization);
    let caller = byConnection.get(request.socket);
    if (caller === undefined)
      byConnection.set(request.socket, (caller = callerOfConnection(request.socket)));
    if (caller === null) {
      const expected = [
        tokens === null ? "" : "Authorization: Bearer <token>",
        clientCertificates ? "a client certificate" : "",
      ].filter((part) => part !== "");
      throw new MeshproofError(
        "UNAUTHENTICATED",
        `expected ${expected.join(" or ")}, got neither token nor certificate`,
      );
    }
    return caller;
  };
}

/** Throws FORBIDDEN unless the caller's role is one of `roles`. */
export function authorise(caller: Caller, roles: readonly Role[]): void {
  if (caller.role === null || roles.includes(caller.role)) return;
  throw new MeshproofError(
    "FORBIDDEN",
    `expected the role ${roles.join(", ")}, got ${caller.role} (${caller.name})`,
  );
}

function tokenCaller(tokens: TokenFinder, authorization: string): Caller {
  // RFC 6750, section 2.1; the scheme is case-insensitive (RFC 9110, section 11.1).
  const token = /^bearer +([\x21-\x7e]+) *$/i.exec(authorization)?.[1];
  if (token === undefined)
    throw new MeshproofError(
      "UNAUTHENTICATED",
      "Authorization: expected Bearer <token>, got another scheme or no token",
    );
  const holder = tokens.find(token);
  if (holder === null)
    throw new MeshproofError(
      "UNAUTHENTICATED",
      "Authorization: expected a token that is known here, got another",
    );
  return { name: holder.name, auth: "token", role: holder.role };
}

/** The holder of the certificate that the TLS layer has verified, or null when there is none. */
function certificateCaller(socket: TLSSocket): Caller | null {
  const certificate = socket.authorized ? socket.getPeerX509Certificate() : undefined;
  return certificate === undefined
    ? null
    : { name: certificateName(certificate), auth: "mtls", role: "sender" };
}

/**
 * The name a certificate stands for: its SPIFFE ID, else the common name of its subject, else its fingerprint.
 * Throws: UNAUTHENTICATED when a SPIFFE ID is not the only URI name, for then it is not clear which one it vouches for.
 * Source: SPIFFE X509-SVID, section 2.
 */
export function certificateName(
  certificate: Pick<X509Certificate, "subjectAltName" | "subject" | "fingerprint256">,
): string {
  // Node quotes a name that holds a comma or a quote (CVE-2021-44532); a quoted one is no SPIFFE ID, and is stepped over whole.
  const names = [
    ...(certificate.subjectAltName ?? "").matchAll(
      /(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)/g,
    ),
  ];
  const uris = names.filter((name) => name[1] === "URI").map((name) => name[2] as string);
  if (uris.some((uri) => uri.startsWith("spiffe://"))) {
    if (uris.length > 1)
      throw new MeshproofError(
        "UNAUTHENTICATED",
        `client certificate: expected one URI name beside a SPIFFE ID, got ${uris.length}`,
      );
    return uris[0] as string;
  }
  const commonName = /^CN=(.+)$/m.exec(certificate.subject ?? "")?.[1];
  return commonName ?? `sha256:${certificate.fingerprint256.replaceAll(":", "").toLowerCase()}`;
}
