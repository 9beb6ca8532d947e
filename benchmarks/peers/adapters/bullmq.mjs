// BullMQ on Node: `node bullmq.mjs worker CONCURRENCY`, or `node bullmq.mjs client`. It carries out the driver's orders as
// common.py does, and keeps a ledger as ledger.py does: 16 bytes a job, its number and the monotonic clock in nanoseconds.

import { writeSync, openSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const require = createRequire(`${process.env.BENCH_MODULES}/`);
const { Queue, Worker } = require("bullmq");
const { hostname: host, port } = new URL(process.env.REDIS_URL);
const connection = { host, port: Number(port) };
const PORTION = 1000;
const TICK = 2;

// Records are written some milliseconds later, many at a time: Node can map no file into memory.
const ledger = () => {
  const file = openSync(`${process.env.BENCH_LEDGER}/${process.pid}`, "a");
  let page = new BigInt64Array(4096);
  let used = 0;
  let planned = false;
  const write = () => {
    writeSync(file, new Uint8Array(page.buffer, 0, used * 8));
    used = 0;
    planned = false;
  };
  return (number) => {
    page[used++] = BigInt(number);
    page[used++] = process.hrtime.bigint();
    if (used === page.length) write();
    if (!planned) {
      planned = true;
      setTimeout(write, 5);
    }
  };
};

const work = (concurrency) => {
  const note = ledger();
  const run = async (job) => {
    if (job.name === "nap") await sleep(5);
    note(job.data.number);
    return job.data.number;
  };
  const worker = new Worker("bench", run, { connection, concurrency });
  process.on("SIGTERM", async () => {
    await worker.close();
    process.exit(0);
  });
};

const orders = {
  one: async (queue, { task }, numbers) => {
    for (const number of numbers) await queue.add(task, { number });
  },
  many: async (queue, { task }, numbers) => {
    for (let start = 0; start < numbers.length; start += PORTION) {
      const portion = numbers.slice(start, start + PORTION);
      await queue.addBulk(portion.map((number) => ({ name: task, data: { number } })));
    }
  },
  callers: async (queue, { task, callers }, numbers) => {
    const left = numbers.values();
    const call = async () => {
      for (const number of left) await queue.add(task, { number });
    };
    await Promise.all(Array.from({ length: callers }, call));
  },
  singles: async (queue, { task, gaps }, numbers) => {
    const called = [];
    for (const [at, number] of numbers.entries()) {
      await sleep(gaps[at] * 1000);
      called.push(Number(process.hrtime.bigint()));
      await queue.add(task, { number });
    }
    return called;
  },
  paced: async (queue, { task, pace }, numbers) => {
    const called = [];
    const began = performance.now();
    while (called.length < numbers.length) {
      await sleep(TICK);
      const due = numbers.slice(called.length, Math.floor((pace * (performance.now() - began)) / 1000));
      const now = Number(process.hrtime.bigint());
      called.push(...due.map(() => now));
      if (due.length) await queue.addBulk(due.map((number) => ({ name: task, data: { number } })));
    }
    return called;
  },
};

const serve = async () => {
  const queue = new Queue("bench", { connection });
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    const numbers = Array.from({ length: order.count }, (_, at) => order.first + at);
    const began = process.hrtime.bigint();
    const called = (await orders[order.do](queue, order, numbers)) ?? [];
    const seconds = Number(process.hrtime.bigint() - began) / 1e9;
    process.stdout.write(`${JSON.stringify({ seconds, called })}\n`);
  }
  process.exit(0);
};

if (process.argv[2] === "worker") work(Number(process.argv[3]));
else await serve();
