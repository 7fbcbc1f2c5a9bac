import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout } from "node:timers/promises";
import t from "tap";
import { displayWidth, fit, Output, pad, shrink, type TextStyle } from "../../src/cli/output.ts";
import { formatNs, shortPrincipal } from "../../src/cli/record-text.ts";
import { renderRecords } from "../../src/cli/records-table.ts";
import type { RecordJson } from "../../src/records/row-json.ts";
import { createToken, formatTokenLine } from "../../src/core/tokens.ts";
import { type FakeApi, fakeApi, runHere, sendJson } from "../support/api-server.ts";
import { type CommandResult, runCommand, startCommand } from "../support/command.ts";
import { send } from "../support/senders.ts";
import { temporaryDirectory, whyNoEngine } from "../support/server-fixture.ts";
import { ServerProcess } from "../support/server-process.ts";

const LOG_ID = "0123456789abcdef";

/** An access record as the API answers it, with what the table shows. */
function access(columns: RecordJson = {}): RecordJson {
  return {
    LogId: LOG_ID,
    LeafIndex: "1206",
    Kind: 1,
    Timestamp: "2026-09-21T14:13:20.123456789Z",
    Decision: "denied",
    EndUser: "",
    PeerPrincipal: "spiffe://cluster.local/ns/web/sa/frontend",
    LocalPrincipal: "spiffe://cluster.local/ns/shop/sa/orders",
    PeerAddress: "::ffff:10.1.2.3",
    ServiceName: "orders.shop.svc.cluster.local",
    Authority: "orders.shop:8080",
    Method: "POST",
    Path: "/api/v1/orders",
    Query: "token=[redacted]",
    StatusCode: 403,
    GrpcStatus: -1,
    ResponseFlags: "",
    Policy: "shop/deny-guests#0",
    DurationNs: "3200000",
    ...columns,
  };
}

const plain = (width: number): TextStyle => ({ width, paint: (_, text) => text });

function rowOf(columns: RecordJson, width = 200): string {
  return renderRecords([access(columns)], plain(width))[2] as string;
}

t.test(
  "a table says when, what was decided, who, what, how it ended, by which policy, how long and which leaf",
  async (t) => {
    t.same(renderRecords([access()], plain(160)), [
      "TIME (UTC)    DECIDED  WHO           REQUEST                         STATUS  POLICY               TOOK  LEAF",
      "2026-09-21",
      "14:13:20.123  denied   web/frontend  POST orders.shop/api/v1/orders  403     shop/deny-guests#0  3.2ms  1206",
    ]);
    t.same(renderRecords([], plain(80)), []);
  },
);

t.test(
  "80 columns are enough: values lose their middle, and the time taken goes first",
  async (t) => {
    t.same(
      renderRecords(
        [
          access(),
          access({
            LeafIndex: "1207",
            Timestamp: "2026-09-20T23:59:59.999999999Z",
            Decision: "failed",
            EndUser: "alice@example.org",
            StatusCode: 503,
            ResponseFlags: "UF,URX",
            Policy: "",
          }),
        ],
        plain(80),
      ),
      [
        "TIME (UTC)   DECIDED WHO          REQUEST              STATUS    POLICY     LEAF",
        "2026-09-21",
        "14:13:20.123 denied  web/frontend POST order…v1/orders 403       shop/…ts#0 1206",
        "2026-09-20",
        "23:59:59.999 failed  alice@…e.org POST order…v1/orders 503 …,URX            1207",
      ],
    );
  },
);

t.test("no line is wider than the terminal, and none has trailing blanks", async (t) => {
  const records = [
    access(),
    access({
      Path: `/${"x".repeat(5000)}`,
      Policy: "p".repeat(300),
      ResponseFlags: "UF,".repeat(99),
    }),
    access({ EndUser: "漢字".repeat(50), ServiceName: "😀".repeat(90) }),
    access({
      Decision: "d".repeat(900),
      LeafIndex: "9007199254740991",
      DurationNs: "9223372036854775807",
    }),
    access({ LogId: "fedcba9876543210" }),
  ];
  for (let width = 40; width <= 240; width++)
    for (const line of renderRecords(records, plain(width))) {
      if (displayWidth(line) > width) t.fail(`${displayWidth(line)} columns at ${width}: ${line}`);
      if (line !== line.trimEnd()) t.fail(`trailing blanks at ${width}`);
    }
  t.pass();
  for (const width of [0, 1, 39, NaN])
    t.ok(renderRecords(records, plain(width)).length > 5, `a width of ${width} is survived`);
});

