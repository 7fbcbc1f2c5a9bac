import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import t from "tap";
import type { ExportResult } from "../../src/core/consumer.ts";
import { exchange, RawConnection, requestBytes, until } from "../support/raw-http.ts";
import { startReceiver } from "../support/receiver.ts";

const PROTOBUF = { "Content-Type": "application/x-protobuf" };
const CHUNKED = { ...PROTOBUF, "Transfer-Encoding": "chunked" };
const MIB = 1024 * 1024;

const chunk = (bytes: Buffer | string) =>
  Buffer.concat([
    Buffer.from(`${Buffer.byteLength(bytes).toString(16)}\r\n`),
    Buffer.from(bytes),
    Buffer.from("\r\n"),
  ]);

/** Bytes that differ from their neighbours, so that one that is lost, doubled or misplaced shows. */
function pattern(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + (i >> 16)) & 0xff;
  return bytes;
}

t.test("a body arrives whole however it is cut", async (t) => {
  const { port, observed, receiver } = await startReceiver(t);
  for (const length of [1, 65_535, 65_536, 65_537, 5 * MIB]) {
    const body = pattern(length);
    t.equal((await exchange(port, requestBytes("POST", "/v1/logs", PROTOBUF, body)))?.status, 200);
    t.ok(observed.requests.pop()?.body.equals(body), `${length} bytes with Content-Length`);
    for (const step of [7000, 100_000]) {
      const connection = new RawConnection(port);
      connection.send(requestBytes("POST", "/v1/logs", CHUNKED));
      for (let at = 0; at < length; at += step)
        connection.send(chunk(body.subarray(at, at + step)));
      connection.send("0\r\nTrailer: ignored\r\n\r\n");
      t.equal((await connection.response())?.status, 200);
      t.ok(observed.requests.pop()?.body.equals(body), `${length} bytes in chunks of ${step}`);
      connection.close();
    }
  }
  const connection = new RawConnection(port);
  connection.send(
    requestBytes("POST", "/v1/logs", CHUNKED),
    Buffer.concat([...pattern(3000)].map((byte) => chunk(Buffer.from([byte])))),
    "0\r\n\r\n",
  );
  t.equal((await connection.response())?.status, 200);
  t.ok(observed.requests.pop()?.body.equals(pattern(3000)), "in chunks of one byte");
  connection.close();
  t.equal(receiver.admission.bytesInFlight, 0);
});

t.test(
  "413 is answered before the body is read, and while a chunked one is, and the connection serves on",
  async (t) => {
    const { port, observed, receiver } = await startReceiver(t, { maxBodyBytes: 1000 });
    const connection = new RawConnection(port);
    connection.send(requestBytes("POST", "/v1/logs", { ...PROTOBUF, "Content-Length": 1001 }));
    const early = await connection.response();
    t.equal(early?.status, 413, "no byte of the body has been sent");
    t.match(
      early?.body.toString(),
      /at most 1000 bytes, as sent and inflated, got Content-Length: 1001/,
    );
    connection.send(Buffer.alloc(1001), requestBytes("POST", "/v1/logs", PROTOBUF, pattern(1000)));
    t.equal(
      (await connection.response())?.status,
      200,
      "what is exactly as large as allowed is taken, on the same connection",
    );

    connection.send(
      requestBytes("POST", "/v1/logs", CHUNKED),
      chunk(pattern(600)),
      chunk(pattern(401)),
    );
    t.equal((await connection.response())?.status, 413, "before the last chunk");
    connection.send(
      chunk(pattern(600)),
      "0\r\n\r\n",
      requestBytes("POST", "/v1/logs", PROTOBUF, "x"),
    );
    t.equal((await connection.response())?.status, 200);
    connection.close();
    t.equal(
      (
        await exchange(
          port,
          requestBytes("POST", "/v1/logs", {
            ...PROTOBUF,
            "Content-Length": "99999999999999999999",
          }),
        )
      )?.status,
      400,
      "a length beyond 64 bits is no length",
    );
    t.equal(observed.requests.length, 2);
    t.equal(receiver.admission.bytesInFlight, 0);
  },
);

