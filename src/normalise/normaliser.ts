import { ACCESS, AccessDraft } from "../records/access-draft.ts";
import { type KeyShape, ShapeCache } from "../records/key-shape.ts";
import type { ScopeView } from "../records/resource.ts";
import type { LogView } from "../records/views.ts";
import { BodyReader } from "./body-reader.ts";
import { mapDecision } from "./decision.ts";
import { mapDestination } from "./destination.ts";
import type { Dialect } from "./dialect.ts";
import { mapIdentity } from "./identity.ts";
import { HELD, heldBy } from "./held.ts";
import { finish } from "./leftovers.ts";
import { LINE } from "./line.ts";
import { DIALECTS } from "./load-dialects.ts";
import { Reading } from "./reading.ts";
import { RowRedactor } from "./redaction/row-redactor.ts";
import type { RedactOptions } from "./redaction/rules.ts";
import { mapRequest } from "./request.ts";
import { mapResult } from "./result.ts";
import { readTraits, type ScopeTraits } from "./scope-traits.ts";
import { ShapePlan } from "./shape-plan.ts";
import { mapTimes } from "./times.ts";
import { mapTrace } from "./trace-context.ts";

export type { ScopeTraits } from "./scope-traits.ts";

/** Dialects that are asked together, and what makes attributes of the bodies that they know. */
interface Rank {
  readonly dialects: readonly Dialect[];
  readonly bodies: BodyReader;
  /** Of two that claim one record the first counts; else no two do. */
  readonly isOrdered: boolean;
}

function rankOf(
  dialects: readonly Dialect[],
  isOrdered: boolean,
  { isSecretName }: RowRedactor,
): Rank {
  return { dialects, bodies: new BodyReader(dialects, isOrdered, isSecretName), isOrdered };
}

export interface NormaliserOptions {
  readonly redact: RedactOptions;
  /**
   * How many elements of X-Forwarded-Client-Cert, counted from its end, were written by proxies that we are told to trust. They name the peer only where
   * the proxy itself authenticated nobody. Default 0: none.
   */
  readonly trustedHops?: number;
  /** Formats of the user's own. They outrank all other dialects; of two that claim one record the first counts. */
  readonly formats?: readonly Dialect[];
  /** The dialects to know; all by default. */
  readonly dialects?: readonly Dialect[];
}

/**
 * Turns log records into access records, one at a time into the same draft. What no dialect claims is a log.
 * Cost: about 2 µs a record of 25 attributes; no strings and no objects for a record whose shape was seen before.
 */
export class Normaliser {
  readonly draft = new AccessDraft();
  /** For the rows that are written of the drafts, and for those of all other records. */
  readonly redactor: RowRedactor;
  readonly #reading: Reading;
  readonly #dialects: readonly Dialect[];
  /** The user's formats, if there are any, then the others. */
  readonly #ranks: readonly Rank[];
  readonly #names: ReadonlyMap<Dialect, number>;
  readonly #trustedHops: number;
  /** Who is asked. */
  #rank: Rank;
  /** Of records that stand in an expansion. */
  readonly #shapes = new ShapeCache();
  #shape: KeyShape | undefined;
  #claimedBy: Dialect | undefined;

  constructor(options: NormaliserOptions) {
    this.redactor = new RowRedactor(options.redact);
    this.#reading = new Reading(this.draft);
    const { formats = [], dialects = DIALECTS } = options;
    this.#dialects = [...formats, ...dialects];
    this.#rank = rankOf(dialects, false, this.redactor);
    this.#ranks =
      formats.length === 0 ? [this.#rank] : [rankOf(formats, true, this.redactor), this.#rank];
    this.#names = new Map(
      this.#dialects.map((dialect) => [dialect, this.draft.constant(dialect.name)]),
    );
    this.#trustedHops = options.trustedHops ?? 0;
  }

  /** Name of the dialect that claimed the last record, or undefined when none did. */
  get dialectName(): string | undefined {
    return this.#claimedBy?.name;
  }

  /** What the records of a scope have in common. Once for each scope of a request. */
  scope(view: ScopeView): ScopeTraits {
    return readTraits(view);
  }

  /** Is the record an access record? Then `draft` holds it, of `view` and `shape`, until the next call. */
  recognise(view: LogView, shape: KeyShape, traits: ScopeTraits): boolean {
    this.#claimedBy = undefined;
    for (let i = 0; i < this.#ranks.length; i++) {
      this.#rank = this.#ranks[i]!;
      if (this.#recognise(view, shape, traits)) return true;
    }
    return false;
  }

  #recognise(view: LogView, shape: KeyShape, traits: ScopeTraits): boolean {
    const { bodies } = this.#rank;
    if (!this.#isSettled(shape, traits)) {
      const line = bodies.readLine(view, traits);
      if (line !== undefined) return this.#claimLine(line, traits);
    }
    const own = view.attributes.count;
    // Members of a list among the attributes, or of JSON, are attributes too, and may say what no other does.
    const held = heldBy(view);
    if ((held & HELD.members) === 0 && this.#claim(view, shape, traits, own, false)) return true;
    const line = this.#planOf(shape).namesLine ? HELD.line : 0;
    if (!bodies.expand(view, held | line)) return this.#claim(view, shape, traits, own, true);
    const wrapped = bodies.readWrapped(traits);
    if (wrapped !== undefined) return this.#claimLine(wrapped, traits);
    const expanded = bodies.expansion.view;
    const found = this.#shapes.find(expanded.buffer, expanded.attributes);
    const { bodyFrom } = bodies;
    return (
      this.#claim(expanded, found, traits, bodyFrom, false) ||
      this.#claim(view, shape, traits, own, true) ||
      this.#claim(expanded, found, traits, bodyFrom, true)
    );
  }

  /** Do the keys alone make it a record of a dialect that outranks the others, so that its line is not looked at? */
  #isSettled(shape: KeyShape, traits: ScopeTraits): boolean {
    const first = this.#planOf(shape).candidates(this.#dialects, traits)[0];
    return first?.outranksOthers === true && this.#rank.dialects.includes(first);
  }

