import { DEFAULT_SEED } from "../demo/random.ts";
import type { Report } from "../verify/report.ts";
import { formatCount } from "./demo-progress.ts";
import type { DemoResult } from "./demo-result.ts";
import { displayWidth, type Output, printable } from "./output.ts";
import { dayAndTime, field, formatNs, number } from "./record-text.ts";
import { renderTrace } from "./trace-tree.ts";
import { describeFault } from "../verify/report.ts";

/** The story of a demo for people: six sections that each answer a question. Nothing but a path or a command is wider than the terminal. */

/** Where texts begin behind their names. */
const LABEL_WIDTH = 15;
const FIGURE_WIDTH = 6;
const MAX_WIDTH = 100;

/** What is about to happen. */
export function tellBeginning(output: Output): void {
  const story = new Story(output);
  output.line(output.paint("bold", "meshproof demo: the mesh of a small shop"));
  output.line();
  story.text("gateway → frontend → orders → payment, inventory");
  story.text(
    "Every proxy writes an access record and a span of each request, as Envoy and Istio do. They are sent to a meshproof of its own, over OTLP; what follows is what it made of them.",
  );
  output.line();
}

/** Tells the whole story. */
export function tellStory(result: DemoResult, output: Output): void {
  const story = new Story(output);
  tellCounts(story, result);
  tellDenied(story, result);
  tellBlindSpot(story, result);
  tellProof(story, result);
  tellForgery(story, result);
  tellVerdict(story, result);
  tellWhatNext(story, result);
}

/** Lines of text in the width of the terminal. */
class Story {
  readonly output: Output;
  readonly width: number;
  #section = 0;

  constructor(output: Output) {
    this.output = output;
    this.width = Math.min(output.width, MAX_WIDTH);
  }

  section(title: string): void {
    this.output.line();
    this.output.line(this.output.paint("bold", `${++this.#section}  ${title}`));
    this.output.line();
  }

  /** A name and what there is to say of it. */
  fact(label: string, text: string): void {
    this.#hang(this.output.paint("dim", label.padEnd(LABEL_WIDTH)), LABEL_WIDTH, text);
  }

  /** A number or another measure, and what it is of. */
  figure(label: string, value: number | string, text = ""): void {
    const name = this.output.paint("dim", label.padEnd(LABEL_WIDTH));
    const figure = (typeof value === "number" ? formatCount(value) : value).padStart(FIGURE_WIDTH);
    this.#hang(`${name}${figure}  `, LABEL_WIDTH + FIGURE_WIDTH + 2, text);
  }

  /** `text` behind `head`; its further lines begin where the first does. */
  #hang(head: string, headWidth: number, text: string): void {
    for (const [i, line] of wrap(text, this.width - 2 - headWidth).entries())
      this.output.line(`  ${i === 0 ? head : " ".repeat(headWidth)}${line}`.trimEnd());
  }

  text(text: string): void {
    for (const line of wrap(text, this.width - 2)) this.output.line(`  ${line}`);
  }

  /** Something to type: it is not wrapped where that would break it. */
  command(text: string): void {
    for (const line of text.split("\n")) this.output.line(`    ${this.output.paint("cyan", line)}`);
  }

  gap(): void {
    this.output.line();
  }
}

function tellCounts(story: Story, { stored, verdicts, slowest, probe }: DemoResult): void {
  const { requests, seconds, access, spans, logs, links, unsampled, denied, failed } = stored;
  story.section("What came through, as ClickHouse has it");
  story.figure(
    "Requests",
    requests,
    `in ${seconds.toFixed(1)} s, ${formatCount(requests / seconds)} a second`,
  );
  story.figure("Access records", access, "one of each proxy that a request passed");
  story.figure("Spans", spans, "of proxies and applications");
  story.figure("Logs", logs, "of applications");
  const share = access === 0 ? 0 : (100 * links) / access;
  story.figure(
    "Links",
    links,
    `${share.toFixed(1)} % of the access records have their span; ${formatCount(unsampled)} are of requests that were not traced`,
  );
  story.figure("Denied", denied);
  for (const { engine, policy, count: times } of verdicts.filter(
    ({ decision }) => decision === "denied",
  ))
    story.figure("", times, deniedBy(engine, policy));
  story.figure("Failed", failed, "no application was reached");
  story.figure("Retried", stored.retried);
  story.figure("Shadow", stored.shadowDenied, "would be denied by a policy in shadow mode");
  if (slowest !== null) {
    const { milliseconds, method, path, service } = slowest;
    const what = printable(`${method} ${path} of ${shortHost(service)}`);
    story.figure("Slowest", formatNs(milliseconds * 1e6), what);
  }
  if (probe !== null)
    story.figure(
      "Probed",
      probe.requests,
      `requests by ${printable(probe.address)} for ${formatCount(probe.paths)} paths that are not there`,
    );
}

