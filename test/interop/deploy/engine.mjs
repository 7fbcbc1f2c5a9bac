// ClickHouse for containers where no image of it is to be had: the engine of the embedded server, as a program that takes `--config-file` as clickhouse-server does.
// Plain JavaScript, for it runs in an image, beside the compiled meshproof of /app.
import { fork } from "node:child_process";

const { findLibrary } = await import("/app/dist/store/engine-host.js");
const config = process.argv[2].replace("--config-file=", "");
const engine = fork("/app/dist/store/engine-child.js", [
  findLibrary(),
  config,
  "/var/lib/clickhouse",
]);
engine.on("message", ({ ended }) => console.error(ended));
engine.on("exit", () => process.exit(1));
process.on("SIGTERM", () => {
  engine.removeAllListeners("exit");
  engine.on("exit", () => process.exit(0));
  engine.kill("SIGKILL"); // as meshproof ends it: what was acknowledged is on disk
});
