import fc from "fast-check";
import t, { type Test } from "tap";
import { SecretFinder } from "../../../src/normalise/redaction/secret-finder.ts";
import { type RedactOptions, Rules } from "../../../src/normalise/redaction/rules.ts";
import { CONTEXT } from "../../../src/normalise/redaction/value-end.ts";

const PLACES = { Query: 0, Path: CONTEXT.path, Text: CONTEXT.text } as const;
const OPTIONS: RedactOptions = {
  queryParameters: ["token", "Code", "pass word"],
  headers: ["Authorization", "x-api-key"],
};

/** Redacts texts as a row's are: what stands around them must make no difference. */
function redactorOf(options: RedactOptions): (text: string, context?: number) => string {
  const rules = new Rules(options);
  const finder = new SecretFinder(rules);
  return (text, context = PLACES.Text) => {
    const bytes = Buffer.from(`9${text}0`);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const end = bytes.length - 1;
    if (!finder.find(bytes, view, 1, end, context)) return text;
    const parts: string[] = [];
    let copied = 1;
    for (let i = 0; i < finder.count; i++) {
      parts.push(bytes.toString("utf8", copied, finder.start[i]));
      parts.push(finder.isBare[i] === 1 ? '"[redacted]"' : "[redacted]");
      copied = finder.end[i]!;
    }
    return parts.join("") + bytes.toString("utf8", copied, end);
  };
}

const redact = redactorOf(OPTIONS);

/** Each text is redacted to the one beside it. */
function becomes(t: Test, cases: readonly (readonly [text: string, expected: string])[]): void {
  for (const [text, expected] of cases) t.equal(redact(text), expected, text);
}

/** Nothing in these texts is a secret. */
function stays(t: Test, texts: readonly string[]): void {
  for (const text of texts) t.equal(redact(text), text, text);
}

t.test("values of parameters are redacted, whatever way the name is written", async (t) => {
  const cases: [string, string][] = [
    ["token=abc", "token=[redacted]"],
    ["a=1&TOKEN=abc&b=2", "a=1&TOKEN=[redacted]&b=2"],
    ["to%6Ben=abc", "to%6Ben=[redacted]"],
    ["%74%6f%6b%65%6e=abc&x", "%74%6f%6b%65%6e=[redacted]&x"],
    ["pass+word=abc", "pass+word=[redacted]"],
    ["pass%20word=abc", "pass%20word=[redacted]"],
    ["+token=abc", "+token=[redacted]"],
    ["user[token]=abc&token[]=x", "user[token]=[redacted]&token[]=[redacted]"],
    ["token=a;code=b;page=2", "token=[redacted];code=[redacted];page=2"],
    ["token=a;b", "token=[redacted]"],
    ["token=a=b==", "token=[redacted]"],
    ["token=a?b/c#d", "token=[redacted]"],
    ["token=a%26b", "token=[redacted]"],
    ["token%3Dabc&x=1", "token%3D[redacted]&x=1"],
    ["next=/login?token=abc&x=1", "next=/login?token=[redacted]&x=1"],
    ["next=%2Flogin%3Ftoken%3Dabc%26x%3D1", "next=%2Flogin%3Ftoken%3D[redacted]%26x%3D1"],
    ["next=%252Flogin%253Ftoken%253Dabc%2525", "next=%252Flogin%253Ftoken%253D[redacted]"],
    ["token=abc&token=def", "token=[redacted]&token=[redacted]"],
    ["code=1#token=2", "code=[redacted]#token=[redacted]"],
    ["access_token=abc&refreshToken=def", "access_token=[redacted]&refreshToken=[redacted]"],
    [
      "accesstoken=abc&csrfmiddlewaretoken=def",
      "accesstoken=[redacted]&csrfmiddlewaretoken=[redacted]",
    ],
    ["clientsecret=abc&new_password2=def", "clientsecret=[redacted]&new_password2=[redacted]"],
    ["password1: abc token_2: def", "password1: [redacted] token_2: [redacted]"],
    ["APIToken=abc&subscription-key=def", "APIToken=[redacted]&subscription-key=[redacted]"],
    ["X-Amz-Signature=abc&X-Amz-Date=2026", "X-Amz-Signature=[redacted]&X-Amz-Date=2026"],
  ];
  for (const [text, expected] of cases) t.equal(redact(text, PLACES.Query), expected, text);
});

