import { MeshproofError } from "../core/errors.ts";
import { Cursor, WireError } from "../core/wire.ts";
import { grown } from "../records/attributes.ts";
import type { ScopeView } from "../records/resource.ts";
import { readKeyValue, ValueRange } from "./any-value.ts";

/** Where one ScopeLogs or ScopeSpans and the resource around it stand. */
interface ScopeRange {
  readonly resource: Uint8Array;
  readonly resourceSchemaUrl: Uint8Array;
  readonly scope: Uint8Array;
  readonly scopeSchemaUrl: Uint8Array;
}

/**
 * The records of one export request, as ranges of the body. Logs and traces share the shape:
 * request { 1: resource_x { 1: resource, 2: scope_x { 1: scope, 2: records, 3: schema_url }, 3: schema_url } }.
 * Records can so be decoded a few at a time, with the event loop served in between.
 */
export class Envelope {
  count = 0;
  recordStart = new Int32Array(1024);
  recordEnd = new Int32Array(1024);
  recordScope = new Int32Array(1024);
  readonly scopes: ScopeRange[] = [];

  add(start: number, end: number, scope: number): void {
    const i = this.count;
    if (i === this.recordStart.length) {
      this.recordStart = grown(this.recordStart, i * 2);
      this.recordEnd = grown(this.recordEnd, i * 2);
      this.recordScope = grown(this.recordScope, i * 2);
    }
    this.recordStart[i] = start;
    this.recordEnd[i] = end;
    this.recordScope[i] = scope;
    this.count = i + 1;
  }
}

const EMPTY: Uint8Array = new Uint8Array(0);

/**
 * Finds the records of an ExportLogsServiceRequest or ExportTraceServiceRequest.
 * Throws: BAD_REQUEST when the message around the records cannot be read; BODY_TOO_LARGE beyond `maxRecords`.
 */
export function indexRequest(body: Uint8Array, maxRecords: number): Envelope {
  const cursor = new Cursor();
  cursor.reset(body, 0);
  const envelope = new Envelope();
  try {
    while (cursor.position < body.length) {
      const tag = cursor.varint(body.length);
      if (tag === 0x0a)
        readResourceRecords(cursor, cursor.delimited(body.length), envelope, maxRecords);
      else cursor.skip(tag, body.length);
    }
  } catch (error) {
    if (error instanceof WireError)
      throw new MeshproofError(
        "BAD_REQUEST",
        `expected an OTLP export request in protobuf: ${error.message}`,
      );
    throw error;
  }
  return envelope;
}

function readResourceRecords(
  cursor: Cursor,
  end: number,
  envelope: Envelope,
  maxRecords: number,
): void {
  const start = cursor.position;
  let resource = EMPTY;
  let schemaUrl = EMPTY;
  let scopes = 0;
  // Fields may come in any order, so what the records refer to is read first.
  while (cursor.position < end) {
    const tag = cursor.varint(end);
    if (tag === 0x0a) resource = merged(resource, delimitedBytes(cursor, end));
    else if (tag === 0x1a) schemaUrl = delimitedBytes(cursor, end);
    else cursor.skip(tag, end);
    if (tag === 0x12) scopes++;
  }
  cursor.position = scopes === 0 ? end : start;
  while (cursor.position < end) {
    const tag = cursor.varint(end);
    if (tag === 0x12)
      readScopeRecords(cursor, cursor.delimited(end), resource, schemaUrl, envelope, maxRecords);
    else cursor.skip(tag, end);
  }
}

function readScopeRecords(
  cursor: Cursor,
  end: number,
  resource: Uint8Array,
  resourceSchemaUrl: Uint8Array,
  envelope: Envelope,
  maxRecords: number,
): void {
  let scope = EMPTY;
  let scopeSchemaUrl = EMPTY;
  const number = envelope.scopes.length;
  const before = envelope.count;
  while (cursor.position < end) {
    const tag = cursor.varint(end);
    if (tag === 0x12) {
      const recordEnd = cursor.delimited(end);
      if (envelope.count === maxRecords) {
        throw new MeshproofError(
          "BODY_TOO_LARGE",
          `expected at most ${maxRecords} records in one request, got more`,
        );
      }
      envelope.add(cursor.position, recordEnd, number);
      cursor.position = recordEnd;
    } else if (tag === 0x0a) scope = merged(scope, delimitedBytes(cursor, end));
    else if (tag === 0x1a) scopeSchemaUrl = delimitedBytes(cursor, end);
    else cursor.skip(tag, end);
  }
  // A scope without records says nothing; a request of nothing but scopes costs no memory.
  if (envelope.count > before)
    envelope.scopes.push({ resource, resourceSchemaUrl, scope, scopeSchemaUrl });
}

function delimitedBytes(cursor: Cursor, end: number): Uint8Array {
  const valueEnd = cursor.delimited(end);
  const bytes = cursor.buffer.subarray(cursor.position, valueEnd);
  cursor.position = valueEnd;
  return bytes;
}

/** A message that occurs twice is the merge of both, which is what the bytes one behind the other decode to (protobuf encoding, "Last One Wins"). */
function merged(first: Uint8Array, second: Uint8Array): Uint8Array {
  return first.length === 0 ? second : Buffer.concat([first, second]);
}

/**
 * Reads resource and scope number `scope` of the envelope into `view`.
 * Throws: BAD_REQUEST when they cannot be read, since then none of their records can.
 */
export function readScope(envelope: Envelope, scope: number, view: ScopeView): void {
  const range = envelope.scopes[scope]!;
  view.resourceBuffer = range.resource;
  view.resourceSchemaUrl = range.resourceSchemaUrl;
  view.scopeBuffer = range.scope;
  view.scopeSchemaUrl = range.scopeSchemaUrl;
  view.resourceAttributes.count = view.scopeAttributes.count = 0;
  view.nameStart = view.nameEnd = view.versionStart = view.versionEnd = 0;
  const cursor = new Cursor();
  const value = new ValueRange();
  try {
    cursor.reset(range.resource, 0);
    let end = range.resource.length;
    while (cursor.position < end) {
      const tag = cursor.varint(end);
      if (tag === 0x0a) readKeyValue(cursor, cursor.delimited(end), view.resourceAttributes, value);
      else cursor.skip(tag, end);
    }
    cursor.reset(range.scope, 0);
    end = range.scope.length;
    while (cursor.position < end) {
      const tag = cursor.varint(end);
      if (tag === 0x0a) {
        view.nameEnd = cursor.delimited(end);
        view.nameStart = cursor.position;
        cursor.position = view.nameEnd;
      } else if (tag === 0x12) {
        view.versionEnd = cursor.delimited(end);
        view.versionStart = cursor.position;
        cursor.position = view.versionEnd;
      } else if (tag === 0x1a)
        readKeyValue(cursor, cursor.delimited(end), view.scopeAttributes, value);
      else cursor.skip(tag, end);
    }
  } catch (error) {
    if (error instanceof WireError)
      throw new MeshproofError(
        "BAD_REQUEST",
        `expected resource and scope number ${scope} to be protobuf: ${error.message}`,
      );
    throw error;
  }
}
