import { createServer } from "node:https";
import { readFileSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import t from "tap";
import { ApiClient, type ApiClientOptions, openApi } from "../../src/cli/api-client.ts";
import { EXIT, exitCodeOf } from "../../src/cli/exit.ts";
import { Output } from "../../src/cli/output.ts";
import { MeshproofError } from "../../src/core/errors.ts";
import { type Answer, fakeApi, sendJson } from "../support/api-server.ts";

const TOKEN = "meshproof_secret-of-this-test";
const TLS = resolve(import.meta.dirname, "../fixtures/tls");

/** The client of an API that answers so. */
async function clientOf(
  t: { teardown(end: () => unknown): void },
  answer: Answer,
  options: Partial<ApiClientOptions> = {},
): Promise<ApiClient> {
  const { url } = await fakeApi(t, answer);
  return new ApiClient({ url: new URL(`${url}/`), token: TOKEN, ...options });
}

async function failureOf(promise: Promise<unknown>): Promise<MeshproofError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof MeshproofError) return error;
  throw new Error(`expected a MeshproofError, got ${String(error)}`);
}

/** `openApi` as a command calls it. */
function open(options: Record<string, string | string[]>, env: Record<string, string> = {}) {
  const output = new Output({ stdout: { write() {} }, stderr: { write() {} } }, {});
  return openApi({ config: [], ...options }, { output, env });
}

t.test(
  "parameters are encoded, absent ones are left out, and the token goes with them",
  async (t) => {
    const api = await fakeApi(t, (asked, response) => sendJson(response, asked));
    const client = new ApiClient({ url: new URL(`${api.url}/behind/a/proxy/`), token: TOKEN });
    const hostile = "a&b=c#d?é \u0000/../%2F";
    t.same(await client.json("api/v1/access-records", { path: hostile, policy: undefined }), {
      path: "/behind/a/proxy/api/v1/access-records",
      query: { path: hostile },
      authorization: `Bearer ${TOKEN}`,
    });
  },
);

t.test("what the API refuses is thrown with its code and words", async (t) => {
  for (const [status, code, expected, exit] of [
    [400, "BAD_REQUEST", "BAD_REQUEST", EXIT.usage],
    [401, "UNAUTHENTICATED", "UNAUTHENTICATED", EXIT.unable],
    [403, "FORBIDDEN", "FORBIDDEN", EXIT.unable],
    [404, "NOT_FOUND", "NOT_FOUND", EXIT.unable],
    [503, "STORE_FAILED", "STORE_FAILED", EXIT.unable],
    [409, "ROW_TAMPERED", "ROW_TAMPERED", EXIT.failed],
    // Codes of a newer server, and codes that do not go with their status.
    [400, "FROM_THE_FUTURE", "BAD_REQUEST", EXIT.usage],
    [418, "toString", "UNAVAILABLE", EXIT.unable],
    [404, "CONFIG_INVALID", "NOT_FOUND", EXIT.unable],
  ] as const) {
    const client = await clientOf(t, (_, response) =>
      sendJson(response, { error: { code, message: "expected x, got y" } }, status),
    );
    const error = await failureOf(client.json("x"));
    t.same([error.code, error.message, exitCodeOf(error)], [expected, "expected x, got y", exit]);
  }
});

t.test(
  "neither the token nor anything that moves a cursor gets from an answer into an error",
  async (t) => {
    const client = await clientOf(t, (asked, response) =>
      sendJson(
        response,
        { error: { code: "FORBIDDEN", message: `\u001b[2J${asked.authorization}` } },
        403,
      ),
    );
    t.equal((await failureOf(client.json("x"))).message, "\\x1b[2JBearer <token>");
    const babble = await clientOf(t, (_, response) => void response.end("\u001b[31m\u202e<html>"));
    const { code, message } = await failureOf(babble.json("x"));
    t.equal(code, "UNAVAILABLE");
    // oxlint-disable-next-line no-control-regex
    t.notMatch(message, /[\u0000-\u001f\u202e]/);
  },
);

