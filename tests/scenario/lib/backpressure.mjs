// A server whose disk is slower than its senders, or whose clients do not read: what backpressure.test.mjs checks of its
// promises, and `./dev bench --check` of its times.
import assert from "node:assert/strict";
import fs from "node:fs";
import { connectTo, readyEvent } from "./certificate.mjs";
import { textOf } from "./disk.mjs";
import { frameOf, upgradeRequest } from "./raw.mjs";
import { sleep, until } from "./server.mjs";

export const MIB = 1 << 20;
// 0 when it has ended.
const anonBytes = (server) => 1024 * Number(/RssAnon:\s+(\d+)/.exec(fs.readFileSync(`/proc/${server.pid}/status`, "utf8"))?.[1] ?? 0);

// --memory of a server of so many shards, in bytes.
export const limitOf = (harness) => harness.shards * 400 * MIB;

export const optionsOf = (harness, more = []) => ["--memory", `${limitOf(harness) / MIB}M`, "--memtable-bytes", "8M", ...more];

// The most that the server used from now on, and what it used at the start.
export function watchMemory(server) {
  const watch = { first: anonBytes(server), most: 0 };
  // A test that failed does not stop the watch: then the watch ends with the server.
  const timer = setInterval(() => (server.isRunning() ? (watch.most = Math.max(watch.most, anonBytes(server))) : watch.stop()), 20);
  watch.stop = () => clearInterval(timer);
  return watch;
}

// Twenty at a time, of 16,000 bytes; `after` is awaited when so many have been acknowledged.
export async function sendTexts(from, to, count, after = () => {}) {
  for (let n = 0; n < count; n += 20) {
    await Promise.all(Array.from({ length: 20 }, (_, k) => from.send(to, textOf(n + k, 16000))));
    await after(n + 20);
  }
}

async function msOf(ask) {
  const begun = performance.now();
  await ask();
  return performance.now() - begun;
}

// Asks again and again until `during` is over: how often, and what the slowest took, in ms.
async function slowest(during, ask) {
  let most = 0;
  let count = 0;
  const over = { is: false };
  during.finally(() => (over.is = true)).catch(() => {});
  while (!over.is) {
    most = Math.max(most, await msOf(ask));
    count++;
    await sleep(20);
  }
  return { most, count };
}

// A connection that logs in, sends these requests, and reads nothing of the answers.
export async function deaf(server, user, { after, asks = [] } = {}) {
  const socket = connectTo(server.address);
  socket.on("error", () => {});
  const seen = { closed: false, socket };
  socket.on("close", () => (seen.closed = true));
  await new Promise((resolve) => socket.once(readyEvent(server.address), resolve));
  socket.write(upgradeRequest({ path: "/ws" }));
  await new Promise((resolve) => socket.once("data", resolve));
  socket.pause();
  socket.write(frameOf(JSON.stringify({ op: "login", id: 1, user, ...(after === undefined ? {} : { after }) })));
  for (const ask of asks) socket.write(frameOf(JSON.stringify(ask)));
  return seen;
}

// So many requests for pages.
const asksOf = (count) => Array.from({ length: count }, (_, id) => ({ op: "history", id, limit: 1000 }));

// -- the situations --

const DISK_BYTES_PER_S = 500000;
const OFFERED_PER_S = 10 * DISK_BYTES_PER_S;
const OFFERED_SECONDS = 12;