t.test("everything else stays as it is", async (t) => {
  for (const text of [
    "",
    "a=1",
    "token",
    "token=",
    "token=&x=1",
    "tokens=1",
    "mypwd=1",
    "x=token",
    "%",
    "%4",
    "%zz=1",
    "&&==&",
    "to%ken=1",
    "token=-",
    "page_size=10",
    "author=1",
  ])
    t.equal(redact(text, PLACES.Query), text, text);
});

t.test("in a path, parameters behind semicolons are redacted up to the next segment", async (t) => {
  t.equal(redact("/a;token=abc;v=1/b", PLACES.Path), "/a;token=[redacted];v=1/b");
  t.equal(redact("/a;jsessionid=abc/b", PLACES.Path), "/a;jsessionid=[redacted]/b");
  t.equal(redact("/a%3Ftoken=abc/b", PLACES.Path), "/a%3Ftoken=[redacted]/b");
  t.equal(redact("/token/abc", PLACES.Path), "/token/abc");
});

t.test("in a text, names are found with their values, however they are written", async (t) => {
  const cases: [string, string][] = [
    ["GET /x?a=1&token=abc HTTP/1.1 200", "GET /x?a=1&token=[redacted] HTTP/1.1 200"],
    ['{"path":"/x?token=abc","b":1}', '{"path":"/x?token=[redacted]","b":1}'],
    ['{"path":"/x?token=","b":1}', '{"path":"/x?token=","b":1}'],
    ['{"u":"/x?token=abc\\u0026b=1"}', '{"u":"/x?token=[redacted]\\u0026b=1"}'],
    ['{"authorization":"Bearer a\\"b","b":1}', '{"authorization":"[redacted]","b":1}'],
    [
      '{"Proxy-Authorization": "x", "X_API_KEY": "k"}',
      '{"Proxy-Authorization": "[redacted]", "X_API_KEY": "[redacted]"}',
    ],
    ["authorization: Bearer abc\nhost: x", "authorization: [redacted]\nhost: x"],
    ["token=abc x-api-key=k", "token=[redacted] x-api-key=[redacted]"],
    ["password: hunter2 user: bob", "password: [redacted] user: bob"],
    ['password = "hunter 2" user=bob', 'password = "[redacted]" user=bob'],
    ["token: Bearer abc next", "token: [redacted] next"],
    ["{'password': 'hunter2', 'a': 1}", "{'password': '[redacted]', 'a': 1}"],
    ['{"password":12345,"a":1}', '{"password":"[redacted]","a":1}'],
    ['{"secret":{"a":["}",1]},"a":1}', '{"secret":"[redacted]","a":1}'],
    ['{"password":null,"a":1}', '{"password":null,"a":1}'],
    [
      '{"m":"{\\"password\\":\\"a\\\\\\"b\\",\\"c\\":1}"}',
      '{"m":"{\\"password\\":\\"[redacted]\\",\\"c\\":1}"}',
    ],
    [
      "f=%7B%22password%22%3A%22a%22%2C%22b%22%3A1%7D",
      "f=%7B%22password%22%3A%22[redacted]%22%2C%22b%22%3A1%7D",
    ],
    [
      'GET /x authorization: Digest username="bob", realm="r", response="abc" cut\nnext',
      "GET /x authorization: [redacted]\nnext",
    ],
    [
      'authorization="Digest username="bob", response="abc"" status="200"',
      'authorization="[redacted]" status="200"',
    ],
    [
      'authorization="Digest username=\\"bob\\", response=\\"abc\\"" status="200"',
      'authorization="[redacted]" status="200"',
    ],
    ['authorization="Xy YWJjZA==" status="200"', 'authorization="[redacted]" status="200"'],
    [
      '{"h":"authorization: Digest username=\\"bob\\", response=\\"abc\\"","b":1}',
      '{"h":"authorization: [redacted]","b":1}',
    ],
    ['["authorization: abc", "host: x"]', '["authorization: [redacted]", "host: x"]'],
    ['{\n "password":\n "abc",\n "b": 1}', '{\n "password":\n "[redacted]",\n "b": 1}'],
    ['GET /x?password="a b" HTTP/1.1', 'GET /x?password="[redacted]" HTTP/1.1'],
    ["password\t:\tabc", "password\t:\t[redacted]"],
    [
      '[{"key":"Cookie","value":"abc"},{"name": "x-api-key", "value": ["abc"]},{"key":"a","value":"b"}]',
      '[{"key":"Cookie","value":"[redacted]"},{"name": "x-api-key", "value": "[redacted]"},{"key":"a","value":"b"}]',
    ],
    [
      '{"m":"{\\"key\\":\\"Cookie\\",\\"value\\":\\"abc\\"}"}',
      '{"m":"{\\"key\\":\\"Cookie\\",\\"value\\":\\"[redacted]\\"}"}',
    ],
    [
      '{"m":"{\\u0022password\\u0022:\\u0022abc\\u0022,\\u0022b\\u0022:1}"}',
      '{"m":"{\\u0022password\\u0022:\\u0022[redacted]\\u0022,\\u0022b\\u0022:1}"}',
    ],
    [
      '"GET /x?f={\\x22password\\x22:\\x22abc\\x22} HTTP/1.1" 200',
      '"GET /x?f={\\x22password\\x22:\\x22[redacted]\\x22} HTTP/1.1" 200',
    ],
    ["https://user:pa@ss@db.example/x", "https://[redacted]@db.example/x"],
    ["https%3A%2F%2Fuser%3Apass%40db.example%2Fx", "https%3A%2F%2F[redacted]%40db.example%2Fx"],
    ['{"u":"https:\\/\\/user:pass@db.example"}', '{"u":"https:\\/\\/[redacted]@db.example"}'],
  ];
  becomes(t, cases);
  stays(t, [
    "authorization failed",
    "unauthorization=1",
    "code=200 key=user-1",
    "token expired",
    "https://x.example/a:b@c",
    '{"code":200,"key":"a"}',
  ]);
});