t.test("WHO is the end user with the peer, the peer alone, or an address", async (t) => {
  for (const [columns, who] of [
    [{}, "web/frontend"],
    [{ EndUser: "alice@example.org" }, "alice@example.org via web/frontend"],
    [{ EndUser: "alice", PeerPrincipal: "" }, "alice"],
    [{ PeerPrincipal: "" }, "10.1.2.3"],
    [{ PeerPrincipal: "", PeerAddress: "2001:db8::1" }, "2001:db8::1"],
    [{ PeerPrincipal: "", PeerAddress: "::" }, "unknown"],
    [{ PeerPrincipal: "spiffe://evil.example/ns/web/sa/frontend" }, "web/frontend@evil.example"],
    [{ EndUser: "root via web/admin" }, '"root via web/admin" via web/frontend'],
  ] as const)
    t.match(rowOf(columns), `denied   ${who}  POST`);
});

t.test("a principal is short where its trust domain is that of the proxy", async (t) => {
  const home = "spiffe://cluster.local/ns/shop/sa/orders";
  for (const [principal, short] of [
    ["spiffe://cluster.local/ns/web/sa/frontend", "web/frontend"],
    ["spiffe://other.example/ns/web/sa/frontend", "web/frontend@other.example"],
    ["spiffe://cluster.local/workload/x", "cluster.local/workload/x"],
    ["spiffe://cluster.local/ns/a/sa/b/c", "cluster.local/ns/a/sa/b/c"],
    ["CN=frontend, O=Shop", '"CN=frontend, O=Shop"'],
    ["", ""],
  ] as const)
    t.equal(shortPrincipal(principal, home), short);
  t.equal(shortPrincipal("spiffe://a/ns/b/sa/c", ""), "b/c");
});

t.test("what was asked and how it ended are said for HTTP, gRPC and TCP", async (t) => {
  t.match(rowOf({ StatusCode: 200, GrpcStatus: 7 }), / grpc 7 /);
  t.match(rowOf({ StatusCode: 200, GrpcStatus: 0 }), / 200 /);
  t.match(rowOf({ StatusCode: 0, ResponseFlags: "DC" }), / {2}DC {2}/);
  t.match(rowOf({ Method: "", Protocol: "TCP", Path: "", StatusCode: 0 }), " TCP orders.shop  ");
  t.match(rowOf({ ServiceName: "", Path: "/x" }), " POST orders.shop:8080/x ");
  t.match(rowOf({ Path: "/a b" }), ' POST "orders.shop/a b" ');
  t.match(rowOf({ Policy: "", DecisionEngine: "ext_authz" }), " ext_authz ");
  t.notMatch(rowOf({ DurationNs: "-1" }), "TOOK");
  t.notMatch(rowOf({}), "redacted");
});

t.test(
  "colours show what was refused and what broke; without content there is no column",
  async (t) => {
    const painted = new Output(
      { stdout: { write() {}, isTTY: true, columns: 80 }, stderr: { write() {} } },
      {},
    );
    const lines = renderRecords(
      ["denied", "failed", "allowed", "constructor"].map((Decision) =>
        access({ Decision, Policy: "", ResponseFlags: "" }),
      ),
      painted,
    );
    t.match(lines[2], "\u001b[31mdenied\u001b[39m");
    t.match(lines[3], "\u001b[33mfailed\u001b[39m");
    t.match(lines[4], / allowed /);
    t.match(lines[5], / constructor /);
    t.notMatch(lines[0], "POLICY");
    for (const line of lines) t.ok(displayWidth(line) <= 80);
  },
);

t.test("records of several logs name the log", async (t) => {
  const lines = renderRecords([access(), access({ LogId: "fedcba9876543210" })], plain(160));
  t.match(lines[2], /0123456789abcdef:1206$/);
  t.match(lines[3], /fedcba9876543210:1206$/);
});

t.test("hostile values and missing columns are shown and do no harm", async (t) => {
  const evil = "\u001b[2J\u001b]0;x\u0007\r\n\u202eadmin\u0000";
  const everywhere = Object.fromEntries(Object.keys(access()).map((name) => [name, evil]));
  for (const records of [
    [everywhere],
    [{}],
    [{ LogId: null, Timestamp: 5, Path: {}, DurationNs: 1.5, StatusCode: Infinity, Decision: [] }],
    [access({ Path: `/${"\u0301".repeat(2000)}` })],
    [access({ Timestamp: "2026-99-99T99:99:99.000000000Z" })],
  ])
    for (const width of [40, 80, 400]) {
      const text = renderRecords(records, plain(width)).join("|");
      // oxlint-disable-next-line no-control-regex
      t.notMatch(text, /[\u0000-\u001f\u007f-\u009f\u202e]/);
      t.notMatch(text, /\u0301{5}/u, "marks do not pile up");
    }
});

