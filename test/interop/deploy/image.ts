import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, posix, resolve } from "node:path";
import {
  contextFiles,
  copied,
  imageConfig,
  type ImageConfig,
  parseDockerfile,
  type Stage,
  type Step,
} from "../../support/dockerfile.ts";
import type { LaneContext } from "../lane.ts";

const ROOT = resolve(import.meta.dirname, "../../..");
const STAGE_TIME_LIMIT_MS = 600_000;
/** Instructions that say how a container is started, and change no file. */
const SETTINGS = new Set([
  "ENV",
  "USER",
  "EXPOSE",
  "VOLUME",
  "HEALTHCHECK",
  "ENTRYPOINT",
  "CMD",
  "LABEL",
]);

const FLAGS: Readonly<Record<string, ReadonlySet<string>>> = {
  COPY: new Set(["from"]),
  RUN: new Set(["mount"]),
};

/** What a build has made: directories that lie one over the other, the topmost first, over this machine's own root; and how to start it. */
export interface Image {
  readonly layers: readonly string[];
  readonly config: ImageConfig;
}

/**
 * Builds a Dockerfile's targets without a container engine, as root on Linux: each stage is an overlay over this machine's own root directory, which stands
 * for the base image, with Node as the one in its /usr/local/bin; COPY and RUN happen in it as they are written, RUN by chroot.
 */
export class ImageBuilder {
  readonly #context: LaneContext;
  readonly #stages: readonly Stage[];
  readonly #directory: string;
  readonly #sources: string;
  readonly #built = new Map<string, Promise<readonly string[]>>();

