import type { Kind } from "../core/kinds.ts";
import { keptRows } from "../kept-rows.ts";
import { TABLE_OF_KIND } from "../records/columns.ts";
import { rowToJson } from "../records/row-json.ts";
import { StoredRecords } from "../store/records.ts";
import type { StoreClient } from "../store/client.ts";
import type { DataDirectory } from "./data-directory.ts";

/** A row that claims to be record `leafIndex`. Whether it is, its proof tells. */
export interface FoundRow {
  readonly leafIndex: bigint;
  readonly table: string;
  readonly row: Uint8Array;
}

/** The rows of a data directory: from the tables, and where a table does not have one, from quarantine or journal. */
export class RecordRows {
  readonly #data: DataDirectory;
  readonly #stored: StoredRecords;

  constructor(data: DataDirectory, client: StoreClient) {
    this.#data = data;
    this.#stored = new StoredRecords(client, data.logId);
  }

  /** The rows at these indexes, at most MAX_ROWS_PER_QUERY of them. An index can have none, or more than one. */
  async at(indexes: readonly bigint[]): Promise<FoundRow[]> {
    const rows: FoundRow[] = await this.#stored.at(indexes);
    const missing = missingIn(rows, indexes);
    if (missing.length === 0) return rows;
    const wanted = new Set(missing);
    const kept = await this.#kept(
      Number(missing.reduce((least, index) => (index < least ? index : least))),
      Number(missing.reduce((most, index) => (index > most ? index : most))) + 1,
      ({ leafIndex }) => wanted.has(leafIndex),
    );
    // Between the two looks the server may have brought a row into its table.
    const late = await this.#stored.at(missingIn(kept, missing));
    return [...rows, ...kept, ...late];
  }

  /** Indexes of the records that name this trace, ascending. */
  async ofTrace(traceId: string): Promise<bigint[]> {
    const isOfTrace = ({ kind, row }: { kind: Kind; row: Uint8Array }): boolean =>
      Buffer.from(row.buffer, row.byteOffset, row.length).includes(traceId) &&
      rowToJson(kind, row)["TraceId"] === traceId;
    const kept = await this.#kept(0, Infinity, isOfTrace);
    const indexes = new Set(await this.#stored.ofTrace(traceId));
    for (const { leafIndex } of kept) indexes.add(leafIndex);
    return [...indexes].toSorted((a, b) => (a < b ? -1 : 1));
  }

  async #kept(
    from: number,
    to: number,
    isWanted: (found: FoundRow & { readonly kind: Kind }) => boolean,
  ): Promise<FoundRow[]> {
    const { path, logId } = this.#data;
    const rows: FoundRow[] = [];
    try {
      for await (const { leafIndex, kind, row } of keptRows(path, logId, { journal: true })(
        from,
        to,
      )) {
        const found = {
          leafIndex: BigInt(leafIndex),
          kind,
          table: TABLE_OF_KIND.get(kind)!.name,
          row,
        };
        if (isWanted(found)) rows.push({ ...found, row: Uint8Array.from(row) });
      }
    } catch (error) {
      // A running server deletes a segment once all its rows are stored.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    return rows;
  }
}

function missingIn(rows: readonly FoundRow[], indexes: readonly bigint[]): bigint[] {
  const found = new Set(rows.map(({ leafIndex }) => leafIndex));
  return indexes.filter((index) => !found.has(index));
}
