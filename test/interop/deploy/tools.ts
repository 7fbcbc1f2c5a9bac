import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ChildResult } from "../child.ts";
import { GoModules } from "../go.ts";
import type { LaneContext } from "../lane.ts";
import { pythonEnvironment } from "../python.ts";
import { ROOT } from "./stack.ts";

const TIME_LIMIT_MS = 60_000;

/** A mistake in a shipped file, and how it has to be told. */
type Mistake = readonly [file: string, from: string, to: string, told: RegExp];

/** The tools' own code (go/deploycheck), built. */
export class DeployCheck {
  readonly #context: LaneContext;
  readonly #program: string;

  private constructor(context: LaneContext, program: string) {
    this.#context = context;
    this.#program = program;
  }

  /** Rejects with LaneSkipped where it cannot be had. */
  static async build(context: LaneContext): Promise<DeployCheck> {
    const go = await GoModules.open(context);
    context.note(
      "building deploycheck of Compose's, BuildKit's and Kubernetes' code; the first time takes minutes",
    );
    return new DeployCheck(context, await go.build("deploycheck"));
  }

  run(...args: readonly string[]): Promise<ChildResult> {
    return this.#context.children.run(this.#program, args, { timeLimitMs: TIME_LIMIT_MS });
  }

  /** What it prints when nothing is wrong. */
  async accepted(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...args);
    assert.equal(code, 0, stderr);
    return stdout;
  }
}

/** Objects that a kustomization gives. */
export interface KubernetesObject {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: Readonly<Record<string, unknown>>;
}

export const MANIFESTS = "docker/kubernetes";

/** A kustomization as `kubectl kustomize` builds it, each object accepted as the API server accepts it. */
export async function objectsOf(
  tools: DeployCheck,
  directory: string,
): Promise<KubernetesObject[]> {
  const lines = await tools.accepted("kubernetes", directory);
  return lines
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as KubernetesObject);
}

