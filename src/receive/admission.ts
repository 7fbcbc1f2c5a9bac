import { MeshproofError } from "../core/errors.ts";

export interface AdmissionOptions {
  /** Bytes of bodies in flight, as sent and inflated, over all requests. */
  readonly maxBytes: number;
  /** How long one request may wait for room, in all, before it is answered 429. */
  readonly timeoutMs: number;
}

interface Waiter {
  readonly reservation: Reservation;
  readonly bytes: number;
  readonly admit: () => void;
  readonly refuse: () => void;
}

/**
 * The bound on bodies in memory. A request reserves bytes before it holds them and gives them back with its answer.
 * When there is no room it waits in line, without reading on, and is refused with OVERLOADED when `timeoutMs` have passed:
 * Envoy's exporter never sends again, so a short wait saves what a refusal would lose.
 * First come, first served; but requests that hold bytes already go before those at the door, for they alone can free some.
 * Alone, a request may go beyond `maxBytes`, else a body between that and the largest allowed could never be taken.
 */
export class Admission {
  readonly maxBytes: number;
  readonly timeoutMs: number;
  #bytes = 0;
  readonly #growing: Waiter[] = [];
  readonly #entering: Waiter[] = [];

  constructor(options: AdmissionOptions) {
    this.maxBytes = options.maxBytes;
    this.timeoutMs = options.timeoutMs;
  }

  /** Bytes reserved now. */
  get bytesInFlight(): number {
    return this.#bytes;
  }

  /** Requests that wait for room now. */
  get waiting(): number {
    return this.#growing.length + this.#entering.length;
  }

  /** A reservation of no bytes yet. */
  open(): Reservation {
    return new Reservation(this);
  }

  /** Takes or gives back the difference at once when there is room; otherwise queues. Only for Reservation. */
  change(reservation: Reservation, bytes: number, budgetMs: number): Promise<number> | undefined {
    if (bytes <= reservation.bytes || (this.waiting === 0 && this.#fits(reservation, bytes))) {
      this.#take(reservation, bytes);
      return undefined;
    }
    return this.#wait(reservation, bytes, budgetMs);
  }

  /** Gives everything back; one that still waits is refused. Only for Reservation. */
  release(reservation: Reservation): void {
    for (const queue of [this.#growing, this.#entering])
      queue.find((waiter) => waiter.reservation === reservation)?.refuse();
    this.#take(reservation, 0);
  }

  #fits(reservation: Reservation, bytes: number): boolean {
    const others = this.#bytes - reservation.bytes;
    return others === 0 || others + bytes <= this.maxBytes;
  }

  #take(reservation: Reservation, bytes: number): void {
    const freed = bytes < reservation.bytes;
    this.#bytes += bytes - reservation.bytes;
    reservation.bytes = bytes;
    if (freed) this.#admitWaiting();
  }

  #admitWaiting(): void {
    for (const queue of [this.#growing, this.#entering]) {
      for (let next = queue[0]; next !== undefined; next = queue[0]) {
        if (!this.#fits(next.reservation, next.bytes)) return;
        queue.shift();
        this.#take(next.reservation, next.bytes);
        next.admit();
      }
    }
  }

  #wait(reservation: Reservation, bytes: number, budgetMs: number): Promise<number> {
    const queue = reservation.bytes > 0 ? this.#growing : this.#entering;
    const since = performance.now();
    return new Promise((resolve, reject) => {
      const refuse = () => {
        clearTimeout(timer);
        queue.splice(queue.indexOf(waiter), 1);
        reject(
          new MeshproofError(
            "OVERLOADED",
            `expected at most ${this.maxBytes} bytes in flight, got ${this.#bytes} and a request for ${bytes - reservation.bytes} more that waited ${this.timeoutMs} ms`,
          ),
        );
        this.#admitWaiting(); // a smaller request may have stood behind this one
      };
      const timer = setTimeout(refuse, budgetMs);
      const admit = () => {
        clearTimeout(timer);
        resolve(performance.now() - since);
      };
      const waiter: Waiter = { reservation, bytes, admit, refuse };
      queue.push(waiter);
      this.#admitWaiting(); // one that holds bytes may pass those at the door
    });
  }
}

/** What one request holds of the bound. Not for use by two callers at once. */
export class Reservation {
  /** Written by Admission alone. */
  bytes = 0;
  readonly #admission: Admission;
  #budgetMs: number;

  constructor(admission: Admission) {
    this.#admission = admission;
    this.#budgetMs = admission.timeoutMs;
  }

  /**
   * Holds `bytes` from now on: undefined when that is so at once, else a promise to wait for.
   * Throws: OVERLOADED, in the promise; the reservation then holds what it held.
   */
  resize(bytes: number): Promise<void> | undefined {
    const waiting = this.#admission.change(this, bytes, this.#budgetMs);
    return waiting?.then((waitedMs) => {
      this.#budgetMs = Math.max(0, this.#budgetMs - waitedMs);
    });
  }

  /** Gives everything back, also when a `resize` is still waiting: its sender has gone away. */
  release(): void {
    this.#admission.release(this);
  }
}
