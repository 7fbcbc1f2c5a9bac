import { z } from "zod";
import { show, type ValueType } from "./types.ts";

/**
 * What a configuration is made of: options with a type, a default and a line of description, and sections that hold them.
 * `options.ts` declares them; here they become a parser, a list for documentation, and messages. Only this file knows zod.
 */

type Shape = z.ZodRawShape;

/** What parsing a section gives. */
export type Parsed<S extends z.ZodType> = z.output<S>;

interface OptionMeta extends Record<string, unknown> {
  description: string;
  /** The default as a file would write it. */
  text?: unknown;
  /** What the generated file shows in place of the default, where that teaches more; where there is a default, it means the same. */
  example?: string;
}

/** What the schema knows of the type of an option. */
interface TypeMeta extends Record<string, unknown> {
  expected: string;
  secret: boolean;
}

/** A type whose one message is `expected …, got …`. */
function toZod<T>({ expected, read, secret: isSecret = false }: ValueType<T>) {
  return z
    .unknown()
    .transform((value, context): T => {
      const result = read(value);
      if (result !== undefined) return result;
      context.addIssue(
        `expected ${expected}, got ${isSecret ? "another type of value" : show(value)}`,
      );
      return z.NEVER;
    })
    .meta({ expected, secret: isSecret } satisfies TypeMeta);
}

/** An option with its default, written as a file would write it. */
export function option<T>(
  valueType: ValueType<T>,
  fallback: unknown,
  description: string,
  example?: string,
) {
  return toZod(valueType)
    .prefault(fallback)
    .meta({ description, text: fallback, example } satisfies OptionMeta);
}

/** A map of options. A section that a file leaves out has all its defaults. */
export function section<S extends Shape>(description: string, shape: S) {
  return z
    .strictObject(shape)
    .prefault({} as never)
    .meta({ description } satisfies OptionMeta);
}

/** A section in which a file may add keys of its own, each with a value of type `further`. */
export function openSection<S extends Shape, T>(
  description: string,
  shape: S,
  further: ValueType<T>,
) {
  return z
    .object(shape)
    .catchall(toZod(further))
    .prefault({} as never)
    .meta({ description } satisfies OptionMeta);
}

/** A section that does nothing unless a file names it. */
export function optionalSection<S extends Shape>(description: string, shape: S) {
  return z
    .strictObject(shape)
    .optional()
    .meta({ description } satisfies OptionMeta);
}

/** A list of sections of one shape; empty unless a file names it. */
export function listSection<S extends Shape>(description: string, shape: S) {
  return z
    .array(z.strictObject(shape))
    .prefault([])
    .meta({ description } satisfies OptionMeta);
}

/** In paths of options: any item of a list. */
export const ITEM = "[]";

/** One key of the configuration, for the generated file, the table of options and hints. */
export interface OptionInfo {
  readonly path: readonly string[];
  readonly description: string;
  /** A section holds options; `optional` ones have no effect until a file names them; a list holds items, with ITEM in the paths of their options. */
  readonly kind: "section" | "optional section" | "list" | "option";
  /** What is expected, and the default as a file writes it: for options. */
  readonly expected: string;
  readonly fallback: unknown;
  readonly example: string | undefined;
  readonly secret: boolean;
}

type RootSection = z.ZodPrefault<z.ZodObject>;

/** Every section and option, in the order of the file. */
export function listOptions(root: RootSection): readonly OptionInfo[] {
  return walk(root.unwrap(), []);
}

function walk(object: z.ZodObject, parents: readonly string[]): OptionInfo[] {
  return Object.entries(object.shape).flatMap(([key, field]) => {
    const wrapper = field as z.ZodPrefault<z.ZodType> | z.ZodOptional<z.ZodType>;
    const inner = wrapper.unwrap();
    const meta = wrapper.meta() as OptionMeta;
    const typeMeta = inner.meta() as TypeMeta | undefined;
    const info = {
      path: [...parents, key],
      description: meta.description,
      expected: typeMeta?.expected ?? "",
      fallback: meta.text,
      example: meta.example,
      secret: typeMeta?.secret ?? false,
    };
    if (inner instanceof z.ZodArray) {
      const item = inner.element as z.ZodObject;
      return [{ ...info, kind: "list" as const }, ...walk(item, [...info.path, ITEM])];
    }
    if (!(inner instanceof z.ZodObject)) return [{ ...info, kind: "option" as const }];
    const kind =
      wrapper instanceof z.ZodOptional ? ("optional section" as const) : ("section" as const);
    return [{ ...info, kind }, ...walk(inner, info.path)];
  });
}

/** A place in the configuration that does not fit, without its file. */
export interface SchemaProblem {
  readonly path: readonly (string | number)[];
  readonly message: string;
  /** The key itself is wrong, not its value. */
  readonly atKey: boolean;
}

/** The parsed configuration, or everything in `raw` that does not fit the schema. */
export function parse<S extends RootSection>(
  root: S,
  raw: unknown,
): { config: Parsed<S> } | { problems: readonly SchemaProblem[] } {
  const result = root.safeParse(raw, { reportInput: true });
  if (result.success) return { config: result.data };
  return { problems: result.error.issues.flatMap(toProblems) };
}

function toProblems(issue: z.core.$ZodIssue): SchemaProblem[] {
  const at = issue.path as (string | number)[];
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({ path: [...at, key], message: "", atKey: true }));
  }
  // The only built-in types are the map and the list; all others speak for themselves.
  const message =
    issue.code === "invalid_type"
      ? `expected a ${issue.expected === "array" ? "list of maps" : "map of options"}, got ${show(issue.input)}`
      : issue.message;
  return [{ path: at, message, atKey: false }];
}
