/** No request is on its way for so long: a time of receipt further back means that the clock was set back. */
const SET_BACK_MS = 60_000;

/**
 * Time as the log tells it, in milliseconds: it follows the times at which records were received, in the order of the log, and never goes back.
 * It stands still while the server is down, since nothing can be received then, and when the machine's clock is set back.
 * It depends on nothing but the log, so that a log that is read again gives the same times.
 */
export class LogClock {
  nowMs = -Infinity;
  /** What is to be added to the machine's time. */
  #offsetMs = 0;

  /** A record of the log was received at `receivedMs`. */
  observe(receivedMs: number): void {
    const time = receivedMs + this.#offsetMs;
    if (time > this.nowMs) this.nowMs = time;
    else if (time < this.nowMs - SET_BACK_MS) this.goOn(receivedMs);
  }

  /** The server started at `startMs`: from here on the clock goes on from where it stood. */
  goOn(startMs: number): void {
    if (this.nowMs === -Infinity) this.nowMs = startMs;
    this.#offsetMs = this.nowMs - startMs;
  }

  /** It is `wallMs`, though nothing was received. */
  advance(wallMs: number): void {
    this.nowMs = Math.max(this.nowMs, wallMs + this.#offsetMs);
  }
}
