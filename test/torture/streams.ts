import { Load } from "../support/senders.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { applicationBody, envoyBody, spanBody } from "../support/traffic.ts";
import { type Tally, tallyOf } from "./tally.ts";

type Signal = "logs" | "traces";

interface StreamKind {
  readonly signal: Signal;
  readonly body: (count: number, first: number) => Buffer;
  /** Gives the number of each record, which its body carries, as UInt32. */
  readonly numbers: string;
}

/** What is sent: each record bears its number, so that the store can be asked for it. Spans and access records of one number share a trace. */
const KINDS: readonly StreamKind[] = [
  {
    signal: "logs",
    body: applicationBody,
    numbers: "SELECT toUInt32(extract(Body, '^request (\\\\d+) ')) FROM otel_logs",
  },
  {
    signal: "logs",
    body: envoyBody,
    numbers:
      "SELECT toUInt32(toUInt64(ConnectionId) - 100000) FROM access_records WHERE ConnectionId != ''",
  },
  {
    signal: "traces",
    body: spanBody,
    numbers: "SELECT toUInt32(toUnixTimestamp64Milli(Timestamp) - 1790000000000) FROM otel_traces",
  },
];

/** Senders of one kind of record, who know exactly what was acknowledged, and send again what was not. */
export class Stream {
  /** Records that a request holds. */
  static readonly RECORDS = 100;
  readonly #kind: StreamKind;
  readonly #load: Load;
  readonly #acknowledged: number[] = [];

  private constructor(
    kind: StreamKind,
    url: (signal: Signal) => string,
    senders: number,
    pauseMs: () => number,
  ) {
    this.#kind = kind;
    this.#load = new Load({
      url: () => url(kind.signal),
      body: (n) => kind.body(Stream.RECORDS, n * Stream.RECORDS),
      senders,
      pauseMs,
      onAcknowledged: (n) => this.#acknowledged.push(n),
    });
  }

  /** Begins to send records of every kind to where `url` says at each try, each by so many senders. */
  static startAll(
    url: (signal: Signal) => string,
    senders: number,
    pauseMs: () => number,
  ): Stream[] {
    return KINDS.map((kind) => new Stream(kind, url, senders, pauseMs));
  }

  get acknowledged(): number {
    return this.#load.acknowledged * Stream.RECORDS;
  }

  get failures(): number {
    return this.#load.failures;
  }

  /** What is acknowledged by now, as the store has it when it answers. */
  async tally(server: ServerProcess): Promise<Tally> {
    const requests = [...this.#acknowledged];
    const bytes = await server.queryBytes(`${this.#kind.numbers} FORMAT RowBinary`, "writer");
    const stored = new Uint32Array(new Uint8Array(bytes).buffer);
    return tallyOf(numbersOf(requests), stored);
  }

  /** Sends nothing new; resolves when all that was begun has been answered. */
  stop(): Promise<void> {
    return this.#load.stop();
  }

  /** Gives up also what was begun. */
  abandon(): Promise<void> {
    return this.#load.abandon();
  }
}

function* numbersOf(requests: readonly number[]): Generator<number> {
  for (const n of requests) for (let i = 0; i < Stream.RECORDS; i++) yield n * Stream.RECORDS + i;
}
