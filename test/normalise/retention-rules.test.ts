import t from "tap";
import { RequestEncoder } from "../../src/encoder.ts";
import { Normaliser } from "../../src/normalise/normaliser.ts";
import { type RetentionRule, RetentionRules } from "../../src/normalise/retention-rules.ts";
import { actualRows } from "../support/expected-rows.ts";
import { type Attributes, type Batch, type LogInput, oneScope } from "../support/otlp-writer.ts";
import { writeLogs, writeTraces } from "../support/otlp-writer.ts";
import { envoyLog, spanInput } from "../support/traffic.ts";

const RECEIVED = {
  receivedAtNs: 1_795_000_000_123_456_789n,
  sender: "test",
  senderAuth: "none",
  retentionClass: "default",
};

/** RetentionClass of every row that a request gives, by table. */
async function classesOf(
  rules: readonly RetentionRule[],
  signal: "logs" | "traces",
  body: Uint8Array,
): Promise<Record<string, string[]>> {
  const encoder = new RequestEncoder({
    logId: "0123456789abcdef",
    normaliser: new Normaliser({ redact: { queryParameters: [], headers: [] } }),
    retentionRules: new RetentionRules(rules, "default"),
    maxRecordBytes: 1024 * 1024,
    maxEncodedBytes: 64 * 1024 * 1024,
  });
  const { sections } = await encoder.encode(signal, body, RECEIVED);
  return Object.fromEntries(
    sections.map((section) => [
      { 1: "access", 2: "spans", 3: "logs" }[section.kind as 1 | 2 | 3],
      actualRows(section).map((row) => row["RetentionClass"] as string),
    ]),
  );
}

const resource = (namespace: string, service: string): Attributes => [
  ["k8s.namespace.name", namespace],
  ["service.name", service],
];

function access(path: string): LogInput {
  const record = envoyLog(1);
  return {
    ...record,
    attributes: record.attributes!.map(([key, value]) =>
      key === "path" ? [key, path] : [key, value],
    ),
  };
}

t.test(
  "the first rule that fits gives the class; logs and spans go by their resource",
  async (t) => {
    const rules: RetentionRule[] = [
      { class: "short", namespace: "shop", service: "debug-*" },
      { class: "hipaa", namespace: "shop" },
      { class: "pci", service: "payment" },
    ];
    const batches = (
      [
        ["shop", "debug-shell"],
        ["shop", "cart"],
        ["shopping", "cart"],
        ["other", "payment"],
        ["other", "payments"],
        ["", ""],
      ] as const
    ).map(
      ([namespace, service]) =>
        oneScope([{ body: "a" }, { body: "b" }], resource(namespace, service))[0]!,
    );
    const expected = ["short", "hipaa", "default", "pci", "default", "default"].flatMap((one) => [
      one,
      one,
    ]);
    t.same(await classesOf(rules, "logs", writeLogs(batches)), { logs: expected });
    const spans = batches.map((batch): Batch<ReturnType<typeof spanInput>> => ({
      ...batch,
      scopes: [{ ...batch.scopes[0]!, records: [spanInput(1), spanInput(2)] }],
    }));
    t.same(await classesOf(rules, "traces", writeTraces(spans)), { spans: expected });
  },
);

t.test(
  "service.namespace stands in for the namespace of Kubernetes, and a number is no name",
  async (t) => {
    const rules = [{ class: "hipaa", namespace: "clinic" }];
    const one = (attributes: Attributes) => oneScope([{ body: "x" }], attributes)[0]!;
    const body = writeLogs([
      one([["service.namespace", "clinic"]]),
      one([
        ["service.namespace", "clinic"],
        ["k8s.namespace.name", "other"],
      ]),
      one([["k8s.namespace.name", 7n]]),
    ]);
    t.same(await classesOf(rules, "logs", body), { logs: ["hipaa", "default", "default"] });
  },
);

t.test("access records go by namespace, service and path, each record by its own", async (t) => {
  const rules: RetentionRule[] = [
    { class: "pci", namespace: "shop", path: "/cards/*" },
    { class: "exact", path: "/login" },
    { class: "hipaa", service: "patients" },
  ];
  const paths = ["/cards/1", "/cards", "/login", "/login/x", "/cards/2?token=1"];
  const batch = (namespace: string, service: string) =>
    oneScope(paths.map(access), resource(namespace, service))[0]!;
  const body = writeLogs([batch("shop", "cart"), batch("clinic", "patients")]);
  t.same(await classesOf(rules, "logs", body), {
    access: [
      "pci",
      "default",
      "exact",
      "default",
      "pci",
      "hipaa",
      "hipaa",
      "exact",
      "hipaa",
      "hipaa",
    ],
  });
});

t.test(
  "rules without paths hold for access records and logs that come mixed, scope after scope",
  async (t) => {
    const rules = [{ class: "hipaa", namespace: "clinic", service: "*" }];
    const mixed = [access("/a"), { body: "a log" }, access("/b")];
    const body = writeLogs(
      ["clinic", "shop", "clinic"].map(
        (namespace) => oneScope(mixed, resource(namespace, "s"))[0]!,
      ),
    );
    const [hipaa, other] = ["hipaa", "default"];
    t.same(await classesOf(rules, "logs", body), {
      access: [hipaa, hipaa, other, other, hipaa, hipaa],
      logs: [hipaa, other, hipaa],
    });
  },
);
