import assert from "node:assert/strict";
import { chmodSync, chownSync, mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { LaneContext } from "../lane.ts";
import { Container, type ContainerOptions, type Mount } from "./container.ts";
import type { Image } from "./image.ts";
import type { Answer, Host } from "./network.ts";

const HERE = import.meta.dirname;
export const ROOT = resolve(HERE, "../../..");
const START_TIME_LIMIT_MS = 90_000;
const STORE_TIME_LIMIT_MS = 60_000;

/** Makes the secrets of compose.yaml as its users do, below the lane's directory. Returns where. */
export async function makeSecrets({ children, directory }: LaneContext): Promise<string> {
  const place = join(directory, "docker");
  mkdirSync(place);
  // The script works beside itself.
  const { code, stderr } = await children.run(
    "sh",
    ["-c", `cp ${ROOT}/docker/secrets.sh ${place} && ${place}/secrets.sh`],
    { timeLimitMs: 60_000 },
  );
  assert.equal(code, 0, stderr);
  return join(place, "secrets");
}

/** A directory that belongs to a user, as a volume does in which an image's directory was copied. The same one for the same name. */
export function makeVolume(
  { directory }: LaneContext,
  name: string,
  uid: number,
  mode = 0o700,
): string {
  const place = join(directory, `volume-${name}`);
  mkdirSync(place, { recursive: true });
  chownSync(place, uid, uid);
  chmodSync(place, mode);
  return place;
}

/** The mounts, user and program of a ClickHouse as compose.yaml has it, but for the program: the embedded engine in the place of clickhouse-server. */
export function asEngine(image: Image, options: Omit<ContainerOptions, "image">): ContainerOptions {
  const own: Mount[] = [
    { source: join(HERE, "engine.mjs"), target: "/run/engine.mjs" },
    { source: join(HERE, "engine-users.xml"), target: "/etc/meshproof/users.d/engine.xml" },
  ];
  const [, configFile] = options.entrypoint ?? [];
  return {
    ...options,
    image,
    entrypoint: ["node", "/run/engine.mjs", configFile!],
    mounts: [...(options.mounts ?? []), ...own],
  };
}

/** A meshproof in a container, and what is asked of it. */
export class Meshproof {
  readonly container: Container;
  readonly #host: Host;
  readonly #secrets: string;
  readonly #image: Image;
  readonly #configs: readonly string[];

  /** `configs` are the arguments by which it finds its configuration. */
  constructor(
    container: Container,
    { host, image }: ContainerOptions,
    secrets: string,
    configs: readonly string[] = ["--config", "/app/config/docker.yaml"],
  ) {
    this.container = container;
    this.#host = host;
    this.#image = image;
    this.#secrets = secrets;
    this.#configs = configs;
  }

  static async start(
    context: LaneContext,
    options: ContainerOptions,
    secrets: string,
    configs?: readonly string[],
  ): Promise<Meshproof> {
    return new Meshproof(await Container.start(context, options), options, secrets, configs);
  }

  /** Runs the image's health check as an engine does. */
  async isHealthy(): Promise<boolean> {
    return (await this.container.exec(this.#image.config.healthCheck)).code === 0;
  }

  untilHealthy(): Promise<void> {
    return this.container.until(() => this.isHealthy(), START_TIME_LIMIT_MS);
  }

  get(port: number, path: string, token?: string): Promise<Answer> {
    return this.#host.fetch(`http://127.0.0.1:${port}${path}`, {
      headers: this.#authorization(token),
    });
  }

  /** Sends one access record, whose path says which. */
  send(path: string, token?: string): Promise<Answer> {
    const said = {
      method: "GET",
      path,
      response_code: "200",
      response_flags: "-",
      duration: "3",
      upstream_cluster: "inbound|8080||",
    };
    const attribute = ([key, stringValue]: [string, string]): object => ({
      key,
      value: { stringValue },
    });
    const log = {
      timeUnixNano: `${BigInt(Date.now()) * 1_000_000n}`,
      attributes: Object.entries(said).map(attribute),
    };
    const resource = { attributes: [attribute(["log_name", "otel_envoy_accesslog"])] };
    return this.#host.fetch("http://127.0.0.1:4318/v1/logs", {
      method: "POST",
      headers: { "content-type": "application/json", ...this.#authorization(token) },
      body: JSON.stringify({ resourceLogs: [{ resource, scopeLogs: [{ logRecords: [log] }] }] }),
    });
  }

  /** Waits until the API shows the record, read from ClickHouse. */
  async untilStored(path: string): Promise<void> {
    const deadline = Date.now() + STORE_TIME_LIMIT_MS;
    for (;;) {
      const answer = await this.get(
        8320,
        `/api/v1/access-records?path=${encodeURIComponent(path)}`,
        "auditor",
      );
      if (
        answer.status === 200 &&
        (JSON.parse(answer.body) as { records: unknown[] }).records.length === 1
      )
        return;
      if (Date.now() > deadline)
        throw new Error(
          `${path} did not come to ClickHouse: ${answer.status} ${answer.body.slice(0, 300)}\n${this.container.output.slice(-1500)}`,
        );
      await setTimeout(300);
    }
  }

  /** `meshproof verify` in the container. Returns the tree's size. */
  async verify(): Promise<number> {
    const { code, stdout, stderr } = await this.container.exec([
      "meshproof",
      "verify",
      "--json",
      ...this.#configs,
    ]);
    assert.equal(code, 0, stdout + stderr);
    const { integrity, treeSize } = JSON.parse(stdout) as { integrity: string; treeSize: string };
    assert.equal(integrity, "ok");
    return Number(treeSize);
  }

  #authorization(token: string | undefined): Record<string, string> {
    if (token === undefined) return {};
    const secret = readFileSync(join(this.#secrets, `token-${token}`), "utf8");
    return { authorization: `Bearer ${secret}` };
  }
}
