import { join } from "node:path";
import { ServerProcess } from "../../support/server-process.ts";
import { Collector } from "../collector.ts";
import { checkVerified } from "../collector/arena.ts";
import { checkBatching, checkCrashes } from "../collector/crashes.ts";
import { checkMeshes } from "../collector/meshes.ts";
import { checkPartialSuccess } from "../collector/partial.ts";
import { checkPods, PodLogs } from "../collector/pods.ts";
import { checkRefusals } from "../collector/refusals.ts";
import { checkSettings } from "../collector/settings.ts";
import { ShippedCollector } from "../collector/shipped.ts";
import { checkTelemetrygen, TELEMETRYGEN } from "../collector/telemetrygen.ts";
import { GoModules } from "../go.ts";
import { type Lane, type LaneContext } from "../lane.ts";
import { requireEngine } from "../server.ts";

/** A real OpenTelemetry Collector with the configuration that we ship, between senders and a meshproof: what it forwards, and what is left when either dies. */
export const lane: Lane = {
  name: "collector",
  title: "an OpenTelemetry Collector with config/collector.yaml: fields, files, crashes, refusals",
  needs: ["go"],
  timeLimitMs: 20 * 60_000,
  run,
};

async function run(context: LaneContext): Promise<void> {
  requireEngine();
  const program = await Collector.build(context);
  const go = await GoModules.open(context);
  const generator = await go.build("telemetrygen", TELEMETRYGEN);
  await checkForwarding(context, program, generator);
  await checkCrashes(context, program);
  await checkBatching(context, program);
  await checkRefusals(context, program);
}

/** Both sides stay up: what arrives, field by field. */
async function checkForwarding(
  context: LaneContext,
  program: string,
  generator: string,
): Promise<void> {
  const server = await ServerProcess.start(join(context.directory, "forwarding"), "", context);
  try {
    const logs = new PodLogs(context.directory);
    const collector = await ShippedCollector.start(context, program, {
      endpoint: `http://127.0.0.1:${server.ports.otlp}`,
      directory: join(context.directory, "forwarding-queue"),
      logFiles: logs.glob,
    });
    await checkTelemetrygen(context, generator, collector, server);
    await checkPods(context, logs, collector, server);
    await checkMeshes(context, logs, server);
    await collector.stop();
    await checkSettings(context, program, server);
    await checkPartialSuccess(context, program, server);
    await checkVerified(context, server, { rejected_record: 1 });
  } finally {
    await server.kill();
  }
}
