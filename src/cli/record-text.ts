import type { RecordJson } from "../records/row-json.ts";
import { printable, type Style } from "./output.ts";

/** How the columns of a record read to people. Everything here is fit for a terminal, whatever a sender wrote. */

/** Of a longer value only both ends are looked at; no terminal shows more. */
const MAX_SHOWN = 1024;

/** A column's text; empty when it is absent or no text. */
export function field(record: RecordJson, name: string): string {
  const value = record[name];
  if (typeof value !== "string") return "";
  return printable(
    value.length <= MAX_SHOWN
      ? value
      : `${value.slice(0, MAX_SHOWN / 2)}…${value.slice(-MAX_SHOWN / 2)}`,
  );
}

/** A column's number; undefined when it is absent. For display alone: a 64-bit number may lose its last digits. */
export function number(record: RecordJson, name: string): number | undefined {
  const value = record[name];
  if (typeof value === "number") return Number.isFinite(value) ? value : undefined;
  return typeof value === "string" && /^-?\d{1,20}$/.test(value) ? Number(value) : undefined;
}

const RFC_3339 = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.(\d{9})Z$/;
const NS_PER_MS = 1_000_000n;

/** Nanoseconds since the epoch of the record's time; undefined when it has none. */
export function timeNs(record: RecordJson): bigint | undefined {
  const [, day, time, fraction] = RFC_3339.exec(field(record, "Timestamp")) ?? [];
  if (fraction === undefined) return undefined;
  const ms = Date.parse(`${day}T${time}Z`);
  return Number.isNaN(ms) ? undefined : BigInt(ms) * NS_PER_MS + BigInt(fraction);
}

/** The record's day and its time to the millisecond, both UTC. */
export function dayAndTime(record: RecordJson): { readonly day: string; readonly time: string } {
  const [, day, time, fraction] = RFC_3339.exec(field(record, "Timestamp")) ?? [];
  return fraction === undefined
    ? { day: "", time: "?" }
    : { day: day as string, time: `${time}.${fraction.slice(0, 3)}` };
}

const MAX_DAYS = 999_999;

/** A span of time in three digits: `850ns`, `3.2ms`, `1.25s`, `2m03s`, `3h04m`, `12d`. */
export function formatNs(ns: number): string {
  const magnitude = Math.abs(ns);
  if (magnitude < 0.5) return "0";
  const sign = ns < 0 ? "-" : "";
  const short = (value: number): number => Number(value.toPrecision(3));
  if (magnitude < 1e3) return `${sign}${short(magnitude)}ns`;
  if (magnitude < 1e6) return `${sign}${short(magnitude / 1e3)}µs`;
  if (magnitude < 1e9) return `${sign}${short(magnitude / 1e6)}ms`;
  const seconds = magnitude / 1e9;
  if (seconds < 60) return `${sign}${short(seconds)}s`;
  const two = (value: number): string => String(Math.floor(value)).padStart(2, "0");
  if (seconds < 3600) return `${sign}${Math.floor(seconds / 60)}m${two(seconds % 60)}s`;
  if (seconds < 86_400)
    return `${sign}${Math.floor(seconds / 3600)}h${two((seconds % 3600) / 60)}m`;
  // A column of 64 bits holds no more days than these; JSON may.
  return seconds < MAX_DAYS * 86_400
    ? `${sign}${Math.floor(seconds / 86_400)}d`
    : `${sign}>${MAX_DAYS}d`;
}

/** How long it took; empty when nobody knows. */
export function took(record: RecordJson, column: string): string {
  const ns = number(record, column);
  return ns === undefined || ns < 0 ? "" : formatNs(ns);
}

/** A name of others among words of ours: in quotation marks if a space in it could make it read as more than one word. */
function named(text: string): string {
  return /[\s"]/.test(text) ? `"${text.replaceAll('"', '\\"')}"` : text;
}

const SPIFFE_ID = /^spiffe:\/\/([^/]+)\/ns\/([^/]+)\/sa\/([^/]+)$/;

/**
 * A principal as people call it: `namespace/name` of a SPIFFE ID in Istio's form. Another trust domain than `home` stays,
 * for the same name there is somebody else; where `home` is unknown nothing can be said of that.
 */
export function shortPrincipal(principal: string, home: string): string {
  const [, domain, namespace, name] = SPIFFE_ID.exec(principal) ?? [];
  if (name === undefined) return named(principal.replace(/^spiffe:\/\//, ""));
  const short = `${namespace}/${name}`;
  const homeDomain = SPIFFE_ID.exec(home)?.[1];
  return named(homeDomain === undefined || homeDomain === domain ? short : `${short}@${domain}`);
}

/** The end user; empty when there is none. */
export function endUser(record: RecordJson): string {
  return named(field(record, "EndUser"));
}

/** Who asked: the end user if there is one, and the peer's principal; where nobody is named, the address. */
export function who(record: RecordJson): string {
  const user = endUser(record);
  const principal = shortPrincipal(field(record, "PeerPrincipal"), field(record, "LocalPrincipal"));
  const address = field(record, "PeerAddress").replace(/^::$|^::ffff:(?=[\d.]+$)/, "");
  if (user !== "") return principal === "" ? user : `${user} via ${principal}`;
  return principal || address || "unknown";
}

/** What was asked: method, service (or the host that was named, where none is known) and path, without the query. */
export function requested(record: RecordJson): string {
  const host = ["ServiceName", "Authority", "RequestedServerName"]
    .map((name) => field(record, name))
    .find((name) => name !== "");
  const target = `${(host ?? "").replace(/\.svc\.cluster\.local(?=:|$)/, "")}${field(record, "Path")}`;
  const method = field(record, "Method") || field(record, "Protocol");
  return [method, named(target)].filter((part) => part !== "").join(" ");
}

/** How it ended: the status, gRPC's where that says more, and the proxy's flags. */
export function status(record: RecordJson): string {
  const grpc = number(record, "GrpcStatus") ?? -1;
  const http = number(record, "StatusCode") ?? 0;
  const code = grpc > 0 ? `grpc ${grpc}` : http > 0 ? String(http) : "";
  return [code, field(record, "ResponseFlags")].filter((part) => part !== "").join(" ");
}

/** The policy that decided, or the kind of engine that did where it named none. */
export function policy(record: RecordJson): string {
  return named(field(record, "Policy") || field(record, "DecisionEngine"));
}

const DECISION_STYLES: ReadonlyMap<unknown, Style> = new Map([
  ["denied", "red"],
  ["failed", "yellow"],
  ["unknown", "dim"],
]);

/** Red for what was refused, yellow for what broke. */
export function decisionStyle(record: RecordJson): Style | undefined {
  return DECISION_STYLES.get(record["Decision"]);
}
