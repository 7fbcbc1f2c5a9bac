import assert from "node:assert/strict";
import t from "tap";
import { MeshproofError } from "../../src/core/errors.ts";
import { Admission } from "../../src/receive/admission.ts";
import type { Reservation } from "../../src/receive/admission.ts";

/** A reservation of `bytes` that was given at once. */
function holding(admission: Admission, bytes: number): Reservation {
  const reservation = admission.open();
  assert.equal(reservation.resize(bytes), undefined);
  return reservation;
}

t.test("what fits is given at once and given back on release", async (t) => {
  const admission = new Admission({ maxBytes: 100, timeoutMs: 1000 });
  const first = holding(admission, 60);
  const second = holding(admission, 40);
  t.equal(admission.bytesInFlight, 100);
  first.release();
  second.resize(10);
  t.equal(admission.bytesInFlight, 10);
  second.release();
  second.release();
  t.equal(admission.bytesInFlight, 0, "releasing twice gives back once");
});

t.test("who finds no room waits and is admitted in the order of arrival", async (t) => {
  const admission = new Admission({ maxBytes: 100, timeoutMs: 60_000 });
  const first = holding(admission, 90);
  const order: string[] = [];
  const [large, small] = [admission.open(), admission.open()];
  const waiting = [
    large.resize(80)?.then(() => order.push("large")),
    small.resize(5)?.then(() => order.push("small")),
  ];
  t.equal(admission.waiting, 2, "the small one would fit, but it does not overtake");
  first.release();
  await Promise.all(waiting);
  t.strictSame(order, ["large", "small"]);
  t.equal(admission.bytesInFlight, 85);
  t.equal(admission.waiting, 0);
  large.release();
  small.release();
});

t.test("who waits too long is refused with OVERLOADED and keeps what it held", async (t) => {
  const admission = new Admission({ maxBytes: 100, timeoutMs: 1 });
  const [first, second] = [holding(admission, 60), holding(admission, 30)];
  const refusal = await Promise.resolve(second.resize(50)).catch((error: unknown) => error);
  t.ok(refusal instanceof MeshproofError && refusal.code === "OVERLOADED" && refusal.retryable);
  t.equal(second.bytes, 30);
  t.equal(admission.bytesInFlight, 90);
  first.release();
  second.release();
  t.equal(admission.bytesInFlight, 0);
});

t.test("a refusal lets those behind it go on", async (t) => {
  const admission = new Admission({ maxBytes: 100, timeoutMs: 1 });
  const first = holding(admission, 60);
  const [tooLarge, fits] = [admission.open(), admission.open()];
  const refused = t.rejects(tooLarge.resize(90) as Promise<void>, { code: "OVERLOADED" });
  const admitted = fits.resize(40);
  await refused;
  await admitted;
  t.equal(admission.bytesInFlight, 100);
  first.release();
  fits.release();
});

t.test("one that holds bytes already goes before those at the door", async (t) => {
  const admission = new Admission({ maxBytes: 100, timeoutMs: 60_000 });
  const [first, growing] = [holding(admission, 50), holding(admission, 30)];
  const newcomer = admission.open();
  const order: string[] = [];
  const waiting = [
    newcomer.resize(30)?.then(() => order.push("newcomer")),
    growing.resize(60)?.then(() => order.push("growing")),
  ];
  first.release();
  await Promise.all(waiting);
  t.strictSame(order, ["growing", "newcomer"]);
  t.equal(admission.bytesInFlight, 90);
});

t.test("a body beyond the bound is admitted alone, and only alone", async (t) => {
  const admission = new Admission({ maxBytes: 100, timeoutMs: 60_000 });
  const small = holding(admission, 1);
  const huge = admission.open();
  const admitted = huge.resize(500);
  t.not(admitted, undefined, "not beside another");
  small.release();
  await admitted;
  t.equal(admission.bytesInFlight, 500);
  t.equal(huge.resize(600), undefined, "and it may grow");
  huge.release();
});

t.test("one that is released while it waits takes nothing later", async (t) => {
  const admission = new Admission({ maxBytes: 100, timeoutMs: 60_000 });
  const [first, growing] = [holding(admission, 60), holding(admission, 30)];
  const newcomer = admission.open();
  const refused = [growing.resize(50), newcomer.resize(50)].map((waiting) =>
    t.rejects(waiting as Promise<void>, { code: "OVERLOADED" }),
  );
  growing.release();
  newcomer.release();
  await Promise.all(refused);
  t.equal(admission.waiting, 0);
  first.release();
  t.equal(admission.bytesInFlight, 0);
});

t.test("the time of several waits is counted together", async (t) => {
  const admission = new Admission({ maxBytes: 100, timeoutMs: 200 });
  const first = holding(admission, 100);
  const [patient, fresh] = [admission.open(), admission.open()];
  setTimeout(() => void first.resize(90), 150);
  await patient.resize(10);
  const refused: string[] = [];
  const refusals = [
    fresh.resize(20)?.catch(() => refused.push("fresh")),
    patient.resize(20)?.catch(() => refused.push("patient")),
  ];
  await Promise.all(refusals);
  t.strictSame(
    refused,
    ["patient", "fresh"],
    "who has waited before is refused before who comes now",
  );
  first.release();
});
