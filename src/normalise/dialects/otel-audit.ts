import { ACCESS } from "../../records/access-draft.ts";
import { VALUE_TYPES } from "../../records/attributes.ts";
import { ascii, containsIgnoringCase } from "../ascii.ts";
import { NO_ENGINE } from "../decision.ts";
import { defineDialect } from "../dialect.ts";
import { FIELD } from "../fields.ts";
import type { Reading } from "../reading.ts";
import { WORD } from "../words.ts";

const SUCCESS = ascii("success");
const FAILURE = ascii("failure");
const USER = ascii("user");
/** Actors that are nobody. */
const NOBODY = [ascii("anonymous"), ascii("unknown")] as const;
/** In the event's name or the body: the action failed because it was not allowed. */
const DENIED = ascii("denied");

/**
 * Records of OpenTelemetry's draft audit model, which an application or the SDK writes of its own actions. Whatever else such a record carries, it is this dialect's.
 * `failure` may be a fault or a refusal: only the event's name or the body tells. What vouches for the record (`audit.integrity.*`, `audit.sequence.*`, `audit.record.id`)
 * stays in LogAttributes as it came. Nothing in the record says how the actor was authenticated.
 */
export default defineDialect({
  name: "otel-audit",
  source: "https://github.com/open-telemetry/opentelemetry-specification/pull/5059",
  keys: {
    "audit.actor.id": "actor_id",
    "audit.actor.type": "actor_type",
    "audit.action": "action",
    "audit.outcome": "verdict",
    "audit.target.id": "target_id",
    "audit.source.id": "client_address",
  },
  outranksOthers: true,
  matches: ({ keySet }) =>
    keySet.has("audit.record.id") || (keySet.has("audit.actor.id") && keySet.has("audit.action")),
  prepare(reading) {
    // Beside what a proxy says of the request, the action counts.
    if (reading.has(FIELD.action)) reading.swap(FIELD.method, FIELD.action);
    if (reading.has(FIELD.target_id)) reading.swap(FIELD.path, FIELD.target_id);
  },
  decide: decideByOutcome,
  finish(reading) {
    const { draft } = reading;
    const { eventNameStart, eventNameEnd } = reading.view;
    if (draft.isEmpty(ACCESS.ResponseDetails))
      draft.setText(ACCESS.ResponseDetails, eventNameStart, eventNameEnd);
    setActor(reading);
  },
});

/** The recorder's word for who it was; it outranks what a proxy may have said of the connection. */
function setActor(reading: Reading): void {
  const { draft } = reading;
  const field = FIELD.actor_id;
  if (!reading.has(field) || NOBODY.some((name) => reading.is(field, name))) return;
  const isUser = reading.is(FIELD.actor_type, USER);
  if (isUser) {
    reading.setText(ACCESS.EndUser, field);
    draft.copyText(ACCESS.Actor, ACCESS.EndUser);
    reading.say(ACCESS.UserAssurance, WORD.proxy_metadata);
  } else {
    reading.setText(ACCESS.PeerPrincipal, field);
    draft.copyText(ACCESS.Actor, ACCESS.PeerPrincipal);
    reading.say(ACCESS.ActorAssurance, WORD.proxy_metadata);
  }
  reading.say(ACCESS.ActorKind, isUser ? WORD.user : WORD.workload);
}

function decideByOutcome(reading: Reading): void {
  const field = FIELD.verdict;
  if (reading.is(field, SUCCESS)) conclude(reading, WORD.allowed, NO_ENGINE);
  else if (!reading.is(field, FAILURE)) reading.say(ACCESS.Decision, WORD.unknown);
  else if (saysDenied(reading)) conclude(reading, WORD.denied, WORD.app);
  else conclude(reading, WORD.failed, NO_ENGINE);
}

function saysDenied({ buffer, view }: Reading): boolean {
  return (
    containsIgnoringCase(buffer, view.eventNameStart, view.eventNameEnd, DENIED) ||
    (view.bodyType === VALUE_TYPES.string &&
      containsIgnoringCase(buffer, view.bodyStart, view.bodyEnd, DENIED))
  );
}

function conclude(reading: Reading, decision: number, engine: number): void {
  reading.say(ACCESS.Decision, decision);
  if (engine !== NO_ENGINE) reading.say(ACCESS.DecisionEngine, engine);
  reading.nameSource(FIELD.verdict);
  reading.take(FIELD.verdict);
}
