import assert from "node:assert/strict";
import { join } from "node:path";
import type { LaneContext } from "../lane.ts";
import { Container, type ContainerOptions } from "./container.ts";
import { type Image, ImageBuilder } from "./image.ts";
import { Host } from "./network.ts";
import { asEngine, makeVolume, Meshproof, ROOT } from "./stack.ts";

/** What compose and Kubernetes give a server to end itself. */
const GRACE_MS = 60_000;

export interface Images {
  readonly remote: Image;
  readonly embedded: Image;
}

/** Builds both images by the steps of docker/Dockerfile. */
export async function buildImages(context: LaneContext): Promise<Images> {
  const builder = new ImageBuilder(context, "docker/Dockerfile");
  context.note("building both images by the steps of docker/Dockerfile");
  const images = {
    remote: await builder.build("remote"),
    embedded: await builder.build("embedded"),
  };
  await context.check(
    "the images hold what runs, and no package manager, no source, no package for development",
    async () => {
      const host = await Host.make(context);
      const sizes: string[] = [];
      for (const [name, image] of Object.entries(images)) {
        const container = await Container.start(context, {
          name: `look-${name}`,
          image,
          host,
          entrypoint: ["sleep"],
          command: ["600"],
        });
        await container.until(async () => (await container.exec(["true"])).code === 0, 20_000);
        const list = async (path: string): Promise<string[]> =>
          (await container.exec(["ls", path])).stdout.trim().split("\n");
        assert.deepEqual(
          (await list("/usr/local/bin")).filter((one) =>
            /^(?:npm|npx|yarn|corepack|node|meshproof)/.test(one),
          ),
          ["meshproof", "node"],
        );
        assert.deepEqual(await list("/app"), [
          "bin",
          "config",
          "dist",
          "node_modules",
          "package.json",
        ]);
        const packages = await list("/app/node_modules");
        for (const developed of ["typescript", "tap", "oxlint", "fast-check", "node"])
          assert.ok(!packages.includes(developed), developed);
        assert.equal(packages.includes("ffi-rs"), name === "embedded");
        const { stdout } = await container.exec(["du", "--summarize", "--block-size=1M", "/app"]);
        sizes.push(`${name} ${Number.parseInt(stdout, 10)} MB on top of Debian and Node`);
        await container.kill(); // process 1 hears no signal that it has not asked for
      }
      return sizes.join(", ");
    },
  );
  return images;
}

/** Starts the image with the engine on an empty volume, uses it, stops it, and starts it again. */
export async function checkEmbedded(
  context: LaneContext,
  { embedded: image }: Images,
  secrets: string,
): Promise<void> {
  const options: ContainerOptions = {
    name: "embedded",
    image,
    host: await Host.make(context),
    tmpfs: ["/tmp"],
    mounts: [
      { source: makeVolume(context, "embedded", 10001), target: "/data", isWritable: true },
      { source: join(secrets, "meshproof-tokens"), target: "/run/secrets/meshproof-tokens" },
    ],
  };
  let server = await Meshproof.start(context, options, secrets);
  await context.check(
    "the image with the engine becomes healthy by its own health check: read-only, another user, no capability",
    async () => {
      await server.untilHealthy();
      const { stdout } = await server.container.exec(["cat", "/proc/1/status"]);
      for (const line of [
        "Uid:\t10001\t10001\t10001\t10001",
        "Gid:\t10001\t10001\t10001\t10001",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
      ])
        assert.ok(stdout.includes(line), `${line} in\n${stdout}`);
      for (const place of ["/app/x", "/etc/x", "/run/x", "/usr/local/bin/x"]) {
        const { code, stderr } = await server.container.exec(["touch", place]);
        assert.notEqual(code, 0, place);
        assert.match(stderr, /Read-only file system|Permission denied/, place);
      }
    },
  );
  await context.check(
    "it takes records from who shows a token, stores them and verifies",
    async () => {
      assert.equal((await server.send("/without-token")).status, 401);
      assert.equal((await server.get(8320, "/api/v1/access-records")).status, 401);
      assert.equal((await server.send("/embedded", "collector")).status, 200);
      await server.untilStored("/embedded");
      return `${await server.verify()} records`;
    },
  );
  await context.check(
    "SIGTERM to process 1 ends it with exit code 0; the next container on the volume has all",
    async () => {
      const since = performance.now();
      assert.equal((await server.send("/last", "collector")).status, 200);
      assert.equal(await server.container.stop(), 0, server.container.output.slice(-2000));
      const seconds = (performance.now() - since) / 1000;
      server = await Meshproof.start(context, { ...options, name: "embedded-again" }, secrets);
      await server.untilHealthy();
      await server.untilStored("/last");
      await server.verify();
      assert.equal(await server.container.stop(), 0);
      return `${seconds.toFixed(1)} s`;
    },
  );
}

