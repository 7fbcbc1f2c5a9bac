import { Readable } from "node:stream";
import {
  ClickHouseError,
  ClickHouseLogLevel,
  createClient,
  type ClickHouseSettings,
} from "@clickhouse/client";
import { MeshproofError } from "../core/errors.ts";
import { coalesce, wholeAnswer } from "./chunks.ts";

import type { ServerCause } from "./refusals.ts";
import { quoteIdentifier } from "./sql.ts";

/** How to reach one ClickHouse server as one user. */
export interface StoreClientOptions {
  /** `http://host:port` or `https://host:port`, without user or password. */
  readonly url: string;
  readonly username: string;
  readonly password: string;
  /** Database that unqualified names mean. Without one, the user's default: what migrations need before the database exists. */
  readonly database?: string;
  /** PEM. `ca` alone checks the server; `cert` and `key` as well show who we are. */
  readonly tls?: {
    readonly ca?: Uint8Array;
    readonly cert?: Uint8Array;
    readonly key?: Uint8Array;
  };
  /** Longest silence on a connection before a request counts as failed, its outcome unknown. */
  readonly requestTimeoutMs?: number;
  readonly maxOpenConnections?: number;
}

/** Values of `{name:Type}` parameters. A leaf index is a bigint or a number below 2^53. */
export type Parameters = Readonly<
  Record<
    string,
    string | number | bigint | boolean | readonly string[] | readonly number[] | readonly bigint[]
  >
>;

/** What goes with a statement. */
export interface StatementOptions {
  /** Names the query in system.processes, so that its end can be waited for when the connection is lost. */
  readonly queryId?: string;
  readonly signal?: AbortSignal;
  readonly settings?: Readonly<Record<string, string | number>>;
}

/** What goes with an INSERT. */
export interface InsertOptions extends StatementOptions {
  /** insert_deduplication_token: the same token again within the table's window adds nothing, whatever the bytes. */
  readonly token: string;
}

