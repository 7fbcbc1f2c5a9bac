import type { Call } from "./calls.ts";
import { connectionOf } from "./client.ts";
import type { Columns } from "./expected.ts";

/** An access record as ClickHouse has it, with the links to spans that were made for it. */
export interface Row extends Columns {
  readonly LeafIndex: number;
  /** Links by the rule `span`, the request ID in the span, and how far the two starts are apart. */
  readonly Links: number;
  readonly LinkedRequestId: string;
  readonly LinkedNs: number;
  /** The address that the proxy went on from. */
  readonly UpstreamLocal: string;
}

/** How far a record's start may lie outside the time that the client measured, and its end: a proxy may be slow to notice it. */
const START_SLACK_MS = 2;
const END_SLACK_MS = 500;
/** What the periodic records of a stream have in common with its end. */
const SAME_IN_A_STREAM =
  "TraceId SpanId RequestId StartMs Actor PeerPrincipal LocalPrincipal Direction Method Path Query Route UpstreamCluster Policy".split(
    " ",
  );
/** Most differences that are told. */
const TOLD = 12;

/** What the comparison found. */
export interface Comparison {
  readonly calls: number;
  readonly records: number;
  readonly periodic: number;
  readonly linked: number;
  /** Columns that were compared with what they must say. */
  readonly compared: number;
  /** Calls by the name of their kind and the status seen. */
  readonly kinds: ReadonlyMap<string, number>;
}

/**
 * Compares records with the calls that were made: each call has exactly the records that it must have on both sides, each column says what it must, and no
 * record is left over. Throws what differs.
 */
export function compare(calls: readonly Call[], rows: readonly Row[]): Comparison {
  const comparison = new Comparer(rows);
  for (const call of calls) comparison.take(call);
  return comparison.end(calls.length);
}

class Comparer {
  readonly #byRequest: ReadonlyMap<string, readonly Row[]>;
  readonly #byConnection: ReadonlyMap<string, readonly Row[]>;
  readonly #left: Set<Row>;
  readonly #kinds = new Map<string, number>();
  readonly #differences: string[] = [];
  readonly #records: number;
  #compared = 0;
  #periodic = 0;
  #linked = 0;

