import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { Test } from "tap";
import { createApiServer } from "../../src/query/api.ts";
import type { ApiOptions } from "../../src/query/api.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { encodeBundle } from "../../src/tlog/tiles.ts";
import { exchange, requestBytes } from "../support/raw-http.ts";
import { recordsOver } from "./fake-store.ts";

const FULL_TILE = Buffer.alloc(8192, "0123456789abcdef0123456789ABCDEF");
const BUNDLE = Buffer.from(
  encodeBundle(Array.from({ length: 256 }, (_, i) => Buffer.alloc(i % 40, i))),
);
const STATUS = {
  origin: "log.example/one",
  logId: "0123456789abcdef",
  verifierKey: "log.example/one+1+key",
  signedSize: "9007199254740993",
  publishedSize: "5",
  lag: "2",
  keys: [],
  witnesses: [],
  verification: { full: null, incremental: null },
};

async function start(t: Test, options: Partial<ApiOptions> = {}) {
  const data = t.testdir({
    secret: "not for anybody",
    log: {
      checkpoint: "log.example/one\n5\nroot\n\n— sig\n",
      tile: {
        0: {
          "000": FULL_TILE,
          "001.p": { 7: Buffer.alloc(7 * 32, 7) },
          x001: { "234": FULL_TILE },
        },
        entries: { "000": BUNDLE, "001.p": { 7: "seven" } },
      },
    },
  });
  const logDirectory = join(data, "log");
  mkdirSync(join(logDirectory, "tile", "63"));
  writeFileSync(join(logDirectory, "tile", "63", "999"), "top");
  const server = createApiServer({
    host: "127.0.0.1",
    port: 0,
    tokens: null,
    logDirectory,
    publicLog: false,
    logStatus: () => STATUS,
    records: recordsOver([]).options,
    logger: silentLogger,
    ...options,
  });
  t.teardown(() => server.close(0));
  const { port } = await server.listen();
  const get = (path: string, headers: Record<string, string> = {}, method = "GET") =>
    exchange(port, requestBytes(method, path, headers));
  return { get, port, logDirectory };
}

t.test(
  "the checkpoint is text that caches keep for a moment, a tile is bytes that they keep for ever",
  async (t) => {
    const { get } = await start(t, { publicLog: true });
    const checkpoint = await get("/log/checkpoint");
    t.equal(checkpoint?.status, 200);
    t.equal(checkpoint?.headers["content-type"], "text/plain; charset=utf-8");
    t.equal(checkpoint?.headers["cache-control"], "public, max-age=1");
    t.equal(checkpoint?.body.toString(), "log.example/one\n5\nroot\n\n— sig\n");
    const tile = await get("/log/tile/0/000");
    t.equal(tile?.headers["content-type"], "application/octet-stream");
    t.equal(tile?.headers["cache-control"], "public, max-age=31536000, immutable");
    t.equal(tile?.headers["x-content-type-options"], "nosniff");
    t.strictSame(tile?.body, FULL_TILE);
  },
);

t.test("each path of the grammar names its file, with or without a query", async (t) => {
  const { get } = await start(t);
  t.strictSame((await get("/log/tile/0/x001/234"))?.body, FULL_TILE);
  t.strictSame((await get("/log/tile/0/001.p/7"))?.body, Buffer.alloc(7 * 32, 7));
  t.equal((await get("/log/tile/63/999"))?.body.toString(), "top");
  t.strictSame((await get("/log/tile/entries/000"))?.body, BUNDLE);
  t.equal((await get("/log/tile/entries/001.p/7?x=/../y"))?.body.toString(), "seven");
});

t.test(
  "a partial tile that the full one has replaced is the beginning of the full one",
  async (t) => {
    const { get } = await start(t);
    for (const width of [1, 7, 255])
      t.strictSame(
        (await get(`/log/tile/0/000.p/${width}`))?.body,
        FULL_TILE.subarray(0, width * 32),
      );
    for (const width of [1, 41, 255]) {
      const expected = Buffer.from(
        encodeBundle(Array.from({ length: width }, (_, i) => Buffer.alloc(i % 40, i))),
      );
      t.strictSame((await get(`/log/tile/entries/000.p/${width}`))?.body, expected);
    }
    t.equal((await get("/log/tile/0/001.p/8"))?.status, 404, "but not of another partial one");
  },
);