t.test("of a pair the one member says what the other is, in any order", async (t) => {
  const cases: [string, string][] = [
    ['{"value":"a","name":"Cookie"}', '{"value":"[redacted]","name":"Cookie"}'],
    ['[{"value":"a","key":"password"}]', '[{"value":"[redacted]","key":"password"}]'],
    [
      '{"name":"Cookie","enabled":true,"value":"a","b":1}',
      '{"name":"Cookie","enabled":true,"value":"[redacted]","b":1}',
    ],
    [
      '{"type":"field", "value":"a b", "msg":"too short", "path":"password", "location":"body"}',
      '{"type":"field", "value":"[redacted]", "msg":"too short", "path":"password", "location":"body"}',
    ],
    [
      '{"headerName":"Authorization","headerValue":"a"}',
      '{"headerName":"Authorization","headerValue":"[redacted]"}',
    ],
    ['{"key":"password","raw_value":5}', '{"key":"password","raw_value":"[redacted]"}'],
    ['{"value":{"stringValue":"a"},"key":"password"}', '{"value":"[redacted]","key":"password"}'],
    ['{"value":["a","b"],"name":"Cookie"}', '{"value":"[redacted]","name":"Cookie"}'],
    ["{'value': \"a'b\", 'name': 'Cookie'}", "{'value': \"[redacted]\", 'name': 'Cookie'}"],
    [
      '{"m":"{\\"value\\":\\"a\\",\\"name\\":\\"Cookie\\"}"}',
      '{"m":"{\\"value\\":\\"[redacted]\\",\\"name\\":\\"Cookie\\"}"}',
    ],
    [
      "f=%7B%22value%22%3A%22a%22%2C%22name%22%3A%22Cookie%22%7D",
      "f=%7B%22value%22%3A%22[redacted]%22%2C%22name%22%3A%22Cookie%22%7D",
    ],
  ];
  becomes(t, cases);
  stays(t, [
    '{"value":"a","name":"Host"}',
    '{"value":"a"},{"name":"Cookie"}',
    '{"value":"a","b":{"name":"Cookie"}}',
    '{"value":"a","name":"The Cookie"}',
    '{"name":"Cookie"},{"value":"a"}',
    '{"path":"/api/token","value":5}',
  ]);
  // What `keep` says of a name does not change what it says of another.
  t.equal(
    redactorOf({ keep: ["key"] })('{"key":"Cookie","value":"a"}'),
    '{"key":"Cookie","value":"[redacted]"}',
  );
});

