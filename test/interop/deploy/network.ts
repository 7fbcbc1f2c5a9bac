import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { RunningChild } from "../child.ts";
import type { LaneContext } from "../lane.ts";

const SET_UP_TIME_LIMIT_MS = 10_000;
const ASK_TIME_LIMIT_MS = 30_000;
/** RFC 6598, for shared address space: nobody's own. */
const SUBNET = "100.64.77";

/** What a fetch in a network gives back. */
export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** A host of its own: a network namespace, as a pod or a container has one. It ends with the lane. */
export class Host {
  readonly #context: LaneContext;
  readonly #holder: RunningChild;

  private constructor(context: LaneContext, holder: RunningChild) {
    this.#context = context;
    this.#holder = holder;
  }

  static async make(context: LaneContext): Promise<Host> {
    const holder = await context.children.start("unshare", ["--net", "sleep", "infinity"]);
    const host = new Host(context, holder);
    // The namespace is there when the process has become `sleep`.
    for (let tries = 0; tries < 100; tries++) {
      const { stdout } = await context.children.run("readlink", [host.path, "/proc/self/ns/net"], {
        timeLimitMs: SET_UP_TIME_LIMIT_MS,
      });
      const [own, ours] = stdout.trim().split("\n");
      if (own !== ours) break;
      await setTimeout(20);
    }
    await host.inside("ip", ["link", "set", "lo", "up"]);
    return host;
  }

  get pid(): number {
    return this.#holder.pid;
  }

  get path(): string {
    return `/proc/${this.pid}/ns/net`;
  }

  /** Runs a program of this machine in this host's network. Rejects when it fails. */
  async inside(
    program: string,
    args: readonly string[],
    timeLimitMs = SET_UP_TIME_LIMIT_MS,
  ): Promise<string> {
    const { code, stdout, stderr } = await this.#context.children.run(
      "nsenter",
      [`--net=${this.path}`, program, ...args],
      { timeLimitMs },
    );
    if (code !== 0)
      throw new Error(`${program} ${args.join(" ").slice(0, 200)}: ${stderr.slice(-2000)}`);
    return stdout;
  }

  /** A request from within. Rejects when there is no answer. */
  async fetch(
    url: string,
    init: { method?: string; headers?: Record<string, string>; body?: string } = {},
  ): Promise<Answer> {
    const script = `const [url, init] = JSON.parse(process.argv[1]);
      const answer = await fetch(url, { ...init, signal: AbortSignal.timeout(20_000) });
      process.stdout.write(JSON.stringify({ status: answer.status, body: await answer.text() }));`;
    const args = ["--input-type=module", "--eval", script, JSON.stringify([url, init])];
    return JSON.parse(await this.inside(process.execPath, args, ASK_TIME_LIMIT_MS)) as Answer;
  }
}

/** Hosts that reach one another by name, and nothing else: what compose.yaml calls networks, as one. */
export class Network {
  readonly #context: LaneContext;
  readonly #switch: Host;
  readonly #addresses = new Map<string, string>();

  private constructor(context: LaneContext, bridge: Host) {
    this.#context = context;
    this.#switch = bridge;
  }

  static async make(context: LaneContext): Promise<Network> {
    const bridge = await Host.make(context);
    await bridge.inside("ip", ["link", "add", "bridge0", "type", "bridge"]);
    await bridge.inside("ip", ["link", "set", "bridge0", "up"]);
    return new Network(context, bridge);
  }

  /** A host with an address of its own, which the hosts file has from now on. */
  async join(name: string): Promise<Host> {
    const host = await Host.make(this.#context);
    const number = this.#addresses.size + 2;
    const port = `port${number}`;
    await this.#switch.inside("ip", [
      "link",
      "add",
      port,
      "type",
      "veth",
      "peer",
      "name",
      "eth0",
      "netns",
      String(host.pid),
    ]);
    await this.#switch.inside("ip", ["link", "set", port, "master", "bridge0", "up"]);
    await host.inside("ip", ["address", "add", `${SUBNET}.${number}/24`, "dev", "eth0"]);
    await host.inside("ip", ["link", "set", "eth0", "up"]);
    this.#addresses.set(name, `${SUBNET}.${number}`);
    this.#writeHosts();
    return host;
  }

  address(name: string): string {
    return this.#addresses.get(name)!;
  }

  /** The names of all hosts, as /etc/hosts has them; it is written anew when one joins. */
  get hostsFile(): string {
    return join(this.#context.directory, "hosts");
  }

  #writeHosts(): void {
    mkdirSync(this.#context.directory, { recursive: true });
    const lines = [...this.#addresses].map(([name, address]) => `${address} ${name}`);
    writeFileSync(this.hostsFile, `127.0.0.1 localhost\n${lines.join("\n")}\n`);
  }
}
