import type { TokenFinder } from "../core/callers.ts";
import { createHttpServer } from "../core/http.ts";
import type { HttpServer } from "../core/http.ts";
import type { ListenerOptions } from "../core/listener.ts";
import { registerLogRoutes } from "./log-routes.ts";

/** The answer of `GET /api/v1/log`. Sizes are decimal strings, as all 64-bit integers of the API. */
export interface LogStatus {
  readonly origin: string;
  /** First 16 hex digits of the SHA-256 of row 0. */
  readonly logId: string;
  /** `<origin>+<key id>+<base64>`, as signed-note verifiers take it. */
  readonly verifierKey: string;
  /** Leaves under the newest signed checkpoint, and under the one that `/log/checkpoint` serves. */
  readonly signedSize: string;
  readonly publishedSize: string;
  /** Leaves that are durable but under no published checkpoint yet. */
  readonly lag: string;
  /** Verifier keys of the witnesses that are asked to cosign. */
  readonly witnesses: readonly string[];
}

export interface ApiOptions extends ListenerOptions {
  readonly tokens: TokenFinder | null;
  readonly allowedHosts?: readonly string[] | undefined;
  /** `<data>/log`. */
  readonly logDirectory: string;
  /** `/log/` is open to all; `/api/` never is. */
  readonly publicLog: boolean;
  readonly logStatus: () => LogStatus;
}

/** The read side: the log's tiles and the API. Not listening yet; further routes may be added first. Throws: CONFIG_INVALID. */
export function createApiServer(options: ApiOptions): HttpServer {
  const { tokens, logDirectory, publicLog, logStatus, ...listener } = options;
  const server = createHttpServer({
    ...listener,
    access: { tokens, roles: ["reader", "auditor", "admin"] },
  });
  registerLogRoutes(server.routes, { directory: logDirectory, isPublic: publicLog });
  server.routes.get("/api/v1/log", (_request, reply) => {
    reply.header("cache-control", "no-store").send(logStatus());
  });
  return server;
}
