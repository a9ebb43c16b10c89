// The disk is slower than the senders, and connections do not read what they are sent: memory stays under its limit,
// senders are told to wait, and all that has nothing to do with it goes on.
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import { checkKept, linesOf, refusal, stopInTrouble, textOf, trouble } from "./lib/disk.mjs";
import { sleep, until } from "./lib/server.mjs";
import { frameOf, upgradeRequest } from "./lib/raw.mjs";

const MIB = 1 << 20;
// 0 when it has ended.
const anonBytes = (server) => 1024 * Number(/RssAnon:\s+(\d+)/.exec(fs.readFileSync(`/proc/${server.pid}/status`, "utf8"))?.[1] ?? 0);

// The most that the server used from now on, and what it used at the start.
function watchMemory(server) {
  const watch = { first: anonBytes(server), most: 0 };
  // A test that failed does not stop it: then it ends with the server.
  const timer = setInterval(() => (server.isRunning() ? (watch.most = Math.max(watch.most, anonBytes(server))) : watch.stop()), 20);
  watch.stop = () => clearInterval(timer);
  return watch;
}

// Twenty at a time, of 16,000 bytes; `after` is awaited when so many have been acknowledged.
async function sendTexts(from, to, count, after = () => {}) {
  for (let n = 0; n < count; n += 20) {
    await Promise.all(Array.from({ length: 20 }, (_, k) => from.send(to, textOf(n + k, 16000))));
    await after(n + 20);
  }
}

// How long each of them takes while it lasts: what the slowest took, in ms.
async function slowest(during, ask) {
  let most = 0;
  let count = 0;
  const over = { is: false };
  during.finally(() => (over.is = true)).catch(() => {});
  while (!over.is) {
    const begun = performance.now();
    await ask();
    most = Math.max(most, performance.now() - begun);
    count++;
    await sleep(20);
  }
  return { most, count };
}

// A connection that logs in, asks for this, and reads nothing of what comes.
async function deaf(server, user, { after, asks = [] } = {}) {
  const socket = net.connect({ host: server.address.host, port: server.address.port });
  socket.on("error", () => {});
  const seen = { closed: false, socket };
  socket.on("close", () => (seen.closed = true));
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.write(upgradeRequest({ path: "/ws" }));
  await new Promise((resolve) => socket.once("data", resolve));
  socket.pause();
  socket.write(frameOf(JSON.stringify({ op: "login", id: 1, user, ...(after === undefined ? {} : { after }) })));
  for (const ask of asks) socket.write(frameOf(JSON.stringify(ask)));
  return seen;
}

