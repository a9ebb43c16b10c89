// PROTOCOL, "seen": marks are durable, never go back, and reach the connections of both users.
import assert from "node:assert/strict";
import { Api } from "./lib/api.mjs";
import { onServers, scenario } from "./lib/harness.mjs";
import { SMALL, untilRuns } from "./lib/offline.mjs";

const seen = (client, peer, ts) => client.ok({ op: "seen", with: peer, ts });
const peerOf = async (client, peer) => (await client.ok({ op: "peers", limit: 1000 })).peers.find(({ user }) => user === peer);

// A message from bob to alice: { ts, mid } in alice's timeline, and `sent` in bob's.
async function receive(alice, bob, text) {
  const sent = await bob.send(alice.user, text);
  await alice.until(() => alice.messages.some(({ mid }) => mid === sent.mid), text);
  return { ts: alice.messages.find(({ mid }) => mid === sent.mid).ts, mid: sent.mid, sent: sent.ts };
}

async function pair(harness) {
  const names = [harness.name("alice"), harness.name("bob")];
  return [await harness.login(names[0]), await harness.login(names[1])];
}

onServers("Seen", {}, (harness, it) => {
  it("a mark gets ok, the user's other connections get seen, the peer's get seen_by", async () => {
    const [alice, bob] = await pair(harness);
    const other = await harness.login(alice.user);
    const last = await receive(alice, bob, "hello");
    assert.deepEqual(Object.keys(await seen(alice, bob.user, last.ts)), ["op", "id"]);
    await other.untilPushes(1);
    await bob.untilPushes(1);
    assert.deepEqual(other.pushes, [{ op: "seen", with: bob.user, ts: last.ts }]);
    assert.deepEqual(bob.pushes, [{ op: "seen_by", user: alice.user, ts: last.sent, mid: last.mid }]);
    await alice.ok({ op: "ping" });
    assert.deepEqual(alice.pushes, [], "not the one that asked");
    const { unseen, seen: mark } = await peerOf(alice, bob.user);
    assert.deepEqual([unseen, mark], [0, last.ts]);
    assert.equal((await peerOf(bob, alice.user)).seen_by, last.sent);
  });

  it("a mark that sees nothing new gets ok and no push, and no mark goes back", async () => {
    const [alice, bob] = await pair(harness);
    const first = await receive(alice, bob, "one");
    const second = await receive(alice, bob, "two");
    const own = await alice.send(bob.user, "mine");
    await seen(alice, bob.user, second.ts);
    for (const ts of [second.ts, first.ts, 0, own.ts, Number.MAX_SAFE_INTEGER]) await seen(alice, bob.user, ts);
    for (const name of [alice.user, harness.name("nobody")]) await seen(alice, name, own.ts);
    await seen(bob, alice.user, Number.MAX_SAFE_INTEGER);
    await alice.untilPushes(1);
    await bob.ok({ op: "ping" });
    assert.deepEqual(bob.pushes.filter(({ op }) => op === "seen_by").map(({ mid }) => mid), [second.mid]);
    assert.equal((await peerOf(alice, bob.user)).seen, second.ts);
  });

  it("the mark is the ts that was given, and one above all entries counts as the newest", async () => {
    const [alice, bob] = await pair(harness);
    const first = await receive(alice, bob, "one");
    await receive(alice, await harness.login(harness.name("carol")), "from another");
    const second = await receive(alice, bob, "two");
    await seen(alice, bob.user, second.ts - 1);
    assert.deepEqual(await peerOf(alice, bob.user).then(({ seen: mark, unseen }) => [mark, unseen]), [second.ts - 1, 1]);
    await seen(alice, bob.user, Number.MAX_SAFE_INTEGER);
    assert.deepEqual(await peerOf(alice, bob.user).then(({ seen: mark, unseen }) => [mark, unseen]), [second.ts, 0]);
    await bob.untilPushes(2);
    assert.deepEqual(bob.pushes.map(({ ts }) => ts), [first.sent, second.sent]);
  });

  it("a mark is no entry of a timeline, and many in flight give pushes that only rise", async () => {
    const [alice, bob] = await pair(harness);
    const all = [];
    for (let n = 0; n < 30; n++) all.push(await receive(alice, bob, `${n}`));
    const cursors = [alice.cursor, bob.cursor];
    await Promise.all(all.concat([...all].reverse()).map(({ ts }) => seen(alice, bob.user, ts)));
    await bob.until(() => bob.pushes.at(-1)?.mid === all.at(-1).mid, "the newest mark");
    const pushed = bob.pushes.map(({ ts }) => ts);
    assert.deepEqual(pushed, [...new Set(pushed)].sort((a, b) => a - b));
    assert.equal((await peerOf(alice, bob.user)).seen, all.at(-1).ts);
    assert.deepEqual([(await harness.login(alice.user)).login.last, (await harness.login(bob.user)).login.last], cursors);
  });

  it("fields are checked, and with is required", async () => {
    const alice = await harness.login(harness.name());
    for (const fields of [{ ts: 5 }, { with: "b" }, { with: "a b", ts: 5 }, { with: "b", ts: -1 }, { with: "b", ts: "5" }, { with: "b", ts: null }])
      await alice.error({ op: "seen", ...fields }, "bad_request");
    const stranger = await harness.client();
    await stranger.error({ op: "seen", with: "b", ts: 5 }, "not_logged_in");
  });
});

