import { setTimeout } from "node:timers/promises";
import { parseVerifierKey } from "../../src/tlog/note.ts";
import { seeded } from "../journal/fixture.ts";
import { runVerify } from "../support/server-fixture.ts";
import { ServerProcess } from "../support/server-process.ts";
import { ServedCheckpoints } from "./served-checkpoints.ts";
import { Stream } from "./streams.ts";
import { addTallies, type Tally } from "./tally.ts";

export interface TortureOptions {
  /** For the server's data; the caller removes it. */
  readonly directory: string;
  readonly seed: number;
  /** It ends after so many minutes, or … */
  readonly minutes?: number;
  /** … after so many kills, or when this is aborted. */
  readonly kills?: number;
  readonly signal?: AbortSignal;
  readonly note: (line: string) => void;
}

export interface TortureResult extends Tally {
  readonly kills: Readonly<Record<Victim, number>>;
  /** Tries of the senders that were not answered 200: each was made again. */
  readonly retries: number;
  /** Different checkpoints that were ever served. */
  readonly checkpoints: number;
  /** Those among them that disagree, each in a sentence. */
  readonly disagreements: readonly string[];
  /** Verdicts of `meshproof verify`, beside the server and without it. */
  readonly verified: number;
  /** What it found, each in a sentence. */
  readonly faults: readonly string[];
}

/** Who is killed: meshproof; its ClickHouse; both at once; meshproof, and once more while it starts. */
export const VICTIMS = ["server", "engine", "both", "start"] as const;
export type Victim = (typeof VICTIMS)[number];
/** How often one of ten is meant. */
const SHARES: Readonly<Record<Victim, number>> = { server: 5, engine: 2, both: 1, start: 2 };

/** Many small segments, so that they are released and written over; a checkpoint each 200 ms, so that kills come at every step of one. */
const CONFIG = `processors: { seal: { checkpoint_interval: 200ms, checkpoint_records: 2000 } }
exporters: { clickhouse: { batch: { timeout: 200ms } } }
storage: { max_size: 128MiB }
service: { telemetry: { logs: { level: error } } }
`;
const SENDERS_PER_KIND = 2;
const MAX_PAUSE_MS = 60;
/** Between two kills. */
const MIN_LIFE_MS = 300;
const MAX_LIFE_MS = 5_000;
const MAX_START_MS = 1_500;
/** So many kills between two checks. */
const CHECK_EACH = 8;
/** What is acknowledged has to be in the store when nothing has come for so long. */
const PATIENCE_MS = 60_000;

/**
 * Kills a server under load again and again, and checks that nothing acknowledged is lost or doubled, that the log verifies, and that all
 * checkpoints that it ever served agree. A kill is SIGKILL: what the process had written stays, as far as it got.
 */
export async function torture(options: TortureOptions): Promise<TortureResult> {
  const { directory } = options;
  const server = await ServerProcess.start(directory, CONFIG);
  const run = new Torture(options, server);
  try {
    return await run.run();
  } finally {
    await run.end();
  }
}

class Torture {
  readonly #options: TortureOptions;
  readonly #random: () => number;
  readonly #startedAt = performance.now();
  readonly #streams: readonly Stream[];
  readonly #checkpoints: ServedCheckpoints;
  readonly #kills: Record<Victim, number> = { server: 0, engine: 0, both: 0, start: 0 };
  readonly #faults: string[] = [];
  #verified = 0;
  #server: ServerProcess;

