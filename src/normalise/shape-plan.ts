import type { KeyShape } from "../records/key-shape.ts";
import { REMARKS } from "../records/remarks.ts";
import { findClaim, findHeader, findKey, WEIGHTS } from "./attribute-keys.ts";
import { mayHoldLine } from "./held.ts";
import type { Dialect } from "./dialect.ts";
import { isIstioSet, namesGatewayPath, namesKuma } from "./envoy-family.ts";
import { FIELD } from "./fields.ts";
import type { RowRedactor } from "./redaction/row-redactor.ts";
import type { ScopeTraits } from "./scope-traits.ts";

/** Scopes that are remembered for one shape. */
const MAX_DECISIONS = 8;
const FILE_KEYS: ReadonlySet<string> = new Set([
  "log.file.path",
  "log.file.name",
  "log.iostream",
  "logtag",
]);
const NONE: Dialect[] = [];
/** Fields that say where a record comes from: they stand beside logs of all kinds. */
const SOURCE_FIELDS: ReadonlySet<number> = new Set([
  FIELD.mesh_id,
  FIELD.node_id,
  FIELD.namespace,
  FIELD.pod,
]);

/** What attribute keys alone say, worked out once for each shape. */
export class ShapePlan {
  /** Who made it: another normaliser redacts other keys. */
  readonly owner: object;
  readonly keys: readonly string[];
  readonly keySet: ReadonlySet<string>;
  /** FIELD of each attribute, in the words that all have in common; 0 for none. */
  readonly fields: Uint8Array;
  /** 1 for the attributes whose key says that the value is to be redacted. */
  readonly isSecret: Uint8Array;
  readonly hasSecrets: boolean;
  /** How many different fields there are that say something about a request; where a record comes from does not. */
  readonly fieldCount: number;
  /** WEIGHTS of the different fields, added up. */
  readonly weight: number;
  /** Is there a method, a path or a status? */
  readonly hasRequest: boolean;
  /** Is there a key for the protocol, whatever a record says under it? */
  readonly namesProtocol: boolean;
  /** What the keys say of the mesh whose Envoy wrote them (see envoy-family.ts). */
  readonly isIstioSet: boolean;
  readonly namesGatewayPath: boolean;
  readonly namesKuma: boolean;
  /** Do the keys show that a collector read the record from a file, so that its time is the line's or the reader's? */
  readonly fromFile: boolean;
  /** May one of the attributes hold a line of text? */
  readonly namesLine: boolean;
  /** Is there a key of ours that says that the sources contradict each other? */
  readonly remarksConflict: boolean;
  readonly #kinds: string[] = [];
  /** Fields in the words of a dialect that has its own. */
  readonly #ownFields = new Map<Dialect, Uint8Array>();
  readonly #dialects: Dialect[][] = [];
  readonly #answers = new Map<(plan: ShapePlan) => number, number>();
  /** What was asked for last, and the answer: the records of a scope come one after the other. */
  #lastTraits: ScopeTraits | undefined;
  #lastAnswer: Dialect[] = NONE;

  constructor(owner: object, shape: KeyShape, redactor: RowRedactor) {
    this.owner = owner;
    this.keys = keysOf(shape);
    this.keySet = new Set(this.keys);
    this.fields = new Uint8Array(shape.count);
    this.isSecret = Uint8Array.from(this.keys, (key) => (redactor.isSecretKey(key) ? 1 : 0));
    this.hasSecrets = this.isSecret.includes(1);
    const weights = new Map<number, number>();
    for (let i = 0; i < shape.count; i++) {
      const key = this.keys[i]!;
      const known = findKey(key);
      if (known === undefined) continue;
      weights.set(known.field, Math.max(known.weight, weights.get(known.field) ?? WEIGHTS.plain));
      // What is to be redacted fills no column.
      if (this.isSecret[i] === 0) this.fields[i] = known.field;
    }
    this.fieldCount = [...weights.keys()].filter((field) => !SOURCE_FIELDS.has(field)).length;
    this.weight = [...weights.values()].reduce((sum, weight) => sum + weight, 0);
    this.hasRequest =
      weights.has(FIELD.method) ||
      weights.has(FIELD.path) ||
      weights.has(FIELD.original_path) ||
      weights.has(FIELD.url) ||
      weights.has(FIELD.response_code);
    this.namesProtocol = weights.has(FIELD.protocol);
    this.isIstioSet = isIstioSet(this.keySet);
    this.namesGatewayPath = namesGatewayPath(this.keySet);
    this.namesKuma = namesKuma(this.keySet);
    this.namesLine = this.keys.some((key) => mayHoldLine(key));
    this.remarksConflict = this.keySet.has(REMARKS.identityConflict);
    this.fromFile = this.keys.some((key) => FILE_KEYS.has(key));
  }

