// The JavaScript client alone: what it sends when, what it stores, and the requests that outlive a connection.
import assert from "node:assert/strict";
import test from "node:test";
import { MemoryStorage } from "../../src/web/chitchat.js";
import { LOGIN, msg, settled, World } from "./lib/fake_server.mjs";

const textsOf = (socket) => socket.sent.filter(({ op }) => op === "send").map(({ text }) => text);

// -- the outbox --

test("one send is in flight for each recipient", async () => {
  const world = await World.live();
  await world.send("bob", "b1", "b2");
  await world.send("carol", "c1");
  assert.deepEqual(textsOf(world.socket), ["b1", "c1"]);
  world.accept(110, 100);
  assert.deepEqual(textsOf(world.socket), ["c1", "b2"]);
});

for (const code of ["busy", "rate_limited"])
  test(`six sends of which two are refused with ${code} keep their order`, async () => {
    const world = await World.live();
    const items = await world.send("bob", "1", "2", "3", "4", "5", "6");
    const accepted = [];
    for (let ts = 101; accepted.length < 6; ) {
      if (ts === 103 && !world.hasRefused) {
        world.hasRefused = true;
        const { key } = world.refuse("send", code, { retry_after: 500 });
        assert.equal(items[2].status, "held");
        await world.clock.advance(499);
        assert.ok(!world.socket.has("send"), "nothing overtakes it");
        await world.clock.advance(1);
        assert.equal(world.socket.sent.at(-1).key, key, "the same key");
        continue;
      }
      accepted.push(world.accept(ts, ts - 1).text);
      ts++;
    }
    assert.deepEqual(accepted, ["1", "2", "3", "4", "5", "6"]);
    assert.deepEqual((await Promise.all(items.map((item) => item.outcome))).map(({ ts }) => ts), [101, 102, 103, 104, 105, 106]);
    assert.deepEqual(world.texts, accepted);
  });

test("a recipient whose message is refused does not hold up the others", async () => {
  const world = await World.live();
  await world.send("bob", "b1", "b2");
  world.refuse("send", "busy", { retry_after: 500 });
  await world.send("carol", "c1");
  assert.deepEqual(textsOf(world.socket), ["c1"]);
});

test("after rate_limited fewer sends are in flight, then more again", async () => {
  const world = await World.live();
  for (let i = 0; i < 8; i++) await world.send(`user${i}`, `m${i}`);
  assert.equal(textsOf(world.socket).length, 8);
  world.refuse("send", "rate_limited", { retry_after: 100 });
  await world.send("user8", "m8");
  assert.equal(textsOf(world.socket).length, 7, "half of the 7 in flight");
  for (let i = 1; i < 8; i++) world.refuse("send", "rate_limited", { retry_after: 100 });
  assert.equal(textsOf(world.socket).length, 1);
  await world.clock.advance(100);
  assert.equal(textsOf(world.socket).length, 1);
  world.accept(101, 100);
  assert.equal(textsOf(world.socket).length, 2);
  for (let ts = 102; ts <= 109; ts++) world.accept(ts, ts - 1);
  assert.deepEqual([world.texts.length, world.client.outbox], [9, []]);
});

test("unavailable waits longer each time, and sends the same key", async () => {
  const world = await World.live();
  await world.send("bob", "x");
  const keys = new Set();
  for (const ms of [250, 500, 1000]) {
    keys.add(world.refuse("send", "unavailable").key);
    await world.clock.advance(ms - 1);
    assert.ok(!world.socket.has("send"));
    await world.clock.advance(1);
  }
  keys.add(world.accept(101, 100).key);
  assert.equal(keys.size, 1);
});

for (const code of ["too_large", "bad_request", "key_conflict"])
  test(`${code} is the end of one message: it is kept with its reason, and the next one goes`, async () => {
    const world = await World.live();
    const [first, second] = await world.send("bob", "bad", "good");
    world.refuse("send", code);
    assert.deepEqual(await first.outcome, { ok: false, code, message: code });
    assert.equal(world.accept(101, 100).text, "good");
    assert.equal((await second.outcome).ok, true);
    assert.deepEqual(world.client.outbox.map(({ text, status, error }) => [text, status, error.code]), [["bad", "failed", code]]);
    await settled();
    assert.equal((await world.storage.load()).outbox[0].error.code, code);
    const again = world.client.retry(first.key);
    await settled();
    assert.notEqual(again.key, first.key);
    assert.equal(world.accept(102, 101).text, "bad");
    await settled();
    assert.deepEqual([world.client.outbox, (await world.storage.load()).outbox], [[], []]);
  });

