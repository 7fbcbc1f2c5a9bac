/**
 * How values are written in a configuration: durations, byte sizes, endpoints, retention periods. Pure text functions,
 * each `parse…` with its `format…`; a `parse…` returns undefined for what it cannot read, and the schema says what was expected.
 */

/** A span of time, as a number of milliseconds. */
export type Milliseconds = number;
/** A size, as a number of bytes. */
export type Bytes = number;

/** Where to listen. `host` is a name or an IP address without brackets; port 0 means any free port. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** How long records are kept, counted from the time they were received. Months are those of the calendar. */
export interface Retention {
  readonly count: number;
  readonly unit: "days" | "months";
}

const NANOS_PER_UNIT: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3, // U+00B5, as Go prints it
  μs: 1e3, // U+03BC, as Go also reads it
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
  day: 86_400e9,
  days: 86_400e9,
};
const NANOS_PER_MS = 1e6;
const DURATION_PART = /(\d+(?:\.\d*)?|\.\d+) ?(ns|us|µs|μs|ms|days?|h|m|s)(?![a-zµμ])\s*/gy;

/**
 * Milliseconds of a duration in Go's notation (`200ms`, `1m30s`), or in days (`7 days`).
 * Source: Go, package time, ParseDuration; a bare number has no unit and is refused, except 0.
 */
export function parseDuration(text: string): Milliseconds | undefined {
  if (text === "0") return 0;
  let nanos = 0;
  DURATION_PART.lastIndex = 0;
  let end = 0;
  for (let part = DURATION_PART.exec(text); part !== null; part = DURATION_PART.exec(text)) {
    nanos += Number(part[1]) * (NANOS_PER_UNIT[part[2] as string] as number);
    end = DURATION_PART.lastIndex;
  }
  const ms = nanos / NANOS_PER_MS;
  return end > 0 && end === text.length && ms <= Number.MAX_SAFE_INTEGER ? ms : undefined;
}

/** The shortest notation that `parseDuration` reads back as the same number: `1h`, `1m30s`, `200ms`. */
export function formatDuration(ms: Milliseconds): string {
  if (ms === 0) return "0s";
  if (ms < 1) return `${Math.round(ms * 1e6)}ns`;
  if (!Number.isInteger(ms / 1000)) return `${ms}ms`;
  const seconds = ms / 1000;
  const parts = [
    [Math.floor(seconds / 3600), "h"],
    [Math.floor((seconds % 3600) / 60), "m"],
    [seconds % 60, "s"],
  ] as const;
  return parts.flatMap(([count, unit]) => (count === 0 ? [] : [`${count}${unit}`])).join("");
}

const BYTES_PER_UNIT: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** Bytes of a size such as `64MiB`, `1.5 GiB`, `10MB` (10⁷) or a plain whole number of bytes. */
export function parseSize(text: string): Bytes | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([kmgt]?i?b)?$/i.exec(text);
  if (match === null) return undefined;
  const perUnit = BYTES_PER_UNIT[(match[2] ?? "B").toLowerCase()];
  if (perUnit === undefined) return undefined;
  const bytes = Number(match[1]) * perUnit;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The size in the largest binary unit that gives a whole number: `64MiB`, `1500B`. */
export function formatSize(bytes: Bytes): string {
  for (const [unit, perUnit] of [
    ["TiB", 2 ** 40],
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ] as const) {
    if (bytes >= perUnit && bytes % perUnit === 0) return `${bytes / perUnit}${unit}`;
  }
  return `${bytes}B`;
}

const MAX_PORT = 65_535;
const HOST_NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*\.?$/i;

/** Is `text` a host name, or an IPv4 address, by its characters? */
export function isHostName(text: string): boolean {
  return HOST_NAME.test(text);
}

/** Host and port of `127.0.0.1:4318`, `localhost:0` or `[::1]:4318`. An IPv6 address stands in brackets. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const match = /^(?:\[([0-9a-f:.]+(?:%[\w.-]+)?)\]|([^:[\]]+)):(\d{1,5})$/i.exec(text);
  if (match === null) return undefined;
  const [, v6, name, portText] = match;
  const port = Number(portText);
  if (port > MAX_PORT) return undefined;
  if (v6 !== undefined) return v6.includes(":") ? { host: v6, port } : undefined;
  return name !== undefined && isHostName(name) ? { host: name, port } : undefined;
}

/** `host:port`, with brackets around an IPv6 address, as it stands in a URL. */
export function formatEndpoint(endpoint: Endpoint): string {
  return `${endpoint.host.includes(":") ? `[${endpoint.host}]` : endpoint.host}:${endpoint.port}`;
}

/** A retention period: `13 months`, `90 days`. */
export function parseRetention(text: string): Retention | undefined {
  const match = /^([1-9]\d{0,5}) ?(day|month)s?$/.exec(text);
  if (match === null) return undefined;
  return { count: Number(match[1]), unit: match[2] === "day" ? "days" : "months" };
}

export function formatRetention(retention: Retention): string {
  return `${retention.count} ${retention.count === 1 ? retention.unit.slice(0, -1) : retention.unit}`;
}

const MAX_DAYS_PER_MONTH = 31;

/** Days after which a period is over wherever it begins: a month counts 31. */
export function retentionDays(retention: Retention): number {
  return retention.unit === "days" ? retention.count : retention.count * MAX_DAYS_PER_MONTH;
}
