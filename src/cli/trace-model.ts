import { KINDS } from "../core/kinds.ts";
import type { RecordJson } from "../records/row-json.ts";
import { field, number, timeNs } from "./record-text.ts";

/** What of a trace belongs where: a pure step from the records as the API lists them to a tree. */

export interface TraceNode {
  readonly kind: "span" | "access" | "log" | "note";
  /** Empty for a note. */
  readonly record: RecordJson;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly children: TraceNode[];
  /** Of a note: what it says. Of others: what is odd about them. */
  readonly remarks: string[];
  /** Of an access record: how it came under its span. */
  link?: Link;
}

export interface Link {
  readonly rule: string;
  readonly confidence: number;
}

export interface Trace {
  /** Spans without a parent here, then what belongs to no span. Every node is under exactly one root. */
  readonly roots: readonly TraceNode[];
  readonly spans: readonly TraceNode[];
  readonly accesses: readonly TraceNode[];
  readonly logs: readonly TraceNode[];
  readonly findings: readonly RecordJson[];
  /** The record that the trace begins with; undefined for a trace without records. */
  readonly first: RecordJson | undefined;
  readonly startNs: bigint;
  readonly endNs: bigint;
}

/**
 * The tree of a trace. Nothing in it is trusted: parents may be missing or go round in circles, IDs may be there twice.
 * Cost: n log n for n records, and no recursion.
 */
export function buildTrace(records: readonly RecordJson[]): Trace {
  const ofKind = (kind: number): RecordJson[] => records.filter(({ Kind }) => Kind === kind);
  const spans = ofKind(KINDS.span).map((record) => nodeOf("span", record, "Duration"));
  const accesses = ofKind(KINDS.access).map((record) => nodeOf("access", record, "DurationNs"));
  const logs = ofKind(KINDS.log).map((record) => nodeOf("log", record, ""));
  const findings = ofKind(KINDS.finding);
  const byId = new Map<unknown, TraceNode>();
  for (const node of spans) {
    const id = node.record["SpanId"];
    if (byId.has(id)) node.remarks.push("its span ID is there twice");
    else byId.set(id, node);
  }
  const roots = nestSpans(spans, byId);
  const unlinked = attachAccesses(accesses, spans, ofKind(KINDS.link));
  const strayLogs = logs.filter((node) => !attach(node, byId.get(node.record["SpanId"])));
  markEvidence([...spans, ...accesses, ...logs], findings);
  for (const node of spans) node.children.sort(byRankAndTime);
  roots.sort(byRankAndTime);
  if (unlinked.length > 0) roots.push(noteOf("not linked to a span", unlinked));
  if (strayLogs.length > 0) roots.push(noteOf("logs of no span that is here", strayLogs));
  const timed = spans.length > 0 ? spans : accesses.length > 0 ? accesses : logs;
  const first = timed.toSorted(byRankAndTime)[0];
  return {
    roots,
    spans,
    accesses,
    logs,
    findings,
    first: first?.record,
    startNs: first?.startNs ?? 0n,
    endNs: [...spans, ...accesses].reduce(
      (end, node) => (node.endNs > end ? node.endNs : end),
      first?.startNs ?? 0n,
    ),
  };
}

function nodeOf(kind: TraceNode["kind"], record: RecordJson, durationColumn: string): TraceNode {
  const startNs = timeNs(record) ?? 0n;
  const duration = BigInt(Math.trunc(Math.max(0, number(record, durationColumn) ?? 0)));
  return { kind, record, startNs, endNs: startNs + duration, children: [], remarks: [] };
}

function noteOf(text: string, children: readonly TraceNode[]): TraceNode {
  const sorted = children.toSorted(byRankAndTime);
  const startNs = sorted[0]?.startNs ?? 0n;
  return { kind: "note", record: {}, startNs, endNs: startNs, children: sorted, remarks: [text] };
}

/** What a span's own proxy and program said of it stands before the spans that it called. */
const RANK = { access: 0, log: 1, span: 2, note: 2 } as const;

function byRankAndTime(a: TraceNode, b: TraceNode): number {
  if (RANK[a.kind] !== RANK[b.kind]) return RANK[a.kind] - RANK[b.kind];
  return a.startNs < b.startNs ? -1 : a.startNs > b.startNs ? 1 : 0;
}

function attach(node: TraceNode, parent: TraceNode | undefined): boolean {
  parent?.children.push(node);
  return parent !== undefined;
}

