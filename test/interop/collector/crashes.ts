import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { LaneContext } from "../lane.ts";
import { Arena, type ArenaOptions } from "./arena.ts";
import { furtherLines, furtherRows, PodLogs } from "./pods.ts";

/** Requests of each kind that get through before the next crash. */
const LIFE = 8;
const LOST_ANSWERS = 3;
const AWAY_MS = 700;
const LINE_EACH_MS = 10;
/** When nothing waits in the Collector any more, what is not stored within so long is lost. */
const LOST_PATIENCE_MS = 5_000;

/** What may happen; each ends with everything running again. */
const CRASHES = {
  "meshproof is killed": async (arena) => {
    await arena.server.kill();
    await pause(AWAY_MS);
    await arena.startServer();
  },
  "the Collector is killed": async (arena) => {
    await arena.collector.kill();
    await arena.collector.start();
  },
  "both are killed": async (arena) => {
    await Promise.all([arena.server.kill(), arena.collector.kill()]);
    await Promise.all([arena.startServer(), arena.collector.start()]);
  },
  /** The Collector is killed between our answer and its taking note. */
  "answers are lost, then the Collector is killed": async (arena) => {
    const { wiretap } = arena;
    const before = total(wiretap.acknowledged);
    wiretap.losesAnswers = true;
    await arena.until(
      () => total(wiretap.acknowledged) >= before + LOST_ANSWERS,
      "answers that are lost",
    );
    await arena.collector.kill();
    wiretap.losesAnswers = false;
    await arena.collector.start();
  },
  "the Collector is stopped while meshproof is away": async (arena) => {
    await arena.server.kill();
    await arena.more(1);
    await arena.collector.stop();
    await Promise.all([arena.startServer(), arena.collector.start()]);
  },
} as const satisfies Record<string, (arena: Arena) => Promise<void>>;

type Crash = keyof typeof CRASHES;

const ORDER: readonly Crash[] = [
  "the Collector is killed",
  "meshproof is killed",
  "answers are lost, then the Collector is killed",
  "both are killed",
  "the Collector is stopped while meshproof is away",
  "the Collector is killed",
  "answers are lost, then the Collector is killed",
  "meshproof is killed",
  "both are killed",
  "the Collector is killed",
];

function total(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0);
}

async function suffer(arena: Arena, crashes: readonly Crash[]): Promise<void> {
  for (const crash of crashes) {
    await arena.more(LIFE);
    await CRASHES[crash](arena);
  }
  await arena.more(LIFE);
}

/** Either side dies under load, again and again: of what the Collector acknowledged nothing is lost, and nothing is stored twice. */
export async function checkCrashes(context: LaneContext, program: string): Promise<void> {
  const { check, note } = context;
  note(`${ORDER.length} crashes under load: ${[...new Set(ORDER)].join("; ")}`);
  const logs = new PodLogs(join(context.directory, "crashes"));
  const options = { name: "crashes", logFiles: logs.glob };
  await Arena.run(context, program, options, async (arena) => {
    let lines = 0;
    const writer = setInterval(() => furtherLines(logs, lines++, 1), LINE_EACH_MS);
    await suffer(arena, ORDER).finally(() => clearInterval(writer));
    const { acknowledged, lost, doubled } = await arena.tally();
    await check("nothing that the Collector acknowledged is lost", async () => {
      assert.equal(lost, 0, `${lost} of ${acknowledged} records are lost`);
      return `${acknowledged} records, ${ORDER.length} crashes, ${arena.refusals} tries of senders failed and were made again`;
    });
    await check("nothing is stored twice, although requests came again", async () => {
      assert.equal(doubled, 0, `${doubled} rows are there already`);
      const again = [...arena.wiretap.acknowledged.values()].filter((count) => count > 1);
      assert.ok(again.length >= LOST_ANSWERS, `only ${again.length} requests came again`);
      return `${again.length} requests were acknowledged to the Collector more than once`;
    });
    await check("no line of a file is lost; one that was read twice has one place", async () => {
      const { rows, ids, places } = await furtherRows(arena.server, lines);
      assert.equal(ids, lines);
      assert.equal(places, lines, `${places} places of ${lines} lines`);
      return `${lines} lines, ${rows - ids} of them twice, recognisable by file and offset`;
    });
    await arena.checkVerified();
  });
}

/** What config/collector.yaml leaves out, and why: both ways of the Collector's to batch. They also show that the checks above can fail. */
export async function checkBatching(context: LaneContext, program: string): Promise<void> {
  const { check, note } = context;
  note("the same with sending_queue.batch, which config/collector.yaml leaves out");
  const inQueue = optionsOf(
    context,
    "queue-batch",
    `exporters:
  otlp_http/meshproof:
    sending_queue: { batch: { sizer: items, min_size: 1000, flush_timeout: 200ms } }
`,
  );
  await Arena.run(context, program, inQueue, async (arena) => {
    const lose = "answers are lost, then the Collector is killed";
    await suffer(arena, [lose, lose]);
    const { acknowledged, lost, doubled } = await arena.tally();
    await check(
      "with batches in the queue nothing is lost, but crashes double records",
      async () => {
        assert.equal(lost, 0, `${lost} of ${acknowledged} records are lost`);
        assert.ok(doubled > 0, "none is doubled");
        return `${doubled} of ${acknowledged} records are stored twice`;
      },
    );
  });

  note("the same with the batch processor, which it leaves out too");
  const inProcessor = optionsOf(
    context,
    "batch-processor",
    `processors: { batch: { timeout: 1s } }
service: { pipelines: { logs: { processors: [batch] }, traces: { processors: [batch] } } }
`,
  );
  await Arena.run(context, program, inProcessor, async (arena) => {
    const kill = "the Collector is killed";
    await suffer(arena, [kill, kill]);
    const { acknowledged, lost } = await arena.tally({ patienceMs: LOST_PATIENCE_MS });
    await check("with the batch processor crashes lose what was acknowledged", async () => {
      assert.ok(lost > 0, "nothing is lost");
      return `${lost} of ${acknowledged} records are lost`;
    });
  });
}

/** An arena with a configuration file behind the shipped one. */
function optionsOf({ directory }: LaneContext, name: string, override: string): ArenaOptions {
  const file = join(directory, `${name}.yaml`);
  writeFileSync(file, override);
  return { name, overrides: [file] };
}
