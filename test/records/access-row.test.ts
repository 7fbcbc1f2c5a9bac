import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import t from "tap";
import { RequestEncoder } from "../../src/encoder.ts";
import { Normaliser } from "../../src/normalise/normaliser.ts";
import { actualRows } from "../support/expected-rows.ts";
import { bodyOf, type RecordInput } from "../support/normalise.ts";
import {
  type Attributes,
  type Batch,
  type LogInput,
  type Value,
  writeLogs,
} from "../support/otlp-writer.ts";

const FIXTURES = resolve(import.meta.dirname, "../fixtures");
const RECEIVED = {
  receivedAtNs: 1_795_500_000_000_000_001n,
  sender: "collector",
  senderAuth: "token",
  retentionClass: "default",
};
const redact = {
  queryParameters: ["token", "code", "password"],
  headers: ["authorization", "cookie"],
};

function createEncoder(): RequestEncoder {
  return new RequestEncoder({
    logId: "0123456789abcdef",
    normaliser: new Normaliser({ redact }),
    maxRecordBytes: 1 << 20,
    maxEncodedBytes: 1 << 26,
  });
}

/** A value of a row as out.json writes it: text as UTF-8, 64-bit numbers in decimal, addresses in hex. */
function written(name: string, value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  if (typeof value === "string") {
    return Buffer.from(value, "latin1").toString(
      /^(Peer|Local)Address$/.test(name) ? "hex" : "utf8",
    );
  }
  if (Array.isArray(value)) return value.map((item) => written("", item));
  return value;
}

const encoder = createEncoder();

for (const dialect of ["envoy_otel", "istio_text"]) {
  t.test(`a row of ${dialect} holds what the fixture says`, async (t) => {
    for (const name of readdirSync(join(FIXTURES, dialect))) {
      const read = (file: string): unknown =>
        JSON.parse(readFileSync(join(FIXTURES, dialect, name, file), "utf8"));
      const expected = read("out.json") as Record<string, unknown>;
      const { sections, rejected } = await encoder.encode(
        "logs",
        bodyOf(read("in.json") as RecordInput),
        RECEIVED,
      );
      t.equal(rejected, 0);
      t.equal(sections[0]?.kind, 1, name);
      const row = actualRows(sections[0])[0]!;
      t.match(row, {
        Kind: 1,
        ReceivedTimestamp: RECEIVED.receivedAtNs,
        Sender: "collector",
        SenderAuth: "token",
        Truncations: [],
      });
      const pairs = Object.entries(expected).filter(([column]) => column !== "Body");
      for (const [column, value] of pairs) {
        // A record without a time of its own gets the time of arrival.
        t.same(written(column, row[column]), value, `${name}: ${column}`);
      }
      if (expected["Timestamp"] === undefined) t.equal(row["Timestamp"], RECEIVED.receivedAtNs);
      if (typeof expected["Body"] === "string" && !/^(array|kvlist):/.test(expected["Body"])) {
        t.equal(written("Body", row["Body"]), expected["Body"], `${name}: Body`);
      } else if (expected["Body"] !== undefined) {
        t.doesNotThrow(() => void JSON.parse(row["Body"] as string), `${name}: Body is JSON`);
      }
    }
  });
}

t.test("what a column does not name keeps its default", async (t) => {
  const input = { record: { body: { stringValue: readLine() } } };
  const { sections } = await encoder.encode("logs", bodyOf(input), RECEIVED);
  const row = actualRows(sections[0])[0]!;
  t.match(row, { GrpcStatus: -1, EndUser: "", TimestampRaw: 0n, ActorChain: [], Attempts: 0 });
});

function readLine(): string {
  const input = JSON.parse(readFileSync(join(FIXTURES, "istio_text/inbound/in.json"), "utf8")) as {
    record: { body: { stringValue: string } };
  };
  return input.record.body.stringValue;
}

t.test(
  "a value that was rewritten is written with its secret gone, in the place of its key",
  async (t) => {
    const attributes = (values: Record<string, string>): object[] =>
      Object.entries(values).map(([key, stringValue]) => ({ key, value: { stringValue } }));
    const input = {
      resource: { attributes: attributes({ log_name: "otel_envoy_accesslog", node_name: "n" }) },
      record: {
        timeUnixNano: "1790000000000000000",
        attributes: attributes({
          zebra: "last",
          response_flags: "-",
          method: "GET",
          path: "/a?token=hidden1",
          referer: "https://shop.example/?password=hidden2&x=1",
          authorization: "Bearer hidden3",
          response_code: "200",
          alpha: "first",
        }),
      },
    };
    const { sections } = await encoder.encode("logs", bodyOf(input), RECEIVED);
    const row = actualRows(sections[0])[0]!;
    t.notMatch(Buffer.from(sections[0]!.bytes).toString("latin1"), /hidden/);
    t.same(
      (row["LogAttributes"] as [string, string][]).map(([key]) => key),
      ["alpha", "authorization", "referer", "zebra"],
    );
    t.match(
      new Map(row["LogAttributes"] as [string, string][]).get("referer"),
      /password=\[redacted\]&x=1$/,
    );
  },
);

