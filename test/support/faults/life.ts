import { AsyncLocalStorage } from "node:async_hooks";
import { type DurableStep, durableSteps } from "../../../src/core/durable-steps.ts";
import { type Disk, systemError } from "./disk.ts";

/** What changes something that outlives the process. */
export type OperationKind =
  | "create"
  | "write"
  | "sync"
  | "syncDirectory"
  | "rename"
  | "link"
  | "unlink"
  | "truncate"
  | "mkdir"
  | "rmdir"
  | "insert";

export interface Operation {
  readonly number: number;
  readonly kind: OperationKind;
  /** Below the disk's root; the table of an insert. */
  readonly path: string;
  /** The step of the durable path that it belongs to; none for those of a start. */
  readonly step: DurableStep | undefined;
}

/** What happens to an operation: the process ends before it, with it half done, or behind it; or it fails, half done where it can be. */
export type Fate = "before" | "within" | "after" | { readonly code: string };

/** No operation has any effect any more: the process is dead, and only this test's copy of it does not know yet. */
export class Stopped extends Error {}

const lives = new AsyncLocalStorage<Life>();
const steps = new AsyncLocalStorage<DurableStep>();
durableSteps.start.bindStore(steps, ({ step }) => {
  lives.getStore()?.seenSteps.add(step);
  return step;
});

/** One life of the process, from a start to its end: everything that it does to the world passes through `perform`. */
export class Life {
  readonly disk: Disk;
  readonly #fateOf: (operation: Operation) => Fate | undefined;
  operations = 0;
  isStopped = false;
  /** Where it was stopped. */
  stoppedAt: (Operation & { readonly fate: Fate }) | undefined;
  readonly #end = Promise.withResolvers<void>();
  /** Steps in the order in which they were first seen. */
  readonly seenSteps = new Set<DurableStep>();

  constructor(disk: Disk, fateOf: (operation: Operation) => Fate | undefined = () => undefined) {
    this.disk = disk;
    this.#fateOf = fateOf;
  }

  /** The life that the caller belongs to. */
  static get current(): Life {
    const life = lives.getStore();
    if (life === undefined) throw new Error("outside of a life");
    return life;
  }

  /** Resolves when it is stopped. */
  get ended(): Promise<void> {
    return this.#end.promise;
  }

  run<T>(act: () => Promise<T>): Promise<T> {
    return lives.run(this, act);
  }

  /** Reading does no harm, but a dead process does not read. */
  checkAlive(): void {
    if (this.isStopped) throw new Stopped("the process is dead");
  }

  /** Does `act` to the world, or half of it, or nothing, as this life's plan says. */
  perform<T>(kind: OperationKind, path: string, act: () => T, actHalf: () => void = () => {}): T {
    this.checkAlive();
    const step = steps.getStore();
    const operation: Operation = {
      number: this.operations++,
      kind,
      path: path.replace(`${this.disk.root}/`, ""),
      step,
    };
    const fate = this.#fateOf(operation);
    if (fate === undefined) return act();
    if (typeof fate === "object") {
      actHalf();
      throw systemError(fate.code, SYSCALLS[kind], path);
    }
    if (fate === "within") actHalf();
    if (fate === "after") act();
    this.isStopped = true;
    this.stoppedAt = { ...operation, fate };
    this.#end.resolve();
    throw new Stopped(`stopped ${fate} ${kind} ${operation.path}`);
  }
}

/** The names that node:fs gives in `syscall`. */
const SYSCALLS: Readonly<Record<OperationKind, string>> = {
  create: "open",
  write: "write",
  sync: "fdatasync",
  syncDirectory: "fsync",
  rename: "rename",
  link: "link",
  unlink: "unlink",
  truncate: "ftruncate",
  mkdir: "mkdir",
  rmdir: "rmdir",
  insert: "insert",
};
