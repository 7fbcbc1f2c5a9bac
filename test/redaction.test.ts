import { createHmac } from "node:crypto";
import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import t, { type Test } from "tap";
import { Output } from "../src/cli/output.ts";
import { printPseudonym } from "../src/cli/pseudonym.ts";
import { loadConfig } from "../src/config/load.ts";
import type { Config } from "../src/config/options.ts";
import {
  DEFAULT_HEADERS,
  DEFAULT_KEYS,
  DEFAULT_PARAMETERS,
} from "../src/normalise/redaction/default-names.ts";
import { DETECTORS } from "../src/normalise/redaction/rules.ts";
import { redactOptions } from "../src/redaction.ts";

const KEY = "0123456789abcdef0123456789abcdef";

/** Each in a directory of its own of the test's. */
function fileOf(t: Test, redact: string): string {
  const file = join(mkdtempSync(join(t.testdirName, "config-")), "config.yaml");
  writeFileSync(file, `processors: { normalise: { redact: ${redact} } }`);
  return file;
}

function configOf(t: Test, redact: string, env: Record<string, string> = {}): Config {
  return loadConfig([fileOf(t, redact)], env);
}

t.test(
  "what the schema cannot check is refused with the option and what was expected",
  async (t) => {
    const key = join(t.testdir(), "key");
    writeFileSync(key, `${KEY}\n`);
    chmodSync(key, 0o644);
    const cases: [string, RegExp][] = [
      ["{ columns: [TraceId] }", /redact\.columns\[0\]: expected a column of texts.*got TraceId/],
      [
        "{ keep: [token, x] }",
        /redact\.keep\[1\]: expected a name that is redacted by default, got x/,
      ],
      ["{ patterns: [{ name: a, pattern: '(x+)+y' }] }", /patterns\[0\]\.pattern: expected no \(/],
      ["{ mode: pseudonym }", /redact\.mode: expected either pseudonym_key or .*got neither/],
      [`{ pseudonym_key: ${KEY} }`, /redact\.mode: expected pseudonym beside a key/],
      [
        "{ mode: pseudonym, pseudonym_key: abc }",
        /pseudonym_key: expected a key of at least 32 characters, got 3$/,
      ],
      [
        "{ mode: pseudonym, pseudonym_key_file: ./none }",
        /pseudonym_key_file: expected a file, got none/,
      ],
      [`{ mode: pseudonym, pseudonym_key_file: ${key} }`, /mode 0600\), got mode 0644/],
    ];
    for (const [redact, message] of cases)
      t.throws(
        () => redactOptions(configOf(t, redact)),
        { code: "CONFIG_INVALID", message },
        redact,
      );
    chmodSync(key, 0o600);
    t.equal(
      redactOptions(configOf(t, `{ mode: pseudonym, pseudonym_key_file: ${key} }`)).pseudonymKey,
      KEY,
    );
    const fromEnvironment = configOf(
      t,
      "{ mode: pseudonym, pseudonym_key: '${env:PSEUDONYM_KEY}' }",
      { PSEUDONYM_KEY: KEY },
    );
    t.equal(redactOptions(fromEnvironment).pseudonymKey, KEY);
    t.equal(redactOptions(configOf(t, "{}")).pseudonymKey, undefined);
  },
);

t.test("the pseudonym to search for is the one in the records, and openssl's", async (t) => {
  t.testdir();
  const config = [fileOf(t, `{ mode: pseudonym, pseudonym_key: ${KEY} }`)];
  const ask = async (value: string | undefined, input = ""): Promise<string> => {
    let out = "";
    const write = (text: string): void => void (out += text);
    const output = new Output({ stdout: { write }, stderr: { write } }, {});
    await printPseudonym(value, { config }, { output, env: {} }, Readable.from([input]));
    return out.trim();
  };
  // HMAC-SHA-256 of the value, as `openssl dgst -sha256 -hmac KEY` prints it, cut to 32 digits.
  const hmac = (value: string): string =>
    `[hmac:${createHmac("sha256", KEY).update(value).digest("hex").slice(0, 32)}]`;
  t.equal(await ask(undefined, "Alice@Shop.example\n"), hmac("alice@shop.example"));
  t.equal(await ask("4111 1111-1111 1111"), hmac("4111111111111111"));
  t.equal(await ask("s3cr3t"), hmac("s3cr3t"));
  await t.rejects(
    printPseudonym(
      "x",
      { config: [fileOf(t, "{}")] },
      { output: new Output({ stdout: { write() {} }, stderr: { write() {} } }, {}), env: {} },
    ),
    { code: "CONFIG_INVALID", message: /got remove/ },
  );
});

t.test("the guide names everything that is redacted by default", async (t) => {
  const guide = readFileSync(new URL("../docs/redaction.md", import.meta.url), "utf8");
  for (const name of [...DEFAULT_PARAMETERS, ...DEFAULT_KEYS, ...DEFAULT_HEADERS, ...DETECTORS])
    t.ok(new RegExp(`[ \\n\`]${name}[,.;\`]`).test(guide), name);
});
