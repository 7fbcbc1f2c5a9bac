import { ACCESS } from "../records/access-draft.ts";
import { FIELD } from "./fields.ts";
import { NO_NUMBER, readInteger } from "./numbers.ts";
import type { Reading } from "./reading.ts";
import { WORD } from "./words.ts";

const MAX_PORT = 0xffff;

/** PeerAddress and PeerPort. An address of another kind (`envoy://…`, a socket's path) stays in LogAttributes. */
export function mapPeerAddress(reading: Reading): void {
  const { draft, address } = reading;
  const field = peerAddressField(reading);
  if (field !== 0) {
    address.copyTo(draft.peerAddress);
    if (address.port > 0) draft.setNumber(ACCESS.PeerPort, address.port);
    reading.take(field);
  }
  if (!reading.has(FIELD.client_port) || draft.low[ACCESS.PeerPort] !== 0) return;
  const port = readInteger(reading, FIELD.client_port, MAX_PORT);
  if (port === NO_NUMBER) return;
  draft.setNumber(ACCESS.PeerPort, port);
  reading.take(FIELD.client_port);
}

/** Nobody was authenticated: the address is all that there is. Without a port it was taken from X-Forwarded-For, which is a header's word. */
export function setAddressActor(reading: Reading): void {
  const { draft, address } = reading;
  const field = peerAddressField(reading);
  if (field === 0 || !address.parse(reading.buffer, reading.start[field]!, reading.end[field]!))
    return reading.say(ACCESS.ActorAssurance, WORD.none);
  draft.setText(ACCESS.Actor, address.hostStart, address.hostEnd);
  reading.say(ACCESS.ActorKind, WORD.address);
  reading.say(ACCESS.ActorAssurance, address.port === 0 ? WORD.header : WORD.address);
}

/** The field that holds the peer's address, or 0. */
function peerAddressField(reading: Reading): number {
  if (isAddress(reading, FIELD.downstream_remote_address)) return FIELD.downstream_remote_address;
  if (isAddress(reading, FIELD.downstream_direct_remote_address))
    return FIELD.downstream_direct_remote_address;
  return isAddress(reading, FIELD.client_address) ? FIELD.client_address : 0;
}

function isAddress(reading: Reading, field: number): boolean {
  return (
    reading.has(field) &&
    reading.address.parse(reading.buffer, reading.start[field]!, reading.end[field]!)
  );
}
