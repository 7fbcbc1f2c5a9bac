import { threads } from "./node-worker-threads.ts";

/** `node:worker_threads` as a worker sees it in a test: loaded anew for each, with the worker's number in the URL. */
const thread = threads.get(new URL(import.meta.url).searchParams.get("thread")!)!;
export const { parentPort, workerData } = thread;
