import { isIP } from "node:net";
import {
  isHostName,
  parseDuration,
  parseEndpoint,
  parseRetention,
  parseSize,
  type Bytes,
  type Endpoint,
  type Milliseconds,
  type Retention,
} from "./values.ts";

/** The types that options have: what a file may say, in words and as a function. */
export interface ValueType<T> {
  /** Completes "expected …" in a message. */
  readonly expected: string;
  /** The parsed value, or undefined for one that is refused. */
  readonly read: (value: unknown) => T | undefined;
  /** Never shown, neither in messages nor in the configuration's hash. */
  readonly secret?: boolean;
}

const MAX_SHOWN_LENGTH = 80;

/** A value for a message, cut where it is long. */
export function show(value: unknown): string {
  if (value === undefined || value === null) return "nothing";
  if (typeof value === "object" && !Array.isArray(value)) return "a map";
  const text = Array.isArray(value)
    ? `[${value.map(show).join(", ")}]`
    : typeof value === "string"
      ? JSON.stringify(value)
      : `${value as number | boolean}`;
  return text.length > MAX_SHOWN_LENGTH ? `${text.slice(0, MAX_SHOWN_LENGTH)}…` : text;
}

function fromText<T>(expected: string, parse: (text: string) => T | undefined): ValueType<T> {
  return {
    expected,
    read: (value) => (typeof value === "string" ? parse(value.trim()) : undefined),
  };
}

export const text: ValueType<string> = {
  expected: "text",
  read: (value) => (typeof value === "string" ? value : undefined),
};

export const secret: ValueType<string> = { ...text, secret: true };

/** A path that may be left empty. */
export const path: ValueType<string> = fromText("a path", (value) =>
  value.includes("\0") ? undefined : value,
);

export const requiredPath: ValueType<string> = fromText("a path", (value) =>
  value === "" || value.includes("\0") ? undefined : value,
);

export function matching(pattern: RegExp, expected: string): ValueType<string> {
  return {
    expected,
    read: (value) => (typeof value === "string" && pattern.test(value) ? value : undefined),
  };
}

export function choice<const T extends string>(...values: readonly T[]): ValueType<T> {
  return {
    expected: values.length === 1 ? (values[0] as string) : `one of ${values.join(", ")}`,
    // YAML reads `min_version: 1.2` as a number.
    read: (value) =>
      values.find((candidate) => candidate === (typeof value === "number" ? String(value) : value)),
  };
}

/** A whole number. `"1000"` is accepted as well: what `${env:NAME}` puts in is text. */
export function integer(min: number, max: number): ValueType<number> {
  return {
    expected: `a whole number from ${min} to ${max}`,
    read(value) {
      const number = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value;
      return typeof number === "number" &&
        Number.isSafeInteger(number) &&
        number >= min &&
        number <= max
        ? number
        : undefined;
    },
  };
}

/** A number. Text that is one is accepted as well. */
export function decimal(min: number, max: number): ValueType<number> {
  return {
    expected: `a number from ${min} to ${max}`,
    read(value) {
      const number =
        typeof value === "string" && /^\d+(\.\d+)?$/.test(value) ? Number(value) : value;
      return typeof number === "number" && number >= min && number <= max ? number : undefined;
    },
  };
}

export const boolean: ValueType<boolean> = {
  expected: "true or false",
  read: (value) =>
    value === true || value === "true"
      ? true
      : value === false || value === "false"
        ? false
        : undefined,
};

/** Timers of Node hold 31 bits of milliseconds. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export function duration(min: Milliseconds, bound: string): ValueType<Milliseconds> {
  return fromText(`a duration ${bound}, such as 200ms, 1m30s or 7 days`, (value) => {
    const ms = parseDuration(value);
    return ms !== undefined && ms >= min && ms <= MAX_TIMER_MS ? ms : undefined;
  });
}

export function size(min: Bytes, bound: string): ValueType<Bytes> {
  return {
    expected: `a size of at least ${bound}, such as 64MiB, 1.5GiB or a number of bytes`,
    read(value) {
      const bytes =
        typeof value === "string" || typeof value === "number"
          ? parseSize(String(value).trim())
          : undefined;
      return bytes !== undefined && bytes >= min ? bytes : undefined;
    },
  };
}

export const endpoint: ValueType<Endpoint> = fromText(
  'host:port, such as 127.0.0.1:4318 or "[::1]:4318"',
  parseEndpoint,
);

export const retention: ValueType<Retention> = fromText(
  "a period, such as 13 months or 90 days",
  parseRetention,
);

/** A rule that gives records a retention class. An absent part matches everything; a pattern may end with `*`. */
export interface RetentionRule {
  readonly class: string;
  readonly namespace?: string;
  readonly service?: string;
  readonly path?: string;
}

const RULE_KEYS: ReadonlySet<string> = new Set(["class", "namespace", "service", "path"]);
const MAX_RULES = 1_000;
/** An exact text, or a beginning with `*` behind it. */
const PATTERN = /^[^*]+\*?$|^\*$/;

