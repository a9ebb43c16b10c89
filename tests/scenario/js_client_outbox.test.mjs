// The JavaScript client alone: what it sends when, what it stores, and the requests that outlive a connection.
import assert from "node:assert/strict";
import test from "node:test";
import { MemoryStorage } from "../../src/web/chitchat.js";
import { LOGIN, msg, idle, Fixture } from "./lib/fake_server.mjs";

const textsOf = (socket) => socket.sent.filter(({ op }) => op === "send").map(({ text }) => text);

// -- the outbox --

test("one send is in flight for each recipient", async () => {
  const fixture = await Fixture.live();
  await fixture.send("bob", "b1", "b2");
  await fixture.send("carol", "c1");
  assert.deepEqual(textsOf(fixture.socket), ["b1", "c1"]);
  fixture.accept(110, 100);
  assert.deepEqual(textsOf(fixture.socket), ["c1", "b2"]);
});

for (const code of ["busy", "rate_limited"])
  test(`six sends of which two are refused with ${code} keep their order`, async () => {
    const fixture = await Fixture.live();
    const items = await fixture.send("bob", "1", "2", "3", "4", "5", "6");
    const accepted = [];
    for (let ts = 101; accepted.length < 6; ) {
      if (ts === 103 && !fixture.hasRefused) {
        fixture.hasRefused = true;
        const { key } = fixture.refuse("send", code, { retry_after: 500 });
        assert.equal(items[2].status, "held");
        await fixture.clock.advance(499);
        assert.ok(!fixture.socket.has("send"), "nothing overtakes it");
        await fixture.clock.advance(1);
        assert.equal(fixture.socket.sent.at(-1).key, key, "the same key");
        continue;
      }
      accepted.push(fixture.accept(ts, ts - 1).text);
      ts++;
    }
    assert.deepEqual(accepted, ["1", "2", "3", "4", "5", "6"]);
    assert.deepEqual((await Promise.all(items.map((item) => item.outcome))).map(({ ts }) => ts), [101, 102, 103, 104, 105, 106]);
    assert.deepEqual(fixture.texts, accepted);
  });

test("a recipient whose message is refused does not hold up the others", async () => {
  const fixture = await Fixture.live();
  await fixture.send("bob", "b1", "b2");
  fixture.refuse("send", "busy", { retry_after: 500 });
  await fixture.send("carol", "c1");
  assert.deepEqual(textsOf(fixture.socket), ["c1"]);
});

test("after rate_limited fewer sends are in flight, then more again", async () => {
  const fixture = await Fixture.live();
  for (let i = 0; i < 8; i++) await fixture.send(`user${i}`, `m${i}`);
  assert.equal(textsOf(fixture.socket).length, 8);
  fixture.refuse("send", "rate_limited", { retry_after: 100 });
  await fixture.send("user8", "m8");
  assert.equal(textsOf(fixture.socket).length, 7, "half of the 7 in flight");
  for (let i = 1; i < 8; i++) fixture.refuse("send", "rate_limited", { retry_after: 100 });
  assert.equal(textsOf(fixture.socket).length, 1);
  await fixture.clock.advance(100);
  assert.equal(textsOf(fixture.socket).length, 1);
  fixture.accept(101, 100);
  assert.equal(textsOf(fixture.socket).length, 2);
  for (let ts = 102; ts <= 109; ts++) fixture.accept(ts, ts - 1);
  assert.deepEqual([fixture.texts.length, fixture.client.outbox], [9, []]);
});

test("unavailable waits longer each time, and sends the same key", async () => {
  const fixture = await Fixture.live();
  await fixture.send("bob", "x");
  const keys = new Set();
  for (const ms of [250, 500, 1000]) {
    keys.add(fixture.refuse("send", "unavailable").key);
    await fixture.clock.advance(ms - 1);
    assert.ok(!fixture.socket.has("send"));
    await fixture.clock.advance(1);
  }
  keys.add(fixture.accept(101, 100).key);
  assert.equal(keys.size, 1);
});

