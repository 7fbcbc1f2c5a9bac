/**
 * The text format that Prometheus scrapes. The SDK's own serializer puts `_total` behind every counter, and the
 * Collector's counters have none, so this one writes names as they are given.
 * Source: prometheus.io, Exposition formats, "Text-based format" (version 0.0.4).
 */
export const PROMETHEUS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export type Labels = Readonly<Record<string, unknown>>;

export interface HistogramValue {
  /** Upper bounds, ascending, without the last, which is +Inf. */
  readonly boundaries: readonly number[];
  /** Observations per bucket, one more than boundaries; not cumulative. */
  readonly counts: readonly number[];
  readonly sum: number;
  readonly count: number;
}

/** One metric with all its label sets. */
export type Family = { readonly name: string; readonly help: string } & (
  | {
      readonly type: "counter" | "gauge";
      readonly points: readonly { readonly labels: Labels; readonly value: number }[];
    }
  | {
      readonly type: "histogram";
      readonly points: readonly { readonly labels: Labels; readonly value: HistogramValue }[];
    }
);

/** The whole answer to a scrape. Families without a point are left out. */
export function formatFamilies(families: readonly Family[]): string {
  return families
    .filter(({ points }) => points.length > 0)
    .map(
      (family) =>
        `# HELP ${family.name} ${escapeHelp(family.help)}\n# TYPE ${family.name} ${family.type}\n${formatPoints(family)}`,
    )
    .join("");
}

function formatPoints(family: Family): string {
  if (family.type !== "histogram") {
    return family.points
      .map(({ labels, value }) => formatSample(family.name, labels, value))
      .join("");
  }
  return family.points
    .map(({ labels, value: { boundaries, counts, sum, count } }) => {
      let cumulative = 0;
      const buckets = [...boundaries, Infinity].map((bound, index) => {
        cumulative += counts[index] ?? 0;
        return formatSample(
          `${family.name}_bucket`,
          { ...labels, le: formatValue(bound) },
          cumulative,
        );
      });
      return [
        ...buckets,
        formatSample(`${family.name}_sum`, labels, sum),
        formatSample(`${family.name}_count`, labels, count),
      ].join("");
    })
    .join("");
}

function formatSample(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(
    ([label, text]) => `${label}="${escapeLabel(String(text))}"`,
  );
  return `${name}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${formatValue(value)}\n`;
}

function formatValue(value: number): string {
  return value === Infinity ? "+Inf" : value === -Infinity ? "-Inf" : String(value);
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"');
}