t.test("in a list, what stands behind the name of a header is its value", async (t) => {
  const cases: [string, string][] = [
    [
      '["host","x","authorization","Own a","Cookie", "a=1; b=2"]',
      '["host","x","authorization","[redacted]","Cookie", "[redacted]"]',
    ],
    ['[\n  "Cookie",\n  "a"\n]', '[\n  "Cookie",\n  "[redacted]"\n]'],
    ["['Host', 'x', 'X-Api-Key', 'a']", "['Host', 'x', 'X-Api-Key', '[redacted]']"],
    ['[["cookie","a"],["host","x"]]', '[["cookie","[redacted]"],["host","x"]]'],
    ['[["password","a"],["user","x"]]', '[["password","[redacted]"],["user","x"]]'],
    ['["cookie",["a","b"]]', '["cookie","[redacted]"]'],
    ['[\n  "password",\n  "a"\n]', '[\n  "password",\n  "[redacted]"\n]'],
    ['["password",12345]', '["password","[redacted]"]'],
    ["[('password', 'a')]", "[('password', '[redacted]')]"],
    ["[(b'password', b'a b')]", "[(b'password', b'[redacted]')]"],
    ['{"m":"[\\"cookie\\",\\"a b\\"]"}', '{"m":"[\\"cookie\\",\\"[redacted]\\"]"}'],
    ["h=%5B%22cookie%22%2C%22a%22%5D", "h=%5B%22cookie%22%2C%22[redacted]%22%5D"],
  ];
  becomes(t, cases);
  stays(t, [
    '{"a":"cookie","b":"x"}',
    '["user","password","email"]',
    '["no cookie","x"]',
    '["x","cookie"]',
    'said "cookie", then "b"',
  ]);
});

t.test("the members of a query that was taken apart are its parameters", async (t) => {
  const cases: [string, string][] = [
    ['{"query":{"code":"a","page":"2"}}', '{"query":{"code":"[redacted]","page":"2"}}'],
    [
      '{"parsed_query":{"page":["2"],"code":["a"]},"code":200}',
      '{"parsed_query":{"page":["2"],"code":"[redacted]"},"code":200}',
    ],
    [
      '{"queryString":[{"name":"code","value":"a"},{"name":"page","value":"2"}],"code":200}',
      '{"queryString":[{"name":"code","value":"[redacted]"},{"name":"page","value":"2"}],"code":200}',
    ],
    ['{"queryStringParameters":{"sig":"a"}}', '{"queryStringParameters":{"sig":"[redacted]"}}'],
    [
      '{"m":"{\\"query\\":{\\"a\\":\\"}\\",\\"code\\":\\"a\\"}}"}',
      '{"m":"{\\"query\\":{\\"a\\":\\"}\\",\\"code\\":\\"[redacted]\\"}}"}',
    ],
  ];
  becomes(t, cases);
  stays(t, [
    '{"query":{"status_code":"200"},"code":200,"key":"a"}',
    '{"query":{"term":{"code":"200","session":"a"}}}',
    '{"enquiry":{"code":"a"}}',
    '{"query":"select","code":200}',
  ]);
});