test("what the server can never take is not sent: the connection would end", async () => {
  const world = await World.live();
  const [long, zero, odd] = await world.send("bob", "ä".repeat(8193), "a\0b", "half \ud83d emoji");
  assert.equal((await long.outcome).code, "too_large");
  assert.equal((await zero.outcome).code, "bad_request");
  assert.equal(world.accept(101, 100).text, "half \ufffd emoji");
  assert.equal((await odd.outcome).ok, true);
});

test("what was in flight when the connection ended is sent again with its key, in order, before `live`", async () => {
  const world = await World.live();
  const [one] = await world.send("bob", "1", "2");
  const { key } = world.socket.take("send");
  world.socket.end();
  assert.equal(one.status, "waiting");
  await world.waitOver();
  const asked = await world.open();
  assert.ok(!world.socket.has("send"));
  world.socket.push({ op: "ok", id: asked.id, ...LOGIN, last: 101 });
  const frame = world.socket.take("send");
  assert.equal(frame.key, key);
  world.socket.push({ op: "ok", id: frame.id, ts: 101, mid: "m101", dup: true });
  assert.deepEqual(await one.outcome, { ok: true, ts: 101, mid: "m101", dup: true });
  assert.deepEqual(textsOf(world.socket), ["2"]);
  assert.equal(world.client.cursor, 100, "a dup is no entry");
  world.socket.push(msg(101, 100, { from: "alice", to: "bob", text: "1", key }), { op: "live" });
  assert.deepEqual(world.texts, ["1"]);
});

test("the msg of another connection with the key settles the item, and its dup comes too late", async () => {
  const world = await World.live();
  const [one] = await world.send("bob", "1", "2");
  const frame = world.socket.take("send");
  world.socket.push(msg(101, 100, { from: "alice", to: "bob", text: "1", key: frame.key }));
  assert.deepEqual(await one.outcome, { ok: true, ts: 101, mid: "m101", dup: false });
  assert.ok(!world.socket.has("send"), "the reply of the first is still to come");
  world.socket.push({ op: "ok", id: frame.id, ts: 101, mid: "m101", dup: true });
  assert.equal(world.accept(102, 101).text, "2");
  assert.deepEqual(world.texts, ["1", "2"]);
  assert.equal(world.of("outbox").filter(({ outcome }) => outcome).length, 2);
});

test("an ok that is not the next entry is an outcome, and a gap", async () => {
  const world = await World.live();
  const [one] = await world.send("bob", "1");
  const { key } = world.accept(120, 110);
  assert.equal((await one.outcome).ok, true);
  assert.equal(world.client.state, "waiting");
  await world.waitOver();
  const asked = await world.open();
  assert.equal(asked.after, 100);
  world.socket.push({ op: "ok", id: asked.id, ...LOGIN, last: 120 }, msg(110, 100), msg(120, 110, { from: "alice", to: "bob", text: "1", key }), { op: "live" });
  assert.deepEqual(world.texts, ["t110", "1"]);
  assert.ok(!world.socket.has("send"));
});

test("sends from before the start, and those of the storage, go in the order in which they were written", async () => {
  const storage = new MemoryStorage();
  const first = new World({ storage });
  first.client.send("bob", "1");
  first.client.send("bob", "2");
  await first.client.start();
  await settled();
  await first.client.stop();
  const second = new World({ storage });
  second.client.send("bob", "3");
  await second.client.start();
  await second.login();
  const texts = [101, 102, 103].map((ts) => second.accept(ts, ts - 1).text);
  assert.deepEqual(texts, ["1", "2", "3"]);
  await settled();
  assert.deepEqual((await storage.load()).outbox, []);
});

