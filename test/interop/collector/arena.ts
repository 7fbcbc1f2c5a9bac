import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { ServerProcess } from "../../support/server-process.ts";
import { Stream } from "../../torture/streams.ts";
import { addTallies, type Tally } from "../../torture/tally.ts";
import type { LaneContext } from "../lane.ts";
import { assertVerified } from "../server.ts";
import { ShippedCollector, type ShippedOptions } from "./shipped.ts";
import { Wiretap } from "./wiretap.ts";

const SENDERS_PER_KIND = 2;
const PAUSE_MS = 15;
const STORED_TIME_LIMIT_MS = 60_000;
const POLL_MS = 100;

export interface ArenaOptions extends Omit<ShippedOptions, "endpoint" | "directory"> {
  /** Directory of server and queue below the lane's. */
  readonly name: string;
  /** Of the server. */
  readonly configuration?: string;
}

/** Senders → Collector → wiretap → meshproof, each of which can be ended and started again. The senders know what was acknowledged to them. */
export class Arena {
  readonly wiretap: Wiretap;
  readonly collector: ShippedCollector;
  readonly streams: readonly Stream[];
  server: ServerProcess;
  readonly #context: LaneContext;
  readonly #options: ArenaOptions;

  private constructor(
    context: LaneContext,
    options: ArenaOptions,
    server: ServerProcess,
    wiretap: Wiretap,
    collector: ShippedCollector,
  ) {
    this.#context = context;
    this.#options = options;
    this.server = server;
    this.wiretap = wiretap;
    this.collector = collector;
    this.streams = Stream.startAll(
      (signal) => collector.otlp(signal),
      SENDERS_PER_KIND,
      () => PAUSE_MS,
    );
  }

  /** Runs `act` with everything started and under load; leaves nothing running. */
  static async run(
    context: LaneContext,
    program: string,
    options: ArenaOptions,
    act: (arena: Arena) => Promise<void>,
  ): Promise<void> {
    const directory = join(context.directory, options.name);
    let arena: Arena | undefined;
    const server = await ServerProcess.start(directory, options.configuration, context);
    // Asked for each request: meshproof has other ports after a restart.
    const listening = (): ServerProcess => arena?.server ?? server;
    const wiretap = await Wiretap.start(() => `http://127.0.0.1:${listening().ports.otlp}`);
    try {
      const collector = await ShippedCollector.start(context, program, {
        ...options,
        endpoint: wiretap.url,
        directory: join(directory, "queue"),
      });
      arena = new Arena(context, options, server, wiretap, collector);
      await act(arena);
    } finally {
      await Promise.all(arena?.streams.map((stream) => stream.abandon()) ?? []);
      await arena?.collector.kill();
      await listening().kill();
      await wiretap.stop();
    }
  }

  /** Tries of the senders that the Collector did not acknowledge: each was made again. */
  get refusals(): number {
    return this.streams.reduce((sum, { failures }) => sum + failures, 0);
  }

  async startServer(): Promise<void> {
    const { directory } = this.server;
    this.server = await ServerProcess.start(directory, this.#options.configuration, this.#context);
  }

  /** Resolves when the Collector has acknowledged `count` more requests of each kind of record. */
  async more(count: number): Promise<void> {
    const wanted = this.streams.map(({ acknowledged }) => acknowledged + count * Stream.RECORDS);
    await this.until(
      () => this.streams.every(({ acknowledged }, i) => acknowledged >= wanted[i]!),
      "more acknowledged requests",
    );
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + STORED_TIME_LIMIT_MS;
    while (!condition()) {
      this.#context.signal.throwIfAborted();
      if (Date.now() > deadline) throw new Error(`expected ${what}: waited in vain`);
      await setTimeout(5);
    }
  }

  /** Sends nothing new, waits until all that was begun is acknowledged and has left the Collector, and counts what is stored of it. */
  async tally({ patienceMs = STORED_TIME_LIMIT_MS } = {}): Promise<Tally> {
    await Promise.all(this.streams.map((stream) => stream.stop()));
    await this.collector.drained();
    const deadline = Date.now() + patienceMs;
    for (;;) {
      const tallies = await Promise.all(this.streams.map((one) => one.tally(this.server)));
      for (const { acknowledged } of tallies) assert.ok(acknowledged > 0, "nothing was sent");
      const tally = addTallies(tallies);
      if (tally.lost === 0 || Date.now() > deadline) return tally;
      await setTimeout(POLL_MS);
    }
  }

  /** Ends the server, and verifies what it has left. */
  checkVerified(): Promise<boolean> {
    return checkVerified(this.#context, this.server);
  }
}

/** Ends `server` and verifies what it has left; of these kinds of findings there have to be so many. */
export function checkVerified(
  { check }: LaneContext,
  server: ServerProcess,
  findings: Readonly<Record<string, number>> = {},
): Promise<boolean> {
  const names = Object.entries(findings).map(([kind, count]) => `${count} ${kind}`);
  const claim = ["meshproof verify finds no fault", ...names].join(", and the findings ");
  return check(claim, async () => {
    assert.equal(await server.stop(), 0, server.output.slice(-2000));
    const report = await assertVerified(server);
    assert.equal(report.checked.records, report.treeSize);
    for (const [kind, count] of Object.entries(findings))
      assert.equal(report.findings[kind], count, kind);
    return `${report.treeSize} records`;
  });
}