function tellDenied(story: Story, { denied, trace }: DemoResult): void {
  story.section("One denied request, as the API tells it");
  if (denied === null) return story.text("There is none.");
  const { paint } = bound(story.output);
  const status = number(denied, "StatusCode") ?? 0;
  const { day, time } = dayAndTime(denied);
  const query = field(denied, "Query");
  const path = `${field(denied, "Path")}${query === "" ? "" : `?${query}`}`;
  story.fact("Who", `${field(denied, "EndUser")}, by a token of ${field(denied, "EndUserIssuer")}`);
  story.fact("Through", `${field(denied, "PeerPrincipal")}, by its certificate`);
  story.fact("What", `${field(denied, "Method")} ${path}`);
  story.fact("Of", field(denied, "LocalPrincipal"));
  story.fact(
    "Decision",
    `${paint("red", field(denied, "Decision"))} by ${field(denied, "DecisionEngine")}, status ${status}`,
  );
  story.fact("Policy", paint("bold", field(denied, "Policy")));
  story.fact("When", `${day} ${time} UTC`);
  story.gap();
  if (trace === null) return;
  const { output, width } = story;
  const style = { width: width - 2, paint: output.paint.bind(output) };
  for (const line of renderTrace(trace, style)) output.line(`  ${line}`.trimEnd());
}

function tellBlindSpot(story: Story, { finding, blindSpan }: DemoResult): void {
  story.section("The blind spot");
  if (finding === null) return story.text("None was found.");
  story.text(
    "A proxy passed a request on and wrote no access record of it. Nothing was in the tables that anybody could have missed. meshproof saw the span without its record, and sealed that as a finding:",
  );
  story.gap();
  story.fact("Finding", `${finding.kind}, ${finding.severity}, record ${finding.leafIndex}`);
  story.fact("", printable(finding.message));
  if (blindSpan === null) return;
  const attributes = (blindSpan["SpanAttributes"] ?? {}) as Readonly<Record<string, string>>;
  const { "http.method": method, "http.url": url = "" } = attributes;
  const { day, time } = dayAndTime(blindSpan);
  const asked = printable(`${method} ${URL.parse(url)?.pathname ?? url}`);
  story.fact("Evidence", `record ${String(blindSpan["LeafIndex"])}, a span: ${asked}`);
  story.fact("", `seen by ${field(blindSpan, "ServiceName")} at ${day} ${time} UTC`);
}

function tellProof(story: Story, { proof, verifierKey, workspace }: DemoResult): void {
  story.section("The proof of the denied request");
  if (proof === null) return story.text("There is none.");
  const { paint } = bound(story.output);
  story.fact("Record", `${proof.leafIndex}, in a log of ${formatCount(proof.treeSize)} records`);
  story.fact("File", proof.file);
  story.fact(
    "",
    `${formatCount(proof.bytes)} bytes: the row, its path in the tree, the signed root`,
  );
  story.fact(
    "Checked",
    `${paint("green", "valid")}, offline, with nothing but the log's verifier key`,
  );
  story.fact("It says", `Decision = ${proof.decision}`);
  if (!workspace.isKept) return;
  story.gap();
  story.text("The same by hand, on any machine:");
  story.command(`npx meshproof verify-proof ${shellQuote(proof.file)} \\\n  --key ${verifierKey}`);
}