  /** The dialects that may claim records of this shape under these traits, one that outranks the others first; the caller may put those into another order. */
  candidates(dialects: readonly Dialect[], traits: ScopeTraits): Dialect[] {
    if (traits !== this.#lastTraits) {
      this.#lastAnswer = this.#decide(dialects, traits);
      this.#lastTraits = traits;
    }
    return this.#lastAnswer;
  }

  /** What `work` makes of the keys; it is asked once. For what a dialect's hooks want to know of them. */
  once(work: (plan: ShapePlan) => number): number {
    let answer = this.#answers.get(work);
    if (answer === undefined) this.#answers.set(work, (answer = work(this)));
    return answer;
  }

  /** FIELD of each attribute, in the words of `dialect`. */
  fieldsOf(dialect: Dialect): Uint8Array {
    const { keys: own = {}, headers = [], responseHeaders = [] } = dialect;
    const { metadata = [], harmless = [], ownFields, sharedKeys = true } = dialect;
    if (dialect.keys === undefined && dialect.headers === undefined) return this.fields;
    const known = this.#ownFields.get(dialect);
    if (known !== undefined) return known;
    const chosen = this.#choose(own);
    const fields = Uint8Array.from(this.keys, (key, i) => {
      if (this.isSecret[i] === 1 && !harmless.includes(key)) return 0;
      const name = Object.hasOwn(own, key) ? own[key] : undefined;
      if (name !== undefined) return name === null || chosen.get(name) !== key ? 0 : FIELD[name];
      const prefix = headers.find((start) => key.startsWith(start));
      if (prefix !== undefined) return findHeader(key.slice(prefix.length)) ?? 0;
      const claims = metadata.find((start) => key.startsWith(start));
      if (claims !== undefined) return findClaim(key.slice(claims.length)) ?? 0;
      if (responseHeaders.some((start) => key.startsWith(start))) return 0;
      return sharedKeys && ownFields?.has(this.fields[i]!) !== true ? this.fields[i]! : 0;
    });
    const isOwn = fields.some((field, i) => field !== this.fields[i]);
    this.#ownFields.set(dialect, isOwn ? fields : this.fields);
    return isOwn ? fields : this.fields;
  }

  /** Of the keys that a dialect has for one field, the first that is here. */
  #choose(own: NonNullable<Dialect["keys"]>): ReadonlyMap<string, string> {
    const chosen = new Map<string, string>();
    for (const [key, name] of Object.entries(own))
      if (name !== null && !chosen.has(name) && this.keySet.has(key)) chosen.set(name, key);
    return chosen;
  }

  #decide(dialects: readonly Dialect[], traits: ScopeTraits): Dialect[] {
    const before = this.#kinds.indexOf(traits.kind);
    if (before >= 0) return this.#dialects[before]!;
    const found = dialects
      .filter((dialect) => dialect.matches?.(this, traits) === true)
      .toSorted((a, b) => Number(b.outranksOthers === true) - Number(a.outranksOthers === true));
    const i = this.#kinds.length % MAX_DECISIONS;
    if (this.#kinds.length === MAX_DECISIONS) this.#kinds.length = this.#dialects.length = 0;
    this.#kinds[i] = traits.kind;
    this.#dialects[i] = found.length === 0 ? NONE : found;
    return found;
  }
}

function keysOf(shape: KeyShape): string[] {
  const decoder = new TextDecoder();
  const keys: string[] = [];
  let at = 0;
  for (let i = 0; i < shape.count; i++)
    keys.push(decoder.decode(shape.keys.subarray(at, (at += shape.lengths[i]!))));
  return keys;
}