trouble("a disk of half a MB/s under ten times that: busy with retry_after, memory bounded, reads and pings go on, nothing is lost", async (harness, disk) => {
  const memtable = 8 * MIB;
  const options = ["--memory", `${harness.shards * 400}M`, "--memtable-bytes", "8M", "--checkpoint-s", "2"];
  await harness.start({ options, env: disk.env });
  const from = await harness.login("alice");
  const reader = await harness.login("carol");
  for (let n = 0; n < 100; n++) await reader.send("dave", `${n}`);
  const memory = watchMemory(harness.server);
  disk.rules("rate uring,pwrite,writev shard- bytes=500000");
  const acknowledged = [];
  const counts = { busy: 0, offered: 0 };
  const end = Date.now() + 12000;
  let next = 0;
  const replies = [];
  // At their own throttle, whatever the server answers: 5 MB a second.
  const one = async (n) => {
    const sent = { to: "bob", text: textOf(n, 16000), key: `${n}` };
    const reply = await from.request({ op: "send", ...sent });
    if (reply.op === "ok") return acknowledged.push({ ...sent, ...reply });
    assert.equal(reply.code, "busy");
    assert.ok(Number.isInteger(reply.retry_after) && reply.retry_after > 0);
    return counts.busy++;
  };
  const push = async () => {
    const begun = Date.now();
    while (Date.now() < end) {
      for (; next < ((Date.now() - begun) * 5e6) / 1000 / 16000; counts.offered += 16000) replies.push(one(next++));
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
  console.log(`# ${harness.shards} shards: offered ${counts.offered / MIB | 0} MiB, taken ${acknowledged.length * 16000 / MIB | 0} MiB, busy ${counts.busy}, RssAnon ${memory.first / MIB | 0} to ${memory.most / MIB | 0} MiB, slowest ping ${ping.most | 0} ms of ${ping.count}, page ${page.most | 0} ms of ${page.count}`);
  assert.ok(counts.busy > 0 && counts.offered > 8 * 0.5e6 * 12, JSON.stringify(counts));
  assert.ok(memory.most < harness.shards * 400 * MIB);
  assert.ok(memory.most - memory.first < harness.shards * (2 * memtable + 96 * MIB), `${memory.most} of ${memory.first}`);
  assert.ok(ping.most < 500 && page.most < 500, `${ping.most} ms, ${page.most} ms`);
  const after = await until("an end of busy", async () => {
    const reply = await from.request({ op: "send", to: "bob", text: "after", key: "after" });
    return reply.op === "ok" ? reply : null;
  });
  acknowledged.push({ to: "bob", text: "after", key: "after", ...after });
  await checkKept(harness, "alice", "bob", acknowledged);
  await harness.server.kill();
  await harness.startAgain({ options });
  await checkKept(harness, "alice", "bob", acknowledged);
  await harness.server.stop();
});

trouble("a hundred connections that read no pushes: they are cut off, memory is bounded, who reads gets all", async (harness, disk) => {
  const limit = harness.shards * 400 * MIB;
  await harness.start({ options: ["--memory", `${limit / MIB}M`, "--memtable-bytes", "8M"], env: disk.env });
  const [alice, crowd] = [await harness.login("alice"), await harness.login("crowd")];
  const others = await Promise.all(Array.from({ length: 100 }, () => deaf(harness.server, "crowd")));
  const memory = watchMemory(harness.server);
  const count = 1200;
  await sendTexts(alice, "crowd", count, (sent) => crowd.untilMessages(sent));
  memory.stop();
  console.log(`# ${harness.shards} shards: ${count * 16000 * 100 / MIB | 0} MiB pushed, RssAnon ${memory.first / MIB | 0} to ${memory.most / MIB | 0} MiB`);
  assert.ok(memory.most < limit, `${memory.most}`);
  await alice.ok({ op: "ping" });
  for (const other of others) other.socket.destroy();
  await stopInTrouble(harness.server);
});

trouble("hundreds of connections that ask for pages and replays and read nothing: memory is bounded, who reads is served", async (harness, disk) => {
  const limit = harness.shards * 400 * MIB;
  await harness.start({ options: ["--memory", `${limit / MIB}M`, "--memtable-bytes", "8M", "--checkpoint-s", "1"], env: disk.env });
  const alice = await harness.login("alice");
  await sendTexts(alice, "bob", 600);
  const memory = watchMemory(harness.server);
  const asks = Array.from({ length: 300 }, (_, id) => ({ op: "history", id, limit: 1000 }));
  const others = await Promise.all([
    ...Array.from({ length: 300 }, () => deaf(harness.server, "bob", { after: 0 })),
    ...Array.from({ length: 300 }, () => deaf(harness.server, "bob", { asks })),
  ]);
  await sleep(8000);
  const begun = performance.now();
  const reader = await harness.login("bob", { after: 0 });
  await reader.untilLive();
  const ms = performance.now() - begun;
  assert.equal(reader.messages.length, 600);
  await alice.ok({ op: "ping" });
  memory.stop();
  console.log(`# ${harness.shards} shards: RssAnon ${memory.first / MIB | 0} to ${memory.most / MIB | 0} MiB, a replay beside it ${ms | 0} ms, ${others.filter((other) => other.closed).length} cut off`);
  assert.ok(memory.most < limit, `${memory.most}`);
  assert.ok(ms < 10000);
  for (const other of others) other.socket.destroy();
  await stopInTrouble(harness.server);
});

trouble("hundreds of connections that write much while they read nothing: reading from them stops, those that find no room are told so", async (harness, disk) => {
  const limit = harness.shards * 400 * MIB;
  await harness.start({ options: ["--memory", `${limit / MIB}M`, "--memtable-bytes", "8M"], env: disk.env });
  const alice = await harness.login("alice");
  await sendTexts(alice, "bob", 300);
  const memory = watchMemory(harness.server);
  const asks = Array.from({ length: 4 }, (_, id) => ({ op: "history", id, limit: 1000 }));
  const others = await Promise.all(Array.from({ length: 300 }, () => deaf(harness.server, "bob", { asks })));
  await sleep(500);
  const pings = Buffer.concat(Array.from({ length: 20000 }, (_, id) => frameOf(JSON.stringify({ op: "ping", id }))));
  for (const other of others) other.socket.write(pings);
  await sleep(500);
  const begun = performance.now();
  await alice.ok({ op: "ping" });
  const ms = performance.now() - begun;
  assert.ok(ms < 500, `${ms} ms`);
  for (const other of others) {
    other.end = Buffer.alloc(0);
    other.socket.on("data", (data) => (other.end = Buffer.concat([other.end, data]).subarray(-100)));
    other.socket.resume();
  }
  const isTold = (other) => other.closed && other.end.includes("memory for input");
  const isServed = (other) => !other.closed && other.end.includes('"id":19999');
  await until("all to be served or closed", () => others.every((other) => other.closed || isServed(other)));
  const [told, served] = [others.filter(isTold).length, others.filter(isServed).length];
  memory.stop();
  console.log(`# ${harness.shards} shards: RssAnon ${memory.first / MIB | 0} to ${memory.most / MIB | 0} MiB, ${served} served, ${told} of ${300 - served} told`);
  // Some may have too much to read before the server ends them.
  assert.ok(served > 30 && told >= (300 - served) / 2, `${served} served, ${told} told`);
  assert.ok(memory.most < limit, `${memory.most}`);
  await alice.send("bob", "after");
  for (const other of others) other.socket.destroy();
  await stopInTrouble(harness.server);
});

trouble("options that together do not fit --memory are refused at the start, with what would do", async (harness, disk) => {
  await harness.start({ options: ["--memtable-bytes", "8M"], env: disk.env });
  await harness.server.stop();
  const line = refusal(harness, disk, ["--memory", "300M", "--memtable-bytes", "64M"]);
  assert.match(line, /--memory 300M is too little for \d shards with --memtable-bytes 64M and \d+ connections, which need \d+M: give/);
}, { shards: [2] });
