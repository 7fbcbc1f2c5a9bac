import { ACCESS } from "../records/access-draft.ts";
import { NO_ENGINE } from "./decision.ts";
import type { Reading } from "./reading.ts";
import { WORD } from "./words.ts";

/** Who gave the answer that a proxy logged, as far as the record tells. */
export const ANSWERED_BY = { unknown: 0, upstream: 1, proxy: 2 } as const;

/**
 * Decision of a gateway whose log knows of no reasons: the status, and who gave it. What the upstream answered was allowed by the gateway; a refusal by the gateway itself
 * is one of its filters', and it does not say which. `field` is what says who answered; where that is unknown, the status itself.
 */
export function decideByAnswer(reading: Reading, answeredBy: number, field: number): void {
  const status = reading.draft.low[ACCESS.StatusCode]!;
  if (status === 0) return reading.say(ACCESS.Decision, WORD.unknown);
  // The gateway writes these for an upstream that it could not reach, or a client that went away: as the upstream's own words they are rare.
  if (status === 499 || status === 502 || status === 504)
    return conclude(reading, WORD.failed, NO_ENGINE, field);
  switch (answeredBy) {
    case ANSWERED_BY.upstream:
      return conclude(
        reading,
        WORD.allowed,
        status === 401 || status === 403 ? WORD.app : NO_ENGINE,
        field,
      );
    case ANSWERED_BY.proxy:
      return decideByProxy(reading, status, field);
    default:
      if (status < 400) return conclude(reading, WORD.allowed, NO_ENGINE, field);
      reading.say(ACCESS.Decision, WORD.unknown);
  }
}

function decideByProxy(reading: Reading, status: number, field: number): void {
  if (status === 401 || status === 403) conclude(reading, WORD.denied, WORD.proxy, field);
  else if (status === 429) conclude(reading, WORD.denied, WORD.rate_limit, field);
  // To the page where one logs in, or to another one.
  else if (status === 302 || status === 303 || status === 307)
    reading.say(ACCESS.Decision, WORD.unknown);
  else conclude(reading, status < 400 ? WORD.allowed : WORD.failed, NO_ENGINE, field);
}

/** A status is no reason in words, so DecisionReason stays empty. */
function conclude(reading: Reading, decision: number, engine: number, field: number): void {
  reading.say(ACCESS.Decision, decision);
  if (engine !== NO_ENGINE) reading.say(ACCESS.DecisionEngine, engine);
  reading.nameSource(field);
}
