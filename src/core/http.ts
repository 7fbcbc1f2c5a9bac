import { fastify } from "fastify";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { STATUS_CODES } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { authorise, createAuthenticator } from "./callers.ts";
import type { Caller, TokenFinder } from "./callers.ts";
import {
  acceptExpectations,
  breakBody,
  connectionError,
  Connections,
  discardBody,
} from "./connections.ts";
import { ERRORS, MeshproofError } from "./errors.ts";
import { createHostGuard, hostHeader, isLoopback } from "./hosts.ts";
import { createListener } from "./listener.ts";
import type { ListenerOptions } from "./listener.ts";
import type { Logger } from "./logger.ts";
import type { Role } from "./tokens.ts";

export type { TlsOptions } from "./listener.ts";

export type {
  FastifyInstance as HttpRoutes,
  FastifyReply as HttpReply,
  FastifyRequest as HttpRequest,
};

declare module "fastify" {
  interface FastifyRequest {
    /** Who asks; null on routes that are open to all. */
    caller: Caller | null;
  }
  interface FastifyContextConfig {
    /** The route is open to all: no token or certificate is asked for. */
    public?: boolean;
  }
}

const GRACE_MS = 10_000;
/** Of a parameter in the path: no shorter than a URL can be, so that the route that knows what it should be says what is wrong with it. */
const MAX_PARAMETER_LENGTH = 64 * 1024;
/** How much of a path a message repeats. */
const MAX_SHOWN_PATH = 256;
/** Retry-After of errors that do not know better: overload passes sooner than a full disk or a store that is down. */
const RETRY_AFTER_SECONDS = { 429: 1, 503: 5 } as const;

/** The body of an error answer, for a request of this Content-Type (undefined when the request cannot be read at all). */
export type ErrorBody = (
  error: MeshproofError,
  contentType: string | undefined,
) => { readonly type: string; readonly body: Buffer };

export interface HttpServerOptions extends ListenerOptions {
  /** Who may ask, on routes that are not public. Absent: everybody (health, metrics). */
  readonly access?:
    | { readonly tokens: TokenFinder | null; readonly roles: readonly Role[] }
    | undefined;
  /** Names that the Host header may say beside ours; see createHostGuard. */
  readonly allowedHosts?: readonly string[] | undefined;
  /** Default: `{"error":{"code","message"}}`. */
  readonly errorBody?: ErrorBody;
  /** Told of each request that was answered with an error. */
  readonly onRefused?: (error: MeshproofError, request: FastifyRequest) => void;
  /** Called when the answer to a request is out. */
  readonly onAnswered?: (answered: AnsweredRequest) => void;
  readonly logger: Logger;
}

/** For metrics: words that a client chose are none of its. */
export interface AnsweredRequest {
  readonly method: string;
  /** The path as it was declared; empty where no route has it. */
  readonly route: string;
  readonly status: number;
  readonly seconds: number;
  /** As the headers say it; undefined for a body in chunks. */
  readonly bodyBytes: number | undefined;
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface HttpServer {
  /** Where routes are added (GET, POST), before `listen`. Bodies are not parsed: a handler reads `request.raw`. */
  readonly routes: FastifyInstance;
  /** Throws: LISTEN_FAILED. */
  listen(): Promise<ListenAddress>;
  /** Takes no new connections or requests (503 with Retry-After), waits for those under way, at most `graceMs`, and closes all connections. */
  close(graceMs?: number): Promise<void>;
}

/** `{"error":{"code","message"}}`, the error body of everything that is not OTLP. */
export const jsonErrorBody: ErrorBody = ({ code, message }) => ({
  type: "application/json; charset=utf-8",
  body: Buffer.from(JSON.stringify({ error: { code, message } })),
});

/**
 * An HTTP/1.1 server with our rules: who may ask, which Host, how long, how large, and how errors are answered.
 * Whatever a handler throws becomes an answer of the ERRORS table; what is no MeshproofError, or would be a 500,
 * becomes a 503 with Retry-After and is logged with its cause, because OTLP exporters drop a batch on 500.
 * Throws: CONFIG_INVALID when the TLS options do not fit together, or the listener would be open beyond loopback.
 */
export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { access, logger, errorBody = jsonErrorBody } = options;
  const clientCertificates = options.tls?.clientAuthorities !== undefined;
  if (
    access !== undefined &&
    access.tokens === null &&
    !clientCertificates &&
    !isLoopback(options.host)
  ) {
    throw new MeshproofError(
      "CONFIG_INVALID",
      `${options.host}:${options.port}: expected tokens or client certificates on an address beyond loopback, got neither`,
    );
  }
  const checkHost = createHostGuard(options.host, options.allowedHosts);
  const authenticate =
    access === undefined
      ? null
      : createAuthenticator({ tokens: access.tokens, clientCertificates });
  const methods = new RouteMethods();
  let draining = false;

