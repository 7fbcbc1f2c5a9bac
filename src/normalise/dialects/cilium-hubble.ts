import { ACCESS } from "../../records/access-draft.ts";
import { VALUE_TYPES } from "../../records/attributes.ts";
import { ascii, CHAR, indexOf, isDigit } from "../ascii.ts";
import { NO_ENGINE } from "../decision.ts";
import { defineDialect } from "../dialect.ts";
import { FIELD, type FieldName } from "../fields.ts";
import { NO_NUMBER, readInteger } from "../numbers.ts";
import type { Reading } from "../reading.ts";
import type { ShapePlan } from "../shape-plan.ts";
import { moveToStart } from "../times.ts";
import { WORD } from "../words.ts";

/** In front of a flow's members: in exported lines, in what `hubble observe` wrote before 0.11, and in the three ways of hubble-otel (common/encoder.go). */
const PREFIXES = ["flow.", "", "cilium.event_object.", "cilium.flow_event."] as const;

/** Members of a flow, in the names of the protocol. */
const MEMBERS: Readonly<Record<string, FieldName | null>> = {
  time: "start_time",
  verdict: "verdict",
  drop_reason: "reason_code",
  drop_reason_desc: "reason",
  "IP.source": "downstream_remote_address",
  "IP.destination": "downstream_local_address",
  "ip.source": "downstream_remote_address",
  "ip.destination": "downstream_local_address",
  ...ofPorts("TCP", "UDP", "SCTP"),
  "source.namespace": "source_namespace",
  "source.pod_name": "source_pod",
  "source.workloads.0.name": "source_workload",
  "source.labels": "source_labels",
  "destination.namespace": "destination_namespace",
  "destination.pod_name": "destination_pod",
  "destination.workloads.0.name": "destination_workload",
  "destination.labels": "destination_labels",
  "source_service.name": "source_service",
  "destination_service.name": "destination_service",
  "l7.type": "access_log_type",
  "l7.latency_ns": "duration_ns",
  "l7.http.code": "response_code",
  "l7.http.method": "method",
  "l7.http.url": "url",
  "l7.http.protocol": "protocol",
  "l7.dns.query": "authority",
  "l7.kafka.api_key": "method",
  "l7.kafka.topic": "path",
  "event_type.type": "event_type",
  // Of a drop it is the reason.
  "event_type.sub_type": "reason_code",
  node_name: "node_id",
  is_reply: "is_reply",
  reply: "is_reply",
  traffic_direction: "direction",
  "trace_context.parent.trace_id": "trace_id",
  ...ofPolicies("allowed", "policy", "policy_namespace"),
  ...ofPolicies("denied", "denying_policy", "denying_policy_namespace"),
};

/** Fields of the one side and of the other. */
const SIDES: readonly (readonly [source: number, destination: number])[] = [
  [FIELD.downstream_remote_address, FIELD.downstream_local_address],
  [FIELD.client_port, FIELD.server_port],
  [FIELD.source_namespace, FIELD.destination_namespace],
  [FIELD.source_pod, FIELD.destination_pod],
  [FIELD.source_workload, FIELD.destination_workload],
  [FIELD.source_labels, FIELD.destination_labels],
  [FIELD.source_service, FIELD.destination_service],
];

function ofPorts(...protocols: string[]): Record<string, FieldName> {
  return Object.fromEntries(
    protocols.flatMap((protocol) => [
      [`l4.${protocol}.source_port`, "client_port"],
      [`l4.${protocol}.destination_port`, "server_port"],
    ]),
  );
}

function ofPolicies(did: string, name: FieldName, namespace: FieldName): Record<string, FieldName> {
  return Object.fromEntries(
    ["ingress", "egress"].flatMap((direction) => [
      [`${direction}_${did}_by.0.name`, name],
      [`${direction}_${did}_by.0.namespace`, namespace],
    ]),
  );
}

/** What protobuf's JSON makes of a name by default. */
function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** Each member behind each prefix, as Cilium writes it and in camel case. */
function memberKeys(): Record<string, FieldName | null> {
  return Object.fromEntries(
    PREFIXES.flatMap((prefix) =>
      Object.entries(MEMBERS).flatMap(([name, field]) => [
        [prefix + name, field] as const,
        [prefix + camelCase(name), field] as const,
      ]),
    ),
  );
}

