import fc from "fast-check";
import t from "tap";
import { CLAIMS, Claims } from "../../src/normalise/claims.ts";
import { Normaliser } from "../../src/normalise/normaliser.ts";
import { ACCESS, AccessDraft } from "../../src/records/access-draft.ts";
import { REMARKS } from "../../src/records/remarks.ts";
import { LogView } from "../../src/records/views.ts";
import { attributes, type Columns, normalise } from "../support/normalise.ts";

const REDACT = { queryParameters: [], headers: [] };
/** By the number of trusted hops. */
const normalisers = [0, 1, 2].map((trustedHops) => new Normaliser({ redact: REDACT, trustedHops }));

const WEB = "spiffe://cluster.local/ns/web/sa/frontend";
const EDGE = "spiffe://cluster.local/ns/edge/sa/gateway";
const OTHER = "spiffe://cluster.local/ns/shop/sa/orders";

/** The columns of a record with these attributes, and what LogAttributes keeps of them. */
function columnsOf(values: Record<string, string>, trustedHops = 0): Columns {
  return normalise(normalisers[trustedHops]!, {
    record: {
      attributes: attributes({
        method: "GET",
        path: "/",
        response_code: "200",
        response_flags: "-",
        downstream_remote_address: "10.2.9.9:4711",
        ...values,
      }),
    },
  })!;
}

function left(columns: Columns): Record<string, string> {
  return Object.fromEntries((columns["LogAttributes"] ?? []) as [string, string][]);
}

function conflictIn(values: Record<string, string>, trustedHops = 0): string | undefined {
  return left(columnsOf(values, trustedHops))[REMARKS.identityConflict];
}

t.test("a peer is named by the best that the record has", async (t) => {
  const linkerd = "web.shop.serviceaccount.identity.linkerd.cluster.local";
  const role = "arn:aws:sts::123456789012:assumed-role/orders-role/i-0a1b2c";
  const kuma = "kuma://kuma.io/protocol/http";
  // PeerPrincipal, PeerNamespace, PeerServiceAccount, ActorAssurance, AuthMethod
  const cases: [Record<string, string>, (string | undefined)[]][] = [
    [{ downstream_peer_uri_san: WEB }, [WEB, "web", "frontend", "mtls", "mtls"]],
    [{ downstream_peer_uri_san: linkerd }, [linkerd, "shop", "web", "mtls", "mtls"]],
    [
      { downstream_peer_uri_san: `${kuma},spiffe://default/web_shop_svc_80` },
      ["spiffe://default/web_shop_svc_80", "shop", "web_shop_svc_80", "mtls", "mtls"],
    ],
    [
      { downstream_peer_dns_san: `${linkerd},other.example` },
      [linkerd, "shop", "web", "mtls", "mtls"],
    ],
    [
      { downstream_peer_subject: "CN=web,O=Shop" },
      ["CN=web,O=Shop", undefined, undefined, "mtls", "mtls"],
    ],
    [{ peer_principal: WEB.slice(9) }, [WEB, "web", "frontend", "policy_engine", "mtls"]],
    // Filter state is JSON, unless the operator says PLAIN.
    [{ "io.istio.peer_principal": `"${WEB}"` }, [WEB, "web", "frontend", "policy_engine", "mtls"]],
    [{ peer_principal: role }, [role, "123456789012", "orders-role", "policy_engine", "aws_sigv4"]],
    [
      { source_workload: "web-v1", source_namespace: "web", source_service_account: "frontend" },
      [undefined, "web", "frontend", "proxy_metadata", "none"],
    ],
    [{}, [undefined, undefined, undefined, "address", "none"]],
    [
      { downstream_remote_address: "10.2.9.9:0" },
      [undefined, undefined, undefined, "header", "none"],
    ],
    [{ downstream_remote_address: "-" }, [undefined, undefined, undefined, "none", "none"]],
    // The certificate was refused: its names are anybody's claim.
    [
      { downstream_peer_uri_san: WEB, downstream_transport_failure_reason: "TLS error" },
      [undefined, undefined, undefined, "address", "none"],
    ],
  ];
  for (const [values, expected] of cases) {
    const columns = columnsOf(values);
    t.strictSame(
      [
        columns["PeerPrincipal"],
        columns["PeerNamespace"],
        columns["PeerServiceAccount"],
        columns["ActorAssurance"],
        columns["AuthMethod"],
      ],
      expected,
      JSON.stringify(values),
    );
    const fallback = values["source_workload"] ?? (expected[3] === "none" ? undefined : "10.2.9.9");
    t.equal(columns["Actor"], expected[0] ?? fallback);
  }
});

