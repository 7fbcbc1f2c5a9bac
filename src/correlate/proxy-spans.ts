import { behindLength, lengthAt } from "../records/column-finder.ts";

/** The columns of a span that tell whether it is a proxy's, behind its time and IDs. */
export const SPAN_COLUMNS = [
  "Timestamp",
  "TraceId",
  "SpanId",
  "SpanName",
  "SpanKind",
  "ServiceName",
  "ResourceAttributes",
  "ScopeName",
  "SpanAttributes",
] as const;
const NAME = SPAN_COLUMNS.indexOf("SpanName");
const KIND = SPAN_COLUMNS.indexOf("SpanKind");
const SERVICE = SPAN_COLUMNS.indexOf("ServiceName");
const RESOURCE = SPAN_COLUMNS.indexOf("ResourceAttributes");
const SCOPE = SPAN_COLUMNS.indexOf("ScopeName");
const ATTRIBUTES = SPAN_COLUMNS.indexOf("SpanAttributes");

const SDK_NAME = Buffer.from("telemetry.sdk.name");
const COMPONENT = Buffer.from("component");
const NODE_ID = Buffer.from("node_id");
const ENVOY = Buffer.from("envoy");
const PROXY = Buffer.from("proxy");
const SERVER = Buffer.from("Server");
/** What OpenTelemetry SDKs and Envoy call a service without a name. */
const UNKNOWN_SERVICE = Buffer.from("unknown_service");
/** Only the span of the request that came in has these. Source: Envoy, tracing/http_tracer_impl.cc, finalizeDownstreamSpan. */
const DOWNSTREAM_KEYS = ["downstream_cluster", "guid:x-request-id", "http.url"].map((key) =>
  Buffer.from(key),
);
/** Spans of the request that a proxy sent on, of its router and of its own clients. Source: Envoy, router/upstream_request.cc, grpc/async_client_impl.cc. */
const ROUTER = Buffer.from("router ");
const ASYNC = Buffer.from("async ");
const EGRESS = Buffer.from(" egress");

/** Keys of the attributes that are looked at, of the span and of its resource. */
export const SPAN_KEYS: readonly string[] = [SDK_NAME, COMPONENT, NODE_ID, ...DOWNSTREAM_KEYS].map(
  (key) => key.toString(),
);

/**
 * Tells whether a span is a proxy's own of a request that came to it, so that the proxy should have logged the request too.
 * A proxy also makes spans for what it sends on, to the upstream or to a policy engine: they have no access record of their own.
 */
export class ProxySpans {
  /** Whose span it is: its service, else the proxy's node; empty when neither is known. */
  subjectStart = 0;
  subjectEnd = 0;

  /** `positions` are those of SPAN_COLUMNS. */
  read(bytes: Uint8Array, positions: Uint32Array): boolean {
    const isProxy =
      textEquals(bytes, positions[SCOPE]!, ENVOY) ||
      valueEquals(bytes, positions[ATTRIBUTES]!, COMPONENT, PROXY) ||
      valueEquals(bytes, positions[RESOURCE]!, SDK_NAME, ENVOY);
    if (!isProxy || isEgress(bytes, positions[NAME]!)) return false;
    const attributes = positions[ATTRIBUTES]!;
    // A sidecar's outgoing request has a client's span, and so have its router's attempts: attributes tell them apart.
    const cameIn =
      textEquals(bytes, positions[KIND]!, SERVER) ||
      DOWNSTREAM_KEYS.some((key) => findValue(bytes, attributes, key) >= 0);
    if (cameIn) this.#readSubject(bytes, positions[SERVICE]!, attributes);
    return cameIn;
  }

  #readSubject(bytes: Uint8Array, service: number, attributes: number): void {
    const node = findValue(bytes, attributes, NODE_ID);
    const isNamed =
      bytes[service] !== 0 && !startsWith(bytes, behindLength(bytes, service), UNKNOWN_SERVICE);
    const at = isNamed || node < 0 ? service : node;
    this.subjectStart = behindLength(bytes, at);
    this.subjectEnd = this.subjectStart + lengthAt(bytes, at);
  }
}

function isEgress(bytes: Uint8Array, name: number): boolean {
  const start = behindLength(bytes, name);
  const end = start + lengthAt(bytes, name);
  return (
    end - start > EGRESS.length &&
    startsWith(bytes, end - EGRESS.length, EGRESS) &&
    (startsWith(bytes, start, ROUTER) || startsWith(bytes, start, ASYNC))
  );
}

function startsWith(bytes: Uint8Array, at: number, expected: Uint8Array): boolean {
  for (let i = 0; i < expected.length; i++) if (bytes[at + i] !== expected[i]) return false;
  return true;
}

/** Is the short text at `at` the expected one? */
function textEquals(bytes: Uint8Array, at: number, expected: Uint8Array): boolean {
  return bytes[at] === expected.length && startsWith(bytes, at + 1, expected);
}

function valueEquals(
  bytes: Uint8Array,
  map: number,
  key: Uint8Array,
  expected: Uint8Array,
): boolean {
  const at = findValue(bytes, map, key);
  return at >= 0 && textEquals(bytes, at, expected);
}

/** Where the value of `key` stands in the map at `map`, the last one where keys repeat; -1 when there is none. Keys are sorted by their bytes. */
function findValue(bytes: Uint8Array, map: number, key: Uint8Array): number {
  let found = -1;
  let p = behindLength(bytes, map);
  for (let pairs = lengthAt(bytes, map); pairs > 0; pairs--) {
    const length = lengthAt(bytes, p);
    const start = behindLength(bytes, p);
    if (length > 0 && bytes[start]! > key[0]!) return found;
    const value = start + length;
    if (length === key.length && startsWith(bytes, start, key)) found = value;
    p = behindLength(bytes, value) + lengthAt(bytes, value);
  }
  return found;
}