t.test(
  "a body that inflates beyond the limit is 413 in every coding, whatever it says of its size",
  async (t) => {
    const maxBodyBytes = 3 * MIB;
    const { port, observed, receiver } = await startReceiver(t, { maxBodyBytes });
    const post = (coding: string, body: Buffer) =>
      exchange(
        port,
        requestBytes("POST", "/v1/logs", { ...PROTOBUF, "Content-Encoding": coding }, body),
      );
    const bomb = Buffer.alloc(200 * MIB);
    const gzipped = gzipSync(bomb, { level: 1 });
    const lying = Buffer.from(gzipped);
    lying.writeUInt32LE(10, lying.length - 4);
    const zstd = zstdCompressSync(bomb);
    for (const [coding, body] of [
      ["gzip", gzipped],
      ["gzip", lying],
      ["deflate", deflateSync(bomb, { level: 1 })],
      ["zstd", zstd],
    ] as const) {
      const response = await post(coding, body);
      t.equal(response?.status, 413, coding);
      t.match(
        response?.body.toString(),
        /at most 3145728 bytes, as sent and inflated, got (more|209715200) after inflating/,
      );
    }
    const over = Buffer.alloc(maxBodyBytes + 1, 1);
    for (const [coding, compress] of [
      ["gzip", gzipSync],
      ["deflate", deflateSync],
      ["zstd", zstdCompressSync],
    ] as const) {
      t.equal((await post(coding, compress(over)))?.status, 413, `one byte more, ${coding}`);
      t.equal(
        (await post(coding, compress(over.subarray(1))))?.status,
        200,
        `exactly as large, ${coding}`,
      );
      t.equal(observed.requests.pop()?.body.length, maxBodyBytes);
    }
    const half = gzipSync(over.subarray(0, maxBodyBytes / 2));
    t.equal(
      (await post("gzip", Buffer.concat([half, half])))?.status,
      200,
      "members together exactly as large",
    );
    t.equal(
      (await post("gzip", Buffer.concat([half, half, gzipSync("x")])))?.status,
      413,
      "members together larger",
    );
    t.equal(receiver.admission.bytesInFlight, 0);
  },
);

t.test("a sender that goes away before its body is complete has sent nothing", async (t) => {
  const { port, observed, receiver } = await startReceiver(t);
  for (const request of [
    requestBytes("POST", "/v1/logs", { ...PROTOBUF, "Content-Length": 1000 }),
    requestBytes("POST", "/v1/logs", CHUNKED),
  ]) {
    const connection = new RawConnection(port);
    connection.send(request, "3e7\r\n");
    await until(() => receiver.admission.bytesInFlight > 0);
    connection.close();
    await until(() => observed.counted.length > 0);
    t.strictSame(observed.counted.splice(0), ["aborted logs 127.0.0.1"]);
    t.equal(receiver.admission.bytesInFlight, 0);
  }
  t.equal(observed.requests.length, 0);
  t.strictSame(observed.errors, []);
});

t.test(
  "a body that stalls or trickles is given up with 503, which makes its sender try again",
  async (t) => {
    for (const [options, message] of [
      [{ bodyStallMs: 30 }, /without pauses beyond 0.03 s, got 10 of 1000 bytes/],
      [{ requestTimeoutMs: 100, headersTimeoutMs: 100 }, /the whole request within 0.1 s/],
    ] as const) {
      const { port, observed, receiver } = await startReceiver(t, options);
      const connection = new RawConnection(port);
      connection.send(
        requestBytes("POST", "/v1/logs", {
          "Content-Type": "application/json",
          "Content-Length": 1000,
        }),
        pattern(10),
      );
      const response = await connection.response();
      t.equal(response?.status, 503);
      t.equal(response?.headers["retry-after"], "5");
      t.match(JSON.parse(String(response?.body)), { code: 14, message });
      t.strictSame(observed.counted, ["refused logs UNAVAILABLE 127.0.0.1"]);
      t.equal(receiver.admission.bytesInFlight, 0);
      connection.close();
    }
  },
);

t.test(
  "broken chunked coding is 400 in the encoding of the request, and ends the connection",
  async (t) => {
    const { port, observed } = await startReceiver(t);
    const connection = new RawConnection(port);
    connection.send(
      requestBytes("POST", "/v1/logs", { ...CHUNKED, "Content-Type": "application/json" }),
      chunk("good"),
      "not hex\r\n",
    );
    const response = await connection.response();
    t.equal(response?.status, 400);
    t.equal(response?.headers["content-type"], "application/json");
    t.equal(response?.headers["connection"], "close");
    t.equal((await connection.closed()).length, 0);
    t.equal(observed.requests.length, 0);
  },
);

t.test(
  "a sender that asks before it sends is told to go on only when its body is wanted",
  async (t) => {
    const { port, observed } = await startReceiver(t, { maxBodyBytes: 1000 });
    const asking = { ...PROTOBUF, Expect: "100-continue" };
    const connection = new RawConnection(port);
    connection.send(requestBytes("POST", "/v1/logs", { ...asking, "Content-Length": 5 }));
    t.equal((await connection.response())?.status, 100);
    connection.send("hello");
    t.equal((await connection.response())?.status, 200);
    t.equal(observed.requests.pop()?.body.toString(), "hello");
    connection.send(requestBytes("POST", "/v1/logs", { ...asking, "Content-Length": 1001 }));
    const refusal = await connection.response();
    t.equal(refusal?.status, 413);
    t.equal(
      refusal?.headers["connection"],
      "close",
      "since nobody knows whether the body still comes",
    );
    await connection.closed();
    t.equal(
      (
        await exchange(
          port,
          requestBytes("POST", "/v1/logs", { ...PROTOBUF, Expect: "something-else" }, "hello"),
        )
      )?.status,
      200,
      "other expectations are ignored",
    );
  },
);