/** Verdicts in the order of their numbers (flow.proto, Verdict). */
const VERDICTS = [
  "VERDICT_UNKNOWN",
  "FORWARDED",
  "DROPPED",
  "ERROR",
  "AUDIT",
  "REDIRECTED",
  "TRACED",
  "TRANSLATED",
].map(ascii);
const VERDICT = { forwarded: 1, dropped: 2, error: 3, audit: 4, redirected: 5 } as const;
/** Drop reasons that are refusals; all others are failures of the network (flow.proto, DropReason). */
const REFUSALS: readonly (readonly [name: Uint8Array, number: number, engine: number])[] = [
  [ascii("POLICY_DENIED"), 133, WORD.network_policy],
  [ascii("DENIED_BY_LB_SRC_RANGE_CHECK"), 177, WORD.network_policy],
  [ascii("POLICY_DENY"), 181, WORD.network_policy],
  [ascii("AUTH_REQUIRED"), 189, WORD.network_policy],
  [ascii("DROP_RATE_LIMITED"), 198, WORD.rate_limit],
];
/** Event type of a policy's verdict (pkg/monitor/api, MessageTypePolicyVerdict). */
const POLICY_VERDICT = 5;
const NO_WORD = -1;
const L7_TYPES = ["UNKNOWN_L7_TYPE", "REQUEST", "RESPONSE", "SAMPLE"].map(ascii);
const L7_TYPE = { request: 1, response: 2 } as const;
const DIRECTIONS = ["TRAFFIC_DIRECTION_UNKNOWN", "INGRESS", "EGRESS"].map(ascii);
const DIRECTION_WORDS = [NO_WORD, WORD.inbound, WORD.outbound] as const;
const SERVICE_ACCOUNT = ascii("k8s:io.cilium.k8s.policy.serviceaccount=");
/** Protocols by the names of the members that tell of them; what is above outranks what is below it. HTTP names its version itself. */
const PROTOCOLS: readonly (readonly [member: RegExp, word: number])[] = [
  [/(^|\.)l7\.http(\.|$)/, NO_WORD],
  [/(^|\.)l7\.dns(\.|$)/, WORD.DNS],
  [/(^|\.)l7\.kafka(\.|$)/, WORD.Kafka],
  [/(^|\.)l4\.TCP(\.|$)/, WORD.TCP],
  [/(^|\.)l4\.UDP(\.|$)/, WORD.UDP],
  [/(^|\.)l4\.SCTP(\.|$)/, WORD.SCTP],
  [/(^|\.)l4\.ICMPv4(\.|$)/, WORD.ICMPv4],
  [/(^|\.)l4\.ICMPv6(\.|$)/, WORD.ICMPv6],
  [/(^|\.)l4\.VRRP(\.|$)/, WORD.VRRP],
  [/(^|\.)l4\.IGMP(\.|$)/, WORD.IGMP],
];
/**
 * Flows of Cilium as Hubble exports them, one JSON object each, or as hubble-otel sends them: what the datapath and the DNS and HTTP proxies saw of a packet, request or response.
 * Who sent a reply is the server, so both sides change places there, and the time of a response is the end of its request. Names of workloads come from Cilium's map of addresses:
 * no handshake proved them. One refused packet makes two flows, that of the policy's verdict and that of the drop.
 */
