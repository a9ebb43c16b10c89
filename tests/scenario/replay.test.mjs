// PROTOCOL, "login": `last`, `after`, `epoch`, replay and live without a seam.
import assert from "node:assert/strict";
import { onServers, scenario } from "./lib/harness.mjs";
import { scaled } from "./lib/server.mjs";
import { Raw, frameOf } from "./lib/raw.mjs";
import { pump, wholeTimeline } from "./lib/traffic.mjs";

onServers("Replay", {}, (harness, it) => {
  async function bobWith(count) {
    const [alice, name] = [await harness.login(harness.name()), harness.name()];
    await pump(alice, { to: name, count, text: (n) => `m${n}`, window: 50 });
    return { alice, name };
  }

  it("last is the newest ts, and history up to it with the pushes after it is everything", async () => {
    const { alice, name } = await bobWith(10);
    const bob = await harness.login(name);
    assert.equal(bob.login.last, (await wholeTimeline(bob)).at(-1).ts);
    assert.ok(!("reset" in bob.login));
    await alice.send(name, "new");
    await bob.untilMessages(1);
    assert.equal(bob.messages[0].prev, bob.login.last);
    await bob.ok({ op: "ping" });
    assert.equal(bob.lives.length, 0, "without `after` there is no `live`");
  });

  it("with after, all newer entries come oldest first, then live, then new ones", async () => {
    const { alice, name } = await bobWith(700);
    const first = await harness.login(name);
    const timeline = await wholeTimeline(first);
    for (const skip of [0, 1, 350, 699, 700]) {
      const after = skip === 0 ? 0 : timeline[skip - 1].ts;
      const bob = await harness.login(name, { after, epoch: first.epoch });
      await bob.untilLive();
      assert.deepEqual(bob.messages.map((message) => message.ts), timeline.slice(skip).map((message) => message.ts));
      assert.equal(bob.lives[0], 700 - skip);
      bob.terminate();
    }
    const bob = await harness.login(name, { after: timeline.at(-1).ts });
    await alice.send(name, "new");
    await bob.untilMessages(1);
    await bob.untilLive();
  });

  it("with max, exactly the newest are replayed, and skipped_until says where they begin; history has the others", async () => {
    const { alice, name } = await bobWith(1200);
    const timeline = await wholeTimeline(await harness.login(name));
    for (const [skip, max] of [[0, 0], [0, 1], [0, 1100], [200, 999], [200, 1000], [200, 10000], [1200, 0]]) {
      const after = skip === 0 ? 0 : timeline[skip - 1].ts;
      const bob = await harness.login(name, { after, max });
      await bob.untilLive();
      const first = Math.max(skip, 1200 - max);
      assert.deepEqual(bob.messages.map((message) => message.ts), timeline.slice(first).map((message) => message.ts));
      assert.equal(bob.login.skipped_until, first > skip ? timeline[first - 1].ts : undefined);
      if (first > skip) {
        const page = await bob.ok({ op: "history", after, before: bob.login.skipped_until + 1, limit: 1000 });
        assert.equal(page.messages[0].ts, timeline[skip].ts);
        assert.equal(page.messages.at(-1).ts, timeline[Math.min(first, skip + 1000) - 1].ts);
      }
      bob.terminate();
    }
    const bob = await harness.login(name, { after: 0, max: 0 });
    await alice.send(name, "new");
    await bob.untilMessages(1);
    assert.equal(bob.messages[0].prev, timeline.at(-1).ts);
    const wrong = await harness.client();
    for (const max of [-1, 10001, 1.5, "1", null]) assert.equal((await wrong.request({ op: "login", user: name, after: 0, max })).code, "bad_request");
  });

  it("what this user sent is replayed too, with its key", async () => {
    const alice = await harness.login(harness.name());
    await alice.send(harness.name(), "mine", { key: "my key" });
    const again = await harness.login(alice.user, { after: 0 });
    await again.untilLive();
    assert.equal(again.messages[0].text, "mine");
    assert.equal(again.messages[0].key, "my key");
  });

  it("an after between two entries is fine", async () => {
    const { name } = await bobWith(3);
    const timeline = await wholeTimeline(await harness.login(name));
    const raw = await (await Raw.open(harness.server)).upgrade(); // `Client` would compare `prev` with its cursor, which is not set here
    raw.write(frameOf(JSON.stringify({ op: "login", user: name, after: timeline[1].ts - 1 })));
    const frames = [];
    while (frames.at(-1)?.op !== "live") frames.push(JSON.parse((await raw.frame()).payload));
    raw.destroy();
    assert.deepEqual(frames.map((frame) => frame.op), ["ok", "msg", "msg", "live"]);
    assert.deepEqual(frames.slice(1, 3).map((frame) => [frame.ts, frame.prev]), [[timeline[1].ts, timeline[0].ts], [timeline[2].ts, timeline[1].ts]]);
  });

  it("another epoch, or an after beyond last, resets: nothing is replayed and live follows at once", async () => {
    const { name } = await bobWith(5);
    const first = await harness.login(name);
    const last = first.login.last;
    for (const fields of [{ after: 0, epoch: "another" }, { after: last + 1 }, { after: last + 1, epoch: first.epoch }]) {
      const bob = await harness.login(name, fields);
      assert.equal(bob.login.reset, true);
      assert.equal(bob.login.last, last);
      await bob.untilLive();
      assert.equal(bob.entries.length, 0);
    }
    const bob = await harness.login(name, { epoch: "another" });
    assert.equal(bob.login.reset, true);
    await bob.ok({ op: "ping" });
    assert.equal(bob.lives.length, 0);
  });

  it("an empty timeline has last 0, and after 0 is live at once", async () => {
    const bob = await harness.login(harness.name(), { after: 0 });
    assert.equal(bob.login.last, 0);
    assert.ok(!("reset" in bob.login));
    await bob.untilLive();
  });

  it("requests are answered during a replay, and the ok of a send comes in order", async () => {
    const { name } = await bobWith(scaled(3000));
    const bob = await harness.client();
    const login = bob.request({ op: "login", user: name, after: 0 });
    const replies = Array.from({ length: 50 }, (_, n) => bob.request(n % 2 ? { op: "send", to: name, text: `own ${n}` } : { op: "ping" }));
    assert.equal((await login).op, "ok");
    for (const reply of await Promise.all(replies)) assert.equal(reply.op, "ok");
    await bob.untilLive();
    const timeline = await wholeTimeline(bob);
    assert.deepEqual(bob.entries.map((entry) => entry.ts), timeline.map((entry) => entry.ts));
  });
});