t.test(
  "beyond the bytes in flight a request waits, then is refused with 429; a body larger than the bound is served alone",
  async (t) => {
    const results: ((result: ExportResult) => void)[] = [];
    const { port, observed, receiver } = await startReceiver(t, {
      maxBodyBytes: 4000,
      maxInFlightBytes: 1000,
      admissionTimeoutMs: 20,
      consume: () => new Promise((resolve) => results.push(resolve)),
    });
    const first = exchange(port, requestBytes("POST", "/v1/logs", PROTOBUF, pattern(3000)));
    await until(() => results.length === 1);
    t.equal(receiver.admission.bytesInFlight, 3000);

    const refused = await exchange(port, requestBytes("POST", "/v1/logs", PROTOBUF, pattern(1)));
    t.equal(refused?.status, 429);
    t.equal(refused?.headers["retry-after"], "1");
    t.match(observed.counted, ["refused logs OVERLOADED 127.0.0.1"]);

    results.pop()?.({ rejected: 0, message: "" });
    t.equal((await first)?.status, 200);
    t.equal(receiver.admission.bytesInFlight, 0, "given back with the answer");
  },
);

t.test(
  "one that waits is admitted when another is answered, and does not read its body before",
  async (t) => {
    const results: ((result: ExportResult) => void)[] = [];
    const { port, receiver } = await startReceiver(t, {
      maxInFlightBytes: 20 * MIB,
      admissionTimeoutMs: 60_000,
      consume: () => new Promise((resolve) => results.push(resolve)),
    });
    const body = pattern(18 * MIB);
    const first = exchange(port, requestBytes("POST", "/v1/logs", PROTOBUF, body));
    await until(() => results.length === 1);
    const second = new RawConnection(port);
    second.send(requestBytes("POST", "/v1/logs", PROTOBUF, body));
    await until(() => receiver.admission.waiting === 1);
    await delay(50);
    t.ok(second.socket.writableLength > 8 * MIB, "most of the body is still with the sender");
    results.pop()?.({ rejected: 0, message: "" });
    t.equal((await first)?.status, 200);
    await until(() => results.length === 1);
    results.pop()?.({ rejected: 0, message: "" });
    t.equal((await second.response())?.status, 200);
    second.close();
    t.equal(receiver.admission.bytesInFlight, 0);
  },
);

t.test(
  "a request that is under way when the receiver closes is served; a new one is told 503 with Retry-After",
  async (t) => {
    const results: ((result: ExportResult) => void)[] = [];
    const { port, receiver } = await startReceiver(t, {
      consume: () => new Promise((resolve) => results.push(resolve)),
    });
    const [busy, idle, silent] = [
      new RawConnection(port),
      new RawConnection(port),
      new RawConnection(port),
    ];
    await once(silent.socket, "connect");
    idle.send(requestBytes("GET", "/v1/logs"));
    await idle.response();
    busy.send(requestBytes("POST", "/v1/logs", PROTOBUF, "one"));
    await until(() => results.length === 1);

    const closed = receiver.close();
    await Promise.all([idle.closed(), silent.closed()]);
    t.pass("idle connections, and those that never said anything, are closed at once");
    busy.send(requestBytes("POST", "/v1/logs", PROTOBUF, "two"));
    await delay(20);
    results.pop()?.({ rejected: 0, message: "" });
    t.equal((await busy.response())?.status, 200);
    const late = await busy.response();
    t.equal(late?.status, 503);
    t.equal(late?.headers["retry-after"], "5");
    t.equal(late?.headers["connection"], "close");
    await Promise.all([busy.closed(), closed]);
    t.equal(results.length, 0, "the late one was not consumed");
    t.equal(
      await exchange(port, requestBytes("POST", "/v1/logs", PROTOBUF, "three")),
      undefined,
      "nobody listens any more",
    );
  },
);

t.test("closing does not wait for ever", async (t) => {
  const { port, receiver, observed } = await startReceiver(t);
  const connection = new RawConnection(port);
  connection.send(
    requestBytes("POST", "/v1/logs", { ...PROTOBUF, "Content-Length": 1000 }),
    "part",
  );
  await until(() => receiver.admission.bytesInFlight > 0);
  await receiver.close(10);
  await connection.closed();
  await until(() => observed.counted.length > 0);
  t.strictSame(observed.counted, ["aborted logs 127.0.0.1"]);
});
