import { randomBytes } from "node:crypto";
import fs from "node:fs/promises";
import { request } from "node:http";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import path from "node:path";
import { stripVTControlCharacters } from "node:util";
import { MeshproofError } from "../core/errors.ts";
import { ENGINE_USERS, type EngineUser } from "./engine-config.ts";

/**
 * Path of libchdb, the library that holds the ClickHouse server.
 * Throws: ENGINE_FAILED when it or ffi-rs is not installed, or does not exist for this platform.
 */
export function findLibrary(
  platform: string = process.platform,
  architecture: string = process.arch,
): string {
  const instead = "or name a ClickHouse server in exporters.clickhouse.endpoint";
  const name = {
    linux: `@chdb/lib-linux-${architecture}-gnu`,
    darwin: `@chdb/lib-darwin-${architecture}`,
  }[platform];
  if (name === undefined || (architecture !== "x64" && architecture !== "arm64")) {
    throw new MeshproofError(
      "ENGINE_FAILED",
      `the embedded ClickHouse server exists for Linux and macOS on x64 and arm64, this is ${platform} on ${architecture}: ${instead.slice(3)}`,
    );
  }
  const { resolve } = createRequire(import.meta.url);
  try {
    resolve("ffi-rs");
    return path.join(path.dirname(resolve(`${name}/package.json`)), "libchdb.so");
  } catch (cause) {
    throw new MeshproofError(
      "ENGINE_FAILED",
      `the embedded ClickHouse server needs the optional packages ${name} and ffi-rs, which are not both installed: run "npm install ${name} ffi-rs", ${instead}`,
      { cause },
    );
  }
}

const PASSWORD_BYTES = 32;

/**
 * The password of each user, from `<directory>/clickhouse-<user>`; made when it is not there.
 * The files have mode 0600 and are durable when it resolves.
 */
export async function engineSecrets(
  directory: string,
): Promise<Readonly<Record<EngineUser, string>>> {
  await fs.mkdir(directory, { recursive: true, mode: 0o700 });
  const secrets: Partial<Record<EngineUser, string>> = {};
  for (const user of ENGINE_USERS)
    secrets[user] = await secret(path.join(directory, `clickhouse-${user}`));
  return secrets as Record<EngineUser, string>;
}

/** As `engineSecrets`, for users of other programs. */
export async function guestSecrets(
  directory: string,
  guests: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const secrets = new Map<string, string>();
  for (const guest of guests)
    secrets.set(guest, await secret(path.join(directory, `clickhouse-${guest}`)));
  return secrets;
}

async function secret(file: string): Promise<string> {
  const handle = await fs.open(file, "a+", 0o600);
  try {
    await handle.chmod(0o600);
    const known = (await handle.readFile("utf8")).trim();
    // Empty: a crash came between making and writing it, so no server has ever used it.
    if (known !== "") return known;
    const made = randomBytes(PASSWORD_BYTES).toString("base64url");
    await handle.appendFile(`${made}\n`);
    await handle.sync();
    return made;
  } finally {
    await handle.close();
  }
}

/**
 * The ports themselves, where they are free; for 0, a free one.
 * Throws: the error of listen(2), EADDRINUSE when one is taken.
 */
export async function freePorts(host: string, ports: readonly number[]): Promise<number[]> {
  const servers = ports.map(() => createServer());
  try {
    const found: number[] = [];
    for (const [index, server] of servers.entries()) {
      await new Promise<void>((resolve, reject) =>
        server.once("error", reject).listen(ports[index], host, resolve),
      );
      found.push((server.address() as { port: number }).port);
    }
    return found;
  } finally {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

/**
 * Removes the rotated files of a log (`<logFile>.<n>`, `<logFile>.<n>.gz`; 0 is the newest) but for the newest `keep`.
 * ClickHouse rotates, but cannot clear up after itself: that asks for the working directory, which it has not.
 */
export async function pruneLogs(logFile: string, keep: number): Promise<void> {
  const directory = path.dirname(logFile);
  for (const name of await fs.readdir(directory)) {
    if (!name.startsWith(`${path.basename(logFile)}.`)) continue;
    const number = /^\.(\d+)(?:\.gz)?$/.exec(name.slice(path.basename(logFile).length))?.[1];
    if (number !== undefined && Number(number) >= keep)
      await fs.rm(path.join(directory, name), { force: true });
  }
}

const TAIL_BYTES = 16 * 1024;

/** The last lines of a log file, without stack frames and control characters; none when there is no file. */
export async function lastLines(file: string, count: number): Promise<string[]> {
  let handle: fs.FileHandle | undefined;
  try {
    handle = await fs.open(file);
    const { size } = await handle.stat();
    const { buffer, bytesRead } = await handle.read(
      Buffer.alloc(TAIL_BYTES),
      0,
      TAIL_BYTES,
      Math.max(0, size - TAIL_BYTES),
    );
    const lines = stripVTControlCharacters(buffer.toString("utf8", 0, bytesRead)).split(/[\r\n]+/);
    return lines.filter((line) => line.trim() !== "" && !/^\d+\. /.test(line)).slice(-count);
  } catch {
    return [];
  } finally {
    await handle?.close();
  }
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

const ASK_TIMEOUT_MS = 5_000;

/** ClickHouse's answer to one statement over HTTP, on a connection of its own. */
export function ask(
  server: { host: string; port: number },
  user: string,
  password: string,
  statement: string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { "x-clickhouse-user": user, "x-clickhouse-key": password };
    const outgoing = request(
      { ...server, method: "POST", path: "/", headers, agent: false, timeout: ASK_TIMEOUT_MS },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.on("error", reject);
        incoming.on("end", () =>
          resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
        );
      },
    );
    outgoing.on("timeout", () =>
      outgoing.destroy(
        new Error(`no answer from ${server.host}:${server.port} within ${ASK_TIMEOUT_MS} ms`),
      ),
    );
    outgoing.on("error", reject);
    outgoing.end(statement);
  });
}
