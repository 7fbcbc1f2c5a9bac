import { ACCESS, type AccessDraft, SOURCES } from "../records/access-draft.ts";
import { VALUE_TYPES } from "../records/attributes.ts";
import type { ScopeView } from "../records/resource.ts";
import { startsWith } from "./ascii.ts";

/** As the configuration has it: an absent part matches everything, a pattern may end with `*`. */
export interface RetentionRule {
  readonly class: string;
  readonly namespace?: string;
  readonly service?: string;
  readonly path?: string;
}

interface Pattern {
  readonly bytes: Uint8Array;
  readonly isPrefix: boolean;
}

interface CompiledRule {
  /** Number of the class in `classes`. */
  readonly class: number;
  readonly namespace: Pattern | null;
  readonly service: Pattern | null;
  readonly path: Pattern | null;
}

const UNKNOWN = -1;
const NOTHING = new Uint8Array(0);
const NAMESPACE_KEYS = ["k8s.namespace.name", "service.namespace"] as const;

/**
 * Gives records their retention class: the first rule that fits, else the first of `classes`.
 * Cost: compares bytes in place; where no rule has a path, and the resource says namespace and service, once for a scope.
 */
export class RetentionRules {
  /** Names of the classes by number; number 0 is for what no rule fits. */
  readonly classes: readonly string[];
  readonly #rules: readonly CompiledRule[];
  readonly #scopeRules: readonly CompiledRule[];
  readonly #hasPaths: boolean;
  #ofScope = UNKNOWN;

  constructor(rules: readonly RetentionRule[], fallback: string) {
    const classes = [...new Set([fallback, ...rules.map((rule) => rule.class)])];
    this.classes = classes;
    this.#rules = rules.map((rule) => ({
      class: classes.indexOf(rule.class),
      namespace: compile(rule.namespace),
      service: compile(rule.service),
      path: compile(rule.path),
    }));
    this.#scopeRules = this.#rules.filter(({ path }) => path === null);
    this.#hasPaths = this.#scopeRules.length < this.#rules.length;
  }

  /** Class of the logs and spans under a resource. Call it when the scope changes, before `ofAccess`. */
  ofScope({ resourceAttributes, resourceBuffer }: ScopeView): number {
    this.#ofScope = UNKNOWN;
    const text = (key: string): Uint8Array => {
      const wanted = Buffer.from(key);
      for (let i = resourceAttributes.count - 1; i >= 0; i--) {
        const { keyStart, keyEnd, valueStart, valueEnd, valueType } = resourceAttributes;
        if (
          valueType[i] === VALUE_TYPES.string &&
          wanted.equals(resourceBuffer.subarray(keyStart[i], keyEnd[i]))
        )
          return resourceBuffer.subarray(valueStart[i], valueEnd[i]);
      }
      return NOTHING;
    };
    const namespace = NAMESPACE_KEYS.map(text).find(({ length }) => length > 0) ?? NOTHING;
    const service = text("service.name");
    const found = this.#scopeRules.find(
      (rule) =>
        fits(rule.namespace, namespace, 0, namespace.length) &&
        fits(rule.service, service, 0, service.length),
    );
    return found?.class ?? 0;
  }

  /** Class of an access record, by its columns LocalNamespace, ServiceName and Path. */
  ofAccess(draft: AccessDraft): number {
    if (this.#ofScope !== UNKNOWN && isShared(draft)) return this.#ofScope;
    let found = 0;
    for (let i = 0; i < this.#rules.length; i++) {
      const rule = this.#rules[i]!;
      if (!fitsColumn(rule.namespace, draft, ACCESS.LocalNamespace)) continue;
      if (!fitsColumn(rule.service, draft, ACCESS.ServiceName)) continue;
      if (!fitsColumn(rule.path, draft, ACCESS.Path)) continue;
      found = rule.class;
      break;
    }
    if (!this.#hasPaths && isShared(draft)) this.#ofScope = found;
    return found;
  }
}

/** Do namespace and service come from the resource, so that the next record of the scope has the same? */
function isShared({ source }: AccessDraft): boolean {
  return (
    source[ACCESS.LocalNamespace] === SOURCES.shared &&
    source[ACCESS.ServiceName] === SOURCES.shared
  );
}

function compile(pattern: string | undefined): Pattern | null {
  if (pattern === undefined || pattern === "*") return null;
  const isPrefix = pattern.endsWith("*");
  return { bytes: Buffer.from(isPrefix ? pattern.slice(0, -1) : pattern), isPrefix };
}

function fitsColumn(pattern: Pattern | null, draft: AccessDraft, column: number): boolean {
  if (pattern === null) return true;
  if (draft.isEmpty(column)) return false;
  return fits(pattern, draft.bytesOf(column), draft.start[column]!, draft.end[column]!);
}

function fits(pattern: Pattern | null, from: Uint8Array, start: number, end: number): boolean {
  if (pattern === null) return true;
  const { bytes, isPrefix } = pattern;
  const length = end - start;
  if (isPrefix ? length < bytes.length : length !== bytes.length) return false;
  return startsWith(from, start, end, bytes);
}