  constructor(rows: readonly Row[]) {
    this.#records = rows.length;
    this.#left = new Set(rows);
    this.#byRequest = Map.groupBy(rows, (row) => withoutReason(String(row["RequestId"])));
    this.#byConnection = Map.groupBy(
      rows.filter((row) => row["RequestId"] === ""),
      (row) => `${row["ServiceName"]}: ${connectionOf(row["PeerPort"], row["LocalPort"])}`,
    );
  }

  take(call: Call): void {
    const { kind, seen } = call;
    const { outbound, inbound, status } =
      kind.otherwise?.status === seen.status ? kind.otherwise : kind;
    const name = `${kind.name}, ${seen.status}`;
    this.#kinds.set(name, (this.#kinds.get(name) ?? 0) + 1);
    if (seen.status !== status) this.#differ(call, `the client saw ${seen.status}`);
    const rows = this.#rowsOf(call);
    for (const [service, expected] of [
      ["frontend", outbound],
      ["orders", inbound],
    ] as const) {
      const side = rows.filter((row) => row["ServiceName"] === service);
      const ends = side.filter((row) => row["Phase"] === "end");
      const others = side.filter((row) => row["Phase"] !== "end");
      this.#periodic += others.length;
      if (others.length < (kind.periodic ?? 0))
        this.#differ(call, `${service} has ${others.length} periodic records`);
      // All records of a stream are of one request, its end included.
      for (const row of others)
        for (const column of SAME_IN_A_STREAM)
          this.#columns(call, row, { Phase: "periodic", [column]: ends[0]?.[column] ?? "" });
      if (ends.length !== expected.length)
        this.#differ(call, `${service} has ${ends.length} records of ${expected.length}`);
      expected.slice(0, ends.length).forEach((columns, n) => {
        const last = n === expected.length - 1;
        this.#columns(call, ends[n]!, { ...this.#defaults(call, last), ...columns });
      });
    }
    for (const row of rows) this.#common(call, row);
  }

  end(calls: number): Comparison {
    for (const row of this.#left) {
      const { LeafIndex, ServiceName, RequestId, PeerPort, Path } = row;
      this.#differences.push(
        `record ${LeafIndex} of ${ServiceName} belongs to no call: ${RequestId} ${PeerPort} ${Path}`,
      );
    }
    const { length } = this.#differences;
    if (length > 0)
      throw new Error([`${length} differences`, ...this.#differences.slice(0, TOLD)].join("\n"));
    return {
      calls,
      records: this.#records,
      periodic: this.#periodic,
      linked: this.#linked,
      compared: this.#compared,
      kinds: this.#kinds,
    };
  }

  /**
   * The records of a call, in the order of their starts: by its request ID, else by the ports of its connections, of which those count that began while it
   * lasted. A second later the same ports may be those of another call.
   */
  #rowsOf({ id, kind, seen }: Call): readonly Row[] {
    if (kind.path !== "") return this.#byRequest.get(withoutReason(id)) ?? [];
    const of = (service: string, connection: string): readonly Row[] =>
      (this.#byConnection.get(`${service}: ${connection}`) ?? []).filter((row) =>
        beganDuring(seen, Number(row["StartMs"])),
      );
    const outbound = of("frontend", seen.connection);
    if (kind.outbound.length === 0) return of("orders", seen.connection);
    // The client's proxy says from which port it went on, and to which.
    const onwards = outbound.flatMap((row) =>
      of("orders", connectionOf(portOf(row.UpstreamLocal), portOf(row["UpstreamAddress"]))),
    );
    return kind.inbound.length === 0 ? outbound : [...outbound, ...onwards];
  }

  /** What follows from the call itself. */
  #defaults({ kind, method, path, seen }: Call, isLast: boolean): Columns {
    const sizes: Columns = {
      RequestBytes: seen.sent,
      ...(isLast ? { ResponseBytes: seen.received } : {}),
    };
    if (kind.path === "") return sizes;
    const [pathname, query = ""] = path.split("?");
    return {
      ...sizes,
      Method: method,
      Path: pathname!,
      Query: query.replace(/token=[^&]*/, "token=[redacted]"),
    };
  }

  #columns(call: Call, row: Row, expected: Columns): void {
    for (const [column, value] of Object.entries(expected)) {
      this.#compared++;
      if (String(row[column]) !== String(value))
        this.#differ(call, `${row["ServiceName"]}: ${column} is ${row[column]}, not ${value}`);
    }
  }

  /** What holds for every record of a call, also those in between: times, and exactly one span. */
  #common(call: Call, row: Row): void {
    const { seen } = call;
    if (!this.#left.delete(row)) this.#differ(call, `record ${row.LeafIndex} belongs to two calls`);
    const start = Number(row["StartMs"]);
    const end = start + Number(row["DurationNs"]) / 1e6;
    this.#compared += 2;
    if (!beganDuring(seen, start))
      this.#differ(call, `starts at ${start}, not within ${seen.from} and ${seen.to}`);
    if (Number(row["DurationNs"]) < 0 || end > seen.to + END_SLACK_MS)
      this.#differ(call, `ends at ${end}, the client saw the end at ${seen.to}`);
    // A proxy takes both times from one clock reading. What is not HTTP, or not yet, has no span.
    const expected = row["TraceId"] === "" ? 0 : 1;
    this.#linked += expected;
    if (row.Links !== expected)
      this.#differ(call, `record ${row.LeafIndex} has ${row.Links} links`);
    else if (expected === 1 && (row.LinkedRequestId !== row["RequestId"] || row.LinkedNs !== 0))
      this.#differ(
        call,
        `its span is of ${row.LinkedRequestId}, ${row.LinkedNs} ns apart, not of ${row["RequestId"]}`,
      );
  }

  #differ({ kind, id }: Call, what: string): void {
    this.#differences.push(`${kind.name} (${id}): ${what}`);
  }
}

function beganDuring({ from, to }: Call["seen"], startMs: number): boolean {
  return startMs >= from - START_SLACK_MS && startMs <= to + START_SLACK_MS;
}

function portOf(address: unknown): string {
  return String(address).split(":")[1] ?? "";
}

/** Envoy writes into one digit of a UUID why the request is traced. Source: Envoy, extensions/request_id/uuid/v3/uuid.proto. */
function withoutReason(id: string): string {
  return `${id.slice(0, 14)}*${id.slice(15)}`;
}
