import { execFileSync } from "node:child_process";
import {
  createPrivateKey,
  createPublicKey,
  hash,
  type JsonWebKey,
  X509Certificate,
} from "node:crypto";
import { copyFileSync, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import t from "tap";
import { parse } from "yaml";
import { loadConfig } from "../src/config/load.ts";
import { parseTokens } from "../src/core/tokens.ts";
import { grantStatements, ROLES } from "../src/store/grants.ts";
import { imageConfig, parseDockerfile } from "./support/dockerfile.ts";

/** docker/compose.yaml without an engine: its references and its rules. `npm run interop -- deploy` loads it by Compose's own code, and runs its services. */
const DOCKER = resolve(import.meta.dirname, "../docker");
const read = (path: string): string => readFileSync(join(DOCKER, path), "utf8");

interface FileMount {
  readonly source: string;
  readonly target: string;
}
interface Service {
  readonly image: string;
  readonly build?: { context: string; dockerfile: string; target: string };
  readonly user?: string;
  readonly entrypoint?: string[];
  readonly command?: string[];
  readonly environment?: Record<string, string>;
  readonly configs?: FileMount[];
  readonly secrets?: (string | FileMount)[];
  readonly volumes?: (
    | string
    | { type: string; source: string; target: string; read_only?: boolean }
  )[];
  readonly ports?: string[];
  readonly networks?: string[];
  readonly network_mode?: string;
  readonly depends_on?: Record<string, { condition: string }>;
  readonly healthcheck?: { test?: string[]; disable?: boolean };
  readonly read_only?: boolean;
  readonly cap_drop?: string[];
  readonly cap_add?: string[];
  readonly privileged?: boolean;
  readonly security_opt?: string[];
  readonly stop_grace_period?: string;
  readonly deploy: { resources: { limits: { cpus: string; memory: string; pids: number } } };
}
interface Compose {
  readonly services: Record<string, Service>;
  readonly networks: Record<string, { internal?: boolean }>;
  readonly volumes: Record<string, unknown>;
  readonly configs: Record<string, { file: string }>;
  readonly secrets: Record<string, { file: string }>;
}

const compose = parse(read("compose.yaml"), { merge: true }) as Compose;
const services = Object.entries(compose.services);
const stages = parseDockerfile(read("Dockerfile"));
const OURS = "meshproof:0.1.0";
/** Where a service sees what. */
const mounted = ({ secrets = [], configs = [] }: Service): Map<string, string> =>
  new Map([
    ...secrets.map((one): [string, string] =>
      typeof one === "string"
        ? [`/run/secrets/${one}`, compose.secrets[one]!.file]
        : [one.target, compose.secrets[one.source]!.file],
    ),
    ...configs.map(({ source, target }): [string, string] => [
      target,
      compose.configs[source]!.file,
    ]),
  ]);

/** What stands in the first element of a name. */
function inner(xml: string, element: string): string {
  return new RegExp(`<${element}>([^]*?)</${element}>`).exec(xml)?.[1] ?? "";
}

/** Why the script of secrets cannot run here; false when it can. */
function whyNoOpenssl(): string | false {
  try {
    execFileSync("openssl", ["version"], { stdio: "pipe" });
    return false;
  } catch {
    return "openssl is not installed";
  }
}

t.test("every service is bounded, unprivileged and read-only", async (t) => {
  t.ok(services.length >= 8);
  for (const [name, service] of services) {
    t.equal(service.read_only, true, `${name}: read_only`);
    t.same(service.cap_drop, ["ALL"], `${name}: cap_drop`);
    t.equal(service.cap_add ?? service.privileged, undefined, `${name} gets nothing back`);
    t.same(service.security_opt, ["no-new-privileges:true"], `${name}: security_opt`);
    const { cpus, memory, pids } = service.deploy.resources.limits;
    t.ok(Number(cpus) > 0 && /^\d+[mg]$/.test(memory) && pids > 0, `${name}: limits`);
    const user = service.user ?? (service.image === OURS ? imageConfig(stages, "remote").user : "");
    t.match(user, /^[1-9]\d*:\d+$/, `${name} is no root`);
  }
});

t.test("images are pinned", async (t) => {
  const { version } = JSON.parse(readFileSync(join(DOCKER, "../package.json"), "utf8")) as {
    version: string;
  };
  t.equal(OURS, `meshproof:${version}`);
  for (const [name, { image, build }] of services) {
    t.match(
      image,
      /:(?:[a-z]+-)?v?\d+\.\d+(?:\.\d+)*(?:@sha256:[0-9a-f]{64})?$/,
      `${name}: ${image}`,
    );
    if (build === undefined) continue;
    t.ok(
      stages.some((stage) => stage.name === build.target),
      `${name}: target ${build.target}`,
    );
    t.ok(existsSync(resolve(DOCKER, build.context, build.dockerfile)));
  }
});

t.test(
  "what is listened on reaches this machine alone, and stores reach nobody outside",
  async (t) => {
    for (const [name, { ports = [] }] of services)
      for (const port of ports) t.match(port, /^127\.0\.0\.1:\d+:\d+$/, name);
    t.same(compose.services["clickhouse"]!.networks, ["store"]);
    t.equal(compose.networks["store"]!.internal, true);
  },
);

t.test("every reference leads somewhere", async (t) => {
  const used = {
    networks: new Set<string>(),
    volumes: new Set<string>(),
    configs: new Set<string>(),
    secrets: new Set<string>(),
  };
  for (const [name, service] of services) {
    for (const one of service.networks ?? []) used.networks.add(one);
    for (const { source } of service.configs ?? []) used.configs.add(source);
    for (const one of service.secrets ?? [])
      used.secrets.add(typeof one === "string" ? one : one.source);
    for (const volume of service.volumes ?? []) {
      if (typeof volume === "string") used.volumes.add(volume.split(":")[0]!);
      else {
        t.ok(existsSync(join(DOCKER, volume.source)), `${name}: ${volume.source}`);
        t.equal(volume.read_only, true, `${name}: ${volume.source} is not written`);
      }
    }
    for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
      const service = compose.services[other];
      t.ok(service !== undefined, `${name} depends on ${other}`);
      if (condition === "service_healthy")
        t.ok(
          service!.healthcheck?.test !== undefined || service!.image === OURS,
          `${other} has a health check`,
        );
    }
    const [, host] = /^service:(.*)$/.exec(service.network_mode ?? "") ?? [];
    if (host !== undefined)
      t.ok(compose.services[host] !== undefined, `${name}: network of ${host}`);
    for (const [variable, value] of Object.entries(service.environment ?? {}))
      if (value.startsWith("/run/secrets/"))
        t.ok(mounted(service).has(value), `${name}: ${variable}`);
  }
  for (const kind of ["networks", "volumes", "configs", "secrets"] as const)
    t.same([...used[kind]].sort(), Object.keys(compose[kind]).sort(), kind);
  for (const { file } of Object.values(compose.configs)) t.ok(existsSync(join(DOCKER, file)), file);
});

