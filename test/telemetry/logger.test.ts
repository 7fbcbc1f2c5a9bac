import { closeSync, openSync, readFileSync } from "node:fs";
import { createRequire, syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import t from "tap";
import { createLogger, type LoggerOptions, openLog } from "../../src/telemetry/logger.ts";

/** Lines that `log` writes with a logger of these options. */
function written(
  options: Partial<LoggerOptions> & { isTTY?: boolean },
  log: (logger: ReturnType<typeof createLogger>) => void,
): string[] {
  let text = "";
  const stream = { write: (line: string) => (text += line), isTTY: options.isTTY ?? false };
  log(createLogger({ level: "info", encoding: "auto", stream, ...options }));
  return text.split("\n").slice(0, -1);
}

t.test("elsewhere than on a terminal a line is JSON with level, time and message", async (t) => {
  const [line] = written({}, (logger) =>
    logger.warn({ bytes: 7, zero: 0, no: false }, "hello\nworld"),
  );
  const { time, ...rest } = JSON.parse(line as string);
  t.same(rest, { level: "warn", bytes: 7, zero: 0, no: false, msg: "hello\nworld" });
  t.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

t.test("levels below the configured one are not written", async (t) => {
  const log = (logger: ReturnType<typeof createLogger>): void => {
    for (const level of ["debug", "info", "warn", "error"] as const) logger[level]({}, level);
  };
  t.equal(written({ level: "debug" }, log).length, 4);
  t.equal(written({ level: "warn" }, log).length, 2);
});

t.test("secrets are not written, at the top or one level down", async (t) => {
  for (const encoding of ["json", "console"] as const) {
    const text = written({ encoding }, (logger) =>
      logger.info({ password: "hunter2", user: { token: "hunter2" }, cookie: "hunter2" }, "login"),
    ).join();
    t.notMatch(text, "hunter2");
    t.match(text, "[redacted]");
  }
});

t.test("an error keeps its message and stack", async (t) => {
  const error = new Error("disk gone", { cause: new Error("EIO") });
  const [json] = written({ encoding: "json" }, (logger) =>
    logger.error({ err: error }, "stopping"),
  );
  t.match(JSON.parse(json as string).err, { message: /disk gone/, stack: /logger\.test/ });
  const lines = written({ encoding: "console" }, (logger) =>
    logger.error({ err: error }, "stopping"),
  );
  t.match(lines[0], /error stopping err=disk gone/);
  t.match(lines.join("\n"), /\n {4}Error: disk gone\n {8}at /);
});

t.test(
  "a line for people holds nothing that moves the cursor or looks like a line of its own",
  async (t) => {
    const lines = written({ encoding: "console" }, (logger) =>
      logger.info({ path: "/a\u001b[2J\nINFO forged", "na\rme": 1 }, "m\u0007"),
    );
    t.equal(lines.length, 1);
    // oxlint-disable-next-line no-control-regex
    t.notMatch(lines[0], /[\u0000-\u001f\u007f-\u009f]/);
    t.match(lines[0], /info {2}m\\x07 path="\/a/);
  },
);

t.test("auto writes lines for people on a terminal only", async (t) => {
  const log = (logger: ReturnType<typeof createLogger>): void => logger.info({}, "x");
  t.throws(() => JSON.parse(written({ isTTY: true }, log)[0] as string));
  t.ok(JSON.parse(written({ isTTY: true, encoding: "json" }, log)[0] as string));
  t.ok(JSON.parse(written({ isTTY: false }, log)[0] as string));
});

t.test("a log on a disk that is full ends nothing, and goes on when there is room", async (t) => {
  const fs = createRequire(import.meta.url)("node:fs") as typeof import("node:fs");
  const file = join(t.testdir(), "log");
  const fd = openSync(file, "w");
  t.teardown(() => closeSync(fd));
  const log = createLogger({ level: "info", encoding: "json", stream: openLog(fd) });
  const real = fs.writeSync;
  const write = (replaced: typeof real): void => {
    fs.writeSync = replaced;
    syncBuiltinESMExports();
  };
  t.teardown(() => write(real));
  let busy = 3;
  write(((to: number, bytes: Buffer) => {
    if (to !== fd) return real(to, bytes);
    if (busy-- > 0) throw Object.assign(new Error("EAGAIN"), { code: "EAGAIN" });
    return real(to, bytes.subarray(0, 10));
  }) as typeof real);
  log.info({}, "a pipe whose reader is slow");
  t.equal(readFileSync(file, "utf8").split("\n").length, 2, "is written whole");
  write(((to: number, ...rest: [Buffer]) => {
    if (to !== fd) return real(to, ...rest);
    throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  }) as typeof real);
  for (let i = 0; i < 2_000; i++) log.info({ i, padding: "x".repeat(100) }, "no room");
  t.equal(readFileSync(file, "utf8").split("\n").length, 2);
  write(real);
  for (let i = 0; i < 3; i++) log.info({}, "room again");
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  t.match(JSON.parse(lines[1]!), { i: 0 }, "what waited comes first");
  t.match(JSON.parse(lines.at(-1)!), { msg: "room again" });
  t.ok(lines.length < 1_000, `${lines.length} lines: what waited was bounded`);
});
