import { MeshproofError } from "../core/errors.ts";
import { peerAddress } from "../core/hosts.ts";
import type { HttpReply, HttpRequest } from "../core/http.ts";
import type { Logger } from "../core/logger.ts";
import { QueryParameters } from "./parameters.ts";
import { createRunner, type ReadingStore, type StatementRunner } from "./store.ts";

/** Requests that read records at the same time: each holds an answer's rows, and ClickHouse runs 16 queries of this user, of which Grafana wants some. */
const MAX_CONCURRENT_READS = 8;

/** What goes into the record of a read: short texts, since the URL is bounded. */
export type ReadDetail = Readonly<Record<string, string>>;

/** Seals who read what. Rejects when it cannot: then nothing is given out. */
export type RecordRead = (detail: ReadDetail) => Promise<void>;

export interface ReadsOptions {
  readonly store: ReadingStore;
  readonly recordRead: RecordRead;
  readonly logger: Logger;
}

/** What a read found: a text as it is, anything else as JSON. */
export interface ReadAnswer {
  readonly body: string | object;
  /** Records in it. */
  readonly rows: number;
}

/** A route that reads records. */
export interface ReadRoute {
  /** Name of the query in the record of the read. */
  readonly name: string;
  /** The parameters that it takes behind the question mark. */
  readonly parameters: readonly string[];
  read(input: ReadInput): Promise<ReadAnswer>;
}

export interface ReadInput {
  readonly request: HttpRequest;
  readonly parameters: QueryParameters;
  readonly run: StatementRunner;
}

/** Answers that say something of the store's content, though no record. */
const TELLING_CODES: ReadonlySet<string> = new Set(["NOT_FOUND", "ROW_TAMPERED"]);

/**
 * Makes handlers of routes that read records. Each read is sealed as a record of its own before a byte of its answer is sent: who read what, and how
 * many records were found. What is refused for its form, its token or its role reads nothing and is not sealed, or a flood of refusals would fill the log.
 */
export class Reads {
  readonly #options: ReadsOptions;
  #underWay = 0;

  constructor(options: ReadsOptions) {
    this.#options = options;
  }

  /**
   * The handler of `route`.
   * Throws: UNAVAILABLE when too many reads are under way, or the read could not be recorded.
   */
  handler(route: ReadRoute): (request: HttpRequest, reply: HttpReply) => Promise<HttpReply> {
    return async (request, reply) => {
      if (this.#underWay >= MAX_CONCURRENT_READS)
        throw new MeshproofError(
          "UNAVAILABLE",
          `expected at most ${MAX_CONCURRENT_READS} reads at a time, got more; ask again`,
          { retryAfterSeconds: 1 },
        );
      this.#underWay++;
      try {
        const { body } = await this.#read(route, request);
        const isText = typeof body === "string";
        return await reply
          .header("content-type", `${isText ? "text/plain" : "application/json"}; charset=utf-8`)
          .header("cache-control", "no-store")
          .header("x-content-type-options", "nosniff")
          .send(isText ? body : JSON.stringify(body));
      } finally {
        this.#underWay--;
      }
    };
  }

  async #read(route: ReadRoute, request: HttpRequest): Promise<ReadAnswer> {
    const { store, logger } = this.#options;
    const parameters = new QueryParameters(request.raw.url as string, route.parameters);
    const detail = {
      ...callerOf(request),
      query: route.name,
      parameters: JSON.stringify({ ...(request.params as object), ...parameters.given }),
    };
    const run = createRunner(store, request.signal, logger);
    let answer: ReadAnswer;
    try {
      answer = await route.read({ request, parameters, run });
    } catch (error) {
      if (error instanceof MeshproofError && TELLING_CODES.has(error.code))
        await this.#record({ ...detail, rows: "0", error: error.code });
      throw error;
    }
    await this.#record({ ...detail, rows: String(answer.rows) });
    return answer;
  }

  async #record(detail: ReadDetail): Promise<void> {
    try {
      await this.#options.recordRead(detail);
    } catch (cause) {
      this.#options.logger.error(
        { err: cause },
        "a read was refused, because it could not be recorded",
      );
      throw new MeshproofError(
        "UNAVAILABLE",
        "every read of records is itself recorded, and this one cannot be now; nothing was given out",
        { cause },
      );
    }
  }
}

/** Who asks, for the sealed record of it. */
export function callerOf({ caller, socket }: HttpRequest): ReadDetail {
  return {
    caller: caller?.name ?? "",
    auth: caller?.auth ?? "none",
    role: caller?.role ?? "none",
    address: peerAddress(socket.remoteAddress),
  };
}
