import { quoteIdentifier, quoteLiteral } from "./sql.ts";

/** The users of the embedded server that can log in. `default` exists too, but only for the server's own session. */
export const ENGINE_USERS = ["writer", "reader", "admin"] as const;
export type EngineUser = (typeof ENGINE_USERS)[number];

/** Memory that the embedded server may take, caches included. */
export const DEFAULT_MAX_SERVER_MEMORY_BYTES = 1.5 * 1024 ** 3;

/**
 * Longest statement of `reader`, in seconds: when it says nothing, and what it may ask for. clickhouse-go asks for five seconds more than its
 * caller's deadline, and Grafana's plugin, whose own default is a minute, lets its users set several: a query that asks for more than `max` is refused.
 */
export const READER_EXECUTION_SECONDS = { default: 30, min: 1, max: 305 } as const;
const READER_MAX_RESULT_ROWS = 1_000_000;
const READER_MAX_CONCURRENT_QUERIES = 16;
const GUEST_MAX_CONCURRENT_QUERIES = 16;

const MAX_CONCURRENT_QUERIES = 64;
const MAX_CONNECTIONS = 256;

const LOG_FILE_SIZE = "10M";
/** Files that rotation leaves beside the current one (see `pruneLogs`). */
export const OLD_LOG_FILES = 3;

/**
 * Merges at once are this times two. The library's own default (2, as it was made for single queries) lets parts
 * pile up under steady inserts; 16, the server's default, lets wide merges eat the memory of the inserts.
 */
const BACKGROUND_POOL_SIZE = 4;
const BACKGROUND_SCHEDULE_POOL_SIZE = 16;

/** Parts of the server's memory. Caches may fill up to a third; merges wait rather than take more than half. */
const SHARE = {
  markCache: 0.08,
  indexCache: 0.05,
  textIndexCache: 0.04,
  otherCache: 0.02,
  merges: 0.5,
  readerQuery: 0.4,
  readerAll: 0.5,
  spill: 0.2,
  guest: 0.25,
  /** Free for each thread of a query. */
  thread: 0.05,
};

/** Engines of databases and tables that migrations and guests may use: none that reaches files or other servers. */
const TABLE_ENGINES = [
  "Atomic",
  "MergeTree",
  "ReplacingMergeTree",
  "AggregatingMergeTree",
  "SummingMergeTree",
  "Memory",
  "Null",
];

/**
 * Settings that cannot widen what `reader` sees or costs; clients send them unasked (compression, progress, formats), and Grafana's plugin for the filters
 * that people add to a dashboard (`additional_table_filters`).
 */
const READER_MAY_CHANGE = [
  "additional_table_filters",
  "enable_http_compression",
  "http_wait_end_of_query",
  "send_progress_in_http_headers",
  "http_headers_progress_interval_ms",
  "cancel_http_readonly_queries_on_client_close",
  "output_format_json_quote_64bit_integers",
  "output_format_json_quote_denormals",
  "output_format_native_encode_types_in_binary_format",
  "date_time_input_format",
  "date_time_output_format",
  "session_timezone",
  "join_algorithm",
  "join_use_nulls",
  "log_comment",
];

export interface ServerConfigOptions {
  /** ClickHouse's own directory, absolute. */
  readonly directory: string;
  readonly usersFile: string;
  readonly logFile: string;
  readonly host: string;
  readonly httpPort: number;
  readonly nativePort: number;
  readonly maxServerMemoryBytes: number;
  /** Tables are read and never written: no insert, no merge, no mutation that waits. */
  readonly readOnly?: boolean;
}

/**
 * Text of the server's configuration file.
 * System log tables (query_log and the like) do not exist in this build, so nothing but `logFile` grows unasked.
 */