for (const code of ["too_large", "bad_request", "key_conflict"])
  test(`${code} is the end of one message: it is kept with its reason, and the next one goes`, async () => {
    const fixture = await Fixture.live();
    const [first, second] = await fixture.send("bob", "bad", "good");
    fixture.refuse("send", code);
    assert.deepEqual(await first.outcome, { ok: false, code, message: code });
    assert.equal(fixture.accept(101, 100).text, "good");
    assert.equal((await second.outcome).ok, true);
    assert.deepEqual(fixture.client.outbox.map(({ text, status, error }) => [text, status, error.code]), [["bad", "failed", code]]);
    await idle();
    assert.equal((await fixture.storage.load()).outbox[0].error.code, code);
    const again = fixture.client.retry(first.key);
    await idle();
    assert.notEqual(again.key, first.key);
    assert.equal(fixture.accept(102, 101).text, "bad");
    await idle();
    assert.deepEqual([fixture.client.outbox, (await fixture.storage.load()).outbox], [[], []]);
  });

test("what the server can never take is not sent: the connection would end", async () => {
  const fixture = await Fixture.live();
  const [long, zero, odd] = await fixture.send("bob", "ä".repeat(8193), "a\0b", "half \ud83d emoji");
  assert.equal((await long.outcome).code, "too_large");
  assert.equal((await zero.outcome).code, "bad_request");
  assert.equal(fixture.accept(101, 100).text, "half \ufffd emoji");
  assert.equal((await odd.outcome).ok, true);
});

test("what was in flight when the connection ended is sent again with its key, in order, before `live`", async () => {
  const fixture = await Fixture.live();
  const [one] = await fixture.send("bob", "1", "2");
  const { key } = fixture.socket.take("send");
  fixture.socket.end();
  assert.equal(one.status, "waiting");
  await fixture.waitOver();
  const asked = await fixture.open();
  assert.ok(!fixture.socket.has("send"));
  fixture.socket.push({ op: "ok", id: asked.id, ...LOGIN, last: 101 });
  const frame = fixture.socket.take("send");
  assert.equal(frame.key, key);
  fixture.socket.push({ op: "ok", id: frame.id, ts: 101, mid: "m101", dup: true });
  assert.deepEqual(await one.outcome, { ok: true, ts: 101, mid: "m101", dup: true });
  assert.deepEqual(textsOf(fixture.socket), ["2"]);
  assert.equal(fixture.client.cursor, 100, "a dup is no entry");
  fixture.socket.push(msg(101, 100, { from: "alice", to: "bob", text: "1", key }), { op: "live" });
  assert.deepEqual(fixture.texts, ["1"]);
});

test("the msg of another connection with the key settles the item, and its dup comes too late", async () => {
  const fixture = await Fixture.live();
  const [one] = await fixture.send("bob", "1", "2");
  const frame = fixture.socket.take("send");
  fixture.socket.push(msg(101, 100, { from: "alice", to: "bob", text: "1", key: frame.key }));
  assert.deepEqual(await one.outcome, { ok: true, ts: 101, mid: "m101", dup: false });
  assert.ok(!fixture.socket.has("send"), "the reply of the first is still to come");
  fixture.socket.push({ op: "ok", id: frame.id, ts: 101, mid: "m101", dup: true });
  assert.equal(fixture.accept(102, 101).text, "2");
  assert.deepEqual(fixture.texts, ["1", "2"]);
  assert.equal(fixture.of("outbox").filter(({ outcome }) => outcome).length, 2);
});

test("an ok that is not the next entry is an outcome, and a gap", async () => {
  const fixture = await Fixture.live();
  const [one] = await fixture.send("bob", "1");
  const { key } = fixture.accept(120, 110);
  assert.equal((await one.outcome).ok, true);
  assert.equal(fixture.client.state, "waiting");
  await fixture.waitOver();
  const asked = await fixture.open();
  assert.equal(asked.after, 100);
  fixture.socket.push({ op: "ok", id: asked.id, ...LOGIN, last: 120 }, msg(110, 100), msg(120, 110, { from: "alice", to: "bob", text: "1", key }), { op: "live" });
  assert.deepEqual(fixture.texts, ["t110", "1"]);
  assert.ok(!fixture.socket.has("send"));
});

