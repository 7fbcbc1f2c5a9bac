import type { Plain } from "./otlp-proto.ts";

/** Turns a plain OTLP message into OTLP/JSON in one of the many ways that a sender may; which one, `seed` decides. */
export function emitJson(message: Plain, seed: number): string {
  return new Emitter(seed).object(message);
}

const IDS = new Set(["traceId", "spanId", "parentSpanId"]);
/** Keys whose strings in the plain message are numbers. */
const WIDE = new Set([
  "timeUnixNano",
  "observedTimeUnixNano",
  "startTimeUnixNano",
  "endTimeUnixNano",
  "intValue",
]);
const UNKNOWN = [
  `null`,
  `-0.5e+10`,
  `"\\ud800 \\n"`,
  `[[],{},[{"a":[true,false,null]}]]`,
  `{"values":[1],"\\u0061":{"": ""}}`,
];

class Emitter {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A number from 0 to `choices - 1` (the generator of Numerical Recipes). */
  #pick(choices: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return (this.#state >>> 8) % choices;
  }

  #space(): string {
    return this.#pick(8) === 0 ? [" ", "\t", "\r\n", "\n  "][this.#pick(4)]! : "";
  }

  object(message: Plain): string {
    const members = Object.entries(message).map(([key, value]) => [
      this.#key(key),
      this.#value(key, value),
    ]);
    if (this.#pick(6) === 0)
      members.push([this.#string("unknown"), UNKNOWN[this.#pick(UNKNOWN.length)]!]);
    if (this.#pick(6) === 0) members.push([this.#string("droppedAttributesCounts"), "{}"]);
    if (this.#pick(6) === 0)
      for (let i = members.length - 1; i > 0; i--)
        members.splice(this.#pick(i + 1), 0, members.pop()!);
    return `{${this.#space()}${members.map(([key, value]) => `${key}${this.#space()}:${this.#space()}${value}${this.#space()}`).join(`,${this.#space()}`)}}`;
  }

  #key(key: string): string {
    return this.#string(
      this.#pick(5) === 0 ? key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) : key,
    );
  }

  #value(key: string, value: unknown): string {
    if (Array.isArray(value))
      return `[${this.#space()}${value.map((item) => this.#value(key, item)).join(`,${this.#space()}`)}]`;
    if (value instanceof Uint8Array) return this.#bytes(key, Buffer.from(value));
    if (typeof value === "number" && key === "doubleValue") return this.#double(value);
    if (typeof value === "number" || WIDE.has(key)) return this.#integer(String(value));
    if (typeof value === "string") return this.#string(value);
    if (typeof value === "boolean") return String(value);
    if (value === null) return "null";
    return this.object(value as Plain);
  }

  #string(text: string): string {
    const styles = this.#pick(3);
    if (styles === 0) return JSON.stringify(text);
    let out = '"';
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      const hex = `\\u${unit.toString(16).padStart(4, "0")}`;
      if (styles === 1 && this.#pick(4) === 0)
        out += this.#pick(2) === 0 ? hex : hex.replace(/[a-f]/g, (digit) => digit.toUpperCase());
      else if (text[i] === "/" && this.#pick(2) === 0) out += "\\/";
      else if (unit >= 0xd800 && unit < 0xdc00) out += text[i]! + text[++i]!;
      else out += JSON.stringify(text[i]).slice(1, -1);
    }
    return `${out}"`;
  }

  #bytes(key: string, value: Buffer): string {
    if (IDS.has(key))
      return this.#string(
        this.#pick(2) === 0 ? value.toString("hex") : value.toString("hex").toUpperCase(),
      );
    const text = value.toString(this.#pick(2) === 0 ? "base64" : "base64url");
    return this.#string(
      this.#pick(2) === 0
        ? text.replace(/=+$/, "")
        : text.padEnd(Math.ceil(text.length / 4) * 4, "="),
    );
  }

  #integer(digits: string): string {
    const text = [
      digits,
      digits,
      `${digits}.000`,
      `${digits}e0`,
      digits === "0" ? "0.00E+7" : `${digits}000E-3`,
      digits.replace(/^(-?\d)(\d*)$/, (_, d, rest) => `${d}.${rest}0e${rest.length}`),
    ][this.#pick(6)]!;
    return this.#pick(2) === 0 ? text : this.#string(text);
  }

  #double(value: number): string {
    if (!Number.isFinite(value)) return this.#string(String(value));
    const text = Object.is(value, -0) ? "-0" : String(value);
    return this.#pick(3) === 0 ? this.#string(text) : text;
  }
}
