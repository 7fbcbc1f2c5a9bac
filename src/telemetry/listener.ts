import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { MeshproofError } from "../core/errors.ts";

/** A small HTTP server that is up. */
export interface Listener {
  /** The port in use: the one that was free when 0 was asked for. */
  readonly port: number;
  /** Stops listening and ends connections that are idle; resolves when the last answer is out. */
  close(): Promise<void>;
}

/** Headers and body of a scrape or a probe are tiny; a client that takes longer than this is not one. */
const REQUEST_TIMEOUT_MS = 10_000;

/** Answers GET and HEAD through `answer` where `isServed` says so, and names `path` to who asks for another; everything else is 404 or 405. */
export async function listen(
  endpoint: { readonly host: string; readonly port: number },
  path: string,
  isServed: (asked: string) => boolean,
  answer: () => Promise<{ status: number; contentType: string; body: string }>,
): Promise<Listener> {
  const handle: RequestListener = (request, response) => {
    const reply = (status: number, contentType: string, body: string): void => {
      response.writeHead(status, {
        "content-type": contentType,
        "content-length": Buffer.byteLength(body),
        "cache-control": "no-store",
      });
      response.end(request.method === "HEAD" ? undefined : body);
    };
    request.resume();
    if (!isServed(request.url?.split("?", 1)[0] ?? "")) {
      reply(404, "text/plain; charset=utf-8", `not found; try ${path}\n`);
    } else if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("allow", "GET, HEAD");
      reply(405, "text/plain; charset=utf-8", "expected GET or HEAD\n");
    } else {
      answer().then(
        ({ status, contentType, body }) => reply(status, contentType, body),
        (error: unknown) => reply(500, "text/plain; charset=utf-8", `${String(error)}\n`),
      );
    }
  };
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, handle);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const message = `${endpoint.host}:${endpoint.port}: expected an address to listen on, got ${cause.code ?? cause.message}`;
      reject(new MeshproofError("LISTEN_FAILED", message, { cause }));
    });
    server.listen(endpoint.port, endpoint.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      }),
  };
}