test("sends from before the start, and those of the storage, go in the order in which they were written", async () => {
  const storage = new MemoryStorage();
  const first = new Fixture({ storage });
  first.client.send("bob", "1");
  first.client.send("bob", "2");
  await first.client.start();
  await idle();
  await first.client.stop();
  const second = new Fixture({ storage });
  second.client.send("bob", "3");
  await second.client.start();
  await second.login();
  const texts = [101, 102, 103].map((ts) => second.accept(ts, ts - 1).text);
  assert.deepEqual(texts, ["1", "2", "3"]);
  await idle();
  assert.deepEqual((await storage.load()).outbox, []);
});

// -- items that are older than the life of their keys --

const DAY = 24 * 3600e3;

// A client with "old" in its storage, which it tried 23 hours ago, and "new"; it has asked for the history.
async function withOldItem({ loggedIn = {}, age = 23 * 3600e3 + 1 } = {}) {
  const storage = new MemoryStorage();
  const first = await Fixture.live({ storage });
  const [{ key }] = await first.send("bob", "old");
  await first.client.stop();
  const fixture = new Fixture({ storage });
  fixture.clock.time += age;
  await fixture.client.start();
  await fixture.login(loggedIn);
  fixture.client.send("bob", "new");
  await idle();
  assert.ok(!fixture.socket.has("send"), "neither it nor what follows it is sent before that");
  const asked = fixture.socket.take("history");
  assert.deepEqual([asked.with, asked.before], ["bob", undefined]);
  const at = first.clock.time * 1000;
  const page = async ({ id }, messages, next) => {
    fixture.socket.push({ op: "history", id, messages, more: next !== undefined, next });
    await idle();
  };
  return { fixture, key, asked, page, at, storage };
}

test("an old item that the history has is settled, and the next one goes", async () => {
  const { fixture, key, asked, page, at } = await withOldItem();
  await page(asked, [{ ts: at + 5, mid: "m5", from: "bob", to: "alice", text: "other", key }], at + 5);
  const second = fixture.socket.take("history");
  assert.equal(second.before, at + 5);
  await page(second, [{ ts: at + 1, mid: "m1", from: "alice", to: "bob", text: "old", key }], at + 1);
  assert.deepEqual(fixture.client.outbox.map(({ text }) => text), ["new"]);
  assert.deepEqual(textsOf(fixture.socket), ["new"]);
  const { outcome } = fixture.events.findLast(([type, { item }]) => type === "outbox" && item.key === key)[1];
  assert.deepEqual(outcome, { ok: true, ts: at + 1, mid: "m1", dup: true });
});

test("an old item that the history does not have is sent, with its key, and the order stays", async () => {
  for (const whole of [true, false]) {
    const { fixture, key, asked, page, at } = await withOldItem();
    if (whole) await page(asked, []);
    else await page(asked, [{ ts: at - 8 * DAY * 1000, mid: "m0", from: "bob", to: "alice", text: "long ago" }], at - 8 * DAY * 1000);
    assert.ok(!fixture.socket.has("history"));
    assert.equal(fixture.socket.sent.at(-1).key, key);
    assert.equal(fixture.accept(101, 100).text, "old");
    assert.equal(fixture.accept(102, 101).text, "new");
    assert.deepEqual(fixture.client.outbox, []);
  }
});

test("an old item fails with expired where the history cannot tell, and the next one goes", async () => {
  for (const why of ["it begins later", "it cannot be read"]) {
    const first = (1_763_900_000_000 + DAY) * 1000;
    const { fixture, asked, page } = await withOldItem({ loggedIn: why === "it begins later" ? { first, last: first } : {} });
    if (why === "it begins later") await page(asked, []);
    else fixture.socket.push({ op: "error", id: asked.id, code: "bad_request", message: "no" });
    await idle();
    assert.deepEqual(fixture.client.outbox.map(({ error }) => error?.code), ["expired", undefined], why);
    assert.deepEqual(textsOf(fixture.socket), ["new"]);
  }
});

