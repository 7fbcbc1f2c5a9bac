import { isUtf8 } from "node:buffer";
import { MeshproofError } from "../core/errors.ts";

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** A path that is longer is cut in its middle. */
const MAX_PATH_CHARS = 200;
/** Of a key or a value only so many bytes are shown. */
const MAX_SHOWN_BYTES = 40;
/** A path is followed only so deep; no accepted body goes deeper. */
const MAX_PATH_DEPTH = 10_000;
/** Step of the search for invalid UTF-8. */
const UTF8_BLOCK_BYTES = 4096;

/**
 * The error for OTLP/JSON that cannot be read: what was expected, what came, and where, as path and byte offset.
 * The path is found by a second walk over the bytes before `position`, so that the reader need not keep track of it.
 * Cost: linear in `position`.
 */
export function jsonError(
  json: Uint8Array,
  position: number,
  expected: string,
  got: string = describe(json, position),
): MeshproofError {
  const path = shorten(pathAt(json, position));
  return new MeshproofError(
    "BAD_REQUEST",
    `${path === "" ? "body" : path}: expected ${expected}, got ${got}, at byte ${position}`,
  );
}

/** Offset of the first byte of `json` that is not UTF-8; its length when all of it is. */
export function firstInvalidUtf8(json: Uint8Array): number {
  let start = 0;
  while (start < json.length) {
    let end = Math.min(start + UTF8_BLOCK_BYTES, json.length);
    while (end < json.length && end > start && isContinuation(json[end]!)) end--;
    if (end === start || !isUtf8(json.subarray(start, end))) break;
    start = end;
  }
  while (start < json.length) {
    const end = start + sequenceLength(json[start]!);
    if (!isUtf8(json.subarray(start, end))) return start;
    start = end;
  }
  return start;
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}

function sequenceLength(lead: number): number {
  return lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/** The path to what stands at `position`, such as `resourceLogs[0].scopeLogs[2].schemaUrl`. Before `position` stands the beginning of JSON. */
function pathAt(json: Uint8Array, position: number): string {
  // One step for each open object or array: where its key starts and ends, or -1 and the index of its element.
  const starts: number[] = [];
  const ends: number[] = [];
  let atKey = false;
  for (let p = 0; p < position && starts.length < MAX_PATH_DEPTH; p++) {
    const byte = json[p]!;
    const top = starts.length - 1;
    if (byte === QUOTE) {
      const start = p + 1;
      p = stringEnd(json, start);
      if (!atKey || p >= position) continue;
      starts[top] = start;
      ends[top] = p;
      atKey = false;
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      starts.push(byte === OPEN_BRACE ? 0 : -1);
      ends.push(0);
      atKey = byte === OPEN_BRACE;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      starts.pop();
      ends.pop();
      atKey = false;
    } else if (byte === COMMA && top >= 0) {
      atKey = starts[top]! >= 0;
      ends[top] = atKey ? 0 : ends[top]! + 1;
    }
  }
  const path = starts.map((start, i) =>
    start < 0 ? `[${ends[i]}]` : keyStep(text(json, start, ends[i]!)),
  );
  return path.join("").replace(/^\./, "");
}

function keyStep(key: string): string {
  if (key === "") return "";
  return /^\w+$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

/** Offset of the quote that ends the string whose characters begin at `start`; the length of `json` when none does. */
function stringEnd(json: Uint8Array, start: number): number {
  let p = start;
  while (p < json.length && json[p] !== QUOTE) p += json[p] === BACKSLASH ? 2 : 1;
  return Math.min(p, json.length);
}

/** What stands at `position`, for a message. */
function describe(json: Uint8Array, position: number): string {
  if (position >= json.length) return "the end of the body";
  const byte = json[position]!;
  if (byte === OPEN_BRACE) return "an object";
  if (byte === OPEN_BRACKET) return "an array";
  if (byte === QUOTE) {
    return JSON.stringify(text(json, position + 1, stringEnd(json, position + 1)));
  }
  let end = position;
  while (
    end < json.length &&
    end - position < MAX_SHOWN_BYTES &&
    /[\w.+-]/.test(String.fromCharCode(json[end]!))
  )
    end++;
  if (end > position) return text(json, position, end);
  return byte > 0x20 && byte < 0x7f
    ? `"${String.fromCharCode(byte)}"`
    : `byte 0x${byte.toString(16).padStart(2, "0")}`;
}

/** `json[start, end)` as text, cut to what a message can bear. */
function text(json: Uint8Array, start: number, end: number): string {
  const cut = end - start > MAX_SHOWN_BYTES;
  return (
    new TextDecoder().decode(json.subarray(start, cut ? start + MAX_SHOWN_BYTES : end)) +
    (cut ? "…" : "")
  );
}

function shorten(path: string): string {
  if (path.length <= MAX_PATH_CHARS) return path;
  return `${path.slice(0, MAX_PATH_CHARS / 2)}…${path.slice(-MAX_PATH_CHARS / 2)}`;
}
