import { setTimeout } from "node:timers/promises";
import { type Tally, verdictKey } from "./plan.ts";

/** What the store holds of a play: every number is read back, none is taken from the sender. */

/** Asks ClickHouse; 64-bit integers come as strings. */
export type Query = <T>(
  statement: string,
  parameters?: Readonly<Record<string, string | number>>,
) => Promise<T[]>;

export interface Counts {
  /** Traces among the access records. */
  readonly requests: number;
  /** From the first access record's start to the last one's. */
  readonly seconds: number;
  readonly access: number;
  readonly spans: number;
  readonly logs: number;
  readonly links: number;
  /** Links that join an access record and a span with the same trace and span ID. */
  readonly trueLinks: number;
  readonly unsampled: number;
  readonly denied: number;
  readonly failed: number;
  readonly shadowDenied: number;
  readonly retried: number;
}

export interface VerdictCount {
  readonly decision: string;
  readonly engine: string;
  readonly policy: string;
  readonly count: number;
}

export interface Slowest {
  readonly method: string;
  readonly path: string;
  readonly service: string;
  readonly milliseconds: number;
}

/** Who asked for what is not there. */
export interface Probe {
  readonly address: string;
  readonly requests: number;
  readonly paths: number;
}

export interface Finding {
  readonly leafIndex: number;
  readonly kind: string;
  readonly severity: string;
  readonly subject: string;
  readonly message: string;
  /** Leaf indexes. */
  readonly evidence: readonly number[];
}

type Row<T> = { readonly [K in keyof T]: string };

const ACCESS_COUNTS = `
SELECT uniqExact(TraceId) AS requests, count() AS access, countIf(TraceFlags = 0) AS unsampled,
  countIf(Decision = 'denied') AS denied, countIf(Decision = 'failed') AS failed,
  countIf(ShadowDecision = 'denied') AS shadowDenied, countIf(Attempts > 1) AS retried,
  (toUnixTimestamp64Nano(max(Timestamp)) - toUnixTimestamp64Nano(min(Timestamp))) / 1e9 AS seconds
FROM access_records`;
const OTHER_COUNTS = `
SELECT (SELECT count() FROM otel_traces) AS spans, (SELECT count() FROM otel_logs) AS logs,
  (SELECT count() FROM trace_links) AS links`;
const TRUE_LINKS = `
SELECT count() AS trueLinks FROM trace_links AS link
JOIN access_records AS record ON record.LeafIndex = link.AccessLeaf
JOIN otel_traces AS span ON span.LeafIndex = link.SpanLeaf
WHERE record.TraceId = span.TraceId AND record.SpanId = span.SpanId AND link.TraceId = span.TraceId`;
const ARRIVED = `
SELECT (SELECT count() FROM access_records) AS access, (SELECT count() FROM otel_traces) AS spans,
  (SELECT count() FROM otel_logs) AS logs, (SELECT count() FROM trace_links) AS links`;
const VERDICTS = `
SELECT Decision AS decision, DecisionEngine AS engine, Policy AS policy, count() AS count
FROM access_records GROUP BY decision, engine, policy ORDER BY count DESC, engine, policy`;
const SLOWEST = `
SELECT Method AS method, Path AS path, ServiceName AS service, DurationNs / 1e6 AS milliseconds
FROM access_records WHERE Direction = 'inbound' ORDER BY DurationNs DESC, LeafIndex LIMIT 1`;
const PROBE = `
SELECT Actor AS address, count() AS requests, uniqExact(Path) AS paths
FROM access_records WHERE Direction = 'gateway' AND Decision = 'failed' AND StatusCode = 404
GROUP BY address ORDER BY requests DESC LIMIT 1`;
const FINDINGS = `
SELECT LeafIndex AS leafIndex, FindingKind AS kind, Severity AS severity, Subject AS subject, Message AS message,
  Evidence AS evidence
FROM findings WHERE FindingKind = {kind:String} ORDER BY LeafIndex`;
const STORED = `
SELECT (SELECT count() FROM access_records) + (SELECT count() FROM otel_traces) + (SELECT count() FROM otel_logs)
  + (SELECT count() FROM trace_links) + (SELECT count() FROM findings) + (SELECT count() FROM control_records) AS stored`;

