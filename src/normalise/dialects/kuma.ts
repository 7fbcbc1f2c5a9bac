import { ACCESS } from "../../records/access-draft.ts";
import { ascii } from "../ascii.ts";
import { defineDialect } from "../dialect.ts";
import { FAMILY, familyOf, isEnvoyShape, phaseByDuration } from "../envoy-family.ts";
import { FIELD } from "../fields.ts";
import { LineFormat } from "../line-format.ts";
import type { Reading } from "../reading.ts";
import { WORD } from "../words.ts";

const NUMBERS =
  '"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION%';
const REQUEST = `${NUMBERS} %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%"`;
const ENDS =
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%KUMA_SOURCE_SERVICE%" "%KUMA_DESTINATION_SERVICE%" "%KUMA_SOURCE_ADDRESS_WITHOUT_PORT%" "%UPSTREAM_HOST%"';
const TRANSFER = "took %DURATION%ms, sent %BYTES_SENT% bytes, received: %BYTES_RECEIVED% bytes";
/** The source is not always known, nor its address. */
const classes = {
  KUMA_MESH: "word",
  KUMA_SOURCE_SERVICE: "word",
  KUMA_DESTINATION_SERVICE: "word",
  KUMA_SOURCE_ADDRESS_WITHOUT_PORT: "maybe",
  KUMA_SOURCE_ADDRESS: "maybe",
} as const;
/** What tells a line of an older version, which has a field less, from one that was cut off. */
const requestClasses = {
  ...classes,
  KUMA_SOURCE_ADDRESS_WITHOUT_PORT: "address",
  UPSTREAM_HOST: "host",
} as const;
/** Of a connection's line that was cut off the addresses must be such. */
const cutClasses = {
  ...classes,
  KUMA_SOURCE_ADDRESS_WITHOUT_PORT: "address",
  UPSTREAM_HOST: "address",
  _more: "free",
} as const;
const CONNECTION =
  "[%START_TIME%] %RESPONSE_FLAGS% %KUMA_MESH% %KUMA_SOURCE_ADDRESS_WITHOUT_PORT%(%KUMA_SOURCE_SERVICE%)->";
const UNKNOWN = [ascii("unknown"), ascii("(unknown)"), ascii("*")];

/**
 * Kuma and Kong Mesh: the default lines for HTTP and for TCP of all versions, and formats of one's own that use Kuma's names. Source and destination are names from the configuration of
 * the mesh, not from certificates, and where requests come in the source is often `unknown`. Refusals are not marked in the default lines. The time is that of the start.
 */
export default defineDialect({
  name: "kuma",
  source: "https://kuma.io/docs/latest/policies/meshaccesslog/",
  lines: [
    // Since 1.5, since 0.5, and 0.4.
    new LineFormat(
      `[%START_TIME%] %KUMA_MESH% ${REQUEST} "%REQ(X-B3-TRACEID?X-DATADOG-TRACEID)%" ${ENDS}`,
      { classes: requestClasses, partialFrom: "BYTES_SENT" },
    ),
    new LineFormat(`[%START_TIME%] %KUMA_MESH% ${REQUEST} ${ENDS}`, { classes: requestClasses }),
    new LineFormat(`[%START_TIME%] ${REQUEST} ${ENDS}`, { classes: requestClasses }),
    // Cut off behind the numbers.
    new LineFormat(`[%START_TIME%] %KUMA_MESH% ${NUMBERS} %_more%`, {
      classes: { ...classes, _more: "free" },
      isPart: true,
    }),
    // TCP since 0.5, and before.
    new LineFormat(`${CONNECTION}%UPSTREAM_HOST%(%KUMA_DESTINATION_SERVICE%) ${TRANSFER}`, {
      classes,
    }),
    new LineFormat(
      `[%START_TIME%] %KUMA_SOURCE_ADDRESS%(%KUMA_SOURCE_SERVICE%)->%UPSTREAM_HOST%(%KUMA_DESTINATION_SERVICE%) ${TRANSFER}`,
      { classes },
    ),
    new LineFormat(`[%START_TIME%] %DOWNSTREAM_REMOTE_ADDRESS%->%UPSTREAM_HOST% ${TRANSFER}`, {
      classes: { DOWNSTREAM_REMOTE_ADDRESS: "address", UPSTREAM_HOST: "address" },
    }),
    // Cut off behind the destination, and in front of it.
    new LineFormat(`${CONNECTION}%UPSTREAM_HOST%(%KUMA_DESTINATION_SERVICE%) %_more%`, {
      classes: cutClasses,
      isPart: true,
    }),
    new LineFormat(`${CONNECTION}%_more%`, { classes: cutClasses, isPart: true }),
  ],
  keys: {
    KUMA_MESH: "mesh_id",
    KUMA_SOURCE_SERVICE: "source_workload",
    KUMA_DESTINATION_SERVICE: "destination_service",
    KUMA_SOURCE_ADDRESS_WITHOUT_PORT: "client_address",
    KUMA_SOURCE_ADDRESS: "downstream_remote_address",
    kuma_mesh: "mesh_id",
    kuma_source_service: "source_workload",
    kuma_destination_service: "destination_service",
    kuma_source_address_without_port: "client_address",
    kuma_source_address: "downstream_remote_address",
  },
  matches: isEnvoyShape,
  accepts: (reading) => familyOf(reading) === FAMILY.kuma,
  prepare(reading) {
    for (const text of UNKNOWN)
      if (reading.is(FIELD.source_workload, text)) return reading.forget(FIELD.source_workload);
  },
  finish(reading) {
    phaseByDuration(reading);
    if (isTransfer(reading)) reading.say(ACCESS.Protocol, WORD.TCP);
  },
});

/** The lines for TCP have nothing of a request. */
function isTransfer(reading: Reading): boolean {
  return reading.bodyIsRead && reading.draft.isEmpty(ACCESS.Protocol) && !reading.plan.hasRequest;
}