test("the search for an old item begins again after a reconnect, and ends with the client", async () => {
  const { fixture, asked, storage } = await withOldItem();
  fixture.socket.end();
  await fixture.waitOver();
  await fixture.login();
  await idle();
  fixture.socket.push({ op: "history", id: asked.id, messages: [], more: false });
  const searches = fixture.socket.sent.filter(({ op }) => op === "history");
  assert.ok(searches.length > 0 && !fixture.socket.has("send"));
  await fixture.client.stop();
  await idle();
  assert.deepEqual((await storage.load()).outbox.map(({ error }) => error), [undefined, undefined]);
});

test("an item can be discarded until it is sent, and when nothing was stored of it", async () => {
  const fixture = await Fixture.live();
  const [one, two] = await fixture.send("bob", "1", "2");
  assert.deepEqual([fixture.client.discard(one.key), fixture.client.discard(two.key)], [false, true]);
  assert.equal((await two.outcome).code, "discarded");
  fixture.refuse("send", "busy", { retry_after: 100 });
  assert.equal(fixture.client.discard(one.key), true);
  await fixture.clock.advance(100);
  assert.ok(!fixture.socket.has("send"));
  await fixture.send("bob", "3");
  assert.deepEqual(textsOf(fixture.socket), ["3"]);
  assert.throws(() => fixture.client.send("bob", "x", { key: fixture.client.outbox[0].key }), TypeError);
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
  const fixture = await Fixture.live({ storage });
  release(); // of `begin`
  await fixture.send("bob", "x");
  assert.deepEqual(commits[1].put.map(({ text }) => text), ["x"]);
  assert.ok(!fixture.socket.has("send"), "not before it is stored");
  release();
  await idle();
  const { key } = fixture.accept(101, 100);
  await idle();
  assert.deepEqual(commits[2].remove, [key]);
  assert.deepEqual([commits[2].take.from, commits[2].take.cursor, commits[2].take.messages.length], [100, 101, 1]);
  fixture.socket.push(msg(102, 101), msg(103, 102));
  release();
  await idle();
  assert.deepEqual([commits.length, commits[3].take.messages.map(({ ts }) => ts)], [4, [102, 103]], "what comes meanwhile is one transaction");
});

test("a storage that fails stops nothing", async () => {
  const storage = new MemoryStorage();
  storage.commit = () => Promise.reject(new Error("quota"));
  const fixture = await Fixture.live({ storage });
  await fixture.send("bob", "x");
  fixture.accept(101, 100);
  assert.deepEqual(fixture.texts, ["x"]);
  assert.equal(fixture.of("error")[0].message, "quota");
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
  const fixture = await Fixture.live();
  const pages = fixture.client.history({ with: "bob", limit: 2 });
  let next = pages.next();
  await idle();
  assert.deepEqual({ ...fixture.refuse("history", "busy", { retry_after: 50 }), id: 0 }, { op: "history", id: 0, with: "bob", limit: 2 });
  await fixture.clock.advance(50);
  fixture.socket.push({ op: "history", id: fixture.socket.take("history").id, messages: [msg(99), msg(100)], more: true, next: 99 });
  assert.deepEqual((await next).value.messages.map(({ ts }) => ts), [99, 100]);
  next = pages.next();
  await idle();
  assert.equal(fixture.socket.take("history").before, 99);
  await fixture.reconnect();
  await fixture.login();
  const { before, id } = fixture.socket.take("history");
  assert.equal(before, 99);
  fixture.socket.push({ op: "history", id, messages: [], more: false });
  assert.equal((await next).value.more, false);
  assert.equal((await pages.next()).done, true);
});

