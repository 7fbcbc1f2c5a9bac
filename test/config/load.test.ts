import { join } from "node:path";
import t, { type Test } from "tap";
import { findRisks } from "../../src/config/checks.ts";
import { configHash, withoutSecrets } from "../../src/config/hash.ts";
import { defaultConfig, loadConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/options.ts";
import { MeshproofError } from "../../src/core/errors.ts";

/** The configuration of YAML texts, one a file: `0.yaml`, `1.yaml`, … */
function load(t: Test, texts: readonly string[], env: Record<string, string> = {}): Config {
  const directory = t.testdir(
    Object.fromEntries(texts.map((text, index) => [`${index}.yaml`, text])),
  );
  return loadConfig(
    texts.map((_, index) => join(directory, `${index}.yaml`)),
    env,
  );
}

/** The lines of the error that YAML texts cause, without the directory. */
function problems(t: Test, texts: readonly string[], env: Record<string, string> = {}): string[] {
  try {
    load(t, texts, env);
  } catch (error) {
    t.type(error, MeshproofError);
    t.equal((error as MeshproofError).code, "CONFIG_INVALID");
    return (error as Error).message
      .split("\n")
      .map((line) => line.replace(/^.*[/\\](?=\d\.yaml)/, ""));
  }
  t.fail("a broken configuration was accepted");
  return [];
}

const HTTP = "receivers.otlp.protocols.http";
const http = (inner: string): string =>
  `receivers: { otlp: { protocols: { http: { ${inner} } } } }`;

t.test("the sample of the design is all defaults, with a variable in a flow map", async (t) => {
  const sample = `
receivers:
  otlp: { protocols: { http: { endpoint: 127.0.0.1:4318, max_request_body_size: 64MiB } } }
processors:
  normalise: { redact: { query_parameters: [token, code, password], headers: [authorization, cookie] } }
  seal: { origin: meshproof.local/dev, checkpoint_interval: 1s, signer: { type: file, path: \${env:MESHPROOF_KEY_FILE:-} } }
exporters:
  clickhouse: { endpoint: embedded, database: otel, retention: { default: 13 months } }   # or endpoint: https://clickhouse.example:8443
extensions:
  health_check: { endpoint: 127.0.0.1:13133 }
  api: { endpoint: 127.0.0.1:8320 }
storage: { directory: ./data, max_size: 10GiB }
service: { telemetry: { logs: { level: info }, metrics: { address: 127.0.0.1:8888 } } }
`;
  t.same(load(t, [sample]), defaultConfig());
  t.equal(
    load(t, [sample], { MESHPROOF_KEY_FILE: "/keys/log.pem" }).processors.seal.signer.path,
    "/keys/log.pem",
  );
});

t.test("values arrive as numbers of their unit", async (t) => {
  const config = load(t, [
    `${http("endpoint: '[::1]:0', admission_timeout: 1m30s, max_request_body_size: 1048576")}\nexporters: { clickhouse: { retention: { default: 90 days, payments: 7 months } } }`,
  ]);
  const { endpoint, admission_timeout, max_request_body_size } =
    config.receivers.otlp.protocols.http;
  t.same(
    { endpoint, admission_timeout, max_request_body_size },
    {
      endpoint: { host: "::1", port: 0 },
      admission_timeout: 90_000,
      max_request_body_size: 1048576,
    },
  );
  t.same(config.exporters.clickhouse.retention, {
    default: { count: 90, unit: "days" },
    payments: { count: 7, unit: "months" },
  });
});

t.test("empty files, empty sections and comments say nothing", async (t) => {
  for (const text of [
    "",
    "# only a comment\n",
    "receivers:\nprocessors:\n  seal:\n",
    "{}",
    "---\n...\n",
    "storage: ~",
  ]) {
    t.same(load(t, [text]), defaultConfig(), JSON.stringify(text));
  }
});

t.test("later files win, maps merge, lists are replaced", async (t) => {
  const config = load(t, [
    "processors: { normalise: { redact: { headers: [a, b], query_parameters: [x] } }, seal: { origin: first } }",
    "processors: { normalise: { redact: { headers: [c] } }, seal: { checkpoint_records: 5 } }",
    "processors: { seal: { origin: } }",
  ]);
  t.same(config.processors.normalise.redact.headers, ["c"]);
  t.same(config.processors.normalise.redact.query_parameters, ["x"]);
  t.equal(config.processors.seal.origin, "first", "a key without a value says nothing");
  t.equal(config.processors.seal.checkpoint_records, 5);
});

t.test("a key that is no option is an error without a value too", async (t) => {
  const collector = "receivers: { otlp: { protocols: { grpc: , http: } } }\nprocessors: { batch: }";
  const [grpc, batch, ...others] = problems(t, [collector]);
  t.match(grpc, /^0\.yaml:1:35: receivers\.otlp\.protocols\.grpc: .*there is no OTLP\/gRPC port/);
  t.match(batch, /^0\.yaml:2:15: processors\.batch: .*exporters\.clickhouse\.batch/);
  t.same(others, []);
  const headers = "exporters: { otlphttp: { endpoint: 'http://a:1', headers: { X: } } }";
  t.ok(load(t, [headers]), "where keys are free, it says nothing");
});

t.test("a problem is placed in the file whose value counts", async (t) => {
  t.same(problems(t, ["storage: { max_size: 1GiB }", "\nstorage:\n  max_size: lots\n"]), [
    '1.yaml:3:13: storage.max_size: expected a size of at least 1MiB, such as 64MiB, 1.5GiB or a number of bytes, got "lots"',
  ]);
});

t.test("every problem is reported, in reading order, with line, column and key", async (t) => {
  const text = `receivers:
  otlp:
    protocols:
      grpc: { endpoint: x }
      http:
        endpont: 1
        endpoint: 5
        tls:
          min_version: 1.2
        allowed_hosts: [ok.example, 7]
processors: [1]
storage:
  max_siz: 1
service: { pipelines: {}, telemetry: { logs: { level: verbose } }, max_pending_bytes: 3 }
__proto__: { polluted: 1 }
`;
  const lines = problems(t, [text]);
  const expected = [
    /^0\.yaml:4:7: receivers\.otlp\.protocols\.grpc: expected one of http, got an unknown key; there is no OTLP\/gRPC port/,
    /^0\.yaml:6:9: receivers\.otlp\.protocols\.http\.endpont: expected one of .*; did you mean endpoint\?$/,
    /^0\.yaml:7:19: receivers\.otlp\.protocols\.http\.endpoint: expected host:port, such as 127\.0\.0\.1:4318 or "\[::1\]:4318", got 5$/,
    /^0\.yaml:8:9: receivers\.otlp\.protocols\.http\.tls\.(cert|key)_file: expected a path, got nothing$/,
    /^0\.yaml:8:9: receivers\.otlp\.protocols\.http\.tls\.(cert|key)_file: expected a path, got nothing$/,
    /^0\.yaml:10:24: receivers\.otlp\.protocols\.http\.allowed_hosts: expected a list of host names or addresses, got \["ok\.example", 7\]$/,
    /^0\.yaml:11:13: processors: expected a map of options, got \[1\]$/,
    /^0\.yaml:13:3: storage\.max_siz: expected one of directory, max_size, got an unknown key; did you mean max_size\?$/,
    /^0\.yaml:14:12: service\.pipelines: .*; there is one pipeline, and it is fixed; remove this key$/,
    /^0\.yaml:14:55: service\.telemetry\.logs\.level: expected one of debug, info, warn, error, got "verbose"$/,
    /^0\.yaml:14:68: service\.max_pending_bytes: .*; did you mean exporters\.clickhouse\.max_pending_bytes\?$/,
    /^0\.yaml:15:1: __proto__: expected one of receivers, .*, got an unknown key$/,
  ];
  t.equal(lines.length, expected.length, lines.join("\n"));
  for (const [index, pattern] of expected.entries()) t.match(lines[index], pattern);
  t.equal(({} as Record<string, unknown>)["polluted"], undefined);
});

t.test("retention rules name classes that there are, and a wrong one is placed", async (t) => {
  const config = load(t, [
    `processors: { retention: { rules: [{ class: pci, namespace: shop, path: /cards/* }, { class: default }] } }
exporters: { clickhouse: { retention: { pci: 12 months }, expiry: { interval: 5m, grace: 0s, dry_run: true } } }`,
  ]);
  t.same(config.processors.retention.rules, [
    { class: "pci", namespace: "shop", path: "/cards/*" },
    { class: "default" },
  ]);
  t.same(config.exporters.clickhouse.expiry, { interval: 300_000, grace: 0, dry_run: true });
  const text = `processors:
  retention:
    rules:
      - { class: default, service: a }
      - namespace: shop
        class: pcl
`;
  t.same(problems(t, [text, "exporters: { clickhouse: { retention: { pci: 1 month } } }"]), [
    '0.yaml:6:16: processors.retention.rules[1].class: expected a class of exporters.clickhouse.retention (default, pci), got "pcl"',
  ]);
  for (const rules of [
    "all",
    "[pci]",
    "[{ namespace: shop }]",
    "[{ class: default, path: a*b }]",
    "[{ class: default, path: '' }]",
    "[{ class: default, method: GET }]",
    "[{ class: default, path: 7 }]",
    `[${Array.from({ length: 1001 }, () => "{ class: default }").join(", ")}]`,
  ])
    t.match(problems(t, [`processors: { retention: { rules: ${rules} } }`]), [
      /^0\.yaml:1:35: processors\.retention\.rules: expected a list of at most 1000 rules \{ class, namespace, service, path \}/,
    ]);
});

t.test("broken YAML is placed, and so are files that are no map or cannot be read", async (t) => {
  t.match(problems(t, ["storage: [1\n"])[0], /^0\.yaml:\d+:\d+: expected YAML, got an error: /);
  t.match(
    problems(t, ["a: 1\na: 2\n"])[0],
    /^0\.yaml:2:1: expected YAML, got an error: Map keys must be unique/,
  );
  t.same(problems(t, ["- 1\n"]), ["0.yaml:1:1: expected a map of options, got [1]"]);
  t.same(problems(t, ["text"]), ['0.yaml:1:1: expected a map of options, got "text"']);
  const bomb = [
    "a: &a [x,x,x,x,x,x,x,x,x,x]",
    ..."bcdef"
      .split("")
      .map((name, i) => `${name}: &${name} [${Array(10).fill(`*${"abcde"[i]}`).join(",")}]`),
  ].join("\n");
  t.match(
    problems(t, [bomb])[0],
    /^0\.yaml:1:1: expected YAML, got an error: .*alias/,
    "aliases cannot expand without bound",
  );
  t.throws(() => loadConfig([join(t.testdir({}), "none.yaml")], {}), {
    code: "CONFIG_INVALID",
    message: /none\.yaml: expected a readable file, got ENOENT$/,
  });
});

t.test("variables expand in values of every style, and never in keys", async (t) => {
  const env = { DIR: "/srv/data", PORT: "7", EMPTY: "", TRICK: "${env:DIR}", YES: "true", N: "12" };
  const directory = (value: string): string =>
    load(t, [`storage: { directory: ${value} }`], env).storage.directory;
  t.equal(directory("${env:DIR}"), "/srv/data");
  t.equal(directory('"${env:DIR}/a"'), "/srv/data/a");
  t.equal(directory("'${env:DIR}/${env:PORT}'"), "/srv/data/7");
  t.equal(directory("${env:NONE:-./default}"), "./default");
  t.equal(directory("x${env:EMPTY:-default}"), "x", "an empty variable is set");
  t.equal(directory("$${env:DIR}"), "${env:DIR}", "$$ is a plain $");
  t.equal(directory("$$$${env:DIR}"), "$${env:DIR}");
  t.equal(directory("a$b"), "a$b");
  t.equal(directory("${env:TRICK}"), "${env:DIR}", "what comes in is not expanded again");
  const config = load(
    t,
    [
      `processors: { seal: { checkpoint_records: \${env:N} } }\nextensions: { api: { endpoint: "127.0.0.1:\${env:PORT}", public_log: \${env:YES} } }`,
    ],
    env,
  );
  t.equal(config.processors.seal.checkpoint_records, 12);
  t.equal(config.extensions.api.public_log, true);
  t.same(config.extensions.api.endpoint, { host: "127.0.0.1", port: 7 });
  t.match(
    problems(t, ['"${env:DIR}": 1'], env)[0],
    /^0\.yaml:1:1: \$\{env:DIR\}: expected one of receivers/,
  );
});

t.test("a variable without a value or with a wrong name is an error where it stands", async (t) => {
  t.same(problems(t, ["storage:\n  directory: ${env:NONE}\n"]), [
    "0.yaml:2:14: expected environment variable NONE to be set, or a default: ${env:NONE:-default}",
  ]);
  for (const wrong of ["${NAME}", "${env:1A}", "${env:}", "${file:/etc/passwd}", "${env:A"]) {
    t.match(
      problems(t, [`storage:\n  directory: "${wrong}"\n`], { A: "1" })[0],
      /^0\.yaml:2:14: expected \$\{env:NAME\} or \$\{env:NAME:-default\}, got "\$\{/,
      wrong,
    );
  }
});

t.test(
  "a password is never shown, neither in an error nor in the hash nor in what is printed",
  async (t) => {
    const lines = problems(t, [
      "exporters: { clickhouse: { endpoint: 'http://ch:8123', password: 12345 } }",
    ]);
    t.match(lines[0], /exporters\.clickhouse\.password: expected text, got another type of value$/);
    t.notMatch(lines.join(), "12345");
    t.notMatch(problems(t, ["exporters: { clickhouse: { password: hunter2 } }"]).join(), "hunter2");
    const remote = (password: string): Config =>
      load(t, [
        `exporters: { clickhouse: { endpoint: 'http://ch:8123', password: ${password}, admin: { password: ${password} } } }`,
      ]);
    t.equal(
      configHash(remote("one")),
      configHash(remote("two")),
      "a new password is no new configuration",
    );
    t.notMatch(JSON.stringify(withoutSecrets(remote("hunter2"))), "hunter2");
  },
);

t.test("the hash tells configurations apart, and not the order of their keys", async (t) => {
  t.match(configHash(defaultConfig()), /^[0-9a-f]{64}$/);
  t.not(configHash(load(t, ["storage: { max_size: 11GiB }"])), configHash(defaultConfig()));
  const a = load(t, ["exporters: { clickhouse: { retention: { a: 1 days, b: 2 days } } }"]);
  const b = load(t, ["exporters: { clickhouse: { retention: { b: 2 days, a: 1 days } } }"]);
  t.equal(configHash(a), configHash(b));
});

t.test("nothing is open beyond this machine without tokens or client certificates", async (t) => {
  const open = (path: string, got: string): RegExp =>
    new RegExp(
      `${path}\\.endpoint: expected extensions\\.tokens\\.file or ${path}\\.tls\\.client_ca_file .*, got ${got} open to all$`,
    );
  for (const host of ["0.0.0.0", "192.0.2.1", "collector.example", "'[::]", "128.0.0.1"]) {
    const endpoint = host.startsWith("'") ? `${host}:4318'` : `${host}:4318`;
    t.match(problems(t, [http(`endpoint: ${endpoint}`)])[0], open(HTTP, ".*"), host);
  }
  t.match(
    problems(t, ["extensions: { api: { endpoint: 0.0.0.0:1 } }"])[0],
    open("extensions.api", "0\\.0\\.0\\.0:1"),
  );
  for (const host of ["127.0.0.1", "127.1.2.3", "localhost", "'[::1]"]) {
    t.ok(load(t, [http(`endpoint: ${host.startsWith("'") ? `${host}:1'` : `${host}:1`}`)]), host);
  }
  const tls = (inner: string): string =>
    http(`endpoint: 0.0.0.0:1, tls: { cert_file: c, key_file: k${inner} }`);
  t.equal(problems(t, [tls("")]).length, 1, "TLS alone lets everybody in");
  t.ok(load(t, [tls(", client_ca_file: ca")]));
  t.ok(
    load(t, [
      `${http("endpoint: 0.0.0.0:1")}\nextensions: { api: { endpoint: 0.0.0.0:2 }, tokens: { file: tokens } }`,
    ]),
  );
  t.ok(
    load(t, [
      "extensions: { health_check: { endpoint: 0.0.0.0:1 } }\nservice: { telemetry: { metrics: { address: 0.0.0.0:2 } } }",
    ]),
    "probes and scrapes hold no records",
  );
});

t.test("what is allowed and yet risky is said", async (t) => {
  t.same(findRisks(defaultConfig()), []);
  const risks = findRisks(
    load(t, [`${http("endpoint: 0.0.0.0:1")}\nextensions: { tokens: { file: tokens } }`]),
  );
  t.match(risks[0], /^receivers\.otlp\.protocols\.http has no tls/);
  t.match(risks[1], /^processors\.seal\.origin is still meshproof\.local\/dev/);
  const origin = (name: string): number =>
    findRisks(
      load(t, [
        `${http("endpoint: 0.0.0.0:1")}\nextensions: { tokens: { file: tokens } }\nprocessors: { seal: { origin: ${name} } }`,
      ]),
    ).length;
  t.same([origin("meshproof.local/kubernetes"), origin("logs.example/shop")], [2, 1]);
});

t.test("options that contradict each other are found", async (t) => {
  const conflict = (text: string, pattern: RegExp): void =>
    void t.match(problems(t, [text])[0], pattern, text);
  conflict(
    "extensions: { api: { endpoint: 127.0.0.1:4318 } }",
    /extensions\.api\.endpoint: expected a port of its own, got 4318, which receivers\.otlp\.protocols\.http\.endpoint has$/,
  );
  conflict(
    "exporters: { clickhouse: { embedded: { http_port: 8888 } } }",
    /embedded\.http_port: expected a port of its own/,
  );
  conflict(
    http("max_request_body_size: 65MiB"),
    /expected at most max_in_flight_bytes \(64MiB\), got 65MiB/,
  );
  conflict(
    "storage: { max_size: 2MiB }",
    /defaults: receivers\.otlp\.protocols\.http\.max_request_body_size: expected at most storage\.max_size \(2MiB\)/,
  );
  conflict(
    "exporters: { clickhouse: { max_pending_bytes: 1MiB } }",
    /batch\.bytes: expected at most max_pending_bytes/,
  );
  conflict(
    "exporters: { clickhouse: { endpoint: 'http://a', password: a, password_file: b } }",
    /password_file: expected either password or password_file, got both$/,
  );
  conflict(
    "exporters: { clickhouse: { reader: { password: a } } }",
    /reader\.password: expected nothing: the embedded server's passwords/,
  );
  conflict("exporters: { clickhouse: { cluster: c } }", /cluster: expected nothing/);
  for (const guest of ["reader", "system", "otel"])
    conflict(
      `exporters: { clickhouse: { embedded: { guests: [peer, ${guest}] } } }`,
      new RegExp(`embedded\\.guests: expected names .*, but ${guest} is one of ours$`),
    );
  conflict(
    "exporters: { clickhouse: { embedded: { guests: ['a-b'] } } }",
    /embedded\.guests: expected a list of names of at most 32 lower-case letters, digits and _/,
  );
  for (const [directory, anchor] of [
    ["./data", "data/anchor"],
    ["/var/mesh", "/var/mesh/../mesh/a/b"],
    ["./data", "./data"],
  ])
    conflict(
      `{ storage: { directory: ${directory} }, processors: { seal: { anchor: ${anchor} } } }`,
      /seal\.anchor: expected a file outside storage\.directory/,
    );
  for (const anchor of ["./database", "../data", "/mnt/..data/a"])
    t.equal(
      load(t, [`processors: { seal: { anchor: ${anchor} } }`]).processors.seal.anchor,
      anchor,
    );
  conflict("exporters: { clickhouse: { tls: { ca_file: c } } }", /tls: expected nothing/);
  conflict(
    "exporters: { clickhouse: { endpoint: 'https://a', tls: { cert_file: c } } }",
    /tls: expected both cert_file and key_file or neither/,
  );
  conflict(
    "exporters: { clickhouse: { retention: { 'A class': 1 days } } }",
    /retention\.A class: expected a class name/,
  );
  const anyPort = [
    "extensions: { api: { endpoint: 127.0.0.1:0 }, health_check: { endpoint: 127.0.0.1:0 } }",
  ];
  t.ok(load(t, anyPort), "port 0 collides with nothing");
});

t.test("values outside their bounds are refused", async (t) => {
  const refused = (text: string, pattern: RegExp): void =>
    void t.match(problems(t, [text])[0], pattern, text);
  refused(
    "processors: { seal: { origin: 'a b' } }",
    /origin: expected a name without spaces or "\+"/,
  );
  refused("processors: { seal: { origin: a+b } }", /origin/);
  refused("processors: { seal: { origin: '' } }", /origin/);
  refused("processors: { seal: { checkpoint_interval: 1ms } }", /of at least 10ms/);
  refused("processors: { seal: { checkpoint_interval: 25 days } }", /checkpoint_interval/);
  refused("processors: { seal: { checkpoint_records: 0 } }", /a whole number from 1 to/);
  refused("processors: { seal: { checkpoint_records: 1.5 } }", /a whole number/);
  refused(
    "processors: { seal: { signer: { type: hsm } } }",
    /signer\.type: expected one of file, pkcs11, got "hsm"/,
  );
  refused("storage: { directory: '' }", /expected a path, got ""/);
  refused(
    "exporters: { clickhouse: { endpoint: 'https://user:secret@ch' } }",
    /endpoint: expected embedded, or a URL/,
  );
  refused(
    "exporters: { clickhouse: { endpoint: 'tcp://ch:9000' } }",
    /endpoint: expected embedded, or a URL/,
  );
  refused("exporters: { clickhouse: { database: 'a; DROP' } }", /database/);
  refused("exporters: { clickhouse: { embedded: { http_port: 65536 } } }", /http_port/);
  refused("extensions: { api: { public_log: maybe } }", /expected true or false, got "maybe"/);
  t.equal(
    load(t, ["exporters: { clickhouse: { endpoint: 'https://ch:8443/' } }"]).exporters.clickhouse
      .endpoint,
    "https://ch:8443",
  );
});

t.test("locations are paths and the Collector's URIs, one over the other", async (t) => {
  const directory = t.testdir({ "0.yaml": "exporters: { clickhouse: { database: one } }" });
  const file = join(directory, "0.yaml");
  const env = { CONFIG: "processors: { seal: { origin: '${env:ORIGIN}' } }", ORIGIN: "a.example" };
  const config = loadConfig(
    [
      `file:${file}`,
      "env:CONFIG",
      "yaml:exporters::clickhouse::batch::rows: 7",
      "yaml:{ storage: { directory: ./elsewhere } }",
    ],
    env,
  );
  t.equal(config.exporters.clickhouse.database, "one");
  t.equal(config.processors.seal.origin, "a.example");
  t.equal(config.exporters.clickhouse.batch.rows, 7);
  t.equal(config.storage.directory, "./elsewhere");
  t.equal(
    loadConfig([file, "yaml:exporters::clickhouse::database: two"], {}).exporters.clickhouse
      .database,
    "two",
  );
  const refused = (location: string, message: RegExp): void =>
    void t.throws(() => loadConfig([location], {}), { code: "CONFIG_INVALID", message });
  refused("env:NOT_SET", /^env:NOT_SET: expected the environment variable NOT_SET to be set$/);
  refused("file:./none.yaml", /^file:.\/none.yaml: expected a readable file, got ENOENT$/);
  refused("https://config.example/a.yaml", /expected a path, file:, env: or yaml:, got a URL$/);
  refused(
    "yaml:exporters::clickhouse::batch::rows: many",
    /^yaml:exporters::clickhouse::batch::rows::4:13: exporters.clickhouse.batch.rows: expected a whole number/,
  );
});

const FORWARD = "exporters.otlphttp";
const forward = (inner: string, rest = ""): string =>
  `exporters: { otlphttp: { endpoint: "http://next.example:4318/", ${inner} } }\n${rest}`;

t.test("the forwarder is off until it is named, by either of the Collector's names", async (t) => {
  t.equal(defaultConfig().exporters.otlphttp, undefined);
  const config = load(t, [forward("headers: { Authorization: 'Bearer x', X-Scope-OrgID: 7 }")]);
  t.match(config.exporters.otlphttp, {
    endpoint: "http://next.example:4318",
    headers: { Authorization: "Bearer x", "X-Scope-OrgID": "7" },
    compression: "gzip",
    retry_on_failure: { enabled: true, initial_interval: 5_000, max_elapsed_time: 0 },
    sending_queue: { queue_size: 256 * 2 ** 20 },
  });
  t.notMatch(JSON.stringify(withoutSecrets(config)), /Bearer/);
  t.same(
    load(t, [forward("timeout: 3s").replace("otlphttp", "otlp_http")]),
    load(t, [forward("timeout: 3s")]),
  );
  t.same(
    load(t, [forward("timeout: 3s"), "exporters: { otlp_http: { timeout: 4s } }"]).exporters
      .otlphttp?.timeout,
    4_000,
    "and they are one over several files",
  );
});

t.test("what a forwarder cannot do is said where it stands", async (t) => {
  const cases: [string, RegExp][] = [
    ["exporters: { otlphttp: { endpoint: '' } }", /otlphttp: expected endpoint, or both/],
    [forward("endpoint2: x"), /endpoint2: expected one of endpoint, .*unknown key/],
    [
      forward("headers: { 'a b': x }"),
      /headers: expected a map of names and values of HTTP headers, got another/,
    ],
    [forward('headers: { a: "x\\ny" }'), /headers: expected a map of names/],
    [
      forward("sending_queue: { queue_size: 2GiB }"),
      /queue_size: expected at most an eighth of storage.max_size/,
    ],
    [
      forward("sending_queue: { storage: file_storage }"),
      /storage: .*the queue is the journal on disk/,
    ],
    [
      forward("", "storage: { max_size: 256MiB }"),
      /max_request_body_size: expected at most an eighth/,
    ],
    [forward("tls: { cert_file: ./a.pem }"), /tls: expected both cert_file and key_file/],
    [
      forward("", "processors: { normalise: { redact: { columns: [UserAgent] } } }"),
      /redact.columns: expected no columns beside exporters.otlphttp/,
    ],
    [
      forward("retry_on_failure: { multiplier: 0.5 }"),
      /multiplier: expected a number from 1 to 100, got 0.5/,
    ],
    ["exporters: { otlphttp: { endpoint: 'http://u:p@next' } }", /endpoint: expected a URL/],
    [
      "exporters: { otlphttp: { endpoint: 'http://a' }, otlp_http: { endpoint: 'http://b' } }",
      /expected one of otlphttp and otlp_http, got both/,
    ],
    [
      "exporters: { otlp_http: { endpoint: 'http://a', timeout: x } }",
      /0.yaml:1:\d+: exporters.otlphttp.timeout/,
    ],
  ];
  for (const [text, message] of cases) t.match(problems(t, [text]).join("\n"), message, text);
  t.equal(problems(t, [forward("", "storage: { max_size: 256MiB }")]).length, 2, FORWARD);
  t.match(findRisks(load(t, [forward("tls: { insecure_skip_verify: true }")])), [
    /insecure_skip_verify is on/,
  ]);
});
