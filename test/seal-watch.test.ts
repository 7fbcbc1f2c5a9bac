import t from "tap";
import { Sealer } from "../src/seal/sealer.ts";
import { SealWatch } from "../src/seal-watch.ts";
import { listenHealth } from "../src/telemetry/health.ts";
import { batchOf, newSigner, optionsOf } from "./seal/fixture.ts";

t.test("an idle log is not late, records without a checkpoint are", async (t) => {
  let now = 0;
  const watch = new SealWatch({ lateMs: 30_000, now: () => now });
  watch.signed(10);
  watch.grown(10);
  watch.published();
  now = 3_600_000;
  t.same([watch.isLate, watch.unsignedSeconds, watch.publishedAgeSeconds], [false, 0, 3600]);
  watch.grown(11);
  t.notOk(watch.isLate, "the first record after an idle hour has just come");
  now += 29_999;
  watch.grown(12);
  t.notOk(watch.isLate);
  now += 1;
  t.same([watch.isLate, watch.unsignedSeconds], [true, 30]);
  watch.signed(11);
  t.same([watch.isLate, watch.unsignedSeconds], [false, 0], "the one that is left came later");
  now += 5000;
  t.equal(watch.unsignedSeconds, 5);
  watch.signed(12);
  watch.published();
  t.same([watch.unsignedSeconds, watch.publishedAgeSeconds], [0, 0]);
});

t.test("a sealer that stands still turns health to 503, and back when it goes on", async (t) => {
  let now = 0;
  const watch = new SealWatch({ lateMs: 30_000, now: () => now });
  const signer = newSigner();
  const held = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const signed = Promise.withResolvers<void>();
  const sealer = await Sealer.open(
    optionsOf(
      t.testdir(),
      {
        ...signer,
        async sign(message) {
          asked.resolve();
          await held.promise;
          return signer.sign(message);
        },
      },
      {
        onSigned(size) {
          watch.signed(size);
          signed.resolve();
        },
      },
    ),
  );
  t.teardown(() => sealer.close());
  const health = await listenHealth(
    { host: "127.0.0.1", port: 0 },
    {
      checks: () => [{ name: "seal", ok: !watch.isLate, detail: `${watch.unsignedSeconds} s` }],
      startedAtMs: 0,
    },
  );
  t.teardown(() => health.close());
  const status = async (): Promise<number> =>
    (await fetch(`http://127.0.0.1:${health.port}/`)).status;
  await sealer.recover([]);
  sealer.append(batchOf(0, 5));
  watch.grown(sealer.size);
  const checkpoint = sealer.checkpoint();
  await asked.promise;
  now = 29_999;
  t.equal(await status(), 200);
  now = 30_000;
  t.equal(await status(), 503);
  held.resolve();
  await Promise.all([checkpoint, signed.promise]);
  t.equal(await status(), 200);
});
