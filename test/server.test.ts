import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { OTLPLogExporter as HttpLogExporter } from "@opentelemetry/exporter-logs-otlp-http";
import { OTLPLogExporter as ProtoLogExporter } from "@opentelemetry/exporter-logs-otlp-proto";
import { OTLPTraceExporter as HttpTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtoTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import t, { type Test } from "tap";
import { TABLES } from "../src/records/columns.ts";
import { runCommand } from "./support/command.ts";
import {
  type Expected,
  expectedLog,
  expectedRows,
  expectedSpan,
  pick,
} from "./support/expected-rows.ts";
import {
  type Attributes,
  type LogInput,
  oneScope,
  writeLogs,
  writeTraces,
} from "./support/otlp-writer.ts";
import { CODINGS, send, toJson } from "./support/senders.ts";
import { batchesOf, oddLog, oddSpan, RECORDS } from "./support/odd-records.ts";
import { exportLogs, exportSpans } from "./support/sdk-exporters.ts";
import { runVerify, temporaryDirectory, whyNoEngine } from "./support/server-fixture.ts";
import { ServerProcess } from "./support/server-process.ts";
import { isSigned, merkleRoot, sha256, tilePath } from "./support/strangers-verifier.ts";
import { storedRows, waitForCount } from "./support/stored-rows.ts";
import { digest, envoyLog } from "./support/traffic.ts";

/** The whole server as a process, from a sender's request to an auditor's verdict. Starts are dear: one server serves many tests. */

t.setTimeout(300_000);
const skip = whyNoEngine();

/** Compares rows one by one, and shows the first that differs rather than thousands. */
function sameRows(
  t: Test,
  actual: readonly Expected[],
  expected: readonly Expected[],
  name: string,
): void {
  t.equal(actual.length, expected.length, `${name}: as many rows as records`);
  const wrong = expected.findIndex((row, i) => !isDeepStrictEqual(pick(actual[i], row), row));
  if (wrong >= 0)
    t.same(pick(actual[wrong], expected[wrong]!), expected[wrong], `${name}: row ${wrong}`);
  else t.pass(`${name}: every column of every row is as it was sent`);
}

t.test("a stranger's path, from the first record to the verdict", { skip }, async (t) => {
  const directory = temporaryDirectory(t);
  let server = await ServerProcess.start(directory);
  t.teardown(() => server.kill());

  await t.test(
    "every coding of protobuf and JSON: each record is in ClickHouse, each column as it was sent",
    async (t) => {
      const sent: { name: string; table: string; expected: Expected[] }[] = [];
      for (const [seed, coding] of CODINGS.entries()) {
        for (const encoding of ["protobuf", "json"] as const) {
          const name = `${coding} ${encoding}`;
          const logs = batchesOf(`logs ${name}`, oddLog);
          const spans = batchesOf(`spans ${name}`, oddSpan);
          for (const [signal, body] of [
            ["logs", writeLogs(logs)],
            ["traces", writeTraces(spans)],
          ] as const) {
            const written = encoding === "json" ? toJson(signal, body, seed) : body;
            const response = await send(server.otlp(signal), written, { encoding, coding });
            const answer = await response.text();
            t.equal(response.status, 200, `${signal} ${name}`);
            t.equal(answer, encoding === "json" ? "{}" : "", "full success");
            t.equal(
              response.headers.get("content-type"),
              encoding === "json" ? "application/json" : "application/x-protobuf",
            );
          }
          sent.push(
            {
              name: `logs ${name}`,
              table: "otel_logs",
              expected: expectedRows(logs, (batch, scope, log) =>
                expectedLog(batch, scope, log, 0n),
              ),
            },
            {
              name: `spans ${name}`,
              table: "otel_traces",
              expected: expectedRows(spans, (batch, scope, span) =>
                expectedSpan(batch, scope, span, 0n),
              ),
            },
          );
        }
      }
      for (const { name, table, expected } of sent) {
        await waitForCount(
          server,
          `SELECT count() FROM ${table} WHERE ServiceName = '${name}'`,
          RECORDS,
        );
        sameRows(t, await storedRows(server, table, `ServiceName = '${name}'`), expected, name);
      }
      // What a person sees, in ClickHouse's own words.
      const [row] = await server.query<Record<string, string>>(
        `SELECT toString(Timestamp) AS time, LogAttributes['large'] AS large, TraceId FROM otel_logs
       WHERE ServiceName = 'logs gzip json' AND LogAttributes['text'] = 'value 1'`,
      );
      t.same(row, {
        time: "2026-09-21 14:13:21.123456796",
        large: "9007199254740995",
        TraceId: digest("trace 1", 16).toString("hex"),
      });
    },
  );

  await t.test("64-bit numbers that JSON writes as numbers stay exact", async (t) => {
    const response = await send(
      server.otlp("logs"),
      `{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"big"}}]},"scopeLogs":[{"logRecords":[
        {"timeUnixNano":1790000000123456789,"attributes":[{"key":"a","value":{"intValue":9007199254740993}},{"key":"b","value":{"intValue":-9223372036854775808}}]}]}]}]}`,
      { encoding: "json" },
    );
    t.equal(response.status, 200);
    await waitForCount(server, "SELECT count() FROM otel_logs WHERE ServiceName = 'big'", 1);
    t.match(await storedRows(server, "otel_logs", "ServiceName = 'big'"), [
      {
        Timestamp: 1_790_000_000_123_456_789n,
        LogAttributes: [
          ["a", "9007199254740993"],
          ["b", "-9223372036854775808"],
        ],
      },
    ]);
  });

  await t.test(
    "the JavaScript SDK's exporters, protobuf and JSON, deliver logs and spans",
    async (t) => {
      const count = 500;
      for (const [name, LogExporter, TraceExporter] of [
        ["sdk proto", ProtoLogExporter, ProtoTraceExporter],
        ["sdk json", HttpLogExporter, HttpTraceExporter],
      ] as const) {
        await exportLogs(new LogExporter({ url: server.otlp("logs") }), name, count);
        await exportSpans(new TraceExporter({ url: server.otlp("traces") }), name, count);
        for (const table of ["otel_logs", "otel_traces"])
          t.equal(
            await waitForCount(
              server,
              `SELECT count() FROM ${table} WHERE ServiceName = '${name}'`,
              count,
            ),
            count,
            `${name}: ${table}`,
          );
        const logs = await storedRows(server, "otel_logs", `ServiceName = '${name}'`);
        t.match(logs[7], {
          Timestamp: 1_790_000_000_000_000_007n,
          Body: "log 7",
          SeverityText: "WARN",
          SeverityNumber: 13,
          ScopeName: "shop",
          ScopeVersion: "1.0",
          LogAttributes: [
            ["flag", "true"],
            ["list", '["a","b"]'],
            ["n", "7"],
            ["ratio", "0.5"],
          ],
          TraceId: digest("sdk", 16).toString("hex"),
          SpanId: digest("sdk", 8).toString("hex"),
          TraceFlags: 1,
        });
        const spans = await storedRows(server, "otel_traces", `ServiceName = '${name}'`);
        const parent = spans.find((span) => span["SpanName"] === "parent")!;
        t.match(
          spans.find((span) => span["SpanName"] === "span 7"),
          {
            Timestamp: 1_790_000_000_000_000_007n,
            Duration: 1_500_000_007n,
            TraceId: parent["TraceId"],
            ParentSpanId: parent["SpanId"],
            SpanKind: "Client",
            StatusCode: "Error",
            StatusMessage: "refused",
            SpanAttributes: [["n", "7"]],
            "Events.Name": ["retry"],
            "Events.Attributes": [[["attempt", "2"]]],
          },
        );
      }
    },
  );

  await t.test("an Envoy access log becomes an access record", async (t) => {
    const resource: Attributes = [
      ["log_name", "otel_envoy_accesslog"],
      ["node_name", "sidecar~10.2.3.4~orders-7d9c5b8f6-x2x4z.shop~shop.svc.cluster.local"],
      ["cluster_name", "orders.shop"],
      ["zone_name", ""],
    ];
    const response = await send(
      server.otlp("logs"),
      writeLogs([{ resource, scopes: [{ records: [envoyLog(20)] }] }]),
      {
        userAgent: "OTel-OTLP-Exporter-Envoy/1.38.0",
      },
    );
    t.equal(response.status, 200);
    const where = `TraceId = '${digest("trace 20", 16).toString("hex")}'`;
    await waitForCount(server, `SELECT count() FROM access_records WHERE ${where}`, 1);
    t.match(await storedRows(server, "access_records", where), [
      {
        Dialect: "envoy_otel",
        Timestamp: 1_790_000_000_020_000_000n,
        DurationNs: 20_000_000n,
        SpanId: digest("span 20", 8).toString("hex"),
        Method: "GET",
        Path: "/api/v1/frontend/20",
        Authority: "frontend.shop.svc.cluster.local",
        StatusCode: 403,
        Decision: "denied",
        DecisionEngine: "rbac",
        PeerPrincipal: "spiffe://cluster.local/ns/shop/sa/orders",
        PeerNamespace: "shop",
        PeerServiceAccount: "orders",
        LocalPrincipal: "spiffe://cluster.local/ns/shop/sa/frontend",
        RequestBytes: 20n,
        ResponseBytes: 340n,
        ConnectionId: "100020",
        Sender: "127.0.0.1",
        SenderAuth: "none",
      },
    ]);
    const [row] = await storedRows(server, "access_records", where);
    t.match(row!["Query"], /page=0/);
    t.notMatch(
      JSON.stringify(row, (_, value: unknown) =>
        typeof value === "bigint" ? String(value) : value,
      ),
      /secret20/,
      "the token never reached the disk",
    );
  });

  await t.test("a line of Istio's default text format becomes an access record", async (t) => {
    const line =
      '[2026-09-21T14:13:20.123Z] "GET /reviews/7?lang=en HTTP/1.1" 200 - via_upstream - "-" 0 295 12 11 "-" "curl/8.9" ' +
      '"8b8aedf5-e4e1-42af-9a3b-3f0a77f0f2a5" "reviews:9080" "10.244.0.9:9080" inbound|9080|| 127.0.0.6:41111 10.244.0.9:9080 10.244.0.5:52112 ' +
      "outbound_.9080_._.reviews.default.svc.cluster.local default";
    await send(
      server.otlp("logs"),
      writeLogs(oneScope<LogInput>([{ body: line }], [["service.name", "reviews"]])),
    );
    const where = "RequestId = '8b8aedf5-e4e1-42af-9a3b-3f0a77f0f2a5'";
    await waitForCount(server, `SELECT count() FROM access_records WHERE ${where}`, 1);
    t.match(await storedRows(server, "access_records", where), [
      {
        Dialect: "istio_text",
        Timestamp: 1_790_000_000_123_000_000n,
        TimePrecision: "ms",
        DurationNs: 12_000_000n,
        UpstreamDurationNs: 11_000_000n,
        Direction: "inbound",
        Method: "GET",
        Path: "/reviews/7",
        Query: "lang=en",
        Protocol: "HTTP/1.1",
        StatusCode: 200,
        Decision: "allowed",
        ResponseBytes: 295n,
        UserAgent: "curl/8.9",
        Authority: "reviews:9080",
        UpstreamAddress: "10.244.0.9:9080",
        UpstreamCluster: "inbound|9080||",
        PeerPort: 52112,
        LocalPort: 9080,
        Route: "default",
        ServiceName: "reviews",
      },
    ]);
  });

  const twice = writeLogs(oneScope([{ body: "sent twice" }], [["service.name", "twice"]]));
  await t.test(
    "a batch that is sent again, also at the same time, is stored once; from Envoy, which never resends, each time",
    async (t) => {
      const answers = await Promise.all([1, 2, 3].map(() => send(server.otlp("logs"), twice)));
      t.same(
        answers.map(({ status }) => status),
        [200, 200, 200],
      );
      const envoy = writeLogs(oneScope([{ body: "from envoy" }], [["service.name", "twice"]]));
      for (let i = 0; i < 2; i++)
        await send(server.otlp("logs"), envoy, { userAgent: "OTel-OTLP-Exporter-Envoy/1.38.0" });
      await waitForCount(server, "SELECT count() FROM otel_logs WHERE ServiceName = 'twice'", 3);
      const bodies = (await storedRows(server, "otel_logs", "ServiceName = 'twice'")).map(
        (row) => row["Body"],
      );
      t.same(bodies, ["sent twice", "from envoy", "from envoy"]);
    },
  );

  await t.test(
    "a bad record is rejected alone, and the sender is told how many and why",
    async (t) => {
      const records: LogInput[] = [
        { body: "good" },
        { body: "bad", traceId: new Uint8Array(15).fill(1) },
        { body: "good" },
      ];
      const body = writeLogs(oneScope(records, [["service.name", "partial"]]));
      const response = await send(server.otlp("logs"), body);
      t.equal(response.status, 200);
      const answer = Buffer.from(await response.arrayBuffer());
      t.match(answer.toString("latin1"), "trace_id: expected 16 bytes, got 15");
      const json = `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"spanId":"abcd","body":{"stringValue":"bad"}}]}]}]}`;
      t.match(await (await send(server.otlp("logs"), json, { encoding: "json" })).json(), {
        partialSuccess: { rejectedLogRecords: "1", errorMessage: /span_?id/i },
      });
      t.equal(
        await waitForCount(
          server,
          "SELECT count() FROM otel_logs WHERE ServiceName = 'partial'",
          2,
        ),
        2,
      );
    },
  );

  await t.test(
    "requests that cannot be taken are answered with a google.rpc.Status in their own encoding",
    async (t) => {
      const garbage = await send(server.otlp("logs"), "{}{", { encoding: "json" });
      t.equal(garbage.status, 400);
      t.match(await garbage.json(), { code: 3, message: String });
      const other = await fetch(server.otlp("logs"), {
        method: "POST",
        headers: { "content-type": "text/plain" },
        body: "x",
      });
      t.equal(other.status, 415);
      t.equal((await fetch(server.otlp("logs"))).status, 405);
      const empty = await send(server.otlp("traces"), "", { encoding: "protobuf" });
      t.equal(empty.status, 200, "an empty request is a success");
    },
  );

  await t.test(
    "SQL alone recomputes every leaf hash; the entries and tiles served over HTTP hold the same, up to the signed root",
    async (t) => {
      const api = `http://127.0.0.1:${server.ports.api}`;
      const { verifierKey, origin } = (await (await fetch(`${api}/api/v1/log`)).json()) as {
        verifierKey: string;
        origin: string;
      };
      const total = Number(
        (
          await server.query<{ n: string }>(
            "SELECT max(LeafIndex) + 1 AS n FROM (SELECT LeafIndex FROM otel_logs UNION ALL SELECT LeafIndex FROM access_records)",
          )
        )[0]!.n,
      );
      let note = "";
      do note = await (await fetch(`${api}/log/checkpoint`)).text();
      while (Number(note.split("\n")[1]) < total);

      const [text, signatures] = note.split("\n\n") as [string, string];
      const [, size, root] = text.split("\n") as [string, string, string];
      t.equal(text.split("\n")[0], origin);
      t.ok(
        isSigned(`${text}\n`, signatures, verifierKey),
        "the signature holds, with node:crypto alone",
      );
      t.notOk(isSigned(`${text} \n`, signatures, verifierKey));

      const leaves: Buffer[] = [];
      const count = Number(size);
      for (let tile = 0; tile * 256 < count; tile++) {
        const width = Math.min(256, count - tile * 256);
        const name = `${tilePath(tile)}${width === 256 ? "" : `.p/${width}`}`;
        const bundle = Buffer.from(
          await (await fetch(`${api}/log/tile/entries/${name}`)).arrayBuffer(),
        );
        const hashes = Buffer.from(await (await fetch(`${api}/log/tile/0/${name}`)).arrayBuffer());
        const made = Array.from({ length: width }, (_, i) =>
          sha256(Buffer.from([0]), bundle.subarray(i * 36 + 2, i * 36 + 36)),
        );
        if (!Buffer.concat(made).equals(hashes))
          t.fail(`tile ${name} does not hold the leaf hashes of its entries`);
        leaves.push(...made);
      }
      t.equal(merkleRoot(leaves).toString("base64"), root, "the entries give the signed root");

      const tables = Object.values(TABLES).map(({ name }) => name);
      const all = tables.map((name) => `SELECT LeafIndex FROM ${name}`).join(" UNION ALL ");
      await waitForCount(server, `SELECT count() FROM (${all}) WHERE LeafIndex < ${count}`, count);
      let compared = 0;
      for (const table of tables) {
        const columns = await server.query<{ name: string }>(
          `SELECT name FROM system.columns WHERE database = 'otel' AND table = '${table}' AND default_kind = '' ORDER BY position`,
        );
        const list = columns.slice(2).map(({ name }) => `\`${name}\``);
        const rows = await server.query<{ LeafIndex: string; leaf: string }>(
          `SELECT LeafIndex, hex(SHA256(concat('\\0\\x01', char(Kind), SHA256(formatRow('RowBinary', ${list.join(", ")}))))) AS leaf FROM ${table} WHERE LeafIndex < ${count}`,
        );
        const wrong = rows.filter(
          ({ LeafIndex, leaf }) =>
            leaves[Number(LeafIndex)]!.toString("hex").toUpperCase() !== leaf,
        );
        t.same(wrong, [], `${table}: ${rows.length} rows`);
        compared += rows.length;
      }
      t.equal(compared, count, "each entry has its row");
    },
  );

  await t.test("health, metrics and the log's status are as documented", async (t) => {
    const health = await fetch(`http://127.0.0.1:${server.ports.health}/`);
    t.equal(health.status, 200);
    t.match(await health.json(), { status: "Server available" });
    const metrics = await (await fetch(`http://127.0.0.1:${server.ports.metrics}/metrics`)).text();
    const valueOf = (name: string): number =>
      Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "m").exec(metrics)?.[1]);
    const spans = CODINGS.length * 2 * RECORDS + 2 * 500;
    t.equal(valueOf("otelcol_receiver_accepted_spans"), spans);
    t.equal(valueOf("otelcol_exporter_sent_spans"), spans);
    for (const name of [
      "otelcol_receiver_accepted_log_records",
      "otelcol_exporter_sent_log_records",
      "otelcol_receiver_refused_log_records",
      "otelcol_exporter_queue_size",
      "otelcol_exporter_queue_capacity",
      "otelcol_process_uptime",
      "meshproof_tree_size",
      "meshproof_published_tree_size",
      "meshproof_journal_bytes",
      "meshproof_stored_through",
      "meshproof_deduplicated_batches",
    ])
      t.ok(valueOf(name) >= 0, name);
    t.equal(valueOf("meshproof_deduplicated_batches"), 2);
    t.equal(valueOf("meshproof_receiver_rejected_records"), 2);
    const dialects = await server.query<{ Dialect: string; n: string }>(
      "SELECT Dialect, toString(count()) AS n FROM access_records GROUP BY Dialect",
    );
    t.ok(dialects.length >= 2);
    for (const { Dialect, n } of dialects)
      t.match(
        metrics,
        new RegExp(
          `^meshproof_records\\{(?=.*kind="access")(?=.*dialect="${Dialect}").*\\} ${n}$`,
          "m",
        ),
      );
  });

  await t.test("SIGTERM ends it with exit code 0, and its ports file is gone", async (t) => {
    t.equal(await server.stop(), 0);
    t.notOk(existsSync(join(server.dataDirectory, "ports.json")));
  });

  await t.test(
    "without a server, verify finds nothing changed, and one finding of a gap",
    async (t) => {
      const { code, report } = await runVerify(server);
      t.equal(code, 0);
      t.match(report, {
        integrity: "ok",
        completeness: "gaps",
        faults: [],
        findings: { rejected_record: Number },
      });
      t.equal(report.checked.records, report.treeSize);
    },
  );

  server = await ServerProcess.start(directory);

  await t.test(
    "what was noticed was sealed when it stopped: start, rejected records, resent batches, stop",
    async (t) => {
      const findings = await server.query<Record<string, string>>(
        "SELECT FindingKind, Subject, Detail['count'] AS count FROM findings WHERE FindingKind = 'rejected_record'",
      );
      t.equal(
        findings.reduce((sum, { count }) => sum + Number(count), 0),
        2,
      );
      t.equal(findings[0]!["Subject"], "127.0.0.1");
      await waitForCount(server, "SELECT count() FROM control_records", 6);
      const control = await storedRows(server, "control_records");
      t.same(
        control.map((row) => row["ControlKind"]),
        ["log_created", "start", "retention_changed", "deduplicated_batches", "stop", "start"],
      );
      t.same(control[3]!["Detail"], [["count", "2"]]);
    },
  );

  await t.test("a batch that was sent before the restart is known after it", async (t) => {
    t.equal((await send(server.otlp("logs"), twice)).status, 200);
    t.equal(
      (
        await send(
          server.otlp("logs"),
          writeLogs(oneScope([{ body: "after it" }], [["service.name", "twice"]])),
        )
      ).status,
      200,
    );
    await waitForCount(server, "SELECT count() FROM otel_logs WHERE ServiceName = 'twice'", 4);
    const bodies = (await storedRows(server, "otel_logs", "ServiceName = 'twice'")).map(
      (row) => row["Body"],
    );
    t.same(bodies, ["sent twice", "from envoy", "from envoy", "after it"]);
  });

  let changed = -1;
  await t.test(
    "beside the running server, verify finds a row that an administrator changed",
    async (t) => {
      t.match(await runVerify(server), { code: 0, report: { integrity: "ok", faults: [] } });
      const [span] = await server.query<{ LeafIndex: string }>(
        "SELECT LeafIndex FROM otel_traces WHERE ServiceName = 'spans gzip json' ORDER BY LeafIndex LIMIT 1 OFFSET 1234",
      );
      changed = Number(span!.LeafIndex);
      await server.query(
        `ALTER TABLE otel_traces UPDATE StatusMessage = 'all is well' WHERE LeafIndex = ${changed} SETTINGS mutations_sync = 2`,
        "admin",
      );
      const { code, report } = await runVerify(server);
      t.equal(code, 1);
      t.equal(report.integrity, "broken");
      t.match(report.faults, [{ fault: "row_changed", leafIndex: changed, table: "otel_traces" }]);
      t.equal(report.faults.length, 1);
    },
  );

  await t.test(
    "verify finds a row that was deleted, one that was added, one that is there twice, and a flipped byte in an entry",
    async (t) => {
      const admin = (statement: string) => server.query(statement, "admin");
      await admin("ALTER TABLE otel_logs DELETE WHERE LeafIndex = 100 SETTINGS mutations_sync = 2");
      await admin(
        "INSERT INTO otel_logs SELECT * REPLACE (toUInt64(9999999) AS LeafIndex) FROM (SELECT * FROM otel_logs WHERE LeafIndex = 101)",
      );
      await admin("INSERT INTO otel_logs SELECT * FROM otel_logs WHERE LeafIndex = 102");
      t.equal(await server.stop(), 0);
      const bundle = join(server.dataDirectory, "log/tile/entries/001");
      const bytes = readFileSync(bundle);
      bytes[20 * 36 + 10]! ^= 1;
      writeFileSync(bundle, bytes);

      const { code, report } = await runVerify(server);
      t.equal(code, 1);
      const faults = report.faults
        .toSorted((a, b) => (a.fault < b.fault ? -1 : 1))
        .map(({ fault, leafIndex, table }) => [fault, leafIndex, table]);
      t.same(faults, [
        ["entry_changed", 276, null],
        ["row_added", 9_999_999, "otel_logs"],
        ["row_changed", changed, "otel_traces"],
        ["row_duplicated", 102, "otel_logs"],
        ["row_missing", 100, "otel_logs"],
      ]);
      const text = await runCommand("verify", "--config", server.configFile);
      t.equal(text.code, 1);
      t.match(text.stdout, /row_missing +record 100 in otel_logs/);
    },
  );
});

t.test("a wrong configuration ends with exit code 2 and says where and what", async (t) => {
  const file = join(
    t.testdir({
      "wrong.yaml":
        "storage:\n  directory: data\n  max_sise: 1GiB\nprocessors: { seal: { checkpoint_interval: soon } }\n",
    }),
    "wrong.yaml",
  );
  const { code, stdout, stderr } = await runCommand("serve", "--config", file);
  t.equal(code, 2);
  t.equal(stdout, "");
  t.match(stderr, `${file}:3:3: storage.max_sise`);
  t.match(stderr, new RegExp(`${file}:4:\\d+: processors\\.seal\\.checkpoint_interval`));
});