function tellForgery(story: Story, { before, forgery, after, proof }: DemoResult): void {
  story.section("A forgery");
  story.fact("Before", `verify: ${verdict(story, before)}`);
  if (forgery === null) return;
  story.gap();
  story.text(
    "Somebody who has the password of ClickHouse's administrator turns the denial into an approval:",
  );
  for (const statement of forgery.statements) story.command(`${statement};`);
  story.gap();
  story.fact("After", `verify: ${verdict(story, after)}`);
  for (const fault of after.faults) story.fact("", printable(describeFault(fault)));
  if (proof !== null)
    story.fact("", `The proof above still says what was sealed: ${proof.decision}.`);
}

function tellVerdict(story: Story, { ok, problems }: DemoResult): void {
  const { output } = story;
  if (ok) {
    story.gap();
    output.line(
      `${output.paint("green", "All of it held:")} every record is stored, sealed and linked as it was sent.`,
    );
    return;
  }
  story.section(output.paint("red", "What did not hold"));
  for (const problem of problems) story.text(printable(problem));
}

function tellWhatNext(story: Story, result: DemoResult): void {
  const { workspace, ports, denied, seed } = result;
  const { output } = story;
  story.section(workspace.isServing ? "Look around" : "How to go on");
  const config = `--config ${shellQuote(workspace.configFile)}`;
  if (workspace.isServing) {
    const { clickhouseHttp, api, metrics, otlp } = ports;
    story.fact("ClickHouse", `http://127.0.0.1:${clickhouseHttp}/play  user reader, its password:`);
    story.fact("", `${workspace.directory}/data/secrets/clickhouse-reader`);
    story.fact("API", `http://127.0.0.1:${api}/api/v1/access-records?decision=denied`);
    story.fact("Log", `http://127.0.0.1:${api}/log/checkpoint`);
    story.fact("Metrics", `http://127.0.0.1:${metrics}/metrics`);
    story.fact("OTLP/HTTP", `http://127.0.0.1:${otlp}`);
    story.gap();
    story.command(`npx meshproof records --decision denied \\\n  ${config}`);
    if (denied !== null)
      story.command(`npx meshproof trace ${field(denied, "TraceId")} \\\n  ${config}`);
  } else if (workspace.isKept) {
    story.text("The server is stopped, its data stays. Again, or check what is there:");
    story.command(`npx meshproof serve ${config}`);
  } else {
    story.text("The server is stopped, and what it wrote removed. To look around:");
    story.command(`npx meshproof demo --keep${seed === DEFAULT_SEED ? "" : ` --seed ${seed}`}`);
  }
  if (workspace.isKept) story.command(`npx meshproof verify ${config}`);
  if (workspace.isServing) {
    story.gap();
    story.text(output.paint("dim", "Ctrl-C stops. The directory stays:"));
    story.text(workspace.directory);
  }
}

function verdict(story: Story, { integrity, checked, faultCount }: Report): string {
  const rows = `${formatCount(checked.records)} rows against the signed log`;
  return integrity === "ok"
    ? `${story.output.paint("green", "ok")}, ${rows}`
    : `${story.output.paint("red", integrity)}, ${rows}, ${faultCount} ${faultCount === 1 ? "fault" : "faults"}`;
}

function bound(output: Output): { paint: Output["paint"] } {
  return { paint: output.paint.bind(output) };
}

/** Who denied. The RBAC filter names the policy that matched; without one nothing allowed the request. */
function deniedBy(engine: string, policy: string): string {
  if (policy !== "") return printable(`by ${engine}, policy ${policy}`);
  return printable(`by ${engine}${engine === "rbac" ? ", for no policy allows it" : ""}`);
}

function shortHost(host: string): string {
  return host.replace(/\.svc\.cluster\.local$/, "");
}

/** A word of a POSIX shell. */
function shellQuote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Lines of at most `width` columns, broken at blanks; leading blanks stay, and a longer word stands alone. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = /^ */.exec(text)![0];
  let isEmpty = true;
  for (const word of text.trim().split(" ")) {
    if (!isEmpty && displayWidth(line) + 1 + displayWidth(word) > width) {
      lines.push(line);
      line = word;
    } else {
      line += isEmpty ? word : ` ${word}`;
    }
    isEmpty = false;
  }
  return [...lines, line];
}
