import { MeshproofError } from "../core/errors.ts";
import type { RecordJson } from "../records/row-json.ts";
import { type ApiClient, type ApiOption, openApi } from "./api-client.ts";
import type { Context } from "./context.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { printable } from "./output.ts";
import { readPages } from "./pages.ts";
import { renderTrace, type TraceAnswer } from "./trace-tree.ts";

/** As traces have it; a 64-bit one of B3 may stand without its zeros. */
const TRACE_ID = /^(?:[0-9a-f]{16}|[0-9a-f]{32})$/i;
/** A record as `meshproof records` names it: its leaf index, or log ID and leaf index. */
const RECORD = /^(?:[0-9a-f]{16}:)?\d{1,15}$/i;
/** Bound of a trace in memory; of a larger one the beginning is shown. */
const EXTENT = { limit: 20_000, pageSize: 1000 };

/**
 * Prints everything that is known of one trace. `id` is a trace ID, or a record whose trace is meant.
 * Throws: CONFIG_INVALID when it is neither; NOT_FOUND when there is no such trace or record.
 */
export async function trace(
  id: string,
  options: ApiOption & { json?: boolean },
  context: Context,
): Promise<ExitCode> {
  if (!TRACE_ID.test(id) && !RECORD.test(id))
    throw new MeshproofError(
      "CONFIG_INVALID",
      `expected a trace ID of 32 hex digits, or the leaf index of a record, got ${printable(id)}`,
    );
  const api = openApi(options, context);
  const traceId = TRACE_ID.test(id) ? id.toLowerCase().padStart(32, "0") : await traceOf(id, api);
  const answer = await readTrace(traceId, api);
  const { output } = context;
  if (options.json === true) output.json(answer);
  else for (const line of renderTrace(answer, output)) output.line(line);
  return EXIT.ok;
}

async function traceOf(record: string, api: ApiClient): Promise<string> {
  const { TraceId } = await api.json(`api/v1/records/${record}`);
  if (typeof TraceId === "string" && TRACE_ID.test(TraceId)) return TraceId;
  throw new MeshproofError("NOT_FOUND", `record ${record} belongs to no trace`);
}

async function readTrace(traceId: string, api: ApiClient): Promise<TraceAnswer> {
  const records: RecordJson[] = [];
  let next: string | null = null;
  for await (const page of readPages(api, `api/v1/traces/${traceId}`, {}, EXTENT)) {
    records.push(...page.records);
    ({ next } = page);
  }
  return { traceId, records, next };
}
