import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { freePorts } from "../../../src/store/engine-host.ts";
import { expressions } from "../../support/grafana/targets.ts";
import { send } from "../../support/senders.ts";
import type { ServerProcess } from "../../support/server-process.ts";
import { envoyBody, spanBody } from "../../support/traffic.ts";
import type { LaneContext } from "../lane.ts";
import { whyMissing } from "../needs.ts";

const CLAIM = "every expression in PromQL is answered by a Prometheus that scrapes us";
/** A rate wants several scrapes, and something that is counted. */
const SCRAPES = 12;
const SCRAPE_MS = 1_000;

/** What has no series before something goes wrong: counters that have not counted. */
const SILENT =
  /meshproof_(?:receiver_refused_requests|receiver_rejected_records|deduplicated_batches|quarantined_rows|correlation_overflow_records)/;

interface QueryAnswer {
  readonly status: string;
  readonly error?: string;
  readonly data?: { readonly result: readonly unknown[] };
}

/** A real Prometheus reads the metrics port, and answers what the dashboard `pipeline` and its alerts ask. */
export async function checkPromql(context: LaneContext, server: ServerProcess): Promise<void> {
  const missing = await whyMissing("prometheus", context.children);
  if (missing !== null) return context.skip(CLAIM, missing);
  const directory = join(context.directory, "prometheus");
  const config = join(context.directory, "prometheus.yml");
  writeFileSync(
    config,
    `global: { scrape_interval: 1s }
scrape_configs: [{ job_name: meshproof, static_configs: [{ targets: ["127.0.0.1:${server.ports.metrics}"] }] }]
`,
  );
  const [port] = await freePorts("127.0.0.1", [0]);
  const address = `127.0.0.1:${port}`;
  const prometheus = await context.children.start("prometheus", [
    `--config.file=${config}`,
    `--storage.tsdb.path=${directory}`,
    `--web.listen-address=${address}`,
  ]);
  const query = async (expr: string): Promise<QueryAnswer> => {
    const url = `http://${address}/api/v1/query?query=${encodeURIComponent(expr)}`;
    return (await (await fetch(url, { signal: context.signal })).json()) as QueryAnswer;
  };
  try {
    for (let scrape = 0; scrape < SCRAPES; scrape++) {
      // Each links to the span that comes with it.
      await post(server, "logs", envoyBody(20, scrape * 20));
      await post(server, "traces", spanBody(20, scrape * 20));
      await setTimeout(SCRAPE_MS, undefined, { signal: context.signal });
    }
    await context.check(CLAIM, async () => {
      for (const [name, expr] of expressions()) {
        const asked = expr.replaceAll("$instance", ".+").replaceAll("$__rate_interval", "10s");
        const { status, error, data } = await query(asked);
        assert.equal(status, "success", `${name}: ${error}`);
        if (!SILENT.test(expr)) assert.ok(data!.result.length > 0, `${name}: no series`);
      }
      return `${expressions().length} expressions`;
    });
    await context.check("refused: a metric that is not there, and no PromQL", async () => {
      assert.deepEqual((await query("meshproof_no_such_metric")).data?.result, []);
      const { status, error } = await query("sum(rate(meshproof_records)");
      assert.equal(status, "error");
      return error;
    });
  } finally {
    await prometheus.end("SIGTERM");
  }
}

async function post(
  server: ServerProcess,
  signal: "logs" | "traces",
  body: Uint8Array,
): Promise<void> {
  const response = await send(server.otlp(signal), body);
  await response.arrayBuffer();
  assert.equal(response.status, 200);
}