t.test("a text is cut in its middle to the columns that it takes", async (t) => {
  for (const [text, width, cut] of [
    ["abcdefgh", 8, "abcdefgh"],
    ["abcdefgh", 7, "abc…fgh"],
    ["abcdefgh", 6, "abc…gh"],
    ["abcdefgh", 2, "a…"],
    ["abcdefgh", 1, "…"],
    ["abcdefgh", 0, ""],
    ["漢字漢字", 8, "漢字漢字"],
    ["漢字漢字", 7, "漢…字"],
    ["漢字漢字", 4, "漢…"],
    ["e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301e\u0301"],
    ["🇩🇪😀x", 5, "🇩🇪😀x"],
  ] as const) {
    t.equal(fit(text, width), cut, `${text} in ${width}`);
    t.ok(displayWidth(fit(text, width)) <= width);
  }
  t.equal(pad("漢", 4), "漢  ");
  t.equal(pad("\u001b[31mx\u001b[39m", 3, "start"), "  \u001b[31mx\u001b[39m");
  t.equal(pad("long", 2), "long");
  t.same(shrink([10, 5, 20], [10, 2, 8], 24), [10, 5, 9]);
  t.same(
    shrink([10, 5, 20], [10, 2, 8], 12),
    [4, 3, 5],
    "under the least, when there is no other way",
  );
  t.same(shrink([2, 2], [0, 0], 1), [2, 2]);
});

t.test("durations have three digits", async (t) => {
  for (const [ns, text] of [
    [0, "0"],
    [1, "1ns"],
    [999_999, "1000µs"],
    [3_200_000, "3.2ms"],
    [1_234_567_890, "1.23s"],
    [123e9, "2m03s"],
    [11_040e9, "3h04m"],
    [86_400e9 * 20_000, "20000d"],
    [-1_500_000, "-1.5ms"],
  ] as const)
    t.equal(formatNs(ns), text);
});

/** An API that lists `count` records, in pages as it is asked to. */
async function listApi(t: { teardown(end: () => unknown): void }, count: number): Promise<FakeApi> {
  return fakeApi(t, ({ query }, response) => {
    const start = Number(query["cursor"] ?? 0);
    const end = Math.min(start + Number(query["limit"]), count);
    sendJson(response, {
      records: Array.from({ length: end - start }, (_, at) =>
        access({ LeafIndex: String(start + at) }),
      ),
      next: end < count ? String(end) : null,
    });
  });
}

t.test("a reader that takes its time gets the whole answer", async (t) => {
  const count = 3000; // some megabytes: more than a pipe holds
  const { url } = await listApi(t, count);
  for (const format of [["--json"], []]) {
    const child = startCommand("records", "--all", "--api", url, ...format);
    const closed = once(child, "close");
    await Promise.race([once(child, "exit"), setTimeout(1500)]);
    const out = await text(child.stdout);
    t.same(await closed, [0, null]);
    const found =
      format.length > 0 ? JSON.parse(out).records.length : out.match(/ denied /g)?.length;
    t.equal(found, count);
  }
});

t.test("every criterion is passed on as it was given", async (t) => {
  const { url, asked } = await listApi(t, 1);
  const criteria = {
    principal: "spiffe://cluster.local/ns/web/*",
    decision: "denied",
    path: "/a?b&c",
    service: "orders",
    policy: "shop/deny#0",
    trace: "4bf92f3577b34da6a3ce929d0e0e4736",
    from: "-1h",
    to: "2026-09-21T14:00:00+02:00",
  };
  const args = Object.entries(criteria).flatMap(([name, value]) => [`--${name}`, value]);
  const { code } = await runHere(["records", "--api", url, ...args]);
  t.equal(code, 0);
  const { trace, ...others } = criteria;
  t.same(asked[0]?.query, { ...others, trace_id: trace, limit: "50" });
  t.equal(asked[0]?.path, "/api/v1/access-records");
});

