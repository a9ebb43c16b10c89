// PROTOCOL, "typing": from each shard to each other one, never stored, answered only if it is asked for.
import assert from "node:assert/strict";
import { onServers } from "./lib/harness.mjs";

const all = (count, make) => Promise.all(Array.from({ length: count }, (_, index) => make(index)));
const typists = (client) => client.pushes.filter((push) => push.op === "typing").map((push) => push.from);

onServers("Typing", {}, (harness, it) => {
  it("users of every shard see each other type, on each of their connections", async () => {
    const users = await all(8, () => harness.login(harness.name()));
    const again = await all(8, (index) => harness.login(users[index].user));
    for (const from of users) for (const to of users) from.raw(JSON.stringify({ op: "typing", to: to.user }));
    for (const [index, client] of [...users, ...again].entries()) {
      const others = users.filter((_, other) => other !== index % 8).map((other) => other.user);
      await client.until(() => client.pushes.length >= 7, "seven users type");
      assert.deepEqual(typists(client).sort(), others.sort());
      for (const push of client.pushes) assert.deepEqual(Object.keys(push), ["op", "from"]);
    }
  });

  it("of ten at once one passes, each with an id has its ok, and nothing is in a timeline", async () => {
    const [alice, bob] = [await harness.login(harness.name()), await harness.login(harness.name())];
    for (const reply of await all(10, () => alice.request({ op: "typing", to: bob.user }))) assert.deepEqual(Object.keys(reply), ["op", "id"]);
    await alice.ok({ op: "typing", to: alice.user });
    await alice.ok({ op: "typing", to: harness.name("nobody") });
    await alice.send(bob.user, "done");
    await bob.untilMessages(1);
    assert.equal(bob.messages[0].prev, 0);
    await bob.until(() => bob.pushes.length > 0, "alice types");
    assert.equal(alice.pushes.length, 0);
    assert.equal(alice.stray.length, 0);
    assert.equal((await alice.ok({ op: "history" })).messages.length, 1);
  });

  it("what is wrong with it is said, and it needs a login", async () => {
    const alice = await harness.login(harness.name());
    for (const to of [undefined, null, 7, "", "a b", "x".repeat(129)]) assert.equal((await alice.request({ op: "typing", to })).code, "bad_request");
    alice.raw(JSON.stringify({ op: "typing" }));
    await alice.until(() => alice.stray.length > 0, "an error without an id");
    assert.equal(alice.stray[0].code, "bad_request");
    const stranger = await harness.client();
    assert.equal((await stranger.request({ op: "typing", to: alice.user })).code, "not_logged_in");
  });
});
