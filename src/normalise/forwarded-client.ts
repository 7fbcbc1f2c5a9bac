import { ACCESS } from "../records/access-draft.ts";
import { equalRanges } from "./ascii.ts";
import { FIELD } from "./fields.ts";
import type { Reading } from "./reading.ts";

/**
 * ForwardedFor from a client's address that stands beside the one that the connection came from: somebody in front of the proxy, or the client itself, said it in a header.
 * One that only repeats the connection's is not kept twice.
 */
export function mapForwardedClient(reading: Reading): void {
  const { buffer, draft, address, start, end } = reading;
  const claimed = FIELD.client_address;
  const peer = FIELD.downstream_remote_address;
  if (!reading.has(claimed) || !reading.has(peer)) return;
  // An address that cannot be read (some mask it) is compared as a text in front of its port.
  const isRead = address.parse(buffer, start[peer]!, end[peer]!);
  const host = isRead ? address.hostStart : start[peer]!;
  const hostEnd = isRead ? address.hostEnd : start[peer]! + end[claimed]! - start[claimed]!;
  const isSame =
    hostEnd <= end[peer]! &&
    equalRanges(buffer, host, hostEnd, buffer, start[claimed]!, end[claimed]!);
  if (isSame) reading.take(claimed);
  else if (draft.isEmpty(ACCESS.ForwardedFor)) reading.setText(ACCESS.ForwardedFor, claimed);
}