t.test("the text of an element of XML is redacted by the element's name", async (t) => {
  const cases: [string, string][] = [
    ["<user>bob</user><password>a b</password>", "<user>bob</user><password>[redacted]</password>"],
    [
      '<wsse:Password Type="x">a</wsse:Password>',
      '<wsse:Password Type="x">[redacted]</wsse:Password>',
    ],
    ["<authToken>\n  a\n</authToken>", "<authToken>\n  [redacted]</authToken>"],
    ["<password><![CDATA[a<b]]></password>", "<password><![CDATA[[redacted]]]></password>"],
    ["<password>a", "<password>[redacted]"],
    ['{"m":"<password>a","b":1}', '{"m":"<password>[redacted]","b":1}'],
    [
      "\\u003cpassword\\u003ea\\u003c/password\\u003e",
      "\\u003cpassword\\u003e[redacted]\\u003c/password\\u003e",
    ],
    ["x=%3Cpassword%3Ea%3C%2Fpassword%3E", "x=%3Cpassword%3E[redacted]%3C%2Fpassword%3E"],
    [
      "<credentials><user>bob</user><password>a</password></credentials>",
      "<credentials><user>bob</user><password>[redacted]</password></credentials>",
    ],
  ];
  becomes(t, cases);
  stays(t, [
    "usage: login <token> [options] <file>",
    "at shop.Cache<Token>.get(Cache.java:10)",
    "<password/><user>bob</user>",
    "<p>token</p> 2 > 1",
    "<tokenizer>a</tokenizer>",
  ]);
});

t.test("signs of two characters stand between a name and its value as well", async (t) => {
  becomes(t, [
    ['{:password=>"a b", :user=>"bob"}', '{:password=>"[redacted]", :user=>"bob"}'],
    ["array('password' => 'a b', 'x' => 1)", "array('password' => '[redacted]', 'x' => 1)"],
    ['password := "a b" // x', 'password := "[redacted]" // x'],
    ["?token=>a", "?token=>[redacted]"],
  ]);
});

t.test("base64 that ends like a name is none", async (t) => {
  stays(t, [
    "Dry3n+XkPw==",
    "cvc=",
    "Pw==",
    "Pw== next",
    '{"a":"cvc=","b":"abc"}',
    '{"a":[null,"xx/cvc="]}',
    '{"a":[ "Pw==", {"b":"x"}]}',
    '{"m":"{\\"a\\":\\"cvc=\\",\\"b\\":1}"}',
    "{'a': 'cvc=', 'b': 1}",
  ]);
  becomes(t, [
    ['password=",abc"', 'password="[redacted]"'],
    ['user="bob" password=",abc"', 'user="bob" password="[redacted]"'],
    ['{"a":1} password="}abc"', '{"a":1} password="[redacted]"'],
    ["password==abc", "password=[redacted]"],
    ['password=="abc"', 'password=[redacted]"'],
  ]);
});

const JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl-_";
const BASIC = Buffer.from("bob:hunter2").toString("base64");

