// Killed under load and started again: what was acknowledged is in both timelines, once.
import assert from "node:assert/strict";
import { scenario } from "./lib/harness.mjs";
import { SHORT, killedAfter, scaled, sleep } from "./lib/server.mjs";
import { checkHolds, pump, wholeTimeline } from "./lib/traffic.mjs";

const USERS = 10;
const nameOf = (index) => `user-${index}`;

// Every user sends to another until the server is killed. Returns what was acknowledged.
async function load(harness, round, ms) {
  const clients = await Promise.all(Array.from({ length: USERS }, (_, index) => harness.login(nameOf(index))));
  const sending = clients.map((from, index) =>
    pump(from, { to: nameOf((index * 3 + round) % USERS), text: (n) => `${round}/${index}/${n}`, key: (n) => `${round}/${index}/${n}`, window: 30 }),
  );
  await sleep(ms);
  await harness.server.kill();
  const lists = await Promise.all(sending);
  harness.checkClients();
  return lists.flatMap((list, index) => list.map((sent) => ({ ...sent, from: nameOf(index) })));
}

async function checkAll(harness, acknowledged) {
  const timelines = new Map();
  for (let index = 0; index < USERS; index++) {
    const client = await harness.login(nameOf(index));
    const timeline = await wholeTimeline(client);
    timelines.set(client.user, timeline);
    checkHolds(timeline.filter((m) => m.from === client.user), acknowledged.filter((s) => s.from === client.user), { isSender: true });
    checkHolds(timeline.filter((m) => m.to === client.user), acknowledged.filter((s) => s.to === client.user), { isSender: false });
    const replayed = await harness.login(client.user, { after: 0, epoch: client.epoch });
    await replayed.untilLive();
    assert.deepEqual(replayed.entries.map((entry) => entry.mid), timeline.map((entry) => entry.mid));
  }
  // Also what was not acknowledged is in both timelines or in neither.
  const mids = new Map([...timelines].map(([user, timeline]) => [user, new Set(timeline.map((entry) => entry.mid))]));
  for (const [user, timeline] of timelines)
    for (const entry of timeline) {
      const other = mids.get(entry.from === user ? entry.to : entry.from);
      assert.ok(other.has(entry.mid), `${entry.mid} is one-sided`);
    }
}

scenario("kill -9 under load, again and again: every acknowledged message is in both timelines once", {}, async (harness) => {
  const options = ["--memtable-bytes", "4M", "--checkpoint-s", "1"];
  const acknowledged = [];
  const rounds = SHORT ? 2 : 4;
  await harness.start({ options });
  for (let round = 0; round < rounds; round++) {
    acknowledged.push(...(await load(harness, round, 300 + 400 * Math.random())));
    await harness.startAgain({ options });
  }
  assert.ok(acknowledged.length > 100 * rounds);
  await checkAll(harness, acknowledged);
  await harness.server.stop();
});

scenario("sends whose outcome is unknown are sent again with their keys and are stored once", {}, async (harness) => {
  await harness.start();
  const alice = await harness.login("alice");
  const bob = await harness.login("bob");
  const keys = Array.from({ length: scaled(8000) }, (_, n) => `key ${n}`);
  const replies = keys.map((key) => alice.request({ op: "send", to: "bob", text: key, key }));
  await bob.untilMessages(100);
  await harness.server.kill();
  const known = (await Promise.all(replies)).filter((reply) => reply.op === "ok").length;
  await bob.untilClosed(); // what the server had given to the kernel still arrives
  const seen = bob.messages.map((message) => message.mid);
  const epoch = bob.epoch;
  await harness.startAgain();
  const again = await harness.login("alice");
  const sent = await Promise.all(keys.map((key) => again.ok({ op: "send", to: "bob", text: key, key })));
  assert.ok(sent.filter((reply) => reply.dup).length >= known);
  const back = await harness.login("bob", { after: bob.cursor, epoch });
  await back.untilLive();
  await back.untilEntries(keys.length - seen.length);
  const mids = [...seen, ...back.messages.map((message) => message.mid)];
  assert.equal(new Set(mids).size, keys.length);
  assert.equal((await wholeTimeline(back)).length, keys.length);
  await harness.server.stop();
});

scenario("SIGTERM under load: what is in flight is answered, all get 1001, and it ends with 0", {}, async (harness) => {
  await harness.start();
  const clients = await Promise.all(Array.from({ length: USERS }, (_, index) => harness.login(nameOf(index))));
  const sending = clients.map((from, index) => pump(from, { to: nameOf((index + 1) % USERS), text: (n) => `${index}/${n}`, window: 20 }));
  await sleep(300);
  await harness.server.stop();
  const lists = await Promise.all(sending);
  for (const client of clients) assert.equal((await client.untilClosed()).code, 1001);
  const acknowledged = lists.flatMap((list, index) => list.map((sent) => ({ ...sent, from: nameOf(index) })));
  await harness.startAgain();
  await checkAll(harness, acknowledged);
  await harness.server.stop();
});

scenario("SIGINT stops too", { shards: [2] }, async (harness) => {
  await harness.start();
  const client = await harness.login("alice");
  harness.server.signal("SIGINT");
  assert.deepEqual(await harness.server.ended(), { code: 0, signal: null });
  assert.equal((await client.untilClosed()).code, 1001);
});

scenario("killed while it starts, again and again: the log stays good for the next start", {}, async (harness) => {
  const options = ["--memtable-bytes", "4M", "--checkpoint-s", "1"];
  await harness.start({ options });
  const acknowledged = await load(harness, 1, 800);
  for (let ms = 2; ms < 200; ms = Math.ceil(ms * 1.7)) killedAfter(ms, harness.server.data, options);
  await harness.startAgain({ options });
  await checkAll(harness, acknowledged);
  await harness.server.stop();
});

scenario("ten restarts, by stop and by kill in turn: one chain of every message, ts ascending", {}, async (harness) => {
  await harness.start();
  const texts = [];
  for (let round = 0; round < 10; round++) {
    const alice = await harness.login("alice");
    for (let n = 0; n < 20; n++) {
      texts.push(`${round}/${n}`);
      await alice.send(n % 2 ? "alice" : "bob", texts.at(-1));
    }
    if (round % 2) await harness.server.kill();
    else await harness.server.stop();
    await harness.startAgain();
  }
  const alice = await harness.login("alice", { after: 0 });
  await alice.untilLive();
  assert.deepEqual(alice.messages.map((message) => message.text), texts);
  await harness.server.stop();
});