t.test(
  "what we say of a record stands among its attributes, in the order of the keys",
  async (t) => {
    const names = { downstream_peer_uri_san: "spiffe://A/ns/a/sa/b", source_namespace: "c" };
    for (const [before, behind] of [
      ["alpha", "zebra"],
      ["meshproof", "meshproof.z"],
    ] as const) {
      const { sections, conflicts } = await encoder.encode(
        "logs",
        envoyRequest("n", { ...names, [behind]: "1", [before]: "2" }),
        RECEIVED,
      );
      t.equal(conflicts.size, 1);
      const row = actualRows(sections[0])[0]!;
      t.same(
        row["LogAttributes"],
        [
          [before, "2"],
          ["meshproof.identity_conflict", "source_namespace"],
          ["meshproof.lenient_spiffe_id", "PeerPrincipal"],
          ...[
            ["source_namespace", "c"],
            [behind, "1"],
          ].sort(),
        ].sort(),
      );
    }
  },
);

/** An access record as Envoy sends it, under its labels or those of somebody else. */
function envoyRequest(node: string, values: Record<string, string>, count = 1): Buffer {
  const attributes = Object.entries({
    method: "GET",
    path: "/a",
    response_code: "200",
    response_flags: "-",
    ...values,
  });
  const records = Array.from({ length: count }, () => ({
    time: 1_790_000_000_000_000_000n,
    attributes,
  }));
  const resource: Attributes = [
    ["log_name", "otel_envoy_accesslog"],
    ["node_name", node],
    ["cluster_name", `cluster of ${node}`],
  ];
  return writeLogs([{ resource, scopes: [{ records }] }]);
}

async function rowsOf(body: Uint8Array): Promise<Record<string, unknown>[]> {
  const { sections } = await encoder.encode("logs", body, RECEIVED);
  return sections.flatMap((section) => actualRows(section));
}

t.test(
  "a record gets the columns of its own request and resource, however alike the one before",
  async (t) => {
    const values = [
      { node: "proxy-1", authority: "orders.shop", method: "GET" },
      { node: "proxy-2", authority: "orders.shop", method: "GET" },
      { node: "proxy-2", authority: "orders.shoq", method: "GET" },
      { node: "proxy-2", authority: "orders.shoq", method: "PUT" },
      { node: "", authority: "orders.shoq", method: "PUT" },
      { node: "proxy-1", authority: "orders.shop", method: "GET" },
    ];
    for (const { node, authority, method } of values) {
      for (const row of await rowsOf(envoyRequest(node, { authority, method }, 2))) {
        const expected = {
          ProxyId: node,
          ClusterName: `cluster of ${node}`,
          Authority: authority,
          Method: method,
        };
        t.match(row, expected);
      }
    }
  },
);

t.test(
  "records of one request under several resources keep apart, claimed and not claimed",
  async (t) => {
    const attributes: Attributes = [
      ["method", "GET"],
      ["duration", "5"],
    ];
    const records = [{ time: 1_790_000_000_000_000_000n, attributes }];
    const batch = (resource: Attributes): Batch<LogInput> => ({
      resource,
      scopes: [{ records: [...records, ...records] }],
    });
    const proxy = (name: string): Batch<LogInput> =>
      batch([
        ["log_name", "x"],
        ["node_name", name],
      ]);
    const application = batch([["service.name", "orders"]]);
    // The same keys, so the same shape: what claims them is their resource alone.
    const body = writeLogs([
      proxy("a"),
      application,
      proxy("b"),
      application,
      proxy("ccc"),
      proxy("a"),
    ]);
    const rows = await rowsOf(body);
    t.same(
      rows.filter((row) => row["Kind"] === 1).map((row) => row["ProxyId"]),
      ["a", "a", "b", "b", "ccc", "ccc", "a", "a"],
    );
    t.equal(rows.filter((row) => row["Kind"] === 3).length, 4);
  },
);

t.test("the body's type counts too, where shape and resource are the same", async (t) => {
  const line = readLine();
  const record = (body: Value): LogInput => ({
    time: 1_790_000_000_000_000_000n,
    body,
    attributes: [["pod", "p"]],
  });
  const body = writeLogs([
    { scopes: [{ records: [record(7n), record(line), record("a log"), record(line)] }] },
  ]);
  t.same(
    (await rowsOf(body)).map((row) => row["Kind"]),
    [1, 1, 3, 3],
  );
});

t.test("what was rewritten is whole, and in its place, after scratch has grown", async (t) => {
  const long = `${"x".repeat(70_000)}&token=hidden&y=1`;
  for (const path of ["/a?token=hidden", `/b?${long}`, "/c?token=hidden"]) {
    const [row] = await rowsOf(envoyRequest("n", { path }));
    const [head, query] = path.split("?");
    t.equal(row!["Path"], head);
    t.equal(row!["Query"], query!.replace("hidden", "[redacted]"));
  }
});
