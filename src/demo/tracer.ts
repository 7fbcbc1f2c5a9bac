import { type Call, type Entry, OK, type Reply } from "./calls.ts";
import {
  accessAttributes,
  accessSource,
  istioLine,
  proxySpanAttributes,
  type Seen,
  spanSource,
  verdictOf,
} from "./envoy.ts";
import { FRONTEND, GATEWAY, hostOf, PORT, type Workload } from "./mesh.ts";
import type { AccessRecord, ApplicationLog, Source, Span } from "./plan.ts";
import type { Random } from "./random.ts";

/** The kubelet's address on the node, and the name under which it checks health. */
const KUBELET = { address: "10.4.0.1", userAgent: "kube-probe/1.34" };
const PUBLIC_HOST = "shop.example";
/** What a proxy needs to answer by itself. */
const REFUSAL_MS = 1.6;

/** What is the same for all requests of a trace. */
interface Trace {
  readonly traceId: string;
  readonly requestId: string;
  readonly isSampled: boolean;
  readonly user: string | null;
  readonly userAgent: string;
  readonly forwardedFor: string;
}

/** Who connects to a proxy. */
interface Peer {
  readonly workload: Workload | null;
  readonly address: string;
}

/** Follows requests through the mesh and collects what each proxy and each application on their way writes. */
export class Tracer {
  readonly access: AccessRecord[] = [];
  readonly spans: Span[] = [];
  readonly logs: ApplicationLog[] = [];
  blindSpanId = "";
  readonly #random: Random;
  readonly #sources = new Map<string, Source>();

  constructor(random: Random) {
    this.#random = random;
  }

  /** Follows one request that arrives at `startNs`. */
  enter({ from, call }: Entry, startNs: bigint): void {
    const isKubelet = from === "kubelet";
    const isWorkload = !isKubelet && "pod" in from;
    const visitor = isKubelet || isWorkload ? null : from;
    const trace: Trace = {
      traceId: this.#random.hex(16),
      requestId: this.#requestId(!isKubelet),
      isSampled: !isKubelet,
      user: visitor?.user ?? null,
      userAgent: isWorkload ? `${from.name}/1.0` : (visitor ?? KUBELET).userAgent,
      forwardedFor: visitor?.address ?? "-",
    };
    if (isWorkload) this.#outbound(call, from, trace, "", startNs);
    else if (visitor === null)
      this.#inbound(call, call.reply ?? OK, { workload: null, ...KUBELET }, trace, "", startNs);
    else this.#gateway(call, visitor.address, trace, startNs);
  }

