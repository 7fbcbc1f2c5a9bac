import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { connect, createServer } from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import { MeshproofError } from "../../src/core/errors.ts";
import { silentLogger } from "../../src/core/logger.ts";
import {
  ENGINE_USERS,
  serverConfigXml,
  serverStatements,
  usersConfigXml,
  type EngineUser,
} from "../../src/store/engine-config.ts";
import {
  ask,
  engineSecrets,
  findLibrary,
  freePorts,
  lastLines,
  pruneLogs,
} from "../../src/store/engine-host.ts";
import { EmbeddedEngine, type EngineExit, type EngineOptions } from "../../src/store/engine.ts";

const MEMORY_BYTES = 768 * 1024 ** 2;

/** Why no engine can be started here; false when one can. */
function engineMissing(): string | false {
  try {
    findLibrary();
    return false;
  } catch (error) {
    return (error as Error).message;
  }
}
const skip = engineMissing();

function optionsUnder(data: string, more: Partial<EngineOptions> = {}): EngineOptions {
  return {
    directory: path.join(data, "clickhouse"),
    secretsDirectory: path.join(data, "secrets"),
    logFile: path.join(data, "logs", "clickhouse.log"),
    httpPort: 0,
    nativePort: 0,
    maxServerMemoryBytes: MEMORY_BYTES,
    logger: silentLogger,
    ...more,
  };
}

const server = (engine: { httpPort: number }): { host: string; port: number } => ({
  host: "127.0.0.1",
  port: engine.httpPort,
});

/** Resolves when `condition` holds; rejects after a minute, which no passing run comes near. */
async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 1200; tries++) {
    if (await condition()) return;
    await sleep(50);
  }
  throw new Error(`expected in time: ${what}`);
}

