import { ACCESS, type AccessDraft, SOURCES, TAKEN } from "../records/access-draft.ts";
import { VALUE_TYPES } from "../records/attributes.ts";
import type { LogView } from "../records/views.ts";
import { Address } from "./addresses.ts";
import { ascii, equalRanges, equalsIgnoringCase, equalsText, isDash, startsWith } from "./ascii.ts";
import { FIELD, FIELD_COUNT, FIELD_NAMES, type FieldName, TAKES } from "./fields.ts";
import { IdentityMarks } from "./identity-marks.ts";
import { Claims } from "./claims.ts";
import { Principal } from "./principal.ts";
import { ForwardedCertificates } from "./forwarded-certificates.ts";
import { LabelList } from "./label-list.ts";
import type { Dialect } from "./dialect.ts";
import type { ScopeTraits } from "./scope-traits.ts";
import type { ShapePlan } from "./shape-plan.ts";
import { TimeText } from "./time-text.ts";
import { internWords } from "./words.ts";

/** Fields that are a text column as they stand. Whatever else they mean is worked out from the column or the field. */
const TEXT_COLUMNS: Partial<Record<FieldName, number>> = {
  request_id: ACCESS.RequestId,
  x_forwarded_for: ACCESS.ForwardedFor,
  downstream_tls_version: ACCESS.TlsVersion,
  downstream_tls_cipher: ACCESS.TlsCipher,
  requested_server_name: ACCESS.RequestedServerName,
  user_agent: ACCESS.UserAgent,
  source_workload: ACCESS.PeerWorkload,
  jwt_subject: ACCESS.EndUser,
  jwt_issuer: ACCESS.EndUserIssuer,
  downstream_local_uri_san: ACCESS.LocalPrincipal,
  upstream_cluster: ACCESS.UpstreamCluster,
  upstream_host: ACCESS.UpstreamAddress,
  route_name: ACCESS.Route,
  method: ACCESS.Method,
  authority: ACCESS.Authority,
  rpc_service: ACCESS.RpcService,
  rpc_method: ACCESS.RpcMethod,
  response_flags: ACCESS.ResponseFlags,
  response_code_details: ACCESS.ResponseDetails,
};
const NO_COLUMN = 0;
const COLUMN_OF = Uint8Array.from(FIELD_NAMES, (name) =>
  name === "" ? NO_COLUMN : (TEXT_COLUMNS[name] ?? NO_COLUMN),
);

const TRUE = ascii("true");

/** What holds a field that no attribute holds, and one that the body says twice and differently. */
const ABSENT = -1;
const CONTRADICTED = -2;

/**
 * One record while it is read: which bytes its dialect says are which field, and the draft that the columns go to.
 * The same reading is used for record after record; nothing in it is made anew.
 */
export class Reading {
  readonly draft: AccessDraft;
  view!: LogView;
  buffer!: Uint8Array;
  traits!: ScopeTraits;
  plan!: ShapePlan;
  dialect!: Dialect;
  /** FIELD of each attribute, in the words of the dialect that is asked. */
  fields!: Uint8Array;
  /** The first attribute that stood in the body; the record's own come before it. As many as there are attributes when the body was not read. */
  bodyFrom = 0;
  /** Which mesh's Envoy wrote the record: one of FAMILY, or -1 while nobody has asked (see envoy-family.ts). */
  family = -1;
  /** Something of the record could not be read as what it should be: ParseStatus will be partial. */
  partial = false;

  readonly start = new Int32Array(FIELD_COUNT);
  readonly end = new Int32Array(FIELD_COUNT);
  /** VALUE_TYPES of the field's value. */
  readonly type = new Uint8Array(FIELD_COUNT);
  readonly #holder = new Int32Array(FIELD_COUNT);
  /** Constants of the words, by WORD. */
  readonly #words: Int32Array;
  /** Constants that name the fields, for DecisionSource and for LogAttributes. */
  readonly #names: Int32Array;

  /** Places for parsers to answer in, so that they need not make an object for each answer. */
  readonly address = new Address();
  readonly principal = new Principal();
  readonly time = new TimeText();
  readonly certificates = new ForwardedCertificates();
  readonly claims = new Claims();
  readonly marks: IdentityMarks;
  readonly labels = new LabelList();

  constructor(draft: AccessDraft) {
    this.draft = draft;
    this.#words = internWords(draft);
    this.marks = new IdentityMarks(draft);
    this.#names = Int32Array.from(FIELD_NAMES, (name) => draft.constant(name));
  }

  /** Forgets the record before, turns to `view` and finds the fields that its attributes are to `dialect`. */
  begin(
    view: LogView,
    traits: ScopeTraits,
    plan: ShapePlan,
    dialect: Dialect,
    bodyFrom = view.attributes.count,
  ): void {
    this.view = view;
    this.buffer = view.buffer;
    this.traits = traits;
    this.plan = plan;
    this.dialect = dialect;
    this.fields = plan.fieldsOf(dialect);
    this.bodyFrom = bodyFrom;
    this.family = -1;
    this.partial = false;
    this.#holder.fill(ABSENT);
    this.draft.reset(view);
    this.#takeAttributes();
  }

