// PROTOCOL, "watch" and "presence": who is online, over all shards, and who may see it.
import assert from "node:assert/strict";
import { onServers } from "./lib/harness.mjs";

const all = (count, make) => Promise.all(Array.from({ length: count }, (_, index) => make(index)));
const states = (client) => client.pushes.map(({ user, online }) => `${user} ${online ? "comes" : "goes"}`);

onServers("Presence of all", { options: ["--presence", "all"] }, (harness, it) => {
  it("users of every shard are seen online, come and go", async () => {
    const names = Array.from({ length: 12 }, () => harness.name());
    const watcher = await harness.login(harness.name());
    const first = await all(6, (index) => harness.login(names[index]));
    const { online } = await watcher.ok({ op: "watch", users: [...names, names[0], harness.name("nobody")] });
    assert.deepEqual(online, names.slice(0, 6));
    await all(6, (index) => harness.login(names[6 + index]));
    await watcher.untilPushes(6);
    assert.deepEqual(states(watcher).sort(), names.slice(6).map((name) => `${name} comes`).sort());
    for (const client of first) client.terminate();
    await watcher.untilPushes(12);
    assert.deepEqual(states(watcher).slice(6).sort(), names.slice(0, 6).map((name) => `${name} goes`).sort());
  });

  it("a new watch replaces the list, an empty one ends it, and it ends with its connection", async () => {
    const [watcher, a, b] = [await harness.login(harness.name()), harness.name(), harness.name()];
    await watcher.ok({ op: "watch", users: [a] });
    await watcher.ok({ op: "watch", users: [b] });
    const others = [await harness.login(a), await harness.login(b)];
    await watcher.untilPushes(1);
    await watcher.ok({ op: "watch", users: [] });
    for (const client of others) client.terminate();
    assert.deepEqual((await watcher.ok({ op: "watch", users: [] })).online, []);
    const again = await harness.login(watcher.user);
    await harness.login(a);
    await again.ok({ op: "ping" });
    assert.deepEqual(states(watcher), [`${b} comes`]);
    assert.equal(again.pushes.length, 0);
  });

  it("a thousand users are a list, one more and what is no list of names are refused", async () => {
    const watcher = await harness.login(harness.name());
    const users = Array.from({ length: 1000 }, (_, index) => `${"x".repeat(100)}-${index}`);
    users[999] = watcher.user;
    assert.deepEqual((await watcher.ok({ op: "watch", users })).online, [watcher.user]);
    for (const wrong of [undefined, null, "a", {}, [...users, "one-more"], [1], ["a b"], [""], [null], [["a"]], ["a\",\"b"], ["x".repeat(129)]])
      assert.equal((await watcher.request({ op: "watch", users: wrong })).code, "bad_request", JSON.stringify(wrong)?.slice(0, 40));
    await watcher.ok({ op: "watch", users: [] });
  });
});

onServers("Presence of peers", {}, (harness, it) => {
  it("only those with whom there is a conversation are seen, by either side", async () => {
    const [alice, bob, carol] = [await harness.login(harness.name()), await harness.login(harness.name()), await harness.login(harness.name())];
    assert.deepEqual((await alice.ok({ op: "watch", users: [bob.user, carol.user] })).online, []);
    await alice.send(bob.user, "hi");
    assert.deepEqual((await alice.ok({ op: "watch", users: [carol.user, bob.user] })).online, [bob.user]);
    assert.deepEqual((await bob.ok({ op: "watch", users: [alice.user, carol.user] })).online, [alice.user]);
    carol.terminate();
    bob.terminate();
    await alice.untilPushes(1);
    await harness.login(carol.user);
    await harness.login(bob.user);
    await alice.untilPushes(2);
    assert.deepEqual(states(alice), [`${bob.user} goes`, `${bob.user} comes`]);
  });
});

onServers("Presence off", { shards: [2], options: ["--presence", "off"] }, (harness, it) => {
  it("nobody is seen", async () => {
    const [alice, bob] = [await harness.login(harness.name()), await harness.login(harness.name())];
    await alice.send(bob.user, "hi");
    assert.deepEqual((await alice.ok({ op: "watch", users: [bob.user] })).online, []);
    bob.terminate();
    await alice.ok({ op: "ping" });
    assert.equal(alice.pushes.length, 0);
  });
});
