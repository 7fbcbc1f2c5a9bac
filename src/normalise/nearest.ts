import type { AccessColumn } from "../records/access-draft.ts";
import { VALUE_TYPES } from "../records/attributes.ts";
import type { LogView } from "../records/views.ts";
import { findKey } from "./attribute-keys.ts";
import { BodyReader } from "./body-reader.ts";
import { FIELD_OF_COLUMN } from "./column-fields.ts";
import type { Dialect } from "./dialect.ts";
import { FIELD_NAMES, type FieldName } from "./fields.ts";
import { LineFormat } from "./line-format.ts";
import { followLine, type LineProgress } from "./line-progress.ts";
import type { RowRedactor } from "./redaction/row-redactor.ts";
import type { ScopeTraits } from "./scope-traits.ts";

/** Why no dialect claimed a record, as far as it can be told. */
export interface Near {
  /** Formats of lines that the line follows for a while, the one that it follows longest first. Positions count from the line's first byte. */
  readonly lines: readonly (LineProgress & {
    readonly dialect: string;
    /** What stands where something else was expected, in its first characters. */
    readonly got: string;
  })[];
  /** Dialects with keys of their own that stand in the record, the one with most first. */
  readonly dialects: readonly { readonly dialect: string; readonly keys: readonly string[] }[];
  /** The record's keys, those of its body included, and what they usually mean: a column, or a field of which a column is made. */
  readonly keys: readonly {
    readonly key: string;
    readonly column: AccessColumn | FieldName | null;
  }[];
}

const MAX_NAMED = 3;
const MAX_EXCERPT = 24;
/** Longer lines are not followed: where they part from a format is looked for at each of their bytes. */
const MAX_FOLLOWED_BYTES = 8 * 1024;
/** Fewer fields or keys are chance. */
const MIN_SHARED = 2;

/** What in `record`, which no dialect claimed, looks like one of `dialects`. */
export function findNearest(
  record: LogView,
  traits: ScopeTraits,
  dialects: readonly Dialect[],
  redactor: RowRedactor,
): Near {
  const bodies = new BodyReader(dialects);
  const lines =
    record.bodyType === VALUE_TYPES.string ? followLines(record, bodies, dialects, redactor) : [];
  let view = record;
  if (bodies.expand(record)) {
    bodies.readWrapped(traits);
    view = bodies.expansion.view;
  }
  const keys = keysOf(view);
  const shared = dialects
    .map(({ name, keys: own = {} }) => ({
      dialect: name,
      keys: keys.filter((key) => Object.hasOwn(own, key)),
    }))
    .filter((one) => one.keys.length >= MIN_SHARED)
    .toSorted((a, b) => b.keys.length - a.keys.length);
  return {
    lines,
    dialects: shared.slice(0, MAX_NAMED),
    keys: keys.map((key) => ({ key, column: meaningOf(key) })),
  };
}

function meaningOf(key: string): AccessColumn | FieldName | null {
  const known = findKey(key);
  if (known === undefined) return null;
  const field = FIELD_NAMES[known.field] as FieldName;
  const column = COLUMN_OF_FIELD.get(field);
  // A field of a duration says its unit, a column does not.
  return column === undefined || column.endsWith("DurationNs") ? field : column;
}

const COLUMN_OF_FIELD = new Map(
  Object.entries(FIELD_OF_COLUMN).map(([column, field]) => [field, column as AccessColumn]),
);

function followLines(
  record: LogView,
  bodies: BodyReader,
  dialects: readonly Dialect[],
  redactor: RowRedactor,
): Near["lines"] {
  const { start, end } = bodies.lineIn(record);
  if (start === end || end - start > MAX_FOLLOWED_BYTES) return [];
  const shown = redactor.blot(record.buffer.subarray(start, end));
  return dialects
    .flatMap(({ name, lines = [] }) =>
      lines
        .filter((reader) => reader instanceof LineFormat)
        .filter(({ isPart }) => !isPart)
        .map((format) => {
          const progress = followLine(format, record.buffer, start, end);
          return {
            ...progress,
            dialect: name,
            position: progress.position - start,
            got: excerpt(shown, progress.position - start),
          };
        }),
    )
    .filter(({ read }) => read >= MIN_SHARED)
    .toSorted((a, b) => b.read - a.read || a.fields - b.fields)
    .filter((one, i, all) => all.findIndex(({ dialect }) => dialect === one.dialect) === i)
    .slice(0, MAX_NAMED);
}

function excerpt(line: Uint8Array, start: number): string {
  if (start >= line.length) return "the end of the line";
  const text = Buffer.from(line.subarray(start, start + MAX_EXCERPT));
  return JSON.stringify(text.toString("utf8")) + (line.length - start > MAX_EXCERPT ? "…" : "");
}

function keysOf({ buffer, attributes: list }: LogView): string[] {
  const keys = Array.from({ length: list.count }, (_, i) =>
    Buffer.from(buffer.subarray(list.keyStart[i], list.keyEnd[i])).toString("utf8"),
  );
  return [...new Set(keys)];
}
