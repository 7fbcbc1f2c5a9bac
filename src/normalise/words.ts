import type { AccessDraft } from "../records/access-draft.ts";

/** Every constant text that a column of an access record can get; fields name themselves (DecisionSource, keys of LogAttributes). */
const TEXTS = [
  "[redacted]",
  "start",
  "periodic",
  "end",
  "field",
  "traceparent",
  "b3",
  "datadog",
  "xray",
  "cloud_trace",
  "jaeger",
  "sw8",
  "attribute",
  "none",
  "user",
  "workload",
  "address",
  "mtls",
  "jwt",
  "basic",
  "aws_sigv4",
  "policy_engine",
  "forwarded_certificate",
  "proxy_metadata",
  "header",
  "token",
  "inbound",
  "outbound",
  "gateway",
  "TCP",
  "UDP",
  "SCTP",
  "ICMPv4",
  "ICMPv6",
  "VRRP",
  "IGMP",
  "DNS",
  "Kafka",
  "allowed",
  "denied",
  "failed",
  "unknown",
  "rbac",
  "ext_authz",
  "rate_limit",
  "basic_auth",
  "api_key",
  "oidc",
  "oauth2",
  "csrf",
  "guardrail",
  "proxy",
  "network_policy",
  "auth_policy",
  "opa",
  "app",
  "full",
  "partial",
  "stream_start",
  "stream_end",
  "line",
  "read",
  "s",
  "ms",
  "us",
  "ns",
] as const;

type Text = (typeof TEXTS)[number];

/** Number of each word: what `Reading.say` takes, so that no text is looked up for a record. */
export const WORD = Object.freeze(
  Object.fromEntries(TEXTS.map((text, i) => [text === "[redacted]" ? "redacted" : text, i])),
) as Readonly<Record<Exclude<Text, "[redacted]"> | "redacted", number>>;

/** The draft's constants of the words, by number. */
export function internWords(draft: AccessDraft): Int32Array {
  return Int32Array.from(TEXTS, (text) => draft.constant(text));
}
