import { KEY_WORDS } from "../window.ts";
import type { Rule } from "./rule.ts";

/** Source: Fowler, Noll and Vo, the FNV hash, FNV-1a with 32 bits. */
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/**
 * Same request ID in a proxy's access record and in the record that a policy engine wrote of its decision: who asked for what, and by whose leave.
 * The ID may be the client's own word, so it is not as sure as a span's.
 *
 * The key is made of six hashes, of every sixth byte each: of a UUID a hash has six digits to tell apart. Whoever can make two IDs with one key could
 * as well send one ID twice.
 */
export const decisionRule: Rule = {
  name: "decision",
  confidence: 0.9,
  isOther: ({ isDecision }) => isDecision,
  keyOf({ bytes, requestIdStart, requestIdEnd }, key) {
    if (requestIdStart === requestIdEnd) return false;
    key.fill(FNV_OFFSET);
    for (let p = requestIdStart, word = 0; p < requestIdEnd; p++) {
      key[word] = Math.imul(key[word]! ^ bytes[p]!, FNV_PRIME);
      if (++word === KEY_WORDS) word = 0;
    }
    return true;
  },
};
