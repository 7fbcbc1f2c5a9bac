import { MeshproofError } from "../core/errors.ts";
import type { HttpRoutes } from "../core/http.ts";
import { nowNanos } from "../core/time.ts";
import { formatTime } from "../records/row-json.ts";
import { checkProvable, findRecord, parsePlace } from "./find-record.ts";
import { type Cursor, formatCursor, parseCursor } from "./cursor.ts";
import { bad, parseTraceId, type QueryParameters, show } from "./parameters.ts";
import { readProofBundle } from "./proof-bundles.ts";
import { makeProof, type ProvableLog } from "./proofs.ts";
import { type Page, readAccessRecords, readCoverage, readTrace } from "./record-reader.ts";
import { type ReadInput, Reads, type ReadsOptions } from "./reads.ts";
import type { AccessFilter } from "./statements.ts";
import { END_OF_TIME_NS } from "./times.ts";

export interface RecordRoutesOptions extends ReadsOptions {
  readonly log: ProvableLog;
}

const DEFAULT_PAGE = 50;
const MAX_PAGE = 1_000;
const MAX_TRACE_RECORDS = 10_000;
const DEFAULT_COVERAGE_NS = 3_600_000_000_000n;

/** Adds the routes that read records: docs/api.md describes them. */
export function registerRecordRoutes(routes: HttpRoutes, options: RecordRoutesOptions): void {
  const { log } = options;
  const reads = new Reads(options);
  routes.get(
    "/api/v1/access-records",
    reads.handler({
      name: "access-records",
      parameters: [
        "trace_id",
        "principal",
        "decision",
        "path",
        "service",
        "policy",
        "from",
        "to",
        "limit",
        "cursor",
      ],
      read: listAccessRecords,
    }),
  );
  routes.get(
    "/api/v1/traces/:trace",
    reads.handler({ name: "trace", parameters: ["limit", "cursor"], read: showTrace }),
  );
  routes.get(
    "/api/v1/records/:record",
    reads.handler({
      name: "record",
      parameters: [],
      async read({ request, run }) {
        const place = parsePlace(request.params, log.id);
        const found = await findRecord(run, log, place, request);
        return { body: found.record, rows: 1 };
      },
    }),
  );
  routes.get(
    "/api/v1/records/:record/proof",
    reads.handler({
      name: "proof",
      parameters: [],
      async read({ request, run }) {
        const place = parsePlace(request.params, log.id);
        checkProvable(log, place);
        const found = await findRecord(run, log, place, request);
        return { body: await makeProof(log, found), rows: 1 };
      },
    }),
  );
  routes.get(
    "/api/v1/proofs",
    reads.handler({
      name: "proofs",
      parameters: ["leaves"],
      read: (input) => readProofBundle(input, log),
    }),
  );
  routes.get(
    "/api/v1/coverage",
    reads.handler({ name: "coverage", parameters: ["from", "to"], read: showCoverage }),
  );
}

async function listAccessRecords({ parameters, run }: ReadInput) {
  const { from, to } = timesOf(parameters, 0n, END_OF_TIME_NS);
  const filters: Partial<Record<AccessFilter, string>> = {};
  const set = (name: AccessFilter, value: string | undefined): void => {
    if (value !== undefined) filters[name] = value;
  };
  set("trace", parameters.traceId("trace_id"));
  set("decision", parameters.decision("decision"));
  set("service", parameters.text("service"));
  set("policy", parameters.text("policy"));
  for (const name of ["principal", "path"] as const) {
    const value = parameters.text(name);
    if (value?.endsWith("*")) set(`${name}Prefix`, value.slice(0, -1));
    else set(name, value);
  }
  const limit = parameters.count("limit", MAX_PAGE) ?? DEFAULT_PAGE;
  const scope = scopeOf("access-records", parameters);
  const cursor = cursorOf(parameters, scope);
  const range = cursor ?? { fromNs: from, toNs: to };
  const page = await readAccessRecords(run, { ...range, filters, after: cursor, limit });
  return { body: bodyOf(page, range, scope), rows: page.records.length };
}

async function showTrace({ request, parameters, run }: ReadInput) {
  const text = (request.params as { readonly trace: string }).trace;
  const trace = parseTraceId(text);
  if (trace === undefined)
    throw bad(`trace ID: expected 32 hex digits (or 16), not all zero, got ${show(text)}`);
  const limit = parameters.count("limit", MAX_TRACE_RECORDS) ?? MAX_TRACE_RECORDS;
  const scope = scopeOf(`trace ${trace}`, parameters);
  const cursor = cursorOf(parameters, scope);
  const page = await readTrace(run, trace, cursor, limit);
  if (page.records.length === 0 && cursor === null)
    throw new MeshproofError("NOT_FOUND", `expected records of the trace ${trace}, found none`);
  const body = { traceId: trace, ...bodyOf(page, { fromNs: 0n, toNs: 0n }, scope) };
  return { body, rows: page.records.length };
}

async function showCoverage({ parameters, run }: ReadInput) {
  const now = nowNanos();
  const { from, to } = timesOf(parameters, now - DEFAULT_COVERAGE_NS, now);
  const workloads = await readCoverage(run, from, to);
  const body = {
    from: formatTime(from),
    to: formatTime(to),
    workloads: workloads.map(({ Workload, ...counts }) => ({ workload: Workload, ...counts })),
  };
  return { body, rows: workloads.length };
}

function timesOf(
  parameters: QueryParameters,
  fromDefault: bigint,
  toDefault: bigint,
): { readonly from: bigint; readonly to: bigint } {
  const now = nowNanos();
  const from = parameters.time("from", now) ?? fromDefault;
  const to = parameters.time("to", now) ?? toDefault;
  if (from < to) return { from, to };
  throw bad(`from: expected a time before to, got ${formatTime(from)} and ${formatTime(to)}`);
}

/** What a cursor belongs to: the route and its parameters, but for those that say how much to give and from where. */
function scopeOf(route: string, { given }: QueryParameters): Readonly<Record<string, string>> {
  const { limit: _limit, cursor: _cursor, ...filters } = given;
  return { route, ...filters };
}

function cursorOf(
  parameters: QueryParameters,
  scope: Readonly<Record<string, string>>,
): Cursor | null {
  const text = parameters.text("cursor");
  return text === undefined ? null : parseCursor(text, scope);
}

function bodyOf(
  { records, next }: Page,
  { fromNs, toNs }: Pick<Cursor, "fromNs" | "toNs">,
  scope: Readonly<Record<string, string>>,
): object {
  return {
    records: records.map(({ record }) => record),
    next: next === null ? null : formatCursor({ ...next, fromNs, toNs }, scope),
  };
}
