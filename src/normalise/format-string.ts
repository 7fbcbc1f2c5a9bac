import { ascii } from "./ascii.ts";
import { findKey } from "./attribute-keys.ts";
import { FIELD, FIELD_NAMES, type FieldName, IS_NUMERIC } from "./fields.ts";
import { type FieldClass, fieldPart, type Part } from "./line-part.ts";

/** Where one of these separates fields, a blank does not: tables with tabs, bars, commas, semicolons. */
const SEPARATORS = "\t|,;";

/** Classes of fields that are not free text of a client; others are free in quotation marks and between SEPARATORS, and words without. */
const CLASS_OF: Partial<Record<FieldName, FieldClass>> = {
  start_time: "time",
  end_time: "time",
  method: "word",
  protocol: "word",
  authority: "word",
  request_id: "word",
  response_flags: "flags",
  response_flags_long: "flags",
  response_code_details: "nested",
  connection_termination_details: "text",
  upstream_transport_failure_reason: "text",
  downstream_transport_failure_reason: "text",
  upstream_host: "word",
  upstream_cluster: "word",
  upstream_local_address: "word",
  downstream_local_address: "word",
  downstream_remote_address: "word",
  downstream_direct_remote_address: "word",
  requested_server_name: "word",
  downstream_peer_uri_san: "word",
  downstream_tls_version: "word",
  downstream_tls_cipher: "word",
  path: "free",
  original_path: "free",
  user_agent: "free",
  x_forwarded_for: "free",
};

/** The parts between two free fields. */
export interface Anchor {
  readonly parts: readonly Part[];
  /** First byte, or -1 when a field stands first. */
  readonly firstByte: number;
}

/** The format cannot be compiled. `at` is where in it, counted from 0. */
export class LineFormatError extends Error {
  readonly at: number;

  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

/** A field of a format: its name as it stands there, without a length limit (`%REQ(X):16%`), and where its percent sign is. */
export interface ParsedField {
  readonly name: string;
  readonly at: number;
}

/** The name under which a field becomes an attribute: ours when we know it, else as it stands in the format. */
export function fieldName(name: string): string {
  const known = findKey(name);
  return known === undefined ? name : FIELD_NAMES[known.field]!;
}

/** Takes a format string apart into texts and fields; `%%` is a percent sign. Throws: LineFormatError. */
export function parseFormat(
  format: string,
  classes: Readonly<Record<string, FieldClass>>,
  own: Readonly<Record<string, FieldName | null>>,
): { parts: Part[]; fields: ParsedField[] } {
  const parts: Part[] = [];
  const fields: ParsedField[] = [];
  let text = "";
  const flush = (): void => {
    if (text === "") return;
    const part = { ...fieldPart(-1, "free", false), text: ascii(text) };
    const before = parts.at(-1);
    if (before !== undefined) before.next = part.text;
    parts.push(part);
    text = "";
  };
  const trimmed = format.replace(/[\r\n]+$/, "");
  for (let p = 0; p < trimmed.length;) {
    if (trimmed[p] !== "%") {
      text += trimmed[p++];
      continue;
    }
    if (trimmed[p + 1] === "%") {
      text += "%";
      p += 2;
      continue;
    }
    const end = endOfField(trimmed, p);
    const name = trimmed.slice(p + 1, end).replace(/:\d+$/, "");
    const before = parts.at(-1);
    if (text === "" && before !== undefined && before.field >= 0) {
      const other = fields.at(-1)!.name;
      throw new LineFormatError(
        `expected text between %${other}% and %${name}%, so that it can be told where one ends and the other begins; got none`,
        p,
      );
    }
    const isQuoted = text.endsWith('"') && trimmed[end + 1] === '"';
    const isSeparated = SEPARATORS.includes(trimmed[end + 1] ?? text[0] ?? " ");
    const isBracketed = text.endsWith("[") && trimmed[end + 1] === "]";
    flush();
    const fieldClass = Object.hasOwn(classes, name)
      ? classes[name]!
      : classOf(fieldOf(name, own), isQuoted || isSeparated);
    const maySayNothing = isQuoted || (isBracketed && fieldClass === "text");
    parts.push(fieldPart(fields.length, fieldClass, maySayNothing));
    fields.push({ name, at: p });
    p = end + 1;
  }
  flush();
  if (fields.length === 0)
    throw new LineFormatError("expected at least one field such as %START_TIME%, got none", 0);
  return { parts, fields };
}

/** Position of the percent sign that closes the field at `p`; those in parentheses (`%START_TIME(%s.%9f)%`) do not. */
function endOfField(format: string, p: number): number {
  let depth = 0;
  for (let i = p + 1; i < format.length; i++) {
    const c = format[i]!;
    if (c === "(") depth++;
    else if (c === ")") depth--;
    else if (c === "%" && depth === 0) {
      if (i === p + 1) break;
      return i;
    }
  }
  throw new LineFormatError(
    `expected a % that closes the field, got the end of the format behind "${format.slice(p, p + 40)}"`,
    p,
  );
}

/** What the name means: as the format's own keys say, else as attribute-keys.ts does. */
export function fieldOf(
  name: string,
  own: Readonly<Record<string, FieldName | null>>,
): FieldName | undefined {
  if (Object.hasOwn(own, name)) return own[name] ?? undefined;
  const known = findKey(name);
  return known === undefined ? undefined : (FIELD_NAMES[known.field] as FieldName);
}

function classOf(field: FieldName | undefined, mayHaveBlanks: boolean): FieldClass {
  const own = field === undefined ? undefined : CLASS_OF[field];
  if (own === "free" && !mayHaveBlanks && field !== "path" && field !== "original_path")
    return "word";
  if (own !== undefined) return own;
  if (field !== undefined && IS_NUMERIC[FIELD[field]] === 1) return "number";
  return mayHaveBlanks ? "free" : "nested";
}

/**
 * Splits parts into anchors, each followed by a free field: `freeFields[i]` is the number of the one behind anchor `i`, -1 behind the last when no free field ends the format.
 * Throws: LineFormatError.
 */
export function splitAtFreeFields(
  parts: readonly Part[],
  fields: readonly ParsedField[],
): { anchors: Anchor[]; freeFields: number[] } {
  const anchors: Anchor[] = [];
  const freeFields: number[] = [];
  let current: Part[] = [];
  const close = (free: number): void => {
    const [first] = current;
    if (first === undefined && anchors.length > 0)
      throw new LineFormatError(
        "expected text between two fields, got none",
        fields[free]?.at ?? 0,
      );
    anchors.push({ parts: current, firstByte: first?.text[0] ?? -1 });
    freeFields.push(free);
    current = [];
  };
  for (const part of parts) {
    if (part.field >= 0 && part.class === "free") close(part.field);
    else current.push(part);
  }
  if (current.length > 0) close(-1);
  return { anchors, freeFields };
}

/** The anchor up to its field with that number and the text behind it. */
export function cutBehind(anchor: Anchor, field: number): Anchor {
  const i = anchor.parts.findIndex((part) => part.field === field);
  return { ...anchor, parts: anchor.parts.slice(0, i + 2) };
}

/** The anchor without the field that ends it; undefined when a text does, or nothing would be left. */
export function withoutLastField(anchor: Anchor): Anchor | undefined {
  const parts = anchor.parts.slice(0, -1);
  const last = anchor.parts.at(-1);
  return last !== undefined && last.field >= 0 && parts.length > 1
    ? { ...anchor, parts }
    : undefined;
}
