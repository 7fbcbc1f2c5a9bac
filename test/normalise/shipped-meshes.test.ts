import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import t from "tap";
import { parseAllDocuments } from "yaml";
import { Normaliser } from "../../src/normalise/normaliser.ts";
import { findKey } from "../../src/normalise/attribute-keys.ts";
import { attributes, normalise } from "../support/normalise.ts";

/** What proxies send that are configured by our files for Istio, Envoy Gateway, Kuma and Linkerd, as those build their loggers (no proxy runs here). */

const CONFIG = resolve(import.meta.dirname, "../../config");
const REDACT = { queryParameters: ["token"], headers: [] };

type Json = { [key: string]: Json } & Json[] & string;

/** The documents of a file, one after the other. */
function documents(name: string): Json[] {
  const text = readFileSync(join(CONFIG, name), "utf8");
  return parseAllDocuments(text).map((document) => {
    if (document.errors.length > 0) throw document.errors[0]!;
    return document.toJS() as Json;
  });
}

/** Attribute names and operators that a mesh's proxies are told to log. */
const LOGGED: Record<string, () => [key: string, operator: string][]> = {
  "istio-mesh.yaml": () =>
    Object.entries(
      documents("istio-mesh.yaml")[0]!["spec"]!["meshConfig"]!["extensionProviders"]![0]![
        "envoyOtelAls"
      ]!["logFormat"]!["labels"]!,
    ),
  "envoy-gateway.yaml": () =>
    Object.entries(
      documents("envoy-gateway.yaml")[0]!["spec"]!["telemetry"]!["accessLog"]!["settings"]![0]![
        "format"
      ]!["json"]!,
    ),
  "kuma.yaml": () =>
    documents("kuma.yaml")[0]!["spec"]!["rules"]![0]!["default"]!["backends"]![0]![
      "openTelemetry"
    ]!["attributes"]!.map(({ key, value }) => [key!, value!]),
};

/** Where a record of each says that it was written; of Envoy Gateway by the name that it gives to routes. */
const DIRECTIONS: Record<string, string> = {
  "istio-mesh.yaml": "inbound",
  "envoy-gateway.yaml": "gateway",
  "kuma.yaml": "inbound",
};
const GATEWAY_ROUTE = "httproute/shop/refunds/rule/0/match/0/*";

/** What Envoy puts in the place of its operators for one request that RBAC denied; "-" for what is not there. */
const VALUES: Record<string, string> = {
  "%START_TIME%": "2026-09-21T14:13:20.123Z",
  "%DOWNSTREAM_PEER_URI_SAN%": "spiffe://cluster.local/ns/web/sa/frontend",
  "%DOWNSTREAM_REMOTE_ADDRESS%": "10.1.2.3:40312",
  "%REQ(:METHOD)%": "POST",
  "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%": "/refunds?token=secret",
  "%REQ(:AUTHORITY)%": "payment.shop:8080",
  "%REQ(X-REQUEST-ID)%": "9f2c4e6a-0000-4000-8000-000000000001",
  "%REQ(USER-AGENT)%": "curl/8.5.0",
  "%KUMA_TRAFFIC_DIRECTION%": "INBOUND",
  "%PROTOCOL%": "HTTP/2",
  "%RESPONSE_CODE%": "403",
  "%RESPONSE_CODE_DETAILS%":
    "rbac_access_denied_matched_policy[ns[shop]-policy[only-support]-rule[0]]",
  "%DURATION%": "3",
  "%BYTES_RECEIVED%": "17",
  "%BYTES_SENT%": "19",
  "%UPSTREAM_CLUSTER%": "inbound|8080||",
  "%UPSTREAM_CLUSTER_RAW%": "inbound|8080||",
  "%ENVIRONMENT(POD_NAME)%": "payment-1",
  "%ENVIRONMENT(POD_NAMESPACE)%": "shop",
};

const normaliser = new Normaliser({ redact: REDACT });