// -- items that are older than the life of their keys --

const DAY = 24 * 3600e3;

// A client with "old" in its storage, which it tried 23 hours ago, and "new"; it has asked for the history.
async function withOldItem({ loggedIn = {}, age = 23 * 3600e3 + 1 } = {}) {
  const storage = new MemoryStorage();
  const first = await World.live({ storage });
  const [{ key }] = await first.send("bob", "old");
  await first.client.stop();
  const world = new World({ storage });
  world.clock.time += age;
  await world.client.start();
  await world.login(loggedIn);
  world.client.send("bob", "new");
  await settled();
  assert.ok(!world.socket.has("send"), "neither it nor what follows it is sent before that");
  const asked = world.socket.take("history");
  assert.deepEqual([asked.with, asked.before], ["bob", undefined]);
  const at = first.clock.time * 1000;
  const page = async ({ id }, messages, next) => {
    world.socket.push({ op: "history", id, messages, more: next !== undefined, next });
    await settled();
  };
  return { world, key, asked, page, at, storage };
}

test("an old item that the history has is settled, and the next one goes", async () => {
  const { world, key, asked, page, at } = await withOldItem();
  await page(asked, [{ ts: at + 5, mid: "m5", from: "bob", to: "alice", text: "other", key }], at + 5);
  const second = world.socket.take("history");
  assert.equal(second.before, at + 5);
  await page(second, [{ ts: at + 1, mid: "m1", from: "alice", to: "bob", text: "old", key }], at + 1);
  assert.deepEqual(world.client.outbox.map(({ text }) => text), ["new"]);
  assert.deepEqual(textsOf(world.socket), ["new"]);
  const { outcome } = world.events.findLast(([type, { item }]) => type === "outbox" && item.key === key)[1];
  assert.deepEqual(outcome, { ok: true, ts: at + 1, mid: "m1", dup: true });
});

test("an old item that the history does not have is sent, with its key, and the order stays", async () => {
  for (const whole of [true, false]) {
    const { world, key, asked, page, at } = await withOldItem();
    if (whole) await page(asked, []);
    else await page(asked, [{ ts: at - 8 * DAY * 1000, mid: "m0", from: "bob", to: "alice", text: "long ago" }], at - 8 * DAY * 1000);
    assert.ok(!world.socket.has("history"));
    assert.equal(world.socket.sent.at(-1).key, key);
    assert.equal(world.accept(101, 100).text, "old");
    assert.equal(world.accept(102, 101).text, "new");
    assert.deepEqual(world.client.outbox, []);
  }
});

test("an old item fails with expired where the history cannot tell, and the next one goes", async () => {
  for (const why of ["it begins later", "it cannot be read"]) {
    const first = (1_763_900_000_000 + DAY) * 1000;
    const { world, asked, page } = await withOldItem({ loggedIn: why === "it begins later" ? { first, last: first } : {} });
    if (why === "it begins later") await page(asked, []);
    else world.socket.push({ op: "error", id: asked.id, code: "bad_request", message: "no" });
    await settled();
    assert.deepEqual(world.client.outbox.map(({ error }) => error?.code), ["expired", undefined], why);
    assert.deepEqual(textsOf(world.socket), ["new"]);
  }
});

test("the search for an old item begins again after a reconnect, and ends with the client", async () => {
  const { world, asked, storage } = await withOldItem();
  world.socket.end();
  await world.waitOver();
  await world.login();
  await settled();
  world.socket.push({ op: "history", id: asked.id, messages: [], more: false });
  const searches = world.socket.sent.filter(({ op }) => op === "history");
  assert.ok(searches.length > 0 && !world.socket.has("send"));
  await world.client.stop();
  await settled();
  assert.deepEqual((await storage.load()).outbox.map(({ error }) => error), [undefined, undefined]);
});

