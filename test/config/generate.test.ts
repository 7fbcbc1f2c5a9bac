import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { GENERATED, generateYaml } from "../../src/config/generate.ts";
import { defaultConfig, loadConfig } from "../../src/config/load.ts";
import { findFormatConflicts } from "../../src/formats.ts";
import { OPTIONS } from "../../src/config/options.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

for (const [path, generate] of Object.entries(GENERATED)) {
  t.test(`${path} is what the options generate (npm run generate)`, async (t) => {
    t.equal(await readFile(join(root, path), "utf8"), generate());
  });
}

t.test("the generated file holds exactly the defaults", async (t) => {
  t.same(loadConfig([join(root, "config/meshproof.yaml")], {}), defaultConfig());
});

t.test("the sections that are commented out hold valid options", async (t) => {
  const commented =
    /^( +)# ( *(?:- )?(?:tls|ca_file|cert_file|key_file|client_ca_file|min_version|formats|name|line|keys|units|when|set|decisions|time_is_end):)/gm;
  const forwarder = /^ {2}# otlphttp:\n(?: {2}# .*\n)+/m;
  const yaml = generateYaml()
    .replace(forwarder, (section) => section.replaceAll(/^ {2}# /gm, "  "))
    .replaceAll(commented, "$1$2");
  const directory = t.testdir({
    "all.yaml": yaml.replace("endpoint: embedded", "endpoint: https://clickhouse.example:8443"),
  });
  const config = loadConfig([join(directory, "all.yaml")], {});
  t.same(config.extensions.api.tls, {
    cert_file: "./tls/server.crt",
    key_file: "./tls/server.key",
    client_ca_file: "",
    min_version: "1.2",
  });
  t.ok(config.receivers.otlp.protocols.http.tls);
  t.ok(config.exporters.clickhouse.tls);
  t.match(config.exporters.otlphttp, {
    endpoint: "http://127.0.0.1:4319",
    retry_on_failure: { multiplier: 1.5 },
  });
  t.match(config.processors.normalise.formats, [
    { name: "shop_access", keys: { user: "EndUser" }, time_is_end: false },
  ]);
  t.same(findFormatConflicts(config), []);
});

t.test("every option says in one line what it is, ending in a full stop", async (t) => {
  for (const { path, description, kind } of OPTIONS) {
    if (kind !== "option" && description === "") continue; // levels that only nest
    t.match(description, /^[^\n]+\.$/, path.join("."));
  }
});
