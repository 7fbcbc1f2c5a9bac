import type { Visitor, Workload } from "./mesh.ts";

/** A request and what came of it, as a tree: a request causes others. */

/** How a request was answered, and by whom. */
export interface Reply {
  /** The application; the proxy in front of it, which let nothing through; or the proxy of the caller, which reached nobody. */
  readonly by: "application" | "server proxy" | "client proxy";
  readonly status: number;
  /** Envoy's response flags and response code details; from an application they are always `-` and `via_upstream`. */
  readonly flags?: string;
  readonly details?: string;
  /** Why the connection upstream failed. */
  readonly failure?: string;
  /** The authorisation policy that refused, as Istio names it: namespace, policy, rule. */
  readonly policy?: readonly [namespace: string, name: string, rule: number];
}

export interface Call {
  readonly to: Workload;
  readonly method: string;
  readonly path: string;
  /** Time that the application needs for itself. */
  readonly workMs: number;
  /** What the application asks of others meanwhile, one after the other. */
  readonly calls?: readonly Call[];
  /** 200 from the application unless said otherwise. */
  readonly reply?: Reply;
  /** Answers to earlier attempts, which the caller's proxy did not accept. */
  readonly refusedAttempts?: readonly Reply[];
  /** A policy in shadow mode that would have refused. */
  readonly shadowPolicy?: readonly [namespace: string, name: string, rule: number];
  /** The proxy of the called workload writes no access record: what meshproof must notice. */
  readonly isBlind?: boolean;
  /** What the application logs. */
  readonly log?: readonly [severity: "info" | "warn" | "error", body: string];
}

/** A request that starts a trace. */
export interface Entry {
  /** Who asks: a visitor through the gateway, a workload of the mesh, or the kubelet, whose health checks are not sampled. */
  readonly from: Visitor | Workload | "kubelet";
  readonly call: Call;
}

/** The answer where a call names none. */
export const OK: Reply = { by: "application", status: 200 };
