import { isAbsolute, relative, sep } from "node:path";
import { isLoopback } from "../core/hosts.ts";
import type { Config } from "./options.ts";
import { show } from "./types.ts";
import { formatEndpoint, formatSize, type Endpoint } from "./values.ts";

/** Something wrong between options that are each right by themselves. */
export interface Conflict {
  readonly path: readonly (string | number)[];
  readonly message: string;
  /** The key itself is wrong, not its value. */
  readonly atKey?: boolean;
}

/** Looks for conflicts that the configuration alone does not know. */
export type FindConflicts = (config: Config) => readonly Conflict[];

const HTTP = ["receivers", "otlp", "protocols", "http"] as const;
const API = ["extensions", "api"] as const;
const CLICKHOUSE = ["exporters", "clickhouse"] as const;
/** Users and databases that the embedded server has anyhow. */
const TAKEN_NAMES: ReadonlySet<string> = new Set([
  "default",
  "writer",
  "reader",
  "admin",
  "system",
  "information_schema",
]);

/** Every conflict between options. */
export function findConflicts(config: Config): readonly Conflict[] {
  return [
    ...openAddresses(config),
    ...sharedPorts(config),
    ...limits(config),
    ...credentials(config),
    ...classes(config),
    ...anchors(config),
    ...forwarding(config),
  ];
}

const OTLPHTTP = ["exporters", "otlphttp"] as const;
/** What waits to be passed on may take this share of the journal, and one request as much: rows need the rest. */
const FORWARD_SHARE = 8;

function forwarding(config: Config): Conflict[] {
  const { otlphttp } = config.exporters;
  if (otlphttp === undefined) return [];
  const { endpoint, logs_endpoint, traces_endpoint, tls, sending_queue } = otlphttp;
  const conflicts: Conflict[] = [];
  if (endpoint === "" && (logs_endpoint === "" || traces_endpoint === ""))
    conflicts.push({
      path: OTLPHTTP,
      message: "expected endpoint, or both logs_endpoint and traces_endpoint, got neither",
      atKey: true,
    });
  if ((tls.cert_file === "") !== (tls.key_file === ""))
    conflicts.push({
      path: [...OTLPHTTP, "tls"],
      message: "expected both cert_file and key_file or neither, got one",
    });
  const bound = Math.floor(config.storage.max_size / FORWARD_SHARE);
  const body = config.receivers.otlp.protocols.http.max_request_body_size;
  for (const [path, value] of [
    [[...OTLPHTTP, "sending_queue", "queue_size"], sending_queue.queue_size],
    [[...HTTP, "max_request_body_size"], body],
  ] as const)
    if (value > bound)
      conflicts.push({
        path,
        message: `expected at most an eighth of storage.max_size (${formatSize(bound)}) beside exporters.otlphttp, got ${formatSize(value)}: what waits to be passed on stands in the journal beside its rows`,
      });
  if (config.processors.normalise.redact.columns.length > 0)
    conflicts.push({
      path: ["processors", "normalise", "redact", "columns"],
      message:
        "expected no columns beside exporters.otlphttp: records are passed on as they came in, and have none; name keys or patterns",
    });
  return conflicts;
}

/** Nothing that takes or shows records may be open beyond this machine. Health and metrics hold no records. */
function openAddresses(config: Config): Conflict[] {
  const http = config.receivers.otlp.protocols.http;
  const { api, tokens } = config.extensions;
  const open = (endpoint: Endpoint, clientCa: string | undefined): boolean =>
    !isLoopback(endpoint.host) && tokens.file === "" && (clientCa ?? "") === "";
  const conflict = (path: readonly string[], endpoint: Endpoint): Conflict => ({
    path: [...path, "endpoint"],
    message:
      `expected extensions.tokens.file or ${path.join(".")}.tls.client_ca_file for an address beyond this machine, ` +
      `got ${formatEndpoint(endpoint)} open to all`,
  });
  return [
    ...(open(http.endpoint, http.tls?.client_ca_file) ? [conflict(HTTP, http.endpoint)] : []),
    ...(open(api.endpoint, api.tls?.client_ca_file) ? [conflict(API, api.endpoint)] : []),
  ];
}

function sharedPorts(config: Config): Conflict[] {
  const { embedded, endpoint: store } = config.exporters.clickhouse;
  const engineHost = "127.0.0.1";
  const listeners: { path: readonly string[]; endpoint: Endpoint }[] = [
    { path: [...HTTP, "endpoint"], endpoint: config.receivers.otlp.protocols.http.endpoint },
    { path: [...API, "endpoint"], endpoint: config.extensions.api.endpoint },
    {
      path: ["extensions", "health_check", "endpoint"],
      endpoint: config.extensions.health_check.endpoint,
    },
    {
      path: ["service", "telemetry", "metrics", "address"],
      endpoint: config.service.telemetry.metrics.address,
    },
  ];
  if (store === "embedded") {
    listeners.push({
      path: [...CLICKHOUSE, "embedded", "http_port"],
      endpoint: { host: engineHost, port: embedded.http_port },
    });
    listeners.push({
      path: [...CLICKHOUSE, "embedded", "native_port"],
      endpoint: { host: engineHost, port: embedded.native_port },
    });
  }
  return listeners.flatMap(({ path, endpoint }, index) => {
    const earlier = listeners
      .slice(0, index)
      .find(
        (other) =>
          other.endpoint.port === endpoint.port && overlap(other.endpoint.host, endpoint.host),
      );
    if (endpoint.port === 0 || earlier === undefined) return [];
    return [
      {
        path,
        message: `expected a port of its own, got ${endpoint.port}, which ${earlier.path.join(".")} has`,
      },
    ];
  });
}