t.test(
  "a destination's principal has one spelling and its parts, where the request comes in",
  async (t) => {
    const columns = columnsOf({
      upstream_cluster: "inbound|8080||",
      destination_principal: "cluster.local/ns/shop/sa/orders",
    });
    t.equal(columns["LocalPrincipal"], OTHER);
    t.equal(columns["LocalNamespace"], "shop");
    t.equal(columns["LocalServiceAccount"], "orders");
  },
);

t.test("a SPIFFE ID that breaks a rule is kept as it is, and said to be one", async (t) => {
  const lenient = "spiffe://Cluster.local/ns/web/sa/front%20end";
  const columns = columnsOf({ downstream_peer_uri_san: lenient });
  t.equal(columns["PeerPrincipal"], lenient);
  t.equal(columns["PeerServiceAccount"], "front%20end");
  t.equal(columns["ActorAssurance"], "mtls");
  t.equal(left(columns)[REMARKS.lenientSpiffeId], "PeerPrincipal");
  t.equal(
    left(
      columnsOf({ downstream_peer_uri_san: lenient, downstream_local_uri_san: "spiffe://a/b/" }),
    )[REMARKS.lenientSpiffeId],
    "PeerPrincipal,LocalPrincipal",
  );
  t.equal(left(columnsOf({ downstream_peer_uri_san: WEB }))[REMARKS.lenientSpiffeId], undefined);
});

t.test("a user is the actor when somebody authenticated the user", async (t) => {
  const issuer = "https://issuer.example/realms/shop";
  const payload = JSON.stringify({ iss: issuer, sub: "ada", aud: ["a", "b"], n: { sub: "no" } });
  const jwt = "envoy.filters.http.jwt_authn:payload";
  // EndUser, EndUserIssuer, UserAssurance, AuthMethod
  const cases: [Record<string, string>, (string | undefined)[]][] = [
    [{ jwt_sub: "ada", jwt_iss: issuer }, ["ada", issuer, "token", "jwt"]],
    [{ [`${jwt}:sub`]: "ada", [`${jwt}:iss`]: issuer }, ["ada", issuer, "token", "jwt"]],
    [
      { "envoy.filters.http.jwt_authn.payload.sub": "ada", [`${jwt}.act.sub`]: "svc" },
      ["ada", undefined, "token", "jwt"],
    ],
    [{ [`${jwt}:sub`]: "ada", [`${jwt}:act:sub`]: "svc" }, ["ada", undefined, "token", "jwt"]],
    [{ [`${jwt}:azp`]: "batch" }, ["batch", undefined, "token", "jwt"]],
    [{ [`${jwt}:email`]: "ada@shop.example" }, ["ada@shop.example", undefined, "token", "jwt"]],
    [
      { [`${jwt}:email`]: "ada@shop.example", [`${jwt}:sub`]: "ada" },
      ["ada", undefined, "token", "jwt"],
    ],
    [{ [jwt]: payload }, ["ada", issuer, "token", "jwt"]],
    [{ [`DYNAMIC_METADATA(${jwt})`]: payload }, ["ada", issuer, "token", "jwt"]],
    [{ jwt_payload: payload, request_principal: `${issuer}/ada` }, ["ada", issuer, "token", "jwt"]],
    [{ jwt_payload: `{"azp":"batch","client_id":"b"}` }, ["batch", undefined, "token", "jwt"]],
    [{ jwt_payload: `{"iss":"${issuer}","sub":` }, [undefined, undefined, "none", "none"]],
    [{ request_principal: `${issuer}/ada` }, ["ada", issuer, "token", "jwt"]],
    [
      { request_principal: "https://a.example//auth0|1" },
      ["auth0|1", "https://a.example/", "token", "jwt"],
    ],
    [
      { request_principal: "me@a.example/me@a.example" },
      ["me@a.example", "me@a.example", "token", "jwt"],
    ],
    [{ request_principal: `${issuer}/${WEB}` }, [WEB, issuer, "token", "jwt"]],
    [
      { request_principal: `${issuer}/org/ada`, jwt_iss: issuer },
      ["org/ada", issuer, "token", "jwt"],
    ],
    [
      { request_principal: `${issuer}/org/ada`, jwt_sub: "org/ada" },
      ["org/ada", issuer, "token", "jwt"],
    ],
    [{ request_principal: "ada" }, ["ada", undefined, "token", "jwt"]],
    [{ basic_auth_user: "ada" }, ["ada", undefined, "policy_engine", "basic"]],
    [
      { authenticated_user: "ada", authenticated_user_issuer: "ldap" },
      ["ada", "ldap", "policy_engine", "none"],
    ],
    [{}, [undefined, undefined, "none", "none"]],
  ];
  for (const [values, expected] of cases) {
    const columns = columnsOf(values);
    t.strictSame(
      [
        columns["EndUser"],
        columns["EndUserIssuer"],
        columns["UserAssurance"],
        columns["AuthMethod"],
      ],
      expected,
      JSON.stringify(values),
    );
    t.strictSame(
      [columns["Actor"], columns["ActorKind"], columns["ActorAssurance"]],
      [expected[0] ?? "10.2.9.9", expected[0] === undefined ? "address" : "user", "address"],
      "the workload's level stays the workload's",
    );
  }
});