export function serverConfigXml(options: ServerConfigOptions): string {
  const bytes = (share: number): number => Math.floor(options.maxServerMemoryBytes * share);
  return element("clickhouse", {
    path: options.directory,
    users_config: options.usersFile,
    // The library reads the level here; what stands under `logger` alone leaves it at trace.
    "log-level": "information",
    logger: {
      level: "information",
      log: options.logFile,
      size: LOG_FILE_SIZE,
      console: false,
    },
    listen_host: options.host,
    http_port: options.httpPort,
    tcp_port: options.nativePort,
    timezone: "UTC",
    display_name: "meshproof",
    keep_alive_timeout: 30,
    max_connections: MAX_CONNECTIONS,
    max_concurrent_queries: MAX_CONCURRENT_QUERIES,
    max_server_memory_usage: options.maxServerMemoryBytes,
    merges_mutations_memory_usage_soft_limit: bytes(SHARE.merges),
    mark_cache_size: bytes(SHARE.markCache),
    primary_index_cache_size: bytes(SHARE.indexCache),
    index_mark_cache_size: bytes(SHARE.indexCache),
    text_index_tokens_cache_size: bytes(SHARE.textIndexCache),
    text_index_header_cache_size: bytes(SHARE.textIndexCache),
    text_index_postings_cache_size: bytes(SHARE.textIndexCache),
    compiled_expression_cache_size: bytes(SHARE.otherCache),
    vector_similarity_index_cache_size: bytes(SHARE.otherCache),
    uncompressed_cache_size: 0,
    background_pool_size: BACKGROUND_POOL_SIZE,
    background_schedule_pool_size: BACKGROUND_SCHEDULE_POOL_SIZE,
    background_common_pool_size: 2,
    // Small merges first: a merge of many gigabytes must not let fresh parts pile up behind it.
    background_merges_mutations_scheduling_policy: "shortest_task_first",
    merge_tree: {
      table_readonly: options.readOnly === true ? 1 : 0,
      // Of eight places, the last three are for small merges, and a mutation takes none of the last four.
      number_of_free_entries_in_pool_to_lower_max_size_of_merge: 3,
      number_of_free_entries_in_pool_to_execute_mutation: 4,
    },
    access_control_improvements: {
      select_from_system_db_requires_grant: true,
      settings_constraints_replace_previous: true,
      table_engines_require_grant: true,
    },
    send_crash_reports: { enabled: false },
  });
}

export interface UsersConfigOptions {
  readonly database: string;
  /** SHA-256 of each user's password, in hex. The passwords themselves stay out of the file. */
  readonly passwordHashes: Readonly<Record<EngineUser, string>>;
  /** As `passwordHashes`, of users of other programs: each has the database of its own name, and nothing else. */
  readonly guestPasswordHashes?: ReadonlyMap<string, string>;
  readonly maxServerMemoryBytes: number;
}

/**
 * Text of the users file: `writer` inserts and selects, `reader` selects within bounds, `admin` migrates and expires, guests do as they like in a
 * database of their own.
 *
 * `default` has no password, because the session in which the server runs authenticates without one and from
 * 127.0.0.1. What keeps everyone else out is `max_sessions_for_user`: that session is the one, it stands before
 * the first port opens, and a login over HTTP or the native protocol is a second one, refused with code 700.
 */