t.test("any other path is not found, whatever it hides", async (t) => {
  const { get } = await start(t);
  for (const path of [
    "/log",
    "/log/",
    "/log/checkpoint/",
    "/log/Checkpoint",
    "/log/checkpoint%00",
    "/log/%63heckpoint",
    "/log//checkpoint",
    "/log/../secret",
    "/log/%2e%2e/secret",
    "/log/..%2fsecret",
    "/log/tile/../checkpoint",
    "/log/tile/0/../0/000",
    "/log/tile/0/..%2f..%2fcheckpoint",
    "/log/tile",
    "/log/tile/0",
    "/log/tile/0/",
    "/log/tile/0/0",
    "/log/tile/0/00",
    "/log/tile/0/0000",
    "/log/tile/00/000",
    "/log/tile/64/000",
    "/log/tile/-1/000",
    "/log/tile/0/x000/000",
    "/log/tile/0/001/234",
    "/log/tile/0/x001",
    "/log/tile/0/x001/x234",
    "/log/tile/0/x999/x999/x999/x999/x999/x999/999",
    "/log/tile/0/000.p",
    "/log/tile/0/000.p/",
    "/log/tile/0/000.p/0",
    "/log/tile/0/000.p/01",
    "/log/tile/0/000.p/256",
    "/log/tile/0/000.p/1/1",
    "/log/tile/0/000.P/1",
    "/log/tile/data/000",
    "/log/tile/entries/",
    "/log/tile/0/002",
    "/log/state",
    "/log/tile/0/000\\..",
    `/log/${"a".repeat(9000)}`,
  ]) {
    const response = await get(path);
    t.equal(response?.status, 404, path);
    t.equal(
      response?.headers["cache-control"],
      "no-store",
      "a tile that does not exist yet must not stay missing in a cache",
    );
    t.equal(JSON.parse(String(response?.body)).error.code, "NOT_FOUND");
    t.ok(String(response?.body).length < 1000, "a path is not repeated whole");
  }
});

t.test("a file that cannot be read is 503, not 404", async (t) => {
  const { get, logDirectory } = await start(t);
  rmSync(join(logDirectory, "checkpoint"));
  mkdirSync(join(logDirectory, "checkpoint"));
  const response = await get("/log/checkpoint");
  t.equal(response?.status, 503);
  t.notMatch(response?.body.toString(), logDirectory, "and nobody is told where it lies");
});

t.test("the log may be open to all; the API never is", async (t) => {
  const tokens = {
    find: (token: string) =>
      token === "auditor" || token === "sender" ? { name: token, role: token as "auditor" } : null,
  };
  const { get: closed } = await start(t, { tokens });
  t.equal((await closed("/log/checkpoint"))?.status, 401);
  const shown = await closed("/log/checkpoint", { Authorization: "Bearer auditor" });
  t.equal(shown?.status, 200);
  t.equal(
    shown?.headers["cache-control"],
    "private, max-age=1",
    "a shared cache must not show it to others",
  );
  t.equal((await closed("/log/checkpoint", { Authorization: "Bearer sender" }))?.status, 403);

  const { get: open } = await start(t, { tokens, publicLog: true });
  t.equal((await open("/log/checkpoint"))?.status, 200);
  t.equal((await open("/log/nothing"))?.status, 404);
  t.equal((await open("/api/v1/log"))?.status, 401);
  t.equal((await open("/"))?.status, 401);
});

t.test("the state of the log is JSON that keeps large sizes exact", async (t) => {
  const { get } = await start(t);
  const response = await get("/api/v1/log");
  t.equal(response?.headers["content-type"], "application/json; charset=utf-8");
  t.equal(response?.headers["cache-control"], "no-store");
  t.strictSame(JSON.parse(String(response?.body)), STATUS);
});

t.test("only GET and HEAD are allowed, and HEAD has no body", async (t) => {
  const { get, port } = await start(t);
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
    const response = await get("/log/checkpoint", {}, method);
    t.equal(response?.status, 405, method);
    t.equal(response?.headers["allow"], "GET, HEAD");
  }
  const head = await fetch(`http://127.0.0.1:${port}/log/checkpoint`, { method: "HEAD" });
  t.equal(head.status, 200);
  t.equal(
    head.headers.get("content-length"),
    (await get("/log/checkpoint"))?.headers["content-length"],
  );
  t.equal(await head.text(), "");
});
