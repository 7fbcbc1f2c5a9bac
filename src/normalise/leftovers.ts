import { ACCESS, TAKEN } from "../records/access-draft.ts";
import { VALUE_TYPES } from "../records/attributes.ts";
import type { Reading } from "./reading.ts";
import { WORD } from "./words.ts";
import { PLACES } from "./redaction.ts";

/**
 * Body, ParseStatus, and what stays in LogAttributes: nothing of it may hold a value that is to be redacted.
 * A body of which every field found its column is not kept again; one that was read in part is kept whole.
 */
export function finish(reading: Reading): void {
  reading.say(ACCESS.ParseStatus, reading.partial ? WORD.partial : WORD.full);
  dropAbsent(reading);
  redactHeaders(reading);
  redactLeft(reading);
  if (!reading.bodyIsRead || reading.partial) keepBody(reading);
}

/** What a body has a name for and says nothing of is not worth a place. */
function dropAbsent(reading: Reading): void {
  const { draft, view } = reading;
  const { count, valueStart, valueEnd, valueType } = view.attributes;
  for (let i = reading.bodyFrom; i < count; i++) {
    if (draft.taken[i] !== TAKEN.left) continue;
    const isAbsent =
      valueType[i] === VALUE_TYPES.string
        ? valueStart[i] === valueEnd[i] || isDash(reading, valueStart[i]!, valueEnd[i]!)
        : valueType[i] === VALUE_TYPES.none;
    if (isAbsent) draft.taken[i] = TAKEN.taken;
  }
}

/** Attributes whose keys name a configured header keep the key alone. */
function redactHeaders(reading: Reading): void {
  const { plan, draft, redactor, view } = reading;
  if (!plan.hasHeaders) return;
  const { valueStart, valueEnd, valueType } = view.attributes;
  for (let i = 0; i < plan.headers.length; i++) {
    const header = plan.headers[i]!;
    if (
      header < 0 ||
      valueType[i] === VALUE_TYPES.none ||
      valueStart[i] === valueEnd[i] ||
      isDash(reading, valueStart[i]!, valueEnd[i]!)
    )
      continue;
    draft.taken[i] = TAKEN.redacted;
    redactor.noteHeader(header, PLACES.LogAttributes);
  }
}

function isDash(reading: Reading, start: number, end: number): boolean {
  return end - start === 1 && reading.buffer[start] === 0x2d;
}

/** Any text that stays may be a URL, or JSON with headers in it. In what is nested the whole value goes. */
function redactLeft(reading: Reading): void {
  const { draft, redactor, buffer, view } = reading;
  const { count, valueStart, valueEnd, valueType } = view.attributes;
  for (let i = 0; i < count; i++) {
    if (draft.taken[i] !== TAKEN.left) continue;
    const type = valueType[i];
    if (type === VALUE_TYPES.string) {
      if (redactor.redactText(buffer, valueStart[i]!, valueEnd[i]!, PLACES.LogAttributes))
        draft.rewrite(i, redactor.start, redactor.end);
    } else if (
      type === VALUE_TYPES.array ||
      type === VALUE_TYPES.kvlist ||
      type === VALUE_TYPES.bytes
    ) {
      if (redactor.noteNameWithin(buffer, valueStart[i]!, valueEnd[i]!, PLACES.LogAttributes))
        draft.taken[i] = TAKEN.redacted;
    }
  }
}

function keepBody(reading: Reading): void {
  const { draft, redactor, buffer, view } = reading;
  const { bodyType, bodyStart, bodyEnd } = view;
  if (bodyType === VALUE_TYPES.none || bodyStart === bodyEnd) return;
  const isNested =
    bodyType === VALUE_TYPES.array ||
    bodyType === VALUE_TYPES.kvlist ||
    bodyType === VALUE_TYPES.bytes;
  if (
    (reading.bodyIsRead && holdsRedactedHeader(reading)) ||
    (isNested && redactor.noteNameWithin(buffer, bodyStart, bodyEnd, PLACES.Body))
  ) {
    // Where exactly the secret stands in it is not known.
    reading.say(ACCESS.Body, WORD.redacted);
  } else if (
    bodyType === VALUE_TYPES.string &&
    redactor.redactText(buffer, bodyStart, bodyEnd, PLACES.Body)
  ) {
    draft.setScratch(ACCESS.Body, redactor.start, redactor.end);
  } else {
    draft.keepBody = true;
  }
}

/** Was a header redacted that may stand in the body? */
function holdsRedactedHeader({ plan, draft }: Reading): boolean {
  if (!plan.hasHeaders) return false;
  for (let i = 0; i < plan.headers.length; i++)
    if (draft.taken[i] === TAKEN.redacted && plan.headers[i]! >= 0) return true;
  return false;
}
