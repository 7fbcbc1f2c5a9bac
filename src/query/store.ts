import { MeshproofError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";

/** Values of `{name:Type}` parameters. */
export type StatementParameters = Readonly<
  Record<string, string | number | bigint | readonly string[] | readonly bigint[]>
>;

interface StatementOptions {
  readonly signal?: AbortSignal;
  readonly settings?: Readonly<Record<string, string | number>>;
}

/** The ClickHouse user that reads within limits, as the API uses it. Failures are STORE_FAILED, with what ClickHouse answered as cause. */
export interface ReadingStore {
  /** Rows as objects; 64-bit integers as strings. */
  query<T>(
    statement: string,
    parameters: StatementParameters,
    options: StatementOptions,
  ): Promise<T[]>;
  /** The answer's bytes in the FORMAT of the statement. To stop reading ends the query. */
  streamBytes(
    statement: string,
    parameters: StatementParameters,
    options: StatementOptions,
  ): AsyncIterable<Uint8Array>;
}

/** A statement that takes longer is ended: a page takes milliseconds, and the profile of the user ends what forgets to say so at 30 s. */
const MAX_EXECUTION_SECONDS = 10;

/** The statements of one request: they end when its client goes away. */
export interface StatementRunner {
  query<T>(statement: string, parameters: StatementParameters): Promise<T[]>;
  streamBytes(statement: string, parameters: StatementParameters): AsyncIterable<Uint8Array>;
}

/**
 * What one request asks of `store`.
 * Throws: STORE_FAILED. Its message says nothing of the statement, the user or the server; the logger is told.
 */
export function createRunner(
  store: ReadingStore,
  signal: AbortSignal,
  logger: Logger,
): StatementRunner {
  const options = { signal, settings: { max_execution_time: MAX_EXECUTION_SECONDS } };
  const failed = (error: unknown): unknown => {
    if (!signal.aborted)
      logger.warn({ err: error }, "the store did not answer a request of the API");
    return asAnswer(error);
  };
  return {
    async query<T>(statement: string, parameters: StatementParameters) {
      try {
        return await store.query<T>(statement, parameters, options);
      } catch (error) {
        throw failed(error);
      }
    },
    async *streamBytes(statement, parameters) {
      try {
        yield* store.streamBytes(statement, parameters, options);
      } catch (error) {
        throw failed(error);
      }
    },
  };
}

/** ClickHouse's names of errors that mean that too much was asked (src/Common/ErrorCodes.cpp). */
const TOO_MUCH: ReadonlySet<unknown> = new Set([
  "MEMORY_LIMIT_EXCEEDED",
  "TIMEOUT_EXCEEDED",
  "TOO_MANY_BYTES",
  "TOO_MANY_ROWS",
  "TOO_SLOW",
]);

function asAnswer(error: unknown): unknown {
  if (!(error instanceof MeshproofError) || error.code !== "STORE_FAILED") return error;
  const type = (error.cause as { readonly type?: unknown } | undefined)?.type;
  const message = TOO_MUCH.has(type)
    ? `expected records that can be found within ${MAX_EXECUTION_SECONDS} s and the reader's memory, got more: narrow the time with from and to`
    : "the records cannot be read now: ClickHouse does not answer";
  return new MeshproofError("STORE_FAILED", message, { cause: error });
}
