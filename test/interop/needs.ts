import type { Children } from "./child.ts";

interface Program {
  /** What makes it print its version. */
  readonly versionArguments: readonly string[];
  readonly version: RegExp;
  readonly atLeast: readonly [major: number, minor: number];
}

const VERSION_TIME_LIMIT_MS = 20_000;

/** Programs that lanes may need, and how each tells its version. */
export const PROGRAMS = {
  go: { versionArguments: ["env", "GOVERSION"], version: /go(\d+)\.(\d+)/, atLeast: [1, 25] },
  python3: { versionArguments: ["--version"], version: /Python (\d+)\.(\d+)/, atLeast: [3, 9] },
  openssl: { versionArguments: ["version"], version: /^OpenSSL (\d+)\.(\d+)/, atLeast: [3, 0] },
  prometheus: {
    versionArguments: ["--version"],
    version: /version (\d+)\.(\d+)/,
    atLeast: [2, 40],
  },
  "softhsm2-util": { versionArguments: ["--version"], version: /(\d+)\.(\d+)/, atLeast: [2, 6] },
} as const satisfies Readonly<Record<string, Program>>;

export type ProgramName = keyof typeof PROGRAMS;

/** Why a program cannot be used here; null when it can. */
export async function whyMissing(name: ProgramName, children: Children): Promise<string | null> {
  const { versionArguments, version, atLeast }: Program = PROGRAMS[name];
  const expected = `${name} ${atLeast.join(".")} or newer`;
  let printed: string;
  try {
    const result = await children.run(name, versionArguments, {
      timeLimitMs: VERSION_TIME_LIMIT_MS,
      // A toolchain that would be fetched is not installed.
      environment: { GOTOOLCHAIN: "local" },
    });
    printed = result.stdout.trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT")
      return `expected ${expected}: it is not installed`;
    return `expected ${expected}: ${(error as Error).message}`;
  }
  const [, major, minor] = version.exec(printed)?.map(Number) ?? [];
  if (major === undefined || minor === undefined)
    return `expected ${expected}, got ${JSON.stringify(printed)}`;
  const isNew = major > atLeast[0] || (major === atLeast[0] && minor >= atLeast[1]);
  return isNew ? null : `expected ${expected}, got ${printed}`;
}
