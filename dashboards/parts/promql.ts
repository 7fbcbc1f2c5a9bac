/**
 * A counter of ours or of the Collector's, as a selector. `withoutTypeSuffix` of the configuration, like the Collector's option of that name,
 * says whether `_total` stands behind counters: both are meant.
 */
export function counter(name: string, matchers = ""): string {
  const more = matchers === "" ? "" : `,${matchers}`;
  return `{__name__=~"${name}(_total)?",instance=~"$instance"${more}}`;
}

/** Its rate a second over what one point of the panel stands for. */
export function rate(name: string, matchers = ""): string {
  return `rate(${counter(name, matchers)}[$__rate_interval])`;
}

/** A gauge. */
export function gauge(name: string): string {
  return `${name}{instance=~"$instance"}`;
}

/** A quantile of a histogram, by some of its labels. */
export function quantile(q: number, histogram: string, ...labels: readonly string[]): string {
  const by = ["le", ...labels].join(", ");
  return `histogram_quantile(${q}, sum by (${by}) (rate(${histogram}_bucket{instance=~"$instance"}[$__rate_interval])))`;
}
