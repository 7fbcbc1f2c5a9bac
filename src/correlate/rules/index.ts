import { decisionRule } from "./decision.ts";
import type { Rule } from "./rule.ts";
import { spanRule } from "./span.ts";

/** All rules, in the order in which they are tried. Of those that join access records and spans, the first that finds a partner makes the link; each of the others makes its own. */
export const RULES: readonly Rule[] = [spanRule, decisionRule];
