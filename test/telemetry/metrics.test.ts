import t from "tap";
import type { Readings } from "../../src/telemetry/gauges.ts";
import { Metrics } from "../../src/telemetry/metrics.ts";
import { formatFamilies } from "../../src/telemetry/prometheus.ts";

const READINGS: Readings = {
  inFlightBytes: 1,
  inFlightCapacityBytes: 2,
  deduplicationKeys: 3,
  correlationRecords: 12,
  correlationCapacity: 13,
  journalBytes: 4,
  journalCapacityBytes: 5,
  storeQueueBytes: 6,
  storeQueueCapacityBytes: 7,
  storedThrough: 8,
  treeSize: 9_007_199_254_740_991,
  signedSize: 10,
  publishedSize: 11,
  checkpointAgeSeconds: 0.5,
  unsignedSeconds: 31,
  clockOffsetSeconds: -2.5,
  clockJumps: 1,
};

/** The value of each sample, by name and labels as they are written. */
function samples(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => [
      line.slice(0, line.lastIndexOf(" ")),
      Number(line.slice(line.lastIndexOf(" ") + 1)),
    ]),
  );
}

async function scraped(metrics: Metrics): Promise<Map<string, number>> {
  return samples(await metrics.scrape());
}

t.test("what came in and what was stored have the Collector's names and labels", async (t) => {
  const metrics = new Metrics({ withoutTypeSuffix: true });
  metrics.requestAccepted("logs", 100, 2);
  metrics.requestAccepted("logs", 50, 0);
  metrics.requestAccepted("traces", 7, 0);
  metrics.requestRefused("traces", "OVERLOADED", 0);
  metrics.requestFailed("logs", 3);
  metrics.rowsStored("access", 10, 0.02);
  metrics.rowsStored("log", 5, 0.02);
  metrics.rowsStored("span", 7, 0.02);
  metrics.rowsStored("control", 1, 0.02);
  metrics.rowsFailed("span", 4);
  metrics.rowsFailed("finding", 4);
  const values = await scraped(metrics);
  const receiver = '{receiver="otlp",transport="http"}';
  const exporter = '{exporter="clickhouse"}';
  const expected = {
    [`otelcol_receiver_accepted_log_records${receiver}`]: 150,
    [`otelcol_receiver_accepted_spans${receiver}`]: 7,
    [`otelcol_receiver_refused_log_records${receiver}`]: 2,
    [`otelcol_receiver_refused_spans${receiver}`]: 0,
    [`otelcol_receiver_failed_log_records${receiver}`]: 3,
    [`otelcol_receiver_failed_spans${receiver}`]: 0,
    'otelcol_receiver_requests{receiver="otlp",transport="http",outcome="success"}': 3,
    'otelcol_receiver_requests{receiver="otlp",transport="http",outcome="refused"}': 1,
    'otelcol_receiver_requests{receiver="otlp",transport="http",outcome="failure"}': 1,
    'meshproof_receiver_refused_requests{signal="traces",code="OVERLOADED"}': 1,
    'meshproof_receiver_rejected_records{signal="logs"}': 2,
    [`otelcol_exporter_sent_log_records${exporter}`]: 15,
    [`otelcol_exporter_sent_spans${exporter}`]: 7,
    [`otelcol_exporter_send_failed_log_records${exporter}`]: 0,
    [`otelcol_exporter_send_failed_spans${exporter}`]: 4,
    'meshproof_stored_records{kind="control"}': 1,
  };
  for (const [name, value] of Object.entries(expected)) t.equal(values.get(name), value, name);
});

t.test("our own counters and durations are there", async (t) => {
  const metrics = new Metrics({ withoutTypeSuffix: true });
  metrics.recorded("access", "envoy-otel", 10);
  metrics.batchDeduplicated("logs");
  metrics.rowsQuarantined("log", 2);
  metrics.linksMade("span", 5);
  metrics.correlationOverflowed(6);
  metrics.decoded("logs", 0.003);
  metrics.journalSynced(0.004);
  metrics.journalSynced(99);
  const values = await scraped(metrics);
  t.equal(values.get('meshproof_records{kind="access",dialect="envoy-otel"}'), 10);
  t.equal(values.get('meshproof_deduplicated_batches{signal="logs"}'), 1);
  t.equal(values.get('meshproof_quarantined_rows{kind="log"}'), 2);
  t.equal(values.get('meshproof_links{rule="span"}'), 5);
  t.equal(values.get("meshproof_correlation_overflow_records"), 6);
  t.equal(values.get('meshproof_decode_duration_seconds_count{signal="logs"}'), 1);
  t.equal(values.get('meshproof_journal_fsync_duration_seconds_bucket{le="0.0025"}'), 0);
  t.equal(values.get('meshproof_journal_fsync_duration_seconds_bucket{le="0.005"}'), 1);
  t.equal(values.get('meshproof_journal_fsync_duration_seconds_bucket{le="10"}'), 1);
  t.equal(values.get('meshproof_journal_fsync_duration_seconds_bucket{le="+Inf"}'), 2);
  t.equal(values.get("meshproof_journal_fsync_duration_seconds_count"), 2);
  t.equal(values.get("meshproof_journal_fsync_duration_seconds_sum"), 99.004);
});

