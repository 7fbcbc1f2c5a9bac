import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import t from "tap";
import { parse, parseAllDocuments } from "yaml";
import { loadConfig } from "../src/config/load.ts";
import { imageConfig, parseDockerfile } from "./support/dockerfile.ts";

/** docker/kubernetes without a cluster. `npm run interop -- deploy` builds it by kustomize, validates it as the API server does, and starts the pod. */
const ROOT = resolve(import.meta.dirname, "..");
const KUBERNETES = join(ROOT, "docker/kubernetes");
const read = (path: string): string => readFileSync(join(KUBERNETES, path), "utf8");

interface Manifest {
  readonly kind: string;
  readonly metadata: { name: string };
  readonly spec: Record<string, unknown>;
}
interface Container {
  readonly args: string[];
  readonly ports: { name: string; containerPort: number }[];
  readonly volumeMounts: { name: string; mountPath: string; readOnly?: boolean }[];
  readonly startupProbe: Probe;
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
  readonly resources: { requests: Record<string, string>; limits: Record<string, string> };
}
interface Probe {
  readonly httpGet: { path: string; port: string };
  readonly periodSeconds: number;
  readonly failureThreshold: number;
}
interface Pod {
  readonly containers: [Container];
  readonly volumes: {
    name: string;
    configMap?: { name: string };
    secret?: { secretName: string };
  }[];
  readonly terminationGracePeriodSeconds: number;
  readonly enableServiceLinks: boolean;
  readonly automountServiceAccountToken: boolean;
  readonly securityContext: { runAsUser: number; fsGroup: number };
}

const manifests = (path: string): Manifest[] =>
  parseAllDocuments(read(path)).map((document) => document.toJS() as Manifest);
const documents = readdirSync(join(KUBERNETES, "base"))
  .filter(
    (file) => file.endsWith(".yaml") && !["kustomization.yaml", "meshproof.yaml"].includes(file),
  )
  .flatMap((file) => manifests(`base/${file}`));
const ofKind = (kind: string): Manifest[] => documents.filter((one) => one.kind === kind);
const [set] = ofKind("StatefulSet");
const pod = (set!.spec["template"] as { spec: Pod }).spec;
const [container] = pod.containers;
/** The files that the server is started with, by the directory in which each stands. */
const FILES = {
  embedded: ["base/meshproof.yaml", "embedded/store.yaml"],
  clickhouse: ["base/meshproof.yaml", "clickhouse/store.yaml"],
};

t.test("every kind that a cluster wants is there", async (t) => {
  t.same(
    new Set(documents.map(({ kind }) => kind)),
    new Set(["NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount", "StatefulSet"]),
  );
  t.equal(set!.spec["replicas"], 1, "a log has one writer");
  for (const { resources } of ["base", "embedded", "clickhouse"].map(
    (one) => parse(read(`${one}/kustomization.yaml`)) as { resources: string[] },
  ))
    for (const resource of resources)
      t.ok(
        resource === "../base" ||
          readdirSync(join(KUBERNETES, "base")).includes(resource) ||
          readdirSync(join(KUBERNETES, "clickhouse")).includes(resource),
        resource,
      );
});

t.test(
  "each installation's configuration is valid, and its ports are those of container, Services and policies",
  async (t) => {
    for (const [name, files] of Object.entries(FILES)) {
      const config = loadConfig(
        [join(ROOT, "config/meshproof.yaml"), ...files.map((file) => join(KUBERNETES, file))],
        {},
      );
      const { api, health_check, tokens } = config.extensions;
      const ports = {
        "otlp-http": config.receivers.otlp.protocols.http.endpoint.port,
        api: api.endpoint.port,
        health: health_check.endpoint.port,
        metrics: config.service.telemetry.metrics.address.port,
      };
      t.same(
        Object.fromEntries(container.ports.map((port) => [port.name, port.containerPort])),
        ports,
        name,
      );
      t.ok(
        container.volumeMounts.some(({ mountPath }) => tokens.file.startsWith(`${mountPath}/`)),
        tokens.file,
      );
      t.ok(
        config.storage.directory.startsWith("/data/"),
        "below the volume's own root, where a file system keeps what is its own",
      );
    }
    const names = new Set(container.ports.map(({ name }) => name));
    const services = ofKind("Service").flatMap(
      ({ spec }) => spec["ports"] as { name: string; port: number; targetPort: string }[],
    );
    for (const { name, port, targetPort } of services) {
      t.ok(names.has(targetPort), name);
      t.equal(container.ports.find((one) => one.name === targetPort)!.containerPort, port, name);
    }
    t.ok(ofKind("Service").some(({ metadata }) => metadata.name === set!.spec["serviceName"]));
    const allowed = ofKind("NetworkPolicy").flatMap(({ spec }) =>
      ((spec["ingress"] ?? []) as { ports: { port: string }[] }[]).flatMap(({ ports }) =>
        ports.map(({ port }) => port),
      ),
    );
    t.same(new Set(allowed), names, "and every port is let in for somebody");
  },
);

