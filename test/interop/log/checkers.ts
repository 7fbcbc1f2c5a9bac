import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { GoModules } from "../go.ts";
import { type LaneContext, LaneSkipped } from "../lane.ts";

/** What a program says of a log. */
export type Verdict = Accepted | { readonly accepted: false; readonly reason: string };

/** What an accepted log is, and how much of it was looked at. */
export interface Accepted {
  readonly accepted: true;
  readonly size: number;
  readonly root: string;
  /** Earlier checkpoints that it is consistent with. */
  readonly consistency?: number;
  readonly inclusions?: number;
  readonly proofs?: number;
  /** Records by the number of their kind. */
  readonly kinds?: Readonly<Record<string, number>>;
}

/** What a program is asked to check. */
export interface Subject {
  /** URL of the log, without a slash at its end. */
  readonly log: string;
  readonly verifierKey: string;
  /** Directory of checkpoints that were served earlier; not every program takes it. */
  readonly checkpoints: string;
  /** Directory of proof files; likewise. */
  readonly proofs: string;
}

/** A program that somebody else wrote, or that stands on somebody else's verifier. */
export interface Checker {
  readonly name: string;
  readonly readsProofs: boolean;
  /** Remembers checkpoints, and so finds a log that went back. */
  readonly readsCheckpoints: boolean;
  /** Rejects when the program said neither yes nor no: it crashed, or took too long. */
  readonly check: (subject: Subject) => Promise<Verdict>;
}

const CHECK_TIME_LIMIT_MS = 300_000;
const FSCK = "github.com/transparency-dev/tessera/cmd/fsck";
/** Each of its workers ends at the first tile that differs, and when all have, fsck waits for them for ever (v1.0.4): more than one change makes differ. */
const FSCK_WORKERS = 16;

/** Builds the programs, tlogcheck first. Another one whose modules cannot be fetched here is left out, and said to be. */
export async function buildCheckers(context: LaneContext): Promise<Checker[]> {
  const go = await GoModules.open(context);
  const checkers = [await buildTlogcheck(context, go)];
  for (const [name, build] of [
    ["fsck", buildFsck],
    ["clientcheck", buildClientcheck],
  ] as const) {
    try {
      checkers.push(await build(context, go));
    } catch (error) {
      if (!(error instanceof LaneSkipped)) throw error;
      context.skip(`what ${name} says`, error.message);
    }
  }
  return checkers;
}

async function buildTlogcheck(context: LaneContext, go: GoModules): Promise<Checker> {
  const program = await go.build("tlogcheck");
  return {
    name: `tlogcheck (${await nameOf(go, program, "golang.org/x/mod")})`,
    readsProofs: true,
    readsCheckpoints: true,
    check: ({ log, verifierKey: key, checkpoints, proofs }) =>
      runOurs(context, program, "tlogcheck", { log, key, checkpoints, proofs }),
  };
}

async function buildClientcheck(context: LaneContext, go: GoModules): Promise<Checker> {
  const program = await go.build("clientcheck");
  return {
    name: `clientcheck (${await nameOf(go, program, "filippo.io/torchwood", "github.com/transparency-dev/formats")})`,
    readsProofs: true,
    readsCheckpoints: false,
    check: ({ log, verifierKey: key, proofs }) =>
      runOurs(context, program, "clientcheck", { log, key, proofs }),
  };
}

/** The two programs of this folder print JSON and end with 0, or one line after their name and end with 1. */
async function runOurs(
  { children }: LaneContext,
  program: string,
  name: string,
  flags: Readonly<Record<string, string>>,
): Promise<Verdict> {
  const args = Object.entries(flags).flatMap(([flag, value]) => [`-${flag}`, value]);
  const { code, stdout, stderr } = await children.run(program, args, {
    timeLimitMs: CHECK_TIME_LIMIT_MS,
  });
  if (code === 0) return { accepted: true, ...(JSON.parse(stdout) as Omit<Accepted, "accepted">) };
  const reason = code === 1 && stderr.startsWith(`${name}: `) ? stderr.trim() : null;
  if (reason === null) throw new Error(`${name} ended with ${code}: ${stderr}`);
  return { accepted: false, reason };
}

/** Tessera's fsck ends with 0 whatever it finds: its log says which. */
async function buildFsck(context: LaneContext, go: GoModules): Promise<Checker> {
  const program = await go.build("fsck", FSCK);
  return {
    name: `fsck (${await nameOf(go, program, "github.com/transparency-dev/tessera")})`,
    readsProofs: false,
    readsCheckpoints: false,
    check: async ({ log, verifierKey }) => {
      const keyFile = join(context.directory, "fsck.key");
      writeFileSync(keyFile, verifierKey);
      const { code, stderr } = await context.children.run(
        program,
        ["--ui=false", `--storage_url=${log}/`, `--public_key=${keyFile}`, `--N=${FSCK_WORKERS}`],
        { timeLimitMs: CHECK_TIME_LIMIT_MS },
      );
      const [, size, root] =
        /Successfully fsck'd log with size (\d+) and root (\S+)/.exec(stderr) ?? [];
      // Version 1.0.4 panics on a bundle with too few entries: not what one hopes for, but no yes.
      const [, reason] = /fsck failed: (.*)/s.exec(stderr) ?? /^(panic: .*)$/m.exec(stderr) ?? [];
      if (code === 0 && reason === undefined && size !== undefined && root !== undefined)
        return { accepted: true, size: Number(size), root };
      if (reason === undefined) throw new Error(`fsck ended with ${code}: ${stderr}`);
      return { accepted: false, reason };
    },
  };
}

/** Modules with the versions that went into a program. */
async function nameOf(
  go: GoModules,
  program: string,
  ...modules: readonly string[]
): Promise<string> {
  const versions = await go.versions(program);
  return modules.map((module) => `${module} ${versions.get(module) ?? "?"}`).join(", ");
}
