import { identity, namespace, policy, requests, workload } from "./variables.ts";

/** Requests that fit what is chosen on the dashboard of policies. */
export const DECIDED = requests([namespace, workload, policy, identity]);

/** The same without the policy: one in shadow mode decides nothing, so that it is not the one that is chosen. */
export const SHADOWED = `${requests([namespace, workload, identity])}
  AND ShadowPolicy != ''`;

/** Requests that a policy in shadow mode would have refused, and that went through. */
export const WOULD_BREAK = `${SHADOWED}
  AND ShadowDecision = 'denied' AND Decision != 'denied'`;
