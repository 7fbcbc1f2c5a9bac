import {
  ACCESS,
  ACCESS_HOLDS,
  type AccessColumn,
  type AccessDraft,
  FIRST_ACCESS_COLUMN,
  HOLDS,
  SOURCES,
} from "../records/access-draft.ts";
import { type AttributeList, VALUE_TYPES } from "../records/attributes.ts";
import type { ScopeView } from "../records/resource.ts";
import type { LogView } from "../records/views.ts";
import { FIELD, type FieldName } from "./fields.ts";
import type { Normaliser } from "./normaliser.ts";

/** Something in a record that a column's value can come from. */
export interface Source {
  /** `attribute`, `resource`: an attribute of the record or its resource. `body`: a member of the body. `line`: a field of the line. `record`: a field of the record itself. */
  readonly kind: "attribute" | "resource" | "body" | "line" | "record";
  readonly name: string;
}

/** Where the value of a column comes from. */
export interface Origin {
  /**
   * `whole`: it is the value of the source; `part`: it stands in that; `read`: it says the same in another form, as a number, a time or an address;
   * `derived`: it follows from the sources; `dialect`: no value of the record made it what it is.
   */
  readonly how: "whole" | "part" | "read" | "derived" | "dialect";
  readonly from: readonly Source[];
}

/** A source that can be hidden from the normaliser, to see what changes. */
interface Suspect extends Source {
  /** Its value, if that is a text. */
  readonly text: string | undefined;
  hide(): void;
  show(): void;
}

/** A hostile record has more; what lies beyond is nobody's origin. */
const MAX_SUSPECTS = 1_000;

/** Columns that the field which DecisionSource names decided, whatever else would have led to the same. */
const DECIDED: readonly number[] = [ACCESS.Decision, ACCESS.DecisionEngine, ACCESS.DecisionSource];

/**
 * Where each column of the last record that `normaliser` claimed comes from. `record` and `scope` are what it was given.
 *
 * Nothing is noted while records are read, so that it costs nothing there. A text that stands in the record shows by its place where it comes from. For all else
 * the record is read again without each of its values in turn: what the column needs is where it comes from. When it needs none, since two say the same, it is
 * every value that is enough by itself.
 * Cost: two readings for each value that means something, and for each of the resource, up to MAX_SUSPECTS. The draft is the same again afterwards.
 */
export function findOrigins(
  normaliser: Normaliser,
  record: LogView,
  scope: ScopeView,
): ReadonlyMap<AccessColumn, Origin> {
  const { draft, view } = normaliser;
  const attributes = attributeSources(view, record);
  const decider = attributes[holderOf(normaliser, textOf(draft, ACCESS.DecisionSource))];
  const direct = new Map<number, Origin>();
  // A word of ours is nowhere a part of the record, even where the record happens to hold it.
  const isWord = Array.from(draft.source, (source) => source === SOURCES.constant);
  for (const c of COLUMNS) {
    const origin = directOrigin(draft, view, attributes, c);
    if (origin !== undefined) direct.set(c, origin);
  }

  const { fields } = normaliser;
  const suspects = [
    ...hidable(attributes, view.buffer, view.attributes).filter((_, i) => fields[i] !== 0),
    ...recordSuspects(view),
    ...hidable(resourceSources(scope), scope.resourceBuffer, scope.resourceAttributes),
  ].slice(0, MAX_SUSPECTS);
  let traits = normaliser.scope(scope);
  // Those of the resource come last: up to there, the traits stay as they are.
  const reread = (changed?: Suspect): readonly string[] => {
    if (changed === undefined || changed.kind === "resource") traits = normaliser.scope(scope);
    normaliser.reread(traits);
    return snapshot(draft);
  };
  const whole = reread();
  const without = suspects.map((suspect) => {
    suspect.hide();
    const columns = reread(suspect);
    suspect.show();
    return columns;
  });
  for (const suspect of suspects) suspect.hide();
  const empty = reread();
  const alone = suspects.map((suspect) => {
    suspect.show();
    const columns = reread(suspect);
    suspect.hide();
    return columns;
  });
  for (const suspect of suspects) suspect.show();
  reread();

  const origins = new Map<AccessColumn, Origin>();
  for (const c of COLUMNS) {
    const needed = suspects.filter((_, i) => without[i]![c] !== whole[c]);
    const enough =
      empty[c] === whole[c] ? [] : suspects.filter((_, i) => alone[i]![c] === whole[c]);
    const from = needed.length > 0 ? needed : enough;
    const decided =
      DECIDED.includes(c) && empty[c] !== whole[c] ? originOf(decider, "derived") : undefined;
    const origin = decided ??
      direct.get(c) ?? {
        how: howOf(c, isWord[c]! ? undefined : whole[c]!, from),
        from: from.map(({ kind, name }) => ({ kind, name })),
      };
    origins.set(NAMES[c]!, origin);
  }
  return origins;
}

const NAMES = Object.keys(ACCESS) as AccessColumn[];
/** Positions of the columns that a reading fills; the maps say of themselves where they come from. */
const COLUMNS = Array.from(ACCESS_HOLDS, (_, c) => c).filter(
  (c) =>
    c >= FIRST_ACCESS_COLUMN &&
    ACCESS_HOLDS[c] !== HOLDS.resourceMap &&
    ACCESS_HOLDS[c] !== HOLDS.logMap &&
    c !== ACCESS.Body,
);