t.test("credentials are known by their look", async (t) => {
  const cases: [string, string][] = [
    [`x ${JWT} y`, "x [redacted] y"],
    [`Bearer%20${JWT}`, "Bearer%20[redacted]"],
    [JWT.slice(0, 30), "[redacted]"],
    ["got Bearer 0123456789abcdef", "got Bearer [redacted]"],
    [`sent BASIC ${BASIC} there`, "sent BASIC [redacted] there"],
    [`Basic%20${encodeURIComponent(BASIC)}`, "Basic%20[redacted]"],
    ["id AKIAIOSFODNN7EXAMPLE.", "id [redacted]."],
    ["-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nx", "[redacted]\nx"],
    ["-----BEGIN+PRIVATE+KEY-----%0Aabc%0A-----END+PRIVATE+KEY-----&x", "[redacted]&x"],
    [
      "-----BEGIN PGP PRIVATE KEY BLOCK-----\nabc\n-----END PGP PRIVATE KEY BLOCK-----",
      "[redacted]",
    ],
    ["got Bearer SECRETS", "got Bearer [redacted]"],
    ["mail Alice.Smith+x@shop.example, now", "mail [redacted], now"],
    ["to=alice%40shop.example&x=1", "to=[redacted]&x=1"],
    ["to=alice%2540shop.example&x=1", "to=[redacted]&x=1"],
    ["card 4111 1111 1111 1111 ok", "card [redacted] ok"],
    ["card 4111-1111-1111-1111 ok", "card [redacted] ok"],
    ["pan=4111+1111+1111+1111&x=1", "pan=[redacted]&x=1"],
    ["pan=4111%201111%201111%201111", "pan=[redacted]"],
    ["pan=4111%C2%A01111%C2%A01111%C2%A01111", "pan=[redacted]"],
    ["card 4111.1111.1111.1111 ok", "card [redacted] ok"],
    ["card 4111_1111_1111_1111 ok", "card [redacted] ok"],
    ["card 4111\u00a01111\u00a01111\u00a01111, ok", "card [redacted], ok"],
    ["card 4111\u20131111\u20131111\u20131111 ok", "card [redacted] ok"],
    ["card 4111 - 1111 - 1111 - 1111 ok", "card [redacted] ok"],
    ["card 3782 822463 10005 of 2026-11-22", "card [redacted] of 2026-11-22"],
    ["2026-11-22 4111 1111 1111 1111 200", "2026-11-22 [redacted] 200"],
    ["378282246310005/5555555555554444", "[redacted]/[redacted]"],
  ];
  becomes(t, cases);
  stays(t, [
    "Basic authentication failed",
    "Bearer authentication is needed",
    "Based on a bearing",
    "nginx@sha256:0011 web@docker npm@1.2.3",
    "4111111111111112",
    "1795378828123456000 1795378828123",
    "trace_id=4111111111111111 span_id: 4111111111111111",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-4111111111111111-01",
    "41111111-1111-4111-9111-a11111111111",
    "spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/dc1/svc/web",
    "spiffe://cluster.local/ns/shop/sa/orders",
    "outbound|8080||orders.shop.svc.cluster.local",
    "10.0.0.1:8080 2001:db8::1 12:30:05",
    "4096 5123 150 1504 99",
    "4111.1111 1111.1111 41111111.11111111",
    "4111 - 11111111 - 1111",
    "4111.111111111.111",
    "10.244.1.17:4111 10.0.0.1 192.168.100.200",
  ]);
});

t.test("tokens of services are known by how they begin", async (t) => {
  const word = "aB3dE5gH7jK9mN1pQ3sT";
  const long = `${word}${word}`;
  for (const token of [
    `ghp_${long.slice(0, 36)}`,
    `ghs_${long.slice(0, 36)}`,
    `github_pat_11${word}_${long}`,
    `glpat-${word}`,
    `npm_${long.slice(0, 36)}`,
    `pypi-${long}-_`,
    `xoxb-123456789012-${word}`,
    `sk_live_${word}`,
    `rk_test_${word}`,
    `sk-ant-api03-${word}`,
    `sk-proj-${long}`,
    `AIza${long.slice(0, 33)}-_`,
    `hvs.${word}`,
    `SG.${word}.${word}`,
  ])
    // At each distance from the start: texts are looked through eight bytes at a time.
    for (let i = 0; i < 9; i++) {
      const before = " ".repeat(i);
      t.equal(redact(`${before}${token} x`), `${before}[redacted] x`, token);
      t.equal(redact(`/${before}${token}`, PLACES.Path), `/${before}[redacted]`, token);
    }
  stays(t, [
    "gh_token npm_config_registry npm_package_version_with_a_long_name",
    `xghp_${long}`,
    "ghp_short",
    "sk-prod-web-7d9c5b8f6-x2x4z sk_live_",
    "proxy-123456789012 xox hvs.example.com",
    `AIza${long}`,
    `${word}npm_${long}`,
  ]);
});

