import type { IncomingMessage } from "node:http";
import { isIP, isIPv4 } from "node:net";
import { MeshproofError } from "./errors.ts";

/** Names that mean this machine in a Host header. A page on another site cannot make a browser send them. */
const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "::1"];

/** Does `host` (a name or an address, without brackets) reach only this machine when it is listened on? */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase();
  return name === "localhost" || name === "::1" || (isIPv4(name) && name.startsWith("127."));
}

/** The host of a Host header or URL authority, lower case, without port and brackets; undefined when it is not one. */
export function hostOf(authority: string): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:[\]/@]+))(?::\d{1,5})?$/i.exec(authority);
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}

/** The address of a peer as people write it: an IPv4 address that came over an IPv6 socket loses its `::ffff:`. */
export function peerAddress(remoteAddress: string | undefined): string {
  if (remoteAddress === undefined) return "unknown";
  return remoteAddress.startsWith("::ffff:") && isIPv4(remoteAddress.slice(7))
    ? remoteAddress.slice(7)
    : remoteAddress;
}

/**
 * The host that a request is for: the one of an absolute target, which outranks the Host header, else that header.
 * Throws: BAD_REQUEST when there are several Host headers, since everyone may read another one.
 * Source: RFC 9112, sections 3.2 and 3.2.2.
 */
export function hostHeader({
  url,
  headers,
  rawHeaders,
}: Pick<IncomingMessage, "url" | "headers" | "rawHeaders">): string | undefined {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length === 4 && name.toLowerCase() === "host") count++;
  }
  if (count > 1)
    throw new MeshproofError("BAD_REQUEST", `Host: expected one such header, got ${count}`);
  const target = url?.startsWith("/") === false ? /^https?:\/\/([^/?#]*)/i.exec(url) : null;
  return target?.[1] ?? headers.host;
}

/** Throws HOST_REFUSED or BAD_REQUEST unless the Host header may be served. */
export type HostGuard = (header: string | undefined) => void;

/**
 * The guard against DNS rebinding: a page whose own name resolves to our address can make a browser talk to us,
 * but the browser then says that name in Host.
 *
 * `listenHost` is always allowed, and so are the names of loopback. Without `allowed`, a listener on loopback allows
 * nothing else, and one beyond it allows any name: it asks for tokens or certificates, which such a page does not have.
 * An entry is a name or an address, with or without a port; "*" allows any.
 */
export function createHostGuard(
  listenHost: string,
  allowed: readonly string[] | undefined,
): HostGuard {
  const any = allowed === undefined ? !isLoopback(listenHost) : allowed.includes("*");
  const names = new Set([...LOOPBACK_NAMES, listenHost.toLowerCase()]);
  for (const entry of allowed ?? [])
    names.add((isIP(entry) === 0 ? hostOf(entry) : undefined) ?? entry.toLowerCase());
  let lastAllowed = ""; // senders say the same Host with every request

  return (header) => {
    if (header === lastAllowed && header !== "") return;
    const host = header === undefined ? undefined : hostOf(header);
    if (host === undefined)
      throw new MeshproofError(
        "BAD_REQUEST",
        `Host: expected a host name or address, got ${header === undefined ? "no such header" : JSON.stringify(header)}`,
      );
    if (!any && !names.has(host))
      throw new MeshproofError(
        "HOST_REFUSED",
        `Host: expected one of ${[...names].join(", ")}, got ${JSON.stringify(host)}; other names are allowed by allowed_hosts`,
      );
    lastAllowed = header as string;
  };
}