test("history forwards goes on with `after`; a reset between two pages ends it", async () => {
  const fixture = await Fixture.live();
  const pages = fixture.client.history({ after: 0 });
  let next = pages.next();
  await idle();
  fixture.socket.push({ op: "history", id: fixture.socket.take("history").id, messages: [msg(1)], more: true, next: 1 });
  await next;
  next = pages.next();
  await idle();
  assert.equal(fixture.socket.take("history").after, 1);
  await fixture.reconnect();
  await fixture.login({ epoch: "e2", reset: true });
  fixture.socket.push({ op: "history", id: fixture.socket.take("history").id, messages: [], more: false });
  await assert.rejects(next, { name: "ChatError", code: "reset" });
});

test("requests end with the client", async () => {
  const fixture = await Fixture.live();
  const page = fixture.client.history().next();
  const seen = fixture.client.seen("bob", 5);
  const watch = fixture.client.watch(["bob"]);
  const rejected = assert.rejects(page, { code: "stopped" });
  await fixture.client.stop();
  await rejected;
  assert.deepEqual([await seen, await watch], [false, []]);
  await assert.rejects(fixture.client.history().next(), { code: "stopped" });
});

test("peers gives pages of conversations", async () => {
  const fixture = await Fixture.live();
  const pages = fixture.client.peers({ limit: 1 });
  const bob = { user: "bob", last: { ts: 100 }, unseen: 3, seen: 0, seen_by: 0 };
  for (const [more, before] of [[true, undefined], [false, 100]]) {
    const next = pages.next();
    await idle();
    const frame = fixture.socket.take("peers");
    assert.deepEqual([frame.limit, frame.before], [1, before]);
    fixture.socket.push({ op: "peers", id: frame.id, peers: [bob], more, ...(more && { next: 100 }) });
    assert.deepEqual((await next).value.peers, [bob]);
  }
  assert.equal((await pages.next()).done, true);
});

test("a mark is asked again until it is durable; only the newest of a conversation is", async () => {
  const fixture = await Fixture.live();
  const old = fixture.client.seen("bob", 90);
  fixture.socket.take("seen");
  await fixture.reconnect();
  const newer = fixture.client.seen("bob", 95);
  assert.equal(await old, false);
  await fixture.login();
  assert.deepEqual(fixture.refuse("seen", "busy", { retry_after: 10 }).ts, 95);
  await fixture.clock.advance(10);
  const older = fixture.client.seen("bob", 20);
  assert.equal(await newer, false);
  fixture.socket.take("seen");
  const { ts, id } = fixture.socket.take("seen");
  assert.equal(ts, 95, "a mark never goes back");
  fixture.socket.push({ op: "ok", id });
  assert.equal(await older, true);
});

test("a mark from before the first login is asked after it", async () => {
  const fixture = new Fixture();
  await fixture.client.start();
  const seen = fixture.client.seen("bob", 90);
  await fixture.login();
  fixture.socket.push({ op: "ok", id: fixture.socket.take("seen").id });
  assert.equal(await seen, true);
});

test("a mark and a bound of a data set that is gone are not asked again in another one", async () => {
  const fixture = await Fixture.live();
  const seen = fixture.client.seen("bob", 90);
  const page = fixture.client.history({ before: 90 }).next();
  const newest = fixture.client.history().next();
  await fixture.reconnect();
  const { id } = await fixture.open();
  fixture.socket.push({ op: "ok", id, ...LOGIN, epoch: "e2", last: 700, reset: true }, { op: "live" });
  assert.equal(await seen, false);
  assert.ok(!fixture.socket.has("seen"), "its ts names another message there, or none");
  for (const asked of [fixture.socket.take("history"), fixture.socket.take("history")]) fixture.socket.push({ op: "history", id: asked.id, messages: [], more: false });
  await assert.rejects(page, { code: "reset" });
  assert.deepEqual((await newest).value, { messages: [], more: false });
});

