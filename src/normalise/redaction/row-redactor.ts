import { KINDS } from "../../core/kinds.ts";
import { type Column, TABLES } from "../../records/columns.ts";
import type { KeyShape } from "../../records/key-shape.ts";
import { RowBuffer, viewOf } from "../../records/row-buffer.ts";
import type { ScopeColumns } from "../../records/scope-columns.ts";
import type { SectionBuilder } from "../../records/section-builder.ts";
import { ascii, startsWith } from "../ascii.ts";
import type { Expansion } from "../expansion.ts";
import { FIELD, IS_NUMERIC } from "../fields.ts";
import { REMOVED } from "./replacement.ts";
import { columnsNamed, PLACES, planOf, type RowPlan } from "./row-plan.ts";
import { type RedactOptions, Rules } from "./rules.ts";
import { RowWalk } from "./row-walk.ts";
import { CONTEXT } from "./value-end.ts";

/** What was found out about the request and the client: no client may make that disappear by what it sends. Numbers and times are no secrets. */
const FINDINGS: ReadonlySet<number> = new Set([
  FIELD.method,
  FIELD.response_flags,
  FIELD.response_flags_long,
  FIELD.response_code_details,
  FIELD.connection_termination_details,
  FIELD.verdict,
  FIELD.reason,
  FIELD.policy,
  FIELD.error,
  FIELD.downstream_peer_uri_san,
  FIELD.downstream_peer_dns_san,
  FIELD.downstream_peer_subject,
  FIELD.peer_principal,
  FIELD.jwt_subject,
  FIELD.jwt_issuer,
  FIELD.request_principal,
  FIELD.end_user,
  FIELD.basic_auth_user,
  FIELD.downstream_remote_address,
  FIELD.client_address,
]);

/** With it a protocol is one; a client whose path has blanks writes anything else into its place. */
const HTTP = ascii("HTTP");

function mayBeSecret(field: number): boolean {
  return IS_NUMERIC[field] === 0 && !FINDINGS.has(field);
}

const STAR = 0x2a;
/** The entry of Redactions that says that there are others. */
const MORE = Buffer.from("more");

const LOG_SCOPE = [
  "ResourceSchemaUrl",
  "ResourceAttributes",
  "ScopeSchemaUrl",
  "ScopeName",
  "ScopeVersion",
  "ScopeAttributes",
];
const SPAN_SCOPE = ["ServiceName", "ResourceAttributes", "ScopeName", "ScopeVersion"];
const SPAN_SCHEMA = ["ResourceSchemaUrl", "ScopeSchemaUrl", "ScopeAttributes"];

/** A line whose fields have become attributes of the expansion that it stands in, from number `bodyFrom` on. */
interface ReadLine {
  readonly expansion: Expansion;
  readonly bodyFrom: number;
  readonly lineStart: number;
  readonly lineEnd: number;
}

/** The columns that all records of a scope share, redacted, and what was redacted in them, by the kind of row that they go to. */
export interface RedactedScope extends ScopeColumns {
  readonly notes: Readonly<Record<number, readonly number[]>> | undefined;
}

/**
 * Redacts a row that was just written and is not yet hashed: every text in it, whatever column it is in, so that no dialect and no later column can be
 * forgotten. What is found is removed, or replaced by a pseudonym, and named in the column Redactions as `Column:name`.
 *
 * Cost: about one look at each byte of text that a sender could write. The row is written anew only when something is found in it.
 */
export class RowRedactor {
  readonly #rules: Rules;
  readonly #walk: RowWalk;
  /** By kind. */
  readonly #plans: readonly (RowPlan | undefined)[];
  readonly #serviceName: RowPlan;
  readonly #resourceMap: RowPlan;
  readonly #logScope: RowPlan;
  readonly #spanScope: RowPlan;
  readonly #spanSchema: RowPlan;
  /** Texts of Redactions, by the number of the note. */
  readonly #labels = new Map<number, Buffer>();

  /** Throws: PatternError. */
  constructor(options: RedactOptions) {
    const rules = new Rules(options);
    this.#rules = rules;
    this.#walk = new RowWalk(rules, options.pseudonymKey);
    const { access, log, span } = TABLES;
    const plan = (columns: readonly Column[], shared: readonly string[] = []): RowPlan =>
      planOf(columns, rules.columns, new Set(shared));
    const plans: RowPlan[] = [];
    plans[KINDS.access] = plan(access.columns, ["ResourceAttributes"]);
    plans[KINDS.log] = plan(log.columns, [...LOG_SCOPE, "ServiceName"]);
    plans[KINDS.span] = plan(span.columns, [...SPAN_SCOPE, ...SPAN_SCHEMA]);
    this.#plans = plans;
    this.#serviceName = plan(columnsNamed(log, ["ServiceName"]));
    this.#resourceMap = plan(columnsNamed(log, ["ResourceAttributes"]));
    this.#logScope = plan(columnsNamed(log, LOG_SCOPE));
    this.#spanScope = plan(columnsNamed(span, SPAN_SCOPE));
    this.#spanSchema = plan(columnsNamed(span, SPAN_SCHEMA));
  }

  /** From now on `secrets` is filled. */
  keepSecrets(): void {
    this.#walk.keepsSecrets = true;
  }

  /** What the last `redactRow` replaced. */
  get secrets(): readonly Buffer[] {
    return this.#walk.secrets;
  }

  /** Is the value of an attribute under this key a secret? Then it fills no column. */
  isSecretKey(key: string): boolean {
    const bytes = Buffer.from(key);
    return this.isSecretName(bytes, 0, bytes.length);
  }