for (const [file, logged] of Object.entries(LOGGED)) {
  t.test(`${file}: the record says who, what, and by whose leave`, async (t) => {
    const pairs = logged();
    t.ok(pairs.length > 20);
    for (const [key] of pairs) t.ok(findKey(key), `${key} has a column`);
    const values =
      file === "envoy-gateway.yaml" ? { ...VALUES, "%ROUTE_NAME%": GATEWAY_ROUTE } : VALUES;
    const record = {
      timeUnixNano: "1790000000123456789",
      attributes: attributes(
        Object.fromEntries(pairs.map(([key, operator]) => [key, values[operator] ?? "-"])),
      ),
    };
    t.match(normalise(normaliser, { record }), {
      Actor: "spiffe://cluster.local/ns/web/sa/frontend",
      Method: "POST",
      Path: "/refunds",
      Query: "token=[redacted]",
      Authority: "payment.shop:8080",
      RequestId: "9f2c4e6a-0000-4000-8000-000000000001",
      StatusCode: 403,
      Direction: DIRECTIONS[file],
      Decision: "denied",
      Policy: "shop/only-support#0",
      RequestBytes: "17",
      ResponseBytes: "19",
    });
  });
}

t.test("Istio's Telemetry names the providers that its mesh configuration defines", async (t) => {
  const defined = documents("istio-mesh.yaml")[0]!["spec"]!["meshConfig"]![
    "extensionProviders"
  ]!.map(({ name }) => name);
  const { accessLogging, tracing } = documents("istio-telemetry.yaml")[0]!["spec"]!;
  const named = [accessLogging!, tracing!].flatMap((list) =>
    list.flatMap(({ providers }) => providers!.map(({ name }) => name)),
  );
  t.same(named, defined);
});

t.test("all meshes send to one Collector", async (t) => {
  for (const file of ["istio-mesh.yaml", "envoy-gateway.yaml", "kuma.yaml"]) {
    const text = readFileSync(join(CONFIG, file), "utf8");
    t.equal(
      text.match(/opentelemetry-collector\b/g)?.length,
      file === "envoy-gateway.yaml" ? 3 : 2,
    );
    t.notMatch(text, /4318/, "gRPC alone");
  }
});

t.test("linkerd.yaml: the line that it asks for says who and what", async (t) => {
  t.match(documents("linkerd.yaml")[0], {
    metadata: { annotations: { "config.linkerd.io/access-log": "json" } },
  });
  const line = {
    "client.addr": "10.1.2.3:40312",
    "client.id": "frontend.web.serviceaccount.identity.linkerd.cluster.local",
    host: "payment.shop:8080",
    method: "POST",
    processing_ns: "39826",
    request_bytes: "17",
    response_bytes: "19",
    status: 200,
    timestamp: "2026-09-21T14:13:20.123456789Z",
    total_ns: "3000000",
    trace_id: "",
    uri: "http://payment.shop:8080/refunds?token=secret",
    user_agent: "curl/8.5.0",
    version: "HTTP/2.0",
  };
  const expected = {
    Dialect: "linkerd",
    Timestamp: "1790000000123456789",
    DurationNs: "3000000",
    Actor: "frontend.web.serviceaccount.identity.linkerd.cluster.local",
    ActorAssurance: "mtls",
    Direction: "inbound",
    Method: "POST",
    Path: "/refunds",
    Query: "token=[redacted]",
    Authority: "payment.shop:8080",
    StatusCode: 200,
    Decision: "allowed",
    RequestBytes: "17",
    ResponseBytes: "19",
    ParseStatus: "full",
  };
  const body = { stringValue: JSON.stringify(line) };
  t.match(normalise(normaliser, { record: { body } }), expected);
  // As the Collector of config/collector.yaml sends it: members made attributes, the line kept.
  const parsed = {
    ...line,
    status: { doubleValue: 200 },
    "log.file.path": "/var/log/pods/x/y/0.log",
  };
  t.match(normalise(normaliser, { record: { body, attributes: attributes(parsed) } }), expected);
});
