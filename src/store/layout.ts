import { quoteLiteral } from "./sql.ts";

/** Days that each retention class is kept, by class. */
export type RetentionDays = Readonly<Record<string, number>>;

/** How a table lies on disk: everything of its DDL that its columns do not say. */
export interface Layout {
  readonly engine: "MergeTree" | "AggregatingMergeTree";
  readonly partition: PartitionBy;
  readonly orderBy: string;
  /** Where it is shorter than `orderBy`. */
  readonly primaryKey?: string;
  /** Sharding key of the Distributed table. */
  readonly shardBy: string;
  /** ALIAS columns: computed when read, neither stored nor sealed. */
  readonly aliases: readonly string[];
  readonly indexes: (text: boolean) => readonly string[];
  readonly projections: readonly string[];
}

type PartitionBy = "received" | "receivedPeriod" | "stored" | "event" | "published";

/** Partitions of a day for classes kept this long or less. 395 daily partitions made every lookup ten times slower than 13 monthly ones. */
export const DAILY_PARTITIONS_MAX_DAYS = 60;

/**
 * The partition key. Rows expire by dropping partitions, counted from arrival; the sender's clock has no say in it.
 * `received`: retention class, and day or month of arrival. `receivedPeriod`: the latter alone.
 * `stored`: the same two as columns. `event`: month of our own Timestamp, for records that we make. `published`: month of PublishedAt.
 */
export function partitionKey(partition: PartitionBy, retention: RetentionDays): string {
  if (partition === "event") return "toYYYYMM(Timestamp, 'UTC')";
  if (partition === "published") return "toYYYYMM(PublishedAt, 'UTC')";
  if (partition === "stored") return "(RetentionClass, ReceivedPeriod)";
  const month = "toYYYYMM(ReceivedTimestamp, 'UTC')";
  const daily = Object.entries(retention)
    .filter(([, days]) => days <= DAILY_PARTITIONS_MAX_DAYS)
    .map(([name]) => quoteLiteral(name))
    .toSorted();
  const period =
    daily.length === 0
      ? month
      : `if(RetentionClass IN (${daily.join(", ")}), toYYYYMMDD(ReceivedTimestamp, 'UTC'), ${month})`;
  return partition === "receivedPeriod" ? period : `(RetentionClass, ${period})`;
}

/** Rows are asked for by leaf index (proofs, `verify`, the check after a crash); it grows with time, as the rows nearly do. */
const LEAF_INDEX = "INDEX idx_leaf_index LeafIndex TYPE minmax GRANULARITY 1";
/** 1.5 to 2 bytes a row; a projection or a lookup table by trace ID costs ten times as much and gains nothing when the time is known. */
const TRACE_ID = "INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1";

/**
 * The exporter's indexes over keys and values of a map, as it made them before ClickHouse 26.2. Its newer ones, of type text, cost
 * an insert a third more (25 against 18 µs a log of 1.5 kB) and are made again at each merge.
 */
function mapIndexes(...maps: readonly (readonly [name: string, column: string])[]): string[] {
  const type = "bloom_filter(0.01) GRANULARITY 1";
  return maps.flatMap(([name, column]) => [
    `INDEX idx_${name}_attr_key mapKeys(${column}) TYPE ${type}`,
    `INDEX idx_${name}_attr_value mapValues(${column}) TYPE ${type}`,
  ]);
}

/** An index over the words of a text. */
function wordIndex(text: boolean, name: string, expression: string): string {
  return `INDEX ${name} ${expression} TYPE ${text ? "text(tokenizer = 'splitByNonAlpha')" : "tokenbf_v1(32768, 3, 0) GRANULARITY 8"}`;
}

/** Rows of one trace lie on one shard, where they are joined; rows without a trace are spread by index. Never random: a resent batch must reach the same shard. */
const SHARD_BY_TRACE = "if(TraceId = '', LeafIndex, cityHash64(TraceId))";

const PLAIN = { engine: "MergeTree", aliases: [], projections: [] } as const;

/** Layout of each table by its name. */
export const LAYOUTS: Readonly<Record<string, Layout>> = {
  access_records: {
    ...PLAIN,
    partition: "received",
    orderBy: "toStartOfHour(Timestamp), Decision, Policy, Timestamp",
    shardBy: SHARD_BY_TRACE,
    indexes: (text) => [TRACE_ID, LEAF_INDEX, wordIndex(text, "idx_path", "Path")],
    // Light and covering: what a list of one actor's requests shows; the rest is fetched by LeafIndex.
    projections: [
      "PROJECTION by_actor (SELECT Actor, Timestamp, ServiceName, Method, Path, StatusCode, Decision, Policy, LogId, LeafIndex ORDER BY Actor, Timestamp)",
    ],
  },
  otel_traces: {
    ...PLAIN,
    partition: "received",
    primaryKey: "ServiceName, SpanName, toDateTime(Timestamp)",
    orderBy: "ServiceName, SpanName, toDateTime(Timestamp), Timestamp",
    shardBy: SHARD_BY_TRACE,
    indexes: () => [
      TRACE_ID,
      LEAF_INDEX,
      ...mapIndexes(["res", "ResourceAttributes"], ["span", "SpanAttributes"]),
      "INDEX idx_duration Duration TYPE minmax GRANULARITY 1",
    ],
  },
  otel_logs: {
    ...PLAIN,
    partition: "received",
    orderBy: "toStartOfFiveMinutes(Timestamp), ServiceName, Timestamp",
    shardBy: SHARD_BY_TRACE,
    // The exporter's older schema had this column and Grafana's older plugins ask for it.
    aliases: ["`TimestampTime` DateTime ALIAS toDateTime(Timestamp)"],
    indexes: (text) => [
      TRACE_ID,
      LEAF_INDEX,
      ...mapIndexes(
        ["res", "ResourceAttributes"],
        ["scope", "ScopeAttributes"],
        ["log", "LogAttributes"],
      ),
      wordIndex(text, "idx_lower_body", "lower(Body)"),
    ],
  },
  trace_links: {
    ...PLAIN,
    partition: "event",
    orderBy: "TraceId, AccessLeaf",
    shardBy: SHARD_BY_TRACE,
    indexes: () => [LEAF_INDEX],
  },
  findings: {
    ...PLAIN,
    partition: "event",
    orderBy: "Timestamp, FindingKind",
    shardBy: "LeafIndex",
    indexes: () => [LEAF_INDEX],
  },
  control_records: {
    ...PLAIN,
    partition: "event",
    orderBy: "Timestamp, ControlKind",
    shardBy: "LeafIndex",
    indexes: () => [LEAF_INDEX],
  },
  checkpoints: {
    ...PLAIN,
    partition: "published",
    orderBy: "LogId, TreeSize",
    shardBy: "TreeSize",
    indexes: () => [],
  },
  otel_traces_trace_id_ts: {
    ...PLAIN,
    engine: "AggregatingMergeTree",
    partition: "stored",
    orderBy: "TraceId",
    shardBy: "cityHash64(TraceId)",
    indexes: () => [],
  },
};
