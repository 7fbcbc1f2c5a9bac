import { type Images, buildImages, checkEmbedded, checkRemote } from "../deploy/images.ts";
import { makeSecrets } from "../deploy/stack.ts";
import type { Lane, LaneContext } from "../lane.ts";

export const lane: Lane = {
  name: "deploy",
  title:
    "docker/: images built and run without an engine, compose.yaml and manifests as their own tools read them",
  needs: [],
  timeLimitMs: 1_500_000,
  run,
};

async function run(context: LaneContext): Promise<void> {
  const secrets = await makeSecrets(context);
  const images: Images = await buildImages(context);
  await checkEmbedded(context, images, secrets);
  await checkRemote(context, images, secrets);
}