t.test("docker/secrets.sh makes every secret, once", { skip: whyNoOpenssl() }, async (t) => {
  const directory = t.testdir({});
  copyFileSync(join(DOCKER, "secrets.sh"), join(directory, "secrets.sh"));
  const run = (): string =>
    execFileSync("sh", [join(directory, "secrets.sh")], { encoding: "utf8", stdio: "pipe" });
  t.match(run(), /^made docker\/secrets/);
  const made = join(directory, "secrets");
  const text = (file: string): string => readFileSync(join(made, file), "utf8");
  const named = Object.values(compose.secrets).map(({ file }) => file.replace("./secrets/", ""));
  t.same(readdirSync(made).sort(), [...named, "token-auditor"].sort());
  t.equal(statSync(made).mode & 0o777, 0o700, "nobody else comes to them");
  for (const file of named) t.equal(statSync(join(made, file)).mode & 0o777, 0o444, file);

  const tokens = parseTokens(text("meshproof-tokens"));
  t.same(tokens.find(text("token-collector")), { role: "sender", name: "collector" });
  t.same(tokens.find(text("token-auditor")), { role: "auditor", name: "auditor" });
  const hashes = text("clickhouse-passwords.xml").matchAll(
    /<(\w+)><password_sha256_hex>(\w+)<\/password_sha256_hex><\/\1>/g,
  );
  for (const user of ["admin", "writer", "reader"])
    t.same(hashes.next().value?.slice(1), [user, hash("sha256", text(`clickhouse-${user}`))]);
  const [published] = (JSON.parse(text("mesh-jwks.json")) as { keys: [JsonWebKey] }).keys;
  const login = createPublicKey(text("mesh-login.key")).export({ format: "jwk" });
  t.same([published.x, published.y], [login.x, login.y]);
  const authority = new X509Certificate(text("mesh-ca.pem"));
  for (const [name, id] of [
    ["frontend", "ns/web/sa/frontend"],
    ["orders", "ns/shop/sa/orders"],
  ] as const) {
    const certificate = new X509Certificate(text(`mesh-${name}.pem`));
    t.equal(certificate.subjectAltName, `URI:spiffe://shop.example/${id}`);
    t.ok(certificate.verify(authority.publicKey));
    t.ok(certificate.checkPrivateKey(createPrivateKey(text(`mesh-${name}.key`))));
  }

  const before = text("clickhouse-admin");
  t.match(run(), /nothing was changed/);
  t.equal(text("clickhouse-admin"), before);
  t.match(readFileSync(join(DOCKER, "../.gitignore"), "utf8"), /^docker\/secrets\/$/m);
});

