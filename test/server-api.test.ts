import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import t from "tap";
import { KINDS } from "../src/core/kinds.ts";
import { createToken, formatTokenLine, type Role } from "../src/core/tokens.ts";
import { TABLES } from "../src/records/columns.ts";
import { encodeEntry } from "../src/tlog/entry.ts";
import { leafHash } from "../src/tlog/merkle.ts";
import { parseVerifierKey } from "../src/tlog/note.ts";
import { checkProof, parseProof } from "../src/tlog/proof.ts";
import { checkProofBundle, extractProof } from "../src/verify/proof-bundle.ts";
import { send } from "./support/senders.ts";
import { temporaryDirectory, whyNoEngine } from "./support/server-fixture.ts";
import { ServerProcess } from "./support/server-process.ts";
import { waitForCount } from "./support/stored-rows.ts";
import { provedRow, sha256 } from "./support/strangers-verifier.ts";
import { digest, envoyBody, spanBody } from "./support/traffic.ts";

/** The API of a whole server as a process: what came in by OTLP is read, proven, and each read is a record again. */

t.setTimeout(300_000);
const skip = whyNoEngine();

const RECORDS = 60;
const ROLES = ["sender", "reader", "auditor"] as const satisfies readonly Role[];

t.test("what was sent is read, proven and recorded as read", { skip }, async (t) => {
  const directory = temporaryDirectory(t);
  const tokens = Object.fromEntries(ROLES.map((role) => [role, createToken()]));
  const tokenFile = join(directory, "tokens");
  writeFileSync(
    tokenFile,
    ROLES.map((role) => `${formatTokenLine({ name: `the-${role}`, role }, tokens[role]!)}\n`).join(
      "",
    ),
  );
  const server = await ServerProcess.start(
    directory,
    `extensions: { tokens: { file: ${JSON.stringify(tokenFile)} } }\n`,
  );
  t.teardown(() => server.kill());
  let reads = 0;
  const get = async (path: string, role: Role = "reader"): Promise<Response> => {
    const response = await fetch(`http://127.0.0.1:${server.ports.api}/api/v1/${path}`, {
      headers: { authorization: `Bearer ${tokens[role]}` },
    });
    const isRead = path !== "log" && [200, 404, 409].includes(response.status);
    if (isRead) reads++;
    return response;
  };
  // What the API gives is looked at field by field.
  const json = async (path: string, role?: Role): Promise<any> => (await get(path, role)).json();
  /** Asks again while the record is on its way to the store or under its checkpoint. */
  const whenThere = async (path: string): Promise<Response> => {
    for (;;) {
      const response = await get(path);
      if (response.status !== 503) return response;
      t.equal(response.headers.get("retry-after"), "1");
      await setTimeout(100);
    }
  };

  const token = tokens["sender"]!;
  for (const [signal, body] of [
    ["logs", envoyBody(RECORDS)],
    ["traces", spanBody(RECORDS)],
  ] as const)
    t.equal((await send(server.otlp(signal), body, { token })).status, 200);
  await waitForCount(server, "SELECT count() FROM access_records", RECORDS);
  await waitForCount(server, "SELECT count() FROM otel_traces", RECORDS);

  await t.test("pages hold every record once, newest first", async (t) => {
    const seen: any[] = [];
    for (let path = "access-records?limit=25"; path !== "";) {
      const page = await json(path);
      seen.push(...page.records);
      path = page.next === null ? "" : `access-records?limit=25&cursor=${page.next}`;
    }
    const stored = await server.query<{ LeafIndex: string; time: string }>(
      "SELECT LeafIndex, concat(replaceOne(toString(toTimeZone(Timestamp, 'UTC')), ' ', 'T'), 'Z') AS time FROM access_records ORDER BY Timestamp DESC, LogId DESC, LeafIndex DESC",
    );
    t.strictSame(
      seen.map(({ LeafIndex, Timestamp }) => ({ LeafIndex, time: Timestamp })),
      stored,
    );
    const denied = await json("access-records?decision=denied&path=/api/v1/*&limit=1000");
    t.ok(denied.records.length > 0);
    t.ok(
      denied.records.every(
        (one: any) => one.Decision === "denied" && one.Policy.includes("deny-all"),
      ),
    );
    const [actor] = denied.records.map((one: any) => one.Actor as string);
    const byActor = await json(`access-records?principal=${encodeURIComponent(actor)}`);
    t.ok(byActor.records.length > 0);
    t.ok(byActor.records.every((one: any) => one.Actor === actor));
  });

  await t.test("a trace has its access record and its span", async (t) => {
    const traceId = digest("trace 20", 16).toString("hex");
    const trace = await json(`traces/${traceId.toUpperCase()}`);
    t.equal(trace.traceId, traceId);
    const kinds = trace.records.map(({ Kind }: { Kind: number }) => Kind);
    t.ok(kinds.includes(KINDS.access) && kinds.includes(KINDS.span), kinds.join());
    t.ok(trace.records.every((one: any) => one.TraceId === traceId || one.Kind === KINDS.finding));
    t.equal((await get(`traces/${"ab".repeat(16)}`)).status, 404);
  });

  const list = await json("access-records?limit=3");
  const [proven, forged, doubled] = list.records.map(
    ({ LeafIndex }: { LeafIndex: string }) => LeafIndex,
  ) as [string, string, string];

  await t.test(
    "a record and its proof, checked by our code and by node:crypto alone",
    async (t) => {
      const record = await json(`records/${proven}`);
      t.strictSame(record, list.records[0]);
      t.strictSame(await json(`records/${record.LogId}:${proven}`), record);
      const response = await whenThere(`records/${proven}/proof`);
      t.equal(response.status, 200);
      t.equal(response.headers.get("content-type"), "text/plain; charset=utf-8");
      const text = await response.text();
      const log = await json("log");
      const columns = TABLES.access.columns.map(({ name }) => `\`${name}\``).join(", ");
      const [stored] = await server.query<{ row: string }>(
        `SELECT base64Encode(formatRow('RowBinary', ${columns})) AS row FROM access_records WHERE LeafIndex = ${proven}`,
      );

      const proof = parseProof(text);
      t.equal(proof.index, Number(proven));
      t.equal(Buffer.from(proof.extra!).toString("base64"), stored!.row, "the row itself");
      const leaf = leafHash(encodeEntry(KINDS.access, sha256(proof.extra!)));
      const checkpoint = checkProof(proof, leaf, log.origin, [parseVerifierKey(log.verifierKey)]);
      t.ok(checkpoint.size > Number(proven));

      t.equal(provedRow(text, log.verifierKey)?.toString("base64"), stored!.row);
    },
  );

  await t.test("several records in one bundle, checked with the key alone", async (t) => {
    const { verifierKey } = await json("log");
    const leaves = [...new Set([Number(proven), 0, 1, 2])].toSorted((a, b) => a - b);
    const response = await whenThere(`proofs?leaves=${leaves.join(",")}`);
    t.equal(response.status, 403, "record 0 is the start of the server: for auditors");
    const text = await (await get(`proofs?leaves=${leaves.join(",")}`, "auditor")).text();
    const { rows } = checkProofBundle(Buffer.from(text), { keys: [parseVerifierKey(verifierKey)] });
    t.same(
      rows.map(({ leafIndex }) => leafIndex),
      leaves,
    );
    t.ok(provedRow(extractProof(Buffer.from(text), Number(proven)), verifierKey));
  });

  await t.test(
    "a row that was changed gets no proof, and one that was doubled is not shown",
    async (t) => {
      t.equal((await whenThere(`records/${forged}/proof`)).status, 200, "before");
      await server.query(
        `ALTER TABLE access_records UPDATE UserAgent = 'forged' WHERE LeafIndex = ${forged} SETTINGS mutations_sync = 2`,
        "admin",
      );
      t.match(await json(`records/${forged}/proof`), { error: { code: "ROW_TAMPERED" } });
      await server.query(
        `INSERT INTO access_records SELECT * FROM access_records WHERE LeafIndex = ${doubled} SETTINGS insert_deduplicate = 0`,
        "admin",
      );
      const response = await get(`records/${doubled}`);
      t.equal(response.status, 409);
      t.match(await response.json(), {
        error: { code: "ROW_TAMPERED", message: /expected one row, found 2/ },
      });
    },
  );

  await t.test("coverage names the workloads", async (t) => {
    const coverage = await json("coverage?from=1970-01-01T00:00:00Z&to=-0s");
    const total = coverage.workloads.reduce(
      (sum: number, one: any) => sum + Number(one.accessRecords),
      0,
    );
    t.equal(total, RECORDS + 1, "the doubled one counts twice");
  });

  await t.test(
    "each read is a sealed record of who read what; refusals and the log's state are none",
    async (t) => {
      t.equal((await get("access-records", "sender")).status, 403);
      t.equal((await get("access-records?limit=0")).status, 400);
      t.equal((await get("access-records?path=/x%3Ftoken%3Ds3cr3t&limit=1", "reader")).status, 200);
      const expected = reads;
      const read = "FROM control_records WHERE ControlKind = 'records_read'";
      t.equal(await waitForCount(server, `SELECT count() ${read}`, expected), expected);
      const rows = await server.query<{ LeafIndex: string; Detail: Record<string, string> }>(
        `SELECT LeafIndex, Detail ${read} ORDER BY LeafIndex`,
      );
      t.match(rows[0]!.Detail, {
        caller: "the-reader",
        auth: "token",
        role: "reader",
        address: "127.0.0.1",
        query: "access-records",
        parameters: '{"limit":"25"}',
        rows: "25",
      });
      const asked = rows.map(({ Detail }) => Detail["parameters"]).join();
      t.match(asked, '"path":"/x?token=[redacted]"');
      t.notMatch(asked, "s3cr3t");
      const failed = rows.filter(({ Detail }) => Detail["error"] !== undefined);
      t.strictSame(
        failed.map(({ Detail }) => [Detail["query"], Detail["error"], Detail["rows"]]),
        [
          ["trace", "NOT_FOUND", "0"],
          ["proof", "ROW_TAMPERED", "0"],
          ["record", "ROW_TAMPERED", "0"],
        ],
      );
      t.equal(
        (await get(`records/${rows[0]!.LeafIndex}`, "reader")).status,
        403,
        "for auditors alone",
      );
      const shown = await json(`records/${rows[0]!.LeafIndex}`, "auditor");
      t.match(shown, { Kind: KINDS.control, ControlKind: "records_read", Detail: { rows: "25" } });
      const metrics = await (
        await fetch(`http://127.0.0.1:${server.ports.metrics}/metrics`)
      ).text();
      t.match(metrics, /meshproof_api_refused_requests\{code="FORBIDDEN"\} 3/);
    },
  );
  t.equal(await server.stop(), 0);
});
