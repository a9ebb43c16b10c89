// PROTOCOL, "peers", and `with` of "history": both are what the whole timeline says, over memory and runs.
import assert from "node:assert/strict";
import { onServers, scenario } from "./lib/harness.mjs";
import { SMALL, untilRuns } from "./lib/offline.mjs";
import { pump, wholeTimeline, wholeTimelineBackwards } from "./lib/traffic.mjs";

const other = ({ from, to }, user) => (from === user ? to : from);
const peersOf = (client, fields = {}) => client.ok({ op: "peers", ...fields });

// What `peers` must say of a timeline, where `marks` has the user's mark of some peers.
function expectedPeers(timeline, user, marks = {}) {
  const all = new Map();
  for (const message of timeline) {
    const peer = other(message, user);
    const { unseen = 0 } = all.get(peer) ?? {};
    const isNew = message.to === user && message.from !== user && message.ts > (marks[peer] ?? 0);
    all.delete(peer);
    all.set(peer, { user: peer, last: message, unseen: Math.min(1000, unseen + (isNew ? 1 : 0)), seen: marks[peer] ?? 0 });
  }
  return [...all.values()].reverse();
}

async function allPeers(client, limit) {
  const all = [];
  for (let before; ; ) {
    const page = await peersOf(client, before === undefined ? { limit } : { limit, before });
    assert.ok(page.peers.length <= limit);
    all.push(...page.peers);
    assert.equal("next" in page, page.more);
    if (!page.more) return all;
    assert.equal(page.next, page.peers.at(-1).last.ts);
    before = page.next;
  }
}

const withoutSeenBy = (peers) => peers.map(({ seen_by, ...fields }) => fields);