  const routes = fastify({
    logger: false,
    serverFactory: (handler) => createListener(options, handler),
    clientErrorHandler: answerBrokenConnection,
    frameworkErrors: (error, request, reply) => answerError(error, request, reply),
    routerOptions: { maxParamLength: MAX_PARAMETER_LENGTH },
    return503OnClosing: false, // `draining` answers, in the right encoding and with Retry-After
  });
  const { server } = routes;
  const connections = new Connections(server);
  acceptExpectations(server);

  // "Without a body": Fastify then leaves Content-Type and body alone, and handlers read `request.raw`.
  routes.addHttpMethod("POST", { hasBody: false, overrideExisting: true });
  routes.decorateRequest("caller", null);
  routes.addHook("onRoute", ({ url, method }) => methods.add(url, method));
  const { onAnswered } = options;
  if (onAnswered !== undefined)
    routes.addHook("onResponse", (request, reply, done) => {
      const length = request.raw.headers["content-length"];
      onAnswered({
        method: request.method,
        route: request.is404 ? "" : (request.routeOptions.url ?? ""),
        status: reply.statusCode,
        seconds: reply.elapsedTime / 1000,
        bodyBytes: length === undefined ? undefined : Number(length),
      });
      done();
    });
  routes.addHook("onRequest", (request, reply, done) => {
    try {
      admit(request, reply);
    } catch (error) {
      done(error as Error);
      return;
    }
    done();
  });
  routes.setNotFoundHandler(() => undefined); // `admit` refuses before; this only makes its hooks run
  routes.setErrorHandler((error, request, reply) => answerError(error, request, reply));

  function admit(request: FastifyRequest, reply: FastifyReply): void {
    if (draining) throw new MeshproofError("SHUTTING_DOWN", "this process is stopping; send again");
    checkHost(hostHeader(request.raw));
    if (
      authenticate !== null &&
      access !== undefined &&
      request.routeOptions.config.public !== true
    ) {
      request.caller = authenticate(request.raw);
      authorise(request.caller, access.roles);
    }
    if (!request.is404) return;
    const path = pathOf(request);
    const allowed = methods.of(path);
    if (allowed.length === 0)
      throw new MeshproofError(
        "NOT_FOUND",
        `expected ${methods.all()}, got ${request.method} ${cut(path)}`,
      );
    reply.header("allow", allowed.join(", "));
    throw new MeshproofError(
      "METHOD_NOT_ALLOWED",
      `${cut(path)}: expected ${allowed.join(" or ")}, got ${request.method}`,
    );
  }

  function answerError(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const error = asMeshproofError(thrown);
    const { status, retryAfter } = answerTo(error);
    if (ERRORS[error.code].http !== status || (error !== thrown && status === 503))
      logger.error(
        { err: thrown, method: request.method, path: pathOf(request) },
        "a request failed unexpectedly",
      );
    else
      logger.debug(
        {
          code: error.code,
          reason: withoutValues(error.message),
          method: request.method,
          path: pathOf(request),
        },
        "a request was refused",
      );
    options.onRefused?.(error, request);
    const { type, body } = errorBody(error, request.raw.headers["content-type"]);
    if (retryAfter !== undefined) reply.header("retry-after", String(retryAfter));
    if (status === 401) reply.header("www-authenticate", 'Bearer realm="meshproof"'); // RFC 6750, section 3
    if (discardBody(request.raw) || draining || brokenConnections.has(request.raw.socket))
      reply.header("connection", "close");
    reply.code(status).header("content-type", type).header("cache-control", "no-store").send(body);
  }

  const brokenConnections = new WeakSet<Duplex>(); // their parser has given up: nothing more can be read from them

