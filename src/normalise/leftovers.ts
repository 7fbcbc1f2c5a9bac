import { ACCESS, TAKEN } from "../records/access-draft.ts";
import { VALUE_TYPES } from "../records/attributes.ts";
import { isDash } from "./ascii.ts";
import type { Reading } from "./reading.ts";
import { WORD } from "./words.ts";

/**
 * Body, ParseStatus, and what stays in LogAttributes. A body of which every field found its column is not kept again; one that was read in part is kept whole.
 */
export function finish(reading: Reading): void {
  reading.say(ACCESS.ParseStatus, reading.partial ? WORD.partial : WORD.full);
  dropAbsent(reading);
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
        ? valueStart[i] === valueEnd[i] || isDash(reading.buffer, valueStart[i]!, valueEnd[i]!)
        : valueType[i] === VALUE_TYPES.none;
    if (isAbsent) draft.taken[i] = TAKEN.taken;
  }
}

function keepBody(reading: Reading): void {
  const { draft, view } = reading;
  const { bodyType, bodyStart, bodyEnd } = view;
  if (bodyType === VALUE_TYPES.none || bodyStart === bodyEnd) return;
  // A line does not say the names of its fields: where exactly the secret stands in it is not known.
  if (reading.bodyIsRead && holdsSecret(reading)) reading.say(ACCESS.Body, WORD.redacted);
  else draft.keepBody = true;
}

/** Is there a value to be redacted that may stand in the body? */
function holdsSecret({ plan, draft, view }: Reading): boolean {
  if (!plan.hasSecrets) return false;
  const { valueStart, valueEnd } = view.attributes;
  for (let i = 0; i < plan.isSecret.length; i++)
    if (
      plan.isSecret[i] === 1 &&
      draft.taken[i] === TAKEN.left &&
      valueEnd[i]! - valueStart[i]! > 1
    )
      return true;
  return false;
}