test("an item can be discarded until it is sent, and when nothing was stored of it", async () => {
  const world = await World.live();
  const [one, two] = await world.send("bob", "1", "2");
  assert.deepEqual([world.client.discard(one.key), world.client.discard(two.key)], [false, true]);
  assert.equal((await two.outcome).code, "discarded");
  world.refuse("send", "busy", { retry_after: 100 });
  assert.equal(world.client.discard(one.key), true);
  await world.clock.advance(100);
  assert.ok(!world.socket.has("send"));
  await world.send("bob", "3");
  assert.deepEqual(textsOf(world.socket), ["3"]);
  assert.throws(() => world.client.send("bob", "x", { key: world.client.outbox[0].key }), TypeError);
});

// -- the storage --

test("an item is stored before it is sent, and leaves the storage with the entry, in one commit", async () => {
  const storage = new MemoryStorage();
  const commits = [];
  const commit = storage.commit.bind(storage);
  let release;
  storage.commit = async (changes) => {
    commits.push(structuredClone(changes));
    await new Promise((resolve) => (release = resolve));
    return commit(changes);
  };
  const world = await World.live({ storage });
  release(); // of `begin`
  await world.send("bob", "x");
  assert.deepEqual(commits[1].put.map(({ text }) => text), ["x"]);
  assert.ok(!world.socket.has("send"), "not before it is stored");
  release();
  await settled();
  const { key } = world.accept(101, 100);
  await settled();
  assert.deepEqual(commits[2].remove, [key]);
  assert.deepEqual([commits[2].take.from, commits[2].take.cursor, commits[2].take.messages.length], [100, 101, 1]);
  world.socket.push(msg(102, 101), msg(103, 102));
  release();
  await settled();
  assert.deepEqual([commits.length, commits[3].take.messages.map(({ ts }) => ts)], [4, [102, 103]], "what comes meanwhile is one transaction");
});

test("a storage that fails stops nothing", async () => {
  const storage = new MemoryStorage();
  storage.commit = () => Promise.reject(new Error("quota"));
  const world = await World.live({ storage });
  await world.send("bob", "x");
  world.accept(101, 100);
  assert.deepEqual(world.texts, ["x"]);
  assert.equal(world.of("error")[0].message, "quota");
});

test("the stored cursor moves over stored entries only, whichever tab is ahead", async () => {
  const storage = new MemoryStorage();
  const begin = (cursor) => storage.commit({ begin: { user: "alice", epoch: "e", cursor } });
  const take = (from, cursor) => storage.commit({ take: { epoch: "e", from, cursor, messages: [msg(cursor, from)] } });
  const cursor = async () => (await storage.load()).account.cursor;
  await begin(100);
  await begin(120); // the second tab logs in later, and the first has not yet stored what came between
  assert.equal(await cursor(), 100);
  await take(120, 130);
  assert.equal(await cursor(), 100);
  await take(100, 120);
  assert.equal(await cursor(), 120);
  await take(120, 130);
  assert.equal(await cursor(), 130);
  await take(100, 120); // a tab that is behind
  assert.equal(await cursor(), 130);
  assert.deepEqual((await storage.entries()).map(({ ts }) => ts), [120, 130]);
  await storage.commit({ take: { epoch: "old", from: 130, cursor: 140, messages: [msg(140, 130)] } });
  assert.equal(await cursor(), 130);
});

test("the storage keeps the newest entries, and gives those of one conversation", async () => {
  const storage = new MemoryStorage({ keep: 100 });
  await storage.commit({ begin: { user: "alice", epoch: "e", cursor: 0 } });
  for (let ts = 1; ts <= 300; ts++) await storage.commit({ take: { epoch: "e", from: ts - 1, cursor: ts, messages: [{ ...msg(ts), from: ts % 2 ? "bob" : "alice", to: ts % 2 ? "alice" : "alice" }] } });
  const all = await storage.entries();
  assert.ok(all.length >= 100 && all.length <= 125);
  assert.equal(all.at(-1).ts, 300);
  assert.deepEqual((await storage.entries({ with: "bob", before: 300, limit: 2 })).map(({ ts }) => ts), [297, 299]);
  assert.deepEqual((await storage.entries({ with: "alice", limit: 2 })).map(({ ts }) => ts), [298, 300]);
});

// -- history, peers, seen, typing, watch --

