import t from "tap";
import { fuzz } from "./fuzz/fuzz.ts";

t.test("fixtures changed at random break no promise", async (t) => {
  const { failures, inputs, dialects } = await fuzz({ seed: 6, minutes: 1, maxInputs: 1500 });
  t.strictSame(failures, []);
  t.equal(inputs, 1500);
  t.ok(dialects.size > 5, "most of what is changed is still recognised");
});

t.test("a secret that is not redacted is seen", async (t) => {
  const redact = {
    keep: ["token", "code", "password", "authorization", "cookie"],
    detect: { bearer: false },
  };
  const { failures } = await fuzz({ seed: 6, minutes: 1, maxInputs: 200, redact });
  t.ok(failures.length > 0);
  t.match(failures[0]?.reason, "a secret is in the row");
});
