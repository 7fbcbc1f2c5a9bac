import { FORMS } from "./principal.ts";
import type { Reading } from "./reading.ts";
import { SPIFFE_SCHEME } from "./spiffe.ts";

/** Reads a column into `reading.principal` and returns its form. Istio's RBAC writes SPIFFE IDs without the scheme: one identity has one spelling here. `lenient`: its bit of LENIENT. */
export function readPrincipal(reading: Reading, column: number, lenient: number): number {
  const { draft, principal, marks } = reading;
  const start = draft.start[column]!;
  const end = draft.end[column]!;
  const form = principal.parse(draft.bytesOf(column), start, end);
  if (form === FORMS.spiffe) {
    if (principal.isLenient) marks.lenient |= lenient;
    return form;
  }
  if (form !== FORMS.other || !principal.parseWithoutScheme(draft.bytesOf(column), start, end))
    return form;
  draft.reserve(SPIFFE_SCHEME.length + end - start);
  const from = draft.bytesOf(column); // perhaps scratch, which has moved
  const at = draft.scratchEnd;
  draft.scratch.set(SPIFFE_SCHEME, at);
  draft.scratch.set(from.subarray(start, end), at + SPIFFE_SCHEME.length);
  draft.scratchEnd += SPIFFE_SCHEME.length + end - start;
  draft.setScratch(column, at, draft.scratchEnd);
  return principal.parse(draft.scratch, at, draft.scratchEnd);
}

/** Namespace and account of `reading.principal`, which was read from the column `whole`, where the columns are still empty. */
export function setParts(
  reading: Reading,
  whole: number,
  namespace: number,
  account: number,
): void {
  const { principal } = reading;
  setPart(reading, namespace, whole, principal.namespaceStart, principal.namespaceEnd);
  setPart(reading, account, whole, principal.accountStart, principal.accountEnd);
}

/** A column that is empty gets a part of what another one holds. */
function setPart(
  reading: Reading,
  column: number,
  whole: number,
  start: number,
  end: number,
): void {
  const { draft } = reading;
  if (start === end || !draft.isEmpty(column)) return;
  draft.copyText(column, whole);
  draft.start[column] = start;
  draft.end[column] = end;
}
