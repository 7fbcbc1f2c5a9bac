import { existsSync, readdirSync, readFileSync } from "node:fs";

/** A fixture of a dialect. */
export interface Fixture {
  /** Its record as an export request in OTLP/JSON. */
  readonly input: object;
  readonly record: Record;
  readonly resource: Attributes;
  /** The one to show. */
  readonly isMarked: boolean;
}

interface Attributes {
  readonly attributes?: readonly { readonly key: string; readonly value?: object }[];
}

interface Record extends Attributes {
  readonly body?: object;
}

interface InJson {
  readonly resource?: Attributes;
  readonly scope?: object;
  readonly record: Record;
}

/** The fixtures of a folder, by name; none when there is no folder. */
export function fixturesOf(folder: URL): Fixture[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .toSorted()
    .map((name) => {
      const at = new URL(`${name}/`, folder);
      const { resource = {}, scope = {}, record } = JSON.parse(
        readFileSync(new URL("in.json", at), "utf8"),
      ) as InJson;
      return {
        input: { resourceLogs: [{ resource, scopeLogs: [{ scope, logRecords: [record] }] }] },
        record,
        resource,
        isMarked: existsSync(new URL("example", at)),
      };
    });
}

/** A record as it comes in: a line alone as it is, all else a line for each thing that it holds. */
export function showInput({ record, resource }: Fixture): string[] {
  const { body, attributes = [], ...fields } = record;
  const others = [
    ...(resource.attributes ?? []).map(({ key, value }) => `resource   ${key} = ${show(value)}`),
    ...Object.entries(fields).map(([name, value]) => `record     ${name} = ${String(value)}`),
    ...attributes.map(({ key, value }) => `attribute  ${key} = ${show(value)}`),
  ];
  if (body === undefined) return others;
  return others.length === 0 ? show(body).split("\n") : [...others, `body       ${show(body)}`];
}

/** An AnyValue: what it holds, as JSON where that is nested. */
function show(value: object | undefined): string {
  const [held = ""] = Object.values(value ?? {}) as unknown[];
  return typeof held === "string" ? held : JSON.stringify(held);
}
