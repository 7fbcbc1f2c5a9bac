import type { FieldName } from "./fields.ts";
import type { LineReader } from "./line.ts";
import type { Reading } from "./reading.ts";
import type { ScopeTraits } from "./scope-traits.ts";
import type { ShapePlan } from "./shape-plan.ts";

/**
 * How one proxy or mesh writes its access logs. One file in dialects/ each; no order among them counts, since no two may claim one record.
 *
 * A record comes as attributes, as a text line, or as JSON or a list of values in its body; the latter become attributes first (see expansion.ts). So a dialect
 * says what its keys mean and what its lines look like, and the rest of this folder fills the columns.
 */
export interface Dialect {
  /** What the column Dialect says. */
  readonly name: string;
  /** Where the format is documented. */
  readonly source: string;
  /** Its text lines. A line that one of them reads is the dialect's; `matches` is not asked. */
  readonly lines?: readonly LineReader[];
  /**
   * What its keys mean, where that differs from attribute-keys.ts: the field of each, or null for a key that stays in LogAttributes. Keys are compared as they are.
   * Of several that a record has for one field, the first in this list counts.
   */
  readonly keys?: Readonly<Record<string, FieldName | null>>;
  /** What keys begin with whose rest is the name of a request's header (`…headers.x-request-id`). Such a header means what findHeader in attribute-keys.ts says. */
  readonly headers?: readonly string[];
  /** What keys begin with whose rest is the name of a response's header. The application writes them, so they say what `keys` says of them and nothing else. */
  readonly responseHeaders?: readonly string[];
  /** What keys begin with whose rest is metadata of Envoy's filters. Claims of a token that one of them verified mean what findClaim in attribute-keys.ts says. */
  readonly metadata?: readonly string[];
  /** Keys of `keys` that are called like secrets and hold none. */
  readonly harmless?: readonly string[];
  /** Do other keys mean what attribute-keys.ts says? Default true. */
  readonly sharedKeys?: boolean;
  /** Fields that `keys` alone gives: another key that means one of them elsewhere stays in LogAttributes. */
  readonly ownFields?: ReadonlySet<number>;
  /**
   * Can records with these attribute keys, of this resource and this scope, be the dialect's?
   * Asked once for each such combination and remembered, so it may take its time; it must not depend on anything else.
   */
  matches?(plan: ShapePlan, traits: ScopeTraits): boolean;
  /** Is the record, whose keys match, the dialect's by its values too? Asked for each record: no strings, no objects. */
  accepts?(reading: Reading): boolean;
  /** Claims only what no other dialect does. */
  readonly isLastResort?: boolean;
  /** Looks at the fields before columns are filled from them: forgets, drops or ignores those that say nothing or something else, and swaps those that stand for each other. No strings, no objects. */
  prepare?(reading: Reading): void;
  /** What its keys match is the dialect's whatever other dialects of ours the keys and lines match as well. At most one may say so of a record, and it has no `accepts`. */
  readonly outranksOthers?: boolean;
  /**
   * The record names the destination's workload whichever of the two sides wrote it: that is what ServiceName and the columns Local… say then,
   * and not what the resource says of the side that wrote it. By default they name the destination only where a request comes in.
   */
  readonly namesBothSides?: boolean;
  /** The record's own time is the end of the request, not its start. */
  readonly timeIsEnd?: boolean;
  /** The record's own time is when it was written, and nobody says whether at the end. */
  readonly timeIsLine?: boolean;
  /** A key says the start (`start_time`), whatever the record's own time is. */
  readonly saysStart?: boolean;
  /** Fills the columns of the decision from the dialect's own signals, in place of Envoy's (see decision.ts). No strings, no objects. */
  decide?(reading: Reading): void;
  /** Fills columns in the dialect's own way, behind all other steps and before what is left is kept. No strings, no objects. */
  finish?(reading: Reading): void;
}

/** The dialect itself; makes its type known where it is written. */
export function defineDialect(dialect: Dialect): Dialect {
  return dialect;
}
