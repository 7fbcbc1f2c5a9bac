import { existsSync, readFileSync } from "node:fs";
import { type IncomingMessage, request as requestPlain } from "node:http";
import { request as requestTls, type RequestOptions } from "node:https";
import { join } from "node:path";
import type { Config } from "../config/options.ts";
import { formatEndpoint, formatSize } from "../config/values.ts";
import { ERRORS, type ErrorCode, MeshproofError } from "../core/errors.ts";
import { readConfig, type ConfigOption, type Context } from "./context.ts";
import { printable } from "./output.ts";

/** Options of the commands that ask a running server. */
export interface ApiOption extends ConfigOption {
  /** Where the API is; without it, that of the server on the configuration's data directory. */
  readonly api?: string;
  /** File whose first line is the bearer token; without it, MESHPROOF_TOKEN. */
  readonly tokenFile?: string;
  /** PEM file of authorities to trust in place of Node's. */
  readonly ca?: string;
  /** PEM files: a client certificate and its key, for a server that asks for one. */
  readonly clientCert?: string;
  readonly clientKey?: string;
}

export type Query = Readonly<Record<string, string | undefined>>;

/** Longer than the store may take for a query, so that the server's own words arrive first. */
const TIMEOUT_MS = 60_000;
/** Bound of one answer in memory: a whole trace. A list comes in pages. */
const MAX_ANSWER_BYTES = 64 * 2 ** 20;
const VARIABLE = "MESHPROOF_TOKEN";

/**
 * The API that the options name. Nothing is sent yet.
 * Throws: CONFIG_INVALID for options that cannot be right; UNAVAILABLE when no server runs on the data directory.
 */
export function openApi(options: ApiOption, context: Context): ApiClient {
  return new ApiClient({
    url: options.api === undefined ? findApi(readConfig(options, context)) : parseUrl(options.api),
    token: readToken(options.tokenFile, context.env[VARIABLE]),
    tls: {
      ca: readOption("--ca", options.ca),
      cert: readOption("--client-cert", options.clientCert),
      key: readOption("--client-key", options.clientKey),
    },
  });
}

export interface ApiClientOptions {
  /** Ends with a slash; the API's paths stand behind it. */
  readonly url: URL;
  readonly token: string | undefined;
  readonly tls?: Pick<RequestOptions, "ca" | "cert" | "key">;
  readonly timeoutMs?: number;
  readonly maxAnswerBytes?: number;
}

/** Asks the API of a server. Errors that it answers are thrown as they are in the table, with its words. */
export class ApiClient {
  readonly url: URL;
  readonly #options: ApiClientOptions;

  constructor(options: ApiClientOptions) {
    this.url = options.url;
    this.#options = options;
  }

  /**
   * The JSON object at `path`, such as `api/v1/log`. Parameters that are undefined are left out.
   * Throws: what the API answers; UNAVAILABLE when it cannot be reached, is no meshproof, or says too much or nothing.
   */
  async json(path: string, query: Query = {}): Promise<Record<string, unknown>> {
    return this.#object(path, await this.text(path, query));
  }

  /** What a POST of `body` as JSON to `path` is answered. Throws: as `json` does. */
  async post(path: string, body: unknown): Promise<Record<string, unknown>> {
    return this.#object(path, this.#checked(path, await this.#ask(path, {}, JSON.stringify(body))));
  }

  /** The text at `path`. Throws: as `json` does. */
  async text(path: string, query: Query = {}): Promise<string> {
    return this.#checked(path, await this.#ask(path, query));
  }

