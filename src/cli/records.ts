import { openApi, type ApiOption, type Query } from "./api-client.ts";
import type { Context } from "./context.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { printable, type Output } from "./output.ts";
import { type Page, readPages } from "./pages.ts";
import { renderRecords } from "./records-table.ts";

export interface RecordsOptions extends ApiOption {
  readonly json?: boolean;
  readonly principal?: string;
  readonly decision?: string;
  readonly path?: string;
  readonly service?: string;
  readonly policy?: string;
  readonly trace?: string;
  readonly from?: string;
  readonly to?: string;
  readonly limit: number;
  readonly all?: boolean;
}

const PATH = "api/v1/access-records";
/** Some screens full. The titles stand above each page, and the widths of its columns are its own. */
const PAGE_RECORDS = 200;

/** Prints access records, newest first. Exit code 0, also when there are none. */
export async function records(options: RecordsOptions, context: Context): Promise<ExitCode> {
  const { output } = context;
  const query = queryOf(options);
  const limit = options.all === true ? Infinity : options.limit;
  const pages = readPages(openApi(options, context), PATH, query, {
    limit,
    pageSize: PAGE_RECORDS,
  });
  await (options.json === true ? printJson(output, pages) : printTable(output, pages, query));
  return EXIT.ok;
}

/** The API's list as one line, written page by page, so that `--all` needs no more memory than a page. */
async function printJson(output: Output, pages: AsyncIterable<Page>): Promise<void> {
  let next: string | null = null;
  let separator = "";
  let head = '{"records":[';
  for await (const page of pages) {
    output.write(head);
    head = "";
    for (const record of page.records) {
      output.write(separator + JSON.stringify(record));
      separator = ",";
    }
    await output.drained();
    next = page.next;
  }
  output.write(`],"next":${JSON.stringify(next)}}\n`);
}

async function printTable(output: Output, pages: AsyncIterable<Page>, query: Query): Promise<void> {
  let count = 0;
  let hasMore = false;
  for await (const page of pages) {
    if (page.records.length === 0) continue;
    if (count > 0) output.line();
    for (const line of renderRecords(page.records, output)) output.line(line);
    await output.drained();
    count += page.records.length;
    hasMore = page.next !== null;
  }
  if (count === 0) {
    output.note(describeNothing(query));
    return;
  }
  output.note("");
  output.note(
    hasMore
      ? `The newest ${count === 1 ? "is" : `${count} are`} shown; --limit N or --all shows more.`
      : `${count} ${count === 1 ? "record" : "records"}, newest first; that is all of them.`,
  );
  output.note("meshproof trace LEAF shows what happened around one; --json has every column.");
}

function describeNothing(query: Query): string {
  const asked = Object.entries(query).map(([name, value]) => `${name} ${printable(value ?? "")}`);
  const criteria = asked.length === 0 ? "" : ` with ${asked.join(", ")}`;
  const hints = [
    "A record is there about two seconds after it was sent.",
    ...(query["from"] === undefined && query["to"] === undefined
      ? []
      : ["Times are those of the requests, not of their arrival; a wider --from may help."]),
    ...(query["principal"] === undefined
      ? []
      : ["A principal is compared whole, unless it ends in *: spiffe://cluster.local/ns/shop/*."]),
    ...(asked.length < 2 ? [] : ["All criteria have to hold; fewer find more."]),
  ];
  return `No access record${criteria}.\n${hints.join("\n")}`;
}

/** The API's parameters, as they were given: it knows what they may be, and says so. */
function queryOf(options: RecordsOptions): Query {
  const { principal, decision, path, service, policy, trace, from, to } = options;
  const query = { principal, decision, path, service, policy, trace_id: trace, from, to };
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined));
}
