import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import t from "tap";
import { compose, DOCKER, mounted, OURS, readShipped, services } from "./support/compose-file.ts";
import { imageConfig, parseDockerfile } from "./support/dockerfile.ts";

/** docker/compose.yaml without an engine: its rules and references. `npm run interop -- deploy` loads it by Compose's own code, and runs its services. */
const stages = parseDockerfile(readShipped("Dockerfile"));

t.test("every service is bounded, unprivileged and read-only", async (t) => {
  t.ok(services.length >= 8);
  for (const [name, service] of services) {
    t.equal(service.read_only, true, `${name}: read_only`);
    t.same(service.cap_drop, ["ALL"], `${name}: cap_drop`);
    t.equal(service.cap_add ?? service.privileged, undefined, `${name} gets nothing back`);
    t.same(service.security_opt, ["no-new-privileges:true"], `${name}: security_opt`);
    const { cpus, memory, pids } = service.deploy.resources.limits;
    t.ok(/^\d+[mg]$/.test(memory) && pids > 0, `${name}: limits`);
    t.ok(Number(cpus) > 0 && Number(cpus) <= 2, `${name}: a machine with two CPUs takes it`);
    const user = service.user ?? (service.image === OURS ? imageConfig(stages, "remote").user : "");
    t.match(user, /^[1-9]\d*:\d+$/, `${name} is no root`);
  }
});

t.test("images are pinned", async (t) => {
  const { version } = JSON.parse(readFileSync(join(DOCKER, "../package.json"), "utf8")) as {
    version: string;
  };
  t.equal(OURS, `meshproof:${version}`);
  for (const [name, { image, build, pull_policy }] of services) {
    t.match(
      image,
      /:(?:[a-z]+-)?v?\d+\.\d+(?:\.\d+)*(?:@sha256:[0-9a-f]{64})?$/,
      `${name}: ${image}`,
    );
    if (build === undefined) {
      t.equal(pull_policy, image === OURS ? "never" : undefined, `${name}: ours is in no registry`);
      continue;
    }
    t.ok(
      stages.some((stage) => stage.name === build.target),
      `${name}: target ${build.target}`,
    );
    t.ok(existsSync(resolve(DOCKER, build.context, build.dockerfile)));
  }
});

t.test(
  "what is listened on reaches this machine alone, and stores reach nobody outside",
  async (t) => {
    for (const [name, { ports = [] }] of services)
      for (const port of ports) t.match(port, /^127\.0\.0\.1:\d+:\d+$/, name);
    t.same(compose.services["clickhouse"]!.networks, ["store"]);
    t.equal(compose.networks["store"]!.internal, true);
  },
);

t.test("a service that starts again finds those with which it shares a network", async (t) => {
  const sharing = services.filter(([, { network_mode }]) => network_mode !== undefined);
  t.ok(sharing.length >= 4);
  // A network namespace goes with the container that it belongs to: it must have nothing to do that could end it.
  for (const [name, { network_mode, depends_on }] of sharing) {
    t.equal(network_mode, "service:mesh", name);
    t.match(depends_on?.["mesh"], { condition: "service_started", restart: true }, name);
  }
  const { image, configs, secrets, depends_on } = compose.services["mesh"]!;
  t.same([image, configs, secrets, depends_on], [OURS, undefined, undefined, undefined]);
});

t.test("every reference leads somewhere", async (t) => {
  const used = {
    networks: new Set<string>(),
    volumes: new Set<string>(),
    configs: new Set<string>(),
    secrets: new Set<string>(),
  };
  for (const [name, service] of services) {
    for (const one of service.networks ?? []) used.networks.add(one);
    for (const { source } of service.configs ?? []) used.configs.add(source);
    for (const one of service.secrets ?? [])
      used.secrets.add(typeof one === "string" ? one : one.source);
    for (const volume of service.volumes ?? []) {
      if (typeof volume === "string") used.volumes.add(volume.split(":")[0]!);
      else {
        t.ok(existsSync(join(DOCKER, volume.source)), `${name}: ${volume.source}`);
        t.equal(volume.read_only, true, `${name}: ${volume.source} is not written`);
      }
    }
    for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
      const service = compose.services[other];
      t.ok(service !== undefined, `${name} depends on ${other}`);
      if (condition === "service_healthy")
        t.ok(
          service!.healthcheck?.test !== undefined || service!.image === OURS,
          `${other} has a health check`,
        );
    }
    const [, host] = /^service:(.*)$/.exec(service.network_mode ?? "") ?? [];
    if (host !== undefined)
      t.ok(compose.services[host] !== undefined, `${name}: network of ${host}`);
    for (const [variable, value] of Object.entries(service.environment ?? {}))
      if (value.startsWith("/run/secrets/"))
        t.ok(mounted(service).has(value), `${name}: ${variable}`);
  }
  for (const kind of ["networks", "volumes", "configs", "secrets"] as const)
    t.same([...used[kind]].sort(), Object.keys(compose[kind]).sort(), kind);
  for (const { file } of Object.values(compose.configs)) t.ok(existsSync(join(DOCKER, file)), file);
});

t.test("no password and no token stands in a file of docker/", async (t) => {
  for (const [name, { environment = {} }] of services)
    for (const [variable, value] of Object.entries(environment))
      if (/PASSWORD|TOKEN|SECRET|KEY/.test(variable))
        t.match(value, /^\/run\/secrets\//, `${name}: ${variable}`);
});