t.test("a user that a header names is never the actor", async (t) => {
  const actor = (values: Record<string, string>): unknown[] => {
    const columns = columnsOf(values);
    return [
      columns["EndUser"],
      columns["UserAssurance"],
      columns["AuthMethod"],
      columns["Actor"],
      columns["ActorKind"],
    ];
  };
  const address = ["10.2.9.9", "address"];
  t.strictSame(actor({ remote_user: "root" }), ["root", "header", "basic", ...address]);
  t.strictSame(actor({ "x-forwarded-user": "root" }), ["root", "header", "none", ...address]);
  t.strictSame(actor({ "http.request.header.x-auth-request-user": "root" }), [
    "root",
    "header",
    "none",
    ...address,
  ]);
  t.strictSame(
    actor({ basic_auth_user: "root", response_code: "401" }),
    ["root", "header", "basic", ...address],
    "the name stands in the log also when the password was wrong",
  );
  t.strictSame(actor({ remote_user: "root", downstream_peer_uri_san: WEB }), [
    "root",
    "header",
    "mtls",
    WEB,
    "workload",
  ]);
  const both = columnsOf({ "x-forwarded-user": "root", jwt_sub: "ada" });
  t.equal(both["EndUser"], "ada");
  t.equal(left(both)["x-forwarded-user"], "root", "an unused claim is kept");
});

