import { ACCESS } from "../../records/access-draft.ts";
import { ascii, CHAR, indexOf, indexOfText } from "../ascii.ts";
import { defineDialect } from "../dialect.ts";
import { FAMILY, familyOf, isEnvoyShape } from "../envoy-family.ts";
import { FIELD } from "../fields.ts";
import type { Reading } from "../reading.ts";
import { WORD } from "../words.ts";

const LOCAL_APP = ascii("local_app");
const ORIGINAL_DESTINATION = ascii("original-destination");
/** What stands behind the name of a service in clusters and SNI: the kind of the name. */
const KINDS = [".internal-v1.", ".internal.", ".external.", ".query."].map(ascii);
/** `<service>.<namespace>.<datacenter>`; with one label more a subset stands in front, or in the newer form a partition behind the namespace. */
const LABELS = 3;
const PARTITIONED = 0;

/**
 * Consul's Envoys: the keys of Istio's JSON format, told by the names of clusters (`local_app`, `web.default.dc1.internal.<trust domain>.consul`) and of intentions. They log the proxy's
 * own administration page too. An intention refuses connections (`connection_termination_details`) or requests (`response_code_details`). The time is that of the start.
 */
export default defineDialect({
  name: "consul",
  source: "https://developer.hashicorp.com/consul/docs/connect/observability/access-logs",
  matches: isEnvoyShape,
  accepts: (reading) => familyOf(reading) === FAMILY.consul,
  finish(reading) {
    const { draft } = reading;
    if (draft.isEmpty(ACCESS.Direction)) {
      if (reading.is(FIELD.upstream_cluster, LOCAL_APP))
        reading.say(ACCESS.Direction, WORD.inbound);
      else if (
        reading.is(FIELD.upstream_cluster, ORIGINAL_DESTINATION) ||
        setService(reading, FIELD.upstream_cluster)
      )
        reading.say(ACCESS.Direction, WORD.outbound);
    }
    if (draft.isEmpty(ACCESS.ServiceName)) setService(reading, FIELD.requested_server_name);
  },
});

/** ServiceName from a cluster or an SNI in Consul's form. */
function setService(reading: Reading, field: number): boolean {
  if (!reading.has(field)) return false;
  const { buffer, draft } = reading;
  const start = reading.start[field]!;
  const end = reading.end[field]!;
  for (let kind = 0; kind < KINDS.length; kind++) {
    const stop = indexOfText(buffer, KINDS[kind]!, start, end);
    if (stop < 0) continue;
    let labels = 1;
    for (let p = start; p < stop; p++) if (buffer[p] === CHAR.dot) labels++;
    let first = start;
    // A hash in front of an escape hatch's name (`1234~web`) is no part of it.
    const hash = indexOf(buffer, 0x7e, start, stop);
    if (hash >= 0) first = hash + 1;
    if (labels > LABELS && kind !== PARTITIONED) first = indexOf(buffer, CHAR.dot, first, stop) + 1;
    const dot = indexOf(buffer, CHAR.dot, first, stop);
    if (draft.isEmpty(ACCESS.ServiceName))
      draft.setText(ACCESS.ServiceName, first, dot < 0 ? stop : dot);
    return true;
  }
  return false;
}
