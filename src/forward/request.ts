import { varint, type OriginalRecord } from "../core/originals.ts";

/** An export request that is ready to be sent. */
export interface ExportRequest {
  readonly signal: "logs" | "traces";
  /** ExportLogsServiceRequest or ExportTraceServiceRequest. */
  readonly body: Buffer;
  readonly records: number;
  /** Leaf indexes of the first of them. */
  readonly leaves: readonly number[];
}

interface ScopeRecords {
  readonly scope: Uint8Array;
  readonly pieces: Uint8Array[];
  length: number;
}

interface ResourceRecords {
  readonly resource: Uint8Array;
  readonly scopes: ScopeRecords[];
}

/** Of both: `resource_logs` in the request, `scope_logs` within, `log_records` within that; traces have the same numbers (opentelemetry-proto 1.11). */
const RESOURCES = 0x0a;
const CHILDREN = 0x12;
/** So many leaf indexes of a request are kept: what a finding can name. */
const MAX_LEAVES = 100;

/** Puts records and what is around them together again; records that had the same scope, one behind the other, have it again. */
export class RequestBuilder {
  readonly #signal: "logs" | "traces";
  #resources: ResourceRecords[] = [];
  #leaves: number[] = [];
  #records = 0;
  #bytes = 0;

  constructor(signal: "logs" | "traces") {
    this.#signal = signal;
  }

  /** About as many bytes as the request would have now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds a record with `attributes` behind its own. */
  add(
    { resource, scope, record }: OriginalRecord,
    leafIndex: number,
    attributes: Uint8Array,
  ): void {
    let around = this.#resources.at(-1);
    if (around?.resource !== resource) {
      around = { resource, scopes: [] };
      this.#resources.push(around);
      this.#bytes += resource.length;
    }
    let into = around.scopes.at(-1);
    if (into?.scope !== scope) {
      into = { scope, pieces: [], length: 0 };
      around.scopes.push(into);
      this.#bytes += scope.length;
    }
    const head = Buffer.from([CHILDREN, ...varint(record.length + attributes.length)]);
    into.pieces.push(head, record, attributes);
    into.length += head.length + record.length + attributes.length;
    this.#bytes += head.length + record.length + attributes.length;
    this.#records++;
    if (this.#leaves.length < MAX_LEAVES) this.#leaves.push(leafIndex);
  }

  /** The request, and an empty builder; null when nothing was added. */
  take(): ExportRequest | null {
    if (this.#records === 0) return null;
    const pieces: Uint8Array[] = [];
    for (const { resource, scopes } of this.#resources) {
      const children = scopes.map(({ scope, length, pieces: records }) => {
        const head = Buffer.from([CHILDREN, ...varint(scope.length + length)]);
        return { head, scope, records, length: head.length + scope.length + length };
      });
      const length = children.reduce((sum, child) => sum + child.length, resource.length);
      pieces.push(Buffer.from([RESOURCES, ...varint(length)]), resource);
      for (const { head, scope, records } of children) {
        pieces.push(head, scope);
        for (const piece of records) pieces.push(piece);
      }
    }
    const request = {
      signal: this.#signal,
      body: Buffer.concat(pieces),
      records: this.#records,
      leaves: this.#leaves,
    };
    this.#resources = [];
    this.#leaves = [];
    this.#records = this.#bytes = 0;
    return request;
  }
}