/** ClickHouse as the rest of the store uses it. Every failure is STORE_FAILED. */
export interface StoreClient {
  /** Inserts rows in RowBinary; when it resolves they are on the server's disk. The chunks are sent as they are, in order. */
  insertRows(
    table: string,
    columnNames: readonly string[],
    chunks: readonly Uint8Array[],
    options: InsertOptions,
  ): Promise<void>;
  /** Rows of a SELECT as objects; 64-bit integers as strings. */
  query<T>(statement: string, parameters?: Parameters, options?: StatementOptions): Promise<T[]>;
  /** Runs a statement that has no answer. */
  command(statement: string, parameters?: Parameters, options?: StatementOptions): Promise<void>;
  /** The answer's bytes in the FORMAT that the statement names. Rejects at the end when the server failed in mid-answer: what came before is then not whole. */
  streamBytes(
    statement: string,
    parameters?: Parameters,
    options?: StatementOptions,
  ): AsyncIterable<Uint8Array>;
  /** Resolves when the server answers a query and knows the user. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

const DEFAULT_REQUEST_TIMEOUT_MS = 30_000;
const DEFAULT_OPEN_CONNECTIONS = 16;

/** Settings of every INSERT. */
const INSERT_SETTINGS = {
  // 1 by default since 26.3: the answer would come before the rows are written.
  async_insert: 0,
  // The status is sent after the work, so 200 means done.
  wait_end_of_query: 1,
  // One block an INSERT, as far as its size allows: it is stored whole or not at all.
  input_format_parallel_parsing: 0,
  // Through a Distributed table: wait for the shards.
  distributed_foreground_insert: 1,
  // A backlog of weeks touches many partitions; refusing it would block it for ever.
  max_partitions_per_insert_block: 0,
};

/** A client of one server for one user. It opens connections when they are needed. */
export function createStoreClient(login: StoreClientOptions): StoreClient {
  const client = createClient({
    url: login.url,
    username: login.username,
    password: login.password,
    ...(login.database === undefined ? {} : { database: login.database }),
    ...(login.tls === undefined ? {} : { tls: tlsOptions(login.tls) }),
    application: "meshproof",
    request_timeout: login.requestTimeoutMs ?? DEFAULT_REQUEST_TIMEOUT_MS,
    max_open_connections: login.maxOpenConnections ?? DEFAULT_OPEN_CONNECTIONS,
    // Ours logs; the client would write to the console by itself.
    log: { level: ClickHouseLogLevel.OFF },
    // Moves long parameters (lists of indexes) from the URL to the body.
    use_multipart_params_auto: true,
  });
  const failed = (error: unknown, doing: string): MeshproofError =>
    storeFailed(error, doing, login.password);

  async function* streamBytes(
    statement: string,
    parameters: Parameters = {},
    options: StatementOptions = {},
  ): AsyncGenerator<Uint8Array> {
    try {
      const answer = await client.exec({
        query: statement,
        query_params: { ...parameters },
        ...request(options),
      });
      const tag = answer.response_headers["x-clickhouse-exception-tag"];
      yield* wholeAnswer(
        answer.stream as AsyncIterable<Uint8Array>,
        typeof tag === "string" ? tag : undefined,
      );
    } catch (error) {
      throw failed(error, "reading");
    }
  }

  return {
    streamBytes,
    async insertRows(table, columnNames, chunks, options) {
      const query = `INSERT INTO ${quoteIdentifier(table)} (${columnNames.map(quoteIdentifier).join(", ")}) FORMAT RowBinary`;
      try {
        const answer = await client.exec({
          query,
          values: Readable.from(coalesce(chunks), { objectMode: false }),
          ...request(options, { ...INSERT_SETTINGS, insert_deduplication_token: options.token }),
        });
        // The socket goes back to the pool when the (empty) answer has been read.
        for await (const _ of answer.stream);
      } catch (error) {
        throw failed(error, `inserting into ${table}`);
      }
    },
    async query<T>(statement: string, parameters: Parameters = {}, options: StatementOptions = {}) {
      try {
        const settings = request(options, { output_format_json_quote_64bit_integers: 1 });
        const answer = await client.query({
          query: statement,
          query_params: { ...parameters },
          format: "JSONEachRow",
          ...settings,
        });
        return await answer.json<T>();
      } catch (error) {
        throw failed(error, "querying");
      }
    },
    async command(statement, parameters = {}, options = {}) {
      try {
        await client.command({
          query: statement,
          query_params: { ...parameters },
          ...request(options, { wait_end_of_query: 1 }),
        });
      } catch (error) {
        throw failed(error, "running a statement");
      }
    },
    async ping() {
      // Not the /ping endpoint, which answers anybody.
      const answer = await client.ping({ select: true });
      if (!answer.success) throw failed(answer.error, "asking for an answer");
    },
    async close() {
      await client.close();
    },
  };
}

function request(
  { queryId, signal, settings }: StatementOptions,
  ours: Readonly<Record<string, string | number>> = {},
) {
  return {
    ...(queryId === undefined ? {} : { query_id: queryId }),
    ...(signal === undefined ? {} : { abort_signal: signal }),
    clickhouse_settings: { ...ours, ...settings } as ClickHouseSettings,
  };
}

function tlsOptions(tls: NonNullable<StoreClientOptions["tls"]>) {
  // The client's types ask for a CA; Node takes its own list where it is undefined.
  const ca_cert = (tls.ca === undefined ? undefined : Buffer.from(tls.ca)) as Buffer;
  return tls.cert === undefined || tls.key === undefined
    ? { ca_cert }
    : { ca_cert, cert: Buffer.from(tls.cert), key: Buffer.from(tls.key) };
}

/** Longest error text that is kept: ClickHouse repeats statements in its messages. */
const MAX_MESSAGE_LENGTH = 600;

function storeFailed(error: unknown, doing: string, password: string): MeshproofError {
  if (error instanceof MeshproofError) return error;
  const text =
    error instanceof Error
      ? error.message || ((error as NodeJS.ErrnoException).code ?? error.name)
      : String(error);
  const clean = (password === "" ? text : text.replaceAll(password, "[password]"))
    .replaceAll(/\s+/g, " ")
    .slice(0, MAX_MESSAGE_LENGTH);
  // Neither the original error nor its stack goes on: they may hold the request.
  if (error instanceof ClickHouseError) {
    const cause: ServerCause = { code: error.code, type: error.type ?? "" };
    return new MeshproofError(
      "STORE_FAILED",
      `${doing}: ClickHouse answered ${cause.type} (${cause.code}): ${clean}`,
      { cause },
    );
  }
  return new MeshproofError("STORE_FAILED", `${doing}: ${clean}`);
}