scenario("100,000 missed messages are replayed while others keep sending: complete, in order, the chain unbroken", {}, async (harness) => {
  await harness.start({ options: ["--memtable-bytes", "8M", "--checkpoint-s", "2"] });
  const count = scaled(100000);
  const senders = await Promise.all(Array.from({ length: 4 }, (_, index) => harness.login(`sender-${index}`)));
  await Promise.all(senders.map((from, index) => pump(from, { to: "bob", count: count / 4, text: (n) => `${index}-${n}`, window: 250 })));
  let stop = false;
  const noise = senders.map((from, index) => pump(from, { to: "bob", text: (n) => `late-${index}-${n}`, window: 20, stopped: () => stop }));
  const bob = await harness.login("bob", { after: 0 });
  await bob.untilLive();
  const atLive = bob.entries.length;
  assert.ok(atLive >= count);
  await bob.untilEntries(atLive + 100);
  stop = true;
  const late = (await Promise.all(noise)).reduce((sum, list) => sum + list.length, 0);
  await bob.untilEntries(count + late);
  const texts = new Set(bob.messages.map((message) => message.text));
  assert.equal(texts.size, count + late);
  for (let index = 0; index < 4; index++) for (let n = 0; n < count / 4; n++) assert.ok(texts.has(`${index}-${n}`));
  bob.check();
  await harness.server.stop();
});

scenario("a slow reader of a replay is not cut off and gets all", {}, async (harness) => {
  await harness.start({ options: ["--output-bytes", "256K"] });
  const count = scaled(4000);
  const alice = await harness.login("alice");
  await pump(alice, { to: "bob", count, text: (n) => "x".repeat(1000) + n, window: 100 });
  const bob = await harness.client();
  const login = bob.request({ op: "login", user: "bob", after: 0 });
  await login;
  for (let i = 0; i < 10; i++) {
    bob.pause();
    await new Promise((resolve) => setTimeout(resolve, 100));
    bob.resume();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await bob.untilLive();
  assert.equal(bob.messages.length, count);
  assert.equal(bob.closed, undefined);
  await harness.server.stop();
});

scenario("the epoch is kept through stop and kill; a store begun anew has another, and a cursor of the old one is void", { shards: [2] }, async (harness) => {
  await harness.start();
  const alice = await harness.login("alice");
  for (const text of ["one", "two"]) await alice.send("bob", text);
  const first = await harness.login("bob", { after: 0 });
  await first.untilLive();
  await harness.server.stop();
  await harness.startAgain();
  await (await harness.login("alice")).send("bob", "three");
  await harness.server.kill();
  await harness.startAgain();
  const back = await harness.login("bob", { after: first.cursor, epoch: first.epoch });
  await back.untilLive();
  assert.equal(back.epoch, first.epoch);
  assert.deepEqual(back.messages.map((message) => message.text), ["three"]);
  await harness.server.stop();
  await harness.start();
  const anew = await harness.login("bob", { after: first.cursor, epoch: first.epoch });
  assert.notEqual(anew.epoch, first.epoch);
  assert.equal(anew.login.reset, true);
  assert.equal(anew.login.last, 0);
  await anew.untilLive();
  assert.equal(anew.entries.length, 0);
  await harness.server.stop();
});