  /** Was the record a line whose members a collector made attributes? It was when it was read from a file, and when its status is a number: Envoy's own logger writes text alone. */
  get isTakenApart(): boolean {
    const status = this.has(FIELD.response_code) ? this.type[FIELD.response_code] : undefined;
    return this.plan.fromFile || status === VALUE_TYPES.int || status === VALUE_TYPES.double;
  }

  /** Was the body read, wholly or in part, so that it stands among the attributes? */
  get bodyIsRead(): boolean {
    return this.bodyFrom < this.view.attributes.count;
  }

  has(field: number): boolean {
    return this.#holder[field]! >= 0;
  }

  /** A column holds all that the field says: it is not kept in LogAttributes as well. */
  take(field: number): void {
    const holder = this.#holder[field]!;
    if (holder >= 0) this.draft.taken[holder] = TAKEN.taken;
  }

  /** A column holds a part of what the field says: it stays in LogAttributes. */
  leave(field: number): void {
    const holder = this.#holder[field]!;
    if (holder >= 0) this.draft.taken[holder] = TAKEN.left;
  }

  /** Is the field there, and is it `text`? */
  is(field: number, text: Uint8Array): boolean {
    return this.has(field) && equalsText(this.buffer, this.start[field]!, this.end[field]!, text);
  }

  /** Is the field there, and is it `text`, which is in lower case, but for the case of its letters? */
  isIgnoringCase(field: number, text: Uint8Array): boolean {
    return (
      this.has(field) && equalsIgnoringCase(this.buffer, this.start[field]!, this.end[field]!, text)
    );
  }

  /** Is the field there, and does it begin with `prefix`? */
  beginsWith(field: number, prefix: Uint8Array): boolean {
    return this.has(field) && startsWith(this.buffer, this.start[field]!, this.end[field]!, prefix);
  }

  /** Is the field there, and does it end with `suffix`? */
  endsWith(field: number, suffix: Uint8Array): boolean {
    const end = this.end[field]!;
    return (
      this.has(field) &&
      end - this.start[field]! >= suffix.length &&
      startsWith(this.buffer, end - suffix.length, end, suffix)
    );
  }

  /** The field says nothing, in this dialect's words. */
  forget(field: number): void {
    this.#drop(field, TAKEN.taken);
  }

  /** The field says something else in this record: it fills no column, and stays in LogAttributes. */
  ignore(field: number): void {
    this.#drop(field, TAKEN.left);
  }

  /** The field is another one in this record. Neither fills a text column as it stands. */
  move(field: number, to: number): void {
    this.start[to] = this.start[field]!;
    this.end[to] = this.end[field]!;
    this.type[to] = this.type[field]!;
    this.#holder[to] = this.#holder[field]!;
    this.#holder[field] = ABSENT;
  }

  #drop(field: number, taken: number): void {
    if (!this.has(field)) return;
    this.draft.taken[this.#holder[field]!] = taken;
    this.#holder[field] = ABSENT;
    const column = COLUMN_OF[field]!;
    if (column !== NO_COLUMN) this.draft.source[column] = SOURCES.empty;
  }

  /** Is the field there, and does it say `true`? */
  isTrue(field: number): boolean {
    if (this.type[field] !== VALUE_TYPES.bool) return this.is(field, TRUE);
    return this.has(field) && this.buffer[this.start[field]!] === 1;
  }

  /** Two fields get each other's value, and the columns that they fill as they stand get theirs. For a dialect's `prepare`. */
  swap(a: number, b: number): void {
    for (const list of [this.start, this.end, this.type, this.#holder]) {
      const ofA = list[a]!;
      list[a] = list[b]!;
      list[b] = ofA;
    }
    this.#place(a);
    this.#place(b);
  }

  /** The field is as good as absent: its value stays in LogAttributes. For a dialect's `prepare`. */
  drop(field: number): void {
    const holder = this.#holder[field]!;
    if (holder < 0) return;
    this.draft.taken[holder] = TAKEN.left;
    this.#holder[field] = ABSENT;
    this.#place(field);
  }

  #place(field: number): void {
    const { draft } = this;
    const column = COLUMN_OF[field]!;
    const holder = this.#holder[field]!;
    if (holder >= 0) draft.taken[holder] = column === NO_COLUMN ? TAKEN.left : TAKEN.taken;
    if (column === NO_COLUMN) return;
    if (holder < 0) draft.setText(column, 0, 0);
    else draft.setText(column, this.start[field]!, this.end[field]!);
  }

