import type { Rule } from "./rule.ts";
import { spanRule } from "./span.ts";

/** All rules, in the order in which they are tried: the first that finds a partner makes the link. */
export const RULES: readonly Rule[] = [spanRule];
