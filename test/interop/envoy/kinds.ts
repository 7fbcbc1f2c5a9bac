import type { Login } from "./certificates.ts";
import type { Columns } from "./expected.ts";

/** How a call is made: through the client's proxy, past it, or without what the server's proxy asks for. */
export type Way =
  | "http"
  | "leaving"
  | "grpc"
  | "tcp"
  | "mallory"
  | "tcp-mallory"
  | "no-certificate"
  | "forged-certificate"
  | "plain-text"
  | "no-http";

/** One kind of call: how it is made, and every access record that must come of it. */
export interface KindOfCall {
  readonly name: string;
  readonly count: number;
  readonly by: Way;
  readonly method?: string;
  /** `{n}` is the number of the call, `{size}` a number of bytes that differs from call to call. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly token?: (login: Login) => string;
  readonly body?: true;
  /** The status that the client must see; 0 when there is none. */
  readonly status: number;
  /** What the client's proxy must have logged, at the end of the stream. */
  readonly outbound: readonly Columns[];
  /** What the server's proxy must have logged, in the order of the attempts. */
  readonly inbound: readonly Columns[];
  /** Records with the phase `periodic` that each of the two must have logged beside those, at least. */
  readonly periodic?: number;
  /** What takes the place of this kind when the client sees another status. */
  readonly otherwise?: Pick<KindOfCall, "status" | "outbound" | "inbound">;
}
