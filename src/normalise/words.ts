import type { AccessDraft } from "../records/access-draft.ts";

/** Every constant text that a column of an access record can get; fields name themselves (DecisionSource, keys of LogAttributes). */
const WORDS = [
  "[redacted]",
  "start", "periodic", "end",
  "field", "traceparent", "b3", "attribute", "none",
  "user", "workload", "address",
  "mtls", "jwt",
  "policy_engine", "forwarded_certificate", "proxy_metadata", "header", "token",
  "inbound", "outbound", "gateway",
  "TCP",
  "allowed", "denied", "failed", "unknown",
  "rbac", "ext_authz", "rate_limit", "basic_auth", "app",
  "full", "partial",
  "stream_start", "line", "read",
  "s", "ms", "us", "ns",
] as const;

export type Word = (typeof WORDS)[number];

/** Numbers of the words among the draft's constants. */
export type Words = Readonly<Record<Word, number>>;

export function internWords(draft: AccessDraft): Words {
  return Object.freeze(Object.fromEntries(WORDS.map((word) => [word, draft.constant(word)]))) as Words;
}