  #object(path: string, text: string): Record<string, unknown> {
    const answer = parseObject(text);
    if (answer !== undefined) return answer;
    throw this.#unexpected(path, "a JSON object", printable(JSON.stringify(text.slice(0, 40))));
  }

  #checked(path: string, { status, body }: { status: number; body: string }): string {
    if (status === 200 || status === 202) return body;
    const { code, message } = (parseObject(body)?.["error"] ?? {}) as Record<string, unknown>;
    if (typeof code !== "string" || typeof message !== "string")
      throw this.#unexpected(path, "an answer of meshproof's API", `HTTP status ${status}`);
    throw new MeshproofError(knownCode(code, status), this.#describe(message, status));
  }

  #ask(path: string, query: Query, sent?: string): Promise<{ status: number; body: string }> {
    const { token, tls, timeoutMs = TIMEOUT_MS } = this.#options;
    const url = new URL(path, this.url);
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, value);
    const settings: RequestOptions = {
      method: sent === undefined ? "GET" : "POST",
      headers: {
        ...(sent === undefined
          ? {}
          : { "content-type": "application/json", "content-length": Buffer.byteLength(sent) }),
        accept: "application/json, text/plain",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      signal: AbortSignal.timeout(timeoutMs),
    };
    return new Promise((resolve, reject) => {
      const fail = (cause: unknown): void => reject(this.#unreachable(cause, timeoutMs));
      const take = (response: IncomingMessage): void => {
        const chunks: Buffer[] = [];
        const limit = this.#options.maxAnswerBytes ?? MAX_ANSWER_BYTES;
        let length = 0;
        response.on("data", (chunk: Buffer) => {
          length += chunk.length;
          chunks.push(chunk);
          if (length <= limit) return;
          response.destroy();
          reject(this.#unexpected(path, `at most ${formatSize(limit)}`, "more; ask for less"));
        });
        response.on("error", fail);
        response.on("end", () =>
          resolve({
            status: response.statusCode as number,
            body: Buffer.concat(chunks).toString("utf8"),
          }),
        );
      };
      const request =
        url.protocol === "https:"
          ? requestTls(url, { ...settings, ...tls }, take)
          : requestPlain(url, settings, take);
      request.on("error", fail);
      request.end(sent);
    });
  }

  /** The server's words, without the token if it should have repeated it. */
  #describe(message: string, status: number): string {
    const { token } = this.#options;
    const words = printable(token === undefined ? message : message.replaceAll(token, "<token>"));
    return status === 401 && token === undefined
      ? `${words}; ${VARIABLE} or --token-file gives a token`
      : words;
  }

  #unexpected(path: string, expected: string, got: string): MeshproofError {
    const url = new URL(path, this.url).href;
    return new MeshproofError("UNAVAILABLE", `${url}: expected ${expected}, got ${got}`);
  }

  #unreachable(cause: unknown, timeoutMs: number): MeshproofError {
    const { name, code, message } = cause as NodeJS.ErrnoException;
    const reason =
      name === "AbortError" ? `nothing within ${timeoutMs / 1000} s` : (code ?? message);
    return new MeshproofError(
      "UNAVAILABLE",
      `${this.url.href}: expected meshproof's API, got ${reason}; ${hintFor(reason)}`,
      { cause },
    );
  }
}

/** What to do about an error of the connection. An alert is what the server says: it wants a client certificate, or another. */
function hintFor(reason: string): string {
  if (reason.includes("ALERT")) return "--client-cert and --client-key give a client certificate";
  if (reason.includes("ALTNAME")) return "name the server with --api as its certificate does";
  if (/CERT|ISSUER|SIGNATURE/.test(reason))
    return "--ca names the authority that signed its certificate";
  if (reason === "EPROTO" || reason === "ECONNRESET" || reason.startsWith("HPE_"))
    return "is it http:// or https://?";
  return "is the server running (meshproof serve)? --api names another";
}

/** The code that the server says, if it is one of ours for this status; else the plainest one for the status. */
function knownCode(code: string, status: number): ErrorCode {
  if (Object.hasOwn(ERRORS, code) && ERRORS[code as ErrorCode].http === status)
    return code as ErrorCode;
  return STATUS_CODES[status] ?? "UNAVAILABLE";
}

const STATUS_CODES: Readonly<Record<number, ErrorCode>> = {
  400: "BAD_REQUEST",
  401: "UNAUTHENTICATED",
  403: "FORBIDDEN",
  404: "NOT_FOUND",
};

/** The API of the server that runs on the configuration's data directory. Throws: UNAVAILABLE when none does. */
function findApi(config: Config): URL {
  const { endpoint, tls } = config.extensions.api;
  const path = join(config.storage.directory, "ports.json");
  if (!existsSync(path))
    throw new MeshproofError(
      "UNAVAILABLE",
      `${path}: expected the ports of a running server, found no file; start one with meshproof serve, or name one with --api URL or --config FILE`,
    );
  const port = parseObject(readFileSync(path, "utf8"))?.["api"];
  if (typeof port !== "number")
    throw new MeshproofError("UNAVAILABLE", `${path}: expected the port of the API, got none`);
  const host = { "0.0.0.0": "127.0.0.1", "::": "::1" }[endpoint.host] ?? endpoint.host;
  return parseUrl(`http${tls === undefined ? "" : "s"}://${formatEndpoint({ host, port })}`);
}

/** Throws: CONFIG_INVALID, without repeating a password that stands in the URL. */
function parseUrl(text: string): URL {
  const url = URL.parse(text);
  const isApi =
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    url.username + url.password + url.search + url.hash === "";
  if (!isApi)
    throw new MeshproofError(
      "CONFIG_INVALID",
      `--api: expected the URL of a server, such as https://mesh.example:8320, without user, query and fragment`,
    );
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}

/** Throws: CONFIG_INVALID for what cannot be a token. It is not repeated: someone may have pasted something else that is secret. */
function readToken(file: string | undefined, variable: string | undefined): string | undefined {
  const text = file === undefined ? variable : readOption("--token-file", file)?.toString("utf8");
  const token = text?.split("\n", 1)[0]?.trim();
  if (token === undefined || (token === "" && file === undefined)) return undefined;
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new MeshproofError(
    "CONFIG_INVALID",
    `${file ?? VARIABLE}: expected a token of printable ASCII characters, got something else`,
  );
}

function readOption(option: string, file: string | undefined): Buffer | undefined {
  if (file === undefined) return undefined;
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new MeshproofError(
      "CONFIG_INVALID",
      `${option} ${file}: expected a file, got ${(cause as NodeJS.ErrnoException).code}`,
      { cause },
    );
  }
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
