import { join, resolve } from "node:path";
import { findRisks } from "../config/checks.ts";
import { nameOfLocation } from "../config/location.ts";
import type { Config } from "../config/options.ts";
import { formatEndpoint } from "../config/values.ts";
import { findFormatConflicts } from "../formats.ts";
import type { Logger } from "../core/logger.ts";
import type { RunningServer } from "../server.ts";
import { createLogger } from "../telemetry/logger.ts";
import { readConfig, type ConfigOption, type Context } from "./context.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import type { Output } from "./output.ts";

export type StartServer = (config: Config, options: { logger: Logger }) => Promise<RunningServer>;

export interface ServeOptions extends ConfigOption {
  readonly json?: boolean;
}

/** Where signals come from: `process`, or a test's own emitter. */
export interface SignalSource {
  on(event: NodeJS.Signals | "exit", listener: () => void): unknown;
  off(event: NodeJS.Signals | "exit", listener: () => void): unknown;
}

/** Runs the server until it is told to stop. Exit code 0 after a clean stop, 3 when it failed. */
export async function serve(
  options: ServeOptions,
  context: Context,
  start: StartServer = startForReal,
  signals: SignalSource = process,
  exitNow: (code: number) => void = process.exit,
): Promise<ExitCode> {
  const config = readConfig(options, context, findFormatConflicts);
  const logger = createLogger(config.service.telemetry.logs);
  for (const risk of findRisks(config)) logger.warn({}, risk);
  const stopSignal = waitForStop(signals, () => exitNow(EXIT.unable));
  try {
    const server = await start(config, { logger });
    if (options.json === true)
      context.output.json({ ports: server.ports, verifierKey: server.verifierKey });
    else welcome(context.output, config, options, server);
    const failure = await Promise.race([
      stopSignal.stopped,
      server.failed.then((cause) => ({ cause })),
    ]);
    if (failure === undefined)
      logger.info({}, "stopping: draining what is in flight; a second signal ends at once");
    else logger.error({ err: failure.cause }, "stopping: the server cannot go on");
    await server.stop();
    return failure === undefined ? EXIT.ok : EXIT.unable;
  } finally {
    stopSignal.release();
  }
}

export const startForReal: StartServer = async (config, options) => {
  const { startServer } = await import("../server.ts");
  return startServer(config, options);
};

/** Ctrl-C reaches a process twice when npm or npx passes the signal on: what comes this soon after the first is the same one. */
const SAME_SIGNAL_MS = 1000;

/** Waits for SIGTERM or SIGINT, or what `names` has; `onSecond` is called at another one, by somebody who does not want to wait. */
export function waitForStop(
  signals: SignalSource,
  onSecond: () => void,
  names: readonly NodeJS.Signals[] = ["SIGTERM", "SIGINT"],
): { stopped: Promise<undefined>; release(): void } {
  let firstAt: number | undefined;
  const { promise, resolve: stop } = Promise.withResolvers<undefined>();
  const listener = (): void => {
    const now = performance.now();
    if (firstAt === undefined) {
      firstAt = now;
      stop(undefined);
    } else if (now - firstAt >= SAME_SIGNAL_MS) {
      onSecond();
    }
  };
  for (const name of names) signals.on(name, listener);
  return {
    stopped: promise,
    release: () => {
      for (const name of names) signals.off(name, listener);
    },
  };
}

/** What listens where, who we are, and what to do next. */
function welcome(
  output: Output,
  config: Config,
  options: ServeOptions,
  server: RunningServer,
): void {
  const http = config.receivers.otlp.protocols.http;
  const { api, health_check, tokens } = config.extensions;
  const store = config.exporters.clickhouse;
  const { ports } = server;
  const url = (host: string, port: number, tls: object | undefined): string =>
    `http${tls === undefined ? "" : "s"}://${formatEndpoint({ host, port })}`;
  const otlpUrl = url(http.endpoint.host, ports.otlp, http.tls);
  // An address that stands for all of them can be listened on, but no certificate names it.
  const isAll = http.endpoint.host === "0.0.0.0" || http.endpoint.host === "::";
  const sendUrl = url(isAll ? "localhost" : http.endpoint.host, ports.otlp, http.tls);
  const hasEngine = ports.clickhouseHttp !== null;
  const storeUrl = hasEngine ? url("127.0.0.1", ports.clickhouseHttp, undefined) : store.endpoint;
  const readerFile = join(config.storage.directory, "secrets", "clickhouse-reader");
  const label = (text: string): string => output.paint("dim", text);

  output.line();
  output.line(`${output.paint("bold", "meshproof")} is ready`);
  output.line();
  output.columns([
    [label("OTLP/HTTP"), otlpUrl, label("POST /v1/logs, /v1/traces")],
    [
      label("API and log"),
      url(api.endpoint.host, ports.api, api.tls),
      label("/api/v1, /log/checkpoint"),
    ],
    [
      label("ClickHouse"),
      storeUrl,
      label(
        hasEngine
          ? `user reader, password in ${readerFile}`
          : `user ${store.reader.username}, database ${store.database}`,
      ),
    ],
    [label("Health"), `${url(health_check.endpoint.host, ports.health, undefined)}/`, ""],
    [
      label("Metrics"),
      `${url(config.service.telemetry.metrics.address.host, ports.metrics, undefined)}/metrics`,
      "",
    ],
  ]);
  output.line();
  output.columns([
    [label("Data"), resolve(config.storage.directory)],
    [label("Verifier key"), server.verifierKey],
  ]);
  output.line();
  const body = `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"${BigInt(Date.now()) * 1_000_000n}","body":{"stringValue":"hello"}}]}]}]}`;
  const certificate =
    (http.tls?.client_ca_file ?? "") === "" ? "" : "--cert client.pem --key client-key.pem ";
  const credentials = `${certificate}${tokens.file === "" ? "" : '-H "Authorization: Bearer $TOKEN" '}`;
  const flags = options.config.map((file) => ` --config ${nameOfLocation(file)}`).join("");
  const select = `SELECT Timestamp, Body FROM ${store.database}.otel_logs`;
  output.line("Send a first record:");
  output.line(
    `  curl ${credentials}-H 'Content-Type: application/json' ${sendUrl}/v1/logs -d '${body}'`,
  );
  output.line("See it:");
  output.line(
    hasEngine
      ? `  curl -u "reader:$(cat ${readerFile})" ${storeUrl} -d '${select}'`
      : `  ${select}`,
  );
  output.line("Prove that nothing was changed:");
  output.line(`  npx meshproof verify${flags}`);
  output.line();
  output.line(
    label(
      "Keep the verifier key somewhere else: whoever has it can check every record. Ctrl-C stops.",
    ),
  );
}
