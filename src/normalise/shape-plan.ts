import type { KeyShape } from "../records/key-shape.ts";
import { findKey, WEIGHTS } from "./attribute-keys.ts";
import type { Dialect } from "./dialect.ts";
import { FIELD } from "./fields.ts";
import type { Redactor } from "./redaction.ts";
import type { ScopeTraits } from "./scope-traits.ts";

/** Combinations of scope and body that are remembered for one shape. */
const MAX_DECISIONS = 8;
const FILE_KEYS: ReadonlySet<string> = new Set([
  "log.file.path",
  "log.file.name",
  "log.iostream",
  "logtag",
]);
const NONE: readonly Dialect[] = [];

/** What attribute keys alone say, worked out once for each shape. */
export class ShapePlan {
  /** Who made it: another normaliser redacts other headers. */
  readonly owner: object;
  readonly keys: readonly string[];
  /** Field of each attribute; 0 for none. */
  readonly fields: Uint8Array;
  /** Number of the configured header that each attribute's key names, or -1. */
  readonly headers: Int16Array;
  readonly hasHeaders: boolean;
  /** How many different fields there are. */
  readonly fieldCount: number;
  /** WEIGHTS of the different fields, added up. */
  readonly weight: number;
  /** Is there a method, a path or a status? */
  readonly hasRequest: boolean;
  /** Is there a key for the protocol, whatever a record says under it? */
  readonly namesProtocol: boolean;
  /** Do the keys show that a collector read the record from a file, so that its time is the line's or the reader's? */
  readonly fromFile: boolean;
  readonly #kinds: string[] = [];
  readonly #bodyTypes: number[] = [];
  readonly #dialects: (readonly Dialect[])[] = [];
  /** What was asked for last, and the answer: the records of a scope come one after the other. */
  #lastTraits: ScopeTraits | undefined;
  #lastBodyType = 0;
  #lastAnswer: readonly Dialect[] = NONE;

  constructor(owner: object, shape: KeyShape, redactor: Redactor) {
    this.owner = owner;
    this.keys = keysOf(shape);
    this.fields = new Uint8Array(shape.count);
    this.headers = new Int16Array(shape.count);
    const weights = new Map<number, number>();
    for (let i = 0; i < shape.count; i++) {
      const key = this.keys[i]!;
      this.headers[i] = redactor.headerOf(key);
      const known = findKey(key);
      if (known === undefined) continue;
      weights.set(known.field, Math.max(known.weight, weights.get(known.field) ?? WEIGHTS.plain));
      // A header that is to be redacted fills no column.
      if (this.headers[i]! < 0) this.fields[i] = known.field;
    }
    this.hasHeaders = this.headers.some((header) => header >= 0);
    this.fieldCount = weights.size;
    this.weight = [...weights.values()].reduce((sum, weight) => sum + weight, 0);
    this.hasRequest =
      weights.has(FIELD.method) ||
      weights.has(FIELD.path) ||
      weights.has(FIELD.original_path) ||
      weights.has(FIELD.url) ||
      weights.has(FIELD.response_code);
    this.namesProtocol = weights.has(FIELD.protocol);
    this.fromFile = this.keys.some((key) => FILE_KEYS.has(key));
  }

  /** The dialects that may claim records of this shape under these traits with this type of body. */
  candidates(
    dialects: readonly Dialect[],
    traits: ScopeTraits,
    bodyType: number,
  ): readonly Dialect[] {
    if (traits !== this.#lastTraits || bodyType !== this.#lastBodyType) {
      this.#lastAnswer = this.#decide(dialects, traits, bodyType);
      this.#lastTraits = traits;
      this.#lastBodyType = bodyType;
    }
    return this.#lastAnswer;
  }

  #decide(dialects: readonly Dialect[], traits: ScopeTraits, bodyType: number): readonly Dialect[] {
    for (let i = 0; i < this.#kinds.length; i++) {
      if (this.#bodyTypes[i] === bodyType && this.#kinds[i] === traits.kind)
        return this.#dialects[i]!;
    }
    const found = dialects.filter((dialect) => dialect.matches(this, traits, bodyType));
    const i = this.#kinds.length % MAX_DECISIONS;
    if (this.#kinds.length === MAX_DECISIONS)
      this.#kinds.length = this.#bodyTypes.length = this.#dialects.length = 0;
    this.#kinds[i] = traits.kind;
    this.#bodyTypes[i] = bodyType;
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
