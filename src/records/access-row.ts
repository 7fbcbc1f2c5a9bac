import { ACCESS_HOLDS, type AccessDraft, FIRST_ACCESS_COLUMN, HOLDS, SOURCES, TAKEN, ACCESS } from "./access-draft.ts";
import type { KeyShape } from "./key-shape.ts";
import type { RowBuffer } from "./row-buffer.ts";
import type { ScopeColumns } from "./scope-columns.ts";
import type { RowHead, SectionBuilder } from "./section-builder.ts";
import type { ValueWriter } from "./value-text.ts";
import type { LogView } from "./views.ts";

/** Bytes of number, address and length of every column taken together, generously. */
const FIXED_ROOM = 1024;
const REDACTED = Buffer.from("[redacted]");

/**
 * Writes a draft as a row of access_records; the columns are TABLES.access, in that order. The row is left open.
 * Throws: WireError when a nested value of an attribute or of the body cannot be read.
 */
export function writeAccessRow(section: SectionBuilder, head: RowHead, draft: AccessDraft, log: LogView, shape: KeyShape, scope: ScopeColumns, receivedAtNs: bigint, values: ValueWriter): void {
  const { out } = section;
  const { source, start, end, low, high } = draft;
  let room = FIXED_ROOM + scope.resourceMap.length;
  for (let c = FIRST_ACCESS_COLUMN; c < source.length; c++) if (source[c] !== SOURCES.empty) room += end[c]! - start[c]!;
  for (let i = 0; i < draft.chainCount; i++) room += draft.chainEnd[i]! - draft.chainStart[i]! + 5;
  section.open(head, room);
  out.writeByte(0); // Truncations
  writeRanges(out, draft.constants, draft.redactionStart, draft.redactionEnd, draft.redactionCount);
  for (let c = FIRST_ACCESS_COLUMN; c < ACCESS_HOLDS.length; c++) {
    switch (ACCESS_HOLDS[c]) {
      case HOLDS.text:
        if (c === ACCESS.Body && draft.keepBody) {
          out.ensure(log.bodyEnd - log.bodyStart + FIXED_ROOM);
          values.writeText(out, log.buffer, log.bodyType, log.bodyStart, log.bodyEnd);
          out.ensure(room);
        } else if (source[c] === SOURCES.empty) out.writeByte(0);
        else out.writeText(draft.bytesOf(c), start[c]!, end[c]!);
        break;
      case HOLDS.eight:
        if (c === ACCESS.Timestamp && low[c] === 0 && high[c] === 0) {
          // The record has no time of its own: the time of arrival stands for it, and TimeBasis says so.
          out.writeEight(Number(receivedAtNs & 0xffff_ffffn), Number(receivedAtNs >> 32n));
        } else out.writeEight(low[c]!, high[c]!);
        break;
      case HOLDS.uint8:
      case HOLDS.int8:
        out.writeByte(low[c]!);
        break;
      case HOLDS.uint16:
      case HOLDS.int16:
        out.writeUint16(low[c]!);
        break;
      case HOLDS.address: {
        const address = c === ACCESS.PeerAddress ? draft.peerAddress : draft.localAddress;
        out.writeBytes(address, 0, address.length);
        break;
      }
      case HOLDS.chain:
        writeRanges(out, draft.scratch, draft.chainStart, draft.chainEnd, draft.chainCount);
        break;
      case HOLDS.resourceMap:
        out.writeBytes(scope.resourceMap, 0, scope.resourceMap.length);
        break;
      case HOLDS.logMap:
        writeLeftovers(out, draft, log, shape, values);
        out.ensure(room);
        break;
    }
  }
}

/**
 * LogAttributes: the attributes that no column took, and the draft's extra entries, which a dialect found elsewhere; all sorted by key.
 * The extras come in the order of their keys, so that the two lists are merged.
 */
function writeLeftovers(
  out: RowBuffer,
  draft: AccessDraft,
  log: LogView,
  shape: KeyShape,
  values: ValueWriter,
): void {
  const { taken, extraCount } = draft;
  const { attributes: list, buffer } = log;
  let count = extraCount;
  for (let i = 0; i < list.count; i++) if (taken[i] !== TAKEN.taken) count++;
  out.ensure(5);
  out.writeVarint(count);
  if (count === 0) return;
  const { order } = shape;
  let extra = 0;
  for (let i = 0; i < order.length; i++) {
    const j = order[i]!;
    if (taken[j] === TAKEN.taken) continue;
    const keyStart = list.keyStart[j]!;
    const keyEnd = list.keyEnd[j]!;
    while (extra < extraCount && isBefore(draft, extra, buffer, keyStart, keyEnd)) {
      writeExtra(out, draft, log, extra++);
    }
    out.ensure(keyEnd - keyStart + FIXED_ROOM);
    out.writeText(buffer, keyStart, keyEnd);
    if (taken[j] === TAKEN.redacted) out.writeText(REDACTED, 0, REDACTED.length);
    else if (taken[j] === TAKEN.rewritten) {
      writeLong(out, draft.scratch, draft.rewrittenStart[j]!, draft.rewrittenEnd[j]!);
    } else {
      const valueStart = list.valueStart[j]!;
      const valueEnd = list.valueEnd[j]!;
      out.ensure(valueEnd - valueStart + FIXED_ROOM);
      values.writeText(out, buffer, list.valueType[j]!, valueStart, valueEnd);
    }
  }
  while (extra < extraCount) writeExtra(out, draft, log, extra++);
}

function writeExtra(out: RowBuffer, draft: AccessDraft, log: LogView, extra: number): void {
  writeLong(out, draft.constants, draft.extraKeyStart[extra]!, draft.extraKeyEnd[extra]!);
  writeLong(out, log.buffer, draft.extraStart[extra]!, draft.extraEnd[extra]!);
}

/** A String, with room made for it. */
function writeLong(out: RowBuffer, from: Uint8Array, start: number, end: number): void {
  out.ensure(end - start + 5);
  out.writeText(from, start, end);
}

/** Does the key of an extra entry come before the key [start, end) of `buffer`? */
function isBefore(
  draft: AccessDraft,
  extra: number,
  buffer: Uint8Array,
  start: number,
  end: number,
): boolean {
  const { constants } = draft;
  let p = draft.extraKeyStart[extra]!;
  const keyEnd = draft.extraKeyEnd[extra]!;
  for (; p < keyEnd && start < end; p++, start++) {
    if (constants[p] !== buffer[start]) return constants[p]! < buffer[start]!;
  }
  return p === keyEnd && start < end;
}

/** An Array of Strings that are ranges of `from`. */
function writeRanges(out: RowBuffer, from: Uint8Array, starts: Int32Array, ends: Int32Array, count: number): void {
  out.writeVarint(count);
  for (let i = 0; i < count; i++) out.writeText(from, starts[i]!, ends[i]!);
}
