import type { Reading } from "./reading.ts";
import type { ScopeTraits } from "./scope-traits.ts";
import type { ShapePlan } from "./shape-plan.ts";

/** How one proxy or mesh writes its access logs. One file in dialects/ each; no order among them counts, since no two may claim one record. */
export interface Dialect {
  /** What the column Dialect says. */
  readonly name: string;
  /** Where the format is documented. */
  readonly source: string;
  /**
   * Can records of this resource, this scope, this set of attribute keys and this type of body (VALUE_TYPES) be the dialect's?
   * Asked once for each such combination and remembered, so it may take its time; it must not depend on anything else.
   */
  matches(plan: ShapePlan, traits: ScopeTraits, bodyType: number): boolean;
  /**
   * Says which bytes of the record are which field. False when the record is not of this dialect after all; nothing else of what was done counts then.
   * Asked for each record that may match: no strings, no objects.
   */
  map(reading: Reading): boolean;
}

/** The dialect itself; makes its type known where it is written. */
export function defineDialect(dialect: Dialect): Dialect {
  return dialect;
}
