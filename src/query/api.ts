import type { TokenFinder } from "../core/callers.ts";
import type { MeshproofError } from "../core/errors.ts";
import { createHttpServer } from "../core/http.ts";
import type { HttpServer } from "../core/http.ts";
import type { ListenerOptions } from "../core/listener.ts";
import { type Erasures, registerErasureRoutes } from "./erasure-routes.ts";
import { registerLogRoutes } from "./log-routes.ts";
import { registerRecordRoutes, type RecordRoutesOptions } from "./record-routes.ts";

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
  /** Keys that sign or have signed checkpoints, oldest first. */
  readonly keys: readonly LogKeyStatus[];
  /** The witnesses that are asked to cosign. */
  readonly witnesses: readonly WitnessReport[];
  readonly verification: VerificationStatus;
}

/** The last scheduled verification of each mode; null before the first. */
export interface VerificationStatus {
  readonly full: VerificationRunStatus | null;
  readonly incremental: VerificationRunStatus | null;
}

export interface VerificationRunStatus {
  /** RFC 3339. */
  readonly endedAt: string;
  readonly durationMs: number;
  /** failed: there is no verdict, and `reason` says why. */
  readonly outcome: "ok" | "broken" | "failed";
  readonly reason: string;
  /** The last verdict of this mode: of this run, or where it failed of one before. */
  readonly integrity: "ok" | "broken" | "unknown";
  readonly completeness: "ok" | "gaps" | "unknown";
  readonly treeSize: string;
  readonly records: string;
  readonly faultCount: string;
}

/** A key of the log, with the sizes of the first and the last checkpoint that it signed. */
export interface LogKeyStatus {
  readonly verifierKey: string;
  readonly from: string;
  /** null while it signs. */
  readonly through: string | null;
  /** Leaf index of the record that names it as the successor of the key before; null for the first. */
  readonly record: string | null;
}

/** How it stands with one witness. */
export interface WitnessReport {
  /** As the policy names it. */
  readonly name: string;
  readonly verifierKey: string;
  readonly url: string;
  /** Leaves under the checkpoint that it cosigned last, as far as is known. */
  readonly size: string;
  /** When, by its own clock, in seconds since the epoch; null before the first time. */
  readonly cosignedAt: string | null;
  /** Why the last round had no cosignature of it; null when it had one. */
  readonly error: string | null;
}

export interface ApiOptions extends ListenerOptions {
  readonly tokens: TokenFinder | null;
  readonly allowedHosts?: readonly string[] | undefined;
  /** `<data>/log`. */
  readonly logDirectory: string;
  /** `/log/` is open to all; `/api/` never is. */
  readonly publicLog: boolean;
  readonly logStatus: () => LogStatus;
  readonly records: Omit<RecordRoutesOptions, "logger">;
  /** Absent: no route erases anything. */
  readonly erasures?: Erasures;
  /** Told of each request that was answered with an error, also of those that are not sealed as reads. */
  readonly onRefused?: ((error: MeshproofError) => void) | undefined;
}

/** The read side: the log's tiles and the API. Not listening yet; further routes may be added first. Throws: CONFIG_INVALID. */
export function createApiServer(options: ApiOptions): HttpServer {
  const { tokens, logDirectory, publicLog, logStatus, records, erasures, onRefused, ...listener } =
    options;
  const server = createHttpServer({
    ...listener,
    onRefused: (error) => onRefused?.(error),
    access: { tokens, roles: ["reader", "auditor", "admin"] },
  });
  registerLogRoutes(server.routes, { directory: logDirectory, isPublic: publicLog });
  server.routes.get("/api/v1/log", (_request, reply) => {
    reply.header("cache-control", "no-store").send(logStatus());
  });
  registerRecordRoutes(server.routes, { ...records, logger: options.logger });
  if (erasures !== undefined) registerErasureRoutes(server.routes, erasures);
  return server;
}
