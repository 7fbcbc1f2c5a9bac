import { ACCESS, type AccessDraft, SOURCES, TAKEN } from "../records/access-draft.ts";
import { VALUE_TYPES } from "../records/attributes.ts";
import type { LogView } from "../records/views.ts";
import { Address } from "./addresses.ts";
import { CHAR, equalRanges } from "./ascii.ts";
import { FIELD_COUNT, FIELD_NAMES, type FieldName, IS_NUMERIC } from "./fields.ts";
import { IstioLine } from "./istio-line.ts";
import { PLACES, type Redactor } from "./redaction.ts";
import { ForwardedCertificates } from "./forwarded-certificates.ts";
import type { ScopeTraits } from "./scope-traits.ts";
import type { ShapePlan } from "./shape-plan.ts";
import { SpiffeId } from "./spiffe.ts";
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

/** Fields of a text line that hold a header. */
const HEADER_FIELDS: Readonly<Record<string, string>> = {
  x_forwarded_for: "x-forwarded-for",
  user_agent: "user-agent",
  request_id: "x-request-id",
  authority: "host",
};

/** Where a field stands: the number of an attribute, or one of these. */
const HOLDER = { absent: -1, body: -2, bodyTaken: -3 } as const;

/**
 * One record while it is read: which bytes its dialect says are which field, and the draft that the columns go to.
 * The same reading is used for record after record; nothing in it is made anew.
 */
export class Reading {
  readonly draft: AccessDraft;
  readonly redactor: Redactor;
  view!: LogView;
  buffer!: Uint8Array;
  traits!: ScopeTraits;
  plan!: ShapePlan;
  /** Fields that the body may hold, in the order of their names; undefined when a dialect did not read it. */
  bodyFields: Int32Array | undefined;
  /** A header that is to be redacted stands somewhere in the body. */
  secretInBody = false;
  /** Something of the record could not be read as what it should be: ParseStatus will be partial. */
  partial = false;

  readonly start = new Int32Array(FIELD_COUNT);
  readonly end = new Int32Array(FIELD_COUNT);
  /** VALUE_TYPES of the field's value. */
  readonly type = new Uint8Array(FIELD_COUNT);
  readonly #holder = new Int32Array(FIELD_COUNT);
  /** Number of the configured header that a field holds, or -1. */
  readonly #headers: Int16Array;
  /** Constants of the words, by WORD. */
  readonly #words: Int32Array;
  /** Constants that name the fields, for DecisionSource and for LogAttributes. */
  readonly #names: Int32Array;

  /** Places for parsers to answer in, so that they need not make an object for each answer. */
  readonly address = new Address();
  readonly spiffe = new SpiffeId();
  readonly time = new TimeText();
  readonly certificates = new ForwardedCertificates();
  readonly istioLine = new IstioLine();

  constructor(draft: AccessDraft, redactor: Redactor) {
    this.draft = draft;
    this.redactor = redactor;
    this.#words = internWords(draft);
    this.#headers = Int16Array.from(FIELD_NAMES, (name) =>
      redactor.headerOf(HEADER_FIELDS[name] ?? ""),
    );
    this.#names = Int32Array.from(FIELD_NAMES, (name) => draft.constant(name));
  }

  /** Forgets the record before and turns to `view`. */
  begin(view: LogView, traits: ScopeTraits, plan: ShapePlan): void {
    this.view = view;
    this.buffer = view.buffer;
    this.traits = traits;
    this.plan = plan;
    this.bodyFields = undefined;
    this.secretInBody = false;
    this.partial = false;
    this.#holder.fill(HOLDER.absent);
    this.draft.reset(view);
  }

  has(field: number): boolean {
    return this.#holder[field] !== HOLDER.absent;
  }

  /** A column holds all that the field says: it is not kept in LogAttributes as well. */
  take(field: number): void {
    const holder = this.#holder[field]!;
    if (holder >= 0) this.draft.taken[holder] = TAKEN.taken;
    else if (holder === HOLDER.body) this.#holder[field] = HOLDER.bodyTaken;
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

  /** A text column gets the name of the field. */
  sayName(column: number, field: number): void {
    this.draft.setConstant(column, this.#names[field]!);
  }

  /** The body says that the field is [start, end). A dash or nothing means that it says nothing. */
  setFromBody(field: number, start: number, end: number): void {
    if (isAbsent(this.buffer, start, end)) return;
    const header = this.#headers[field]!;
    if (header >= 0) {
      this.redactor.noteHeader(header, PLACES.Body);
      this.secretInBody = true;
      return;
    }
    this.start[field] = start;
    this.end[field] = end;
    this.type[field] = VALUE_TYPES.string;
    const column = COLUMN_OF[field]!;
    if (column !== NO_COLUMN) this.draft.setText(column, start, end);
    this.#holder[field] = column === NO_COLUMN ? HOLDER.body : HOLDER.bodyTaken;
  }

  /**
   * Fields from the attributes, as the plan of the shape says. Of attributes that hold the same field the last counts, and
   * the others stay in LogAttributes; so does an attribute that contradicts what the body said.
   */
  takeAttributes(): void {
    const { buffer, start, end, type, plan } = this;
    const holder = this.#holder;
    const { fields } = plan;
    const { valueStart, valueEnd, valueType } = this.view.attributes;
    const { taken } = this.draft;
    const draftSource = this.draft.source;
    const draftStart = this.draft.start;
    const draftEnd = this.draft.end;
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i]!;
      if (field === 0) continue;
      const from = valueStart[i]!;
      const to = valueEnd[i]!;
      const t = valueType[i]!;
      if (t === VALUE_TYPES.string ? isAbsent(buffer, from, to) : t === VALUE_TYPES.none) {
        taken[i] = TAKEN.taken;
        continue;
      }
      if (
        t !== VALUE_TYPES.string &&
        (IS_NUMERIC[field] === 0 || (t !== VALUE_TYPES.int && t !== VALUE_TYPES.double))
      )
        continue;
      const before = holder[field]!;
      if (before <= HOLDER.body) {
        if (
          t === VALUE_TYPES.string &&
          equalRanges(buffer, from, to, buffer, start[field]!, end[field]!)
        )
          taken[i] = TAKEN.taken;
        continue;
      }
      start[field] = from;
      end[field] = to;
      type[field] = t;
      holder[field] = i;
      const column = COLUMN_OF[field]!;
      if (column === NO_COLUMN) continue;
      draftSource[column] = SOURCES.record;
      draftStart[column] = from;
      draftEnd[column] = to;
      taken[i] = TAKEN.taken;
      if (before >= 0) taken[before] = TAKEN.left;
    }
  }

  isFromBody(field: number): boolean {
    return this.#holder[field]! <= HOLDER.body;
  }

  /** What the body said and no column took goes to LogAttributes under the field's name. */
  keepLeftovers(fields: Int32Array): void {
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i]!;
      if (this.#holder[field] === HOLDER.body)
        this.draft.addExtra(this.#names[field]!, this.start[field]!, this.end[field]!);
    }
  }
}

/** Envoy writes a dash, or nothing, for what it does not know. */
function isAbsent(buffer: Uint8Array, start: number, end: number): boolean {
  return start >= end || (end - start === 1 && buffer[start] === CHAR.minus);
}