t.test("a detector that is off finds nothing, a name that is kept stays", async (t) => {
  const off = redactorOf({ detect: { email: false, card: false }, keep: ["token", "code"] });
  for (const text of ["a@b.example", "4111111111111111", "?code=1&token=2", "page_token=2"])
    t.equal(off(text), text, text);
  t.equal(
    redactorOf({ keep: ["page_token"] })("?page_token=1&id_token=2"),
    "?page_token=1&id_token=[redacted]",
  );
});

t.test("keys name a secret in every common spelling", async (t) => {
  const { names } = new Rules(OPTIONS);
  const isSecret = (key: string): boolean => {
    const bytes = Buffer.from(key);
    return names.findInKey(bytes, 0, bytes.length) >= 0;
  };
  for (const key of [
    "authorization",
    "Authorization",
    "request_headers.authorization",
    "http.request.header.authorization",
    "http.request.header.authorization.0",
    "REQ(AUTHORIZATION)",
    "%REQ(Authorization?X)%",
    "request.headers[authorization]",
    "requestAuthorization",
    "proxy-authorization",
    "x_api_key",
    "X-Forwarded-Access-Token",
    "db.password",
    "clientSecret",
    "AWS_SECRET_ACCESS_KEY",
    "one_time_code",
    "login.totp",
    "SAMLart",
    "req.headers.DPoP",
    "apikey",
    "set-cookie",
    "input.parsed_query.code",
    "query.code.0",
    "queryStringParameters.code",
    "url.Query.X-Amz-Signature",
  ])
    t.ok(isSecret(key), key);
  for (const key of [
    "authority",
    "authorization_policy",
    "author",
    "",
    "code",
    "http.status_code",
    "query.status_code",
    "query.code.name",
    "enquiry.code",
    "query",
    "query.",
    "key",
    "k8s.secret.name",
    "gen_ai.usage.input_tokens",
    "session.id",
    "user_agent",
    "tokenizer",
  ])
    t.notOk(isSecret(key), key);
});

t.test("patterns match what they say, and in one way only", async (t) => {
  const own = redactorOf({
    patterns: [
      { name: "order", pattern: "ORD-\\d{6}" },
      { name: "stripe", pattern: "sk_live_[0-9A-Za-z]{8,}" },
      { name: "insurance", pattern: "\\d{3}-\\d{2}-\\d{4}" },
    ],
  });
  t.equal(own("see ORD-123456."), "see [redacted].");
  t.equal(own("see ORD-1234567."), "see ORD-1234567.");
  t.equal(own("sk_live_abcdefgh12 x"), "[redacted] x");
  t.equal(own("id 123-45-6789 ok"), "id [redacted] ok");
  t.equal(own("id 0123-45-6789 ok"), "id 0123-45-6789 ok");
  for (const [pattern, message] of [
    ["(a|b)cde", /no \( at character 1/],
    ["a*bcd", /no \* at character 2/],
    ["[a-z]+[a-f]xyz", /item 2 to share no character/],
    ["[a-zx", /expected a \]/],
    ["abc", /at least 4/],
    ["\\d{9,999}", /at most 256/],
    ["\\sabc", /\\d, \\w or \\h/],
    ["a{2,1}bcd", /lower number first/],
    ["päss", /ASCII/],
  ] as const)
    t.throws(() => redactorOf({ patterns: [{ name: "x", pattern }] }), { message }, pattern);
});