t.test("a 401 says how a token is given, when none was", async (t) => {
  const answer: Answer = (_, response) =>
    sendJson(response, { error: { code: "UNAUTHENTICATED", message: "who?" } }, 401);
  const without = await clientOf(t, answer, { token: undefined });
  t.equal(
    (await failureOf(without.json("x"))).message,
    "who?; MESHPROOF_TOKEN or --token-file gives a token",
  );
  t.equal((await failureOf((await clientOf(t, answer)).json("x"))).message, "who?");
});

t.test("what is no answer of the API is UNAVAILABLE, and says what came", async (t) => {
  const answers: [string, Answer, RegExp][] = [
    ["a page", (_, response) => void response.writeHead(502).end("<html>"), /got HTTP status 502/],
    [
      "a redirection",
      (_, response) => void response.writeHead(302, { location: "http://x/" }).end(),
      /302/,
    ],
    ["an error of another form", (_, response) => sendJson(response, { error: "no" }, 500), /500/],
    ["no JSON", (_, response) => void response.end("hello"), /expected a JSON object, got "hello"/],
    ["no object", (_, response) => sendJson(response, [1]), /expected a JSON object/],
    ["null", (_, response) => sendJson(response, null), /expected a JSON object/],
    ["nothing", (_, response) => void response.destroy(), /got ECONNRESET/],
    [
      "half an answer",
      (_, response) =>
        void response.writeHead(200, { "content-length": 9 }).write("{", () => response.destroy()),
      /got ECONNRESET/,
    ],
  ];
  for (const [name, answer, expected] of answers) {
    const error = await failureOf((await clientOf(t, answer)).json("x"));
    t.equal(error.code, "UNAVAILABLE", name);
    t.match(error.message, expected, name);
    t.equal(exitCodeOf(error), EXIT.unable);
  }
});

t.test("an answer is bounded in time and in size", async (t) => {
  const silent = await clientOf(t, () => {}, { timeoutMs: 20 });
  t.match((await failureOf(silent.json("x"))).message, /nothing within 0.02 s/);
  const slow = await clientOf(t, (_, response) => void response.write("{"), { timeoutMs: 50 });
  t.match((await failureOf(slow.json("x"))).message, /nothing within 0.05 s/);
  const endless: Answer = (_, response) => {
    const write = (): void => {
      while (response.writable && response.write("x".repeat(65_536)));
    };
    response.on("drain", write);
    write();
  };
  const bounded = await clientOf(t, endless, { maxAnswerBytes: 1 << 20 });
  t.match((await failureOf(bounded.json("x"))).message, /expected at most 1MiB, got more/);
});

t.test("a server that does not run is named, with what to do", async (t) => {
  const client = new ApiClient({ url: new URL("http://127.0.0.1:1/"), token: TOKEN });
  const error = await failureOf(client.json("x"));
  t.equal(error.code, "UNAVAILABLE");
  t.match(error.message, /^http:\/\/127\.0\.0\.1:1\/: .*ECONNREFUSED; is the server running/);
  t.notMatch(error.message, TOKEN);
});

t.test("the API is found by the ports file of the configuration's data directory", async (t) => {
  const directory = t.testdir({ data: {} });
  const config = (api: string): string[] => {
    const file = join(directory, "c.yaml");
    writeFileSync(
      file,
      `storage: { directory: ${JSON.stringify(join(directory, "data"))} }\nextensions: { tokens: { file: t }, api: ${api} }\n`,
    );
    return [file];
  };
  t.throws(() => open({ config: config("{}") }), {
    code: "UNAVAILABLE",
    message: /ports\.json: expected the ports of a running server.*meshproof serve/,
  });
  const ports = join(directory, "data", "ports.json");
  for (const broken of ["", "[]", '{"api":"8320"}']) {
    writeFileSync(ports, broken);
    t.throws(() => open({ config: config("{}") }), { code: "UNAVAILABLE" });
  }
  writeFileSync(ports, '{"api":18320}');
  for (const [api, url] of [
    ["{}", "http://127.0.0.1:18320/"],
    ['{ endpoint: "0.0.0.0:0" }', "http://127.0.0.1:18320/"],
    ['{ endpoint: "[::]:0" }', "http://[::1]:18320/"],
    [
      '{ endpoint: "mesh.example:1", tls: { cert_file: c, key_file: k } }',
      "https://mesh.example:18320/",
    ],
  ] as const)
    t.equal(open({ config: config(api) }).url.href, url);
});

