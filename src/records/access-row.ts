import { ACCESS_HOLDS, type AccessDraft, HOLDS, SOURCES, TAKEN, ACCESS } from "./access-draft.ts";
import type { KeyShape } from "./key-shape.ts";
import type { RowBuffer } from "./row-buffer.ts";
import type { ScopeColumns } from "./scope-columns.ts";
import type { RowHead, SectionBuilder } from "./section-builder.ts";
import type { ValueWriter } from "./value-text.ts";
import type { LogView } from "./views.ts";

/** Bytes that the columns take without what is in texts, maps and arrays, generously. */
const FIXED_ROOM = 1024;

/** In RUNS: the column Body, which may be a value of another type than text. */
const BODY = -1;
/** Columns behind Timestamp that are written alike and stand side by side: HOLDS, first column, column behind the last. */
const RUNS = runs();

function runs(): Int32Array {
  const found: number[] = [];
  let first = ACCESS.Timestamp + 1;
  for (let c = first + 1; c <= ACCESS_HOLDS.length; c++) {
    if (ACCESS_HOLDS[c] === ACCESS_HOLDS[first] && c !== ACCESS.Body && first !== ACCESS.Body)
      continue;
    found.push(first === ACCESS.Body ? BODY : ACCESS_HOLDS[first]!, first, c);
    first = c;
  }
  return Int32Array.from(found);
}

/**
 * Writes a draft as a row of access_records; the columns are TABLES.access, in that order. The row is left open.
 * Throws: WireError when a nested value of an attribute or of the body cannot be read.
 */
export function writeAccessRow(
  section: SectionBuilder,
  head: RowHead,
  draft: AccessDraft,
  log: LogView,
  shape: KeyShape,
  scope: ScopeColumns,
  receivedAtNs: bigint,
  values: ValueWriter,
): void {
  const { out } = section;
  const { low, high } = draft;
  section.open(head, FIXED_ROOM);
  out.writeByte(0); // Truncations
  writeRanges(
    out,
    draft,
    SOURCES.constant,
    draft.redactionStart,
    draft.redactionEnd,
    draft.redactionCount,
  );
  if (low[ACCESS.Timestamp] === 0 && high[ACCESS.Timestamp] === 0) {
    // The record has no time of its own: the time of arrival stands for it, and TimeBasis says so.
    out.writeEight(Number(receivedAtNs & 0xffff_ffffn), Number(receivedAtNs >> 32n));
  } else out.writeEight(low[ACCESS.Timestamp]!, high[ACCESS.Timestamp]!);
  for (let r = 0; r < RUNS.length; r += 3) {
    const first = RUNS[r + 1]!;
    const behind = RUNS[r + 2]!;
    switch (RUNS[r]) {
      case HOLDS.text:
        writeTexts(out, draft, first, behind);
        break;
      case HOLDS.eight:
        for (let c = first; c < behind; c++) out.writeEight(low[c]!, high[c]!);
        break;
      case HOLDS.uint8:
      case HOLDS.int8:
        for (let c = first; c < behind; c++) out.writeByte(low[c]!);
        break;
      case HOLDS.uint16:
      case HOLDS.int16:
        for (let c = first; c < behind; c++) out.writeUint16(low[c]!);
        break;
      case HOLDS.address: {
        const address = first === ACCESS.PeerAddress ? draft.peerAddress : draft.localAddress;
        out.writeBytes(address, 0, address.length);
        break;
      }
      case HOLDS.chain:
        writeRanges(
          out,
          draft,
          SOURCES.scratch,
          draft.chainStart,
          draft.chainEnd,
          draft.chainCount,
        );
        break;
      case HOLDS.resourceMap:
        out.ensure(scope.resourceMap.length + FIXED_ROOM);
        out.writeBytes(scope.resourceMap, 0, scope.resourceMap.length);
        break;
      case HOLDS.logMap:
        writeLeftovers(out, draft, log, shape, values);
        out.ensure(FIXED_ROOM);
        break;
      case BODY:
        if (draft.keepBody) {
          out.ensure(log.bodyEnd - log.bodyStart + FIXED_ROOM);
          values.writeText(out, log.buffer, log.bodyType, log.bodyStart, log.bodyEnd);
          out.ensure(FIXED_ROOM);
        } else writeTexts(out, draft, first, behind);
        break;
    }
  }
}