onServers("Peers", { options: ["--memtable-bytes", "4M", "--checkpoint-s", "1"] }, (harness, it) => {
  it("a user without messages has no conversations", async () => {
    const client = await harness.login(harness.name());
    const { id, ...page } = await peersOf(client);
    assert.deepEqual(page, { op: "peers", peers: [], more: false });
    assert.deepEqual((await client.history({ with: harness.name() })).messages, []);
  });

  it("the newest conversation comes first, with its last message and what is unseen; one with oneself counts nothing", async () => {
    const alice = await harness.login(harness.name("alice"));
    const names = [harness.name("bob"), harness.name("carol"), harness.name("dave")];
    const peers = await Promise.all(names.map((name) => harness.login(name)));
    for (let n = 0; n < 12; n++) {
      await peers[n % 3].send(alice.user, `to alice ${n}`, { key: `${n}` });
      if (n % 4 === 0) await alice.send(names[(n + 1) % 3], `from alice ${n}`, { key: `k${n}` });
    }
    await alice.send(alice.user, "a note");
    await alice.untilEntries(16);
    const timeline = await wholeTimeline(alice);
    for (const limit of [1, 3, 50]) assert.deepEqual(withoutSeenBy(await allPeers(alice, limit)), expectedPeers(timeline, alice.user));
    assert.equal((await peersOf(alice)).peers[0].user, alice.user);
    await alice.ok({ op: "seen", with: names[1], ts: timeline[8].ts });
    assert.deepEqual(withoutSeenBy(await allPeers(alice, 2)), expectedPeers(timeline, alice.user, { [names[1]]: timeline[8].ts }));
    for (const fields of [{ limit: 0 }, { limit: 1001 }, { before: -1 }, { before: "1" }]) await alice.error({ op: "peers", ...fields }, "bad_request");
    assert.deepEqual((await peersOf(alice, { before: timeline[0].ts })).peers, []);
  });

  it("unseen is exact to 999, and 1000 is more", async () => {
    const [alice, bob] = [await harness.login(harness.name("alice")), await harness.login(harness.name("bob"))];
    await pump(bob, { to: alice.user, count: 999, text: (n) => `${n}` });
    assert.equal((await peersOf(alice)).peers[0].unseen, 999);
    await pump(bob, { to: alice.user, count: 30, text: (n) => `more ${n}` });
    assert.equal((await peersOf(alice)).peers[0].unseen, 1000);
    await alice.untilMessages(1029);
    await alice.ok({ op: "seen", with: bob.user, ts: alice.messages[28].ts });
    assert.equal((await peersOf(alice)).peers[0].unseen, 1000);
    await alice.ok({ op: "seen", with: bob.user, ts: alice.messages[29].ts });
    assert.equal((await peersOf(alice)).peers[0].unseen, 999);
  });

  it("a page takes at most 256 KiB, and long last messages make it shorter", async () => {
    const alice = await harness.login(harness.name("alice"));
    for (let n = 0; n < 6; n++) await alice.send(harness.name("peer"), "\u0001".repeat(16000));
    const page = await peersOf(alice);
    assert.ok(JSON.stringify(page).length <= 256 * 1024);
    assert.equal(page.peers.length, 2);
    assert.equal(page.more, true);
    assert.equal((await allPeers(alice, 1000)).length, 6);
  });

  it("with gives full pages of one peer, forwards and backwards, and more is exact", async () => {
    const alice = await harness.login(harness.name("alice"));
    const [rare, often] = [harness.name("rare"), harness.name("often")];
    for (let n = 0; n < 12; n++) {
      await alice.send(rare, `needle ${n}`);
      await pump(alice, { to: often, count: 1000, text: (k) => `${n}/${k}`, window: 200 });
    }
    const needles = (await wholeTimeline(alice)).filter(({ to }) => to === rare);
    assert.equal(needles.length, 12);
    assert.deepEqual(await wholeTimeline(alice, { with: rare, limit: 5 }), needles);
    assert.deepEqual(await wholeTimelineBackwards(alice, { with: rare, limit: 5 }), needles);
    assert.deepEqual((await alice.history({ with: rare })).messages, needles);
    for (const [limit, more] of [[11, true], [12, false], [13, false]]) {
      const page = await alice.history({ with: rare, limit });
      assert.deepEqual([page.messages, page.more], [needles.slice(-limit), more]);
      const forwards = await alice.history({ with: rare, limit, after: 0 });
      assert.deepEqual([forwards.messages, forwards.more], [needles.slice(0, limit), more]);
    }
    const between = await alice.history({ with: rare, after: needles[3].ts, before: needles[8].ts });
    assert.deepEqual(between.messages, needles.slice(4, 8));
    assert.deepEqual((await alice.history({ with: alice.user })).messages, []);
  });
});

scenario("conversations and their pages are the same in memory, in runs, and after kill -9", {}, async (harness) => {
  const options = { options: SMALL };
  await harness.start(options);
  const users = Array.from({ length: 6 }, (_, n) => `user-${n}`);
  const fill = async (tag) => {
    for (const [n, from] of users.entries()) {
      const client = await harness.login(from);
      for (const [k, to] of users.entries()) if ((n + k) % 5 !== 1) await pump(client, { to, count: 20, text: (i) => `${tag}/${n}/${k}/${i}${"x".repeat(300)}` });
      client.terminate();
    }
  };
  const check = async (how) => {
    for (const user of users) {
      const client = await harness.login(user);
      const timeline = await wholeTimeline(client);
      assert.deepEqual(withoutSeenBy(await allPeers(client, 2)), expectedPeers(timeline, user), `${user} ${how}`);
      for (const peer of users) assert.deepEqual(await wholeTimelineBackwards(client, { with: peer, limit: 7 }), timeline.filter((message) => other(message, user) === peer), `${user} with ${peer} ${how}`);
      client.terminate();
    }
  };
  await fill("first");
  await check("in memory");
  await untilRuns(harness);
  await fill("second");
  await check("in both");
  await harness.server.kill();
  await harness.startAgain(options);
  await check("after kill -9");
  await harness.server.stop();
  await harness.startAgain(options);
  await check("in runs");
});
