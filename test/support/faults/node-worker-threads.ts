import { EventEmitter } from "node:events";

/**
 * `node:worker_threads` as the durable path sees it in a test: the worker's own code, loaded anew for each, in this thread, so that its
 * operations have a number among the others. See hooks.ts.
 */

/** What a worker finds of itself, by the number in the URL of its module. */
export const threads = new Map<
  string,
  { readonly parentPort: Port; readonly workerData: unknown }
>();
let lastThread = 0;

class Port extends EventEmitter {
  readonly #answer: (message: unknown) => void;

  constructor(answer: (message: unknown) => void) {
    super();
    this.#answer = answer;
  }

  postMessage(message: unknown): void {
    setImmediate(() => this.#answer(message));
  }
}

export class Worker extends EventEmitter {
  readonly #port = new Port((message) => this.emit("message", message));
  readonly #loaded: Promise<unknown>;

  constructor(url: URL, { workerData }: { readonly workerData: unknown }) {
    super();
    const thread = String(++lastThread);
    threads.set(thread, { parentPort: this.#port, workerData });
    this.#loaded = import(`${url.href}?thread=${thread}`);
  }

  postMessage(message: unknown): void {
    void this.#loaded.then(() => setImmediate(() => this.#port.emit("message", message)));
  }

  async terminate(): Promise<void> {
    this.#port.removeAllListeners();
  }

  ref(): void {}
  unref(): void {}
}
