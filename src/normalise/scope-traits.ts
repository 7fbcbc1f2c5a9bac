import { ACCESS, type AccessColumn } from "../records/access-draft.ts";
import { type AttributeList, VALUE_TYPES } from "../records/attributes.ts";
import type { ScopeView } from "../records/resource.ts";

/** Proxies that a resource can name as those whose lines its records are. */
export type Writer = (typeof CONTAINERS)[number] | "ingress-nginx";
/** Proxies that are called like their containers. */
const CONTAINERS = ["istio-proxy", "linkerd-proxy", "kuma-sidecar", "consul-dataplane"] as const;

/** What the resource and the scope say about all the records under them. Worked out once for each scope of a request, so strings are fine here. */
export interface ScopeTraits {
  /** Names of the resource's attributes, sorted, and the scope's name: whatever a dialect may decide by. Equal kinds, equal decisions. */
  readonly kind: string;
  readonly resourceKeys: ReadonlySet<string>;
  readonly scopeName: string;
  /** Envoy's built-in labels are there (access logger without `disable_builtin_labels`). */
  readonly envoyLabels: boolean;
  /** The resource names a mesh of Kuma's. */
  readonly kuma: boolean;
  /** Which proxy's container wrote the records; empty when the resource does not say. */
  readonly writer: Writer | "";
  /** The proxy is a gateway by its node ID. */
  readonly gateway: boolean;
  /** Columns that the resource gives, as ranges of `bytes`. */
  readonly bytes: Uint8Array;
  readonly columns: readonly number[];
  readonly ends: readonly number[];
}

/** Names that are dropped from a pod's name to get the workload's: the hash of a ReplicaSet and the pod's own suffix (Kubernetes, SafeEncodeString). */
const POD_SUFFIX = /(?:-[bcdfghjklmnpqrstvwxz2456789]{6,10})?-[bcdfghjklmnpqrstvwxz2456789]{5}$/;
const WORKLOAD_KEYS = [
  "k8s.deployment.name",
  "k8s.statefulset.name",
  "k8s.daemonset.name",
  "k8s.cronjob.name",
  "k8s.job.name",
];
/** The containers of ingress-nginx are called `controller`, so it is the workload's name that tells. */
const OF_INGRESS_NGINX = /(?:^|-)ingress-nginx(?:-|$)/;
const decoder = new TextDecoder();

/** Reads what the records of a scope have in common. */
export function readTraits(scope: ScopeView): ScopeTraits {
  const { resourceAttributes, resourceBuffer, scopeBuffer } = scope;
  const resource = readTexts(resourceBuffer, resourceAttributes);
  const scopeName = decoder.decode(scopeBuffer.subarray(scope.nameStart, scope.nameEnd));
  const nodeId = resource.get("node_name") ?? resource.get("node_id") ?? "";
  const node = parseNodeId(nodeId);
  const pod = node.pod ?? resource.get("k8s.pod.name");
  const serviceName = resource.get("service.name") ?? "";
  const workload = WORKLOAD_KEYS.map((key) => resource.get(key)).find((name) => name !== undefined);
  const texts: Partial<Record<AccessColumn, string | undefined>> = {
    ProxyId: nodeId || pod,
    ClusterName: resource.get("k8s.cluster.name") ?? resource.get("cluster_name"),
    Mesh: resource.get("mesh_id") ?? resource.get("istio.mesh_id") ?? resource.get("kuma.mesh"),
    // What the SDK puts when nobody named the service says nothing.
    ServiceName:
      serviceName === "unknown_service" || serviceName.startsWith("unknown_service:")
        ? undefined
        : serviceName,
    LocalNamespace:
      node.namespace ?? resource.get("k8s.namespace.name") ?? resource.get("service.namespace"),
    LocalWorkload: workload ?? pod?.replace(POD_SUFFIX, ""),
  };
  const columns: number[] = [];
  const ends: number[] = [];
  let all = "";
  for (const [name, value] of Object.entries(texts)) {
    if (value === undefined || value === "" || value === "-") continue;
    all += value;
    columns.push(ACCESS[name as AccessColumn]);
    ends.push(Buffer.byteLength(all));
  }
  const resourceKeys = new Set(resource.keys());
  return {
    kind: JSON.stringify([...resourceKeys].toSorted().concat(scopeName)),
    resourceKeys,
    scopeName,
    envoyLabels:
      resourceKeys.has("log_name") &&
      (resourceKeys.has("node_name") ||
        resourceKeys.has("cluster_name") ||
        resourceKeys.has("zone_name")),
    kuma: resourceKeys.has("kuma.mesh"),
    writer: writerOf(resource.get("k8s.container.name") ?? "", workload ?? pod ?? serviceName),
    gateway: node.type === "router",
    bytes: new Uint8Array(Buffer.from(all)),
    columns,
    ends,
  };
}

function writerOf(container: string, workload: string): Writer | "" {
  const proxy = CONTAINERS.find((name) => name === container);
  return proxy ?? (OF_INGRESS_NGINX.test(workload) ? "ingress-nginx" : "");
}

/** Every key; the value of those that are text, else "". The last of equal keys counts. */
function readTexts(from: Uint8Array, list: AttributeList): Map<string, string> {
  const texts = new Map<string, string>();
  for (let i = 0; i < list.count; i++) {
    const text =
      list.valueType[i] === VALUE_TYPES.string
        ? decoder.decode(from.subarray(list.valueStart[i], list.valueEnd[i]))
        : "";
    texts.set(decoder.decode(from.subarray(list.keyStart[i], list.keyEnd[i])), text);
  }
  return texts;
}

/** Istio's node ID, `type~address~pod.namespace~domain` (pilot/pkg/model/context.go, ServiceNode). Other proxies' are opaque. */
function parseNodeId(nodeId: string): { type?: string; pod?: string; namespace?: string } {
  const parts = nodeId.split("~");
  if (parts.length !== 4) return {};
  const dot = parts[2]!.lastIndexOf(".");
  if (dot < 0) return { type: parts[0]! };
  return { type: parts[0]!, pod: parts[2]!.slice(0, dot), namespace: parts[2]!.slice(dot + 1) };
}
