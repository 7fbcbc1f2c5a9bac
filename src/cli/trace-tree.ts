import type { RecordJson } from "../records/row-json.ts";
import { displayWidth, fit, pad, shrink, type TextStyle } from "./output.ts";
import { dayAndTime, field, formatNs } from "./record-text.ts";
import { buildTrace, type Trace, type TraceNode } from "./trace-model.ts";
import { type Branch, type Painted, type Row, rowsOf } from "./trace-rows.ts";

/** What the API answers for a trace. */
export interface TraceAnswer {
  readonly traceId: string;
  readonly records: readonly RecordJson[];
  /** Not null when the trace has more records than these. */
  readonly next: string | null;
}

/** Lines of the tree; the rest is counted. More than that nobody reads on a terminal. */
const MAX_NODES = 500;
const MAX_FINDINGS = 20;
/** Deeper than this part of the width the tree goes down without going right, and says how deep it is. */
const INDENT_PART = 0.25;
const MIN_WIDTH = 40;
/** From this width on there is room for the time line, which takes so many columns. */
const BAR_FROM_WIDTH = 110;
const BAR_WIDTH = 24;
/** Of what START and TOOK leave, the result takes at most this part. */
const RESULT_PART = 0.45;

/**
 * A trace as a tree: spans under their parents, access records under the span that they are linked to, each with its time since the first.
 * Shape: at most some 1,500 lines, none wider than `style.width`, but for terminals under 40 columns. Long texts lose their middle.
 */
export function renderTrace(answer: TraceAnswer, style: TextStyle): string[] {
  const width = Math.max(style.width, MIN_WIDTH);
  const trace = buildTrace(answer.records);
  const shown = flatten(trace, Math.floor((width * INDENT_PART) / 2));
  return [
    ...header(answer, trace, width, style),
    "",
    ...table(shown, trace, width, style),
    ...rest(shown, trace, answer, width, style),
    ...findings(trace, width, style),
  ];
}

