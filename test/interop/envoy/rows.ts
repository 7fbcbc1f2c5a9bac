import type { ServerProcess } from "../../support/server-process.ts";
import type { Row } from "./compare.ts";

/** Every access record from `firstLeaf` on in the order of their starts, with the span that each is linked to. */
export function accessRows(server: ServerProcess, firstLeaf: number): Promise<Row[]> {
  return server.query<Row>(
    `SELECT a.*, toUnixTimestamp64Nano(a.Timestamp) / 1e6 AS StartMs,
       a.LogAttributes['upstream_local_address'] AS UpstreamLocal,
       l.Links AS Links, l.LinkedRequestId AS LinkedRequestId, l.LinkedNs AS LinkedNs
     FROM access_records AS a
     LEFT JOIN (
       SELECT t.AccessLeaf AS AccessLeaf, count() AS Links,
         any(s.SpanAttributes['guid:x-request-id']) AS LinkedRequestId,
         max(abs(t.ClockDifferenceNs)) AS LinkedNs
       FROM trace_links AS t JOIN otel_traces AS s ON s.LeafIndex = t.SpanLeaf
       WHERE t.Rule = 'span' GROUP BY AccessLeaf
     ) AS l ON l.AccessLeaf = a.LeafIndex
     WHERE a.LeafIndex >= ${firstLeaf} ORDER BY a.Timestamp
     SETTINGS output_format_json_quote_64bit_integers = 0`,
  );
}

/** The first leaf that is not in any of these tables yet. */
export async function nextLeaf(server: ServerProcess): Promise<number> {
  const [row] = await server.query<{ next: string }>(
    "SELECT toString(max(LeafIndex) + 1) AS next FROM access_records",
  );
  return Number(row!.next);
}
