import { readFileSync } from "node:fs";
import t from "tap";
import type { Readings } from "../../src/telemetry/gauges.ts";
import { GAUGES } from "../../src/telemetry/gauges.ts";
import { Metrics } from "../../src/telemetry/metrics.ts";

/**
 * What dashboards of the Collector ask Prometheus for: Grafana.com 15983 "OpenTelemetry Collector" (revisions with the variable `suffix`), Grafana's mixin
 * opentelemetry-collector-mixin, and the queries of "Internal telemetry" in OpenTelemetry's documentation. Each as the name that they match, with the labels that
 * they select or group by.
 */
const ANSWERED: Readonly<Record<string, readonly string[]>> = {
  "otelcol_receiver_accepted_(log_records|spans)(_total)?": ["receiver", "transport"],
  "otelcol_receiver_refused_(log_records|spans)(_total)?": ["receiver", "transport"],
  "otelcol_receiver_failed_(log_records|spans)(_total)?": ["receiver", "transport"],
  "otelcol_exporter_sent_(log_records|spans)(_total)?": ["exporter"],
  "otelcol_exporter_send_failed_(log_records|spans)(_total)?": ["exporter"],
  "otelcol_exporter_enqueue_failed_(log_records|spans)(_total)?": ["exporter"],
  otelcol_exporter_queue_size: ["exporter"],
  otelcol_exporter_queue_capacity: ["exporter"],
  "otelcol_process_uptime(_seconds)?(_total)?": [],
  "otelcol_process_cpu_seconds(_total)?": [],
  "otelcol_process_memory_rss(_bytes)?": [],
  otelcol_process_runtime_heap_alloc_bytes: [],
  otelcol_process_runtime_total_sys_memory_bytes: [],
  "http_server_request_duration(_seconds)?_bucket": ["le", "http_route", "http_request_method"],
  "http_server_request_body_size(_bytes)?_bucket": ["le", "http_response_status_code"],
  target_info: ["service_name", "service_version", "service_instance_id"],
};

/** What they ask for beside, and why there is no answer. docs/metrics.md says it to readers. */
const WITHOUT_MEANING: Readonly<Record<string, string>> = {
  otelcol_receiver_accepted_metric_points: "no metrics are taken",
  otelcol_receiver_refused_metric_points: "no metrics are taken",
  otelcol_exporter_sent_metric_points: "no metrics are passed on",
  otelcol_exporter_send_failed_metric_points: "no metrics are passed on",
  otelcol_exporter_enqueue_failed_metric_points: "no metrics are passed on",
  "otelcol_processor_(accepted|refused|dropped)_": "no processor can be put in or taken out",
  "otelcol_processor_(incoming|outgoing)_items": "no processor can be put in or taken out",
  otelcol_processor_batch_: "there is no batch processor",
  otelcol_otelsvc_k8s_: "there is no k8sattributes processor",
  otelcol_process_runtime_total_alloc_bytes: "V8 does not count what it has ever allocated",
  rpc_server_: "there is no gRPC port",
  rpc_client_: "nothing is sent by gRPC",
  http_client_: "meshproof_insert_duration_seconds and the exporter's counters say more",
};

const NAMING = [
  { withoutTypeSuffix: true, withoutUnits: true },
  { withoutTypeSuffix: false, withoutUnits: true },
  { withoutTypeSuffix: true, withoutUnits: false },
  { withoutTypeSuffix: false, withoutUnits: false },
];

/** What a server with a forwarder answers after some traffic: the label sets of each name. */
async function scrape(naming: (typeof NAMING)[number]): Promise<Map<string, string[][]>> {
  const metrics = new Metrics({ ...naming, version: "1.2.3" });
  metrics.requestAccepted("logs", 10, 1);
  metrics.requestAnswered({
    method: "POST",
    route: "/v1/logs",
    status: 200,
    seconds: 0.004,
    bodyBytes: 1400,
  });
  metrics.observe(
    () => Object.fromEntries(Object.keys(GAUGES).map((name) => [name, 1])) as unknown as Readings,
  );
  metrics.observeForwarding(() => ({ queueBytes: 1, queueCapacityBytes: 2 }));
  const found = new Map<string, string[][]>();
  for (const [, name, labels] of (await metrics.scrape()).matchAll(
    /^([a-z_0-9]+)(?:\{(.*)\})? \S+$/gm,
  )) {
    const names = [...(labels ?? "").matchAll(/(\w+)="/g)].map(([, label]) => label!);
    found.set(name!, [...(found.get(name!) ?? []), names]);
  }
  return found;
}

t.test("every query of a Collector's dashboard that has a meaning here is answered", async (t) => {
  for (const naming of NAMING) {
    const found = await scrape(naming);
    for (const [pattern, labels] of Object.entries(ANSWERED)) {
      const names = [...found.keys()].filter((name) => new RegExp(`^${pattern}$`).test(name));
      const expected = pattern.includes("(log_records|spans)") ? 2 : 1;
      t.equal(names.length, expected, `${pattern}: ${names.join()} ${JSON.stringify(naming)}`);
      const lacking = names.flatMap((name) =>
        found.get(name)!.filter((set) => !labels.every((label) => set.includes(label))),
      );
      t.same(lacking, [], `${pattern} has the labels ${labels.join()}`);
    }
    // The variable `suffix` of 15983 is what stands behind this name, and goes behind all counters.
    const suffix = naming.withoutTypeSuffix ? "" : "_total";
    const unit = naming.withoutUnits ? "" : "_seconds";
    t.ok(found.has(`otelcol_process_uptime${unit}${suffix}`));
    t.ok(found.has(`otelcol_receiver_accepted_spans${suffix}`));
  }
});

t.test("the values of its variables are there: receiver, exporter, transport", async (t) => {
  const metrics = new Metrics({ withoutTypeSuffix: true });
  metrics.observeForwarding(() => ({ queueBytes: 0, queueCapacityBytes: 0 }));
  const text = await metrics.scrape();
  const values = (prefix: string, label: string): string[] => [
    ...new Set(
      [...text.matchAll(new RegExp(`^${prefix}\\w+\\{[^}]*\\b${label}="([^"]*)"`, "gm"))].map(
        ([, value]) => value!,
      ),
    ),
  ];
  t.same(values("otelcol_receiver_", "receiver"), ["otlp"]);
  t.same(values("otelcol_receiver_", "transport"), ["http"]);
  t.same(values("otelcol_exporter_", "exporter"), ["clickhouse", "otlphttp"]);
});

t.test("what has no answer is documented, and has none", async (t) => {
  const guide = readFileSync(new URL("../../docs/metrics.md", import.meta.url), "utf8");
  const found = await scrape(NAMING[0]!);
  for (const [pattern, reason] of Object.entries(WITHOUT_MEANING)) {
    t.notOk(
      [...found.keys()].some((name) => new RegExp(`^${pattern}`).test(name)),
      `${pattern} is not answered`,
    );
    t.ok(guide.includes(reason), `docs/metrics.md says of ${pattern}: ${reason}`);
  }
});

t.test("a method that a client made up is no label of its own", async (t) => {
  const metrics = new Metrics({ withoutTypeSuffix: true });
  for (let i = 0; i < 50; i++)
    metrics.requestAnswered({
      method: `M${i}`,
      route: "",
      status: 405,
      seconds: 0.001,
      bodyBytes: undefined,
    });
  const text = await metrics.scrape();
  t.equal([...text.matchAll(/^http_server_request_duration_count\{/gm)].length, 1);
  t.match(text, /http_server_request_duration_count\{http_request_method="_OTHER".*\} 50/);
});