// A disk of half a MB/s, and a client that offers ten times that, whatever the server answers. Returns when the disk is
// well again and every send is answered.
export async function onSlowDisk(harness, disk) {
  const options = optionsOf(harness, ["--checkpoint-s", "2"]);
  await harness.start({ options, env: disk.env });
  const from = await harness.login("alice");
  const reader = await harness.login("carol");
  for (let n = 0; n < 100; n++) await reader.send("dave", `${n}`);
  const memory = watchMemory(harness.server);
  disk.rules(`rate uring,pwrite,writev shard- bytes=${DISK_BYTES_PER_S}`);
  const acknowledged = [];
  const counts = { busy: 0, offered: 0 };
  const one = async (n) => {
    const sent = { to: "bob", text: textOf(n, 16000), key: `${n}` };
    const reply = await from.request({ op: "send", ...sent });
    if (reply.op === "ok") return acknowledged.push({ ...sent, ...reply });
    assert.equal(reply.code, "busy");
    assert.ok(Number.isInteger(reply.retry_after) && reply.retry_after > 0);
    return counts.busy++;
  };
  const replies = [];
  const push = async () => {
    const begun = Date.now();
    while (counts.offered < OFFERED_PER_S * OFFERED_SECONDS) {
      // Fixed before the loop: on a busy machine what is due may grow faster than it is sent.
      const due = Math.min(OFFERED_SECONDS, (Date.now() - begun) / 1000) * OFFERED_PER_S;
      for (; counts.offered < due; counts.offered += 16000) replies.push(one(replies.length));
      await sleep(5);
    }
  };
  const sending = push();
  const pings = slowest(sending, () => reader.ok({ op: "ping" }));
  const pages = slowest(sending, async () => assert.equal((await reader.history({ limit: 50 })).messages.length, 50));
  await sending;
  const [ping, page] = await Promise.all([pings, pages]);
  disk.mend();
  await Promise.all(replies);
  memory.stop();
  return { options, from, acknowledged, counts, memory, ping, page };
}

// 600 connections ask for a timeline of 600 messages, by replay or by pages, and read nothing; then one more reads it.
export async function besideDeafReaders(harness, disk) {
  await harness.start({ options: optionsOf(harness, ["--checkpoint-s", "1"]), env: disk.env });
  const alice = await harness.login("alice");
  await sendTexts(alice, "bob", 600);
  const memory = watchMemory(harness.server);
  const asks = asksOf(300);
  const others = await Promise.all([
    ...Array.from({ length: 300 }, () => deaf(harness.server, "bob", { after: 0 })),
    ...Array.from({ length: 300 }, () => deaf(harness.server, "bob", { asks })),
  ]);
  await sleep(8000);
  let reader;
  const ms = await msOf(async () => {
    reader = await harness.login("bob", { after: 0 });
    await reader.untilLive();
  });
  assert.equal(reader.messages.length, 600);
  await alice.ok({ op: "ping" });
  memory.stop();
  return { memory, others, ms };
}

// 300 connections write 20,000 pings each while they read nothing; then another client has one ping answered.
export async function besideDeafWriters(harness, disk) {
  await harness.start({ options: optionsOf(harness), env: disk.env });
  const alice = await harness.login("alice");
  await sendTexts(alice, "bob", 300);
  const memory = watchMemory(harness.server);
  const asks = asksOf(4);
  const others = await Promise.all(Array.from({ length: 300 }, () => deaf(harness.server, "bob", { asks })));
  await sleep(500);
  const pings = Buffer.concat(Array.from({ length: 20000 }, (_, id) => frameOf(JSON.stringify({ op: "ping", id }))));
  for (const other of others) other.socket.write(pings);
  await sleep(500);
  return { alice, memory, others, ms: await msOf(() => alice.ok({ op: "ping" })) };
}

// Those connections read at last, until each has all answers or is closed: how many are served, and how many of the others
// have read why they were closed.
export async function readAll(others) {
  for (const other of others) {
    other.end = Buffer.alloc(0);
    other.socket.on("data", (data) => (other.end = Buffer.concat([other.end, data]).subarray(-100)));
    other.socket.resume();
  }
  const isRefused = (other) => other.closed && other.end.includes("memory for input");
  const isServed = (other) => !other.closed && other.end.includes('"id":19999');
  await until("all to be served or closed", () => others.every((other) => other.closed || isServed(other)));
  return { refused: others.filter(isRefused).length, served: others.filter(isServed).length };
}