/** Reads all that is shipped by the tools' own code, and mistakes in it. */
export async function checkFiles(context: LaneContext, tools: DeployCheck): Promise<void> {
  await context.check("Compose loads compose.yaml", async () => {
    const project = JSON.parse(
      await tools.accepted("compose", join(ROOT, "docker/compose.yaml")),
    ) as { services: object };
    return `${Object.keys(project.services).length} services`;
  });
  await context.check("BuildKit finds nothing to say of the Dockerfile", async () =>
    (await tools.accepted("dockerfile", join(ROOT, "docker/Dockerfile")))
      .trim()
      .split("\n")
      .join(", "),
  );
  await context.check(
    "kustomize builds each installation, with and without TLS, and the API server would take every object into a namespace that is `restricted`",
    async () => {
      const copy = join(context.directory, "kubernetes");
      cpSync(join(ROOT, MANIFESTS), copy, { recursive: true });
      const counts: string[] = [];
      for (const name of ["embedded", "clickhouse"]) {
        counts.push(`${name} ${(await objectsOf(tools, join(copy, name))).length} objects`);
        cpSync(join(copy, name), join(copy, `${name}-tls`), { recursive: true });
        const file = join(copy, `${name}-tls/kustomization.yaml`);
        writeFileSync(file, `${readFileSync(file, "utf8")}components: [../tls]\n`);
        counts.push(`with TLS ${(await objectsOf(tools, join(copy, `${name}-tls`))).length}`);
      }
      return counts.join(", ");
    },
  );
  await context.check(
    "so are the namespace, and the kustomization of docs/deployment.md on top of `embedded`",
    async () => {
      const copy = join(context.directory, "of-ones-own");
      cpSync(join(ROOT, MANIFESTS), join(copy, MANIFESTS), { recursive: true });
      const place = (name: string, text: string): string => {
        mkdirSync(join(copy, name), { recursive: true });
        writeFileSync(join(copy, name, "kustomization.yaml"), text);
        return join(copy, name);
      };
      const alone = await objectsOf(tools, place(MANIFESTS, "resources: [namespace.yaml]\n"));
      assert.deepEqual(
        alone.map(({ kind }) => kind),
        ["Namespace"],
      );
      const guide = readFileSync(join(ROOT, "docs/deployment.md"), "utf8");
      const [, text] = /```yaml\n(apiVersion: kustomize[^]*?)```/.exec(guide)!;
      const mine = place("mine", text!.replaceAll(/^# (?=patches:| )/gm, ""));
      const shipped = readFileSync(join(ROOT, MANIFESTS, "base/meshproof.yaml"), "utf8");
      const changed = shipped.replace("meshproof.local/kubernetes", "logs.example/mine");
      writeFileSync(join(mine, "meshproof.yaml"), changed);
      const objects = await objectsOf(tools, mine);
      assert.ok(objects.some(({ data }) => data?.["meshproof.yaml"] === changed));
      assert.match(JSON.stringify(objects), /"storageClassName":"fast"/);
      assert.ok(!objects.some(({ kind }) => kind === "Namespace"), "it is deleted with the rest");
    },
  );
  await context.check("each of these tells a mistake", async () => {
    const copy = join(context.directory, "mistaken");
    for (const [index, [file, from, to, told]] of MISTAKES.entries()) {
      const place = join(copy, String(index));
      cpSync(join(ROOT, "docker"), place, {
        recursive: true,
        filter: (path) => !path.endsWith("/secrets"),
      });
      const text = readFileSync(join(place, file), "utf8");
      assert.ok(text.includes(from), `${file}: ${from}`);
      writeFileSync(join(place, file), text.replace(from, to));
      const { code, stderr } = file.startsWith("kubernetes")
        ? await tools.run("kubernetes", join(place, "kubernetes/embedded"))
        : await tools.run(file === "Dockerfile" ? "dockerfile" : "compose", join(place, file));
      assert.equal(code, 1, `${file}: ${to}`);
      assert.match(stderr, told);
    }
    return `${MISTAKES.length} of ${MISTAKES.length}`;
  });
}

const SET = "kubernetes/base/stateful-set.yaml";
const MISTAKES: readonly Mistake[] = [
  ["compose.yaml", "cap_drop: [ALL]", "cap_dorp: [ALL]", /cap_dorp/],
  ["compose.yaml", "mesh-jwks, target", "mesh-keys, target", /mesh-keys/],
  ["compose.yaml", "pids: 2000", "pids: many", /pids/],
  ["Dockerfile", "FROM base AS embedded", "FROM base as embedded", /FromAsCasing/],
  ["Dockerfile", "FROM base AS embedded", "FROM base AS remote", /DuplicateStageName/],
  [
    "Dockerfile",
    'ENTRYPOINT ["node", "/app/bin/meshproof.js"]',
    "ENTRYPOINT node /app/bin/meshproof.js",
    /JSONArgsRecommended/,
  ],
  [SET, "drop: [ALL]", "drop: []", /unrestricted capabilities/],
  [SET, "runAsNonRoot: true", "runAsNonRoot: false", /runAsNonRoot/],
  [SET, "periodSeconds: 5", "periodSecond: 5", /unknown field .*periodSecond"/],
  [SET, "{ name: tmp, mountPath", "{ name: temporary, mountPath", /Not found: "temporary"/],
  [SET, "port: metrics", "port: metrics_", /startupProbe.httpGet.port/],
  [
    "kubernetes/base/disruption-budget.yaml",
    "maxUnavailable: 1",
    "maxUnavailable: 1\n  minAvailable: 1",
    /cannot be both set/,
  ],
  ["kubernetes/base/network-policies.yaml", "port: api }", "port: 99999 }", /99999/],
  [
    "kubernetes/base/kustomization.yaml",
    "files: [meshproof.yaml]",
    "files: [meshprof.yaml]",
    /meshprof\.yaml/,
  ],
];

/** hadolint, from PyPI. */
export async function checkByHadolint(context: LaneContext): Promise<void> {
  const program = join(await pythonEnvironment(context, "deploy"), "bin/hadolint");
  const lint = (file: string): Promise<ChildResult> =>
    context.children.run(program, ["--no-color", file], { timeLimitMs: TIME_LIMIT_MS });
  await context.check(
    "hadolint finds nothing to say of the Dockerfile, and something of one with a mistake",
    async () => {
      const file = join(ROOT, "docker/Dockerfile");
      const { code, stdout } = await lint(file);
      assert.equal(code, 0, stdout);
      const mistaken = join(context.directory, "Dockerfile.mistaken");
      writeFileSync(mistaken, readFileSync(file, "utf8").replace("USER 10001:10001", "USER root"));
      assert.match((await lint(mistaken)).stdout, /DL3002/);
    },
  );
}