export function usersConfigXml(options: UsersConfigOptions): string {
  const bytes = (share: number): number => Math.floor(options.maxServerMemoryBytes * share);
  const tables = `${quoteIdentifier(options.database)}.*`;
  const common = {
    log_queries: 0,
    async_insert: 0,
    implicit_select: 0,
    allow_introspection_functions: 0,
    // Else all of a query runs in one thread: ClickHouse wants 1 GiB free for each further one. With two, verify is nearly twice as fast.
    max_threads_min_free_memory_per_thread: bytes(SHARE.thread),
    query_profiler_real_time_period_ns: 0,
    query_profiler_cpu_time_period_ns: 0,
  };
  const login = (hash: string, profile: string, grants: readonly string[]): object => ({
    password_sha256_hex: hash,
    networks: { ip: ["127.0.0.1", "::1"] },
    profile,
    quota: "default",
    grants: { query: grants },
  });
  const user = (name: EngineUser, grants: readonly string[]): object =>
    login(options.passwordHashes[name], name, grants);
  const guests = [...(options.guestPasswordHashes ?? [])].map(([name, hash]) => [
    name,
    login(hash, "guest", ownerGrants(`${quoteIdentifier(name)}.*`)),
  ]);
  return element("clickhouse", {
    profiles: {
      default: common,
      internal: { profile: "default", max_sessions_for_user: 1 },
      writer: { profile: "default" },
      admin: { profile: "default" },
      // A guest's statement cannot take the memory that ours need.
      guest: {
        profile: "default",
        max_memory_usage_for_user: bytes(SHARE.guest),
        max_concurrent_queries_for_user: GUEST_MAX_CONCURRENT_QUERIES,
      },
      reader: {
        profile: "default",
        readonly: 1,
        max_execution_time: READER_EXECUTION_SECONDS.default,
        max_result_rows: READER_MAX_RESULT_ROWS,
        max_concurrent_queries_for_user: READER_MAX_CONCURRENT_QUERIES,
        output_format_json_quote_64bit_integers: 1,
        cancel_http_readonly_queries_on_client_close: 1,
        max_memory_usage: bytes(SHARE.readerQuery),
        max_memory_usage_for_user: bytes(SHARE.readerAll),
        max_bytes_before_external_group_by: bytes(SHARE.spill),
        max_bytes_before_external_sort: bytes(SHARE.spill),
        constraints: {
          max_execution_time: {
            min: READER_EXECUTION_SECONDS.min,
            max: READER_EXECUTION_SECONDS.max,
            changeable_in_readonly: {},
          },
          max_result_rows: { min: 1, max: READER_MAX_RESULT_ROWS, changeable_in_readonly: {} },
          ...Object.fromEntries(
            READER_MAY_CHANGE.map((name) => [name, { changeable_in_readonly: {} }]),
          ),
        },
      },
    },
    quotas: { default: {} },
    users: {
      default: {
        password: "",
        networks: { ip: ["127.0.0.1", "::1"] },
        profile: "internal",
        quota: "default",
        // What `serverStatements` needs, and no table.
        grants: {
          query: [
            "GRANT SYSTEM LISTEN ON *.*",
            "GRANT CREATE TEMPORARY TABLE ON *.*",
            "GRANT READ ON FILE",
          ],
        },
      },
      // system.processes: whether an INSERT has outlived its connection.
      writer: user("writer", [
        `GRANT SELECT ON ${tables}`,
        `GRANT INSERT ON ${tables}`,
        "GRANT SELECT ON system.processes",
        "GRANT SELECT ON system.parts",
      ]),
      reader: user("reader", [
        `GRANT SELECT ON ${tables}`,
        // Metadata, which shows each user what it may see anyhow; system.tables, columns and databases need no grant.
        "GRANT SELECT ON information_schema.*",
        "GRANT SELECT ON INFORMATION_SCHEMA.*",
        "GRANT SELECT ON system.parts",
        "GRANT SELECT ON system.dictionaries",
      ]),
      admin: user("admin", [
        ...ownerGrants(tables),
        "GRANT SELECT ON system.*",
        "GRANT KILL QUERY ON *.*",
      ]),
      ...Object.fromEntries(guests),
    },
  });
}

/** All that can be done in the database `tables` (`name.*`), and nothing outside it. */
function ownerGrants(tables: string): string[] {
  const rights = [
    "SHOW",
    "SELECT",
    "INSERT",
    "ALTER",
    "CREATE DATABASE",
    "CREATE TABLE",
    "CREATE VIEW",
    "DROP DATABASE",
    "DROP TABLE",
    "DROP VIEW",
    "TRUNCATE",
    "OPTIMIZE",
    "CHECK",
    "SYSTEM MERGES",
  ];
  return [
    ...rights.map((right) => `GRANT ${right} ON ${tables}`),
    ...TABLE_ENGINES.map((engine) => `GRANT TABLE ENGINE ON ${engine}`),
  ];
}

/** Has no end: the server lives as long as its last statement runs. */
const WAIT =
  "SELECT sleepEachRow(3) FROM numbers(1000000000) SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 10000000 FORMAT Null";

/**
 * The statements that make a server of the library. The first waits until `gateFile`, a named pipe, has been opened
 * and closed at its other end; the last goes on for ever.
 */
export function serverStatements(gateFile: string): string {
  const gate = `SELECT count() FROM file(${quoteLiteral(gateFile)}, LineAsString, 'line String') FORMAT Null`;
  return [gate, "SYSTEM START LISTEN HTTP", "SYSTEM START LISTEN TCP", WAIT].join("; ");
}

/** An element per key; an array repeats its element. */
function element(name: string, content: unknown, indent = ""): string {
  if (Array.isArray(content)) return content.map((item) => element(name, item, indent)).join("");
  if (typeof content !== "object" || content === null)
    return `${indent}<${name}>${escapeXml(String(content))}</${name}>\n`;
  const inner = Object.entries(content).map(([key, value]) => element(key, value, `${indent}  `));
  return inner.length === 0
    ? `${indent}<${name}/>\n`
    : `${indent}<${name}>\n${inner.join("")}${indent}</${name}>\n`;
}

function escapeXml(text: string): string {
  return text.replace(/[<>&"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