  /** Where there is no request to answer, the bytes of an answer go to the socket itself. */
  function answerBrokenConnection(cause: NodeJS.ErrnoException, socket: Duplex): void {
    const isGone = cause.code === "ECONNRESET" || cause.code === "HPE_INVALID_EOF_STATE"; // the latter: closed within a request
    if (isGone || !socket.writable) {
      socket.destroy();
      return;
    }
    const error = connectionError(cause, server.requestTimeout);
    brokenConnections.add(socket);
    if (breakBody(socket, error)) return;
    const { status, retryAfter } = answerTo(error);
    const { type, body } = errorBody(error, undefined);
    const retry = retryAfter === undefined ? "" : `Retry-After: ${retryAfter}\r\n`;
    socket.write(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${retry}Content-Type: ${type}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`,
    );
    socket.end(body, () => socket.destroy());
  }

  return {
    routes,
    async listen() {
      await routes.ready();
      try {
        await routes.listen({
          host: options.host === "localhost" ? "127.0.0.1" : options.host,
          port: options.port,
        });
      } catch (cause) {
        throw new MeshproofError(
          "LISTEN_FAILED",
          `${options.host}:${options.port}: expected an address to listen on: ${(cause as Error).message}`,
          { cause },
        );
      }
      const { address, port } = server.address() as AddressInfo;
      return { host: address, port };
    },
    async close(graceMs = GRACE_MS) {
      draining = true;
      server.keepAliveTimeout = 1; // connections that are busy now close behind their answer
      server.keepAliveTimeoutBuffer = 0;
      const timer = setTimeout(() => connections.closeAll(), graceMs);
      const closed = routes.close();
      connections.closeUnused();
      await closed;
      clearTimeout(timer);
    },
  };
}

/** Which methods each path has, so that a wrong method is told from a wrong path. */
class RouteMethods {
  readonly #routes: {
    readonly url: string;
    readonly pattern: RegExp;
    readonly methods: Set<string>;
  }[] = [];

  add(url: string, method: string | string[]): void {
    let route = this.#routes.find((known) => known.url === url);
    if (route === undefined) {
      const segments = url
        .split("/")
        .map((segment) =>
          segment === "*"
            ? ".*"
            : segment.startsWith(":")
              ? "[^/]+"
              : segment.replace(/[^\w]/g, "\\$&"),
        );
      route = { url, pattern: new RegExp(`^${segments.join("/")}$`), methods: new Set() };
      this.#routes.push(route);
    }
    for (const one of [method].flat()) route.methods.add(one);
  }

  of(path: string): string[] {
    return this.#routes
      .filter((route) => route.pattern.test(path))
      .flatMap((route) => [...route.methods]);
  }

  all(): string {
    return this.#routes
      .map((route) => `${[...route.methods].join(" or ")} ${route.url}`)
      .join(", ");
  }
}

/** What is answered to an error: never 500, and Retry-After whenever the same request may succeed later. */
function answerTo(error: MeshproofError): { status: number; retryAfter: number | undefined } {
  const status = error.httpStatus === 500 ? 503 : error.httpStatus;
  if (status !== 429 && status !== 503) return { status, retryAfter: undefined };
  return {
    status,
    retryAfter: Math.max(1, Math.ceil(error.retryAfterSeconds ?? RETRY_AFTER_SECONDS[status])),
  };
}

/** Without the query, which may hold a secret. */
function pathOf({ url }: FastifyRequest): string {
  return url.split("?", 1)[0]!;
}

/** An error's message for our log, without what came: a client's value may be a secret, which the client knows and our log must not. */
function withoutValues(message: string): string {
  return message.split(", got ", 1)[0]!;
}

/** A path for a message: an answer does not repeat whatever a client sends. */
function cut(path: string): string {
  return path.length > MAX_SHOWN_PATH ? `${path.slice(0, MAX_SHOWN_PATH)}…` : path;
}

function asMeshproofError(thrown: unknown): MeshproofError {
  if (thrown instanceof MeshproofError) return thrown;
  const { code, statusCode, message } = (thrown ?? {}) as {
    code?: unknown;
    statusCode?: unknown;
    message?: string;
  };
  const isFastifys =
    typeof code === "string" && code.startsWith("FST_ERR_") && typeof statusCode === "number";
  if (isFastifys && statusCode < 500)
    return new MeshproofError("BAD_REQUEST", message ?? code, { cause: thrown });
  return new MeshproofError(
    "UNAVAILABLE",
    "the request could not be served; it may be sent again",
    { cause: thrown },
  );
}
