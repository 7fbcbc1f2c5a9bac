import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { Collector } from "../collector.ts";
import { envoyProgram } from "../envoy/program.ts";
import type { LaneContext } from "../lane.ts";
import { Container, type ContainerOptions, type Mount } from "./container.ts";
import type { Image } from "./image.ts";
import type { Images } from "./images.ts";
import { type Host, Network } from "./network.ts";
import { asEngine, makeVolume, Meshproof, ROOT } from "./stack.ts";
import type { DeployCheck } from "./tools.ts";

/** As Compose's own loader writes a project. */
interface Project {
  readonly services: Readonly<Record<string, Service>>;
  readonly configs: Readonly<Record<string, { readonly file: string }>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}
interface FileMount {
  readonly source: string;
  readonly target?: string;
}
interface Service {
  readonly image: string;
  readonly user?: string;
  readonly entrypoint?: readonly string[] | null;
  readonly command?: readonly string[] | null;
  readonly environment?: Readonly<Record<string, string>>;
  readonly configs?: readonly FileMount[];
  readonly secrets?: readonly FileMount[];
  readonly volumes?: readonly {
    readonly type: string;
    readonly source: string;
    readonly target: string;
  }[];
  readonly tmpfs?: readonly string[];
  readonly network_mode?: string;
}

const READY_TIME_LIMIT_MS = 90_000;
const TRAFFIC_TIME_LIMIT_MS = 90_000;
/** What a few seconds of the shop's traffic come to, each more than nothing. */
const TRAFFIC = `SELECT toUInt32(count()) AS records, toUInt32(uniqExact(ProxyId)) AS proxies,
  toUInt32(countIf(EndUser != '')) AS \`of end users\`,
  toUInt32(countIf(DecisionEngine = 'rbac' AND Decision = 'denied')) AS \`denied by RBAC\`,
  toUInt32(countIf(DecisionEngine = 'ext_authz' AND Decision = 'denied')) AS \`denied by ext_authz\`,
  toUInt32(countIf(ShadowPolicy != '')) AS \`with a shadow policy\`,
  (SELECT toUInt32(count()) FROM trace_links) AS links FROM access_records`;
/** In the order of their dependencies. Of Grafana and Prometheus there is no program here. */
const STARTED = [
  "clickhouse",
  "meshproof",
  "mesh",
  "collector",
  "envoy-server",
  "envoy-client",
  "shop",
] as const;

/** Runs the services of compose.yaml as they stand there, each as a container without an engine, and watches what their traffic becomes. */
export async function checkCompose(
  context: LaneContext,
  tools: DeployCheck,
  images: Images,
  secrets: string,
): Promise<void> {
  const project = JSON.parse(
    await tools.accepted("compose", join(ROOT, "docker/compose.yaml")),
  ) as Project;
  const programs = {
    collector: await Collector.build(context),
    envoy: await envoyProgram(context),
  };
  const network = await Network.make(context);
  const hosts = new Map<string, Host>();
  const running = new Map<string, Container>();

  for (const name of STARTED) {
    const service = project.services[name]!;
    const [, other] = /^service:(.*)$/.exec(service.network_mode ?? "") ?? [];
    const host = other === undefined ? await network.join(name) : hosts.get(other)!;
    hosts.set(name, host);
    const options = optionsOf(context, {
      name,
      service,
      project,
      host,
      secrets,
      network,
      images,
      programs,
    });
    running.set(
      name,
      await Container.start(
        context,
        name === "clickhouse" ? asEngine(images.embedded, options) : options,
      ),
    );
    if (name === "clickhouse")
      await running
        .get(name)!
        .until(
          async () => (await host.fetch("http://127.0.0.1:8123/ping")).status === 200,
          READY_TIME_LIMIT_MS,
        );
    if (name === "meshproof")
      await running
        .get(name)!
        .until(
          async () => (await host.fetch("http://127.0.0.1:13133/")).status === 200,
          READY_TIME_LIMIT_MS,
        );
  }
  const server = new Meshproof(
    running.get("meshproof")!,
    { name: "meshproof", image: images.remote, host: hosts.get("meshproof")! },
    secrets,
  );
  const query = async (sql: string): Promise<Record<string, number>> => {
    // From elsewhere, by name and as the reader, as Grafana does.
    const url = `http://${network.address("clickhouse")}:8123/?database=otel`;
    const password = readFileSync(join(secrets, "clickhouse-reader"), "utf8");
    const headers = { "x-clickhouse-user": "reader", "x-clickhouse-key": password };
    const { status, body } = await hosts
      .get("collector")!
      .fetch(url, { method: "POST", headers, body: `${sql} FORMAT JSONEachRow` });
    assert.equal(status, 200, body);
    return JSON.parse(body) as Record<string, number>;
  };
  await context.check(
    "the services of compose.yaml come up as they stand there, and the mesh's traffic arrives: both proxies, denials of both engines, end users, links",
    async () => {
      const deadline = Date.now() + TRAFFIC_TIME_LIMIT_MS;
      for (;;) {
        const seen = await query(TRAFFIC);
        if (Object.values(seen).every((count) => count > 0) && seen["proxies"] === 2)
          return Object.entries(seen)
            .map(([what, count]) => `${count} ${what}`)
            .join(", ");
        if (Date.now() > deadline)
          throw new Error(
            [
              JSON.stringify(seen),
              ...[...running].map(([name, { output }]) => `${name}: ${output.slice(-800)}`),
            ].join("\n"),
          );
        await setTimeout(1000, undefined, { signal: context.signal });
      }
    },
  );
  await context.check(
    "what Prometheus and Grafana ask is there, by the names and ports that they have",
    async () => {
      const from = hosts.get("clickhouse")!;
      const targets = [
        ...readFileSync(join(ROOT, "docker/prometheus.yaml"), "utf8").matchAll(/"(\w+):(\d+)"/g),
      ];
      assert.equal(targets.length, 2);
      for (const [, name, port] of targets) {
        const { status, body } = await from.fetch(
          `http://${network.address(name!)}:${port}/metrics`,
        );
        assert.equal(status, 200, name);
        assert.match(body, /^otelcol_/m, name);
      }
      // The reader may read, and nothing else.
      await assert.rejects(
        query("SELECT 1 AS x FROM system.users"),
        /ACCESS_DENIED|Not enough privileges/,
      );
      await assert.rejects(
        query("INSERT INTO access_records SELECT * FROM access_records"),
        /readonly|READONLY|privileges/,
      );
    },
  );
  await context.check(
    "each service ends by SIGTERM with exit code 0, and what they sent last is sealed and verified",
    async () => {
      const calls = await running.get("shop")!.stop();
      assert.equal(calls, 0, running.get("shop")!.output.slice(-500));
      for (const name of ["envoy-client", "envoy-server", "collector", "mesh"])
        assert.equal(
          await running.get(name)!.stop(),
          0,
          `${name}: ${running.get(name)!.output.slice(-800)}`,
        );
      await setTimeout(2000);
      const size = await server.verify();
      assert.equal(await running.get("meshproof")!.stop(), 0);
      assert.equal(await running.get("clickhouse")!.stop(), 0);
      return `${size} records`;
    },
  );
}