export async function readCounts(query: Query): Promise<Counts> {
  const rows = await Promise.all([query(ACCESS_COUNTS), query(OTHER_COUNTS), query(TRUE_LINKS)]);
  return numbers(Object.assign({}, ...rows.flat()) as Row<Counts>);
}

/** Is all that was sent stored and linked? */
export async function hasArrived(query: Query, sent: Tally): Promise<boolean> {
  const [row] = await query<Row<Pick<Tally, "access" | "spans" | "logs" | "links">>>(ARRIVED);
  const { access, spans, logs, links } = numbers(row!);
  return access >= sent.access && spans >= sent.spans && logs >= sent.logs && links >= sent.links;
}

/** Access records by decision, engine and policy, most first. */
export async function readVerdicts(query: Query): Promise<VerdictCount[]> {
  const rows = await query<Row<VerdictCount>>(VERDICTS);
  return rows.map((row) => ({ ...row, count: Number(row.count) }));
}

export async function readSlowest(query: Query): Promise<Slowest | null> {
  const [row] = await query<Row<Slowest>>(SLOWEST);
  return row === undefined ? null : { ...row, milliseconds: Number(row.milliseconds) };
}

export async function readProbe(query: Query): Promise<Probe | null> {
  const [row] = await query<Row<Probe>>(PROBE);
  if (row === undefined) return null;
  return { address: row.address, requests: Number(row.requests), paths: Number(row.paths) };
}

/** Findings of a kind in the order of the log. */
export async function readFindings(query: Query, kind: string): Promise<Finding[]> {
  const rows = await query<Row<Finding> & { readonly evidence: readonly string[] }>(FINDINGS, {
    kind,
  });
  return rows.map((row) => ({
    ...row,
    leafIndex: Number(row.leafIndex),
    evidence: row.evidence.map(Number),
  }));
}

/** Rows in all tables together. */
export async function readStored(query: Query): Promise<number> {
  const [row] = await query<{ readonly stored: string }>(STORED);
  return Number(row!.stored);
}

function numbers<T extends object>(row: Row<T>): T {
  return Object.fromEntries(Object.entries(row).map(([name, text]) => [name, Number(text)])) as T;
}

/** What differs between what was sent and what is stored, a sentence each; nothing when all is there. */
export function compare(
  sent: Tally,
  stored: Counts,
  verdicts: readonly VerdictCount[],
): readonly string[] {
  const problems: string[] = [];
  const check = (name: string, expected: number, found: number): void => {
    if (expected !== found) problems.push(`${name}: ${expected} were sent, ${found} are stored`);
  };
  check("requests", sent.requests, stored.requests);
  check("access records", sent.access, stored.access);
  check("spans", sent.spans, stored.spans);
  check("application logs", sent.logs, stored.logs);
  check("access records without a sampled trace", sent.unsampled, stored.unsampled);
  if (stored.links !== sent.links)
    problems.push(`links: ${sent.links} pairs were sent, ${stored.links} were linked`);
  if (stored.trueLinks !== stored.links)
    problems.push(`links: ${stored.links - stored.trueLinks} join what does not belong together`);
  const found = new Map(verdicts.map((verdict) => [verdictKey(verdict), verdict.count]));
  for (const key of new Set([...sent.verdicts.keys(), ...found.keys()]))
    check(key, sent.verdicts.get(key) ?? 0, found.get(key) ?? 0);
  return problems;
}

const POLL_MS = 200;

/**
 * Waits until `isThere` answers with something, at most `timeoutMs`.
 * Returns: what it answered, undefined when it never did.
 * Throws: the abort reason of `signal`.
 */
export async function waitFor<T>(
  isThere: () => Promise<T | undefined>,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<T | undefined> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await isThere();
    if (answer !== undefined || Date.now() >= deadline) return answer;
    await setTimeout(POLL_MS, undefined, { signal });
  }
}
