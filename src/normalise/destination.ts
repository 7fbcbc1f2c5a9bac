import { ACCESS } from "../records/access-draft.ts";
import {
  ascii,
  CHAR,
  equalRanges,
  equalsIgnoringCase,
  indexOf,
  indexOfText,
  startsWith,
} from "./ascii.ts";
import { FIELD } from "./fields.ts";
import { NO_NUMBER, readInteger } from "./numbers.ts";
import type { Reading } from "./reading.ts";
import { WORD } from "./words.ts";

const MAX_PORT = 0xffff;
/** Istio's clusters: `direction|port|subset|host`, and some without these parts (pilot/pkg/networking/util, constants). */
const INBOUND = [
  ascii("inbound|"),
  ascii("inbound-vip|"),
  ascii("InboundPassthrough"),
  ascii("inbound_"),
] as const;
const OUTBOUND = [
  ascii("outbound|"),
  ascii("PassthroughCluster"),
  ascii("BlackHoleCluster"),
] as const;
/** What the configuration of a proxy may say in its access log, in either case (as Envoy's `traffic_direction`). */
const SAYS_INBOUND = [ascii("inbound"), ascii("ingress")] as const;
const SAYS_OUTBOUND = [ascii("outbound"), ascii("egress")] as const;
/** Istio's SNI for traffic between sidecars: `outbound_.port_._.host`, with the subset between the underscores. */
const SNI_OUTBOUND = ascii("outbound_.");
const SNI_HOST = ascii("_.");
/** Envoy 1.32 takes such an SNI for no name of a host, and says so in front of it. */
const SNI_INVALID = ascii("invalid:");
/** Envoy Gateway's route names: `httproute/<namespace>/<name>/rule/…`. */
const GATEWAY_ROUTES = [
  ascii("httproute/"),
  ascii("grpcroute/"),
  ascii("tcproute/"),
  ascii("tlsroute/"),
] as const;

/** To whom: addresses on our side, clusters, route, service, workload. */
export function mapDestination(reading: Reading): void {
  applyTraits(reading);
  fillText(reading, ACCESS.Mesh, FIELD.mesh_id);
  fillText(reading, ACCESS.ProxyId, FIELD.node_id);
  fillText(reading, ACCESS.ProxyId, FIELD.pod);
  if (reading.dialect.namesBothSides === true) fillDestination(reading);
  else fillText(reading, ACCESS.LocalNamespace, FIELD.namespace);
  trimCluster(reading);
  mapDirection(reading);
  mapServiceName(reading);
  mapLocalAddress(reading);
}

const OF_DESTINATION: ReadonlySet<number> = new Set([
  ACCESS.ServiceName,
  ACCESS.LocalNamespace,
  ACCESS.LocalWorkload,
]);

/** Columns that the resource gives, the same for all records of a scope. Where the record names both sides, the resource says nothing of the destination. */
function applyTraits(reading: Reading): void {
  const { draft, traits, dialect } = reading;
  const namesBoth = dialect.namesBothSides === true;
  const { bytes, columns, ends } = traits;
  draft.share(bytes);
  let start = 0;
  for (let i = 0; i < columns.length; i++) {
    const end = ends[i]!;
    if (!namesBoth || !OF_DESTINATION.has(columns[i]!)) draft.setShared(columns[i]!, start, end);
    start = end;
  }
}

/** A column that is still empty gets the field; one that says the same already makes the field superfluous. */
function fillText(reading: Reading, column: number, field: number): void {
  const { draft, buffer, start, end } = reading;
  if (!reading.has(field)) return;
  if (draft.isEmpty(column)) return reading.setText(column, field);
  const from = draft.bytesOf(column);
  if (
    equalRanges(from, draft.start[column]!, draft.end[column]!, buffer, start[field]!, end[field]!)
  )
    reading.take(field);
}

/** Direction by the node and the route, else as the record says, else by the cluster. */
function mapDirection(reading: Reading): void {
  if (reading.traits.gateway || startsWithAny(reading, FIELD.route_name, GATEWAY_ROUTES))
    return reading.say(ACCESS.Direction, WORD.gateway);
  const saysInbound = says(reading, SAYS_INBOUND);
  const saysOutbound = says(reading, SAYS_OUTBOUND);
  if (saysInbound || saysOutbound) reading.take(FIELD.direction);
  if (saysInbound || (!saysOutbound && startsWithAny(reading, FIELD.upstream_cluster, INBOUND))) {
    reading.say(ACCESS.Direction, WORD.inbound);
    fillDestination(reading);
  } else if (saysOutbound || startsWithAny(reading, FIELD.upstream_cluster, OUTBOUND)) {
    reading.say(ACCESS.Direction, WORD.outbound);
    fillText(reading, ACCESS.LocalPrincipal, FIELD.upstream_local_uri_san);
  }
}

