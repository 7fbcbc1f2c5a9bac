import { createHash } from "node:crypto";
import t from "tap";
import {
  createToken,
  formatTokenLine,
  isTokenName,
  parseTokens,
  ROLES,
} from "../../src/core/tokens.ts";

const hashOf = (token: string): string => createHash("sha256").update(token).digest("hex");

t.test("a token is found by its hash, with name and role", async (t) => {
  const text = `# who may do what\n\n  sender  collector.a   sha256:${hashOf("one")}\r\nadmin ops@example SHA256:${hashOf("two").toUpperCase()}\n`;
  const table = parseTokens(text);
  t.equal(table.size, 2);
  t.same(table.find("one"), { name: "collector.a", role: "sender" });
  t.same(table.find("two"), { name: "ops@example", role: "admin" });
  for (const wrong of ["", "On", "one ", hashOf("one"), `sha256:${hashOf("one")}`])
    t.equal(table.find(wrong), null, JSON.stringify(wrong));
});

t.test("an empty file lets nobody in", async (t) => {
  t.equal(parseTokens("").size, 0);
  t.equal(parseTokens("").find(""), null);
});

t.test("one name may hold several tokens of one role", async (t) => {
  const table = parseTokens(
    [
      formatTokenLine({ name: "a", role: "reader" }, "old"),
      formatTokenLine({ name: "a", role: "reader" }, "new"),
    ].join("\n"),
  );
  t.same(table.find("old"), table.find("new"));
});

t.test(
  "every line that does not fit is named by its number, and its text is kept out of the message",
  async (t) => {
    const secret = createToken();
    const good = formatTokenLine({ name: "a", role: "sender" }, "one");
    const text = [
      good,
      `sender b ${secret}`,
      "root c sha256:" + hashOf("x"),
      `sender d;e sha256:${hashOf("y")}`,
      good,
      `admin a sha256:${hashOf("z")}`,
      "sender e sha256:abc",
    ].join("\n");
    try {
      parseTokens(text, "tokens.txt");
      t.fail("accepted");
    } catch (error) {
      t.match(error, { code: "CONFIG_INVALID" });
      const { message } = error as Error;
      t.same(
        message.split("\n").map((line) => line.split(" ")[0]),
        [
          "tokens.txt:2:",
          "tokens.txt:3:",
          "tokens.txt:4:",
          "tokens.txt:5:",
          "tokens.txt:6:",
          "tokens.txt:7:",
        ],
      );
      t.notMatch(message, secret);
    }
  },
);

t.test(
  "made tokens are long, different, and found by the line that is made for them",
  async (t) => {
    const token = createToken();
    t.match(token, /^meshproof_[\w-]{43}$/);
    t.not(createToken(), token);
    for (const role of ROLES)
      t.same(parseTokens(formatTokenLine({ name: "n", role }, token)).find(token), {
        name: "n",
        role,
      });
  },
);

t.test("a name has no character that a tokens file or a log line gives a meaning", async (t) => {
  for (const name of ["a", "checkout-collector", "ops@example.org", "ns/sa", "A_1"])
    t.ok(isTokenName(name), name);
  for (const name of ["", " ", "a b", "#a", "a:b", "a\n", "é", "-a", "a".repeat(129)])
    t.notOk(isTokenName(name), JSON.stringify(name));
});
