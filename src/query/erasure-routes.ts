import { authorise } from "../core/callers.ts";
import { MeshproofError } from "../core/errors.ts";
import type { HttpRequest, HttpRoutes } from "../core/http.ts";
import { parseRuns, type Run } from "../records/drops.ts";
import { callerOf } from "./reads.ts";

/** What erases rows; see src/retention/erasure.ts. */
export interface Erasures {
  erase(request: {
    readonly what: { readonly runs: readonly Run[] } | { readonly principal: string };
    readonly reason: string;
    readonly caller: Readonly<Record<string, string>>;
    readonly dryRun: boolean;
  }): Promise<{
    readonly counts: Readonly<Record<string, number>>;
    readonly records: readonly number[];
  }>;
  /** Sealed erasures whose rows may still be there. */
  openErasures(): Promise<readonly number[]>;
}

const MAX_BODY_BYTES = 1024 * 1024;
const MAX_REASON_LENGTH = 1_000;
const MAX_PRINCIPAL_LENGTH = 4_096;
const MAX_RUNS = 20_000;
const KEYS: ReadonlySet<string> = new Set(["records", "principal", "reason", "dry_run"]);

/** Adds `POST` and `GET /api/v1/erasures`, for the role admin: docs/retention.md describes them. */
export function registerErasureRoutes(routes: HttpRoutes, erasures: Erasures): void {
  routes.post("/api/v1/erasures", async (request, reply) => {
    checkCaller(request);
    const asked = parseErasure(await readJson(request));
    const { counts, records } = await erasures.erase({ ...asked, caller: callerOf(request) });
    return reply
      .code(asked.dryRun ? 200 : 202)
      .header("cache-control", "no-store")
      .send({ dryRun: asked.dryRun, counts: texts(counts), records: records.map(String) });
  });
  routes.get("/api/v1/erasures", async (request, reply) => {
    checkCaller(request);
    const open = await erasures.openErasures();
    return reply.header("cache-control", "no-store").send({ open: open.map(String) });
  });
}

function checkCaller({ caller }: HttpRequest): void {
  if (caller !== null) authorise(caller, ["admin"]);
}

function texts(counts: Readonly<Record<string, number>>): Record<string, string> {
  return Object.fromEntries(Object.entries(counts).map(([key, count]) => [key, String(count)]));
}

/** A web page cannot send this type to another host without asking first (Fetch, "CORS-safelisted request-header"), and nobody answers that here. */
async function readJson({ raw }: HttpRequest): Promise<unknown> {
  const type = (raw.headers["content-type"] ?? "").split(";", 1)[0]!.trim().toLowerCase();
  if (type !== "application/json")
    throw new MeshproofError(
      "UNSUPPORTED_MEDIA_TYPE",
      `Content-Type: expected application/json, got ${JSON.stringify(type.slice(0, 80))}`,
    );
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of raw as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES)
      throw new MeshproofError(
        "BODY_TOO_LARGE",
        `expected a body of at most ${MAX_BODY_BYTES} bytes, got more`,
      );
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch (cause) {
    throw new MeshproofError("BAD_REQUEST", "expected a JSON object, got something else", {
      cause,
    });
  }
}

function parseErasure(body: unknown): {
  readonly what: { readonly runs: readonly Run[] } | { readonly principal: string };
  readonly reason: string;
  readonly dryRun: boolean;
} {
  const fields = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const { records, principal, reason, dry_run: dryRun = false } = fields;
  const unknown = Object.keys(fields).find((key) => !KEYS.has(key));
  if (unknown !== undefined)
    throw bad(`expected records or principal, reason and dry_run, got ${JSON.stringify(unknown)}`);
  if (typeof dryRun !== "boolean") throw bad("dry_run: expected true or false, got another value");
  if (!isText(reason, MAX_REASON_LENGTH))
    throw bad(`reason: expected a text of at most ${MAX_REASON_LENGTH} characters, got none`);
  if (principal !== undefined && records === undefined) {
    if (isText(principal, MAX_PRINCIPAL_LENGTH)) return { what: { principal }, reason, dryRun };
    throw bad(`principal: expected a text of at most ${MAX_PRINCIPAL_LENGTH} characters`);
  }
  if (principal !== undefined || !isText(records, MAX_BODY_BYTES))
    throw bad("expected either records, such as 12 100-199, or principal");
  return { what: { runs: readRuns(records) }, reason, dryRun };
}

function readRuns(text: string): Run[] {
  let runs: Run[];
  try {
    runs = parseRuns(text.trim());
  } catch (cause) {
    throw bad(`records: ${(cause as Error).message}`);
  }
  if (runs.length > MAX_RUNS)
    throw bad(`records: expected at most ${MAX_RUNS} numbers and ranges, got ${runs.length}`);
  return runs;
}

function isText(value: unknown, maxLength: number): value is string {
  return typeof value === "string" && value.trim() !== "" && value.length <= maxLength;
}

function bad(message: string): MeshproofError {
  return new MeshproofError("BAD_REQUEST", message);
}
