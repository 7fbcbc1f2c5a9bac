import { createHash, type KeyObject } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { CheckpointSigner } from "../../src/tlog/checkpoint.ts";
import { openCheckpoint } from "../../src/tlog/checkpoint.ts";
import { createCosigner } from "../../src/tlog/cosigner.ts";
import { type VerifierKey, parseNote, signNote } from "../../src/tlog/note.ts";
import { checkConsistency } from "../../src/tlog/prove.ts";

export interface FakeWitnessOptions {
  readonly name: string;
  readonly privateKey: KeyObject;
  readonly origin: string;
  readonly logKeys: readonly VerifierKey[];
  now?(): bigint;
}

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly body: string;
  readonly status: number;
}

/** A witness that does what C2SP tlog-witness says, in the order in which it says it, until a test tells it to misbehave. */
export class FakeWitness {
  readonly cosigner: CheckpointSigner;
  readonly requests: SeenRequest[] = [];
  /** Answers in place of the witness; returns false to leave the request to it. */
  misbehave: ((request: IncomingMessage, response: ServerResponse) => boolean) | null = null;
  /** What it has cosigned last. */
  size = 0;
  root: Uint8Array = createHash("sha256").digest();
  note = "";
  readonly #options: FakeWitnessOptions;
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  private constructor(options: FakeWitnessOptions) {
    this.#options = options;
    const { name, privateKey, now = () => BigInt(Math.floor(Date.now() / 1000)) } = options;
    this.cosigner = createCosigner({ name, privateKey, now });
  }

  static async start(options: FakeWitnessOptions): Promise<FakeWitness> {
    const witness = new FakeWitness(options);
    await new Promise<void>((resolve) => witness.#server.listen(0, "127.0.0.1", resolve));
    return witness;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.misbehave?.(request, response) === true) return;
    const body = await text(request);
    const [status, type, answer] = await this.#answer(request, body);
    this.requests.push({ method: request.method!, path: request.url!, body, status });
    response.writeHead(status, { "content-type": type }).end(answer);
  }

  async #answer(request: IncomingMessage, body: string): Promise<[number, string, string]> {
    const plain = "text/plain; charset=utf-8";
    const { origin, logKeys } = this.#options;
    const hash = createHash("sha256").update(origin).digest("hex");
    if (request.method === "GET" && request.url === `/${hash}/checkpoint` && this.note !== "")
      return [200, plain, this.note];
    if (request.method !== "POST" || request.url !== "/add-checkpoint")
      return [404, plain, "nothing here\n"];
    const split = body.indexOf("\n\n");
    const [old, ...lines] = body.slice(0, split).split("\n");
    const oldSize = /^old (0|[1-9][0-9]*)$/.exec(old ?? "")?.[1];
    if (split < 0 || oldSize === undefined || lines.length > 63) return [400, plain, "what?\n"];
    const note = body.slice(split + 2);
    if (parseNote(note).text.split("\n")[0] !== origin) return [404, plain, "unknown log\n"];
    let checkpoint;
    try {
      checkpoint = openCheckpoint(note, origin, logKeys);
    } catch {
      return [403, plain, "unknown key\n"];
    }
    const { size, root } = checkpoint;
    if (Number(oldSize) > size) return [400, plain, "old size is larger\n"];
    if (Number(oldSize) !== this.size) return [409, "text/x.tlog.size", `${this.size}\n`];
    const proof = lines.map((line) => Buffer.from(line, "base64"));
    try {
      if (this.size === 0) {
        if (proof.length > 0) throw new Error("a proof from the empty tree");
      } else {
        checkConsistency(proof, this.size, this.root, size, root);
      }
    } catch (error) {
      return [422, plain, `${(error as Error).message}\n`];
    }
    this.size = size;
    this.root = root;
    const cosigned = await signNote(parseNote(note).text, [this.cosigner]);
    const signatures = cosigned.slice(cosigned.lastIndexOf("\n\n") + 2);
    this.note = note + signatures;
    return [200, plain, signatures];
  }
}
