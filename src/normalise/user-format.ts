import { ACCESS, type AccessColumn } from "../records/access-draft.ts";
import { ascii } from "./ascii.ts";
import { findKey } from "./attribute-keys.ts";
import {
  CONSTANT_COLUMNS,
  DURATION_FIELDS,
  type DurationUnit,
  FIELD_OF_COLUMN,
  TEXT_COLUMNS,
  UNIT_NS,
} from "./column-fields.ts";
import { decide, mapDecision, NO_ENGINE } from "./decision.ts";
import type { Dialect } from "./dialect.ts";
import { FIELD, FIELD_NAMES, type FieldName } from "./fields.ts";
import { fieldName, LineFormatError } from "./format-string.ts";
import { LineFormat } from "./line-format.ts";
import { readDuration } from "./numbers.ts";
import type { Reading } from "./reading.ts";
import { Conditions } from "./conditions.ts";
import { WORD } from "./words.ts";

/** A format of the user's own, as the configuration has it; an empty text or map says nothing. */
export interface FormatOptions {
  readonly name: string;
  /** An Envoy format string. */
  readonly line: string;
  /** Column or field of each key, or of each name in `line`. */
  readonly keys: Readonly<Record<string, string>>;
  /** Units of keys that hold durations. */
  readonly units: Readonly<Record<string, string>>;
  /** Keys that have to be there, each with the values that it may have; none stands for any. */
  readonly when: Readonly<Record<string, readonly string[]>>;
  /** Columns that are the same in all records. */
  readonly set: Readonly<Record<string, string>>;
  /** Words for each decision. */
  readonly decisions: Readonly<Record<string, readonly string[]>>;
  readonly time_is_end: boolean;
}

/** Something in a format that cannot be. */
export interface FormatProblem {
  /** Where in the options. */
  readonly path: readonly string[];
  /** The key is wrong, not its value. */
  readonly atKey?: boolean;
  readonly message: string;
  /** A word that is none of `candidates`: one of them may have been meant. */
  readonly word?: string;
  readonly candidates?: readonly string[];
}

const COLUMNS = Object.keys(FIELD_OF_COLUMN) as AccessColumn[];
const MEANINGS: readonly string[] = [...COLUMNS, ...FIELD_NAMES.slice(1)];
const DECISIONS = { allowed: WORD.allowed, denied: WORD.denied, failed: WORD.failed } as const;
type Decision = keyof typeof DECISIONS;
const USUAL_WORDS: Readonly<Record<Decision, readonly string[]>> = {
  allowed: ["allow", "allowed"],
  denied: ["deny", "denied"],
  failed: ["fail", "failed"],
};
const DIRECTIONS: readonly string[] = ["inbound", "outbound", "gateway"];
/** Fewer would read lines of all kinds. */
const MIN_LINE_FIELDS = 2;

/** The dialect that a format describes, or everything that is wrong with it. */
export function compileFormat(
  format: FormatOptions,
): { readonly dialect: Dialect } | { readonly problems: readonly FormatProblem[] } {
  const problems: FormatProblem[] = [];
  const keys = readKeys(format, problems);
  checkUnits(format, problems);
  checkConstants(format, problems);
  const words = readWords(format, problems);
  const lines = format.line === "" ? undefined : readLine(format, keys, problems);
  if (format.line === "") checkKeysAlone(format, problems);
  else if (Object.keys(format.when).length > 0)
    problems.push({ path: ["when"], message: "expected nothing beside line, which says it all" });
  return problems.length > 0
    ? { problems }
    : { dialect: createDialect(format, keys, words, lines) };
}

/** The field of each key. */
function readKeys(format: FormatOptions, problems: FormatProblem[]): Record<string, FieldName> {
  const fields = new Map<string, FieldName>();
  const holders = new Map<FieldName, string>();
  for (const [key, meaning] of Object.entries(format.keys)) {
    const path = ["keys", key];
    const unit = Object.hasOwn(format.units, key) ? format.units[key] : undefined;
    const field = fieldOf(meaning, unit);
    if (field === undefined) {
      const isDerived = Object.hasOwn(ACCESS, meaning);
      problems.push({
        path,
        message: isDerived
          ? `expected a column that a key can fill, got ${meaning}, which is worked out from others`
          : `expected a column of access_records or a field, got ${JSON.stringify(meaning)}`,
        word: meaning,
        candidates: isDerived ? [] : MEANINGS,
      });
      continue;
    }
    const other = holders.get(field);
    if (other !== undefined)
      problems.push({
        path,
        message: `expected a column of its own, got ${meaning}, which ${other} fills`,
      });
    holders.set(field, key);
    fields.set(key, field);
    if (meaning.endsWith("DurationNs") && unit === undefined)
      problems.push({
        path,
        message: `expected units.${key} beside it, one of ${Object.keys(UNIT_NS).join(", ")}: the column counts nanoseconds, and the key may not`,
      });
  }
  return Object.fromEntries(fields);
}

