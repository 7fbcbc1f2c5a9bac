import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import t from "tap";
import { parse } from "yaml";
import { findKey } from "../../src/normalise/attribute-keys.ts";

const CONFIG = resolve(import.meta.dirname, "../../config");
/** Attributes that no column takes; they stay in LogAttributes under their names. */
const KEPT = new Set(["upstream_peer_uri_san"]);

/** Every access log in a configuration of Envoy, wherever it stands. */
function attributeLists(node: unknown): string[][] {
  if (typeof node !== "object" || node === null) return [];
  const { attributes } = node as { attributes?: { values: { key: string }[] } };
  const own = attributes === undefined ? [] : [attributes.values.map(({ key }) => key)];
  return [...own, ...Object.values(node).flatMap(attributeLists)];
}

t.test("every attribute of the shipped Envoy configurations has its column", async (t) => {
  for (const side of ["client", "server"]) {
    const lists = attributeLists(parse(readFileSync(join(CONFIG, `envoy-${side}.yaml`), "utf8")));
    t.ok(lists.length >= 2, `${side}: HTTP and TCP have an access log`);
    for (const keys of lists) {
      t.ok(keys.length > 25, `${keys.length} attributes`);
      t.equal(new Set(keys).size, keys.length, "no key is given twice");
      for (const key of keys) t.equal(findKey(key) === undefined, KEPT.has(key), `${side}: ${key}`);
    }
  }
});