  /** What the draft was read from: the record itself, or the expansion of its body. */
  get view(): LogView {
    return this.draft.view!;
  }

  /** The keys of `view`. */
  get shape(): KeyShape {
    return this.#shape!;
  }

  /** FIELD of each attribute of `view`, in the words of the dialect that claimed it. */
  get fields(): Uint8Array {
    return this.#reading.fields;
  }

  /**
   * Reads the last record once more, as the same dialect, from `view` as it stands now: what would the columns be without one of its values, or under other traits?
   * For explanations (provenance.ts); a value is hidden by its type, so that the shape stays.
   */
  reread(traits: ScopeTraits): void {
    const dialect = this.#claimedBy!;
    this.#read(this.view, this.#shape!, traits, dialect, this.#reading.bodyFrom);
    this.#mapColumns(dialect);
  }

  /** The body's line is of `dialect`; its fields stand in the expansion. */
  #claimLine(dialect: Dialect, traits: ScopeTraits): boolean {
    const { bodies } = this.#rank;
    const { bodyFrom } = bodies;
    const { view } = bodies.expansion;
    let shape = this.#shapes.find(view.buffer, view.attributes);
    if (this.redactor.redactLine(bodies, this.#planOf(shape).fieldsOf(dialect)))
      shape = this.#shapes.find(view.buffer, view.attributes);
    this.#read(view, shape, traits, dialect, bodyFrom);
    this.#mapColumns(dialect);
    return true;
  }

  /**
   * Is the record some dialect's by its attributes? Of ours the one that claimed the last of this shape is asked first: no two claim one record. Asked are those that are a last resort,
   * or those that are not.
   */
  #claim(
    view: LogView,
    shape: KeyShape,
    traits: ScopeTraits,
    bodyFrom: number,
    isLastResort: boolean,
  ): boolean {
    const plan = this.#planOf(shape);
    const candidates = plan.candidates(this.#dialects, traits);
    const { dialects, isOrdered } = this.#rank;
    const isOneOfTwo = this.#ranks.length > 1;
    let isRead = false;
    for (let i = 0; i < candidates.length; i++) {
      const dialect = candidates[i]!;
      if ((dialect.isLastResort === true) !== isLastResort) continue;
      if (isOneOfTwo && !dialects.includes(dialect)) continue;
      // Dialects with the same words for these keys share what was read.
      if (isRead && plan.fieldsOf(dialect) === this.#reading.fields)
        this.#reading.dialect = dialect;
      else this.#read(view, shape, traits, dialect, bodyFrom);
      isRead = true;
      if (dialect.accepts !== undefined && !dialect.accepts(this.#reading)) continue;
      if (i > 0 && !isOrdered) {
        candidates.copyWithin(1, 0, i);
        candidates[0] = dialect;
      }
      this.#mapColumns(dialect);
      return true;
    }
    return false;
  }

  #read(
    view: LogView,
    shape: KeyShape,
    traits: ScopeTraits,
    dialect: Dialect,
    bodyFrom: number,
  ): void {
    const reading = this.#reading;
    this.#shape = shape;
    reading.begin(view, traits, this.#planOf(shape), dialect, bodyFrom);
    if (reading.bodyIsRead && this.#rank.bodies.status === LINE.partial) reading.partial = true;
  }

  /** From fields to columns: the same for all dialects. The order counts where a step looks at what an earlier one found. */
  #mapColumns(dialect: Dialect): void {
    const reading = this.#reading;
    this.#claimedBy = dialect;
    this.draft.setConstant(ACCESS.Dialect, this.#names.get(dialect)!);
    dialect.prepare?.(reading);
    mapTimes(reading);
    mapTrace(reading);
    mapResult(reading);
    mapRequest(reading);
    mapDestination(reading);
    mapIdentity(reading, this.#trustedHops);
    if (dialect.decide === undefined) mapDecision(reading);
    else dialect.decide(reading);
    dialect.finish?.(reading);
    finish(reading);
  }

  #planOf(shape: KeyShape): ShapePlan {
    const known = shape.plan;
    if (known instanceof ShapePlan && known.owner === this) return known;
    const plan = new ShapePlan(this, shape, this.redactor);
    shape.plan = plan;
    return plan;
  }
}
