import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts } from "../../../src/store/engine-host.ts";
import {
  assertRows,
  expectedLog,
  expectedRows,
  expectedSpan,
} from "../../support/expected-rows.ts";
import { batchesOf, oddLog, oddSpan, RECORDS } from "../../support/odd-records.ts";
import { writeLogs, writeTraces } from "../../support/otlp-writer.ts";
import { CODINGS, send } from "../../support/senders.ts";
import type { ServerProcess } from "../../support/server-process.ts";
import { storedRows, waitForCount } from "../../support/stored-rows.ts";
import type { LaneContext } from "../lane.ts";
import { ShippedCollector } from "./shipped.ts";

interface Setting {
  readonly compression: "none" | "gzip" | "zstd";
  readonly encoding: "proto" | "json";
}

const SETTINGS: readonly Setting[] = (["none", "gzip", "zstd"] as const).flatMap((compression) =>
  (["proto", "json"] as const).map((encoding) => ({ compression, encoding })),
);

const nameOf = ({ compression, encoding }: Setting): string => `${compression}-${encoding}`;

/** Every way in which the exporter can be set, each in a pipeline of its own of one Collector: what comes out is what went in. */
export async function checkSettings(
  context: LaneContext,
  program: string,
  server: ServerProcess,
): Promise<void> {
  const ports = await freePorts("127.0.0.1", Array(SETTINGS.length).fill(0));
  const override = join(context.directory, "settings.yaml");
  writeFileSync(override, configurationOf(ports));
  const collector = await ShippedCollector.start(context, program, {
    endpoint: `http://127.0.0.1:${server.ports.otlp}`,
    directory: join(context.directory, "settings-queue"),
    overrides: [override],
  });
  try {
    for (const [i, setting] of SETTINGS.entries())
      await context.check(
        `every field of ${RECORDS} logs and ${RECORDS} spans arrives as it was sent, once: encoding ${setting.encoding}, compression ${setting.compression}`,
        () => checkSetting(server, ports[i]!, i, nameOf(setting)),
      );
  } finally {
    await collector.kill();
  }
}

async function checkSetting(
  server: ServerProcess,
  port: number,
  index: number,
  service: string,
): Promise<void> {
  const logs = batchesOf(service, oddLog);
  const spans = batchesOf(service, oddSpan);
  // The Collector's receiver gets them in all codings too.
  const options = { coding: CODINGS[index % CODINGS.length]! };
  for (const [signal, body] of [
    ["logs", writeLogs(logs)],
    ["traces", writeTraces(spans)],
  ] as const) {
    const response = await send(`http://127.0.0.1:${port}/v1/${signal}`, body, options);
    assert.equal(response.status, 200, await response.text());
  }
  for (const [table, sent] of [
    ["otel_logs", expectedRows(logs, (...of) => expectedLog(...of, 0n))],
    ["otel_traces", expectedRows(spans, (...of) => expectedSpan(...of, 0n))],
  ] as const) {
    const where = `ServiceName = '${service}'`;
    await waitForCount(server, `SELECT count() FROM ${table} WHERE ${where}`, sent.length);
    assertRows(await storedRows(server, table, where), sent, table);
  }
}

/** A receiver, an exporter and pipelines for each setting, beside those of the shipped file. */
function configurationOf(ports: readonly number[]): string {
  const each = (line: (setting: Setting, index: number) => string): string =>
    SETTINGS.map((setting, i) => `  ${line(setting, i)}\n`).join("");
  return `receivers:
${each((s, i) => `otlp/${nameOf(s)}: { protocols: { http: { endpoint: "127.0.0.1:${ports[i]}" } } }`)}
exporters:
${each(
  (s) => `otlp_http/${nameOf(s)}:
    endpoint: \${env:MESHPROOF_ENDPOINT}
    compression: ${s.compression}
    encoding: ${s.encoding}
    sending_queue: { storage: file_storage }`,
)}
service:
 pipelines:
${each((s) => `logs/${nameOf(s)}: { receivers: [otlp/${nameOf(s)}], exporters: [otlp_http/${nameOf(s)}] }`)}
${each((s) => `traces/${nameOf(s)}: { receivers: [otlp/${nameOf(s)}], exporters: [otlp_http/${nameOf(s)}] }`)}`;
}