  constructor(context: LaneContext, dockerfile: string) {
    this.#context = context;
    this.#stages = parseDockerfile(readFileSync(join(ROOT, dockerfile), "utf8"));
    this.#directory = join(context.directory, "build");
    this.#sources = join(this.#directory, "context");
    for (const file of contextFiles(ROOT, readFileSync(join(ROOT, ".dockerignore"), "utf8")))
      cpSync(join(ROOT, file), join(this.#sources, file), { recursive: true });
  }

  async build(target: string): Promise<Image> {
    return { layers: await this.#layers(target), config: imageConfig(this.#stages, target) };
  }

  #layers(name: string): Promise<readonly string[]> {
    const known = this.#built.get(name);
    if (known !== undefined) return known;
    const stage = this.#stages.find((one) => one.name === name);
    const built = stage === undefined ? this.#external(name) : this.#run(stage);
    this.#built.set(name, built);
    return built;
  }

  /** An image of somebody else's: this machine's root, and over it the Node and the npm that run this, where Node's image has them. */
  async #external(name: string): Promise<readonly string[]> {
    if (name === "scratch") return [];
    const local = join(this.#directory, "external/usr/local");
    mkdirSync(join(local, "bin"), { recursive: true });
    cpSync(process.execPath, join(local, "bin/node"));
    const npm = resolve(
      process.env["npm_execpath"] ?? "/usr/lib/node_modules/npm/bin/npm-cli.js",
      "../..",
    );
    cpSync(npm, join(local, "lib/node_modules/npm"), { recursive: true });
    symlinkSync("../lib/node_modules/npm/bin/npm-cli.js", join(local, "bin/npm"));
    symlinkSync("../lib/node_modules/npm/bin/npx-cli.js", join(local, "bin/npx"));
    return [join(this.#directory, "external")];
  }

  async #run({ name, base, steps }: Stage): Promise<readonly string[]> {
    let lower = await this.#layers(base);
    const upper = join(this.#directory, name);
    let directory = imageConfig(this.#stages, base).directory;
    const lines: string[] = [];
    for (const step of steps) {
      const unknown = Object.keys(step.flags).find((flag) => !FLAGS[step.instruction]?.has(flag));
      if (unknown !== undefined && !SETTINGS.has(step.instruction))
        throw new Error(`line ${step.line}: --${unknown} is not known here`);
      if (step.instruction === "WORKDIR") {
        directory = posix.resolve(directory, step.text);
        lines.push(`mkdir -p ${quote(`$root${directory}`)}`);
      } else if (step.instruction === "COPY" && step.text === "/ /") {
        // Into nothing: then this stage lies on that one.
        if (lower.length > 0 || lines.length > 0)
          throw new Error(`${name}: COPY / / into a stage that holds something`);
        lower = await this.#layers(step.flags["from"]!);
      } else if (step.instruction === "COPY") lines.push(...(await this.#copy(step, directory)));
      else if (step.instruction === "RUN") lines.push(...this.#command(step, directory));
      else if (!SETTINGS.has(step.instruction))
        throw new Error(`line ${step.line}: ${step.instruction} is not known here`);
    }
    mkdirSync(upper, { recursive: true });
    if (lines.length > 0) await this.#execute(name, lower, upper, lines);
    return [upper, ...lower];
  }

  async #copy(step: Step, directory: string): Promise<string[]> {
    const { sources, destination } = copied(step);
    const { from } = step.flags;
    const lines: string[] = [];
    let base = this.#sources;
    if (from !== undefined) {
      base = "$from";
      lines.push(
        `mount -t overlay overlay -o lowerdir=${(await this.#layers(from)).join(":")}:$base "$from"`,
      );
    }
    const target = `$root${posix.resolve(directory, destination)}`;
    const isInto = destination.endsWith("/") || sources.length > 1;
    for (const source of sources) {
      const path = `${base}/${source.replace(/^\//, "")}`;
      const place = isInto ? `${target}/${posix.basename(source)}` : target;
      lines.push(
        `mkdir -p ${quote(dirname(place))}`,
        // The content of a directory is copied, not the directory.
        `if [ -d ${quote(path)} ]; then mkdir -p ${quote(isInto ? target : place)}; cp -a ${quote(`${path}/.`)} ${quote(isInto ? target : place)}; else cp -a ${quote(path)} ${quote(place)}; fi`,
      );
    }
    if (from !== undefined) lines.push(`umount "$from"`);
    return lines;
  }

  #command({ flags, text, line }: Step, directory: string): string[] {
    const { mount } = flags;
    const lines: string[] = [];
    if (mount !== undefined) {
      const [, target] = /^type=cache,target=(\S+)$/.exec(mount) ?? [];
      if (target === undefined) throw new Error(`line ${line}: --mount=${mount} is not known here`);
      const kept = join(this.#context.cache, "deploy", target);
      mkdirSync(kept, { recursive: true });
      lines.push(`mkdir -p "$root"${target}`, `mount --bind ${quote(kept)} "$root"${target}`);
    }
    const script = `cd ${directory} && ${text}`;
    lines.push(
      `PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" /bin/sh -c '${script.replaceAll("'", `'\\''`)}'`,
    );
    return lines;
  }

  async #execute(
    name: string,
    lower: readonly string[],
    upper: string,
    lines: readonly string[],
  ): Promise<void> {
    const work = join(this.#directory, `${name}.work`);
    const script = join(this.#directory, `${name}.sh`);
    mkdirSync(work, { recursive: true });
    writeFileSync(
      script,
      [
        "set -eu",
        ...mountRoot(work, lower, upper),
        `from=${work}/from && mkdir "$from"`,
        'mount -t proc proc "$root/proc"',
        'mount --rbind /dev "$root/dev"',
        ...lines,
        "",
      ].join("\n"),
    );
    const { code, stdout, stderr } = await this.#context.children.run(
      "unshare",
      ["--mount", "--pid", "--fork", "--kill-child", "/bin/sh", script],
      { timeLimitMs: STAGE_TIME_LIMIT_MS, directory: "/" },
    );
    if (code !== 0) throw new Error(`stage ${name}:\n${(stdout + stderr).slice(-4000)}`);
  }
}

/**
 * Shell lines that mount layers as `$root`, below `work`; what is written goes to `upper`, and without one nothing can be. They run in a mount namespace of
 * their own. This machine's root is a file system by itself, `$base`, since the kernel takes no layer that lies within another.
 */
export function mountRoot(work: string, layers: readonly string[], upper?: string): string[] {
  const writable = upper === undefined ? "" : `,upperdir=${upper},workdir=${work}/index`;
  return [
    `base=${work}/base root=${work}/root`,
    `mkdir -p "$base" "$root" ${work}/none ${work}/none-index ${work}/index`,
    `mount -t overlay overlay -o lowerdir=/,upperdir=${work}/none,workdir=${work}/none-index "$base"`,
    `mount -t overlay overlay -o lowerdir=${[...layers, "$base"].join(":")}${writable} "$root"`,
  ];
}

/** In double quotes, for variables are meant; our own paths hold nothing that a shell would read otherwise. */
function quote(path: string): string {
  return `"${path}"`;
}

/** Where in an image's layers a path is; undefined when none has it. What lies in a layer hides what is below. */
export function findInImage({ layers }: Image, path: string): string | undefined {
  return layers.map((layer) => join(layer, path)).find((place) => existsSync(place));
}