/** What the destination is, in Istio's words, is this proxy's workload only where the request comes in; unless the dialect says who the destination is anywhere. */
function fillDestination(reading: Reading): void {
  fillText(reading, ACCESS.LocalWorkload, FIELD.destination_workload);
  fillText(reading, ACCESS.LocalNamespace, FIELD.destination_namespace);
  fillText(reading, ACCESS.LocalPrincipal, FIELD.destination_principal);
  fillText(reading, ACCESS.LocalServiceAccount, FIELD.destination_service_account);
}

function says(reading: Reading, words: readonly Uint8Array[]): boolean {
  const field = FIELD.direction;
  if (!reading.has(field)) return false;
  const start = reading.start[field]!;
  const end = reading.end[field]!;
  for (let i = 0; i < words.length; i++)
    if (equalsIgnoringCase(reading.buffer, start, end, words[i]!)) return true;
  return false;
}

function startsWithAny(reading: Reading, field: number, prefixes: readonly Uint8Array[]): boolean {
  if (!reading.has(field)) return false;
  const start = reading.start[field]!;
  const end = reading.end[field]!;
  for (let i = 0; i < prefixes.length; i++)
    if (startsWith(reading.buffer, start, end, prefixes[i]!)) return true;
  return false;
}

/** Some builds of Istio 1.25 write a semicolon behind the cluster. */
function trimCluster(reading: Reading): void {
  const field = FIELD.upstream_cluster;
  if (!reading.has(field) || reading.buffer[reading.end[field]! - 1] !== CHAR.semicolon) return;
  reading.end[field]!--;
  reading.draft.setText(ACCESS.UpstreamCluster, reading.start[field]!, reading.end[field]!);
}

/** Does the cluster, or the SNI, have a name that Istio gives? */
export function isIstioCluster(reading: Reading): boolean {
  return (
    startsWithAny(reading, FIELD.upstream_cluster, INBOUND) ||
    startsWithAny(reading, FIELD.upstream_cluster, OUTBOUND) ||
    reading.beginsWith(FIELD.requested_server_name, SNI_OUTBOUND) ||
    reading.beginsWith(FIELD.requested_server_name, SNI_INVALID)
  );
}

/** When the resource names no service: the cluster's host, else the one in Istio's SNI, else Istio's label. */
function mapServiceName(reading: Reading): void {
  const { draft, buffer, start, end } = reading;
  if (!draft.isEmpty(ACCESS.ServiceName)) return;
  const cluster = FIELD.upstream_cluster;
  if (reading.has(cluster)) {
    let host = start[cluster]!;
    for (let part = 0; part < 3 && host > 0; part++)
      host = indexOf(buffer, CHAR.pipe, host, end[cluster]!) + 1;
    if (host > 0 && host < end[cluster]!)
      return draft.setText(ACCESS.ServiceName, host, end[cluster]!);
  }
  const sni = FIELD.requested_server_name;
  const name = reading.beginsWith(sni, SNI_INVALID) ? SNI_INVALID.length : 0;
  if (reading.has(sni) && startsWith(buffer, start[sni]! + name, end[sni]!, SNI_OUTBOUND)) {
    const port = indexOfText(buffer, SNI_HOST, start[sni]! + name + SNI_OUTBOUND.length, end[sni]!);
    const host = port < 0 ? -1 : indexOfText(buffer, SNI_HOST, port + SNI_HOST.length, end[sni]!);
    if (host >= 0) return draft.setText(ACCESS.ServiceName, host + SNI_HOST.length, end[sni]!);
  }
  fillText(reading, ACCESS.ServiceName, FIELD.destination_service);
}

/** The address that the peer connected to. `server.address` is one, or the host that was asked for. */
function mapLocalAddress(reading: Reading): void {
  const { draft } = reading;
  if (
    !readLocalAddress(reading, FIELD.downstream_local_address) &&
    !readLocalAddress(reading, FIELD.server_address)
  )
    fillText(reading, ACCESS.Authority, FIELD.server_address);
  if (!reading.has(FIELD.server_port) || draft.low[ACCESS.LocalPort] !== 0) return;
  const port = readInteger(reading, FIELD.server_port, MAX_PORT);
  if (port === NO_NUMBER) return;
  draft.setNumber(ACCESS.LocalPort, port);
  reading.take(FIELD.server_port);
}

function readLocalAddress(reading: Reading, field: number): boolean {
  const { draft, address } = reading;
  if (
    !reading.has(field) ||
    !address.parse(reading.buffer, reading.start[field]!, reading.end[field]!)
  )
    return false;
  address.copyTo(draft.localAddress);
  if (address.port > 0) draft.setNumber(ACCESS.LocalPort, address.port);
  reading.take(field);
  return true;
}