t.test(
  "sources that contradict each other are said to, and the columns keep to the better one",
  async (t) => {
    const cases: [string, Record<string, string>, string | undefined, number?][] = [
      ["same", { downstream_peer_uri_san: WEB, peer_principal: WEB }, undefined],
      ["no scheme", { downstream_peer_uri_san: WEB, peer_principal: WEB.slice(9) }, undefined],
      ["one of two", { downstream_peer_uri_san: `${EDGE},${WEB}`, peer_principal: WEB }, undefined],
      ["another", { downstream_peer_uri_san: WEB, peer_principal: EDGE }, "policy_engine"],
      [
        "another, no scheme",
        { downstream_peer_uri_san: WEB, peer_principal: EDGE.slice(9) },
        "policy_engine",
      ],
      ["names of two kinds", { downstream_peer_subject: "CN=web", peer_principal: WEB }, undefined],
      ["same namespace", { downstream_peer_uri_san: WEB, source_namespace: "web" }, undefined],
      [
        "another namespace",
        { downstream_peer_uri_san: WEB, source_namespace: "shop" },
        "source_namespace",
      ],
      [
        "Consul's namespaces are not those of Kubernetes",
        {
          downstream_peer_uri_san: "spiffe://0a.consul/ns/default/dc/dc1/svc/web",
          source_namespace: "shop",
        },
        undefined,
      ],
      [
        "another namespace, by the policy engine",
        { peer_principal: WEB, source_namespace: "shop" },
        "source_namespace",
      ],
      ["another subject", { request_principal: "iss/eve", jwt_sub: "ada" }, "request_principal"],
      ["another issuer", { request_principal: "iss/ada", jwt_iss: "is" }, "request_principal"],
      [
        "two at once",
        { downstream_peer_uri_san: WEB, peer_principal: EDGE, source_namespace: "edge" },
        "policy_engine,source_namespace",
      ],
      // Trusted hops.
      ["this proxy wrote of its peer", { xfcc: `By=${OTHER};URI=${WEB}` }, undefined, 1],
      ["the peer wrote of its own", { xfcc: `By=${WEB};Hash=0a;URI=${EDGE}` }, undefined, 1],
      ["under the name that URI had once", { xfcc: `SAN=${WEB}` }, undefined, 1],
      ["one of several", { xfcc: `URI=spiffe://a/b;uri="${WEB}"` }, undefined, 1],
      ["a hash alone says nothing", { xfcc: "Hash=0a" }, undefined, 1],
      ["neither", { xfcc: `By=${OTHER};URI=${EDGE}` }, "forwarded_certificate", 1],
      ["only the nearest counts", { xfcc: `URI=${WEB},URI=${EDGE}` }, "forwarded_certificate", 1],
      ["hops that are not trusted say nothing", { xfcc: `URI=${EDGE}` }, undefined, 0],
      [
        "a header that breaks the grammar",
        { xfcc: `URI=${WEB};Subject="` },
        "forwarded_certificate",
        1,
      ],
    ];
    for (const [name, values, expected, hops] of cases) {
      const all = "xfcc" in values ? { downstream_peer_uri_san: WEB, ...values } : values;
      t.equal(conflictIn(all, hops), expected, name);
    }
    const columns = columnsOf({ downstream_peer_uri_san: WEB, peer_principal: EDGE });
    t.strictSame([columns["Actor"], columns["ActorAssurance"]], [WEB, "mtls"]);
    t.equal(left(columns)["peer_principal"], EDGE, "what was contradicted is kept");
  },
);

t.test(
  "a header that is called like a field says nothing of what the proxy found out",
  async (t) => {
    const spellings = [
      "http.request.header.",
      "http.request.headers.",
      "request_headers.",
      "request.headers[",
      "log.headers.",
      "http.response.header.",
      "RESP(",
      "REQ(",
      "%REQ(x?",
    ];
    const ends: Record<string, string> = { "[": "]", "(": ")", "?": ")%" };
    const bare = columnsOf({});
    for (const { header, value = "evil" } of [
      { header: "source_principal", value: OTHER },
      { header: "downstream-peer-uri-san", value: OTHER },
      { header: "downstream_peer_fingerprint_256", value: "a".repeat(64) },
      { header: "source_workload" },
      { header: "destination_principal", value: OTHER },
      { header: "request_principal", value: "issuer/root" },
      { header: "jwt_sub" },
      { header: "jwt_payload", value: '{"sub":"root"}' },
      { header: "envoy.filters.http.jwt_authn.payload.sub" },
      { header: "x-shadow-engine-result", value: "denied" },
      { header: "basic_auth_user" },
      { header: "authenticated_user" },
      { header: "remote_user" },
      { header: "client-ip", value: "192.0.2.1" },
      { header: "method", value: "DELETE" },
      { header: "path", value: "/admin" },
      { header: "response_code", value: "403" },
      { header: "response_flags", value: "UAEX" },
      { header: "trace_id", value: "1".repeat(32) },
      { header: "trace-parent", value: `00-${"1".repeat(32)}-${"2".repeat(16)}-01` },
    ])
      for (const prefix of spellings) {
        const key = `${prefix}${header}${ends[prefix.at(-1)!] ?? ""}`;
        const columns = columnsOf({ [key]: value });
        t.equal(left(columns)[key], value, key);
        t.strictSame(
          { ...columns, LogAttributes: undefined },
          { ...bare, LogAttributes: undefined },
        );
      }
  },
);

