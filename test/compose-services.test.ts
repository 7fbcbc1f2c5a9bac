import { execFileSync } from "node:child_process";
import {
  createPrivateKey,
  createPublicKey,
  hash,
  type JsonWebKey,
  X509Certificate,
} from "node:crypto";
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import t from "tap";
import { parse } from "yaml";
import { loadConfig } from "../src/config/load.ts";
import { parseTokens } from "../src/core/tokens.ts";
import { grantStatements, ROLES } from "../src/store/grants.ts";
import { compose, DOCKER, mounted, readShipped } from "./support/compose-file.ts";

/** What the services of docker/compose.yaml are configured with: files that fit one another, and secrets that a script makes. */

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

t.test("docker/secrets.sh makes every secret, once", { skip: whyNoOpenssl() }, async (t) => {
  const directory = t.testdir({});
  copyFileSync(join(DOCKER, "secrets.sh"), join(directory, "secrets.sh"));
  // As sparse as that of some systems.
  writeFileSync(join(directory, "openssl.cnf"), "[req]\ndistinguished_name = name\n[name]\n");
  const env = { ...process.env, OPENSSL_CONF: join(directory, "openssl.cnf") };
  const run = (): string =>
    execFileSync("sh", [join(directory, "secrets.sh")], { encoding: "utf8", stdio: "pipe", env });
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
  t.ok(authority.ca, "which says itself that it may sign");
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
    const xml = readShipped("clickhouse/users.xml").replaceAll(/<!--[^]*?-->/g, "");
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
    const free = [...limits!.matchAll(/(?:^|, )(\w+) CHANGEABLE_IN_READONLY/g)];
    t.ok(free.length > 0);
    for (const [, name] of free)
      t.equal(inner(constraints!, name!), "<changeable_in_readonly/>", `reader: ${name}`);
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
      t.equal(service.network_mode, "service:mesh", "its addresses are those of one pod");
    }
    const collector = compose.services["collector"]!;
    t.equal(collector.network_mode, "service:mesh");
    const shipped = readFileSync(join(DOCKER, "../config/collector.yaml"), "utf8");
    for (const variable of Object.keys(collector.environment!))
      t.match(shipped, new RegExp(`\\$\\{env:${variable}:-`), variable);
    for (const argument of collector.command!.filter((one) => one.startsWith("--config=")))
      t.ok(mounted(collector).has(argument.replace("--config=", "")), argument);
    for (const [, file] of readShipped("collector.yaml").matchAll(/\$\{file:(.*?)\}/g))
      t.ok(mounted(collector).has(file!), file!);
    const scraped = [...readShipped("prometheus.yaml").matchAll(/"(\w+):(\d+)"/g)].map(
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
    const provisioned = (file: string): unknown =>
      parse(
        readShipped(`../dashboards/provisioning/${file}`).replaceAll(
          /\$\{(\w+)\}/g,
          (_, name: string) => {
            t.ok(service.environment![name] !== undefined, name);
            return service.environment![name]!;
          },
        ),
      );
    const { datasources } = provisioned("datasources/meshproof.yaml") as {
      datasources: {
        uid: string;
        type: string;
        url?: string;
        jsonData?: { host: string; port: number };
        secureJsonData?: { password: string };
      }[];
    };
    t.same(
      datasources.map(({ uid, type }) => [uid, type]),
      [
        ["meshproof-clickhouse", "grafana-clickhouse-datasource"],
        ["meshproof-prometheus", "prometheus"],
      ],
    );
    const [clickhouse, prometheus] = datasources;
    const port = Number(inner(readShipped("clickhouse/config.xml"), "tcp_port"));
    t.same([clickhouse!.jsonData!.host, clickhouse!.jsonData!.port], ["clickhouse", port]);
    const secret = /^\$__file\{(.*)\}$/.exec(clickhouse!.secureJsonData!.password)?.[1];
    t.equal(mounted(service).get(secret!), compose.secrets["clickhouse-reader"]!.file);
    t.ok(compose.services[new URL(prometheus!.url!).hostname] !== undefined);
    const { providers } = provisioned("dashboards/meshproof.yaml") as {
      providers: { options: { path: string } }[];
    };
    const targets = service.volumes!.flatMap((volume) =>
      typeof volume === "string" ? [] : [volume.target],
    );
    t.ok(targets.includes(providers[0]!.options.path));
    const home = service.environment!["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]!;
    t.ok(existsSync(home.replace(providers[0]!.options.path, join(DOCKER, "../dashboards"))), home);
    t.match(
      service.environment!["GF_PLUGINS_PREINSTALL_SYNC"],
      /^grafana-clickhouse-datasource@\d+\.\d+\.\d+$/,
    );
  },
);