export default defineDialect({
  name: "cilium_hubble",
  source: "https://github.com/cilium/cilium/blob/main/api/v1/flow/flow.proto",
  keys: memberKeys(),
  // What is asked for, such as `produce`.
  harmless: PREFIXES.flatMap((prefix) =>
    ["l7.kafka.api_key", "l7.kafka.apiKey"].map((name) => prefix + name),
  ),
  headers: PREFIXES.map((prefix) => `${prefix}l7.http.headers.`),
  namesBothSides: true,
  matches: ({ keys, keySet }) =>
    PREFIXES.some(
      (prefix) =>
        keySet.has(`${prefix}verdict`) &&
        keys.some((key) => key.startsWith(`${prefix}l4.`) || key.startsWith(`${prefix}source`)) &&
        (prefix !== "" || keySet.has("IP.source") || keySet.has("ip.source")),
    ),
  accepts: (reading) => verdictOf(reading) >= 0,
  prepare(reading) {
    const isReply = reading.has(FIELD.is_reply)
      ? reading.isTrue(FIELD.is_reply)
      : enumOf(reading, FIELD.access_log_type, L7_TYPES) === L7_TYPE.response;
    if (isReply) for (const [source, destination] of SIDES) reading.swap(source, destination);
    if (!reading.has(FIELD.source_workload)) reading.swap(FIELD.source_workload, FIELD.source_pod);
    if (!reading.has(FIELD.destination_workload))
      reading.swap(FIELD.destination_workload, FIELD.destination_pod);
  },
  decide: decideByVerdict,
  finish(reading) {
    const { draft, plan } = reading;
    const protocol = plan.once(protocolOf);
    if (draft.isEmpty(ACCESS.Protocol) && protocol !== NO_WORD)
      reading.say(ACCESS.Protocol, protocol);
    const direction = enumOf(reading, FIELD.direction, DIRECTIONS);
    if (draft.isEmpty(ACCESS.Direction) && direction > 0)
      reading.say(ACCESS.Direction, DIRECTION_WORDS[direction]!);
    mapPhase(reading);
    setServiceAccount(reading, ACCESS.PeerServiceAccount, FIELD.source_labels);
    setServiceAccount(reading, ACCESS.LocalServiceAccount, FIELD.destination_labels);
    setNode(reading);
  },
});

function protocolOf({ keys }: ShapePlan): number {
  const found = PROTOCOLS.find(([member]) => keys.some((key) => member.test(key)));
  return found === undefined ? NO_WORD : found[1];
}

/** An enum by its name or its number, whichever the writer has; NO_NUMBER when it is absent or has another name. */
function enumOf(reading: Reading, field: number, names: readonly Uint8Array[]): number {
  if (!reading.has(field)) return NO_NUMBER;
  if (isNumber(reading, field)) return readInteger(reading, field, names.length - 1);
  for (let i = 0; i < names.length; i++) if (reading.is(field, names[i]!)) return i;
  return NO_NUMBER;
}

function verdictOf(reading: Reading): number {
  return enumOf(reading, FIELD.verdict, VERDICTS);
}

function isNumber(reading: Reading, field: number): boolean {
  const type = reading.type[field];
  return (
    type === VALUE_TYPES.int ||
    (type === VALUE_TYPES.string && isDigit(reading.buffer[reading.start[field]!]!))
  );
}

/** FORWARDED and REDIRECTED (to the proxy, which has its own verdict) are allowances; TRACED and TRANSLATED say that no policy was asked. */
function decideByVerdict(reading: Reading): void {
  const verdict = verdictOf(reading);
  if (verdict === VERDICT.dropped) return decideDrop(reading);
  if (verdict === VERDICT.error) return conclude(reading, WORD.failed, NO_ENGINE);
  if (verdict === VERDICT.audit) {
    conclude(reading, WORD.allowed, WORD.network_policy);
    reading.say(ACCESS.ShadowDecision, WORD.denied);
    return namePolicy(
      reading,
      ACCESS.ShadowPolicy,
      FIELD.denying_policy,
      FIELD.denying_policy_namespace,
    );
  }
  if (verdict !== VERDICT.forwarded && verdict !== VERDICT.redirected)
    return reading.say(ACCESS.Decision, WORD.unknown);
  const status = reading.draft.low[ACCESS.StatusCode]!;
  conclude(
    reading,
    WORD.allowed,
    status === 401 || status === 403 ? WORD.app : WORD.network_policy,
  );
  namePolicy(reading, ACCESS.Policy, FIELD.policy, FIELD.policy_namespace);
}