t.test("gauges are read anew at each scrape", async (t) => {
  const metrics = new Metrics({ withoutTypeSuffix: true });
  let readings = READINGS;
  metrics.observe(() => readings);
  let values = await scraped(metrics);
  t.equal(values.get('otelcol_exporter_queue_size{exporter="clickhouse"}'), 6);
  t.equal(values.get('otelcol_exporter_queue_capacity{exporter="clickhouse"}'), 7);
  t.equal(values.get("meshproof_journal_bytes"), 4);
  t.equal(values.get("meshproof_tree_size"), 9_007_199_254_740_991);
  t.equal(values.get("meshproof_checkpoint_age_seconds"), 0.5);
  t.equal(values.get("meshproof_unsigned_seconds"), 31);
  t.equal(values.get("meshproof_clock_offset_seconds"), -2.5);
  t.equal(values.get("meshproof_clock_jumps"), 1);
  readings = { ...READINGS, journalBytes: 0 };
  values = await scraped(metrics);
  t.equal(values.get("meshproof_journal_bytes"), 0);
});

t.test("scheduled verifications are counted, and the last of each mode is told", async (t) => {
  const metrics = new Metrics({ withoutTypeSuffix: true });
  const run = { endedAtSeconds: 1_800_000_000, durationSeconds: 2.5, records: 300, faults: 2 };
  metrics.observeVerification(() => [
    { mode: "full", ...run, integrityOk: 0 },
    { mode: "incremental", ...run, integrityOk: null },
  ]);
  metrics.verified("full", "broken");
  const values = await scraped(metrics);
  const expected = {
    'meshproof_verification_runs{mode="full",outcome="broken"}': 1,
    'meshproof_verification_last_run_timestamp_seconds{mode="full"}': 1_800_000_000,
    'meshproof_verification_duration_seconds{mode="incremental"}': 2.5,
    'meshproof_verification_records{mode="full"}': 300,
    'meshproof_verification_faults{mode="full"}': 2,
    'meshproof_verification_integrity_ok{mode="full"}': 0,
  };
  for (const [name, value] of Object.entries(expected)) t.equal(values.get(name), value, name);
  t.equal(values.get('meshproof_verification_integrity_ok{mode="incremental"}'), undefined);
});

t.test("readings that throw do not take the other metrics with them", async (t) => {
  const metrics = new Metrics({ withoutTypeSuffix: true });
  metrics.observe(() => {
    throw new Error("not open yet");
  });
  metrics.recorded("log", "", 1);
  const values = await scraped(metrics);
  t.equal(values.get('meshproof_records{kind="log",dialect=""}'), 1);
  t.equal(values.get("meshproof_journal_bytes"), undefined);
});

t.test("names have no suffix, unit or scope by default, and _total only on request", async (t) => {
  const plain = await new Metrics({ withoutTypeSuffix: true }).scrape();
  t.notMatch(plain, /_total[{ ]|otel_scope|# UNIT/);
  t.match(plain, /^# TYPE otelcol_receiver_accepted_spans counter$/m);
  for (const name of ["uptime", "cpu_seconds", "memory_rss", "runtime_heap_alloc_bytes"]) {
    t.ok((samples(plain).get(`otelcol_process_${name}`) ?? 0) > 0, name);
  }
  const suffixed = await new Metrics({ withoutTypeSuffix: false }).scrape();
  t.match(suffixed, /^# TYPE otelcol_receiver_accepted_spans_total counter$/m);
  t.match(suffixed, /^otelcol_process_memory_rss \d/m, "gauges keep their names");
});

t.test("/metrics is served as Prometheus reads it", async (t) => {
  const listener = await new Metrics({ withoutTypeSuffix: true }).listen({
    host: "127.0.0.1",
    port: 0,
  });
  t.teardown(() => listener.close());
  const answer = await fetch(`http://127.0.0.1:${listener.port}/metrics`);
  t.equal(answer.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  for (const line of (await answer.text()).trimEnd().split("\n")) {
    t.match(
      line,
      /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{([a-z_]+="[^"]*",?)+\})? (\d|\.|e|\+|-|Inf)+)$/,
    );
  }
  t.equal((await fetch(`http://127.0.0.1:${listener.port}/`)).status, 404);
});

t.test(
  "label values and help texts are escaped, and families without points are left out",
  async (t) => {
    const text = formatFamilies([
      {
        name: "a",
        help: "one\ntwo \\",
        type: "gauge",
        points: [{ labels: { l: 'q"\\\n' }, value: -Infinity }],
      },
      { name: "b", help: "", type: "counter", points: [] },
    ]);
    t.equal(text, '# HELP a one\\ntwo \\\\\n# TYPE a gauge\na{l="q\\"\\\\\\n"} -Inf\n');
  },
);
