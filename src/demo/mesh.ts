/** The mesh of a small shop: who is there. Every name and address is invented; addresses from outside are those for documentation (RFC 5737). */

const TRUST_DOMAIN = "cluster.local";

/** One workload, with one pod and the proxy in front of it. */
export interface Workload {
  readonly name: string;
  readonly namespace: string;
  readonly address: string;
  readonly pod: string;
  /** A gateway is a proxy without an application. */
  readonly type: "gateway" | "sidecar";
  /** How its proxy writes access records: Envoy's OpenTelemetry logger with attributes, or Istio's default line as the body. */
  readonly logs: "attributes" | "text";
}

export const PORT = 8080;

export const GATEWAY: Workload = {
  name: "gateway",
  namespace: "istio-ingress",
  address: "10.4.0.10",
  pod: "gateway-6f7c5d9b8c-zzxcv",
  type: "gateway",
  logs: "attributes",
};
export const FRONTEND: Workload = {
  name: "frontend",
  namespace: "web",
  address: "10.4.1.21",
  pod: "frontend-6c8f7d9b5-k4m2p",
  type: "sidecar",
  logs: "attributes",
};
export const ORDERS: Workload = {
  name: "orders",
  namespace: "shop",
  address: "10.4.1.32",
  pod: "orders-7d9c5b8f6-x2x4z",
  type: "sidecar",
  logs: "attributes",
};
export const PAYMENT: Workload = {
  name: "payment",
  namespace: "payments",
  address: "10.4.2.43",
  pod: "payment-5f6d8c7b9-w9c8q",
  type: "sidecar",
  logs: "attributes",
};
export const INVENTORY: Workload = {
  name: "inventory",
  namespace: "warehouse",
  address: "10.4.2.54",
  pod: "inventory-84d7c9f6b-h7j2l",
  type: "sidecar",
  logs: "text",
};
/** A batch job that has no business with payments. */
export const REPORTS: Workload = {
  name: "reports",
  namespace: "analytics",
  address: "10.4.3.65",
  pod: "reports-9b8c7d6f5-t6v4x",
  type: "sidecar",
  logs: "attributes",
};

/** The SPIFFE ID of a workload, as Istio forms it. */
export function identityOf({ namespace, name }: Workload): string {
  return `spiffe://${TRUST_DOMAIN}/ns/${namespace}/sa/${name}`;
}

/** The name of a workload's service in the cluster. */
export function hostOf({ namespace, name }: Workload): string {
  return `${name}.${namespace}.svc.cluster.local`;
}

/** Istio's node ID: `type~address~pod.namespace~domain` (pilot/pkg/model/context.go, ServiceNode). */
export function nodeOf({ type, address, pod, namespace }: Workload): string {
  const nodeType = type === "gateway" ? "router" : "sidecar";
  return `${nodeType}~${address}~${pod}.${namespace}~${namespace}.svc.cluster.local`;
}

/** A caller from outside the mesh. */
export interface Visitor {
  readonly address: string;
  readonly userAgent: string;
  /** The end user of the token that the gateway verified; null without one. */
  readonly user: string | null;
}

/** Who issues the tokens of end users. */
export const ISSUER = "https://login.shop.example";

const BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

export const CUSTOMERS: readonly Visitor[] = [
  { address: "192.0.2.17", userAgent: BROWSER, user: "ada" },
  { address: "192.0.2.48", userAgent: BROWSER, user: "grace" },
  { address: "192.0.2.101", userAgent: "shop-ios/7.2 (iPhone)", user: "katherine" },
  { address: "192.0.2.133", userAgent: "shop-android/7.1 (Pixel)", user: "dorothy" },
  { address: "192.0.2.204", userAgent: BROWSER, user: "margaret" },
];
export const NOBODY: Visitor = { address: "192.0.2.77", userAgent: BROWSER, user: null };
/** A customer who tries what only support may do. */
export const MALLORY: Visitor = {
  address: "192.0.2.66",
  userAgent: "curl/8.14.1",
  user: "mallory",
};
/** A program that asks for prices faster than anybody may. */
export const SCRAPER: Visitor = {
  address: "203.0.113.9",
  userAgent: "python-requests/2.32",
  user: null,
};
/** Somebody who looks for doors that were left open. */
export const PROBE: Visitor = {
  address: "198.51.100.23",
  userAgent: "Mozilla/5.0 zgrab/0.x",
  user: null,
};
