import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import t from "tap";
import { loadConfig } from "../src/config/load.ts";
import {
  contextFiles,
  copied,
  imageConfig,
  parseDockerfile,
  type Step,
} from "./support/dockerfile.ts";

/** docker/Dockerfile without an engine. `npm run interop -- deploy` builds by it and runs what comes of it. */
const ROOT = resolve(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const PACKAGE = JSON.parse(read("package.json")) as {
  version: string;
  devDependencies: Record<string, string>;
};
const stages = parseDockerfile(read("docker/Dockerfile"));
const steps = stages.flatMap((stage) => stage.steps.map((step) => ({ stage, step })));
const of = (instruction: string): Step[] =>
  steps.map(({ step }) => step).filter((step) => step.instruction === instruction);
const TARGETS = ["embedded", "remote"] as const;
/** What each image is told by whoever starts it. */
const ENVIRONMENT = { embedded: {}, remote: { MESHPROOF_CLICKHOUSE: "http://clickhouse:8123" } };

t.test(
  "everything that is not ours is pinned by version and digest, and Node is the one of the tests",
  async (t) => {
    const external = stages.filter(
      ({ base }) => base !== "scratch" && !stages.some(({ name }) => name === base),
    );
    t.equal(external.length, 1, "one base image");
    const [, version] = /^node:(\d+\.\d+\.\d+)-bookworm-slim@sha256:[0-9a-f]{64}$/.exec(
      external[0]!.base,
    )!;
    t.equal(version, PACKAGE.devDependencies["node"]);
    t.notMatch(read("docker/Dockerfile"), /^#\s*syntax=/im, "no front end from a registry");
    for (const { flags, text } of of("COPY"))
      if (flags["from"] !== undefined)
        t.ok(
          stages.some(({ name }) => name === flags["from"]),
          text,
        );
    t.equal(of("ADD").length, 0);
  },
);

t.test("the default image can be built on arm64 too", async (t) => {
  const { packages } = JSON.parse(read("package-lock.json")) as {
    packages: Record<string, { os?: string[]; cpu?: string[]; dev?: boolean; optional?: boolean }>;
  };
  const of = Object.entries(packages);
  t.ok(
    of.some(([name]) => name.endsWith("/typescript-linux-arm64")),
    "the compiler",
  );
  for (const [name, { cpu, dev, optional }] of of)
    if (cpu !== undefined) t.ok(dev === true || optional === true, `${name} is not needed to run`);
});

t.test("the build sees what it copies, and nothing else", async (t) => {
  const files = contextFiles(ROOT, read(".dockerignore"));
  const sources = of("COPY")
    .filter(({ flags }) => flags["from"] === undefined)
    .flatMap((step) => copied(step).sources);
  const isBelow = (file: string, source: string): boolean =>
    file === source || file.startsWith(`${source}/`);
  for (const source of sources)
    t.ok(
      files.some((file) => isBelow(file, source)),
      source,
    );
  for (const file of files)
    t.ok(
      sources.some((source) => isBelow(file, source)),
      file,
    );
});

t.test("whoever runs the image can read what came from a clone of strict modes", async (t) => {
  const { steps } = stages.find(({ name }) => name === "base")!;
  const opened = steps.flatMap(({ instruction, text }) =>
    instruction === "RUN"
      ? (/chmod -R a\+rX ([^&]*)/.exec(text)?.[1]!.trim().split(" ") ?? [])
      : [],
  );
  const copies = steps.filter(
    ({ instruction, flags }) => instruction === "COPY" && flags["from"] === undefined,
  );
  t.ok(copies.length >= 4);
  for (const step of copies) {
    const { sources, destination } = copied(step);
    const places = destination === "./" ? sources : [destination.split("/")[1]!];
    for (const place of places) t.ok(opened.includes(place), place);
  }
});

t.test("patterns of .dockerignore", async (t) => {
  const all = contextFiles(ROOT, "**/node_modules\n.git\n.tap\ndist");
  t.ok(all.includes(".gitignore") && all.includes("docker/Dockerfile"));
  t.ok(contextFiles(ROOT, "*\n!docker/*.yaml").every((file) => /^docker\/[^/]+\.yaml$/.test(file)));
  t.notOk(
    contextFiles(ROOT, "*\n!src\nsrc/**/server.ts").some((file) => file.endsWith("/server.ts")),
  );
  t.notOk(contextFiles(ROOT, "*\n!src\nsrc/**/server.ts").includes("docker/Dockerfile"));
});

t.test(
  "each image runs as a user by number, with a health check, and holds no secret",
  async (t) => {
    for (const target of TARGETS) {
      const { user, healthCheck, environment, labels, entrypoint, command, directory, volumes } =
        imageConfig(stages, target);
      t.match(
        user,
        /^[1-9]\d{3,}:[1-9]\d{3,}$/,
        `${target}: a user and group that are no root, as Kubernetes can check`,
      );
      t.equal(healthCheck[0], "node");
      t.match(healthCheck.at(-1), /127\.0\.0\.1:13133\//);
      t.equal(labels["org.opencontainers.image.version"], PACKAGE.version);
      t.same(volumes, ["/data"]);
      for (const name of Object.keys(environment))
        t.notMatch(name, /PASSWORD|TOKEN|SECRET|KEY/, name);
      t.equal(entrypoint[0], "node", "no shell stands between the engine's signals and Node");
      const copies = stages
        .find(({ name }) => name === "base")!
        .steps.filter(({ instruction }) => instruction === "COPY");
      const destinations = copies.map((step) => resolve(directory, copied(step).destination));
      for (const path of [entrypoint[1]!, command.at(-1)!])
        t.ok(
          destinations.some((place) => path === place || path.startsWith(`${place}/`)),
          `${path} is in the image`,
        );
    }
    t.equal(stages.at(-1)!.name, "remote", "the default is the one without the engine");
  },
);

t.test("a RUN fetches nothing but packages by the lock file", async (t) => {
  for (const { text } of of("RUN"))
    t.notMatch(text, /\b(?:curl|wget|apt-get|npm (?:install|i|exec))\b|https?:/, text);
  for (const { text } of of("RUN"))
    if (text.startsWith("npm ")) t.match(text, /--ignore-scripts|^npm run build$/, text);
});

t.test(
  "the image's configuration is valid, listens where the image says, and asks for tokens",
  async (t) => {
    for (const target of TARGETS) {
      const { environment, ports } = imageConfig(stages, target);
      const config = loadConfig(
        [join(ROOT, "config/meshproof.yaml"), join(ROOT, "docker/meshproof.yaml")],
        {
          ...environment,
          ...ENVIRONMENT[target],
        },
      );
      const { otlp } = config.receivers;
      const { api, health_check, tokens } = config.extensions;
      const listeners = [
        otlp.protocols.http.endpoint,
        api.endpoint,
        config.service.telemetry.metrics.address,
        health_check.endpoint,
      ];
      t.same(
        listeners.map(({ port }) => port),
        ports,
        target,
      );
      t.ok(listeners.every(({ host }) => host === "0.0.0.0"));
      t.equal(config.storage.directory, "/data");
      t.equal(tokens.file, "/run/secrets/meshproof-tokens");
      t.equal(
        config.exporters.clickhouse.endpoint,
        target === "embedded" ? "embedded" : "http://clickhouse:8123",
      );
    }
    t.throws(
      () => loadConfig([join(ROOT, "docker/meshproof.yaml")], {}),
      /MESHPROOF_CLICKHOUSE/,
      "an image that nobody told where to store does not start",
    );
  },
);
