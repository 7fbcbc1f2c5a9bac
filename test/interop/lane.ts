import type { Children } from "./child.ts";
import type { ProgramName } from "./needs.ts";

/** One file of `lanes/` exports one as `lane`: programs that others wrote, run against a meshproof of its own. */
export interface Lane {
  /** As the file is named. */
  readonly name: string;
  /** What it shows, in half a line. */
  readonly title: string;
  /** Programs that must be installed; without one of them the lane is skipped. */
  readonly needs: readonly ProgramName[];
  /** The lane has failed, and what it started is ended, when it takes longer. */
  readonly timeLimitMs: number;
  /** Records claims by `context.check`. Rejects when it cannot go on, with `LaneSkipped` when what it needs is not to be had here. */
  readonly run: (context: LaneContext) => Promise<void>;
}

/** What a lane is handed. */
export interface LaneContext {
  /** Empty at the start, removed at the end. */
  readonly directory: string;
  /** Kept between runs, shared by all lanes: what was fetched from package registries, and what was built from it. */
  readonly cache: string;
  /** Programs to run; those still running when the lane ends are ended. */
  readonly children: Children;
  /** Aborted when the time limit has passed or the run was interrupted. */
  readonly signal: AbortSignal;
  /** Says what goes on now; no check. */
  readonly note: (text: string) => void;
  /** Runs `act`. The claim holds when it resolves (with what was seen), and fails with what it throws. Returns whether it holds. */
  readonly check: (claim: string, act: () => Promise<string | void>) => Promise<boolean>;
  /** Says that a claim was not checked, and why; no failure. */
  readonly skip: (claim: string, reason: string) => void;
}

/** What a lane needs cannot be had on this machine: no failure. */
export class LaneSkipped extends Error {}
