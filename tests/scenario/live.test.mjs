// PROTOCOL, "Order and gaps" and "send": in real time, on every connection, whatever shard it was accepted on.
import assert from "node:assert/strict";
import { onServers, scenario } from "./lib/harness.mjs";
import { scaled } from "./lib/server.mjs";
import { checkHolds, pump, wholeTimeline } from "./lib/traffic.mjs";

const all = (count, make) => Promise.all(Array.from({ length: count }, (_, index) => make(index)));

onServers("Live", {}, (harness, it) => {
  it("a message reaches its recipient, with the mid of the ok and a ts of its own", async () => {
    const [alice, bob] = [await harness.login(harness.name()), await harness.login(harness.name())];
    const ok = await alice.send(bob.user, "hi", { key: "k1" });
    await bob.untilMessages(1);
    const { ts, ...message } = bob.messages[0];
    assert.deepEqual(message, { op: "msg", prev: 0, mid: ok.mid, from: alice.user, to: bob.user, text: "hi" });
    assert.ok(Number.isSafeInteger(ts));
  });

  it("users of every shard reach each other", async () => {
    const users = await all(12, () => harness.login(harness.name()));
    await Promise.all(users.flatMap((from) => users.map((to) => from.send(to.user, `${from.user} to ${to.user}`))));
    for (const user of users) {
      await user.untilEntries(2 * users.length - 1);
      const timeline = await wholeTimeline(user);
      assert.deepEqual(user.entries.map((entry) => entry.ts), timeline.map((entry) => entry.ts));
      assert.equal(timeline.length, 2 * users.length - 1, "the message to oneself stands once");
    }
  });

  it("each of ten connections of one user gets everything once, in one order", async () => {
    const name = harness.name();
    const connections = await all(10, () => harness.login(name));
    const others = await all(4, () => harness.login(harness.name()));
    const each = scaled(50);
    await Promise.all(others.map((other) => pump(other, { to: name, count: each, text: (n) => `${other.user} ${n}`, window: 10 })));
    for (const connection of connections) {
      await connection.untilMessages(4 * each);
      assert.deepEqual(connection.messages, connections[0].messages);
    }
  });

  it("the sender's other connections get what it sent, with its key, the sending one only the ok", async () => {
    const name = harness.name();
    const [here, there, bob] = [await harness.login(name), await harness.login(name), await harness.login(harness.name())];
    const ok = await here.send(bob.user, "x", { key: "the key" });
    await there.untilMessages(1);
    assert.deepEqual(there.messages[0], { op: "msg", ts: ok.ts, prev: ok.prev, mid: ok.mid, from: name, to: bob.user, key: "the key", text: "x" });
    await bob.untilMessages(1);
    await here.ok({ op: "ping" });
    assert.equal(here.messages.length, 0);
  });

  it("a message to oneself is one entry: the ok here, a msg on the other connections", async () => {
    const name = harness.name();
    const [here, there] = [await harness.login(name), await harness.login(name)];
    const ok = await here.send(name, "note");
    await there.untilMessages(1);
    assert.equal(there.messages[0].ts, ok.ts);
    assert.equal((await wholeTimeline(here)).length, 1);
    assert.equal(here.messages.length, 0);
  });

  it("a recipient that never logged in finds what was sent", async () => {
    const alice = await harness.login(harness.name());
    const name = harness.name("never-seen");
    for (let i = 0; i < 5; i++) await alice.send(name, `for later ${i}`);
    const later = await harness.login(name, { after: 0 });
    await later.untilLive();
    assert.deepEqual(later.messages.map((message) => message.text), [0, 1, 2, 3, 4].map((i) => `for later ${i}`));
  });

  it("accepted sends of one connection to one recipient keep their order in both timelines", async () => {
    const [alice, bob] = [await harness.login(harness.name()), await harness.login(harness.name())];
    const count = scaled(3000);
    const acknowledged = await pump(alice, { to: bob.user, count, text: (n) => `n ${n}`, window: 1 });
    await Promise.all(Array.from({ length: count }, (_, n) => alice.request({ op: "send", to: bob.user, text: `m ${n}` })));
    assert.equal(acknowledged.length, count);
    for (const user of [alice, bob]) {
      const texts = (await wholeTimeline(user)).map((message) => message.text);
      const ordered = texts.map((text) => Number(text.slice(2)));
      assert.deepEqual(ordered.slice(0, count), Array.from({ length: count }, (_, n) => n));
      for (let i = count + 1; i < ordered.length; i++) assert.ok(ordered[i] > ordered[i - 1]);
    }
  });

  it("more than 1,024 requests at once are all answered", async () => {
    const alice = await harness.login(harness.name());
    const replies = await all(5000, (n) => alice.request(n % 2 ? { op: "ping" } : { op: "history", limit: 1 }));
    assert.ok(replies.every((reply) => reply.op === "ok" || reply.op === "history"));
  });

  it("frames behind the login, in one piece with it, are taken up when it has been answered", async () => {
    const client = await harness.client();
    const user = harness.name();
    const replies = [client.request({ op: "login", user }), client.request({ op: "send", to: user, text: "at once" }), client.request({ op: "ping" })];
    assert.ok((await Promise.all(replies)).every((reply) => reply.op === "ok"));
    assert.equal((await replies[0]).last, 0);
  });

  it("a connection that leaves in the middle harms nobody", async () => {
    const bob = await harness.login(harness.name());
    for (let i = 0; i < 20; i++) {
      const alice = await harness.login(harness.name());
      for (let n = 0; n < 50; n++) alice.request({ op: "send", to: bob.user, text: `${n}` });
      alice.terminate();
    }
    await bob.ok({ op: "ping" });
    bob.check();
  });
});

scenario("many users write to each other at random and every timeline is whole", {}, async (harness) => {
  await harness.start({ options: ["--memtable-bytes", "4M", "--checkpoint-s", "1"] });
  const users = await all(20, (index) => harness.login(`user-${index}`));
  const acknowledged = await Promise.all(
    users.map((from, index) =>
      pump(from, { to: `user-${(index * 7 + 3) % 20}`, count: scaled(2000), text: (n) => `${index} says ${n}`, window: 20 }),
    ),
  );
  for (const [index, user] of users.entries()) {
    await user.untilEntries(2 * scaled(2000));
    const timeline = await wholeTimeline(user);
    assert.deepEqual(timeline.map((entry) => entry.ts), user.entries.map((entry) => entry.ts));
    checkHolds(timeline.filter((entry) => entry.from === user.user), acknowledged[index], { isSender: true });
    const sentHere = acknowledged[(index * 3 + 11) % 20]; // who sends to this user: 7 * 3 is 1 modulo 20
    checkHolds(timeline.filter((entry) => entry.to === user.user), sentHere, { isSender: false });
  }
  await harness.server.stop();
});