test("history gives page by page, over refusals and reconnects", async () => {
  const world = await World.live();
  const pages = world.client.history({ with: "bob", limit: 2 });
  let next = pages.next();
  await settled();
  assert.deepEqual({ ...world.refuse("history", "busy", { retry_after: 50 }), id: 0 }, { op: "history", id: 0, with: "bob", limit: 2 });
  await world.clock.advance(50);
  world.socket.push({ op: "history", id: world.socket.take("history").id, messages: [msg(99), msg(100)], more: true, next: 99 });
  assert.deepEqual((await next).value.messages.map(({ ts }) => ts), [99, 100]);
  next = pages.next();
  await settled();
  assert.equal(world.socket.take("history").before, 99);
  await world.reconnect();
  await world.login();
  const { before, id } = world.socket.take("history");
  assert.equal(before, 99);
  world.socket.push({ op: "history", id, messages: [], more: false });
  assert.equal((await next).value.more, false);
  assert.equal((await pages.next()).done, true);
});

test("history forwards goes on with `after`; a reset between two pages ends it", async () => {
  const world = await World.live();
  const pages = world.client.history({ after: 0 });
  let next = pages.next();
  await settled();
  world.socket.push({ op: "history", id: world.socket.take("history").id, messages: [msg(1)], more: true, next: 1 });
  await next;
  next = pages.next();
  await settled();
  assert.equal(world.socket.take("history").after, 1);
  await world.reconnect();
  await world.login({ epoch: "e2", reset: true });
  world.socket.push({ op: "history", id: world.socket.take("history").id, messages: [], more: false });
  await assert.rejects(next, { name: "ChatError", code: "reset" });
});

test("requests end with the client", async () => {
  const world = await World.live();
  const page = world.client.history().next();
  const seen = world.client.seen("bob", 5);
  const watch = world.client.watch(["bob"]);
  const rejected = assert.rejects(page, { code: "stopped" });
  await world.client.stop();
  await rejected;
  assert.deepEqual([await seen, await watch], [false, []]);
  await assert.rejects(world.client.history().next(), { code: "stopped" });
});

test("peers gives pages of conversations", async () => {
  const world = await World.live();
  const pages = world.client.peers({ limit: 1 });
  const bob = { user: "bob", last: { ts: 100 }, unseen: 3, seen: 0, seen_by: 0 };
  for (const [more, before] of [[true, undefined], [false, 100]]) {
    const next = pages.next();
    await settled();
    const frame = world.socket.take("peers");
    assert.deepEqual([frame.limit, frame.before], [1, before]);
    world.socket.push({ op: "peers", id: frame.id, peers: [bob], more, ...(more && { next: 100 }) });
    assert.deepEqual((await next).value.peers, [bob]);
  }
  assert.equal((await pages.next()).done, true);
});

test("a mark is asked again until it is durable; only the newest of a conversation is", async () => {
  const world = await World.live();
  const old = world.client.seen("bob", 90);
  world.socket.take("seen");
  await world.reconnect();
  const newer = world.client.seen("bob", 95);
  assert.equal(await old, false);
  await world.login();
  assert.deepEqual(world.refuse("seen", "busy", { retry_after: 10 }).ts, 95);
  await world.clock.advance(10);
  const older = world.client.seen("bob", 20);
  assert.equal(await newer, false);
  world.socket.take("seen");
  const { ts, id } = world.socket.take("seen");
  assert.equal(ts, 95, "a mark never goes back");
  world.socket.push({ op: "ok", id });
  assert.equal(await older, true);
});

test("a mark and a bound of a data set that is gone are not asked again in another one", async () => {
  const world = await World.live();
  const seen = world.client.seen("bob", 90);
  const page = world.client.history({ before: 90 }).next();
  const newest = world.client.history().next();
  await world.reconnect();
  const { id } = await world.open();
  world.socket.push({ op: "ok", id, ...LOGIN, epoch: "e2", last: 700, reset: true }, { op: "live" });
  assert.equal(await seen, false);
  assert.ok(!world.socket.has("seen"), "its ts names another message there, or none");
  for (const asked of [world.socket.take("history"), world.socket.take("history")]) world.socket.push({ op: "history", id: asked.id, messages: [], more: false });
  await assert.rejects(page, { code: "reset" });
  assert.deepEqual((await newest).value, { messages: [], more: false });
});

