import { readdirSync, readFileSync } from "node:fs";
import t from "tap";
import { LineFormat } from "../../src/normalise/line-format.ts";
import { followLine } from "../../src/normalise/line-progress.ts";
import { Normaliser } from "../../src/normalise/normaliser.ts";
import { findOrigins, type Source } from "../../src/normalise/provenance.ts";
import { ShapeCache } from "../../src/records/key-shape.ts";
import { VALUE_TYPES } from "../../src/records/attributes.ts";
import type { LogView } from "../../src/records/views.ts";
import { columnsOf, readRecord, type RecordInput } from "../support/normalise.ts";

const FIXTURES = new URL("../fixtures/", import.meta.url);
const REDACT = { queryParameters: ["token", "code", "password"], headers: ["authorization"] };

const inputs = readdirSync(FIXTURES)
  .filter((dialect) => !["none", "tls"].includes(dialect))
  .flatMap((dialect) =>
    readdirSync(new URL(dialect, FIXTURES)).map((name) => {
      const text = readFileSync(new URL(`${dialect}/${name}/in.json`, FIXTURES), "utf8");
      return { name: `${dialect}/${name}`, input: JSON.parse(text) as RecordInput };
    }),
  );

/** Texts of the attributes of this name; of an array its bytes, in which the texts of its items stand. */
function textsOf({ buffer, attributes: list }: LogView, { name }: Source): string[] {
  const decode = (start: number, end: number): string =>
    Buffer.from(buffer.subarray(start, end)).toString();
  return Array.from({ length: list.count }, (_, i) => i)
    .filter(
      (i) =>
        (list.valueType[i] === VALUE_TYPES.string || list.valueType[i] === VALUE_TYPES.array) &&
        decode(list.keyStart[i]!, list.keyEnd[i]!) === name,
    )
    .map((i) => decode(list.valueStart[i]!, list.valueEnd[i]!));
}

t.test(
  "a column is in its source what its origin says; finding that out leaves the record as it was",
  async (t) => {
    const normaliser = new Normaliser({ redact: REDACT });
    const shapes = new ShapeCache();
    let looked = 0;
    for (const { name, input } of inputs) {
      const { view, scope } = readRecord(input);
      const shape = shapes.find(view.buffer, view.attributes);
      if (!normaliser.recognise(view, shape, normaliser.scope(scope))) continue;
      const before = columnsOf(normaliser);
      const origins = findOrigins(normaliser, view, scope);
      t.strictSame(columnsOf(normaliser), before, name);
      const wrong = Object.entries(before).filter(([column, value]) => {
        const origin = origins.get(column as never);
        const [source] = origin?.from ?? [];
        // What was redacted says nothing any more of where it came from.
        if (String(value).includes("[redacted]")) return false;
        if (source === undefined || !["attribute", "body", "line"].includes(source.kind))
          return false;
        if (origin?.how !== "whole" && origin?.how !== "part") return false;
        looked++;
        const texts = textsOf(normaliser.view, source);
        return !texts.some((text) =>
          origin.how === "whole"
            ? text === value
            : text !== value && text.includes(value as string),
        );
      });
      t.strictSame(wrong, [], name);
    }
    t.ok(looked > 500, `${looked} columns`);
  },
);

t.test("a line is followed to its end, or to where it parts from the format", async (t) => {
  const format = new LineFormat(
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL%" %RESPONSE_CODE% %name%',
  );
  const follow = (line: string): unknown[] => {
    const from = Buffer.from(`before ${line} behind`);
    const { read, fields, position, expected } = followLine(format, from, 7, 7 + line.length);
    return [read, fields, line.slice(position - 7), expected];
  };
  t.same(follow('[now] "GET /a b HTTP/1.1" 200 x'), [6, 6, "", "the end of the line"]);
  t.same(follow('[now] "GET /a b HTTP/1.1" OK x'), [
    4,
    6,
    "OK x",
    "response_code (digits or a dash)",
  ]);
  t.same(follow('[now] "GET /a'), [2, 6, "/a", '" "']);
  t.same(follow("[now] GET /a"), [0, 6, "now] GET /a", "start_time (a time)"]);
  t.same(follow("hello"), [0, 6, "hello", '"["']);
});