function fieldOf(meaning: string, unit: string | undefined): FieldName | undefined {
  if (meaning === "DurationNs" && unit !== undefined && isUnit(unit)) return DURATION_FIELDS[unit];
  if (Object.hasOwn(FIELD_OF_COLUMN, meaning)) return FIELD_OF_COLUMN[meaning as AccessColumn];
  return meaning !== "" && Object.hasOwn(FIELD, meaning) ? (meaning as FieldName) : undefined;
}

function isUnit(text: string): text is DurationUnit {
  return Object.hasOwn(UNIT_NS, text);
}

function checkUnits({ keys, units }: FormatOptions, problems: FormatProblem[]): void {
  for (const [key, unit] of Object.entries(units)) {
    const path = ["units", key];
    if (!isUnit(unit))
      problems.push({
        path,
        message: `expected one of ${Object.keys(UNIT_NS).join(", ")}, got ${JSON.stringify(unit)}`,
      });
    if (!Object.hasOwn(keys, key) || !keys[key]!.endsWith("DurationNs"))
      problems.push({
        path,
        atKey: true,
        message: `expected a key that fills DurationNs or UpstreamDurationNs, got ${JSON.stringify(key)}`,
      });
  }
}

function checkConstants({ set }: FormatOptions, problems: FormatProblem[]): void {
  const candidates: readonly string[] = CONSTANT_COLUMNS;
  for (const [column, value] of Object.entries(set)) {
    const path = ["set", column];
    if (!candidates.includes(column))
      problems.push({
        path,
        atKey: true,
        message: `expected one of ${candidates.join(", ")}, got ${JSON.stringify(column)}`,
        word: column,
        candidates,
      });
    else if (value === "") problems.push({ path, message: "expected a text, got none" });
    else if (column === "Direction" && !DIRECTIONS.includes(value))
      problems.push({
        path,
        message: `expected one of ${DIRECTIONS.join(", ")}, got ${JSON.stringify(value)}`,
      });
  }
}

interface DecisionWord {
  readonly text: Uint8Array;
  readonly decision: number;
}

/** The words of the key that fills Decision, in lower case. */
function readWords(
  { keys, decisions }: FormatOptions,
  problems: FormatProblem[],
): readonly DecisionWord[] {
  const candidates = Object.keys(DECISIONS);
  const given = Object.entries(decisions);
  if (given.length > 0 && !Object.values(keys).includes("Decision"))
    problems.push({ path: ["decisions"], message: "expected a key that fills Decision beside it" });
  const meaning = new Map<string, string>();
  for (const [decision, words] of given) {
    const path = ["decisions", decision];
    if (!candidates.includes(decision))
      problems.push({
        path,
        atKey: true,
        message: `expected one of ${candidates.join(", ")}, got ${JSON.stringify(decision)}`,
        word: decision,
        candidates,
      });
    for (const word of words.map((one) => one.toLowerCase())) {
      const other = meaning.get(word);
      if (other !== undefined)
        problems.push({
          path,
          message: `expected words of its own, got ${JSON.stringify(word)}, which ${other} has`,
        });
      meaning.set(word, decision);
    }
  }
  if (given.length === 0)
    for (const [decision, words] of Object.entries(USUAL_WORDS))
      for (const word of words) meaning.set(word, decision);
  return Array.from(meaning, ([word, decision]) => ({
    text: ascii(word),
    decision: DECISIONS[decision as Decision],
  }));
}

function readLine(
  { line, keys }: FormatOptions,
  fields: Readonly<Record<string, FieldName>>,
  problems: FormatProblem[],
): LineFormat | undefined {
  try {
    const format = new LineFormat(line, { keys: fields });
    // A name whose column is wrong is none of `fields`, and so goes by the name that we know it by.
    const isInLine = (key: string): boolean =>
      format.names.includes(Object.hasOwn(fields, key) ? key : fieldName(key));
    for (const key of Object.keys(keys))
      if (!isInLine(key))
        problems.push({
          path: ["keys", key],
          atKey: true,
          message: `expected a name in line, got ${JSON.stringify(key)}, and there is no %${key}% in it`,
          word: key,
          candidates: format.names,
        });
    const meant = new Set<number>();
    const unknown: string[] = [];
    for (const name of format.names) {
      const field = Object.hasOwn(fields, name) ? FIELD[fields[name]!] : findKey(name)?.field;
      if (field === undefined) unknown.push(`%${name}%`);
      else meant.add(field);
    }
    if (meant.size < MIN_LINE_FIELDS)
      problems.push({
        path: ["line"],
        message: `expected at least ${MIN_LINE_FIELDS} fields that fill columns, got ${meant.size}: other lines would be read too${unknown.length === 0 ? "" : `; ${unknown.join(", ")} without a column`}`,
      });
    return format;
  } catch (error) {
    if (!(error instanceof LineFormatError)) throw error;
    problems.push({ path: ["line"], message: `${error.message}, at character ${error.at + 1}` });
    return undefined;
  }
}

