import fc from "fast-check";
import t from "tap";
import { Normaliser } from "../../src/normalise/normaliser.ts";
import { attributes, type Columns, normalise } from "../support/normalise.ts";

const normaliser = new Normaliser({ redact: { queryParameters: [], headers: [] } });

/** What nginx's lists of servers, times and statuses become. */
function columnsOf(lists: Record<string, string>): Columns {
  const record = attributes({
    remote_addr: "203.0.113.7",
    request_time: "1.5",
    status: "200",
    ...lists,
  });
  return normalise(normaliser, { record: { attributes: record } })!;
}

/** Servers in groups, as nginx joins them. */
function join(groups: readonly (readonly string[])[]): string {
  return groups.map((group) => group.join(", ")).join(" : ");
}

const server = fc.record({
  host: fc.constantFrom("10.2.3.4:80", "[fd00::5]:8080", "unix:/run/a.sock"),
  ms: fc.option(fc.nat(100_000)),
  status: fc.option(fc.integer({ min: 100, max: 599 })),
});
const groups = fc.array(fc.array(server, { minLength: 1, maxLength: 4 }), {
  minLength: 1,
  maxLength: 3,
});

t.test(
  "lists of the servers that were tried are counted, summed, and end with who answered",
  async () => {
    fc.assert(
      fc.property(groups, (tried) => {
        const all = tried.flat();
        const list = (say: (one: (typeof all)[number]) => string): string =>
          join(tried.map((group) => group.map(say)));
        const got = columnsOf({
          upstream_addr: list(({ host }) => host),
          upstream_response_time: list(({ ms }) => (ms === null ? "-" : (ms / 1000).toFixed(3))),
          upstream_status: list(({ status }) => (status === null ? "-" : String(status))),
        });
        const times = all.flatMap(({ ms }) => (ms === null ? [] : [ms]));
        const sum = times.length === 0 ? undefined : times.reduce((a, b) => a + b);
        return (
          got["UpstreamAddress"] === all.at(-1)!.host &&
          got["Attempts"] === all.length &&
          got["UpstreamDurationNs"] === (sum === undefined ? undefined : String(sum * 1e6)) &&
          got["DecisionSource"] === (all.at(-1)!.status === null ? "status" : "upstream_status")
        );
      }),
      { numRuns: 2000 },
    );
  },
);

t.test("times that are none leave the duration unknown, and stay", async (t) => {
  const got = columnsOf({ upstream_addr: "10.2.3.4:80", upstream_response_time: "0.1, x" });
  t.equal(got["UpstreamDurationNs"], undefined);
  t.strictSame(got["LogAttributes"], [["upstream_response_time", "0.1, x"]]);
});

t.test("of two keys for one field the dialect says which counts, in any order", async (t) => {
  const sizes = { body_bytes_sent: "612", bytes_sent: "812" };
  const turned = Object.fromEntries(Object.entries(sizes).toReversed());
  for (const both of [sizes, turned]) {
    const got = columnsOf({ upstream_addr: "10.2.3.4:80", ...both });
    t.equal(got["ResponseBytes"], "612");
    t.strictSame(got["LogAttributes"], [["bytes_sent", "812"]]);
  }
});

t.test("what is no list of addresses is not taken apart", async (t) => {
  for (const text of ['{"a":"x, y"}', "token=abc, def", 'a "b, c"']) {
    const got = columnsOf({ upstream_addr: text });
    t.equal(got["UpstreamAddress"], text.replace("abc,", "[redacted]"));
    t.equal(got["Attempts"], undefined);
  }
});