t.test("--limit and --all read as many pages as they need, and the rest is offered", async (t) => {
  const { url, asked } = await listApi(t, 450);
  const { code, out, err } = await runHere(["records", "--api", url]);
  t.equal(code, 0);
  t.equal(out.match(/ denied /g)?.length, 50);
  t.match(err, /^\nThe newest 50 are shown; --limit N or --all shows more\.\n/);
  t.same(
    asked.splice(0).map(({ query }) => query),
    [{ limit: "50" }],
  );

  const one = await runHere(["records", "--api", url, "--limit", "1"]);
  t.match(one.err, /^\nThe newest is shown; --limit N or --all shows more\.\n/);
  asked.length = 0;

  const limited = await runHere(["records", "--api", url, "--limit", "300"]);
  t.equal(limited.out.match(/ denied /g)?.length, 300);
  t.equal(limited.out.match(/^TIME/gm)?.length, 2, "each page has its titles");
  t.same(
    asked.splice(0).map(({ query }) => query),
    [{ limit: "200" }, { limit: "100", cursor: "200" }],
  );

  const all = await runHere(["records", "--api", url, "--all"]);
  t.equal(all.out.match(/ denied /g)?.length, 450);
  t.match(all.err, "450 records, newest first; that is all of them.");
});

t.test(
  "--json prints one line: the list, whole over all pages, and where it goes on",
  async (t) => {
    const { url } = await listApi(t, 450);
    const all = await runHere(["records", "--api", url, "--all", "--json"]);
    t.equal(all.out.indexOf("\n"), all.out.length - 1);
    const { records, next } = JSON.parse(all.out) as { records: RecordJson[]; next: string | null };
    t.same(
      records.map(({ LeafIndex }) => LeafIndex),
      Array.from({ length: 450 }, (_, at) => String(at)),
    );
    t.equal(next, null);
    t.equal(all.err, "");
    const some = await runHere(["records", "--api", url, "--limit", "2", "--json"]);
    t.match(JSON.parse(some.out), { records: { length: 2 }, next: "2" });
    const { url: empty } = await listApi(t, 0);
    t.equal(
      (await runHere(["records", "--api", empty, "--json"])).out,
      '{"records":[],"next":null}\n',
    );
  },
);