function overlap(a: string, b: string): boolean {
  const names = [a, b].map((host) => (host === "localhost" ? "127.0.0.1" : host));
  return names[0] === names[1] || names.includes("0.0.0.0") || names.includes("::");
}

function limits(config: Config): Conflict[] {
  const http = config.receivers.otlp.protocols.http;
  const { batch, max_pending_bytes } = config.exporters.clickhouse;
  const conflicts: Conflict[] = [];
  const atMost = (
    path: readonly string[],
    value: number,
    boundName: string,
    bound: number,
    why: string,
  ): void => {
    if (value > bound)
      conflicts.push({
        path,
        message: `expected at most ${boundName} (${formatSize(bound)}), got ${formatSize(value)}: ${why}`,
      });
  };
  const body = [...HTTP, "max_request_body_size"];
  atMost(
    body,
    http.max_request_body_size,
    "max_in_flight_bytes",
    http.max_in_flight_bytes,
    "such a request could never be admitted",
  );
  atMost(
    body,
    http.max_request_body_size,
    "storage.max_size",
    config.storage.max_size,
    "such a request could never be kept",
  );
  atMost(
    [...CLICKHOUSE, "batch", "bytes"],
    batch.bytes,
    "max_pending_bytes",
    max_pending_bytes,
    "such a batch could never be full",
  );
  return conflicts;
}

function credentials(config: Config): Conflict[] {
  const store = config.exporters.clickhouse;
  const users = [
    { path: CLICKHOUSE as readonly string[], user: store },
    { path: [...CLICKHOUSE, "admin"], user: store.admin },
    { path: [...CLICKHOUSE, "reader"], user: store.reader },
  ];
  const conflicts: Conflict[] = [];
  for (const { path, user } of users) {
    if (user.password !== "" && user.password_file !== "") {
      conflicts.push({
        path: [...path, "password_file"],
        message: "expected either password or password_file, got both",
      });
    }
    if (store.endpoint === "embedded" && (user.password !== "" || user.password_file !== "")) {
      const key = user.password === "" ? "password_file" : "password";
      conflicts.push({
        path: [...path, key],
        message: "expected nothing: the embedded server's passwords are made on first start",
      });
    }
  }
  for (const guest of store.embedded.guests) {
    if (!TAKEN_NAMES.has(guest) && guest !== store.database) continue;
    conflicts.push({
      path: [...CLICKHOUSE, "embedded", "guests"],
      message: `expected names of databases and users of their own, but ${guest} is one of ours`,
    });
  }
  if (store.endpoint === "embedded" && store.cluster !== "") {
    conflicts.push({
      path: [...CLICKHOUSE, "cluster"],
      message: "expected nothing: the embedded server is not part of a cluster",
    });
  }
  if (store.endpoint === "embedded" && store.tls !== undefined) {
    conflicts.push({
      path: [...CLICKHOUSE, "tls"],
      message: "expected nothing: the embedded server is reached over 127.0.0.1",
    });
  }
  if (store.tls !== undefined && (store.tls.cert_file === "") !== (store.tls.key_file === "")) {
    conflicts.push({
      path: [...CLICKHOUSE, "tls"],
      message: "expected both cert_file and key_file or neither, got one",
    });
  }
  return conflicts;
}

/** An old copy of the directory would bring its old anchor along. */
function anchors(config: Config): Conflict[] {
  const { anchor } = config.processors.seal;
  const { directory } = config.storage;
  const below = relative(directory, anchor);
  if (anchor === "" || below.split(sep)[0] === ".." || isAbsolute(below)) return [];
  return [
    {
      path: ["processors", "seal", "anchor"],
      message: `expected a file outside storage.directory (${directory}), got ${anchor}`,
    },
  ];
}

const CLASS_NAME = /^[a-z][a-z0-9_-]{0,62}$/;

function classes(config: Config): Conflict[] {
  const { retention } = config.exporters.clickhouse;
  const unknown = config.processors.retention.rules.flatMap((rule, i) =>
    Object.hasOwn(retention, rule.class)
      ? []
      : [
          {
            path: ["processors", "retention", "rules", i, "class"],
            message: `expected a class of exporters.clickhouse.retention (${Object.keys(retention).join(", ")}), got ${show(rule.class)}`,
          },
        ],
  );
  const misnamed = Object.keys(config.exporters.clickhouse.retention)
    .filter((name) => !CLASS_NAME.test(name))
    .map((name) => ({
      path: [...CLICKHOUSE, "retention", name],
      message: "expected a class name of a-z, 0-9, _ and -, got another",
    }));
  return [...misnamed, ...unknown];
}

/** How the origins begin that stand in the files that we ship. */
const SHIPPED_ORIGINS = "meshproof.local/";

/** What is allowed and yet worth a line in the log at start. */
export function findRisks(config: Config): readonly string[] {
  const http = config.receivers.otlp.protocols.http;
  const { api } = config.extensions;
  const { origin } = config.processors.seal;
  const risks: string[] = [];
  for (const [path, listener] of [
    [HTTP, http],
    [API, api],
  ] as const) {
    if (!isLoopback(listener.endpoint.host) && listener.tls === undefined) {
      risks.push(
        `${path.join(".")} has no tls: tokens and records cross the network in plain text unless something in front encrypts them`,
      );
    }
  }
  if (
    origin.startsWith(SHIPPED_ORIGINS) &&
    (!isLoopback(http.endpoint.host) || !isLoopback(api.endpoint.host))
  ) {
    risks.push(
      `processors.seal.origin is still ${origin}: a log that others see needs a name of its own, and it can never change`,
    );
  }
  if (config.exporters.otlphttp?.tls.insecure_skip_verify === true)
    risks.push(
      "exporters.otlphttp.tls.insecure_skip_verify is on: whoever is in between can read and change what is passed on",
    );
  return risks;
}