t.test("a header that says something is known in every spelling", async (t) => {
  for (const key of [
    "x-forwarded-user",
    "http.request.header.x-forwarded-user",
    "http.request.header.x_forwarded_user",
    "request.headers['X-Forwarded-User']",
    "%REQ(X-FORWARDED-USER)%",
    "REQ(X-NONE?X-FORWARDED-USER)",
  ])
    t.equal(columnsOf({ [key]: "ada" })["EndUser"], "ada", key);
});

t.test("a record that came from here keeps what was said of it", async (t) => {
  const columns = columnsOf({ [REMARKS.identityConflict]: "policy_engine" });
  t.equal(left(columns)[REMARKS.identityConflict], "policy_engine");
  t.equal(normalisers[0]!.draft.mayHaveConflict, true);
  columnsOf({});
  t.equal(normalisers[0]!.draft.mayHaveConflict, false, "and the next one is another");
});

t.test("nobody's earlier element swallows what a trusted hop appends", async (t) => {
  const appended = [
    `By=${OTHER};Hash=0a;URI=${WEB}`,
    `By=${OTHER};Hash=0a;Subject="CN=web";URI=${WEB}`,
    `By=${OTHER};Hash=0a;Subject="O=\\"a\\",CN=web";URI=${WEB}`,
    `By=${OTHER};Subject="";URI=${WEB};DNS=web.example`,
  ];
  const piece = fc.constantFrom(
    '"',
    "\\",
    "=",
    ";",
    ",",
    "URI=",
    "Subject=",
    'Subject="',
    EDGE,
    "a",
  );
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 10 }).map((pieces) => pieces.join("")),
      fc.constantFrom(...appended),
      (forged, element) => {
        const xfcc = `URI=${EDGE};Subject=${forged},${element}`;
        const columns = columnsOf({ xfcc }, 1);
        return columns["Actor"] === WEB || columns["Actor"] === "10.2.9.9";
      },
    ),
    { numRuns: 3000 },
  );
  const honest = columnsOf({ xfcc: `URI=${EDGE};Subject="CN=\\"e,\\"",${appended[2]}` }, 2);
  t.strictSame([honest["Actor"], honest["PeerPrincipal"]], [EDGE, WEB]);
  t.strictSame(honest["ActorChain"], [EDGE, WEB]);
});

t.test(
  "a trusted hop without URI names its peer by subject or DNS name, never by a hash",
  async (t) => {
    const peer = (xfcc: string): unknown => columnsOf({ xfcc }, 1)["PeerPrincipal"];
    t.equal(peer('Hash=0a;Subject="CN=web,O=Shop"'), "CN=web,O=Shop");
    t.equal(peer("Hash=0a;DNS=web.example"), "web.example");
    t.equal(peer("Hash=0a"), undefined);
  },
);