  /** A text column gets the field, when there is one. */
  setText(column: number, field: number): void {
    if (!this.has(field)) return;
    this.draft.setText(column, this.start[field]!, this.end[field]!);
    this.take(field);
  }

  /** A text column gets a word, by its number in WORD. */
  say(column: number, word: number): void {
    this.draft.setConstant(column, this.#words[word]!);
  }

  /** DecisionSource names the field: by its key in the record where the dialect has a word of its own for it, and in our words otherwise. */
  nameSource(field: number): void {
    const { draft, fields, plan } = this;
    const holder = this.#holder[field]!;
    if (holder < 0 || fields[holder] === plan.fields[holder]) return this.nameSourceAs(field);
    const { keyStart, keyEnd } = this.view.attributes;
    draft.setText(ACCESS.DecisionSource, keyStart[holder]!, keyEnd[holder]!);
  }

  /** DecisionSource names the field in our words. */
  nameSourceAs(field: number): void {
    this.draft.setConstant(ACCESS.DecisionSource, this.#names[field]!);
  }

  /**
   * Fields from the attributes, as the plan of the shape says. Of attributes that hold the same field the last counts (what a body says comes last), and
   * the others, when they say something else, stay in LogAttributes. A body that says a field twice under one name, and differently, says nothing that can be
   * believed: proxies that put JSON together without escapes let a client write members of its own.
   */
  #takeAttributes(): void {
    const { buffer, start, end, type, fields } = this;
    const holder = this.#holder;
    const { valueStart, valueEnd, valueType } = this.view.attributes;
    const { taken } = this.draft;
    const draftSource = this.draft.source;
    const draftStart = this.draft.start;
    const draftEnd = this.draft.end;
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i]!;
      if (field === 0) continue;
      let from = valueStart[i]!;
      const to = valueEnd[i]!;
      let t = valueType[i]!;
      if (t === VALUE_TYPES.string ? isAbsent(buffer, from, to) : t === VALUE_TYPES.none) {
        taken[i] = TAKEN.taken;
        continue;
      }
      if ((TAKES[field]! & (1 << t)) === 0) {
        from = t === VALUE_TYPES.array ? startOfOnlyText(buffer, from, to) : -1;
        if (from < 0 || isAbsent(buffer, from, to)) continue;
        t = VALUE_TYPES.string;
      }
      const before = holder[field]!;
      if (before === CONTRADICTED) continue;
      const isSame =
        before !== ABSENT && equalRanges(buffer, from, to, buffer, start[field]!, end[field]!);
      start[field] = from;
      end[field] = to;
      type[field] = t;
      holder[field] = i;
      const column = COLUMN_OF[field]!;
      if (before !== ABSENT) {
        taken[before] = isSame ? TAKEN.taken : TAKEN.left;
        // Two headers traceparent are none. Source: w3c/trace-context, test_traceparent_duplicated.
        const mustBeOne = before >= this.bodyFrom || field === FIELD.traceparent;
        if (!isSame && mustBeOne && this.#haveOneName(before, i)) {
          holder[field] = CONTRADICTED;
          this.partial = true;
          if (column !== NO_COLUMN) draftSource[column] = SOURCES.empty;
          continue;
        }
      }
      if (column === NO_COLUMN) continue;
      draftSource[column] = SOURCES.record;
      draftStart[column] = from;
      draftEnd[column] = to;
      taken[i] = TAKEN.taken;
    }
  }

  #haveOneName(a: number, b: number): boolean {
    const { keyStart, keyEnd } = this.view.attributes;
    const { buffer } = this;
    return equalRanges(buffer, keyStart[a]!, keyEnd[a]!, buffer, keyStart[b]!, keyEnd[b]!);
  }
}

/** Envoy writes a dash, or nothing, for what it does not know. */
function isAbsent(buffer: Uint8Array, start: number, end: number): boolean {
  return start >= end || isDash(buffer, start, end);
}

/** Tag of a field with number 1 and a length: the items of an ArrayValue, and the text of an AnyValue. */
const TAG = 0x0a;

/**
 * Where the text begins that is the only item of the array in [start, end), whose end is its own; -1 when something else is in there. Headers are lists of their values by the semantic
 * conventions, and have one, as a rule. Source: opentelemetry-proto 1.11, common.proto, AnyValue and ArrayValue.
 */
function startOfOnlyText(buffer: Uint8Array, start: number, end: number): number {
  const item = startOfField(buffer, start, end);
  return item < 0 ? -1 : startOfField(buffer, item, end);
}

/** Where the content of the field begins that fills [start, end), or -1. */
function startOfField(buffer: Uint8Array, start: number, end: number): number {
  if (end - start < 2 || buffer[start] !== TAG) return -1;
  let length = 0;
  let p = start + 1;
  for (let shift = 0; shift < 28 && p < end; shift += 7) {
    const byte = buffer[p++]!;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) return p + length === end ? p : -1;
  }
  return -1;
}