t.test("no password and no token stands in a file of docker/", async (t) => {
  for (const [name, { environment = {} }] of services)
    for (const [variable, value] of Object.entries(environment))
      if (/PASSWORD|TOKEN|SECRET|KEY/.test(variable))
        t.match(value, /^\/run\/secrets\//, `${name}: ${variable}`);
  t.match(
    read("grafana/provisioning/datasources/meshproof.yaml"),
    /password: \$__file\{\/run\/secrets\/clickhouse-reader\}/,
  );
});

t.test(
  "meshproof's configuration is valid as it is mounted, and names what is there",
  async (t) => {
    const service = compose.services["meshproof"]!;
    const environment = Object.fromEntries(
      Object.entries(service.environment!).map(([name, value]) => [
        name,
        value.replace(/^\$\{\w+:-(.*)\}$/, "$1"),
      ]),
    );
    const config = loadConfig([join(DOCKER, "meshproof.yaml")], environment);
    const { clickhouse } = config.exporters;
    t.equal(clickhouse.endpoint, "http://clickhouse:8123");
    for (const file of [
      clickhouse.password_file,
      clickhouse.admin.password_file,
      clickhouse.reader.password_file,
      config.extensions.tokens.file,
    ])
      t.ok(mounted(service).has(file), file);
    const published = service.ports!.map((port) => Number(port.split(":")[2]));
    const { otlp } = config.receivers;
    t.same(published, [
      otlp.protocols.http.endpoint.port,
      config.extensions.api.endpoint.port,
      config.extensions.health_check.endpoint.port,
    ]);
    // Receiver, store and engine end one after the other.
    t.equal(service.stop_grace_period, "60s");
  },
);

t.test(
  "ClickHouse's users may do what `meshproof schema` grants, no more and no less",
  async (t) => {
    const xml = read("clickhouse/users.xml").replaceAll(/<!--[^]*?-->/g, "");
    const statements = grantStatements({ database: "otel" });
    const rights = (grant: string): string[] => {
      const [, list, on] = /^GRANT (.*) ON (\S+)/.exec(grant.replaceAll("`", ""))!;
      return list!.split(", ").map((right) => `${right} ON ${on}`);
    };
    const users = new Map(
      [...inner(xml, "users").matchAll(/<(\w+)>\s*<networks>([^]*?)<\/\1>/g)].map(
        ([, name, text]) => [name!, text!],
      ),
    );
    t.same([...users.keys()].sort(), Object.keys(ROLES).sort(), "and there is no default user");
    for (const [user, role] of Object.entries(ROLES)) {
      const printed = statements.filter(
        (one) => one.startsWith("GRANT ") && one.split(" TO ")[1]!.split(", ").includes(role),
      );
      t.same(
        [...users.get(user)!.matchAll(/<query>(.*)<\/query>/g)]
          .flatMap(([, grant]) => rights(grant!))
          .sort(),
        printed.flatMap(rights).sort(),
        user,
      );
    }
    const [, limits] = /SETTINGS (.*) TO /.exec(
      statements.find((one) => one.startsWith("CREATE SETTINGS PROFILE"))!,
    )!;
    t.equal(inner(users.get("reader")!, "profile"), "reader");
    const [, settings, constraints] = /^([^]*)<constraints>([^]*)<\/constraints>/.exec(
      inner(inner(xml, "profiles"), "reader"),
    )!;
    for (const [, name, value, min, max] of limits!.matchAll(
      /(\w+) = (\d+)(?: MIN (\d+) MAX (\d+) CHANGEABLE_IN_READONLY)?/g,
    )) {
      t.equal(inner(settings!, name!), value, `reader: ${name}`);
      if (min !== undefined)
        t.equal(
          inner(constraints!, name!),
          `<min>${min}</min><max>${max}</max><changeable_in_readonly/>`,
        );
    }
  },
);

t.test(
  "Envoy and the Collector have every file and every listener that their configurations name",
  async (t) => {
    for (const name of ["envoy-client", "envoy-server"]) {
      const service = compose.services[name]!;
      const files = mounted(service);
      const text = readFileSync(join(DOCKER, files.get("/etc/meshproof/envoy.yaml")!), "utf8");
      const named = new Set([...text.matchAll(/filename: (\S+?)[ }]/g)].map(([, file]) => file!));
      t.ok(named.size > 2);
      for (const file of named) t.ok(files.has(file), `${name}: ${file}`);
      t.equal(service.network_mode, "service:collector", "its addresses are those of one pod");
    }
    const collector = compose.services["collector"]!;
    const shipped = readFileSync(join(DOCKER, "../config/collector.yaml"), "utf8");
    for (const variable of Object.keys(collector.environment!))
      t.match(shipped, new RegExp(`\\$\\{env:${variable}:-`), variable);
    for (const argument of collector.command!.filter((one) => one.startsWith("--config=")))
      t.ok(mounted(collector).has(argument.replace("--config=", "")), argument);
    for (const [, file] of read("collector.yaml").matchAll(/\$\{file:(.*?)\}/g))
      t.ok(mounted(collector).has(file!), file!);
    const scraped = [...read("prometheus.yaml").matchAll(/"(\w+):(\d+)"/g)].map(
      ([, host]) => host!,
    );
    for (const host of scraped) t.ok(compose.services[host] !== undefined, host);
    for (const host of scraped)
      t.ok(
        compose.services[host]!.networks!.some((one) =>
          compose.services["prometheus"]!.networks!.includes(one),
        ),
        `${host} is reached`,
      );
  },
);

