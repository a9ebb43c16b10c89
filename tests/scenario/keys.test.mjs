// PROTOCOL, "send": `key` makes a resend safe, through restarts too.
import assert from "node:assert/strict";
import { onServers, scenario } from "./lib/harness.mjs";
import { scaled } from "./lib/server.mjs";
import { pump, wholeTimeline } from "./lib/traffic.mjs";

function isDupOf(reply, first) {
  assert.equal(reply.op, "ok", JSON.stringify(reply));
  const { id, ...rest } = reply;
  assert.deepEqual(rest, { op: "ok", ts: first.ts, mid: first.mid, dup: true });
}

onServers("Keys", {}, (harness, it) => {
  it("a key used again stores nothing, pushes nothing, and gives the first one's ts and mid", async () => {
    const [alice, bob] = [await harness.login(harness.name()), await harness.login(harness.name())];
    const first = await alice.send(bob.user, "once", { key: "k" });
    assert.ok(!("dup" in first));
    const other = await harness.login(alice.user);
    isDupOf(await alice.send(bob.user, "once", { key: "k" }), first);
    isDupOf(await other.send(bob.user, "once", { key: "k" }), first);
    await alice.send(bob.user, "next");
    await bob.untilMessages(2);
    assert.deepEqual(bob.messages.map((message) => message.text), ["once", "next"]);
    assert.equal((await wholeTimeline(alice)).length, 2);
  });

  it("the same key with another to or text is key_conflict, and the first is kept", async () => {
    const alice = await harness.login(harness.name());
    const [bob, carol] = [harness.name(), harness.name()];
    const first = await alice.send(bob, "once", { key: "k" });
    await alice.error({ op: "send", to: bob, text: "twice", key: "k" }, "key_conflict");
    await alice.error({ op: "send", to: carol, text: "once", key: "k" }, "key_conflict");
    isDupOf(await alice.send(bob, "once", { key: "k" }), first);
  });

  it("a key is the sender's own, and compared byte by byte", async () => {
    const [alice, bob] = [await harness.login(harness.name()), await harness.login(harness.name())];
    const keys = ["k", "K", "k ", "\u00e9", "e\u0301", "k".repeat(64), "\u0001"];
    for (const key of keys) assert.ok(!("dup" in (await alice.send(bob.user, "x", { key }))));
    for (const key of keys) assert.equal((await alice.send(bob.user, "x", { key })).dup, true);
    assert.ok(!("dup" in (await bob.send(bob.user, "x", { key: "k" }))));
  });

  it("many sends with one key at once store one message", async () => {
    const name = harness.name();
    const connections = await Promise.all(Array.from({ length: 5 }, () => harness.login(name)));
    const to = harness.name();
    const replies = await Promise.all(
      connections.flatMap((one) => Array.from({ length: 20 }, () => one.request({ op: "send", to, text: "x", key: "same" }))),
    );
    assert.ok(replies.every((reply) => reply.op === "ok"));
    assert.equal(replies.filter((reply) => !reply.dup).length, 1);
    assert.equal(new Set(replies.map((reply) => `${reply.ts} ${reply.mid}`)).size, 1);
    assert.equal((await wholeTimeline(connections[0])).length, 1);
  });

  it("keys resent while their first is pending share its outcome, to users of every shard", async () => {
    const alice = await harness.login(harness.name());
    const to = Array.from({ length: 16 }, () => harness.name());
    const count = 300;
    for (let n = 0; n < count; n++) {
      const fields = { op: "send", to: to[n % to.length], text: `${n}`, key: `k${n}` };
      const replies = await Promise.all([fields, fields, { ...fields, text: "other" }, fields].map((one) => alice.request(one)));
      assert.deepEqual(replies.map((reply) => reply.code ?? reply.dup ?? reply.op), ["ok", true, "key_conflict", true]);
      for (const reply of [replies[1], replies[3]]) isDupOf(reply, replies[0]);
    }
    assert.deepEqual((await wholeTimeline(alice)).map((message) => message.text), Array.from({ length: count }, (_, n) => `${n}`));
  });

  it("a key to oneself works the same", async () => {
    const alice = await harness.login(harness.name());
    const first = await alice.send(alice.user, "note", { key: "k" });
    isDupOf(await alice.send(alice.user, "note", { key: "k" }), first);
    assert.equal((await wholeTimeline(alice)).length, 1);
  });

  it("keys are known on a new connection, when the user has been away", async () => {
    const alice = await harness.login(harness.name());
    const first = await alice.send(harness.name("b"), "x", { key: "k" });
    const to = (await alice.history()).messages[0].to;
    await alice.close();
    isDupOf(await (await harness.login(alice.user)).send(to, "x", { key: "k" }), first);
  });
});

scenario("the newest 10,000 keys are known, also after kill -9, from memory and from runs", {}, async (harness) => {
  const options = ["--memtable-bytes", "4M", "--checkpoint-s", "1"];
  await harness.start({ options });
  const count = scaled(10000);
  const fields = { to: "bob", text: (n) => `t${n}`, key: (n) => `key ${n}`, window: 200 };
  const sent = await pump(await harness.login("alice"), { ...fields, count });
  assert.equal(sent.length, count);
  await harness.server.kill();
  await harness.startAgain({ options });
  const again = await pump(await harness.login("alice"), { ...fields, count });
  const byIndex = new Map(sent.map((one) => [one.index, one]));
  for (const one of again) {
    assert.equal(one.dup, true, `key ${one.index} was forgotten`);
    assert.equal(one.mid, byIndex.get(one.index).mid);
    assert.equal(one.ts, byIndex.get(one.index).ts);
  }
  const bob = await harness.login("bob");
  assert.equal((await wholeTimeline(bob)).length, count);
  await harness.server.stop();
  await harness.startAgain({ options });
  const alice = await harness.login("alice");
  await alice.error({ op: "send", to: "bob", text: "other", key: "key 7" }, "key_conflict");
  assert.equal((await alice.send("bob", "t7", { key: "key 7" })).dup, true);
  await harness.server.stop();
});