/** How a column got from `from` to `value`, which is undefined for a word of ours. */
function howOf(c: number, value: string | undefined, from: readonly Suspect[]): Origin["how"] {
  const [first] = from;
  if (first === undefined) return "dialect";
  if (ACCESS_HOLDS[c] !== HOLDS.text || (first.kind === "record" && value !== undefined))
    return "read";
  if (value === undefined) return "derived";
  if (from.every(({ text }) => text === value)) return "whole";
  return from.length === 1 && first.text?.includes(value) === true ? "part" : "derived";
}

function originOf(source: Source | undefined, how: Origin["how"]): Origin | undefined {
  return source === undefined ? undefined : { how, from: [source] };
}

/** A text that stands in the record: in which attribute, and as all of its value or a part. */
function directOrigin(
  draft: AccessDraft,
  { attributes: list }: LogView,
  sources: readonly Source[],
  c: number,
): Origin | undefined {
  if (ACCESS_HOLDS[c] !== HOLDS.text || draft.source[c] !== SOURCES.record) return undefined;
  const start = draft.start[c]!;
  const end = draft.end[c]!;
  const i = sources.findLastIndex(
    (_, at) => list.valueStart[at]! <= start && end <= list.valueEnd[at]!,
  );
  const isWhole = list.valueStart[i] === start && list.valueEnd[i] === end;
  return originOf(sources[i], isWhole ? "whole" : "part");
}

/** The attribute that DecisionSource names: by its key, or by the field that it holds; where several do, the last that says something. -1 when none does. */
function holderOf({ fields, view }: Normaliser, name: string): number {
  const { valueType } = view.attributes;
  const says = (i: number): boolean => fields[i] !== 0 && valueType[i] !== VALUE_TYPES.none;
  const byKey = keysOf(view.buffer, view.attributes).findLastIndex(
    (key, i) => key === name && says(i),
  );
  const field = FIELD[name as FieldName];
  return byKey >= 0 ? byKey : fields.findLastIndex((one, i) => one === field && says(i));
}

/** What each attribute of `view` was in `record`: its own attribute, which come first and in their order, or something of its body. */
function attributeSources(view: LogView, record: LogView): Source[] {
  const keys = keysOf(view.buffer, view.attributes);
  if (view === record) return keys.map((name) => ({ kind: "attribute", name }));
  const kind = isLine(record) ? "line" : "body";
  const own = keysOf(record.buffer, record.attributes);
  let next = 0;
  return keys.map((name) => {
    // A list among the attributes became several, under dotted names.
    const isPart = next > 0 && name.startsWith(`${own[next - 1]}.`);
    if (name === own[next] || (next < own.length && name.startsWith(`${own[next]}.`))) next++;
    else if (!isPart) return { kind, name };
    return { kind: "attribute", name };
  });
}

/** Is the body a text that is no JSON? */
function isLine({ buffer, bodyType, bodyStart, bodyEnd }: LogView): boolean {
  return (
    bodyType === VALUE_TYPES.string &&
    !/^\s*(?:\S+ std(?:out|err) [FP] )?\{/.test(decode(buffer, bodyStart, bodyEnd))
  );
}

function resourceSources({ resourceBuffer, resourceAttributes }: ScopeView): Source[] {
  return keysOf(resourceBuffer, resourceAttributes).map((name) => ({ kind: "resource", name }));
}

function hidable(sources: readonly Source[], buffer: Uint8Array, list: AttributeList): Suspect[] {
  return sources.map((source, i) => {
    const type = list.valueType[i]!;
    const isText = type === VALUE_TYPES.string;
    return {
      ...source,
      text: isText ? decode(buffer, list.valueStart[i]!, list.valueEnd[i]!) : undefined,
      hide: () => (list.valueType[i] = VALUE_TYPES.none),
      show: () => (list.valueType[i] = type),
    };
  });
}

/** OTLP's names of the record's own fields. */
const OFFSETS = {
  timeUnixNano: "timeOffset",
  observedTimeUnixNano: "observedOffset",
  traceId: "traceIdOffset",
  spanId: "spanIdOffset",
} as const;

function recordSuspects(view: LogView): Suspect[] {
  const { flags } = view;
  const offsets = Object.entries(OFFSETS).map(([name, key]) => {
    const offset = view[key];
    return {
      kind: "record" as const,
      name,
      text: undefined,
      hide: () => (view[key] = -1),
      show: () => (view[key] = offset),
    };
  });
  return [
    ...offsets,
    {
      kind: "record",
      name: "flags",
      text: undefined,
      hide: () => (view.flags = 0),
      show: () => (view.flags = flags),
    },
  ];
}

/** The columns as texts that are equal when the columns are. */
function snapshot(draft: AccessDraft): readonly string[] {
  return Array.from(ACCESS_HOLDS, (hold, c) => {
    if (hold === HOLDS.text) return textOf(draft, c);
    if (hold === HOLDS.address)
      return (c === ACCESS.PeerAddress ? draft.peerAddress : draft.localAddress).join(".");
    if (hold === HOLDS.chain)
      return JSON.stringify(
        Array.from({ length: draft.chainCount }, (_, i) =>
          decode(draft.scratch, draft.chainStart[i]!, draft.chainEnd[i]!),
        ),
      );
    return `${draft.low[c]} ${draft.high[c]}`;
  });
}

function textOf(draft: AccessDraft, c: number): string {
  return draft.isEmpty(c) ? "" : decode(draft.bytesOf(c), draft.start[c]!, draft.end[c]!);
}

function keysOf(buffer: Uint8Array, { count, keyStart, keyEnd }: AttributeList): string[] {
  return Array.from({ length: count }, (_, i) => decode(buffer, keyStart[i]!, keyEnd[i]!));
}

function decode(from: Uint8Array, start: number, end: number): string {
  return Buffer.from(from.buffer, from.byteOffset + start, end - start).toString("utf8");
}