t.test(
  "Grafana's data sources have the uids that dashboards name, and lead to services and secrets",
  async (t) => {
    const service = compose.services["grafana"]!;
    const { datasources } = parse(read("grafana/provisioning/datasources/meshproof.yaml")) as {
      datasources: { uid: string; type: string; jsonData: { host?: string; port?: number } }[];
    };
    t.same(
      datasources.map(({ uid, type }) => [uid, type]),
      [
        ["meshproof-clickhouse", "grafana-clickhouse-datasource"],
        ["meshproof-prometheus", "prometheus"],
      ],
    );
    const [clickhouse] = datasources;
    const port = Number(inner(read("clickhouse/config.xml"), "tcp_port"));
    t.same([clickhouse!.jsonData.host, clickhouse!.jsonData.port], ["clickhouse", port]);
    t.ok(mounted(service).has("/run/secrets/clickhouse-reader"));
    const { providers } = parse(read("grafana/provisioning/dashboards/meshproof.yaml")) as {
      providers: { options: { path: string } }[];
    };
    const targets = service.volumes!.flatMap((volume) =>
      typeof volume === "string" ? [] : [volume.target],
    );
    t.ok(targets.includes(providers[0]!.options.path));
    t.match(
      service.environment!["GF_PLUGINS_PREINSTALL_SYNC"],
      /^grafana-clickhouse-datasource@\d+\.\d+\.\d+$/,
    );
  },
);
