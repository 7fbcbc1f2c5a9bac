import { createServer as createPlainServer } from "node:http";
import type { RequestListener, Server, ServerOptions } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { MeshproofError } from "./errors.ts";
import type { Logger } from "./logger.ts";

/** Headers within this time, so that a slow sender holds no more than its socket. */
const HEADERS_TIMEOUT_MS = 10_000;
/** The whole request within this time: a 64 MiB body at 9 Mbit/s. The Collector's exporter gives up after 30 s. */
const REQUEST_TIMEOUT_MS = 60_000;
/** Longer than Go's and Envoy's clients keep an idle connection (90 s, 60 s), so that it is the client who closes it: a request into a closing connection is lost. */
const KEEP_ALIVE_MS = 95_000;
/** How often Node looks for connections over their time. */
const TIMEOUT_CHECK_MS = 2000;
const TLS_HANDSHAKE_TIMEOUT_MS = 10_000;
const MAX_HEADER_BYTES = 16 * 1024;
/** Beyond this, connections are dropped as they come. Each holds at most two socket buffers of 64 KiB while it waits. */
const MAX_CONNECTIONS = 10_000;

export interface TlsOptions {
  /** PEM: our certificate, with its intermediates behind it, and its key. */
  readonly certificate: string | Buffer;
  readonly key: string | Buffer;
  /** PEM: authorities whose client certificates are accepted. Absent: no client certificate is asked for. */
  readonly clientAuthorities?: string | Buffer;
  /** Without a valid client certificate there is no connection, as with the Collector's `client_ca_file`. Default true; false leaves tokens as the other way in. */
  readonly requireClientCertificate?: boolean;
  readonly minVersion?: "TLSv1.2" | "TLSv1.3";
}

export interface ListenerOptions {
  /** A name or an address without brackets; "localhost" is 127.0.0.1. */
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly tls?: TlsOptions | undefined;
  readonly headersTimeoutMs?: number | undefined;
  readonly requestTimeoutMs?: number | undefined;
  readonly logger: Logger;
}

/** Node's own server with our limits and, with `tls`, over TLS; not listening yet. Throws: CONFIG_INVALID. */
export function createListener(
  {
    tls,
    host,
    port,
    headersTimeoutMs = HEADERS_TIMEOUT_MS,
    requestTimeoutMs = REQUEST_TIMEOUT_MS,
    logger,
  }: ListenerOptions,
  handler: RequestListener,
): Server {
  const settings: ServerOptions = {
    headersTimeout: Math.min(headersTimeoutMs, requestTimeoutMs),
    requestTimeout: requestTimeoutMs,
    connectionsCheckingInterval: Math.min(TIMEOUT_CHECK_MS, requestTimeoutMs),
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
    requireHostHeader: false, // the host guard answers, with a body
  };
  let server: Server;
  try {
    server =
      tls === undefined
        ? createPlainServer(settings, handler)
        : createTlsServer({ ...settings, ...tlsSettings(tls) }, handler);
  } catch (cause) {
    throw new MeshproofError(
      "CONFIG_INVALID",
      `${host}:${port}: tls: expected a PEM certificate and the key that belongs to it: ${(cause as Error).message}`,
      { cause },
    );
  }
  server.maxConnections = MAX_CONNECTIONS;
  server.on("tlsClientError", (error) =>
    logger.debug({ reason: error.message }, "a TLS handshake failed"),
  );
  return server;
}

function tlsSettings(tls: TlsOptions): object {
  const withClients = tls.clientAuthorities !== undefined;
  return {
    cert: tls.certificate,
    key: tls.key,
    ca: tls.clientAuthorities,
    requestCert: withClients,
    rejectUnauthorized: withClients && tls.requireClientCertificate !== false,
    minVersion: tls.minVersion ?? "TLSv1.2",
    handshakeTimeout: TLS_HANDSHAKE_TIMEOUT_MS,
  };
}