t.test("--api takes a URL of a server and nothing else, and repeats no password", async (t) => {
  t.equal(open({ api: "https://mesh.example:8320" }).url.href, "https://mesh.example:8320/");
  t.equal(open({ api: "http://h/behind" }).url.href, "http://h/behind/");
  for (const api of [
    "",
    "mesh.example:8320",
    "file:///etc/passwd",
    "http://u:hunter2@h/",
    "http://h/?x",
    "http://h/#x",
  ])
    t.throws(() => open({ api }), {
      code: "CONFIG_INVALID",
      message: /^--api: expected the URL(?!.*hunter2)/,
    });
});

t.test("the token comes from a file or the environment, and from nowhere else", async (t) => {
  const { url, asked } = await fakeApi(t, (_, response) => sendJson(response, {}));
  const directory = t.testdir({
    token: `${TOKEN}\nwritten on Monday\n`,
    empty: "",
    wrong: "pass word",
  });
  const fromFile = { api: url, tokenFile: join(directory, "token") };
  await open(fromFile, { MESHPROOF_TOKEN: "other" }).json("x");
  await open({ api: url }, { MESHPROOF_TOKEN: TOKEN }).json("x");
  await open({ api: url }, { MESHPROOF_TOKEN: "" }).json("x");
  t.same(
    asked.map(({ authorization }) => authorization),
    [`Bearer ${TOKEN}`, `Bearer ${TOKEN}`, undefined],
  );
  t.throws(() => open({ api: url, tokenFile: join(directory, "none") }), {
    code: "CONFIG_INVALID",
    message: /--token-file .*none: expected a file, got ENOENT/,
  });
  for (const file of ["empty", "wrong"])
    t.throws(() => open({ api: url, tokenFile: join(directory, file) }), {
      code: "CONFIG_INVALID",
    });
  t.throws(() => open({ api: url }, { MESHPROOF_TOKEN: "hunter2\u0001" }), {
    code: "CONFIG_INVALID",
    message: /^MESHPROOF_TOKEN: expected a token(?!.*hunter2)/,
  });
});

t.test("TLS is checked; a private authority and a client certificate are files", async (t) => {
  const read = (name: string): Buffer => readFileSync(join(TLS, name));
  const server = createServer(
    {
      cert: read("server.pem"),
      key: read("server-key.pem"),
      ca: read("ca.pem"),
      requestCert: true,
      rejectUnauthorized: true,
    },
    (_, response) => sendJson(response, { ok: true }),
  ).listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const api = `https://localhost:${port}`;
  const ca = join(TLS, "ca.pem");
  const clientCert = join(TLS, "client-name.pem");
  const clientKey = join(TLS, "client-name-key.pem");
  t.same(await open({ api, ca, clientCert, clientKey }).json("x"), { ok: true });
  const untrusted = await failureOf(open({ api }).json("x"));
  t.match(untrusted.message, /--ca names the authority/);
  t.equal(untrusted.code, "UNAVAILABLE");
  t.match((await failureOf(open({ api, ca }).json("x"))).message, /--client-cert/);
  t.match(
    (await failureOf(open({ api: `http://localhost:${port}` }).json("x"))).message,
    /is it http:/,
  );
});
