import { join } from "node:path";
import { ServerProcess } from "../../support/server-process.ts";
import { type Lane, type LaneContext } from "../lane.ts";
import { checkCodings, type StoredRun } from "../sdk/codings.ts";
import { checkControls } from "../sdk/controls.ts";
import { sdkPrograms } from "../sdk/programs.ts";
import { checkFindings, checkPartialSuccess } from "../sdk/refusals.ts";
import { checkRetries } from "../sdk/retries.ts";
import { checkSecurity } from "../sdk/security.ts";
import { assertVerified, requireEngine } from "../server.ts";

/** Programs that send with the exporters of the SDKs, as their users write them, straight to us. */
export const lane: Lane = {
  name: "sdk",
  title: "exporters of the JavaScript and Python SDKs send to us",
  needs: ["python3"],
  timeLimitMs: 10 * 60_000,
  run,
};

async function run(context: LaneContext): Promise<void> {
  requireEngine();
  const programs = await sdkPrograms(context);
  const directory = join(context.directory, "server");
  let server = await ServerProcess.start(directory);
  try {
    const runs: StoredRun[] = [];
    for (const program of programs) runs.push(...(await checkCodings(context, server, program)));
    let refused = 0;
    for (const program of programs) refused += await checkPartialSuccess(context, server, program);
    await context.check("verify: what is stored is what was sealed", async () => {
      await server.stop();
      return `${(await assertVerified(server)).treeSize} records`;
    });
    server = await ServerProcess.start(directory);
    await checkFindings(context, server, refused);
    if (runs[0] !== undefined) await checkControls(context, server, runs[0]);
  } finally {
    await server.kill();
  }
  await checkRetries(context, programs);
  await checkSecurity(context, programs);
}