t.test("where nothing is found, what was asked is said, and the exit code is 0", async (t) => {
  const { url } = await listApi(t, 0);
  const { code, out, err } = await runHere([
    "records",
    "--api",
    url,
    "--decision",
    "denied",
    "--from",
    "-1h",
    "--principal",
    "x\u001b[2J",
  ]);
  t.same([code, out], [0, ""]);
  t.match(err, /^No access record with principal x\\x1b\[2J, decision denied, from -1h\.\n/);
  t.match(err, "compared whole");
  t.match((await runHere(["records", "--api", url])).err, /^No access record\.\n/);
});

t.test("what the API refuses, or does not know how to answer, ends the command", async (t) => {
  const { url } = await fakeApi(t, (_, response) =>
    sendJson(response, { error: { code: "BAD_REQUEST", message: "from: expected a time" } }, 400),
  );
  t.same(await runHere(["records", "--api", url, "--from", "yesterday"]), {
    code: 2,
    out: "",
    err: "meshproof: from: expected a time (BAD_REQUEST)\n",
  });
  for (const body of [
    {},
    { records: 5, next: null },
    { records: [null], next: null },
    { records: [], next: 1 },
  ]) {
    const strange = await fakeApi(t, (_, response) => sendJson(response, body));
    t.match(await runHere(["records", "--api", strange.url]), {
      code: 3,
      out: "",
      err: /expected {"records"/,
    });
  }
  const circle = await fakeApi(t, (_, response) =>
    sendJson(response, { records: [], next: "same" }),
  );
  t.match(await runHere(["records", "--api", circle.url, "--all"]), { code: 3 });
  t.match(await runHere(["records", "--api", "http://127.0.0.1:1"]), {
    code: 3,
    err: /ECONNREFUSED/,
  });
});

t.test("a wrong option exits 2 before anything is asked", async (t) => {
  for (const args of [
    ["--decision", "maybe"],
    ["--limit", "0"],
    ["--limit", "-1"],
    ["--limit", "1.5"],
    ["--limit", "9999999999"],
    ["--api", "nonsense"],
  ])
    t.match(await runHere(["records", ...args]), { code: 2, out: "" }, args.join(" "));
});

t.test(
  "beside a real server, a refusal is found by who and what, and its trace around it",
  { skip: whyNoEngine() },
  async (t) => {
    t.setTimeout(120_000);
    const directory = temporaryDirectory(t);
    const [sender, reader] = [createToken(), createToken()];
    const tokens = join(directory, "tokens");
    writeFileSync(
      tokens,
      `${formatTokenLine({ role: "sender", name: "proxy" }, sender)}\n${formatTokenLine({ role: "reader", name: "ada" }, reader)}\n`,
    );
    const tokenFile = join(directory, "reader");
    writeFileSync(tokenFile, reader);
    const server = await ServerProcess.start(
      directory,
      `extensions: { tokens: { file: ${JSON.stringify(tokens)} } }\n`,
    );
    t.teardown(() => server.kill());
    const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
    const ids = { traceId, spanId: "00f067aa0ba902b7" };
    const now = BigInt(Date.now()) * 1_000_000n;
    const attribute = ([key, stringValue]: [string, string]) => ({ key, value: { stringValue } });
    const denial = {
      timeUnixNano: String(now),
      ...ids,
      attributes: Object.entries({
        method: "POST",
        path: "/api/v1/orders?token=abc",
        response_code: "403",
        response_code_details:
          "rbac_access_denied_matched_policy[ns[shop]-policy[deny-guests]-rule[0]]",
        duration: "3",
        downstream_peer_uri_san: "spiffe://cluster.local/ns/shop/sa/guest",
        upstream_cluster: "inbound|8080||",
      }).map(attribute),
    };
    const resource = { attributes: [attribute(["log_name", "otel_envoy_accesslog"])] };
    const span = {
      ...ids,
      name: "POST /api/v1/orders",
      startTimeUnixNano: String(now),
      endTimeUnixNano: String(now + 3_000_000n),
    };
    for (const [signal, body] of [
      ["logs", { resourceLogs: [{ resource, scopeLogs: [{ logRecords: [denial] }] }] }],
      [
        "traces",
        {
          resourceSpans: [
            {
              resource: { attributes: [attribute(["service.name", "orders"])] },
              scopeSpans: [{ spans: [span] }],
            },
          ],
        },
      ],
    ] as const) {
      const response = await send(server.otlp(signal), JSON.stringify(body), {
        encoding: "json",
        token: sender,
      });
      t.equal(response.status, 200);
    }
    const run = (...args: string[]): Promise<CommandResult> =>
      runCommand(...args, "--config", server.configFile, "--token-file", tokenFile);
    const criteria = [
      "--decision",
      "denied",
      "--principal",
      "spiffe://cluster.local/ns/shop/*",
      "--path",
      "/api/v1/orders",
      "--from",
      "-1h",
    ];
    let list = await run("records", "--json", ...criteria);
    for (let tries = 0; list.stdout === '{"records":[],"next":null}\n' && tries < 50; tries++) {
      await setTimeout(200);
      list = await run("records", "--json", ...criteria);
    }
    t.equal(list.stderr, "");
    const { records } = JSON.parse(list.stdout) as { records: RecordJson[] };
    t.match(records, [
      { Kind: 1, TraceId: traceId, Policy: "shop/deny-guests#0", Query: "token=[redacted]" },
    ]);
    const table = await run("records", ...criteria);
    t.equal(table.code, 0);
    t.match(
      table.stdout,
      /^\d\d:\d\d:\d\d\.\d{3} +denied +shop\/guest +POST \S+\/orders +403 +shop\/d\S+#0 +\d+\n/m,
    );
    for (const id of [traceId, String(records[0]?.["LeafIndex"])]) {
      const { code, stdout } = await run("trace", id);
      t.equal(code, 0);
      t.match(stdout, /1 span, 1 access record \(1 denied\)/);
      t.match(stdout, / 3ms +orders POST \/api\/v1\/orders/);
      t.match(stdout, /denied 403 shop\/deny-guests#0/);
    }
    t.match(await run("records", "--from", "yesterday"), {
      code: 2,
      stdout: "",
      stderr: /from: expected .*BAD_REQUEST/,
    });
    t.match(await run("trace", "f".repeat(32)), { code: 3, stdout: "", stderr: /NOT_FOUND/ });
    writeFileSync(tokenFile, sender);
    t.match(await run("records"), { code: 3, stdout: "", stderr: /FORBIDDEN/ });
    t.equal(await server.stop(), 0);
    t.match(await run("records"), { code: 3, stderr: /expected the ports of a running server/ });
  },
);
