import { OPTIONS } from "./options.ts";
import { ITEM } from "./schema.ts";

/** Keys that people bring from a Collector's configuration, and what stands in their place here. */
const FROM_THE_COLLECTOR: ReadonlyMap<string, string> = new Map(
  Object.entries({
    "receivers.otlp.protocols.grpc":
      "there is no OTLP/gRPC port; let a Collector receive gRPC and send OTLP/HTTP here",
    "processors.batch": "batches are exporters.clickhouse.batch",
    "processors.memory_limiter":
      "memory is bound by receivers.otlp.protocols.http.max_in_flight_bytes and exporters.clickhouse.max_pending_bytes",
    "exporters.clickhouse.ttl":
      "how long records are kept is exporters.clickhouse.retention.default",
    "exporters.clickhouse.sending_queue":
      "the queue is the journal on disk (storage.max_size); batches are exporters.clickhouse.batch",
    "exporters.clickhouse.retry_on_failure": "inserts are tried again until they are stored",
    "exporters.clickhouse.async_insert":
      "inserts are synchronous, so that what is counted as stored is stored",
    "exporters.otlphttp.encoding": "records are passed on in protobuf; remove this key",
    "exporters.otlphttp.metrics_endpoint": "there are no metrics to pass on; remove this key",
    "exporters.otlphttp.sending_queue.storage": "the queue is the journal on disk; remove this key",
    "exporters.otlphttp.sending_queue.sizer": "queue_size counts bytes; remove this key",
    "exporters.otlphttp.sending_queue.num_consumers":
      "requests are sent one behind the other; remove this key",
    "exporters.otlphttp.sending_queue.enabled": "the queue is always on; remove this key",
    "exporters.otlphttp.sending_queue.batch":
      "what waits is sent in requests of some 4 MiB at most; remove this key",
    "service.telemetry.metrics.level": "all metrics are there; remove this key",
    "service.telemetry.metrics.readers":
      "Prometheus scrapes service.telemetry.metrics.address; nothing is pushed",
    "service.pipelines": "there is one pipeline, and it is fixed; remove this key",
    "service.extensions": "all extensions are on; remove this key",
  }),
);

/** What an unknown key should be instead: `expected one of …; did you mean …`. */
export function explainUnknownKey(path: readonly (string | number)[]): string {
  const parents = path.slice(0, -1).map((part) => (typeof part === "number" ? ITEM : part));
  const key = String(path.at(-1));
  const siblings = OPTIONS.filter(
    (option) =>
      option.path.length === path.length &&
      parents.every((part, depth) => option.path[depth] === part),
  ).map((option) => option.path.at(-1) as string);
  const known = `expected one of ${siblings.join(", ")}, got an unknown key`;
  const collector = FROM_THE_COLLECTOR.get(path.join("."));
  if (collector !== undefined) return `${known}; ${collector}`;
  const near = nearest(key, siblings);
  if (near !== undefined) return `${known}; did you mean ${near}?`;
  const elsewhere = OPTIONS.filter((option) => option.path.at(-1) === key);
  if (elsewhere.length === 1) return `${known}; did you mean ${elsewhere[0]?.path.join(".")}?`;
  return known;
}

/** The candidate that is most like `word`, when it is like it at all: at most a third of its letters differ. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const ranked = candidates
    .map((candidate) => ({
      candidate,
      distance: editDistance(word.toLowerCase().replaceAll("-", "_"), candidate.toLowerCase()),
    }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= Math.max(1, Math.floor(best.candidate.length / 3))
    ? best.candidate
    : undefined;
}

/** Levenshtein distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, substitute));
    }
    row = next;
  }
  return row[b.length] as number;
}
