import type { DynamicConfigValue } from "@grafana/grafana-foundation-sdk/dashboard";

/** Links from a cell to where its value is explained. Field names are column names, so that a link says what it takes. */
interface Link {
  readonly title: string;
  readonly url: string;
  readonly targetBlank: boolean;
}

/** What every link hands on: the time range, the data source and where the API is. */
const KEEP = "${__url_time_range}&${datasource:queryparam}&${api:queryparam}";

function to(title: string, uid: string, query: string): Link {
  return { title, url: `/d/${uid}?${query}&${KEEP}`, targetBlank: false };
}

/** The link of each column that has one, by the column's name. */
const LINKS: Readonly<Record<string, readonly Link[]>> = {
  TraceId: [
    to(
      "Trace and its access records",
      "meshproof-trace",
      "var-trace_id=${__value.raw:percentencode}",
    ),
  ],
  spanID: [
    to("Access records of this trace", "meshproof-access", "var-trace_id=${__data.fields.traceID}"),
  ],
  Record: [
    {
      title: "Proof (tlog-proof)",
      url: "${api}/api/v1/records/${__value.raw}/proof",
      targetBlank: true,
    },
    { title: "Record as sealed", url: "${api}/api/v1/records/${__value.raw}", targetBlank: true },
  ],
  Actor: [
    to("What this identity did", "meshproof-access", "var-identity=${__value.raw:percentencode}"),
  ],
  Policy: [
    to("What this policy decided", "meshproof-access", "var-policy=${__value.raw:percentencode}"),
  ],
  Workload: [
    to("Records of this workload", "meshproof-access", "var-workload=${__value.raw:percentencode}"),
  ],
};

/** Columns that have a link wherever a panel shows them. */
export const LINKED_COLUMNS = Object.keys(LINKS);

/** The property of a field override that holds a column's links. */
export function linksOf(column: string): DynamicConfigValue {
  return { id: "links", value: LINKS[column] };
}
