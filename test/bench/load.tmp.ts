import { Agent, request } from "node:http";
import { gzipSync } from "node:zlib";
import { readFileSync } from "node:fs";
import { applicationBody } from "../support/traffic.ts";
const ports = JSON.parse(readFileSync(process.argv[2]!, "utf8"));
const N = Number(process.argv[3] ?? 100);
const gap = Number(process.argv[4] ?? 0);
const agent = new Agent({ keepAlive: true, maxSockets: 4 });
const salt = Math.floor(Math.random() * 1e6) * 1e6;
const bodies = Array.from({ length: N }, (_, i) => gzipSync(applicationBody(1000, salt + i * 1000), { level: 1 }));
const use = () => { const stat = readFileSync(`/proc/${ports.pid}/stat`, "utf8"); const f = stat.slice(stat.lastIndexOf(")") + 2).split(" "); return [Number(f[11]) * 10, Number(f[12]) * 10, Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${ports.pid}/status`, "utf8"))![1]) / 1024 | 0]; };
const send = (body: Buffer) => new Promise<number>((res, rej) => { const t = performance.now(); request(`http://127.0.0.1:${ports.otlp}/v1/logs`, { method: "POST", agent, headers: { "content-type": "application/x-protobuf", "content-encoding": "gzip", "content-length": body.length } }, (r) => { r.resume().on("end", () => (r.statusCode === 200 ? res(performance.now() - t) : rej(new Error("s" + r.statusCode)))); }).on("error", rej).end(body); });
const u0 = use(); const t0 = performance.now(); const lat: number[] = [];
if (gap > 0) { const ps = []; for (let i = 0; i < N; i++) { const due = t0 + i * gap - performance.now(); if (due > 0) await new Promise((r) => setTimeout(r, due)); ps.push(send(bodies[i]!).then((m) => lat.push(m))); } await Promise.all(ps); }
else { let k = 0; await Promise.all([0, 1, 2, 3].map(async () => { while (k < N) lat.push(await send(bodies[k++]!)); })); }
const ms = performance.now() - t0; await new Promise((r) => setTimeout(r, 3000)); const u1 = use(); lat.sort((a, b) => a - b);
console.log(`${N} requests in ${ms | 0} ms, ${(N * 1000 / ms) | 0} k rec/s; user ${((u1[0]! - u0[0]!) / N).toFixed(2)} sys ${((u1[1]! - u0[1]!) / N).toFixed(2)} µs/record; p50 ${lat[N >> 1]!.toFixed(1)} p99 ${lat[(N * 0.99) | 0]!.toFixed(1)}; rss ${u1[2]} MB`);
process.exit(0);