function header(answer: TraceAnswer, trace: Trace, width: number, style: TextStyle): string[] {
  const { first, spans, accesses, logs, findings } = trace;
  const denied = accesses.filter(({ record }) => record["Decision"] === "denied").length;
  const began =
    first === undefined ? "" : `${dayAndTime(first).day} ${dayAndTime(first).time} UTC, `;
  const counts = [
    counted(spans.length, "span"),
    `${counted(accesses.length, "access record")}${denied === 0 ? "" : ` (${denied} denied)`}`,
    ...(logs.length === 0 ? [] : [counted(logs.length, "log")]),
    ...(findings.length === 0 ? [] : [counted(findings.length, "finding")]),
  ];
  const id = field({ id: answer.traceId }, "id");
  return [
    style.paint("bold", fit(`Trace ${id}`, width)),
    fit(`${began}${formatNs(Number(trace.endNs - trace.startNs))} in all`, width),
    fit(counts.join(", "), width),
  ];
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** The first nodes of the tree from top to bottom. Without recursion: a chain of spans may be as long as its sender likes. */
function flatten(trace: Trace, maxIndent: number): Branch[] {
  const branches: Branch[] = [];
  const stack: Branch[] = trace.roots
    .map((node) => ({ node, lead: "", below: "", depth: 0 }))
    .reverse();
  for (let branch = stack.pop(); branch !== undefined; branch = stack.pop()) {
    if (branches.length === MAX_NODES) break;
    branches.push(branch);
    const { node, below, depth } = branch;
    for (const [fromEnd, child] of node.children.toReversed().entries())
      stack.push(childBranch(child, below, depth + 1, { isLast: fromEnd === 0, maxIndent }));
  }
  return branches;
}

function childBranch(
  node: TraceNode,
  above: string,
  depth: number,
  { isLast, maxIndent }: { isLast: boolean; maxIndent: number },
): Branch {
  if (depth > maxIndent) return { node, depth, lead: `${above}${depth}: `, below: above };
  return {
    node,
    depth,
    lead: `${above}${isLast ? "└ " : "├ "}`,
    below: `${above}${isLast ? "  " : "│ "}`,
  };
}

function table(
  branches: readonly Branch[],
  trace: Trace,
  width: number,
  style: TextStyle,
): string[] {
  const barWidth = width >= BAR_FROM_WIDTH ? BAR_WIDTH : 0;
  const rows = branches.flatMap((branch) => rowsOf(branch, trace, barWidth));
  const widest = (title: string, text: (row: Row) => string): number =>
    Math.max(title.length, ...rows.map((row) => displayWidth(text(row))));
  const startWidth = widest("START", ({ start }) => start);
  const tookWidth = widest("TOOK", (row) => row.took);
  const room = width - startWidth - tookWidth - 3 - (barWidth === 0 ? 0 : barWidth + 2);
  const resultWidth = Math.min(
    widest("RESULT", ({ result }) => plainText(result)),
    Math.floor(room * RESULT_PART),
  );
  const whatWidth = Math.min(
    widest("SERVICE AND NAME", ({ what, result }) => (result === null ? "" : plainText(what))),
    room - resultWidth - 2,
  );
  const line = (start: string, tookText: string, texts: readonly string[]): string =>
    `${pad(start, startWidth, "start")} ${pad(tookText, tookWidth, "start")}  ${texts.join("  ")}`.trimEnd();
  const titles = line("START", "TOOK", [pad("SERVICE AND NAME", whatWidth), "RESULT"]);
  return [
    style.paint("dim", titles),
    ...rows.map(({ start, took, what, result, bar }) => {
      const texts =
        result === null
          ? [paintWithin(what, room, style)]
          : [
              pad(paintWithin(what, whatWidth, style), whatWidth),
              pad(paintWithin(result, resultWidth, style), bar === "" ? 0 : resultWidth),
              ...(bar === "" ? [] : [style.paint("cyan", bar)]),
            ];
      return line(start === "" ? "" : style.paint("dim", start), took, texts);
    }),
  ];
}

function plainText(painted: Painted | null): string {
  return painted?.map(([text]) => text).join("") ?? "";
}

/** The parts side by side in at most `width` columns. */
function paintWithin(parts: Painted, width: number, style: TextStyle): string {
  const natural = parts.map(([text]) => Math.min(displayWidth(text), width));
  const least = natural.map((one, at) => (parts[at]?.[2] === "cut" ? 0 : one));
  const widths = shrink(natural, least, width);
  let left = width;
  return parts
    .map(([text, colour], at) => {
      const cell = fit(text, Math.min(widths[at] as number, left));
      left -= displayWidth(cell);
      return colour === undefined || cell === "" ? cell : style.paint(colour, cell);
    })
    .join("");
}

function rest(
  shown: readonly Branch[],
  trace: Trace,
  { records, next }: TraceAnswer,
  width: number,
  style: TextStyle,
): string[] {
  const nodes = new Set(shown.map(({ node }) => node));
  const hidden = [...trace.spans, ...trace.accesses, ...trace.logs].filter(
    (node) => !nodes.has(node),
  );
  const denied = hidden.filter(({ record }) => record["Decision"] === "denied").length;
  const lines: string[] = [];
  if (hidden.length > 0)
    lines.push(
      `… and ${hidden.length} more${denied === 0 ? "" : `, ${denied} of them denied`}; --json prints all of them`,
    );
  if (next !== null) lines.push(`… and what comes behind the first ${records.length} records`);
  return lines.map((text) => style.paint("dim", fit(text, width)));
}

function findings({ findings }: Trace, width: number, style: TextStyle): string[] {
  if (findings.length === 0) return [];
  const lines = findings.slice(0, MAX_FINDINGS).flatMap((finding) => {
    const [kind, severity, state] = ["FindingKind", "Severity", "State"].map((name) =>
      field(finding, name),
    );
    const title = fit(`! ${kind} (${severity}, ${state}): ${field(finding, "Subject")}`, width);
    return [
      style.paint(severity === "error" ? "red" : "yellow", title),
      ...wrap(field(finding, "Message"), width - 2).map((line) => `  ${line}`),
    ];
  });
  const more = findings.length - MAX_FINDINGS;
  return [
    "",
    style.paint("bold", "Findings"),
    ...lines,
    ...(more > 0 ? [`… and ${more} more`] : []),
  ];
}

/** A sentence in lines of at most `width` columns. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ").map((one) => fit(one, width))) {
    const longer = `${lines.at(-1)} ${word}`;
    if (lines.length > 0 && displayWidth(longer) <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}