  /** The gateway: one proxy, one span, and behind it the proxy of the workload. Returns when it ended. */
  #gateway(call: Call, address: string, trace: Trace, startNs: bigint): void {
    const spanId = this.#random.hex(8);
    const reply = call.reply ?? OK;
    const isOwn = call.to === GATEWAY;
    const peer = { workload: GATEWAY, address: GATEWAY.address };
    const endNs = isOwn
      ? startNs + this.#spent(REFUSAL_MS)
      : this.#inbound(call, reply, peer, trace, spanId, startNs + this.#spent(0.5));
    this.#proxy({
      call,
      proxy: GATEWAY,
      side: "gateway",
      peer: { workload: null, address },
      trace,
      spanId,
      parentSpanId: "",
      startNs,
      endNs: endNs + this.#spent(0.2),
      reply: isOwn ? reply : answered(reply),
      attempts: 1,
    });
  }

  /** The proxy beside the caller: one span, however many attempts it takes. Returns when the caller had its answer. */
  #outbound(
    call: Call,
    from: Workload,
    trace: Trace,
    parentSpanId: string,
    startNs: bigint,
  ): bigint {
    const spanId = this.#random.hex(8);
    const reply = call.reply ?? OK;
    const refused = call.refusedAttempts ?? [];
    let endNs = startNs + this.#spent(0.3);
    for (const attempt of [...refused, reply]) {
      if (attempt.by !== "client proxy")
        endNs = this.#inbound(
          call,
          attempt,
          { workload: from, address: from.address },
          trace,
          spanId,
          endNs,
        );
      endNs += this.#spent(0.3);
    }
    this.#proxy({
      call,
      proxy: from,
      side: "outbound",
      peer: { workload: null, address: from.address },
      trace,
      spanId,
      parentSpanId,
      startNs,
      endNs,
      reply: answered(reply),
      attempts: refused.length + 1,
    });
    return endNs;
  }

  /** The proxy in front of the called workload, and the application behind it. Returns when the answer was sent. */
  #inbound(
    call: Call,
    reply: Reply,
    peer: Peer,
    trace: Trace,
    parentSpanId: string,
    startNs: bigint,
  ): bigint {
    const spanId = this.#random.hex(8);
    const endNs =
      reply.by === "application"
        ? this.#application(call, reply, trace, spanId, startNs + this.#spent(0.2))
        : startNs + this.#spent(REFUSAL_MS);
    this.#proxy({
      call,
      proxy: call.to,
      side: "inbound",
      peer,
      trace,
      spanId,
      parentSpanId,
      startNs,
      endNs: endNs + this.#spent(0.2),
      reply,
      attempts: 1,
    });
    return endNs + this.#spent(0.2);
  }

  /** The application: a span, and what it asks of others. Returns when it answered. */
  #application(
    call: Call,
    reply: Reply,
    trace: Trace,
    parentSpanId: string,
    startNs: bigint,
  ): bigint {
    const { to, method, path, workMs, calls = [], log } = call;
    const spanId = this.#random.hex(8);
    let now = startNs + this.#spent(workMs / 2);
    for (const inner of calls) now = this.#outbound(inner, to, trace, spanId, now);
    const endNs = now + this.#spent(workMs / 2);
    if (!trace.isSampled) return endNs;
    const common = {
      source: this.#source("application", to),
      endNs,
      traceId: trace.traceId,
      spanId,
      isSampled: true,
    };
    this.spans.push({
      ...common,
      startNs,
      parentSpanId,
      name: `${method} ${path.replace(/\?.*/, "").replace(/\/\d+(?=\/|$)/g, "/:id")}`,
      kind: "internal",
      isError: reply.status >= 500,
      attributes: {
        "http.request.method": method,
        "url.path": path,
        "http.response.status_code": reply.status,
        ...(trace.user === null ? {} : { "enduser.id": trace.user }),
      },
    });
    if (log !== undefined)
      this.logs.push({
        ...common,
        startNs: endNs,
        severity: log[0],
        body: log[1],
        attributes: { "http.response.status_code": reply.status },
      });
    return endNs;
  }

  /** What a proxy writes when a request is over: its span, when the trace is sampled, and its access record. */
  #proxy(hop: {
    readonly call: Call;
    readonly proxy: Workload;
    readonly side: Seen["side"];
    readonly peer: Peer;
    readonly trace: Trace;
    readonly spanId: string;
    readonly parentSpanId: string;
    readonly startNs: bigint;
    readonly endNs: bigint;
    readonly reply: Reply;
    readonly attempts: number;
  }): void {
    const { call, proxy, side, peer, trace, spanId, parentSpanId, endNs, reply } = hop;
    // Envoy's clock counts microseconds.
    const startNs = hop.startNs - (hop.startNs % 1000n);
    const isBlind = call.isBlind === true && side === "inbound";
    // What the gateway answers itself was on its way to the frontend.
    const routed = call.to === GATEWAY ? FRONTEND : call.to;
    const seen: Seen = {
      proxy,
      side,
      upstream: routed,
      peer: peer.workload,
      peerAddress: peer.address,
      peerPort: this.#random.between(32_768, 60_999),
      startNs,
      durationNs: endNs - startNs,
      method: call.method,
      path: call.path,
      authority: side === "gateway" ? PUBLIC_HOST : `${hostOf(call.to)}:${PORT}`,
      forwardedFor: trace.forwardedFor,
      userAgent: trace.userAgent,
      user: trace.user,
      requestId: trace.requestId,
      requestBytes: call.method === "POST" ? this.#random.between(80, 900) : 0,
      responseBytes: this.#random.between(19, 9000),
      attempts: hop.attempts,
      reply,
      shadowPolicy: side === "inbound" ? call.shadowPolicy : undefined,
    };
    const { traceId, isSampled } = trace;
    const common = { startNs, endNs, traceId, spanId, isSampled };
    if (isSampled)
      this.spans.push({
        ...common,
        source: this.#source("span", proxy),
        parentSpanId,
        name: `${hostOf(routed)}:${PORT}/*`,
        kind: side === "outbound" ? "client" : "server",
        isError: reply.status >= 500,
        attributes: proxySpanAttributes(seen),
      });
    if (isBlind) {
      this.blindSpanId = spanId;
      return;
    }
    const isText = proxy.logs === "text";
    this.access.push({
      ...common,
      source: this.#source("access", proxy),
      body: isText ? istioLine(seen) : null,
      attributes: isText ? {} : accessAttributes(seen),
      expected: verdictOf(reply),
    });
  }

  /** One object for each source: the SDK groups records by it. */
  #source(kind: "access" | "span" | "application", workload: Workload): Source {
    const key = `${kind} ${workload.pod}`;
    let source = this.#sources.get(key);
    if (source === undefined) {
      const make = { access: accessSource, span: spanSource, application: applicationSource };
      source = make[kind](workload);
      this.#sources.set(key, source);
    }
    return source;
  }

  /** About `ms`, between two thirds and four thirds of it. */
  #spent(ms: number): bigint {
    return BigInt(Math.round(ms * 1e6 * (2 / 3 + (this.#random.fraction() * 2) / 3)));
  }

  /** A UUID whose version digit says, as Envoy packs it, whether the trace is sampled: 9 yes, 4 no statement. */
  #requestId(isSampled: boolean): string {
    const hex = this.#random.hex(16);
    const reason = isSampled ? "9" : "4";
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${reason}${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
  }
}

/** How the proxy of the caller sees an answer: one that another proxy gave comes from upstream like any other. */
function answered(reply: Reply): Reply {
  return reply.by === "server proxy" ? { by: "application", status: reply.status } : reply;
}

function applicationSource({ name, namespace, pod }: Workload): Source {
  return {
    resource: {
      "service.name": name,
      "service.namespace": namespace,
      "service.version": "3.2.0",
      "k8s.namespace.name": namespace,
      "k8s.pod.name": pod,
      "telemetry.sdk.language": "nodejs",
      "telemetry.sdk.name": "opentelemetry",
    },
    scope: { name: "shop-http", version: "3.2.0" },
  };
}