function isRule(value: unknown): value is RetentionRule {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return (
    Object.hasOwn(value, "class") &&
    Object.entries(value).every(
      ([key, item]) =>
        RULE_KEYS.has(key) && typeof item === "string" && (key === "class" || PATTERN.test(item)),
    )
  );
}

export const retentionRules: ValueType<readonly RetentionRule[]> = {
  expected: `a list of at most ${MAX_RULES} rules { class, namespace, service, path }, each pattern a text that may end with *`,
  read: (value) =>
    Array.isArray(value) && value.length <= MAX_RULES && value.every(isRule) ? value : undefined,
};

/** Something of a user's own that is redacted wherever it stands. */
export interface RedactPattern {
  readonly name: string;
  readonly pattern: string;
}

const MAX_PATTERNS = 32;

function isPattern(value: unknown): value is RedactPattern {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const { name, pattern, ...rest } = value as Record<string, unknown>;
  return (
    Object.keys(rest).length === 0 &&
    typeof name === "string" &&
    /^[a-z][a-z0-9_-]{0,31}$/.test(name) &&
    typeof pattern === "string"
  );
}

export const redactPatterns: ValueType<readonly RedactPattern[]> = {
  expected: `a list of at most ${MAX_PATTERNS} patterns { name, pattern }, each name of a-z, 0-9, _ and -`,
  read: (value) =>
    Array.isArray(value) && value.length <= MAX_PATTERNS && value.every(isPattern)
      ? value
      : undefined,
};

function list(expected: string, accepts: (item: string) => boolean): ValueType<readonly string[]> {
  return {
    expected: `a list of ${expected}`,
    read: (value) =>
      Array.isArray(value) && value.every((item) => typeof item === "string" && accepts(item))
        ? (value as string[])
        : undefined,
  };
}

export const names: ValueType<readonly string[]> = list("names", (item) => item !== "");

/** Users of the embedded server, and databases. */
export const guestNames: ValueType<readonly string[]> = list(
  "names of at most 32 lower-case letters, digits and _",
  (item) => /^[a-z][a-z0-9_]{0,31}$/.test(item),
);

export const hostNames: ValueType<readonly string[]> = list(
  "host names or addresses",
  (item) => item === "*" || isHostName(item) || isIP(item) !== 0,
);

/** A URL without a slash at its end. A user or password in it would end up in logs, so it is refused. */
function readPlainUrl(value: string): string | undefined {
  if (!URL.canParse(value)) return undefined;
  const url = new URL(value);
  const isPlain =
    url.username === "" && url.password === "" && url.search === "" && url.hash === "";
  return isPlain && (url.protocol === "http:" || url.protocol === "https:")
    ? url.href.replace(/\/+$/, "")
    : undefined;
}

export const storeEndpoint: ValueType<string> = fromText(
  "embedded, or a URL such as https://clickhouse.example:8443 without user and password",
  (value) => (value === "embedded" ? value : readPlainUrl(value)),
);

export const urlOrEmpty: ValueType<string> = fromText(
  "a URL such as https://collector.example:4318 without user and password",
  (value) => (value === "" ? value : readPlainUrl(value)),
);

/** A map of texts that a file may leave out. Numbers and booleans count as the texts that they are written as. */
function mapOf<T>(
  expected: string,
  readItem: (item: unknown) => T | undefined,
): ValueType<Readonly<Record<string, T>>> {
  return {
    expected,
    read(value) {
      if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
      const items = Object.entries(value).map(([key, item]) => [key, readItem(item)] as const);
      return items.every((item): item is readonly [string, T & {}] => item[1] !== undefined)
        ? Object.fromEntries(items)
        : undefined;
    },
  };
}

function readText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : undefined;
}

function readTexts(value: unknown): readonly string[] | undefined {
  const texts = (Array.isArray(value) ? value : [value]).map(readText);
  return texts.every((item) => item !== undefined) ? texts : undefined;
}

export const textMap: ValueType<Readonly<Record<string, string>>> = mapOf(
  "a map of names and texts",
  readText,
);

/** RFC 9110, section 5.1: a token; section 5.5: no control characters. */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const HEADER_VALUE = /^[^\p{Cc}]*$/u;

export const secretHeaders: ValueType<Readonly<Record<string, string>>> = {
  expected: "a map of names and values of HTTP headers",
  secret: true,
  read(value) {
    const headers = textMap.read(value);
    const isValid = Object.entries(headers ?? {}).every(
      ([name, header]) => HEADER_NAME.test(name) && HEADER_VALUE.test(header),
    );
    return isValid ? headers : undefined;
  },
};

export const textsMap: ValueType<Readonly<Record<string, readonly string[]>>> = mapOf(
  "a map of names and lists of texts",
  readTexts,
);

/** Keys that have to be there, each with the values that it may have; an empty list stands for any. */
export const conditions: ValueType<Readonly<Record<string, readonly string[]>>> = {
  expected:
    "a list of keys, or a map of keys and the value, or list of values, that each has to have",
  read(value) {
    if (!Array.isArray(value)) return textsMap.read(value);
    return value.every((key) => typeof key === "string")
      ? Object.fromEntries(value.map((key) => [key, []]))
      : undefined;
  },
};
