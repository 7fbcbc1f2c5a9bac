import t from "tap";
import { silentLogger } from "../../src/core/logger.ts";
import { createHttpServer } from "../../src/core/http.ts";
import { createToken, formatTokenLine, parseTokens, type Role } from "../../src/core/tokens.ts";
import { type Erasures, registerErasureRoutes } from "../../src/query/erasure-routes.ts";

const tokens = Object.fromEntries(
  (["sender", "reader", "auditor", "admin"] as const).map((role) => [role, createToken()]),
) as Record<Role, string>;

/** The routes, with what they asked for. */
async function serve(t: { teardown(end: () => unknown): void }) {
  const asked: Parameters<Erasures["erase"]>[0][] = [];
  const server = createHttpServer({
    host: "127.0.0.1",
    port: 0,
    logger: silentLogger,
    access: {
      tokens: parseTokens(
        Object.entries(tokens)
          .map(([role, token]) =>
            formatTokenLine({ role: role as Role, name: `the-${role}` }, token),
          )
          .join("\n"),
        "tokens",
      ),
      roles: ["reader", "auditor", "admin"],
    },
  });
  registerErasureRoutes(server.routes, {
    async erase(request) {
      asked.push(request);
      return { counts: { otel_logs: 2 }, records: request.dryRun ? [] : [17] };
    },
    openErasures: async () => [17],
  });
  const { port } = await server.listen();
  t.teardown(() => server.close(0));
  const url = `http://127.0.0.1:${port}/api/v1/erasures`;
  const ask = async (
    body: unknown,
    { role = "admin" as Role, type = "application/json" } = {},
  ): Promise<{ status: number; answer: Record<string, unknown> }> => {
    const response = await fetch(url, {
      method: "POST",
      headers: { authorization: `Bearer ${tokens[role]}`, "content-type": type },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
    return { status: response.status, answer: (await response.json()) as Record<string, unknown> };
  };
  return { url, asked, ask };
}

t.test("an erasure names records or a principal, who asks and why", async (t) => {
  const { ask, asked, url } = await serve(t);
  t.same(await ask({ records: "5 7-9", reason: "request 1" }), {
    status: 202,
    answer: { dryRun: false, counts: { otel_logs: "2" }, records: ["17"] },
  });
  t.same(await ask({ principal: "jane", reason: "request 2", dry_run: true }), {
    status: 200,
    answer: { dryRun: true, counts: { otel_logs: "2" }, records: [] },
  });
  const caller = { caller: "the-admin", auth: "token", role: "admin", address: "127.0.0.1" };
  t.same(asked, [
    {
      what: {
        runs: [
          { first: 5, last: 5 },
          { first: 7, last: 9 },
        ],
      },
      reason: "request 1",
      dryRun: false,
      caller,
    },
    { what: { principal: "jane" }, reason: "request 2", dryRun: true, caller },
  ]);
  const open = await fetch(url, { headers: { authorization: `Bearer ${tokens.admin}` } });
  t.same(await open.json(), { open: ["17"] });
});

t.test("only an admin erases, and no page of a browser does", async (t) => {
  const { ask, asked, url } = await serve(t);
  const body = { records: "1", reason: "x" };
  for (const role of ["sender", "reader", "auditor"] as const) {
    t.equal((await ask(body, { role })).status, 403, role);
    const headers = { authorization: `Bearer ${tokens[role]}` };
    t.equal((await fetch(url, { headers })).status, 403, role);
  }
  t.equal((await fetch(url, { method: "POST", body: "{}" })).status, 401);
  for (const type of ["text/plain", "application/x-www-form-urlencoded", ""])
    t.equal((await ask(body, { type })).status, 415, type);
  t.same(asked, []);
});

t.test("what does not say clearly what to erase, erases nothing", async (t) => {
  const { ask, asked } = await serve(t);
  const reason = "x";
  for (const body of [
    "",
    "[",
    "null",
    [],
    {},
    { reason },
    { records: "1" },
    { records: "1", reason: " " },
    { records: "1", reason: "x".repeat(1001) },
    { records: "1", principal: "a", reason },
    { records: "", reason },
    { records: "*", reason },
    { records: 5, reason },
    { records: "9-1", reason },
    { principal: "", reason },
    { principal: "x".repeat(5000), reason },
    { records: "1", reason, dry_run: "yes" },
    { records: "1", reason, dryrun: true },
    {
      records: Array.from({ length: 20_001 }, (_, i) => i * 2).join(" "),
      reason,
    },
  ])
    t.match(
      await ask(body),
      { status: 400, answer: { error: { code: "BAD_REQUEST" } } },
      JSON.stringify(body).slice(0, 60),
    );
  t.equal((await ask({ records: "1", reason: "x".repeat(2 ** 21) })).status, 413);
  t.same(asked, []);
});
