import { MeshproofError } from "../core/errors.ts";
import { parseTime, TIME_FORMS } from "./times.ts";

/** Longest value, in characters: SPIFFE IDs have at most 2048 bytes (SPIFFE-ID, section 2.4). The whole URL is bounded by the listener. */
const MAX_VALUE_LENGTH = 2048;
/** How much of a wrong value a message repeats. */
const MAX_SHOWN = 64;

const DECISIONS = ["allowed", "denied", "failed", "unknown"];

/** A value that came, or undefined; throws what `expected` says otherwise. */
type Check<T> = (text: string) => T | undefined;

/**
 * The query of a URL, read strictly: a parameter that is unknown, came twice or does not decode is an error and never ignored, because
 * whoever misspells a filter would else take what he did not ask for.
 */
export class QueryParameters {
  readonly #values = new Map<string, string>();

  /** Throws: BAD_REQUEST that names the parameter. */
  constructor(url: string, known: readonly string[]) {
    const start = url.indexOf("?");
    const query = start < 0 ? "" : url.slice(start + 1);
    for (const pair of query.split("&")) {
      if (pair === "") continue;
      const equals = pair.indexOf("=");
      const name = decode(equals < 0 ? pair : pair.slice(0, equals), "the query");
      if (!known.includes(name))
        throw bad(
          `expected ${known.length === 0 ? "no parameters" : known.join(", ")}, got the parameter ${show(name)}`,
        );
      if (this.#values.has(name)) throw bad(`${name}: expected one value, got a second`);
      const value = decode(equals < 0 ? "" : pair.slice(equals + 1), name);
      if (value === "")
        throw bad(`${name}: expected a value, got none; leave it out to ask for all`);
      if (value.length > MAX_VALUE_LENGTH)
        throw bad(`${name}: expected at most ${MAX_VALUE_LENGTH} characters, got ${value.length}`);
      this.#values.set(name, value);
    }
  }

  /** The parameters as they came, in the order of their names. */
  get given(): Readonly<Record<string, string>> {
    return Object.fromEntries([...this.#values].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }

  text(name: string): string | undefined {
    return this.#values.get(name);
  }

  traceId(name: string): string | undefined {
    return this.#checked(name, "32 hex digits (or 16), not all zero", parseTraceId);
  }

  decision(name: string): string | undefined {
    return this.#checked(name, DECISIONS.join(", "), (text) =>
      DECISIONS.includes(text) ? text : undefined,
    );
  }

  time(name: string, nowNs: bigint): bigint | undefined {
    return this.#checked(name, TIME_FORMS, (text) => parseTime(text, nowNs));
  }

  /** A number from 1 to `max`. */
  count(name: string, max: number): number | undefined {
    return this.#checked(name, `a number from 1 to ${max}`, (text) => {
      const count = /^[1-9]\d{0,8}$/.test(text) ? Number(text) : 0;
      return count >= 1 && count <= max ? count : undefined;
    });
  }

  #checked<T>(name: string, expected: string, check: Check<T>): T | undefined {
    const text = this.#values.get(name);
    if (text === undefined) return undefined;
    const value = check(text);
    if (value === undefined) throw bad(`${name}: expected ${expected}, got ${show(text)}`);
    return value;
  }
}

/** A trace ID as records have it, from hex digits of any case; undefined when it is none. 64-bit IDs of B3 are padded, as on arrival. */
export function parseTraceId(text: string): string | undefined {
  if (!/^(?:[0-9a-f]{16}|[0-9a-f]{32})$/i.test(text) || /^0+$/.test(text)) return undefined;
  return text.toLowerCase().padStart(32, "0");
}

/** `text` in quotes, cut, for a message. */
export function show(text: string): string {
  return JSON.stringify(text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text);
}

/** A BAD_REQUEST. */
export function bad(message: string): MeshproofError {
  return new MeshproofError("BAD_REQUEST", message);
}

/** Undoes the encoding of a form (WHATWG URL, section 5.1): a plus is a blank. */
function decode(text: string, name: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw bad(`${name}: expected UTF-8 in percent-encoding, got ${show(text)}`);
  }
}
