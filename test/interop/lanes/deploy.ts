import { join } from "node:path";
import { checkCompose } from "../deploy/compose.ts";
import { buildImages, checkEmbedded, checkRemote } from "../deploy/images.ts";
import { mountRoot } from "../deploy/image.ts";
import { checkPod } from "../deploy/pod.ts";
import { makeSecrets } from "../deploy/stack.ts";
import { checkByHadolint, checkFiles, DeployCheck } from "../deploy/tools.ts";
import { type Lane, type LaneContext, LaneSkipped } from "../lane.ts";
import { whyMissing } from "../needs.ts";

export const lane: Lane = {
  name: "deploy",
  title:
    "docker/: images built and run without an engine, compose.yaml and manifests read by their own tools' code and run",
  needs: ["openssl"],
  timeLimitMs: 2_400_000,
  run,
};

async function run(context: LaneContext): Promise<void> {
  const missingGo = await whyMissing("go", context.children);
  const tools = missingGo ?? (await DeployCheck.build(context).catch(whySkipped));
  if (typeof tools === "string")
    context.skip("compose.yaml, Dockerfile and manifests as their tools read them", tools);
  else await checkFiles(context, tools);
  const lint =
    (await whyMissing("python3", context.children)) ??
    (await checkByHadolint(context).catch(whySkipped));
  if (lint !== undefined) context.skip("hadolint", lint);

  const obstacle = await whyNoContainers(context);
  if (obstacle !== null) return context.skip("the images are built and run", obstacle);
  const secrets = await makeSecrets(context);
  const images = await buildImages(context);
  await checkEmbedded(context, images, secrets);
  await checkRemote(context, images, secrets);
  if (typeof tools === "string")
    return context.skip("the pod of the manifests, and the services of compose.yaml", tools);
  await checkPod(context, tools, images, secrets);
  const services = await checkCompose(context, tools, images, secrets).catch(whySkipped);
  if (services !== undefined) context.skip("the services of compose.yaml", services);
}

/** The reason why something cannot be had here. */
function whySkipped(error: unknown): string {
  if (error instanceof LaneSkipped) return error.message;
  throw error;
}

/** Why nothing like a container can be made here; null when it can. It takes Linux, root, overlays over the machine's own root, and namespaces. */
async function whyNoContainers({ children, directory }: LaneContext): Promise<string | null> {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "expected Linux and root";
  const layer = join(directory, "try");
  const script = [
    "set -eu",
    `mkdir -p ${layer}`,
    ...mountRoot(join(directory, "try-work"), [layer]),
    'chroot "$root" setpriv --version',
    "ip -V",
  ].join("\n");
  const { code, stderr } = await children
    .run(
      "unshare",
      ["--mount", "--pid", "--net", "--fork", "--kill-child", "/bin/sh", "-c", script],
      { timeLimitMs: 20_000 },
    )
    .catch((error: Error) => ({ code: 1, stderr: error.message }));
  return code === 0
    ? null
    : `expected unshare, setpriv and ip to work: ${stderr.trim().split("\n").at(-1)}`;
}
