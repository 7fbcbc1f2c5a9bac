import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { ChildResult, RunningChild } from "../child.ts";
import type { LaneContext } from "../lane.ts";
import { type Image, mountRoot } from "./image.ts";
import type { Host } from "./network.ts";

const EXEC_TIME_LIMIT_MS = 120_000;
/** What of this machine a container does not see: it would not be in the image either. */
const HIDDEN = ["home", "media", "mnt", "opt", "root", "run", "srv", "tmp", "work"];

/** A file or directory of this machine, and where the container sees it. */
export interface Mount {
  readonly source: string;
  readonly target: string;
  readonly isWritable?: boolean;
}

export interface ContainerOptions {
  readonly name: string;
  readonly image: Image;
  readonly host: Host;
  /** As `user: "10001:10001"`; without it the image's. */
  readonly user?: string;
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly mounts?: readonly Mount[];
  /** Directories in memory that can be written. */
  readonly tmpfs?: readonly string[];
}

/**
 * A container as an engine would start it, without one: a root file system that cannot be written, the mounts and no others, a user of its own, no capability
 * and no way to gain one, and the image's program as process 1 of its own process namespace.
 */
export class Container {
  readonly #context: LaneContext;
  readonly #child: RunningChild;
  readonly #credentials: readonly string[];

  private constructor(context: LaneContext, child: RunningChild, credentials: readonly string[]) {
    this.#context = context;
    this.#child = child;
    this.#credentials = credentials;
  }

  static async start(context: LaneContext, options: ContainerOptions): Promise<Container> {
    const { name, image, host, mounts = [], tmpfs = [] } = options;
    const work = join(context.directory, `container-${name}`);
    mkdirSync(work, { recursive: true });
    const { entrypoint = image.config.entrypoint, command = image.config.command } = options;
    const credentials = credentialsOf(image, options);
    const script = join(work, "start.sh");
    writeFileSync(
      script,
      [
        "set -eu",
        ...mountRoot(work, image.layers, join(work, "upper")),
        ...HIDDEN.map(
          (directory) =>
            `mkdir -p "$root/${directory}" && mount -t tmpfs -o mode=0755 none "$root/${directory}"`,
        ),
        ...tmpfs.map(
          (target) =>
            `mkdir -p "$root${target}" && mount -t tmpfs -o mode=1777 none "$root${target}"`,
        ),
        ...mounts.flatMap(({ source, target, isWritable }) => [
          `if [ -d "${source}" ]; then mkdir -p "$root${target}"; else mkdir -p "$(dirname "$root${target}")" && touch "$root${target}"; fi`,
          `mount --bind "${source}" "$root${target}"`,
          ...(isWritable === true ? [] : [`mount -o remount,bind,ro "$root${target}"`]),
        ]),
        ...HIDDEN.filter((directory) => !tmpfs.includes(`/${directory}`)).map(
          (directory) => `mount -o remount,ro "$root/${directory}"`,
        ),
        'mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev"',
        'mount -o remount,ro "$root"',
        `exec chroot "$root" ${[...credentials, ...entrypoint, ...command].map(shellWord).join(" ")}`,
        "",
      ].join("\n"),
    );
    mkdirSync(join(work, "upper"), { recursive: true });
    const isolation = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"];
    const child = await context.children.start(
      "nsenter",
      [`--net=${host.path}`, ...isolation, "/bin/sh", script],
      { directory: "/" },
    );
    return new Container(context, child, credentials);
  }

  /** What it has printed. */
  get output(): string {
    return this.#child.output;
  }

  /** Its exit code, when it has ended. */
  get ended(): Promise<number | null> {
    return this.#child.ended;
  }

  /** The number that this machine has for its process 1. */
  get pid(): number {
    const { pid } = this.#child;
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim().split(" ")[0]);
  }

  /** As `docker exec`: in all of the container's namespaces, as its user. */
  exec(command: readonly string[], timeLimitMs = EXEC_TIME_LIMIT_MS): Promise<ChildResult> {
    const where = [
      "--target",
      String(this.pid),
      "--mount",
      "--pid",
      "--net",
      "--ipc",
      "--root",
      "--wd",
    ];
    return this.#context.children.run("nsenter", [...where, ...this.#credentials, ...command], {
      timeLimitMs,
    });
  }

  /** As `docker stop`, without the SIGKILL at the end of a grace: sends SIGTERM to process 1 alone. Returns the exit code. */
  stop(): Promise<number | null> {
    process.kill(this.pid, "SIGTERM");
    return this.#child.ended;
  }

  /** Ends it as an engine does when the grace is over. */
  kill(): Promise<number | null> {
    return this.#child.end("SIGKILL");
  }

  /** Asks until `isThere` holds. Rejects with what the container printed when it ends, or does not come that far. */
  async until(isThere: () => Promise<boolean>, timeLimitMs: number): Promise<void> {
    let hasEnded = false;
    void this.#child.ended.then(() => (hasEnded = true));
    const deadline = Date.now() + timeLimitMs;
    while (!(await isThere().catch(() => false))) {
      this.#context.signal.throwIfAborted();
      if (hasEnded || Date.now() > deadline)
        throw new Error(`${hasEnded ? "ended" : "not ready"}:\n${this.output.slice(-3000)}`);
      await setTimeout(200);
    }
  }
}

/** The command that becomes what the container's user may be, in the image's directory and environment. */
function credentialsOf(
  { config }: Image,
  { user = config.user, environment = {} }: ContainerOptions,
): string[] {
  const [uid, gid] = user.split(":");
  const variables = Object.entries({ HOME: "/", ...config.environment, ...environment });
  return [
    "setpriv",
    `--reuid=${uid}`,
    `--regid=${gid}`,
    "--clear-groups",
    "--bounding-set=-all",
    "--inh-caps=-all",
    "--no-new-privs",
    "env",
    "--ignore-environment",
    `--chdir=${config.directory}`,
    ...variables.map(([name, value]) => `${name}=${value}`),
  ];
}

function shellWord(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
