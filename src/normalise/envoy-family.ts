import { ACCESS } from "../records/access-draft.ts";
import { ascii, indexOfText } from "./ascii.ts";
import { WEIGHTS } from "./attribute-keys.ts";
import { isIstioCluster } from "./destination.ts";
import { FIELD } from "./fields.ts";
import type { Reading } from "./reading.ts";
import type { ScopeTraits, Writer } from "./scope-traits.ts";
import type { ShapePlan } from "./shape-plan.ts";
import { WORD } from "./words.ts";

/**
 * Meshes whose proxy is Envoy write the same keys, and some the very same set. What tells them apart is what stands in the keys: how a mesh names clusters, routes and
 * services. So the dialects of this family ask one question, and no two get the same answer.
 */
export const FAMILY = { envoy: 0, istio: 1, consul: 2, envoyGateway: 3, kuma: 4 } as const;

/** Fields that must be there when Envoy's labels are not. */
const MIN_FIELDS = 4;
/** Envoy writes no scope; where there is one, an SDK was at work, and more must speak for Envoy. Collectors name the receiver that reads files. */
const SCOPE_WEIGHT = 2;

/** Istio's JSON format, without what versions added or dropped (pilot/pkg/model/telemetry_logging.go, EnvoyJSONLogFormatIstio). */
const ISTIO_KEYS = [
  "start_time",
  "method",
  "path",
  "protocol",
  "response_code",
  "response_flags",
  "bytes_received",
  "bytes_sent",
  "duration",
  "upstream_service_time",
  "x_forwarded_for",
  "user_agent",
  "request_id",
  "authority",
  "upstream_host",
  "upstream_cluster",
  "upstream_local_address",
  "downstream_local_address",
  "downstream_remote_address",
  "requested_server_name",
  "upstream_transport_failure_reason",
];
/** Envoy Gateway's name for the path, which nobody else uses. */
const GATEWAY_PATH = "x-envoy-origin-path";
/** Envoy Gateway's routes and clusters: `httproute/<namespace>/<name>/rule/…`. */
const GATEWAY_ROUTES = [
  ascii("httproute/"),
  ascii("grpcroute/"),
  ascii("tcproute/"),
  ascii("tlsroute/"),
  ascii("udproute/"),
];
/** Consul's clusters: the application beside the proxy, and `<service>.<namespace>.<datacenter>.internal.<trust domain>.consul`. */
const CONSUL_LOCAL = [ascii("local_app"), ascii("local_agent")];
const CONSUL_DOMAIN = ascii(".consul");
const CONSUL_POLICY = ascii("consul-intentions");

/**
 * Can records with these keys be written by an Envoy? They can when the resource carries Envoy's labels or Kuma's, or when keys that are Envoy's own stand among
 * them: one of them beside a request, or several of the words that Envoy shares with others. HTTP attributes of the semantic conventions alone are any application's.
 */
export function isEnvoyShape(plan: ShapePlan, traits: ScopeTraits): boolean {
  if (traits.envoyLabels || traits.kuma) return plan.fieldCount >= 2;
  const needed =
    (plan.hasRequest ? WEIGHTS.sure : WEIGHTS.sure + WEIGHTS.likely) +
    (traits.scopeName === "" || plan.fromFile ? 0 : SCOPE_WEIGHT);
  const weight = plan.weight + (plan.namesKuma ? WEIGHTS.sure : 0);
  return plan.fieldCount >= MIN_FIELDS && weight >= needed;
}

/** Which mesh's Envoy wrote the record, one of FAMILY. Asked for records of an Envoy's shape. */
export function familyOf(reading: Reading): number {
  if (reading.family < 0) reading.family = findFamily(reading);
  return reading.family;
}

/** Meshes whose sidecars' containers have a name of their own. */
const OF_WRITER: Readonly<Partial<Record<Writer, number>>> = {
  "istio-proxy": FAMILY.istio,
  "kuma-sidecar": FAMILY.kuma,
  "consul-dataplane": FAMILY.consul,
};

function findFamily(reading: Reading): number {
  const { plan, traits } = reading;
  if (traits.kuma || plan.namesKuma) return FAMILY.kuma;
  if (plan.namesGatewayPath || isGatewayRoute(reading)) return FAMILY.envoyGateway;
  if (isConsul(reading)) return FAMILY.consul;
  // Istio's OpenTelemetry logger is Envoy's own, with whatever keys its user chose; its JSON lines come as a body, or a collector took them apart.
  const isJson = !traits.envoyLabels && (reading.bodyIsRead || reading.isTakenApart);
  if (isJson && traits.writer !== "") {
    const family = OF_WRITER[traits.writer];
    if (family !== undefined) return family;
  }
  return isJson && (isIstioCluster(reading) || plan.isIstioSet) ? FAMILY.istio : FAMILY.envoy;
}

/** Is the set of keys Istio's? Consul's default is the same set. */
export function isIstioSet(keys: ReadonlySet<string>): boolean {
  return ISTIO_KEYS.every((key) => keys.has(key));
}

/** Is one of the keys Envoy Gateway's alone? */
export function namesGatewayPath(keys: ReadonlySet<string>): boolean {
  return keys.has(GATEWAY_PATH);
}

/** Is one of the keys a name of Kuma's (`kuma_mesh`, `KUMA_SOURCE_SERVICE`)? */
export function namesKuma(keys: ReadonlySet<string>): boolean {
  return [...keys].some((key) => /^%?kuma_/i.test(key));
}

function isGatewayRoute(reading: Reading): boolean {
  return (
    beginsWithAny(reading, FIELD.route_name, GATEWAY_ROUTES) ||
    beginsWithAny(reading, FIELD.upstream_cluster, GATEWAY_ROUTES)
  );
}

function isConsul(reading: Reading): boolean {
  return (
    beginsWithAny(reading, FIELD.upstream_cluster, CONSUL_LOCAL) ||
    reading.endsWith(FIELD.upstream_cluster, CONSUL_DOMAIN) ||
    reading.endsWith(FIELD.requested_server_name, CONSUL_DOMAIN) ||
    holds(reading, FIELD.response_code_details, CONSUL_POLICY) ||
    holds(reading, FIELD.connection_termination_details, CONSUL_POLICY)
  );
}

function beginsWithAny(reading: Reading, field: number, prefixes: readonly Uint8Array[]): boolean {
  if (!reading.has(field)) return false;
  for (let i = 0; i < prefixes.length; i++)
    if (reading.beginsWith(field, prefixes[i]!)) return true;
  return false;
}

function holds(reading: Reading, field: number, text: Uint8Array): boolean {
  return (
    reading.has(field) &&
    indexOfText(reading.buffer, text, reading.start[field]!, reading.end[field]!) >= 0
  );
}

/** A line of a default format always has a duration when its stream has ended; without one it was written while the stream went on. */
export function phaseByDuration(reading: Reading): void {
  if (!reading.partial && !reading.has(FIELD.duration) && !reading.has(FIELD.access_log_type))
    reading.say(ACCESS.Phase, WORD.periodic);
}