  /** The same of the key [start, end) of `from`. */
  readonly isSecretName = (from: Uint8Array, start: number, end: number): boolean =>
    this.#rules.names.findInKey(from, start, end) >= 0;

  /** For a ValueWriter: do these bytes, which the row is going to hold as base64, hide a secret? */
  readonly hidesSecret = (from: Uint8Array, start: number, end: number): boolean => {
    const walk = this.#walk;
    if (!walk.finder.find(from, viewOf(from), start, end, CONTEXT.text)) return false;
    walk.hidden = walk.finder.name[0]!;
    return true;
  };

  /**
   * A secret may hold a blank, and a line's reader makes two fields of it, of which the second is no secret by itself. So the line is looked through as a whole: what begins within a
   * secret becomes `[redacted]`, unless it is a field that no client may make disappear; true when something may have. `fields`: FIELD of each attribute.
   */
  redactLine(
    { expansion: into, bodyFrom, lineStart, lineEnd }: ReadLine,
    fields: Uint8Array,
  ): boolean {
    const { finder } = this.#walk;
    if (!finder.find(into.bytes, viewOf(into.bytes), lineStart, lineEnd, CONTEXT.text))
      return false;
    const list = into.attributes;
    let mark = -1;
    for (let i = bodyFrom; i < list.count; i++) {
      if (!mayBeSecret(fields[i]!)) continue;
      if (
        fields[i] === FIELD.protocol &&
        startsWith(into.bytes, list.valueStart[i]!, list.valueEnd[i]!, HTTP)
      )
        continue;
      for (let hit = 0; hit < finder.count; hit++) {
        const start = finder.start[hit]!;
        const end = finder.end[hit]!;
        if (mark < 0) mark = into.append(REMOVED, 0, REMOVED.length);
        if (list.keyStart[i]! > start && list.keyStart[i]! < end) {
          list.keyStart[i] = mark;
          list.keyEnd[i] = mark + REMOVED.length;
        }
        // What stands in front is what tells it: a field that begins with the secret does not.
        const isSplit = list.valueStart[i]! > start || finder.needsWordBefore(hit);
        if (isSplit && list.valueStart[i]! >= start && list.valueStart[i]! < end) {
          list.valueStart[i] = mark;
          list.valueEnd[i] = mark + REMOVED.length;
        }
      }
    }
    return mark >= 0;
  }

  /** A text that goes into a record of ours, with its secrets redacted; who was asked for stays. */
  redactText(text: string): string {
    return this.#walk.redactText(text, CONTEXT.text | CONTEXT.identity);
  }

  /** A copy of a text with stars in the place of its secrets: all else stands where it stood. */
  blot(text: Uint8Array): Uint8Array {
    const copy = new Uint8Array(text);
    const { finder } = this.#walk;
    if (finder.find(text, viewOf(text), 0, text.length, CONTEXT.text))
      for (let i = 0; i < finder.count; i++) copy.fill(STAR, finder.start[i], finder.end[i]);
    return copy;
  }

  /** Once for each scope. */
  redactScope(columns: ScopeColumns): RedactedScope {
    const walk = this.#walk;
    const notes: Record<number, number[]> = {};
    const part = (bytes: Uint8Array, plan: RowPlan, kind: number): Uint8Array => {
      const row = new RowBuffer(bytes.length);
      row.writeBytes(bytes, 0, bytes.length);
      walk.walk(row, 0, plan, false);
      (notes[kind] ??= []).push(...walk.notes.subarray(0, walk.noteCount));
      if (!walk.hasFound) return bytes;
      walk.replace(row, []);
      return row.bytes.slice(0, row.position);
    };
    const redacted = {
      serviceName: part(columns.serviceName, this.#serviceName, KINDS.log),
      resourceMap: part(columns.resourceMap, this.#resourceMap, KINDS.access),
      logScope: part(columns.logScope, this.#logScope, KINDS.log),
      spanScope: part(columns.spanScope, this.#spanScope, KINDS.span),
      spanSchema: part(columns.spanSchema, this.#spanSchema, KINDS.span),
    };
    walk.hidden = -1;
    const isClean = Object.values(notes).every((list) => list.length === 0);
    return { ...redacted, notes: isClean ? undefined : notes };
  }

  /**
   * Redacts the row that `section` has open. `shape`: of the attributes in its map; undefined when the map holds others too.
   * Returns whether there was nothing to redact, in it and in its scope.
   */
  redactRow(section: SectionBuilder, scope: RedactedScope, shape: KeyShape | undefined): boolean {
    const walk = this.#walk;
    const { out, kind } = section;
    const areKeysClean = shape !== undefined && walk.areKeysClean(shape);
    walk.walk(out, section.rowStart, this.#plans[kind]!, areKeysClean);
    walk.hidden = -1;
    if (scope.notes !== undefined) for (const note of scope.notes[kind]!) walk.addNote(note);
    if (walk.noteCount === 0) return true;
    walk.replace(out, this.#labelsOf(walk));
    return false;
  }

  #labelsOf({ notes, noteCount, hasMore }: RowWalk): Buffer[] {
    const labels: Buffer[] = [];
    for (let i = 0; i < noteCount; i++) labels.push(this.#label(notes[i]!));
    if (hasMore) labels.push(MORE);
    return labels;
  }

  #label(note: number): Buffer {
    const known = this.#labels.get(note);
    if (known !== undefined) return known;
    const { labels } = this.#rules;
    const place = PLACES[Math.floor(note / (labels.length + 1))]!;
    const name = labels[note % (labels.length + 1)] ?? "column";
    const label = Buffer.from(`${place}:${name}`);
    this.#labels.set(note, label);
    return label;
  }
}