t.test("no secret survives, in whatever it is wrapped", async () => {
  const once = (text: string): string => encodeURIComponent(text);
  const json = (text: string): string => JSON.stringify(text).slice(1, -1);
  const plain = fc.stringMatching(/^[A-Za-z0-9._~!$*-]{6,20}$/).map((text) => `S3CR3T${text}`);
  const spelled = fc
    .tuple(
      fc.constantFrom("token", "password", "access_token", "apiKey", "client_secret"),
      fc.array(fc.nat(3), { minLength: 1, maxLength: 5 }),
    )
    .map(([name, choices]) =>
      Array.from(name, (c, i) => {
        const hex = c.charCodeAt(0).toString(16);
        return [c, c.toUpperCase(), `%${hex}`, `%25${hex.toUpperCase()}`][
          choices[i % choices.length]!
        ]!;
      }).join(""),
    );
  const named = fc
    .tuple(spelled, plain, fc.constantFrom("=", "%3D", "%253d"))
    .map(([name, value, equals]) => `?${name}${equals}${value}`);
  const header = fc
    .tuple(fc.constantFrom("Authorization", "cookie", "X-Api-Key"), plain)
    .map(([name, value]) => JSON.stringify({ [name]: value, a: 1 }));
  const looks = plain.map(
    (text) => `eyJhbGciOiJub25lIn0.${Buffer.from(text).toString("base64url")}S3CR3T.x`,
  );
  const user = plain.map((text) => `https://${text}~:S3CR3T@shop.example/`);
  const wrap = fc.array(
    fc.constantFrom<(text: string) => string>(
      once,
      (text) => `/x?next=${once(text)}&b=1`,
      (text) => JSON.stringify({ msg: text, b: 1 }),
      (text) => `said "${json(text)}" at 12:30`,
      (text) => `["${json(text)}"]`,
      json,
    ),
    { maxLength: 3 },
  );
  fc.assert(
    fc.property(
      fc.oneof(named, header, looks, user),
      wrap,
      fc.constantFrom(...Object.values(PLACES)),
      (secret, wraps, place) => {
        const text = wraps.reduce((inner, outer) => outer(inner), secret);
        return !redact(text, place).includes("S3CR3T");
      },
    ),
    { numRuns: 5000 },
  );
});

t.test("arbitrary text is changed only where something is redacted, in linear time", async (t) => {
  const pieces = fc.array(
    fc.oneof(
      fc.string({ unit: "binary", maxLength: 8 }),
      fc.constantFrom(
        "token",
        "=",
        ":",
        '"',
        "\\",
        "%",
        "%25",
        "@",
        "//",
        "eyJ",
        ".",
        "Basic ",
        "4111",
        "1",
        " ",
        "-",
        "[",
        "]",
        "{",
        "}",
        "&",
        ";",
        "#",
        "\\u0026",
        "PRIVATE KEY-----",
        "AKIA",
      ),
    ),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(pieces, fc.constantFrom(...Object.values(PLACES)), (parts, place) => {
      const text = parts.join("");
      const result = redact(text, place);
      return result === Buffer.from(text).toString() || result.includes("[redacted]");
    }),
    { numRuns: 3000 },
  );
  for (const unit of [
    "=",
    ":",
    "@",
    "a@",
    "token=",
    "password:",
    "eyJ",
    "eyJa.",
    "4111 ",
    "4111-",
    "%25",
    "\\",
    '\\"',
    "Basic a",
    "//a",
    "token=a;",
    "[a]",
    "-----BEGIN ",
    "PRIVATE KEY-----",
    "AKIA",
    '"token":{',
    "Bearer a",
    '"value":{',
    '"value":"a",',
    '"value":[[',
    "'value':\"",
    '"name":"cookie",',
    '"query":{',
    '"cookie",',
    '"a",',
    "<password>",
    "<password>a",
    "<a >",
    "<![CDATA[",
    "<token><![CDATA[",
    "ghp_",
    "xoxb-1",
  ]) {
    const text = unit.repeat(Math.ceil(400_000 / unit.length));
    const started = performance.now();
    redact(text);
    t.ok(performance.now() - started < 2_000, unit);
  }
});