/** What is dropped without a reason was refused where a proxy dropped it, a policy is named or the event is a policy's verdict; else nobody can say. */
function decideDrop(reading: Reading): void {
  const field = reading.has(FIELD.reason) ? FIELD.reason : FIELD.reason_code;
  let engine: number = NO_ENGINE;
  if (reading.has(field)) {
    const number = isNumber(reading, field) ? readInteger(reading, field, 0xffff) : NO_NUMBER;
    const refusal = REFUSALS.find(([name, code]) => number === code || reading.is(field, name));
    if (refusal !== undefined) engine = refusal[2];
  } else if (
    reading.has(FIELD.access_log_type) ||
    reading.has(FIELD.denying_policy) ||
    isPolicyVerdict(reading)
  )
    engine = WORD.network_policy;
  else return reading.say(ACCESS.Decision, WORD.unknown);
  conclude(reading, engine === NO_ENGINE ? WORD.failed : WORD.denied, engine);
  if (reading.type[FIELD.reason] === VALUE_TYPES.string)
    reading.setText(ACCESS.DecisionReason, FIELD.reason);
  namePolicy(reading, ACCESS.Policy, FIELD.denying_policy, FIELD.denying_policy_namespace);
}

function isPolicyVerdict(reading: Reading): boolean {
  const field = FIELD.event_type;
  return (
    reading.has(field) &&
    isNumber(reading, field) &&
    readInteger(reading, field, 0xffff) === POLICY_VERDICT
  );
}

function conclude(reading: Reading, decision: number, engine: number): void {
  reading.say(ACCESS.Decision, decision);
  if (engine !== NO_ENGINE) reading.say(ACCESS.DecisionEngine, engine);
  reading.nameSourceAs(FIELD.verdict);
}

/** `namespace/name`; a policy of the whole cluster has no namespace. */
function namePolicy(reading: Reading, column: number, name: number, namespace: number): void {
  if (!reading.has(namespace)) return reading.setText(column, name);
  if (!reading.has(name)) return;
  const { draft } = reading;
  const at = draft.scratchEnd;
  for (const field of [namespace, name]) {
    const start = reading.start[field]!;
    const length = reading.end[field]! - start;
    draft.reserve(length + 1);
    for (let i = 0; i < length; i++) draft.scratch[draft.scratchEnd++] = reading.buffer[start + i]!;
    if (field === namespace) draft.scratch[draft.scratchEnd++] = CHAR.slash;
    reading.take(field);
  }
  draft.setScratch(column, at, draft.scratchEnd);
}

/** A request is logged when it comes and its response when it goes. Of connections there are packets, and only the flags say which. */
function mapPhase(reading: Reading): void {
  const type = enumOf(reading, FIELD.access_log_type, L7_TYPES);
  if (type === L7_TYPE.request) reading.say(ACCESS.Phase, WORD.start);
  else if (type === L7_TYPE.response) {
    if (reading.has(FIELD.start_time)) moveToStart(reading);
  } else {
    if (verdictOf(reading) !== VERDICT.dropped)
      reading.say(ACCESS.Phase, reading.plan.once(phaseOf));
    return;
  }
  reading.take(FIELD.access_log_type);
}

/** Flags that are not set do not stand there. */
function phaseOf({ keys }: ShapePlan): number {
  const isSet = (flag: string): boolean => keys.some((key) => key.endsWith(`l4.TCP.flags.${flag}`));
  if (isSet("SYN") && !isSet("ACK")) return WORD.start;
  return isSet("FIN") || isSet("RST") ? WORD.end : WORD.periodic;
}

/** The identity's label for it. */
function setServiceAccount(reading: Reading, column: number, field: number): void {
  const { draft, labels, buffer, start, end, type } = reading;
  if (
    draft.isEmpty(column) &&
    reading.has(field) &&
    labels.find(buffer, start[field]!, end[field]!, type[field]!, SERVICE_ACCOUNT)
  )
    draft.setText(column, labels.start, labels.end);
}

/** A node is named `cluster/node` where clusters have names. */
function setNode(reading: Reading): void {
  const { draft, buffer, start, end } = reading;
  const node = FIELD.node_id;
  // The resource is the collector's, or the sender's of the packet: neither is who saw the flow.
  reading.setText(ACCESS.ProxyId, node);
  if (!reading.has(node) || !draft.isEmpty(ACCESS.ClusterName)) return;
  const slash = indexOf(buffer, CHAR.slash, start[node]!, end[node]!);
  if (slash >= 0) draft.setText(ACCESS.ClusterName, start[node]!, slash);
}