scenario("marks survive kill -9, a stop, and the way from memory into runs", {}, async (harness) => {
  const options = { options: SMALL };
  await harness.start(options);
  const marks = {}; // of alice: by peer { seen, unseen }; of the peers: seen_by
  const alice = await harness.login("alice");
  const filler = await harness.login("zed");
  for (let n = 0; n < 8; n++) {
    const peer = await harness.login(`peer-${n}`);
    const messages = [];
    for (let k = 0; k < 4; k++) messages.push(await receive(alice, peer, `${n}/${k}`));
    if (n === 4) {
      for (let k = 0; k < 400; k++) await filler.send("zoe", "x".repeat(4000));
      await untilRuns(harness);
    }
    await seen(alice, peer.user, messages[n % 4].ts);
    marks[peer.user] = { seen: messages[n % 4].ts, unseen: 3 - (n % 4), seen_by: messages[n % 4].sent };
    peer.terminate();
  }
  const check = async (how) => {
    const again = await harness.login("alice");
    const page = await again.ok({ op: "peers" });
    assert.deepEqual(page.peers.map(({ user }) => user), Object.keys(marks).reverse(), how);
    for (const { user, seen: mark, unseen } of page.peers) assert.deepEqual({ mark, unseen }, { mark: marks[user].seen, unseen: marks[user].unseen }, `${user} ${how}`);
    for (const [name, { seen_by }] of Object.entries(marks)) {
      const peer = await harness.login(name);
      assert.equal((await peerOf(peer, "alice")).seen_by, seen_by, `${name} ${how}`);
      peer.terminate();
    }
    await seen(again, "peer-3", marks["peer-3"].seen);
    again.terminate();
  };
  await check("at once");
  await harness.server.kill();
  await harness.startAgain(options);
  await check("after kill -9");
  await harness.server.stop();
  await harness.startAgain(options);
  await check("after a stop");
  const again = await harness.login("alice");
  const peer = await harness.login("peer-0");
  await seen(again, "peer-0", Number.MAX_SAFE_INTEGER);
  await peer.untilPushes(1);
  assert.equal((await peerOf(again, "peer-0")).unseen, 0);
});

scenario("no seen_by comes for a message that is gone from its author's timeline", {}, async (harness) => {
  await harness.start({ options: ["--admin", "127.0.0.1:0"] });
  const [alice, gone] = await pair(harness);
  const last = await receive(alice, gone, "erased with bob");
  const api = new Api(harness.server.admin);
  await api.expect(200, "DELETE", `/api/v1/users/${gone.user}`);
  api.close();
  const bob = await harness.login(gone.user);
  await seen(alice, bob.user, last.ts);
  const next = await receive(alice, bob, "the next one");
  await seen(alice, bob.user, next.ts);
  await bob.untilPushes(1);
  assert.deepEqual(bob.pushes, [{ op: "seen_by", user: alice.user, ts: next.sent, mid: next.mid }]);
  assert.equal((await peerOf(bob, alice.user)).seen_by, next.sent);
  await harness.end();
});
