// What the JavaScript client shows of people, against the real server: conversations, marks, presence, typing, and what it leaves
// out after a long absence.
import assert from "node:assert/strict";
import { afterEach } from "node:test";
import { scenario } from "./lib/harness.mjs";
import { clockOf, stopTabs, Tab, tabsOf } from "./lib/js_talk.mjs";
import { until } from "./lib/server.mjs";

afterEach(stopTabs);

// The events of this type, in the order in which they come.
function eventsOf(tab, type) {
  const events = [];
  tab.client.on(type, (event) => events.push(event));
  return events;
}

scenario("after a long absence the newest messages come, and history has what was left out", { shards: [2] }, async (harness) => {
  await harness.start();
  const [alice] = await tabsOf(harness.server.url(), ["alice"], () => ({ replayMax: 10 }));
  await alice.send("bob", "before").outcome;
  await alice.client.stop();
  const bob = await harness.login("bob");
  for (let n = 0; n < 30; n++) await bob.send("alice", `missed ${n}`);
  const skipped = eventsOf(alice, "skipped");
  await alice.client.start();
  await alice.until("live");
  assert.deepEqual(alice.received.map(({ text }) => text), ["before", ...Array.from({ length: 10 }, (_, n) => `missed ${n + 20}`)]);
  const { after, until: last } = skipped[0];
  assert.deepEqual([skipped.length, after], [1, alice.received[0].ts]);
  const texts = [];
  for await (const { messages } of alice.client.history({ after, before: last + 1, limit: 7 })) texts.push(...messages.map(({ text }) => text));
  assert.deepEqual(texts, Array.from({ length: 20 }, (_, n) => `missed ${n}`));
  assert.deepEqual((await alice.storage.entries()).map(({ text }) => text), alice.received.slice(1).map(({ text }) => text), "the storage has no hole");
});

scenario("the other one sees that somebody is typing", { shards: [2] }, async (harness) => {
  await harness.start();
  const [alice, bob] = await tabsOf(harness.server.url(), ["alice", "bob"]);
  const typing = eventsOf(bob, "typing");
  alice.client.typing("bob");
  await until("typing", () => typing.length === 1);
  assert.deepEqual(typing, [{ from: "alice" }]);
  assert.ok((await alice.send("bob", "done").outcome).ok);
});

scenario("who is watched comes and goes, also over a restart of the server", { shards: [2] }, async (harness) => {
  await harness.start();
  const options = () => ({ clock: clockOf(10) });
  const [alice, bob] = await tabsOf(harness.server.url(), ["alice", "bob"], options);
  await alice.send("bob", "hello").outcome;
  await alice.send("carol", "hello").outcome;
  const presence = eventsOf(alice, "presence");
  assert.deepEqual(await alice.client.watch(["carol", "bob", "stranger"]), ["bob"]);
  const [carol] = await tabsOf(harness.server.url(), ["carol"], options);
  await until("carol", () => alice.client.online.has("carol"));
  await bob.client.stop();
  await until("bob to be offline", () => !alice.client.online.has("bob"));
  assert.deepEqual(presence, [{ user: "bob", online: true }, { user: "carol", online: true }, { user: "bob", online: false }]);
  await carol.client.stop();
  await until("carol to be offline", () => alice.client.online.size === 0);
  await harness.server.kill();
  await harness.startAgain({ listen: [`127.0.0.1:${harness.server.address.port}`] });
  await alice.until("live");
  await bob.client.start();
  await until("bob to be online", () => alice.client.online.has("bob"));
});

scenario("marks reach the peer and the user's other devices, and conversations have their counts", { shards: [2] }, async (harness) => {
  await harness.start();
  const [alice, phone, bob] = await tabsOf(harness.server.url(), ["alice", "alice", "bob"], () => ({ clock: clockOf(10) }));
  const [seen, seenBy] = [eventsOf(phone, "seen"), eventsOf(bob, "seen_by")];
  const sent = [];
  for (const text of ["1", "2", "3"]) sent.push(await bob.send("alice", text).outcome);
  await until("the messages", () => alice.received.length === 3 && phone.received.length === 3);
  const ts = alice.received[1].ts;
  assert.equal(await alice.client.seen("bob", ts), true);
  await until("the pushes", () => seen.length === 1 && seenBy.length === 1);
  assert.deepEqual(seen, [{ with: "bob", ts }]);
  assert.deepEqual(seenBy, [{ user: "alice", ts: sent[1].ts, mid: sent[1].mid }]);
  const conversations = async (tab) => {
    const all = [];
    for await (const { peers } of tab.client.peers({ limit: 1 })) all.push(...peers);
    return all;
  };
  await bob.send("carol", "4").outcome;
  const [withAlice] = await conversations(alice);
  assert.deepEqual([withAlice.user, withAlice.last.text, withAlice.unseen, withAlice.seen], ["bob", "3", 1, ts]);
  assert.deepEqual((await conversations(bob)).map(({ user, unseen, seen_by }) => [user, unseen, seen_by]), [["carol", 0, 0], ["alice", 0, sent[1].ts]]);
  // The mark is durable, and asked again until it is.
  await harness.server.kill();
  const marked = alice.client.seen("bob", alice.received[2].ts);
  await harness.startAgain({ listen: [`127.0.0.1:${harness.server.address.port}`] });
  assert.equal(await marked, true);
  assert.deepEqual((await conversations(phone)).map(({ unseen, seen }) => [unseen, seen]), [[0, alice.received[2].ts]]);
});