/** Text columns side by side. */
function writeTexts(out: RowBuffer, draft: AccessDraft, first: number, behind: number): void {
  const { source, start, end, views } = draft;
  for (let c = first; c < behind; c++) {
    if (source[c] === SOURCES.empty) {
      out.writeByte(0);
      continue;
    }
    // Room for what follows is kept behind each.
    out.ensure(end[c]! - start[c]! + FIXED_ROOM);
    out.writeTextOf(views[source[c]!]!, start[c]!, end[c]!);
  }
}

/** LogAttributes: the attributes that no column took and the draft's remarks, merged by key. */
function writeLeftovers(
  out: RowBuffer,
  draft: AccessDraft,
  log: LogView,
  shape: KeyShape,
  values: ValueWriter,
): void {
  const { taken, left, remarkCount } = draft;
  const { attributes: list, buffer } = log;
  const { order } = shape;
  let count = 0;
  for (let i = 0; i < order.length; i++) {
    const j = order[i]!;
    if (taken[j] !== TAKEN.taken) left[count++] = j;
  }
  out.ensure(5);
  out.writeVarint(count + remarkCount);
  let remark = 0;
  for (let i = 0; i < count; i++) {
    const j = left[i]!;
    const keyStart = list.keyStart[j]!;
    const keyEnd = list.keyEnd[j]!;
    while (remark < remarkCount && isBefore(draft, remark, buffer, keyStart, keyEnd))
      writeRemark(out, draft, remark++);
    out.ensure(keyEnd - keyStart + FIXED_ROOM);
    out.writeText(buffer, keyStart, keyEnd);
    const valueStart = list.valueStart[j]!;
    const valueEnd = list.valueEnd[j]!;
    out.ensure(valueEnd - valueStart + FIXED_ROOM);
    values.writeText(out, buffer, list.valueType[j]!, valueStart, valueEnd);
  }
  while (remark < remarkCount) writeRemark(out, draft, remark++);
}

function writeRemark(out: RowBuffer, draft: AccessDraft, remark: number): void {
  writeLong(out, draft.constants, draft.remarkKeyStart[remark]!, draft.remarkKeyEnd[remark]!);
  writeLong(out, draft.constants, draft.remarkStart[remark]!, draft.remarkEnd[remark]!);
}

/** Does the key of a remark come before the key [start, end) of `buffer`? */
function isBefore(
  { constants, remarkKeyStart, remarkKeyEnd }: AccessDraft,
  remark: number,
  buffer: Uint8Array,
  start: number,
  end: number,
): boolean {
  const keyEnd = remarkKeyEnd[remark]!;
  let p = remarkKeyStart[remark]!;
  let q = start;
  for (; p < keyEnd && q < end; p++, q++)
    if (constants[p] !== buffer[q]) return constants[p]! < buffer[q]!;
  return p === keyEnd && q < end;
}

/** A String, with room made for it. */
function writeLong(out: RowBuffer, from: Uint8Array, start: number, end: number): void {
  out.ensure(end - start + 5);
  out.writeText(from, start, end);
}

/** An Array of Strings that are ranges of `source`. */
function writeRanges(
  out: RowBuffer,
  draft: AccessDraft,
  source: number,
  starts: Int32Array,
  ends: Int32Array,
  count: number,
): void {
  out.writeVarint(count);
  for (let i = 0; i < count; i++) {
    out.ensure(ends[i]! - starts[i]! + FIXED_ROOM);
    out.writeTextOf(draft.views[source]!, starts[i]!, ends[i]!);
  }
}