function checkKeysAlone({ keys, when }: FormatOptions, problems: FormatProblem[]): void {
  if (Object.keys(keys).length === 0)
    problems.push({ path: [], message: "expected line or keys, got neither" });
  else if (Object.keys(when).length === 0)
    problems.push({
      path: [],
      message: "expected when, which tells such records from others, got none",
    });
}

function createDialect(
  format: FormatOptions,
  keys: Readonly<Record<string, FieldName>>,
  words: readonly DecisionWord[],
  line: LineFormat | undefined,
): Dialect {
  const { name, set, time_is_end: timeIsEnd, units } = format;
  const fields = new Set(Object.values(keys).map((field) => FIELD[field]));
  if (Object.values(DURATION_FIELDS).some((field) => fields.has(FIELD[field])))
    for (const field of Object.values(DURATION_FIELDS)) fields.add(FIELD[field]);
  const constants = Object.entries(set).map(
    ([column, text]) => [column as AccessColumn, text] as const,
  );
  const conditions = new Conditions(format.when);
  const upstreamKey = Object.keys(keys).find((key) => keys[key] === "upstream_service_time");
  const hasUnit = upstreamKey !== undefined && Object.hasOwn(units, upstreamKey);
  const upstreamNs = UNIT_NS[hasUnit ? (units[upstreamKey] as DurationUnit) : "ms"];
  const dialect = {
    name,
    source: "docs/formats.md",
    keys,
    ownFields: fields,
    timeIsEnd,
    decide: (reading: Reading) => decideByWord(reading, words),
    finish(reading: Reading): void {
      readUpstreamDuration(reading, upstreamNs);
      setTexts(reading, fields);
      setConstants(reading, constants);
    },
  };
  if (line !== undefined) return { ...dialect, lines: [line] };
  return {
    ...dialect,
    matches: ({ keySet }) => conditions.keysAreIn(keySet),
    accepts: (reading) => conditions.valuesAreIn(reading.view, reading.plan.keys),
  };
}

/** The decision that the record names; else what Envoy's signals, if there are any, and the status say. A word that is not known decides nothing. */
function decideByWord(reading: Reading, words: readonly DecisionWord[]): void {
  const field = FIELD.verdict;
  if (!reading.has(field)) return mapDecision(reading);
  for (let i = 0; i < words.length; i++) {
    const { text, decision } = words[i]!;
    if (!reading.isIgnoringCase(field, text)) continue;
    decide(reading, decision, NO_ENGINE, field);
    return reading.take(field);
  }
  reading.partial = true;
  reading.say(ACCESS.Decision, WORD.unknown);
}

/** The general step has counted it in milliseconds. */
function readUpstreamDuration(reading: Reading, unitNs: number): void {
  const field = FIELD.upstream_service_time;
  if (unitNs === UNIT_NS.ms || !reading.has(field)) return;
  reading.draft.setNumber(ACCESS.UpstreamDurationNs, readDuration(reading, field, unitNs));
}

const TEXTS = TEXT_COLUMNS.map((column) => ({
  column: ACCESS[column],
  field: FIELD[FIELD_OF_COLUMN[column]!],
}));

function setTexts(reading: Reading, own: ReadonlySet<number>): void {
  for (let i = 0; i < TEXTS.length; i++) {
    const { column, field } = TEXTS[i]!;
    if (own.has(field)) reading.setText(column, field);
  }
}

/** Columns that are the same in all records, unless a key of the record fills them. */
function setConstants(
  reading: Reading,
  constants: readonly (readonly [column: AccessColumn, text: string])[],
): void {
  const { draft } = reading;
  for (let i = 0; i < constants.length; i++) {
    const [column, text] = constants[i]!;
    const field = FIELD_OF_COLUMN[column];
    if (field !== undefined && reading.has(FIELD[field]) && !draft.isEmpty(ACCESS[column]))
      continue;
    draft.setConstant(ACCESS[column], draft.constant(text));
  }
}
