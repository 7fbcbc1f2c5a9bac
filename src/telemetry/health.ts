import { listen, type Listener } from "./listener.ts";

/** One part that must work for the whole to be healthy. */
export interface HealthCheck {
  readonly name: string;
  readonly ok: boolean;
  /** Records are taken and stored all the same: when it fails people are told, and the answer stays 200. */
  readonly isWarning?: boolean;
  /** A sentence on the state: for people who read the 503. */
  readonly detail: string;
}

export interface HealthOptions {
  /** The state of every part now. Called at each request, so it must be cheap: it reads, it does not probe. */
  readonly checks: () => readonly HealthCheck[];
  readonly startedAtMs: number;
  /** Answers are given here and below; `/`, the default, is every path. */
  readonly path?: string;
}

export interface HealthReason {
  readonly name: string;
  readonly detail: string;
}

/** The body that the Collector's health_check extension answers, and the checks that failed where some did. */
export interface HealthReport {
  readonly status: "Server available" | "Server not available";
  readonly upSince: string;
  readonly uptime: string;
  readonly reasons?: readonly HealthReason[];
  readonly warnings?: readonly HealthReason[];
}

/**
 * What to answer now. A check that throws counts as failed.
 * Source: OpenTelemetry Collector, extension/healthcheckextension/README.md, `response_body`.
 */
export function reportHealth(options: HealthOptions, nowMs: number): HealthReport {
  const failed = runChecks(options.checks).filter(({ ok }) => !ok);
  const reasons = failed.filter(({ isWarning }) => isWarning !== true).map(toReason);
  const warnings = failed.filter(({ isWarning }) => isWarning === true).map(toReason);
  return {
    status: reasons.length === 0 ? "Server available" : "Server not available",
    upSince: new Date(options.startedAtMs).toISOString(),
    uptime: formatUptime(Math.max(0, nowMs - options.startedAtMs)),
    ...(reasons.length === 0 ? {} : { reasons }),
    ...(warnings.length === 0 ? {} : { warnings }),
  };
}

function toReason({ name, detail }: HealthCheck): HealthReason {
  return { name, detail };
}

function runChecks(checks: HealthOptions["checks"]): readonly HealthCheck[] {
  try {
    return checks();
  } catch (error) {
    return [{ name: "checks", ok: false, detail: String(error) }];
  }
}

/** As Go prints a duration: `16m24.68s`. */
function formatUptime(ms: number): string {
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor(ms / 60_000) % 60;
  const seconds = (ms % 60_000) / 1000;
  return `${hours > 0 ? `${hours}h` : ""}${hours > 0 || minutes > 0 ? `${minutes}m` : ""}${seconds}s`;
}

/** Answers health probes: 200 while every check holds, else 503. */
export async function listenHealth(
  endpoint: { readonly host: string; readonly port: number },
  options: HealthOptions,
): Promise<Listener> {
  const path = options.path ?? "/";
  // Go's mux, which the Collector's extension uses, takes a path with a slash at its end for all below.
  const isBelow = (asked: string): boolean =>
    asked === path || asked.startsWith(path.endsWith("/") ? path : `${path}/`);
  return listen(endpoint, path, isBelow, async () => {
    const report = reportHealth(options, Date.now());
    return {
      status: report.status === "Server available" ? 200 : 503,
      contentType: "application/json",
      body: `${JSON.stringify(report)}\n`,
    };
  });
}