interface Place {
  readonly name: string;
  readonly service: Service;
  readonly project: Project;
  readonly host: Host;
  readonly secrets: string;
  readonly network: Network;
  readonly images: Images;
  readonly programs: Readonly<Record<"collector" | "envoy", string>>;
}

/** What an engine would make of a service: its image, its files where it wants them, its volumes with the owner that they get. */
function optionsOf(
  context: LaneContext,
  { name, service, project, host, secrets, network, images, programs }: Place,
): ContainerOptions {
  const foreign = (program: string): Image => {
    const empty = join(context.directory, "empty-layer");
    mkdirSync(empty, { recursive: true });
    const config = {
      entrypoint: [program],
      command: [],
      user: "",
      directory: "/",
      environment: { PATH: "/usr/local/bin:/usr/bin:/bin" },
      ports: [],
      volumes: [],
      healthCheck: [],
      labels: {},
    };
    return { layers: [empty], config };
  };
  const kind = /envoyproxy/.test(service.image)
    ? "envoy"
    : /collector/.test(service.image)
      ? "collector"
      : null;
  const image = kind === null ? images.remote : foreign(`/usr/local/bin/${kind}`);
  const uid = Number((service.user ?? image.config.user).split(":")[0]);
  const files = [
    ...(service.configs ?? []).map(({ source, target }): Mount => ({
      source: project.configs[source]!.file,
      target: target!,
    })),
    ...(service.secrets ?? []).map(({ source, target }): Mount => ({
      source: join(secrets, basename(project.secrets[source]!.file)),
      target:
        target === undefined
          ? `/run/secrets/${source}`
          : target.startsWith("/")
            ? target
            : `/run/secrets/${target}`,
    })),
  ];
  return {
    name: `compose-${name}`,
    image,
    host,
    ...(service.user === undefined ? {} : { user: service.user }),
    ...(service.entrypoint == null ? {} : { entrypoint: service.entrypoint }),
    ...(service.command == null ? {} : { command: service.command }),
    environment: service.environment ?? {},
    tmpfs: service.tmpfs ?? [],
    mounts: [
      ...(kind === null ? [] : [{ source: programs[kind], target: `/usr/local/bin/${kind}` }]),
      { source: network.hostsFile, target: "/etc/hosts" },
      ...files,
      ...(service.volumes ?? []).map(({ type, source, target }): Mount =>
        type === "volume"
          ? { source: makeVolume(context, `compose-${source}`, uid), target, isWritable: true }
          : { source, target },
      ),
    ],
  };
}
