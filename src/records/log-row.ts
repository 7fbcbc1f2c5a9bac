import type { KeyShape } from "./key-shape.ts";
import { type ScopeColumns, writeSortedMap } from "./scope-columns.ts";
import type { RowHead, SectionBuilder } from "./section-builder.ts";
import { isBeyondMax, lowAt, writeClamped, writeTimeAt } from "./timestamps.ts";
import type { ValueWriter } from "./value-text.ts";
import type { LogView } from "./views.ts";

/** Room for the columns of a log that are not copied from it or its scope: lengths, numbers, hex IDs. */
const FIXED_ROOM = 256;

/**
 * Writes a log as a row of otel_logs; the columns are TABLES.log, in that order. The row is left open.
 * Throws: WireError when a nested value cannot be read.
 */
export function writeLogRow(
  section: SectionBuilder,
  head: RowHead,
  log: LogView,
  shape: KeyShape,
  scope: ScopeColumns,
  receivedAtNs: bigint,
  values: ValueWriter,
): void {
  const { out } = section;
  const { buffer } = log;
  const logScope = scope.logScope;
  section.open(
    head,
    FIXED_ROOM +
      logScope.length +
      scope.serviceName.length +
      (log.severityTextEnd - log.severityTextStart) +
      (log.bodyEnd - log.bodyStart) +
      (log.eventNameEnd - log.eventNameStart),
  );
  out.writeByte(0); // Truncations
  out.writeByte(0); // Redactions
  const timeOffset = isSet(buffer, log.timeOffset)
    ? log.timeOffset
    : isSet(buffer, log.observedOffset)
      ? log.observedOffset
      : -1;
  let low = Number(receivedAtNs & 0xffff_ffffn);
  let high = Number(receivedAtNs >> 32n);
  if (timeOffset >= 0) {
    low = lowAt(buffer, timeOffset);
    high = lowAt(buffer, timeOffset + 4);
  }
  writeClamped(out, low, high);
  out.writeHexText(buffer, log.traceIdOffset, 16);
  out.writeHexText(buffer, log.spanIdOffset, 8);
  out.writeByte(log.flags & 0xff);
  out.writeText(buffer, log.severityTextStart, log.severityTextEnd);
  out.writeByte(Math.min(log.severityNumber, 0xff));
  out.writeBytes(scope.serviceName, 0, scope.serviceName.length);
  values.writeText(out, buffer, log.bodyType, log.bodyStart, log.bodyEnd);
  out.ensure(logScope.length);
  out.writeBytes(logScope, 0, logScope.length);
  writeSortedMap(out, buffer, log.attributes, shape.order, values);
  out.ensure(FIXED_ROOM + (log.eventNameEnd - log.eventNameStart));
  out.writeText(buffer, log.eventNameStart, log.eventNameEnd);
  if (isBeyondMax(low, high)) out.writeEight(low, high);
  else out.writeEight(0, 0); // TimestampRaw
  writeTimeAt(out, buffer, log.observedOffset);
  out.writeUint32(log.droppedAttributesCount);
  out.writeUint32(log.flags > 0xff ? log.flags : 0);
}

/** Is there a time at `offset`, and is it not zero, which OTLP reads as unknown? */
function isSet(buffer: Uint8Array, offset: number): boolean {
  if (offset < 0) return false;
  for (let p = offset; p < offset + 8; p++) if (buffer[p] !== 0) return true;
  return false;
}
