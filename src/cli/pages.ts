import { MeshproofError } from "../core/errors.ts";
import type { RecordJson } from "../records/row-json.ts";
import type { ApiClient, Query } from "./api-client.ts";

/** A page of a list of the API. */
export interface Page {
  readonly records: readonly RecordJson[];
  /** Where the next page begins; null behind the last. */
  readonly next: string | null;
}

/** How much to read of a list. Each page is a read that the server records. */
export interface Extent {
  /** Records in all, at most. */
  readonly limit: number;
  /** Records asked for at a time. */
  readonly pageSize: number;
}

/**
 * The pages of the list at `path`.
 * Throws: what the API answers; UNAVAILABLE when it answers something other than a list.
 */
export async function* readPages(
  api: ApiClient,
  path: string,
  query: Query,
  { limit, pageSize }: Extent,
): AsyncGenerator<Page> {
  let cursor: string | undefined;
  for (let left = limit; left > 0;) {
    const ask = { ...query, limit: String(Math.min(left, pageSize)), cursor };
    const { records, next } = await api.json(path, ask);
    if (!isRecordList(records) || (next !== null && (typeof next !== "string" || next === cursor)))
      throw new MeshproofError(
        "UNAVAILABLE",
        `${api.url.href}${path}: expected {"records": […], "next": …}, got another object`,
      );
    yield { records, next };
    if (next === null) return;
    cursor = next;
    left -= records.length;
  }
}

function isRecordList(value: unknown): value is RecordJson[] {
  return Array.isArray(value) && value.every((one) => typeof one === "object" && one !== null);
}