  constructor(options: TortureOptions, server: ServerProcess) {
    this.#options = options;
    this.#random = seeded(options.seed);
    this.#server = server;
    // Not of `#random`: how often they pause depends on the clock, which would make another sequence of kills of it.
    const pause = seeded(options.seed + 1);
    this.#streams = Stream.startAll(
      (signal) => this.#server.otlp(signal),
      SENDERS_PER_KIND,
      () => pause() * MAX_PAUSE_MS,
    );
    this.#checkpoints = new ServedCheckpoints(() => this.#server);
  }

  async run(): Promise<TortureResult> {
    const verifierKey = await verifierKeyOf(this.#server);
    let kills = 0;
    while (!this.#isOver(kills)) {
      await this.#live();
      if (this.#options.signal?.aborted === true) break;
      await this.#kill(this.#victim());
      if (++kills % CHECK_EACH === 0) await this.#check("beside the server");
    }
    this.#note("no more kills; senders finish what they have begun");
    await Promise.all(this.#streams.map((stream) => stream.stop()));
    const tally = await this.#settled();
    await this.#checkpoints.stop();
    const code = await this.#server.stop();
    if (code !== 0) this.#faults.push(`the server stopped with exit code ${code}`);
    await this.#verify("without the server");
    return {
      ...tally,
      kills: this.#kills,
      retries: this.#streams.reduce((sum, { failures }) => sum + failures, 0),
      checkpoints: this.#checkpoints.count,
      disagreements: await this.#checkpoints.disagreements(
        this.#server.dataDirectory,
        parseVerifierKey(verifierKey),
      ),
      verified: this.#verified,
      faults: this.#faults,
    };
  }

  /** Leaves nothing running. */
  async end(): Promise<void> {
    await this.#server.kill();
    await Promise.all(this.#streams.map((stream) => stream.abandon()));
    await this.#checkpoints.stop();
  }

  #isOver(kills: number): boolean {
    const { minutes = Infinity, kills: most = Infinity, signal } = this.#options;
    const elapsed = (performance.now() - this.#startedAt) / 60_000;
    return elapsed >= minutes || kills >= most || signal?.aborted === true;
  }

  async #live(): Promise<void> {
    // Most lives are short: what was begun has not settled yet.
    const ms = MIN_LIFE_MS + this.#random() ** 2 * (MAX_LIFE_MS - MIN_LIFE_MS);
    await setTimeout(ms, undefined, { signal: this.#options.signal }).catch(() => {});
  }

  #victim(): Victim {
    const lots = VICTIMS.flatMap((victim) => Array<Victim>(SHARES[victim]).fill(victim));
    return lots[Math.floor(this.#random() * lots.length)]!;
  }

  async #kill(victim: Victim): Promise<void> {
    this.#kills[victim]++;
    const { acknowledged } = this;
    if (victim !== "server" && victim !== "start") killProcess(this.#server.enginePid);
    if (victim === "engine") {
      this.#note("killed ClickHouse", acknowledged);
      return;
    }
    await this.#server.kill();
    if (victim === "start") await this.#killWhileStarting();
    const since = performance.now();
    this.#server = await ServerProcess.start(this.#options.directory, CONFIG);
    const started = Math.round(performance.now() - since);
    const what = { server: "meshproof", both: "both", start: "meshproof, twice" }[victim];
    this.#note(`killed ${what}; up again in ${started} ms`, acknowledged);
  }

  async #killWhileStarting(): Promise<void> {
    const signal = AbortSignal.timeout(Math.round(50 + this.#random() * MAX_START_MS));
    try {
      const server = await ServerProcess.start(this.#options.directory, CONFIG, { signal });
      await server.kill();
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  get acknowledged(): number {
    return this.#streams.reduce((sum, stream) => sum + stream.acknowledged, 0);
  }

  async #check(where: string): Promise<void> {
    const tally = await this.#settled();
    this.#note(`${tally.found} of ${tally.acknowledged} found, ${tally.doubled} doubled`);
    await this.#verify(where);
  }

  /** Waits until everything that is acknowledged now is in the store, or nothing more comes. */
  async #settled(): Promise<Tally> {
    let best = -1;
    let progressAt = performance.now();
    for (;;) {
      const tally = await this.#tally().catch(() => null); // ClickHouse has just been killed
      if (tally !== null && (tally.lost === 0 || tally.doubled > 0)) return tally;
      if (tally !== null && tally.found > best) {
        best = tally.found;
        progressAt = performance.now();
      }
      if (performance.now() - progressAt > PATIENCE_MS) {
        if (tally === null) throw new Error("the store does not answer");
        return tally;
      }
      await setTimeout(200);
    }
  }

  async #tally(): Promise<Tally> {
    return addTallies(await Promise.all(this.#streams.map((one) => one.tally(this.#server))));
  }

  async #verify(where: string): Promise<void> {
    const since = performance.now();
    const { code, report } = await runVerify(this.#server);
    this.#verified++;
    const seconds = ((performance.now() - since) / 1000).toFixed(1);
    this.#note(`verify ${where}: ${report.integrity}, ${report.treeSize} records in ${seconds} s`);
    if (code === 0 && report.integrity === "ok") return;
    this.#faults.push(
      `verify ${where}: exit code ${code}, ${report.faultCount} faults: ${JSON.stringify(report.faults.slice(0, 5))}`,
    );
  }

  #note(text: string, acknowledged = this.acknowledged): void {
    const seconds = ((performance.now() - this.#startedAt) / 1000).toFixed(1).padStart(6);
    this.#options.note(`${seconds} s  ${String(acknowledged).padStart(9)} acknowledged  ${text}`);
  }
}

async function verifierKeyOf(server: ServerProcess): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${server.ports.api}/api/v1/log`);
  return ((await response.json()) as { verifierKey: string }).verifierKey;
}

function killProcess(pid: number): void {
  if (pid === 0) return;
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
