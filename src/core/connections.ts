import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { MeshproofError } from "./errors.ts";

/** How long a refused request may go on sending its body before its connection is cut. Many clients read no answer before they have sent all. */
const DISCARD_MS = 5000;

/** The reader of a body whose connection breaks, by that connection. A connection has at most one body under way. */
const readers = new WeakMap<Duplex, (error: MeshproofError) => void>();
/** Requests with `Expect: 100-continue` whose sender has not been told yet to go on. */
const expecting = new WeakSet<IncomingMessage>();

/** Calls `onBroken` when the body of `request` cannot arrive whole; tells a sender that asked first to go on. Returns how to stop listening. */
export function watchBody(
  request: IncomingMessage,
  response: ServerResponse,
  onBroken: (error: MeshproofError) => void,
): () => void {
  if (expecting.delete(request)) response.writeContinue();
  return watch(request.socket, onBroken);
}

function watch(socket: Socket, onBroken: (error: MeshproofError) => void): () => void {
  readers.set(socket, onBroken);
  return () => {
    if (readers.get(socket) === onBroken) readers.delete(socket);
  };
}

/**
 * Lets go of the rest of a body that nobody will read, so that the sender, still busy sending, lives to see the answer.
 * Returns whether the connection has to be closed behind the answer instead.
 */
export function discardBody(request: IncomingMessage): boolean {
  if (request.complete || request.destroyed) return false;
  if (expecting.has(request)) return true; // it was never told to go on; what comes next may be the body or another request
  const { socket } = request;
  const cut = () => void socket.destroy();
  const timer = setTimeout(cut, DISCARD_MS).unref();
  const stop = watch(socket, cut);
  const settle = () => {
    clearTimeout(timer);
    stop();
  };
  request.once("end", settle).once("close", settle).resume();
  return false;
}

/** Requests that ask before they send go the way of all others; `watchBody` tells them to go on. Other expectations are ignored (RFC 9110, section 10.1.1). */
export function acceptExpectations(server: Server): void {
  server.on("checkContinue", (request, response) => {
    expecting.add(request);
    server.emit("request", request, response);
  });
  server.on("checkExpectation", (request, response) => server.emit("request", request, response));
}

/** What Node says of a connection whose bytes are no HTTP, are too slow, or stop. */
export function connectionError(
  error: NodeJS.ErrnoException,
  requestTimeoutMs: number,
): MeshproofError {
  if (error.code === "HPE_HEADER_OVERFLOW")
    return new MeshproofError("HEADERS_TOO_LARGE", "expected shorter request headers");
  // Not 408, for which an exporter drops the batch.
  if (error.code === "ERR_HTTP_REQUEST_TIMEOUT")
    return new MeshproofError(
      "UNAVAILABLE",
      `expected the whole request within ${requestTimeoutMs / 1000} s`,
    );
  return new MeshproofError("BAD_REQUEST", `expected an HTTP/1.1 request: ${error.message}`, {
    cause: error,
  });
}

/** Hands an error to the reader of the body under way; false when there is none. */
export function breakBody(socket: Duplex, error: MeshproofError): boolean {
  const reader = readers.get(socket);
  reader?.(error);
  return reader !== undefined;
}

/** The sockets of a server, also those that have not said anything yet, which the HTTP layer does not count as idle. */
export class Connections {
  readonly #sockets = new Set<Socket>();

  constructor(server: Server) {
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
  }

  get size(): number {
    return this.#sockets.size;
  }

  /** Closes connections on which no byte has come. */
  closeUnused(): void {
    for (const socket of this.#sockets) if (socket.bytesRead === 0) socket.destroy();
  }

  closeAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