/** Puts spans under their parents. Returns what has none: roots, a note for each parent that is missing, a note for each circle. */
function nestSpans(
  spans: readonly TraceNode[],
  byId: ReadonlyMap<unknown, TraceNode>,
): TraceNode[] {
  const parentOf = new Map<TraceNode, TraceNode>();
  const roots: TraceNode[] = [];
  const orphans = new Map<string, TraceNode[]>();
  for (const node of spans) {
    const parentId = field(node.record, "ParentSpanId");
    const parent = byId.get(parentId);
    if (parentId === "") roots.push(node);
    else if (parent === undefined) {
      const others = orphans.get(parentId);
      if (others === undefined) orphans.set(parentId, [node]);
      else others.push(node);
    } else {
      parent.children.push(node);
      parentOf.set(node, parent);
    }
  }
  for (const [id, children] of orphans)
    roots.push(noteOf(`parent span ${id} is not here`, children));
  const reached = new Set<TraceNode>();
  for (const root of roots) reach(root, reached);
  for (const node of spans) {
    if (reached.has(node)) continue;
    const onCircle = findCircle(node, parentOf);
    const siblings = (parentOf.get(onCircle) as TraceNode).children;
    siblings.splice(siblings.indexOf(onCircle), 1);
    roots.push(noteOf("spans that are each other's parents", [onCircle]));
    reach(onCircle, reached);
  }
  return roots;
}

function reach(from: TraceNode, reached: Set<TraceNode>): void {
  const open = [from];
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    reached.add(node);
    for (const child of node.children) open.push(child);
  }
}

/** A span on the circle that one arrives at from `node` by going from parent to parent. Every span on the way has a parent. */
function findCircle(node: TraceNode, parentOf: ReadonlyMap<TraceNode, TraceNode>): TraceNode {
  const seen = new Set<TraceNode>();
  let at = node;
  for (; !seen.has(at); at = parentOf.get(at) as TraceNode) seen.add(at);
  return at;
}

/** What tells a record from all others: log and leaf. */
function placeOf(log: unknown, leaf: unknown): string {
  return `${String(log)}:${String(leaf)}`;
}

function ownPlace({ record }: TraceNode): string {
  return placeOf(record["LogId"], record["LeafIndex"]);
}

interface FoundLink extends Link {
  /** The span, or for the rules `peer` and `decision` the other access record. */
  readonly other: string;
}

/** Puts access records under the spans that the surest link names; the other side of a call, and the policy engine's record of it, go where their peer is. Returns those without a link. */
function attachAccesses(
  accesses: readonly TraceNode[],
  spans: readonly TraceNode[],
  linkRecords: readonly RecordJson[],
): TraceNode[] {
  const spanAt = new Map(spans.map((node) => [ownPlace(node), node]));
  const toSpan = new Map<string, FoundLink>();
  const toPeer = new Map<string, FoundLink>();
  const keepSurest = (links: Map<string, FoundLink>, place: string, link: FoundLink): void => {
    const known = links.get(place);
    if (known === undefined || known.confidence < link.confidence) links.set(place, link);
  };
  for (const record of linkRecords) {
    const access = placeOf(record["AccessLog"], record["AccessLeaf"]);
    const other = placeOf(record["SpanLog"], record["SpanLeaf"]);
    const rule = field(record, "Rule");
    const confidence = number(record, "Confidence") ?? 0;
    if (rule === "peer" || rule === "decision") {
      keepSurest(toPeer, access, { rule, confidence, other });
      keepSurest(toPeer, other, { rule, confidence, other: access });
    } else if (spanAt.has(other)) keepSurest(toSpan, access, { rule, confidence, other });
  }
  return accesses.filter((node) => {
    const place = ownPlace(node);
    const peer = toPeer.get(place);
    const link = toSpan.get(place) ?? peer;
    const span = spanAt.get((toSpan.get(place) ?? toSpan.get(peer?.other ?? ""))?.other ?? "");
    if (link === undefined || span === undefined) return true;
    node.link = link;
    return !attach(node, span);
  });
}

/** Marks the records that findings name as their evidence. */
function markEvidence(nodes: readonly TraceNode[], findings: readonly RecordJson[]): void {
  const nodeAt = new Map(nodes.map((node) => [ownPlace(node), node]));
  for (const finding of findings) {
    const evidence = Array.isArray(finding["Evidence"]) ? finding["Evidence"] : [];
    const kind = field(finding, "FindingKind");
    for (const leaf of evidence) {
      const remarks = nodeAt.get(placeOf(finding["LogId"], leaf))?.remarks;
      if (remarks?.includes(kind) === false) remarks.push(kind);
    }
  }
}
