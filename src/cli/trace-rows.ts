import type { RecordJson } from "../records/row-json.ts";
import type { Style } from "./output.ts";
import {
  decisionStyle,
  field,
  formatNs,
  policy,
  requested,
  status,
  took,
  who,
} from "./record-text.ts";
import type { Trace, TraceNode } from "./trace-model.ts";

/** What a node of a trace says: its line, and the lines below it. Widths and colours are its reader's matter. */

/** One node of the tree with the lines that lead to it. */
export interface Branch {
  readonly node: TraceNode;
  /** In front of its first line, and of the lines that follow it. */
  readonly lead: string;
  readonly below: string;
  readonly depth: number;
}

/** Text whose parts have colours. Those that may be cut are cut first when it is too long. */
export type Painted = readonly (readonly [text: string, style?: Style | undefined, cut?: "cut"])[];

export interface Row {
  readonly start: string;
  readonly took: string;
  readonly what: Painted;
  /** Null for a line that says more of the one above it, and takes all the room. */
  readonly result: Painted | null;
  readonly bar: string;
}

/** The lines of one node: what it is and, below, what else there is to say of it. */
export function rowsOf({ node, lead, below }: Branch, trace: Trace, barWidth: number): Row[] {
  const { kind, record } = node;
  if (kind === "note") return [rowBelow(lead, [[node.remarks.join(", "), "dim"]])];
  const inside = below + (node.children.length > 0 ? "│ " : "  ");
  const { what, result, more } = DESCRIBE[kind](node);
  return [
    {
      start: formatNs(Number(node.startNs - trace.startNs)),
      took: took(record, kind === "span" ? "Duration" : "DurationNs"),
      what: [[lead, "dim"], ...what],
      result,
      bar: barOf(node, trace, barWidth),
    },
    ...more.map((parts) => rowBelow(inside, parts)),
    ...node.remarks.map((remark) => rowBelow(inside, [[`! ${remark}`, "yellow"]])),
  ];
}

function rowBelow(lead: string, parts: Painted): Row {
  return { start: "", took: "", what: [[lead, "dim"], ...parts], result: null, bar: "" };
}

/** What a node says in its line, and in the lines below. */
interface Description {
  readonly what: Painted;
  readonly result: Painted;
  readonly more: readonly Painted[];
}

const DESCRIBE: Readonly<Record<"span" | "access" | "log", (node: TraceNode) => Description>> = {
  span: describeSpan,
  access: describeAccess,
  log: describeLog,
};

/** Where semantic conventions put the status: today's name first, then the one before it. */
const STATUS_ATTRIBUTES = ["http.response.status_code", "http.status_code"];

function describeSpan({ record }: TraceNode): Description {
  const service = field(record, "ServiceName") || "?";
  const isError = record["StatusCode"] === "Error";
  const attributes = (record["SpanAttributes"] ?? {}) as RecordJson;
  const code = STATUS_ATTRIBUTES.map((name) => field(attributes, name)).find((text) => text !== "");
  return {
    what: [[service, "cyan", "cut"], [" "], [field(record, "SpanName"), undefined, "cut"]],
    result: [
      [isError ? "error " : "", "red"],
      [code === undefined ? "" : `${code} `],
      [isError ? field(record, "StatusMessage") : "", "dim", "cut"],
    ],
    more: [],
  };
}

function describeAccess({ record, link }: TraceNode): Description {
  const direction = field(record, "Direction");
  const code = status(record);
  const decidedBy = policy(record);
  const how = link === undefined ? [] : [`rule ${link.rule}, confidence ${link.confidence}`];
  return {
    what: [
      ["◆ ", decisionStyle(record)],
      [direction === "" ? "" : `${direction} `],
      [requested(record), undefined, "cut"],
    ],
    result: [
      [field(record, "Decision"), decisionStyle(record)],
      [code === "" ? "" : ` ${code}`],
      [decidedBy === "" ? "" : ` ${decidedBy}`, undefined, "cut"],
    ],
    more: [
      [
        ["by ", "dim"],
        [who(record), undefined, "cut"],
        [["", ...how, `leaf ${field(record, "LeafIndex")}`].join("; "), "dim"],
      ],
    ],
  };
}

function describeLog({ record }: TraceNode): Description {
  return {
    what: [["· "], [field(record, "Body"), undefined, "cut"]],
    result: [[field(record, "SeverityText"), "dim"]],
    more: [],
  };
}

/** Where a node lies between the beginning and the end of the trace. */
function barOf(node: TraceNode, trace: Trace, width: number): string {
  if (width === 0) return "";
  const total = Math.max(1, Number(trace.endNs - trace.startNs));
  const columnOf = (ns: bigint): number =>
    Math.min(Math.max((Number(ns - trace.startNs) / total) * width, 0), width);
  const from = Math.min(Math.floor(columnOf(node.startNs)), width - 1);
  const to = Math.max(Math.round(columnOf(node.endNs)), from + 1);
  return " ".repeat(from) + "━".repeat(to - from);
}