t.test("whatever the values are, the actor is somebody whom its assurance allows", async () => {
  const keys = [
    "downstream_peer_uri_san",
    "downstream_peer_dns_san",
    "downstream_peer_subject",
    "peer_principal",
    "xfcc",
    "source_workload",
    "source_namespace",
    "downstream_remote_address",
    "request_principal",
    "jwt_sub",
    "jwt_iss",
    "jwt_azp",
    "jwt_email",
    "jwt_payload",
    "basic_auth_user",
    "authenticated_user",
    "remote_user",
    "x-forwarded-user",
    "downstream_local_uri_san",
    "downstream_transport_failure_reason",
  ];
  const piece = fc.oneof(
    fc.constantFrom(
      "spiffe://",
      WEB,
      WEB.slice(9),
      "/ns/",
      "/sa/",
      "arn:aws:sts::1:",
      "assumed-role/",
      ",",
      "URI=",
      "By=",
      'Subject="',
      '"',
      "\\",
      ";",
      ".serviceaccount.identity.",
      "_svc_1",
      "://",
      '{"sub":"',
      '","iss":"',
      '"}',
      "\\u0041",
      "10.0.0.1:80",
      "-",
    ),
    fc.string({ unit: "binary", maxLength: 4 }),
  );
  const value = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(""));
  const allowed: Record<string, readonly unknown[]> = {
    user: ["token", "policy_engine"],
    workload: ["mtls", "policy_engine", "forwarded_certificate", "proxy_metadata"],
    address: ["address", "header"],
    none: ["none"],
  };
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...keys), value), fc.nat(2), (values, hops) => {
      const columns = columnsOf(values, hops);
      const kind = String(columns["ActorKind"] ?? "none");
      const assurance = columns[kind === "user" ? "UserAssurance" : "ActorAssurance"];
      return (
        allowed[kind]!.includes(assurance) &&
        (columns["Actor"] === undefined) === (kind === "none") &&
        (kind !== "user" || columns["Actor"] === columns["EndUser"]) &&
        (columns["PeerPrincipal"] === undefined ||
          ["mtls", "policy_engine", "forwarded_certificate"].includes(
            String(columns["ActorAssurance"]),
          ))
      );
    }),
    { numRuns: 3000 },
  );
});

const claims = new Claims();
const draft = new AccessDraft();

/** The claim `sub` of a payload that stands between other JSON. */
function subOf(payload: string): string | undefined {
  const before = '{"sub":"before",';
  const bytes = Buffer.from(`${before}${payload},"sub":"behind"}`);
  const view = new LogView();
  view.reset(bytes);
  draft.reset(view);
  const start = Buffer.byteLength(before);
  claims.parse(bytes, start, start + Buffer.byteLength(payload));
  if (!claims.has(CLAIMS.sub)) return undefined;
  claims.copyTo(draft, ACCESS.EndUser, bytes, CLAIMS.sub);
  return Buffer.from(
    draft.bytesOf(ACCESS.EndUser).subarray(draft.start[ACCESS.EndUser], draft.end[ACCESS.EndUser]),
  ).toString();
}

t.test("a payload's claims are what JSON.parse finds", async (t) => {
  const text = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 12 }),
    fc.constant('a"\\/\u0007😀é'),
  );
  const other = fc.dictionary(
    fc.string({ maxLength: 6 }).filter((key) => key !== "sub"),
    fc.jsonValue({ maxDepth: 3 }),
    { maxKeys: 4 },
  );
  fc.assert(
    fc.property(text, other, other, fc.nat(2), (sub, before, behind, indent) => {
      const payload = JSON.stringify({ ...before, sub, ...behind }, null, indent);
      return subOf(payload) === (sub === "" ? undefined : sub);
    }),
    { numRuns: 2000 },
  );
  t.equal(subOf(String.raw`{"sub":"\u0041\ud83d\ude00\u00e9"}`), "A😀é");
  t.equal(
    subOf(String.raw`{"sub":"\ud83d\u0041\ude00"}`),
    "\ufffdA\ufffd",
    "half a character is none",
  );
  t.equal(subOf(String.raw`{"sub":"\u00g0\n"}`), String.raw`\u00g0\n`);
  for (const broken of [
    "",
    "{",
    '{"sub":"ada"',
    '{"sub":"ada"}}',
    '["sub"]',
    '"sub"',
    '{"sub":{"sub":"ada"}}',
    '{"sub":["ada"]}',
    '{"sub":1}',
    '{"sub":"ada',
  ])
    t.equal(subOf(broken), undefined, broken);
  t.equal(subOf(`{"a":${"[".repeat(100_000)}${"]".repeat(100_000)},"sub":"ada"}`), "ada");
});

t.test("no payload breaks the reader", async () => {
  const piece = fc.constantFrom(
    "{",
    "}",
    "[",
    "]",
    '"',
    "\\",
    "\\u",
    "d83d",
    ",",
    ":",
    '"sub"',
    '"a"',
    " ",
    "\\u0041",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const payload = pieces.join("");
      const found = subOf(payload);
      if (found === undefined) return true;
      return !found.includes("before") && !found.includes("behind");
    }),
    { numRuns: 3000 },
  );
});
