/** What is played: every record with its time, ready to be sent. Plain values; exporters.ts makes records of the SDK from them. */

/** Who writes records: a proxy or an application, with the resource attributes that it sends. One object each. */
export interface Source {
  readonly resource: Readonly<Record<string, string>>;
  /** Name and version of the instrumentation scope; Envoy's access logger has none. */
  readonly scope: { readonly name: string; readonly version?: string };
}

export type Attributes = Readonly<Record<string, string | number>>;

interface Planned {
  readonly source: Source;
  readonly startNs: bigint;
  /** When the source knows all of it, and can send it. */
  readonly endNs: bigint;
  readonly traceId: string;
  readonly spanId: string;
  readonly isSampled: boolean;
  readonly attributes: Attributes;
}

/** A proxy's access record, and what meshproof must make of it. */
export interface AccessRecord extends Planned {
  readonly body: string | null;
  readonly expected: Verdict;
}

/** What was decided about a request, in the words of the columns. */
export interface Verdict {
  readonly decision: "allowed" | "denied" | "failed";
  readonly engine: string;
  readonly policy: string;
}

export interface Span extends Planned {
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: "internal" | "server" | "client";
  readonly isError: boolean;
}

export interface ApplicationLog extends Planned {
  readonly severity: "info" | "warn" | "error";
  readonly body: string;
}

/** All that is played, each list in the order of its ends. */
export interface Plan {
  readonly requests: number;
  readonly access: readonly AccessRecord[];
  readonly spans: readonly Span[];
  readonly logs: readonly ApplicationLog[];
  /** The span of a proxy that wrote no access record. */
  readonly blindSpanId: string;
}

/** The truth about a plan, for those who want to compare it with what was stored. */
export interface Tally {
  readonly requests: number;
  readonly access: number;
  readonly spans: number;
  readonly logs: number;
  /** Access records whose span is sent too. */
  readonly links: number;
  readonly unsampled: number;
  /** Access records by `verdictKey`. */
  readonly verdicts: ReadonlyMap<string, number>;
}

/** Counts a plan. */
export function tallyOf(plan: Plan): Tally {
  const { requests, access, spans, logs } = plan;
  const spanIds = new Set(spans.map(({ spanId }) => spanId));
  const verdicts = new Map<string, number>();
  for (const { expected } of access) {
    const key = verdictKey(expected);
    verdicts.set(key, (verdicts.get(key) ?? 0) + 1);
  }
  return {
    requests,
    access: access.length,
    spans: spans.length,
    logs: logs.length,
    links: access.filter(({ spanId }) => spanIds.has(spanId)).length,
    unsampled: access.filter(({ isSampled }) => !isSampled).length,
    verdicts,
  };
}

/** A verdict as one text. */
export function verdictKey({
  decision,
  engine,
  policy,
}: Readonly<Record<keyof Verdict, string>>): string {
  return `${decision} ${engine} ${policy}`.trimEnd();
}