test("what one user asked is not asked as another", async () => {
  const tokens = ["of alice", "of carol"];
  const fixture = await Fixture.live({ user: undefined, token: () => tokens.shift() });
  const asked = [fixture.client.seen("bob", 90), fixture.client.history({ with: "bob" }).next()];
  fixture.socket.end(4101);
  await fixture.waitOver();
  const { id } = await fixture.open();
  fixture.socket.push({ op: "ok", id, ...LOGIN, user: "carol" });
  assert.equal(await asked[0], false);
  await assert.rejects(asked[1], { code: "user" });
  await fixture.waitOver();
  await fixture.login({ user: "carol" });
  assert.deepEqual([fixture.client.user, fixture.socket.has("seen"), fixture.socket.has("history")], ["carol", false, false]);
});

test("pushes of marks, typing and presence are events, also during a replay", async () => {
  const fixture = await Fixture.live();
  const watched = fixture.client.watch(["bob", "carol"]);
  const { id, users } = fixture.socket.take("watch");
  assert.deepEqual(users, ["bob", "carol"]);
  fixture.socket.push({ op: "ok", id, online: ["bob"] }, { op: "presence", user: "bob", online: false });
  assert.deepEqual(await watched, ["bob"]);
  assert.deepEqual([...fixture.client.online], [], "the push behind the reply counts");
  fixture.socket.push({ op: "seen", with: "bob", ts: 5 }, { op: "seen_by", user: "bob", ts: 6, mid: "m6" }, { op: "typing", from: "bob" });
  assert.deepEqual([fixture.of("seen"), fixture.of("seen_by"), fixture.of("typing")], [[{ with: "bob", ts: 5 }], [{ user: "bob", ts: 6, mid: "m6" }], [{ from: "bob" }]]);
  assert.deepEqual(fixture.of("presence"), [{ user: "bob", online: true }, { user: "bob", online: false }]);
  assert.equal(fixture.client.cursor, 100);
});

test("the watched list is asked for again after a reconnect, until it is empty", async () => {
  const fixture = await Fixture.live();
  const first = fixture.client.watch(["bob"]);
  fixture.socket.push({ op: "ok", id: fixture.socket.take("watch").id, online: ["bob"] });
  await first;
  await fixture.reconnect();
  await fixture.login();
  fixture.socket.push({ op: "ok", id: fixture.socket.take("watch").id, online: [] });
  assert.deepEqual(fixture.of("presence").map(({ online }) => online), [true, false]);
  const end = fixture.client.watch([]);
  fixture.socket.push({ op: "ok", id: fixture.socket.take("watch").id, online: [] });
  await end;
  await fixture.reconnect();
  await fixture.login();
  assert.ok(!fixture.socket.has("watch"));
});

test("typing is sent once a second and recipient, and only while connected", async () => {
  const fixture = await Fixture.live();
  fixture.client.typing("bob");
  fixture.client.typing("bob");
  fixture.client.typing("carol");
  assert.deepEqual(fixture.socket.sent.map(({ op, to }) => [op, to]), [["typing", "bob"], ["typing", "carol"]]);
  await fixture.clock.advance(1000);
  fixture.client.typing("bob");
  assert.equal(fixture.socket.sent.length, 3);
  fixture.clock.leapMs = -3600e3;
  fixture.client.typing("bob");
  assert.equal(fixture.socket.sent.length, 4, "a clock that is set back holds up nothing");
  fixture.socket.end();
  fixture.client.typing("bob");
  assert.equal(fixture.socket.sent.length, 4);
});

test("a server that knows none of these is no error, except for peers", async () => {
  const fixture = await Fixture.live();
  const seen = fixture.client.seen("bob", 5);
  fixture.refuse("seen", "unknown_op");
  assert.equal(await seen, false);
  const watch = fixture.client.watch(["bob"]);
  fixture.refuse("watch", "unknown_op");
  assert.deepEqual(await watch, []);
  fixture.client.typing("bob");
  fixture.refuse("typing", "unknown_op");
  await fixture.clock.advance(1000);
  fixture.client.typing("bob");
  assert.ok(!fixture.socket.has("typing"));
  const page = fixture.client.peers().next();
  await idle();
  fixture.refuse("peers", "unknown_op");
  await assert.rejects(page, { code: "unknown_op" });
  assert.equal(fixture.client.state, "live");
});