t.test("the volume outlives what a kustomization brings", async (t) => {
  const [namespace] = manifests("namespace.yaml");
  t.equal(namespace!.kind, "Namespace");
  t.match(namespace!.metadata, {
    labels: { "pod-security.kubernetes.io/enforce": "restricted" },
  });
  for (const one of ["base", "embedded", "clickhouse"]) {
    const { namespace: used } = parse(read(`${one}/kustomization.yaml`)) as { namespace: string };
    t.equal(used, namespace!.metadata.name, one);
    t.notMatch(read(`${one}/kustomization.yaml`), /namespace\.yaml/, "or it is deleted with it");
  }
  t.same(set!.spec["persistentVolumeClaimRetentionPolicy"], {
    whenDeleted: "Retain",
    whenScaled: "Retain",
  });
});

t.test("names are found by whatever serves them, over UDP and TCP", async (t) => {
  const [policy] = manifests("clickhouse/network-policy.yaml");
  const [names] = policy!.spec["egress"] as { to: object[]; ports: object[] }[];
  t.same(names!.ports, [
    { protocol: "UDP", port: 53 },
    { protocol: "TCP", port: 53 },
  ]);
  t.ok(
    names!.to.some((peer) => "ipBlock" in peer),
    "a cache on the node is no pod",
  );
});

t.test("TLS is one component", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "meshproof-kubernetes-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const { patches } = parse(read("tls/kustomization.yaml")) as { patches: { patch: string }[] };
  const added = (parse(patches[0]!.patch) as { value: unknown }[]).map(({ value }) => value) as {
    mountPath?: string;
  }[];
  const mounts = added.flatMap(({ mountPath }) => mountPath ?? []);
  const config = loadConfig(
    [
      join(KUBERNETES, "base/meshproof.yaml"),
      join(KUBERNETES, "embedded/store.yaml"),
      join(KUBERNETES, "tls/tls.yaml"),
    ],
    {},
  );
  for (const tls of [config.receivers.otlp.protocols.http.tls!, config.extensions.api.tls!])
    for (const file of [tls.cert_file, tls.key_file])
      t.ok(
        mounts.some((mount) => file.startsWith(`${mount}/`)),
        file,
      );
  writeFileSync(join(directory, "open.yaml"), 'extensions: { tokens: { file: "" } }\n');
  t.throws(
    () =>
      loadConfig(
        [
          join(KUBERNETES, "base/meshproof.yaml"),
          join(KUBERNETES, "embedded/store.yaml"),
          join(directory, "open.yaml"),
        ],
        {},
      ),
    /open to all/,
    "without tokens nothing is started",
  );
});

t.test("a failure that a restart does not cure restarts nothing", async (t) => {
  // Metrics are answered whatever the state; health is 503 while records cannot be taken or stored.
  for (const probe of [container.startupProbe, container.livenessProbe])
    t.same(probe.httpGet, { path: "/metrics", port: "metrics" });
  t.same(container.readinessProbe.httpGet, { path: "/", port: "health" });
  t.ok(container.startupProbe.periodSeconds * container.startupProbe.failureThreshold >= 600);
  for (const { spec, metadata } of ofKind("Service"))
    t.equal(spec["publishNotReadyAddresses"], true, metadata.name);
  t.equal(set!.spec["podManagementPolicy"], "Parallel", "and a mended configuration is rolled out");
});

t.test(
  "every volume is mounted, every mount has its volume, and no secret stands in a file",
  async (t) => {
    const claims = (set!.spec["volumeClaimTemplates"] as { metadata: { name: string } }[]).map(
      ({ metadata }) => metadata.name,
    );
    t.same(
      new Set(container.volumeMounts.map(({ name }) => name)),
      new Set([...pod.volumes.map(({ name }) => name), ...claims]),
    );
    const writable = container.volumeMounts
      .filter(({ readOnly }) => readOnly !== true)
      .map(({ mountPath }) => mountPath);
    t.same(writable, ["/data", "/tmp"]);
    for (const argument of container.args.filter((one) => one.startsWith("/")))
      t.ok(
        container.volumeMounts.some(({ mountPath }) => argument.startsWith(`${mountPath}/`)),
        argument,
      );
    for (const file of readdirSync(KUBERNETES, { recursive: true, encoding: "utf8" }).filter(
      (one) => one.endsWith(".yaml"),
    ))
      t.notMatch(read(file), /secretGenerator|kind: Secret$|stringData/m, file);
  },
);

t.test(
  "the pod is the image's user, has the time to end, and cannot reach the API server",
  async (t) => {
    const [uid] = imageConfig(
      parseDockerfile(readFileSync(join(ROOT, "docker/Dockerfile"), "utf8")),
      "remote",
    )
      .user.split(":")
      .map(Number);
    t.same([pod.securityContext.runAsUser, pod.securityContext.fsGroup], [uid, uid]);
    t.equal(pod.terminationGracePeriodSeconds, 60);
    t.equal(pod.automountServiceAccountToken, false);
    t.equal(pod.enableServiceLinks, false, "or the Service meshproof would set MESHPROOF_PORT");
    t.equal(container.resources.requests["memory"], container.resources.limits["memory"]);
  },
);

t.test("images have the version of the package", async (t) => {
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    version: string;
  };
  const tag = (name: string): string =>
    (parse(read(`${name}/kustomization.yaml`)) as { images: [{ newTag: string }] }).images[0]
      .newTag;
  t.same([tag("clickhouse"), tag("embedded")], [version, `${version}-embedded`]);
});
