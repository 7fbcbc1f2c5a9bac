import assert from "node:assert/strict";
import { chmodSync, chownSync, mkdirSync, writeFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { LaneContext } from "../lane.ts";
import type { ContainerOptions, Mount } from "./container.ts";
import type { Images } from "./images.ts";
import { Host } from "./network.ts";
import { makeVolume, Meshproof, ROOT } from "./stack.ts";
import { type DeployCheck, type KubernetesObject, MANIFESTS, objectsOf } from "./tools.ts";

interface Volume {
  readonly name: string;
  readonly configMap?: { readonly name: string };
  readonly secret?: { readonly secretName: string; readonly defaultMode: number };
  readonly emptyDir?: object;
}
interface PodSpec {
  readonly containers: readonly [
    {
      readonly args: readonly string[];
      readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
      readonly volumeMounts: readonly {
        readonly name: string;
        readonly mountPath: string;
        readonly readOnly?: boolean;
      }[];
      readonly livenessProbe: Probe;
      readonly readinessProbe: Probe;
      readonly startupProbe: Probe;
    },
  ];
  readonly volumes: readonly Volume[];
  readonly securityContext: {
    readonly runAsUser: number;
    readonly runAsGroup: number;
    readonly fsGroup: number;
  };
  readonly terminationGracePeriodSeconds: number;
}
interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}

/** Starts the pod of the installation `embedded` as a kubelet would: its objects' own arguments, user, volumes and modes, on a volume as one is when it is new. */
export async function checkPod(
  context: LaneContext,
  tools: DeployCheck,
  images: Images,
  secrets: string,
): Promise<void> {
  const objects = await objectsOf(tools, join(ROOT, MANIFESTS, "embedded"));
  const set = objects.find(({ kind }) => kind === "StatefulSet")!;
  const { spec } = (set.spec as { template: { spec: PodSpec } }).template;
  const [{ args, ports, volumeMounts, ...probes }] = spec.containers;
  const { runAsUser, runAsGroup, fsGroup } = spec.securityContext;
  const data = makeVolume(context, "claim", 0);
  chownSync(data, 0, fsGroup);
  chmodSync(data, 0o2775);
  // As mkfs.ext4 leaves it.
  mkdirSync(join(data, "lost+found"), { mode: 0o700 });
  const directories = new Map(
    spec.volumes.map((volume) => [
      volume.name,
      placeVolume(context, volume, objects, secrets, fsGroup),
    ]),
  );
  const host = await Host.make(context);
  const options: ContainerOptions = {
    name: "pod",
    image: images.embedded,
    host,
    user: `${runAsUser}:${runAsGroup}`,
    command: args,
    tmpfs: volumeMounts
      .filter(({ name }) => directories.get(name) === null)
      .map(({ mountPath }) => mountPath),
    mounts: volumeMounts.flatMap(({ name, mountPath, readOnly }): Mount[] => {
      const source = directories.get(name);
      return source === null
        ? []
        : [{ source: source ?? data, target: mountPath, isWritable: readOnly !== true }];
    }),
  };
  const server = await Meshproof.start(context, options, secrets, args.slice(1));
  const ask = async ({ httpGet }: Probe): Promise<number> =>
    (await server.get(ports.find(({ name }) => name === httpGet.port)!.containerPort, httpGet.path))
      .status;
  await context.check(
    "the pod of the manifests comes up on a new volume, passes its own probes, takes, stores and verifies a record, and ends within its grace",
    async () => {
      for (const probe of [probes.startupProbe, probes.livenessProbe, probes.readinessProbe])
        await server.container.until(async () => (await ask(probe)) === 200, 90_000);
      assert.equal((await server.send("/pod", "collector")).status, 200);
      await server.untilStored("/pod");
      const size = await server.verify();
      const since = performance.now();
      assert.equal(await server.container.stop(), 0, server.container.output.slice(-2000));
      const seconds = (performance.now() - since) / 1000;
      assert.ok(seconds < spec.terminationGracePeriodSeconds);
      assert.doesNotMatch(server.container.output, /others than its owner can open the log key/);
      return `${size} records; ${seconds.toFixed(1)} s of ${spec.terminationGracePeriodSeconds}`;
    },
  );
}

/** The directory that a kubelet makes of a volume; null for one in memory, undefined for one that somebody else provides. */
function placeVolume(
  { directory }: LaneContext,
  { name, configMap, secret, emptyDir }: Volume,
  objects: readonly KubernetesObject[],
  secrets: string,
  fsGroup: number,
): string | null | undefined {
  if (emptyDir !== undefined) return null;
  const place = join(directory, `pod-${name}`);
  mkdirSync(place);
  if (configMap !== undefined) {
    const { data } = objects.find(
      ({ kind, metadata }) => kind === "ConfigMap" && metadata.name === configMap.name,
    )!;
    for (const [file, text] of Object.entries(data!)) writeFileSync(join(place, file), text);
  }
  if (secret !== undefined) {
    assert.equal(secret.secretName, "meshproof-tokens");
    const file = join(place, "tokens");
    writeFileSync(file, readFileSync(join(secrets, "meshproof-tokens")));
    chownSync(file, 0, fsGroup);
    chmodSync(file, secret.defaultMode);
  }
  return place;
}