/** Starts the image without the engine: unconfigured, with ClickHouse away, with it there, and stopped with it away again. */
export async function checkRemote(
  context: LaneContext,
  { remote: image, embedded }: Images,
  secrets: string,
): Promise<void> {
  const host = await Host.make(context);
  const secret = (name: string) => ({
    source: join(secrets, name),
    target: `/run/secrets/${name}`,
  });
  const options: ContainerOptions = {
    name: "remote",
    image,
    host,
    tmpfs: ["/tmp"],
    mounts: [
      { source: makeVolume(context, "remote", 10001), target: "/data", isWritable: true },
      ...["meshproof-tokens", "clickhouse-writer", "clickhouse-admin", "clickhouse-reader"].map(
        secret,
      ),
    ],
    environment: {
      MESHPROOF_CLICKHOUSE: "http://127.0.0.1:8123",
      MESHPROOF_WRITER_PASSWORD_FILE: "/run/secrets/clickhouse-writer",
      MESHPROOF_ADMIN_PASSWORD_FILE: "/run/secrets/clickhouse-admin",
      MESHPROOF_READER_PASSWORD_FILE: "/run/secrets/clickhouse-reader",
    },
  };
  await context.check(
    "the image without the engine says what it needs, and does not start open to all",
    async () => {
      const { environment, ...unconfigured } = options;
      const one = await Container.start(context, { ...unconfigured, name: "unconfigured" });
      assert.equal(await one.ended, 2);
      assert.match(one.output, /MESHPROOF_CLICKHOUSE/);
      const open = await Container.start(context, {
        ...options,
        name: "open",
        environment: { ...environment, MESHPROOF_TOKENS: "" },
      });
      assert.equal(await open.ended, 2);
      assert.match(open.output, /open to all/);
      const missing = await Container.start(context, {
        ...options,
        name: "missing",
        mounts: options.mounts!.filter(({ target }) => !target.endsWith("tokens")),
      });
      assert.notEqual(await missing.ended, 0);
      assert.match(missing.output, /\/run\/secrets\/meshproof-tokens/);
    },
  );
  const server = await Meshproof.start(context, options, secrets);
  await context.check(
    "while ClickHouse is away it takes records, answers liveness, and is unhealthy",
    async () => {
      await server.container.until(
        async () => (await server.get(8888, "/metrics")).status === 200,
        60_000,
      );
      assert.equal((await server.send("/early", "collector")).status, 200);
      await server.container.until(
        async () => (await server.get(13133, "/")).status === 503,
        30_000,
      );
      assert.ok(!(await server.isHealthy()));
      assert.equal((await server.get(8888, "/metrics")).status, 200);
      assert.equal((await server.send("/still", "collector")).status, 200);
    },
  );
  const configs = (file: string) => ({
    source: join(ROOT, "docker/clickhouse", file),
    target: `/etc/meshproof/${file}`,
  });
  const clickhouse = await Container.start(
    context,
    asEngine(embedded, {
      name: "clickhouse",
      host,
      user: "101:101",
      entrypoint: ["clickhouse-server", "--config-file=/etc/meshproof/config.xml"],
      command: [],
      tmpfs: ["/tmp"],
      mounts: [
        configs("config.xml"),
        configs("users.xml"),
        {
          source: join(secrets, "clickhouse-passwords.xml"),
          target: "/etc/meshproof/users.d/passwords.xml",
        },
        {
          source: makeVolume(context, "clickhouse", 101),
          target: "/var/lib/clickhouse",
          isWritable: true,
        },
      ],
    }),
  );
  await context.check(
    "when ClickHouse comes, with the configuration, users and grants of docker/clickhouse, all arrives and is healthy",
    async () => {
      await clickhouse.until(
        async () => (await host.fetch("http://127.0.0.1:8123/ping")).status === 200,
        60_000,
      );
      await server.untilHealthy();
      for (const path of ["/early", "/still"]) await server.untilStored(path);
      return `${await server.verify()} records`;
    },
  );
  await context.check(
    "with ClickHouse gone again, SIGTERM ends it in time and with exit code 0",
    async () => {
      assert.equal(await clickhouse.stop(), 0, clickhouse.output.slice(-1000));
      assert.equal((await server.send("/late", "collector")).status, 200);
      await server.container.until(
        async () => (await server.get(13133, "/")).status === 503,
        60_000,
      );
      const since = performance.now();
      assert.equal(await server.container.stop(), 0, server.container.output.slice(-2000));
      const ms = performance.now() - since;
      assert.ok(ms < GRACE_MS, `${ms} ms`);
      return `${(ms / 1000).toFixed(1)} s`;
    },
  );
}