async function listens(port: number, host = "127.0.0.1"): Promise<boolean> {
  const socket = connect({ port, host });
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** Logs in over ClickHouse's native protocol. Returns the server's first packet: 0 for its hello, or the error code. */
async function nativeLogin(port: number, user: string, password: string): Promise<number> {
  const text = (value: string): Buffer =>
    Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
  const socket = connect(port, "127.0.0.1");
  // Client hello: packet 0, name, version 1.1, protocol revision 54060 as a varint, database, user, password.
  socket.write(
    Buffer.concat([
      Buffer.from([0]),
      text("test"),
      Buffer.from([1, 1, 0xac, 0xa6, 0x03]),
      text(""),
      text(user),
      text(password),
    ]),
  );
  try {
    const [answer] = (await once(socket, "data")) as [Buffer];
    return answer[0] === 2 ? answer.readInt32LE(1) : answer[0]!;
  } finally {
    socket.destroy();
  }
}

t.test("names and paths from outside stay what they are in the configuration", async (t) => {
  const directory = `/data/it's <here> & "there"`;
  const xml = serverConfigXml({
    directory,
    usersFile: "u",
    logFile: "l",
    host: "127.0.0.1",
    httpPort: 1,
    nativePort: 2,
    maxServerMemoryBytes: 1000,
  });
  t.match(xml, "<path>/data/it&#39;s &#60;here&#62; &#38; &#34;there&#34;</path>");
  const users = usersConfigXml({
    database: "a`<b>",
    passwordHashes: { writer: "11", reader: "22", admin: "33" },
    maxServerMemoryBytes: 1000,
  });
  t.match(users, "<query>GRANT INSERT ON `a\\`&#60;b&#62;`.*</query>");
  t.match(serverStatements("/tmp/it's/gate"), String.raw`file('/tmp/it\'s/gate',`);
});

t.test("a missing library is reported with what to do", async (t) => {
  const failure = (platform: string, architecture: string): MeshproofError => {
    try {
      findLibrary(platform, architecture);
    } catch (error) {
      return error as MeshproofError;
    }
    throw new Error("found");
  };
  t.match(failure("win32", "x64"), {
    code: "ENGINE_FAILED",
    message: /Linux and macOS.*win32.*exporters\.clickhouse\.endpoint/,
  });
  t.match(failure("linux", "riscv64"), { code: "ENGINE_FAILED", message: /riscv64/ });
  const other = process.platform === "darwin" ? "linux" : "darwin";
  t.match(failure(other, "arm64"), {
    code: "ENGINE_FAILED",
    message: /@chdb\/lib-.*npm install @chdb.*exporters\.clickhouse\.endpoint/,
  });
});

t.test(
  "passwords are made once, are each their own, and only their owner can read them",
  async (t) => {
    const directory = path.join(t.testdir(), "secrets");
    const made = await engineSecrets(directory);
    t.equal(new Set(Object.values(made)).size, ENGINE_USERS.length);
    t.equal(fs.statSync(directory).mode & 0o777, 0o700);
    fs.chmodSync(path.join(directory, "clickhouse-reader"), 0o644);
    fs.truncateSync(path.join(directory, "clickhouse-admin"));
    const again = await engineSecrets(directory);
    t.match(again, { writer: made.writer, reader: made.reader });
    t.not(again.admin, made.admin);
    t.ok(again.admin.length >= 40, "a file that a crash left empty is filled");
    for (const user of ENGINE_USERS) {
      const file = path.join(directory, `clickhouse-${user}`);
      t.equal(fs.statSync(file).mode & 0o777, 0o600);
      t.equal(fs.readFileSync(file, "utf8"), `${again[user]}\n`);
    }
  },
);

t.test("the end of a log is its last lines without stack frames", async (t) => {
  const file = path.join(
    t.testdir({ log: `${"x\n".repeat(20_000)}one\n3. frame\n\ntwo\n` }),
    "log",
  );
  t.same(await lastLines(file, 3), ["x", "one", "two"]);
  t.same(await lastLines(`${file}.none`, 3), []);
});

t.test("rotated logs are removed but for the newest, and nothing else", async (t) => {
  const kept = [
    "a.log",
    "a.log.0.gz",
    "a.log.1.gz",
    "a.log.2",
    "a.log.stderr",
    "a.log.9.old",
    "ab.log.9",
    "a-log.9.gz",
  ];
  const directory = t.testdir(
    Object.fromEntries([...kept, "a.log.3.gz", "a.log.4", "a.log.10.gz"].map((name) => [name, ""])),
  );
  await pruneLogs(path.join(directory, "a.log"), 3);
  t.same(fs.readdirSync(directory).toSorted(), kept.toSorted());
});

t.test("a free port is found and a taken one is refused", async (t) => {
  const [first, second] = await freePorts("127.0.0.1", [0, 0]);
  t.ok(first! > 0 && second! > 0 && first !== second);
  t.same(await freePorts("127.0.0.1", [first!, second!]), [first, second], "they are free again");
  const taken = createServer().listen(first, "127.0.0.1");
  await once(taken, "listening");
  await t.rejects(freePorts("127.0.0.1", [0, first!]), { code: "EADDRINUSE" });
  taken.close();
});

t.test("the embedded server", { skip }, async (t) => {
  const data = t.testdir();
  const exits: EngineExit[] = [];
  const engine = await EmbeddedEngine.start(
    optionsUnder(data, { guests: ["peer", "other"], onExit: (exit) => exits.push(exit) }),
  );
  t.teardown(() => engine.stop());
  const run = (user: EngineUser, statement: string) =>
    ask(server(engine), user, engine.passwords[user], statement);
  const value = async (user: EngineUser, statement: string): Promise<string> => {
    const answer = await run(user, statement);
    if (answer.status !== 200) throw new Error(`${statement}: ${answer.body}`);
    return answer.body.trim();
  };
  await value("admin", "CREATE DATABASE otel");
  await value("admin", "CREATE TABLE otel.rows (a UInt64, b String) ENGINE = MergeTree ORDER BY a");
  await value("writer", "INSERT INTO otel.rows SELECT number, 'kept' FROM numbers(1000)");

  await t.test("listens for HTTP and the native protocol, on loopback alone", async (t) => {
    t.equal(await value("reader", "SELECT currentUser()"), "reader");
    t.equal(await nativeLogin(engine.nativePort, "reader", engine.passwords.reader), 0);
    const addresses = Object.values(os.networkInterfaces()).flatMap((list) => list ?? []);
    for (const { address } of addresses.filter(({ internal, scopeid }) => !internal && !scopeid)) {
      t.notOk(await listens(engine.httpPort, address), `HTTP on ${address}`);
      t.notOk(await listens(engine.nativePort, address), `native on ${address}`);
    }
  });

  await t.test("lets in three users by password, and `default` never", async (t) => {
    const SESSION_LIMIT = 700;
    const refused = 516;
    for (const password of ["", "default"]) {
      const answer = await ask(server(engine), "default", password, "SELECT 1");
      t.not(answer.status, 200);
      t.match(answer.body, password === "" ? `Code: ${SESSION_LIMIT}` : /Code: \d+/);
    }
    t.equal(await nativeLogin(engine.nativePort, "default", ""), SESSION_LIMIT);
    for (const user of ENGINE_USERS) {
      t.match((await ask(server(engine), user, "", "SELECT 1")).body, `Code: ${refused}`);
      t.match(
        (await ask(server(engine), user, `${engine.passwords[user]}x`, "SELECT 1")).body,
        `Code: ${refused}`,
      );
      t.equal(await nativeLogin(engine.nativePort, user, "wrong"), refused);
    }
    const users = fs.readFileSync(path.join(data, "clickhouse", "config", "users.xml"), "utf8");
    for (const user of ENGINE_USERS)
      t.notOk(
        users.includes(engine.passwords[user]),
        `the password of ${user} is no part of the configuration`,
      );
  });

  await t.test("lets a guest do as it likes in its own database, and see no other", async (t) => {
    const secret = path.join(data, "secrets", "clickhouse-peer");
    t.equal(fs.statSync(secret).mode & 0o777, 0o600);
    const password = fs.readFileSync(secret, "utf8").trim();
    const peer = (statement: string) => ask(server(engine), "peer", password, statement);
    for (const statement of [
      "CREATE DATABASE IF NOT EXISTS peer",
      "CREATE TABLE peer.a (x UInt64, INDEX i x TYPE minmax) ENGINE = MergeTree ORDER BY x TTL toDateTime(x) + INTERVAL 1000 YEAR",
      "CREATE TABLE peer.b (x SimpleAggregateFunction(min, UInt64)) ENGINE = AggregatingMergeTree ORDER BY tuple()",
      "CREATE MATERIALIZED VIEW peer.v TO peer.b AS SELECT min(x) AS x FROM peer.a",
      "INSERT INTO peer.a SELECT number + 5 FROM numbers(3)",
      "ALTER TABLE peer.a ADD COLUMN y String",
    ])
      t.equal((await peer(statement)).status, 200, statement);
    t.equal((await peer("SELECT count(), (SELECT min(x) FROM peer.b) FROM peer.a")).body, "3\t5\n");
    t.equal((await peer("SHOW DATABASES")).body, "peer\n");
    for (const statement of [
      "SELECT count() FROM otel.rows",
      "INSERT INTO otel.rows VALUES (1, '')",
      "CREATE TABLE otel.mine (x UInt64) ENGINE = MergeTree ORDER BY x",
      "CREATE DATABASE other",
      "CREATE TABLE peer.f (x UInt64) ENGINE = File(CSV)",
      "CREATE TABLE peer.m (x UInt64) ENGINE = Merge('otel', 'rows')",
      "SELECT * FROM merge('otel', 'rows')",
      "SELECT * FROM file('/etc/hostname', LineAsString)",
      "SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
      "CREATE USER me",
      "SELECT * FROM system.processes",
      "DROP TABLE otel.rows",
    ])
      t.match((await peer(statement)).body, /Code: (497|344|514|636|1001)\b/, statement);
    for (const user of ["reader", "writer"] as const)
      t.match((await run(user, "SELECT count() FROM peer.a")).body, /Code: 497\b/, user);
    t.equal((await peer("DROP DATABASE peer")).status, 200);
  });

  await t.test("lets writer insert and read, and change nothing", async (t) => {
    const forbidden = [
      "ALTER TABLE otel.rows DELETE WHERE 1",
      "ALTER TABLE otel.rows UPDATE b = 'changed' WHERE 1",
      "ALTER TABLE otel.rows DROP PARTITION tuple()",
      "ALTER TABLE otel.rows ADD COLUMN c UInt8",
      "DELETE FROM otel.rows WHERE 1",
      "UPDATE otel.rows SET b = 'changed' WHERE 1",
      "TRUNCATE TABLE otel.rows",
      "DROP TABLE otel.rows",
      "DROP DATABASE otel",
      "OPTIMIZE TABLE otel.rows",
      "RENAME TABLE otel.rows TO otel.gone",
      "CREATE TABLE otel.other (a UInt8) ENGINE = Memory",
      "CREATE TEMPORARY TABLE other (a UInt8)",
      "GRANT ALL ON *.* TO writer",
      "SYSTEM STOP MERGES otel.rows",
      "SYSTEM STOP LISTEN HTTP",
      "SYSTEM SHUTDOWN",
    ];
    for (const statement of forbidden)
      t.match((await run("writer", statement)).body, "Code: 497", statement);
    t.equal(await value("writer", "SELECT count() FROM otel.rows WHERE b = 'kept'"), "1000");
    t.equal(await value("writer", "SELECT getSetting('async_insert')"), "false");
  });

  await t.test("lets reader read its database within its limits", async (t) => {
    t.equal(await value("reader", "SELECT count() FROM otel.rows"), "1000");
    for (const statement of [
      "INSERT INTO otel.rows VALUES (1, 'a')",
      "DROP TABLE otel.rows",
      "CREATE TABLE otel.other (a UInt8) ENGINE = Memory",
      "SELECT * FROM system.users",
      "KILL QUERY WHERE 1",
    ]) {
      t.match((await run("reader", statement)).body, /Code: (497|164)/, statement);
    }
    const limit = "SELECT getSetting('max_execution_time')";
    t.equal(await value("reader", limit), "30");
    // Grafana's plugin, whose queries have a minute by default, asks for 65.
    for (const seconds of ["65", "305"])
      t.equal(await value("reader", `${limit} SETTINGS max_execution_time = ${seconds}`), seconds);
    for (const seconds of [0, 306])
      t.match(
        (await run("reader", `${limit} SETTINGS max_execution_time = ${seconds}`)).body,
        "Code: 452",
        `${seconds} s`,
      );
    for (const change of [
      "readonly = 0",
      "max_memory_usage = 0",
      "max_concurrent_queries_for_user = 0",
      "max_threads = 100",
      "format_schema_source = 'string'",
    ]) {
      t.match((await run("reader", `SELECT 1 SETTINGS ${change}`)).body, "Code: 164", change);
    }
    t.match(
      (await run("reader", "SELECT number FROM numbers(1100000) FORMAT Null")).body,
      "Code: 396",
    );
    t.match(
      (await run("reader", "SELECT length(groupArray(repeat('x', 1000))) FROM numbers(1000000)"))
        .body,
      "Code: 241",
    );
    // What Grafana's data source, clickhouse-go and clickhouse-connect ask first.
    for (const statement of [
      "SELECT displayName(), version(), revision(), timezone()",
      "SELECT name FROM system.databases",
      "SELECT name FROM system.tables WHERE database = 'otel'",
      "SELECT name, type FROM system.columns WHERE database = 'otel' AND table = 'rows'",
      "SELECT name, value, readonly FROM system.settings LIMIT 10000",
      "SELECT name FROM system.functions",
      "DESCRIBE TABLE otel.rows",
      "SELECT table_name FROM information_schema.tables",
    ]) {
      t.ok(await value("reader", statement), statement);
    }
    t.notMatch(await value("reader", "SELECT name FROM system.databases"), "default");
  });

  await t.test("gives no user a file of the host or another server", async (t) => {
    const key = path.join(data, "key");
    fs.writeFileSync(key, "secret");
    const secret = Buffer.from("secret");
    const statements = [
      `SELECT file('${key}')`,
      `SELECT file('${key}', 'none')`,
      `SELECT file('${key}', NULL)`,
      `SELECT file(materialize('${key}'))`,
      `SELECT file('${path.relative(os.tmpdir(), key)}')`,
      `SELECT * FROM file('${key}', LineAsString)`,
      `SELECT * FROM \`${key}\``,
      `SELECT * FROM default.\`${key}\``,
      `SELECT * FROM filesystem('${data}')`,
      `INSERT INTO FUNCTION file('${key}', CSV, 'a String') VALUES ('written')`,
      `SELECT 1 INTO OUTFILE '${key}.out'`,
      `SELECT * FROM url('http://127.0.0.1:${engine.httpPort}/ping', LineAsString)`,
      `SELECT * FROM s3('http://127.0.0.1:${engine.httpPort}/ping/a', LineAsString)`,
      `SELECT * FROM remote('127.0.0.1:${engine.nativePort}', system.one, 'default', '')`,
      `SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')`,
      `SELECT * FROM sqlite('${key}', 'a')`,
      "SELECT * FROM executable('id', CSV, 'a String')",
      `CREATE TABLE otel.files (a String) ENGINE = File(CSV, '${key}')`,
      "CREATE TABLE otel.urls (a String) ENGINE = URL('http://127.0.0.1:1/', CSV)",
      `CREATE DICTIONARY otel.files (a UInt64) PRIMARY KEY a SOURCE(FILE(path '${key}' format 'CSV')) LAYOUT(FLAT()) LIFETIME(0)`,
      `BACKUP TABLE otel.rows TO File('${key}.backup')`,
      "CREATE USER another",
      "CREATE FUNCTION another AS (x) -> x",
    ];
    for (const user of ENGINE_USERS) {
      for (const statement of statements) {
        const { status, body } = await run(user, statement);
        t.not(status, 200, `${user}: ${statement}`);
        t.notOk(
          Buffer.from(body).includes(secret) && !body.includes("DB::Exception"),
          `${user}: ${statement}`,
        );
      }
    }
    t.equal(fs.readFileSync(key, "utf8"), "secret");
    t.notOk(fs.existsSync(`${key}.out`));
  });

  await t.test("lets admin migrate and expire in its database and in no other", async (t) => {
    await value(
      "admin",
      "CREATE TABLE otel.parts (p UInt8, a UInt64) ENGINE = MergeTree PARTITION BY p ORDER BY a",
    );
    await value(
      "admin",
      "CREATE TABLE otel.totals (a UInt64) ENGINE = AggregatingMergeTree ORDER BY a",
    );
    await value(
      "admin",
      "CREATE MATERIALIZED VIEW otel.feed TO otel.totals AS SELECT a FROM otel.parts",
    );
    await value("writer", "INSERT INTO otel.parts SELECT number % 3, number FROM numbers(300)");
    await value("admin", "ALTER TABLE otel.parts ADD COLUMN b String");
    await value("admin", "ALTER TABLE otel.parts DROP PARTITION 1");
    await value("admin", "ALTER TABLE otel.parts DELETE WHERE a = 2 SETTINGS mutations_sync = 1");
    await value("admin", "ALTER TABLE otel.parts DETACH PARTITION 0");
    await value("admin", "ALTER TABLE otel.parts ATTACH PARTITION 0");
    await value("admin", "OPTIMIZE TABLE otel.parts FINAL");
    t.equal(await value("reader", "SELECT count() FROM otel.parts"), "199");
    t.equal(await value("reader", "SELECT count() FROM otel.totals"), "300");
    t.equal(
      await value("admin", "SELECT count() > 0 FROM system.parts WHERE database = 'otel'"),
      "1",
    );
    await value("admin", "DROP VIEW otel.feed");
    await value("admin", "DROP TABLE otel.parts SYNC");
    for (const statement of [
      "CREATE DATABASE other",
      "CREATE TABLE default.other (a UInt8) ENGINE = Memory",
      "DROP DATABASE system",
      "SYSTEM STOP LISTEN HTTP",
    ]) {
      t.match((await run("admin", statement)).body, "Code: 497", statement);
    }
  });

  await t.test("keeps time in UTC and no log tables", async (t) => {
    t.equal(await value("reader", "SELECT timezone()"), "UTC");
    t.equal(
      await value(
        "admin",
        "SELECT count() FROM system.tables WHERE database = 'system' AND engine NOT LIKE 'System%'",
      ),
      "0",
    );
  });

  await t.test("merges small parts", async (t) => {
    await value("admin", "CREATE TABLE otel.small (a UInt64) ENGINE = MergeTree ORDER BY a");
    const inserts = 60;
    for (let i = 0; i < inserts; i++)
      await value("writer", `INSERT INTO otel.small SELECT ${i} * 100 + number FROM numbers(100)`);
    await until(
      "few parts",
      async () =>
        Number(
          await value(
            "admin",
            "SELECT count() FROM system.parts WHERE database = 'otel' AND table = 'small' AND active",
          ),
        ) <
        inserts / 4,
    );
    t.equal(await value("reader", "SELECT count(), uniqExact(a) FROM otel.small"), "6000\t6000");
  });

  await t.test(
    "refuses a statement that would take more memory than the server may, and lives on",
    async (t) => {
      t.match(
        (await run("writer", "SELECT length(groupArray(repeat('x', 1000))) FROM numbers(1000000)"))
          .body,
        "Code: 241",
      );
      t.equal(await value("reader", "SELECT 1"), "1");
    },
  );

  await t.test(
    "lives on after connections that break off, make no sense or stay silent",
    async (t) => {
      const { pid } = engine;
      const login = `X-ClickHouse-User: reader\r\nX-ClickHouse-Key: ${engine.passwords.reader}\r\n`;
      const http = [
        "",
        "GET /",
        "GET / HTTP/1.1\r\nHos",
        "\x16\x03\x01\x05\r\n\r\n",
        `POST / HTTP/1.1\r\n${login}Content-Length: zzz\r\n\r\n`,
        `POST / HTTP/1.1\r\n${login}Content-Length: 99\r\n\r\nSELECT`,
        "GET /ping HTTP/1.1\r\nHost: a\r\n\r\n\xff\xff\r\n\r\n",
      ];
      const native = [
        "",
        "\xff\xff\xff\xff\xff",
        "GET / HTTP/1.1\r\n\r\n",
        "\0\xff\xff\xff\xff\x7f",
        "\0\x04test",
      ];
      for (const [port, requests] of [
        [engine.httpPort, http],
        [engine.nativePort, native],
      ] as const) {
        for (const request of requests) {
          for (const abort of ["resetAndDestroy", "destroySoon", "destroy"] as const) {
            const socket = connect(port, "127.0.0.1").on("error", () => {});
            await once(socket, "connect");
            socket.write(Buffer.from(request, "latin1"));
            await sleep(5);
            socket[abort]();
          }
        }
      }
      t.equal(await value("reader", "SELECT sleep(0.5)"), "0");
      t.equal(engine.pid, pid);
      t.notMatch(fs.readFileSync(path.join(data, "logs", "clickhouse.log"), "utf8"), "<Fatal>");
    },
  );

  await t.test("keeps a second server out of its directory and off its port", async (t) => {
    await t.rejects(EmbeddedEngine.start(optionsUnder(data, { lockWaitMs: 0 })), {
      code: "DIRECTORY_LOCKED",
      message: /is in use by another ClickHouse server/,
    });
    const other = optionsUnder(t.testdir(), { lockWaitMs: 0, httpPort: engine.httpPort });
    await t.rejects(EmbeddedEngine.start(other), {
      code: "ENGINE_FAILED",
      message: new RegExp(`port ${engine.httpPort} on 127\\.0\\.0\\.1 to be free`),
    });
    t.equal(await value("reader", "SELECT 1"), "1", "and the first goes on");
  });

  await t.test("comes back after SIGKILL, with ports, passwords and rows", async (t) => {
    const killed = engine.pid!;
    process.kill(killed, "SIGKILL");
    await until("another process", () => engine.pid !== undefined && engine.pid !== killed);
    await until(
      "an answer",
      async () => (await run("reader", "SELECT 1").catch(() => undefined))?.status === 200,
    );
    t.equal(await value("reader", "SELECT count() FROM otel.rows"), "1000");
    t.match(exits, [{ pid: killed, code: null, signal: "SIGKILL" }]);
    t.equal(exits.length, 1);
  });

  await t.test("leaves the end to its parent when the whole group is signalled", async (t) => {
    const { pid } = engine;
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.kill(pid!, signal);
    t.equal(await value("reader", "SELECT sleep(0.2)"), "0");
    t.equal(engine.pid, pid);
  });

  await t.test("lets a running insert end when it is stopped", async (t) => {
    const insert = value(
      "writer",
      "INSERT INTO otel.rows SELECT 2000 + number + sleepEachRow(0.1), 'late' FROM numbers(8)",
    );
    await until(
      "the insert runs",
      async () =>
        (await value("admin", "SELECT count() FROM system.processes WHERE user = 'writer'")) ===
        "1",
    );
    await engine.stop();
    await insert;
    t.equal(engine.pid, undefined);
    t.notOk(await listens(engine.httpPort));
    await engine.stop();
    t.equal(exits.length, 1, "an end that was asked for is not reported");
  });

  await t.test("starts again on what it left", async (t) => {
    const again = await EmbeddedEngine.start(
      optionsUnder(data, { httpPort: engine.httpPort, nativePort: engine.nativePort }),
    );
    t.same(again.passwords, engine.passwords);
    t.equal(
      (
        await ask(server(again), "reader", again.passwords.reader, "SELECT count() FROM otel.rows")
      ).body.trim(),
      "1008",
    );
    await again.stop();
  });
});

t.test(
  "the server ends with its parent, also when that gets SIGKILL, and prints nothing into its output",
  { skip },
  async (t) => {
    const data = t.testdir();
    const options = JSON.stringify(optionsUnder(data, { logger: undefined as never }));
    const module = JSON.stringify(import.meta.resolve("../../src/store/engine.ts"));
    const program = `
    import { EmbeddedEngine } from ${module};
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    const { pid, httpPort, nativePort } = await EmbeddedEngine.start({ ...${options}, logger });
    console.log(JSON.stringify({ pid, httpPort, nativePort }));`;
    const { NODE_OPTIONS: _, ...env } = process.env;
    const parent = spawn(process.execPath, ["--input-type=module", "--eval", program], {
      stdio: ["ignore", "pipe", "pipe"],
      env,
    });
    let output = "";
    for (const stream of [parent.stdout, parent.stderr])
      stream.on("data", (chunk) => (output += chunk));
    await until("the server runs", () => output.includes("\n") || parent.exitCode !== null);
    const { pid, httpPort, nativePort } = JSON.parse(output) as {
      pid: number;
      httpPort: number;
      nativePort: number;
    };
    t.ok(await listens(httpPort));
    parent.kill("SIGKILL");
    // Right away, as a service manager would: the directory and the ports may be held for a moment.
    const next = await EmbeddedEngine.start(optionsUnder(data, { httpPort, nativePort }));
    t.teardown(() => next.stop());
    t.not(next.pid, pid);
    await until("the first server is gone", () => !isAlive(pid));
    t.equal(output.trim().split("\n").length, 1);
  },
);

/** Whether a process runs; one that has ended and waits for its parent counts as gone. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return (
      process.platform !== "linux" ||
      !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, "utf8"))
    );
  } catch {
    return false;
  }
}

t.test("a server that does not start says why", { skip }, async (t) => {
  const data = t.testdir({
    clickhouse: { config: { "server.d": { "broken.xml": "<clickhouse><path>" } } },
  });
  const failure = await EmbeddedEngine.start(optionsUnder(data)).catch((error: unknown) => error);
  if (failure instanceof EmbeddedEngine) await failure.stop();
  t.match(failure, { code: "ENGINE_FAILED", message: /ended while it started\n[^]*broken\.xml/ });
});

t.test("a server that is started behind others stays behind them", { skip }, async (t) => {
  // The last test of this process, which may not be let to the front again.
  os.setPriority(10);
  const engine = await EmbeddedEngine.start(optionsUnder(t.testdir()));
  t.teardown(() => engine.stop());
  t.equal(os.getPriority(engine.pid!), 10);
});
