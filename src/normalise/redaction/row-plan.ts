import { FIXED_LENGTHS, itemLength } from "../../records/column-finder.ts";
import { type Column, type ColumnType, TABLES, type Table } from "../../records/columns.ts";
import { CONTEXT } from "./value-end.ts";

/** How a column is walked over. */
export const STEP = {
  /** So many bytes. */
  skip: 0,
  /** A text, a map, an array of either: looked through. */
  text: 1,
  map: 2,
  texts: 3,
  maps: 4,
  /** The same, and not looked through: nothing but words of ours, digits, or what was looked through once for all records of a scope. */
  skipText: 5,
  skipMap: 6,
  skipTexts: 7,
  /** An array of values of so many bytes. */
  skipValues: 8,
  /** Redactions itself. */
  notes: 9,
} as const;

const STEPS: Readonly<Partial<Record<ColumnType, readonly [number, number]>>> = {
  String: [STEP.text, STEP.skipText],
  "LowCardinality(String)": [STEP.text, STEP.skipText],
  "Map(LowCardinality(String), String)": [STEP.map, STEP.skipMap],
  "Array(String)": [STEP.texts, STEP.skipTexts],
  "Array(LowCardinality(String))": [STEP.texts, STEP.skipTexts],
  "Array(Map(LowCardinality(String), String))": [STEP.maps, STEP.maps],
};

/** What the receiver says of a request, hex digits, and words that are chosen from a list of ours: no sender can write anything else into them. */
const OURS: ReadonlySet<string> = new Set([
  "Sender",
  "SenderAuth",
  "RetentionClass",
  "Truncations",
  "TraceId",
  "SpanId",
  "ParentSpanId",
  "Links.TraceId",
  "Links.SpanId",
  "PeerCertificateHash",
  "Phase",
  "TraceSource",
  "ActorKind",
  "AuthMethod",
  "Direction",
  "Decision",
  "DecisionEngine",
  "ShadowDecision",
  "Dialect",
  "DataClass",
  "ActorAssurance",
  "UserAssurance",
  "TimeBasis",
  "TimePrecision",
  "DecisionSource",
  "ParseStatus",
  "SpanKind",
]);

/** Where an e-mail address is a name, which the record is there to keep. */
const IDENTITIES: ReadonlySet<string> = new Set([
  "Actor",
  "EndUser",
  "EndUserIssuer",
  "PeerPrincipal",
  "LocalPrincipal",
  "ActorChain",
]);
/** The same among attributes: by the semantic conventions. */
export const IDENTITY_KEYS: readonly Uint8Array[] = ["enduser.id", "user.id"].map((key) =>
  Buffer.from(key),
);

const CONTEXTS: Readonly<Record<string, number>> = {
  Path: CONTEXT.path,
  Query: 0,
  Authority: CONTEXT.text | CONTEXT.authority,
};

/** Columns that a configuration may name, in every table: texts, and maps of them. */
export const REDACTABLE_COLUMNS: ReadonlySet<string> = new Set(
  [TABLES.access, TABLES.span, TABLES.log]
    .flatMap((table): readonly Column[] => table.columns)
    .filter(
      ({ name, type }) => STEPS[type] !== undefined && !OURS.has(name) && name !== "Redactions",
    )
    .map(({ name }) => name),
);

/** Every place that Redactions can name, by number. */
export const PLACES: readonly string[] = [...REDACTABLE_COLUMNS];
const PLACE_NUMBERS = new Map(PLACES.map((name, i) => [name, i]));

/**
 * The columns of a row or of a part of one, as steps for the walk over its bytes, one number each, so that a step is one look: `stepOf` gives its STEP,
 * `widthOf` the bytes of those that skip them; `contextOf` its CONTEXT, `isWhole` whether all of it is redacted, `placeOf` its number in PLACES.
 */
export type RowPlan = Int32Array;

export function stepOf(step: number): number {
  return step & 0xf;
}

export function widthOf(step: number): number {
  return step >>> 16;
}

export function contextOf(step: number): number {
  return (step >>> 4) & 0xf;
}

export function isWhole(step: number): boolean {
  return (step & 0x100) !== 0;
}

export function placeOf(step: number): number {
  return step >>> 16;
}

function pack(step: number, upper: number, context = 0, whole = false): number {
  return step | (context << 4) | (whole ? 0x100 : 0) | (upper << 16);
}

/** Columns that all records of a scope share are looked through by `planOf` of their own; here they are `shared`. */
export function planOf(
  columns: readonly Column[],
  whole: ReadonlySet<string>,
  shared: ReadonlySet<string> = new Set(),
): RowPlan {
  const plan: number[] = [];
  let skipped = 0;
  const add = (step: number): void => {
    if (skipped > 0) plan.push(pack(STEP.skip, skipped));
    skipped = 0;
    plan.push(step);
  };
  for (const { name, type } of columns) {
    const width = FIXED_LENGTHS[type];
    const items = itemLength(type);
    const steps = STEPS[type];
    if (width !== undefined) skipped += width;
    else if (items !== undefined) add(pack(STEP.skipValues, items));
    else if (name === "Redactions") add(pack(STEP.notes, 0));
    else if (steps === undefined)
      throw new TypeError(`no way to walk over a column of type ${type}`);
    else {
      const isOurs = OURS.has(name) || shared.has(name);
      const context = CONTEXTS[name] ?? CONTEXT.text;
      add(
        pack(
          steps[isOurs ? 1 : 0],
          PLACE_NUMBERS.get(name) ?? 0,
          context | (IDENTITIES.has(name) ? CONTEXT.identity : 0),
          whole.has(name),
        ),
      );
    }
  }
  return Int32Array.from(skipped > 0 ? [...plan, pack(STEP.skip, skipped)] : plan);
}

/** Columns of a table by their names, for the parts of rows that scopes share. */
export function columnsNamed(table: Table, names: readonly string[]): readonly Column[] {
  return names.map((name) => table.columns.find((column) => column.name === name)!);
}