test("what one user asked is not asked as another", async () => {
  const tokens = ["of alice", "of carol"];
  const world = await World.live({ user: undefined, token: () => tokens.shift() });
  const asked = [world.client.seen("bob", 90), world.client.history({ with: "bob" }).next()];
  world.socket.end(4101);
  await world.waitOver();
  const { id } = await world.open();
  world.socket.push({ op: "ok", id, ...LOGIN, user: "carol" });
  assert.equal(await asked[0], false);
  await assert.rejects(asked[1], { code: "user" });
  await world.waitOver();
  await world.login({ user: "carol" });
  assert.deepEqual([world.client.user, world.socket.has("seen"), world.socket.has("history")], ["carol", false, false]);
});

test("pushes of marks, typing and presence are events, also during a replay", async () => {
  const world = await World.live();
  const watched = world.client.watch(["bob", "carol"]);
  const { id, users } = world.socket.take("watch");
  assert.deepEqual(users, ["bob", "carol"]);
  world.socket.push({ op: "ok", id, online: ["bob"] }, { op: "presence", user: "bob", online: false });
  assert.deepEqual(await watched, ["bob"]);
  assert.deepEqual([...world.client.online], [], "the push behind the reply counts");
  world.socket.push({ op: "seen", with: "bob", ts: 5 }, { op: "seen_by", user: "bob", ts: 6, mid: "m6" }, { op: "typing", from: "bob" });
  assert.deepEqual([world.of("seen"), world.of("seen_by"), world.of("typing")], [[{ with: "bob", ts: 5 }], [{ user: "bob", ts: 6, mid: "m6" }], [{ from: "bob" }]]);
  assert.deepEqual(world.of("presence"), [{ user: "bob", online: true }, { user: "bob", online: false }]);
  assert.equal(world.client.cursor, 100);
});

test("the watched list is asked for again after a reconnect, until it is empty", async () => {
  const world = await World.live();
  const first = world.client.watch(["bob"]);
  world.socket.push({ op: "ok", id: world.socket.take("watch").id, online: ["bob"] });
  await first;
  await world.reconnect();
  await world.login();
  world.socket.push({ op: "ok", id: world.socket.take("watch").id, online: [] });
  assert.deepEqual(world.of("presence").map(({ online }) => online), [true, false]);
  const end = world.client.watch([]);
  world.socket.push({ op: "ok", id: world.socket.take("watch").id, online: [] });
  await end;
  await world.reconnect();
  await world.login();
  assert.ok(!world.socket.has("watch"));
});

test("typing is sent once a second and recipient, and only while connected", async () => {
  const world = await World.live();
  world.client.typing("bob");
  world.client.typing("bob");
  world.client.typing("carol");
  assert.deepEqual(world.socket.sent.map(({ op, to }) => [op, to]), [["typing", "bob"], ["typing", "carol"]]);
  await world.clock.advance(1000);
  world.client.typing("bob");
  assert.equal(world.socket.sent.length, 3);
  world.clock.leapMs = -3600e3;
  world.client.typing("bob");
  assert.equal(world.socket.sent.length, 4, "a clock that is set back holds up nothing");
  world.socket.end();
  world.client.typing("bob");
  assert.equal(world.socket.sent.length, 4);
});

test("a server that knows none of these is no error, except for peers", async () => {
  const world = await World.live();
  const seen = world.client.seen("bob", 5);
  world.refuse("seen", "unknown_op");
  assert.equal(await seen, false);
  const watch = world.client.watch(["bob"]);
  world.refuse("watch", "unknown_op");
  assert.deepEqual(await watch, []);
  world.client.typing("bob");
  world.refuse("typing", "unknown_op");
  await world.clock.advance(1000);
  world.client.typing("bob");
  assert.ok(!world.socket.has("typing"));
  const page = world.client.peers().next();
  await settled();
  world.refuse("peers", "unknown_op");
  await assert.rejects(page, { code: "unknown_op" });
  assert.equal(world.client.state, "live");
});
