import { createHash } from "node:crypto";
import fs from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { MeshproofError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import {
  DEFAULT_MAX_SERVER_MEMORY_BYTES,
  OLD_LOG_FILES,
  serverConfigXml,
  usersConfigXml,
  type EngineUser,
} from "./engine-config.ts";
import {
  ask,
  engineSecrets,
  findLibrary,
  freePorts,
  guestSecrets,
  lastLines,
  pruneLogs,
  type Answer,
} from "./engine-host.ts";
import { EngineProcess } from "./engine-process.ts";
import { quoteLiteral } from "./sql.ts";

export interface EngineOptions {
  /** ClickHouse's own directory, `<data>/clickhouse`. */
  readonly directory: string;
  /** Where the passwords of the users are kept, `<data>/secrets`. */
  readonly secretsDirectory: string;
  /** ClickHouse's log; what it prints goes beside it, to `<logFile>.stderr`. */
  readonly logFile: string;
  readonly host?: "127.0.0.1";
  /** 0 picks a free one. */
  readonly httpPort: number;
  /** 0 picks a free one. */
  readonly nativePort: number;
  /** The database that the users have rights in. */
  readonly database?: string;
  /** Other programs that may keep tables here: each is a user with a database of its name. */
  readonly guests?: readonly string[];
  readonly maxServerMemoryBytes?: number;
  /** For `verify`: nothing that is stored changes, not even by a merge. */
  readonly readOnly?: boolean;
  readonly logger: Logger;
  /** Called whenever the server has ended without `stop`; it is started again in any case. */
  readonly onExit?: (exit: EngineExit) => void;
  /** How long the server may take until it answers, parts loaded. */
  readonly startTimeoutMs?: number;
  /** How long to wait for a predecessor that still holds the directory or a port: one whose parent was killed a moment ago. */
  readonly lockWaitMs?: number;
}

export interface EngineExit {
  readonly pid: number;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly lastLines: readonly string[];
}

const DEFAULT_DATABASE = "otel";
const DEFAULT_START_TIMEOUT_MS = 60_000;
const DEFAULT_LOCK_WAIT_MS = 10_000;
const LOCK_POLL_MS = 100;
const READY_POLL_MS = 20;
/** Time for statements of writer and admin to end before the server is stopped. */
const STOP_GRACE_MS = 5_000;
const STOP_POLL_MS = 50;
const RESTART_MIN_MS = 100;
const RESTART_MAX_MS = 10_000;
/** A server that ran this long before it ended is started again after the shortest delay. */
const STABLE_MS = 60_000;
const REPORTED_LINES = 12;
const PRUNE_INTERVAL_MS = 60_000;

/** ClickHouse in a child process, with its HTTP and native ports on loopback; started again when it ends, and gone when this process is. */
export class EmbeddedEngine {
  readonly host: string;
  readonly httpPort: number;
  readonly nativePort: number;
  readonly passwords: Readonly<Record<EngineUser, string>>;
  readonly #guestPasswords: ReadonlyMap<string, string>;
  readonly #options: EngineOptions;
  readonly #library: string;
  readonly #stopping = new AbortController();
  /** The newest process, alive or not. */
  #process: EngineProcess | undefined;
  #restartDelayMs = RESTART_MIN_MS;
  #restarting: Promise<void> | undefined;
  #pruning: NodeJS.Timeout | undefined;

  private constructor(
    options: EngineOptions,
    host: string,
    ports: readonly number[],
    passwords: Readonly<Record<EngineUser, string>>,
    guestPasswords: ReadonlyMap<string, string>,
  ) {
    this.#options = options;
    this.#library = findLibrary();
    this.host = host;
    this.httpPort = ports[0]!;
    this.nativePort = ports[1]!;
    this.passwords = passwords;
    this.#guestPasswords = guestPasswords;
  }

  /**
   * The server, once it answers over HTTP.
   * Throws: DIRECTORY_LOCKED when another server holds the directory; ENGINE_FAILED when the optional packages are
   * missing, a port is taken, or it does not start in time: the message then ends with the last lines of its log.
   */
  static async start(options: EngineOptions): Promise<EmbeddedEngine> {
    findLibrary();
    const host = options.host ?? "127.0.0.1";
    const deadline = performance.now() + (options.lockWaitMs ?? DEFAULT_LOCK_WAIT_MS);
    const passwords = await engineSecrets(options.secretsDirectory);
    const guestPasswords = await guestSecrets(options.secretsDirectory, options.guests ?? []);
    for (;;) {
      try {
        const ports = await freePorts(host, [options.httpPort, options.nativePort]);
        const engine = new EmbeddedEngine(options, host, ports, passwords, guestPasswords);
        await engine.#launch();
        engine.#pruning = setInterval(() => void engine.#prune(), PRUNE_INTERVAL_MS).unref();
        return engine;
      } catch (error) {
        const failure = startFailure(error, options, host);
        if (!failure.held || performance.now() > deadline) throw failure.error;
        await sleep(LOCK_POLL_MS);
      }
    }
  }

  /** The server's process ID; undefined while it is down. */
  get pid(): number | undefined {
    return this.#process?.running === true ? this.#process.pid : undefined;
  }

  /** Waits a few seconds for the statements of writer and admin to end, then ends the server. No statement may be sent any more. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    clearInterval(this.#pruning);
    await this.#restarting;
    const process = this.#process;
    if (process === undefined) return;
    const deadline = performance.now() + STOP_GRACE_MS;
    while (process.running && performance.now() < deadline && (await this.#busy()))
      await sleep(STOP_POLL_MS);
    await process.kill();
  }

  async #prune(): Promise<void> {
    await pruneLogs(path.resolve(this.#options.logFile), OLD_LOG_FILES).catch((error: unknown) =>
      this.#options.logger.warn({ error: String(error) }, "old logs of ClickHouse stay"),
    );
  }

  async #busy(): Promise<boolean> {
    try {
      const answer = await this.#ask(
        "admin",
        "SELECT count() > 1 FROM system.processes WHERE user IN ('writer', 'admin')",
      );
      return answer.body.trim() === "1";
    } catch {
      return false;
    }
  }

  #ask(user: EngineUser, statement: string): Promise<Answer> {
    return ask({ host: this.host, port: this.httpPort }, user, this.passwords[user], statement);
  }

  get #configDirectory(): string {
    return path.join(path.resolve(this.#options.directory), "config");
  }

  get #stderrFile(): string {
    return `${path.resolve(this.#options.logFile)}.stderr`;
  }

  async #writeConfiguration(): Promise<void> {
    const { httpPort, nativePort, host } = this;
    const directory = path.resolve(this.#options.directory);
    const logFile = path.resolve(this.#options.logFile);
    const maxServerMemoryBytes =
      this.#options.maxServerMemoryBytes ?? DEFAULT_MAX_SERVER_MEMORY_BYTES;
    const usersFile = path.join(this.#configDirectory, "users.xml");
    const hash = (password: string): string => createHash("sha256").update(password).digest("hex");
    const { writer, reader, admin } = this.passwords;
    const passwordHashes = { writer: hash(writer), reader: hash(reader), admin: hash(admin) };
    const guestPasswordHashes = new Map(
      [...this.#guestPasswords].map(([guest, password]) => [guest, hash(password)]),
    );
    await fs.mkdir(this.#configDirectory, { recursive: true, mode: 0o700 });
    await fs.mkdir(path.dirname(logFile), { recursive: true });
    const server = serverConfigXml({
      directory,
      usersFile,
      logFile,
      host,
      httpPort,
      nativePort,
      maxServerMemoryBytes,
      readOnly: this.#options.readOnly === true,
    });
    const users = usersConfigXml({
      database: this.#options.database ?? DEFAULT_DATABASE,
      passwordHashes,
      guestPasswordHashes,
      maxServerMemoryBytes,
    });
    await fs.writeFile(path.join(this.#configDirectory, "server.xml"), server, { mode: 0o600 });
    await fs.writeFile(usersFile, users, { mode: 0o600 });
  }

  /** Starts a process and waits until it answers; otherwise ends it and throws. */
  async #launch(): Promise<void> {
    const started = performance.now();
    // Each time: a second server that tried this directory has left its own there.
    await this.#writeConfiguration();
    await this.#prune();
    const process = await EngineProcess.spawn(
      this.#library,
      path.join(this.#configDirectory, "server.xml"),
      path.resolve(this.#options.directory),
      this.#stderrFile,
    );
    this.#process = process;
    try {
      await this.#ready(
        process,
        started + (this.#options.startTimeoutMs ?? DEFAULT_START_TIMEOUT_MS),
      );
    } catch (error) {
      await process.kill();
      const lines = [(error as Error).message, ...(await this.#lastLines()), process.ended];
      throw new MeshproofError("ENGINE_FAILED", lines.join("\n").trimEnd(), { cause: error });
    }
    const { pid } = process;
    this.#options.logger.info(
      {
        pid,
        httpPort: this.httpPort,
        nativePort: this.nativePort,
        startMs: Math.round(performance.now() - started),
      },
      "embedded ClickHouse server is up",
    );
    void process.exited.then(({ code, signal }) => this.#exited({ pid, code, signal }, started));
  }

  async #ready(process: EngineProcess, deadline: number): Promise<void> {
    while (performance.now() < deadline && !this.#stopping.signal.aborted) {
      if (!process.running)
        throw new Error("the embedded ClickHouse server ended while it started");
      // Our own password: another server on this port does not know it.
      const answer = await this.#ask("admin", "SELECT 1").catch(() => undefined);
      if (answer?.status === 200 && process.running) return this.#checkFileAccess();
      await sleep(READY_POLL_MS);
    }
    throw new Error(
      `expected the embedded ClickHouse server to answer on ${this.host}:${this.httpPort} in time`,
    );
  }

  /**
   * Fails rather than serve with file() open to every user. engine-child.ts says how it is closed; ClickHouse's own
   * log shows the refusal at each start, with a stack trace.
   */
  async #checkFileAccess(): Promise<void> {
    const file = quoteLiteral(path.join(this.#configDirectory, "users.xml"));
    const answer = await this.#ask("reader", `SELECT length(file(${file}))`);
    if (answer.status === 200)
      throw new Error(
        "expected the SQL function file() to be closed, but it read a file of this host",
      );
  }

  async #exited(exit: Omit<EngineExit, "lastLines">, started: number): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    if (performance.now() - started > STABLE_MS) this.#restartDelayMs = RESTART_MIN_MS;
    this.#restarting = this.#restart();
    const lines = await this.#lastLines();
    this.#options.logger.error(
      { ...exit, lastLines: lines },
      "embedded ClickHouse server ended; it is started again",
    );
    this.#options.onExit?.({ ...exit, lastLines: lines });
  }

  /** What the newest run wrote last, to its log and to its standard streams. */
  async #lastLines(): Promise<string[]> {
    return [
      ...(await lastLines(this.#options.logFile, REPORTED_LINES)),
      ...(await lastLines(this.#stderrFile, REPORTED_LINES)),
    ];
  }

  async #restart(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await sleep(this.#restartDelayMs, undefined, { signal }).catch(() => {});
      this.#restartDelayMs = Math.min(this.#restartDelayMs * 2, RESTART_MAX_MS);
      if (signal.aborted) return;
      try {
        return await this.#launch();
      } catch (error) {
        this.#options.logger.warn(
          { error: (error as Error).message, nextAttemptMs: this.#restartDelayMs },
          "embedded ClickHouse server did not start",
        );
      }
    }
  }
}

/** What a failed start means, and whether another process held the directory or a port, so that it may succeed in a moment. */
function startFailure(
  error: unknown,
  options: EngineOptions,
  host: string,
): { held: boolean; error: unknown } {
  if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") {
    const { port } = error as { port?: number };
    const message = `expected port ${port} on ${host} to be free for the embedded ClickHouse server, but another program listens there: stop it, or choose another port (0 takes a free one)`;
    return { held: true, error: new MeshproofError("ENGINE_FAILED", message, { cause: error }) };
  }
  if (error instanceof MeshproofError && error.message.includes("Cannot lock file")) {
    const message = `${options.directory} is in use by another ClickHouse server: end it, or choose another storage.directory`;
    return { held: true, error: new MeshproofError("DIRECTORY_LOCKED", message, { cause: error }) };
  }
  if (error instanceof MeshproofError) return { held: false, error };
  const message = `expected to start the embedded ClickHouse server, got: ${(error as Error).message}`;
  return { held: false, error: new MeshproofError("ENGINE_FAILED", message, { cause: error }) };
}
