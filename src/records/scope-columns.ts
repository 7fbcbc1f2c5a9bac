import type { AttributeList } from "./attributes.ts";
import { VALUE_TYPES } from "./attributes.ts";
import { sortedOrder } from "./key-shape.ts";
import type { ScopeView } from "./resource.ts";
import { RowBuffer } from "./row-buffer.ts";
import type { ValueWriter } from "./value-text.ts";

/**
 * The columns that all records of a scope share, encoded once and copied into each row:
 * runs of columns that stand side by side in a table are one copy.
 */
export interface ScopeColumns {
  readonly serviceName: Uint8Array;
  readonly resourceMap: Uint8Array;
  /** Logs: ResourceSchemaUrl … ScopeAttributes. */
  readonly logScope: Uint8Array;
  /** Spans: ServiceName … ScopeVersion. */
  readonly spanScope: Uint8Array;
  /** Spans: ResourceSchemaUrl … ScopeAttributes, without name and version. */
  readonly spanSchema: Uint8Array;
}

/** Encodes the shared columns of `scope`. Throws: WireError when a nested attribute value cannot be read. */
export function encodeScopeColumns(scope: ScopeView, values: ValueWriter): ScopeColumns {
  const out = new RowBuffer(4096);
  const piece = (write: () => void): Uint8Array => {
    out.position = 0;
    write();
    return out.bytes.slice(0, out.position);
  };
  const { resourceBuffer, resourceSchemaUrl, scopeBuffer, scopeSchemaUrl } = scope;
  const text = (from: Uint8Array, start: number, end: number): Uint8Array =>
    piece(() => {
      out.ensure(end - start + 5);
      out.writeText(from, start, end);
    });
  const serviceName = piece(() => writeServiceName(out, scope, values));
  const resourceMap = piece(() => writeMap(out, resourceBuffer, scope.resourceAttributes, values));
  const scopeMap = piece(() => writeMap(out, scopeBuffer, scope.scopeAttributes, values));
  const resourceUrl = text(resourceSchemaUrl, 0, resourceSchemaUrl.length);
  const scopeUrl = text(scopeSchemaUrl, 0, scopeSchemaUrl.length);
  const name = text(scopeBuffer, scope.nameStart, scope.nameEnd);
  const version = text(scopeBuffer, scope.versionStart, scope.versionEnd);
  return {
    serviceName,
    resourceMap,
    logScope: Buffer.concat([resourceUrl, resourceMap, scopeUrl, name, version, scopeMap]),
    spanScope: Buffer.concat([serviceName, resourceMap, name, version]),
    spanSchema: Buffer.concat([resourceUrl, scopeUrl, scopeMap]),
  };
}

const SERVICE_NAME = Buffer.from("service.name");

/** The last service.name counts, as for every attribute that becomes a column. */
function writeServiceName(out: RowBuffer, scope: ScopeView, values: ValueWriter): void {
  const { resourceAttributes: list, resourceBuffer } = scope;
  for (let i = list.count - 1; i >= 0; i--) {
    if (SERVICE_NAME.equals(resourceBuffer.subarray(list.keyStart[i], list.keyEnd[i]))) {
      out.ensure(list.valueEnd[i]! - list.valueStart[i]! + 64);
      values.writeText(
        out,
        resourceBuffer,
        list.valueType[i]!,
        list.valueStart[i]!,
        list.valueEnd[i]!,
      );
      return;
    }
  }
  values.writeText(out, resourceBuffer, VALUE_TYPES.none, 0, 0);
}

function writeMap(
  out: RowBuffer,
  from: Uint8Array,
  list: AttributeList,
  values: ValueWriter,
): void {
  writeSortedMap(out, from, list, sortedOrder(from, list, 0, list.count), values);
}

/** A Map of the attributes at `order`, in that order. */
export function writeSortedMap(
  out: RowBuffer,
  from: Uint8Array,
  list: AttributeList,
  order: Int32Array,
  values: ValueWriter,
): void {
  out.ensure(5);
  out.writeVarint(order.length);
  for (let i = 0; i < order.length; i++) {
    const j = order[i]!;
    const valueStart = list.valueStart[j]!;
    const valueEnd = list.valueEnd[j]!;
    out.ensure(list.keyEnd[j]! - list.keyStart[j]! + valueEnd - valueStart + 64);
    out.writeText(from, list.keyStart[j]!, list.keyEnd[j]!);
    values.writeText(out, from, list.valueType[j]!, valueStart, valueEnd);
  }
}
