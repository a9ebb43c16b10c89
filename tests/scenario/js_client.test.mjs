// The JavaScript client alone (src/web/chitchat.js): connection, login, tokens, cursor. The test is clock and server.
import assert from "node:assert/strict";
import test from "node:test";
import { Client, IndexedDBStorage, isUserName, MemoryStorage, utf8Length } from "../../src/web/chitchat.js";
import { LOGIN, msg, idle, Fixture } from "./lib/fake_server.mjs";

// -- login and cursor --

test("the first login has no cursor, and takes `last` as it", async () => {
  const fixture = new Fixture();
  await fixture.client.start();
  const asked = await fixture.login();
  assert.deepEqual(asked, { op: "login", id: asked.id, user: "alice" });
  assert.equal(fixture.socket.protocol, "chitchat.v1");
  assert.equal(fixture.client.state, "live");
  assert.equal(fixture.client.cursor, 100);
  assert.deepEqual(fixture.of("state").map(({ state }) => state), ["connecting", "logging-in", "live"]);
});

test("a later login resumes at the cursor, and says what was replayed", async () => {
  const fixture = await Fixture.live();
  fixture.socket.push(msg(110, 100));
  await fixture.reconnect();
  const asked = await fixture.open();
  assert.deepEqual(asked, { op: "login", id: asked.id, user: "alice", after: 110, epoch: "e1" });
  fixture.socket.push({ op: "ok", id: asked.id, ...LOGIN, last: 120 });
  assert.equal(fixture.client.state, "replay");
  fixture.socket.push(msg(120, 110), { op: "live" }, msg(130, 120));
  assert.equal(fixture.client.state, "live");
  assert.deepEqual(fixture.of("message").map(({ message, replayed }) => [message.ts, replayed]), [[110, false], [120, true], [130, false]]);
});

test("a cursor that was stored goes on where it was", async () => {
  const storage = new MemoryStorage();
  const first = await Fixture.live({ storage });
  first.socket.push(msg(110, 100), msg(120, 110));
  await first.client.stop();
  const second = new Fixture({ storage });
  await second.client.start();
  assert.equal((await second.open()).after, 120);
  assert.deepEqual((await storage.entries()).map(({ ts }) => ts), [110, 120]);
});

test("an entry that is not the next one is a gap: a new login fills it", async () => {
  const fixture = await Fixture.live();
  fixture.socket.push(msg(110, 100), msg(130, 120), msg(140, 130));
  assert.equal(fixture.socket.closedWith, 4000);
  assert.deepEqual(fixture.of("state").at(-1).code, "gap");
  await fixture.waitOver();
  const asked = await fixture.open();
  assert.equal(asked.after, 110);
  fixture.socket.push({ op: "ok", id: asked.id, ...LOGIN, last: 140 }, msg(120, 110), msg(130, 120), msg(140, 130), { op: "live" });
  assert.deepEqual(fixture.texts, ["t110", "t120", "t130", "t140"]);
});

test("an ok is an entry: a msg right behind it is the next one", async () => {
  const fixture = await Fixture.live();
  await fixture.send("bob", "mine");
  const frame = fixture.socket.take("send");
  fixture.socket.push({ op: "ok", id: frame.id, ts: 110, prev: 100, mid: "a" }, msg(120, 110));
  assert.deepEqual(fixture.texts, ["mine", "t120"]);
  assert.deepEqual(fixture.of("message")[0].message, { ts: 110, mid: "a", from: "alice", to: "bob", text: "mine", key: frame.key });
});

test("a reset voids cursor and entries, and keeps the outbox with its keys", async () => {
  const fixture = await Fixture.live();
  fixture.socket.push(msg(110, 100));
  await fixture.send("bob", "kept");
  const { key } = fixture.socket.take("send");
  await fixture.reconnect();
  const asked = await fixture.open();
  fixture.socket.push({ op: "ok", id: asked.id, ...LOGIN, epoch: "e2", last: 7, reset: true }, { op: "live" });
  await idle();
  assert.deepEqual(fixture.of("reset"), [{ epoch: "e2", last: 7 }]);
  assert.equal(fixture.client.cursor, 7);
  assert.deepEqual(await fixture.storage.entries(), []);
  assert.equal(fixture.accept(8, 7).key, key);
  await idle();
  assert.deepEqual((await fixture.storage.load()).account, { user: "alice", epoch: "e2", cursor: 8 });
});

test("a reset within one epoch, by a cursor beyond `last`, is one too", async () => {
  const fixture = await Fixture.live();
  await fixture.reconnect();
  await fixture.login({ last: 50, reset: true });
  assert.deepEqual((await fixture.storage.load()).account, { user: "alice", epoch: "e1", cursor: 50 });
});

test("what is gone on the server is dropped, and the cursor is `first`", async () => {
  const fixture = await Fixture.live();
  fixture.socket.push(msg(110, 100));
  await fixture.reconnect(4203);
  await fixture.login({ first: 150, last: 150 });
  assert.deepEqual(fixture.of("cut"), [{ first: 150 }]);
  assert.deepEqual(await fixture.storage.entries(), []);
  fixture.socket.push(msg(160, 150));
  assert.deepEqual(fixture.texts, ["t110", "t160"]);
});

test("with replayMax the cursor is `skipped_until`", async () => {
  const fixture = await Fixture.live({ replayMax: 1 });
  fixture.socket.push(msg(110, 100));
  await fixture.reconnect();
  const asked = await fixture.open();
  assert.equal(asked.max, 1);
  fixture.socket.push({ op: "ok", id: asked.id, ...LOGIN, last: 140, skipped_until: 130 }, msg(140, 130), { op: "live" });
  assert.deepEqual(fixture.of("skipped"), [{ after: 110, until: 130 }]);
  assert.deepEqual(fixture.texts, ["t110", "t140"]);
  await idle();
  assert.deepEqual((await fixture.storage.entries()).map(({ ts }) => ts), [140]);
});

// -- reconnect --

test("waits are spread up to min(30 s, 0.5 s * 2^n), and n is 0 again only when the client is live", async () => {
  const fixture = await Fixture.live();
  fixture.random = 1 - 2 ** -40;
  const waits = [];
  for (let n = 0; n < 9; n++) {
    fixture.socket.end(1006);
    const { state, waitMs } = fixture.of("state").at(-1);
    assert.equal(state, "waiting");
    waits.push(Math.round(waitMs));
    await fixture.clock.advance(waitMs);
    const asked = await fixture.open();
    fixture.socket.push({ op: "ok", id: asked.id, ...LOGIN }); // ends in the replay
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  fixture.socket.push({ op: "live" });
  fixture.socket.end(1001);
  assert.equal(Math.round(fixture.of("state").at(-1).waitMs), 500);
});

test("wake ends a wait at once, and checks a connection with a ping", async () => {
  const fixture = await Fixture.live();
  fixture.client.wake();
  assert.ok(fixture.socket.take("ping"));
  fixture.socket.end();
  assert.equal(fixture.sockets.length, 1);
  fixture.client.wake();
  await idle();
  assert.equal(fixture.sockets.length, 2);
  await fixture.clock.advance(15000);
  assert.equal(fixture.sockets.length, 2, "the wait that was cut does not connect again");
});

for (const code of [1002, 1003, 1007, 1009, 4201])
  test(`${code} stops the client, and start begins anew`, async () => {
    const fixture = await Fixture.live();
    fixture.socket.end(code, "why");
    assert.deepEqual(fixture.of("state").at(-1), { state: "stopped", code, reason: "why" });
    assert.equal(fixture.clock.count, 0);
    await fixture.client.start();
    await fixture.login();
    assert.equal(fixture.client.state, "live");
  });

for (const code of [1000, 1001, 1006, 1011, 1013, 4001, 4002, 4003, 4203, 4999])
  test(`after ${code} the client comes back`, async () => {
    const fixture = await Fixture.live();
    await fixture.reconnect(code);
    await fixture.login();
    assert.equal(fixture.client.state, "live");
  });

// Ends the newest connection, and waits for the next one: its URL.
async function next(fixture, code, reason) {
  fixture.socket.end(code, reason);
  await fixture.waitOver();
  return fixture.socket.url;
}

const GIVEN = "ws://test/ws";
const TWO = "ws://two:82/ws";

test("after 1001 with the URL of another node the client goes there, and comes back if it does not answer", async () => {
  const fixture = await Fixture.live();
  assert.equal(await next(fixture, 1001, TWO), TWO);
  await fixture.login();
  assert.equal(await next(fixture, 1006), TWO, "it stays there");
  assert.equal(await next(fixture, 1006), GIVEN);
  await fixture.login();
  for (const reason of ["the server goes down", "https://two", "wss://two", "ws://", "ws://two:x", "ws://two is down"]) {
    assert.equal(await next(fixture, 1001, reason), GIVEN, reason);
    await fixture.login();
  }
});

test("a node that is named without a path has that of the given URL", async () => {
  const fixture = await Fixture.live({ url: "ws://test/chat/ws" });
  for (const [reason, wanted] of [["ws://two", "ws://two/chat/ws"], ["ws://[::1]:82/", "ws://[::1]:82/chat/ws"], ["ws://two/other", "ws://two/other"]])
    assert.equal(await next(fixture, 1001, reason), wanted);
});

test("a node that is cut off from the log is left for the given URL", async () => {
  const fixture = await Fixture.live();
  assert.equal(await next(fixture, 1001, TWO), TWO);
  const { id } = await fixture.open();
  fixture.socket.push({ op: "error", id, code: "unavailable", message: "the log does not answer" });
  await fixture.waitOver();
  assert.equal(fixture.socket.url, GIVEN, "an error is no login");
  assert.equal(await next(fixture, 1001, TWO), TWO);
  await fixture.open();
  assert.equal(await next(fixture, 1006), GIVEN, "nor is the end of the connection");
  assert.equal(await next(fixture, 1001, TWO), TWO);
  await fixture.login();
  assert.equal(await next(fixture, 1001, "the log does not answer"), GIVEN);
});

test("a named node to which a page may not connect does not make the waits longer", async () => {
  const fixture = await Fixture.live();
  const waits = [];
  for (const [code, reason] of [[1001, TWO], [1006], [1001, TWO], [1006], [1006]]) {
    await next(fixture, code, reason);
    waits.push(fixture.of("state").findLast(({ state }) => state === "waiting").waitMs);
    if (fixture.socket.url === GIVEN) await fixture.open();
  }
  assert.deepEqual(waits, [250, 500, 500, 1000, 1000]);
});

test("silence is answered by a ping, and more silence by a new connection", async () => {
  const fixture = await Fixture.live();
  await fixture.clock.advance(20000);
  fixture.socket.push(msg(110, 100));
  await fixture.clock.advance(24999);
  assert.ok(!fixture.socket.has("ping"));
  await fixture.clock.advance(1);
  const { id } = fixture.socket.take("ping");
  await fixture.clock.advance(9999);
  fixture.socket.push({ op: "ok", id });
  await fixture.clock.advance(25000);
  fixture.socket.take("ping");
  await fixture.clock.advance(9999);
  assert.equal(fixture.client.state, "live");
  await fixture.clock.advance(1);
  assert.equal(fixture.socket.closedWith, 4000);
  assert.deepEqual([fixture.client.state, fixture.of("state").at(-1).code], ["waiting", "dead"]);
});

test("a clock that is set back or forward delays no ping by more than that of silence", async () => {
  for (const leapMs of [-3600e3, 3600e3]) {
    const fixture = await Fixture.live();
    fixture.clock.leapMs = leapMs;
    await fixture.clock.advance(25000);
    fixture.socket.take("ping");
    await fixture.clock.advance(10000);
    assert.deepEqual([fixture.client.state, fixture.of("state").at(-1).code], ["waiting", "dead"]);
  }
});

test("an attempt without a reply to its login is given up after 20 s", async () => {
  const fixture = new Fixture();
  await fixture.client.start();
  await fixture.open();
  await fixture.clock.advance(19999);
  assert.equal(fixture.client.state, "logging-in");
  await fixture.clock.advance(1);
  assert.deepEqual([fixture.client.state, fixture.socket.closedWith], ["waiting", 4000]);
});

test("a refused login stops or waits, as its code says", async () => {
  const fixture = new Fixture();
  fixture.random = 0;
  await fixture.client.start();
  await fixture.open().then(({ id }) => fixture.socket.push({ op: "error", id, code: "rate_limited", message: "", retry_after: 700 }));
  assert.deepEqual([fixture.client.state, fixture.of("state").at(-1).waitMs], ["waiting", 700]);
  await fixture.clock.advance(700);
  await fixture.open().then(({ id }) => fixture.socket.push({ op: "error", id, code: "unavailable", message: "" }));
  assert.equal(fixture.client.state, "waiting");
  await fixture.clock.advance(0);
  await fixture.open().then(({ id }) => fixture.socket.push({ op: "error", id, code: "bad_request", message: "why" }));
  assert.deepEqual(fixture.of("state").at(-1), { state: "stopped", code: "bad_request", reason: "why" });
});

test("a frame that is no JSON object ends the connection, one of an unknown op does not", async () => {
  for (const wrong of ["{", "null", "7"]) {
    const fixture = await Fixture.live();
    fixture.socket.push({ op: "new_thing" }, { op: "ok", id: 999 });
    assert.equal(fixture.client.state, "live");
    fixture.socket.push(wrong);
    assert.equal(fixture.client.state, "waiting");
  }
});

test("stop closes with 1000 and leaves no timer; an address that is none stops", async () => {
  const fixture = await Fixture.live();
  await fixture.client.stop();
  assert.deepEqual([fixture.socket.closedWith, fixture.clock.count, fixture.client.state], [1000, 0, "stopped"]);
  class Bad { constructor() { throw new SyntaxError("no address"); } }
  const bad = new Fixture({ WebSocket: Bad });
  await bad.client.start();
  assert.deepEqual(bad.of("state").at(-1), { state: "stopped", code: "bad_url", reason: "no address" });
});

test("a listener may stop the client wherever it is called", async () => {
  for (const type of ["login", "message", "outbox", "state"]) {
    const fixture = await Fixture.live();
    await fixture.send("bob", "x");
    fixture.client.on(type, () => void fixture.client.stop());
    if (type === "login" || type === "state") {
      fixture.socket.end();
      if (fixture.client.state === "stopped") continue;
      await fixture.waitOver();
      await fixture.login();
    } else {
      fixture.accept(110, 100);
    }
    await idle();
    assert.deepEqual([type, fixture.client.state, fixture.clock.count], [type, "stopped", 0]);
  }
});

test("a listener that throws stops nothing, and its error is reported", async (t) => {
  const fixture = await Fixture.live();
  const reported = [];
  const real = globalThis.setTimeout;
  t.after(() => (globalThis.setTimeout = real));
  globalThis.setTimeout = (callback) => reported.push(callback);
  fixture.client.on("message", () => { throw new Error("mine"); });
  fixture.socket.push(msg(110, 100), msg(120, 110));
  globalThis.setTimeout = real;
  assert.equal(fixture.client.cursor, 120);
  assert.throws(reported[0], /mine/);
});

// -- tokens --

// A token whose payload says when it expires, in ms from now.
const tokenFor = (fixture, ms, name = "t") => `${name}.${Buffer.from(JSON.stringify({ exp: (fixture.clock.time + ms) / 1000 })).toString("base64url")}.s`;

async function withTokens(give) {
  const fixture = new Fixture({ user: undefined, token: () => give(fixture) });
  await fixture.client.start();
  return fixture;
}

test("a token is asked for before the login, kept over a reconnect, and extended before it expires", async () => {
  let asked = 0;
  const fixture = await withTokens((of) => tokenFor(of, 3600e3, `t${++asked}`));
  const login = await fixture.login({ auth: "token" });
  assert.match(login.token, /^t1\./);
  assert.equal(login.user, undefined);
  await fixture.reconnect();
  assert.match((await fixture.login()).token, /^t1\./);
  const { socket } = fixture;
  for (let ms = 0; ms < 3600e3 - 120e3 - 10e3; ms += 10e3) {
    assert.ok(!socket.has("login"));
    await fixture.clock.advance(10e3);
    while (socket.has("ping")) socket.push({ op: "ok", id: socket.take("ping").id });
  }
  await fixture.clock.advance(10e3);
  const extension = socket.take("login");
  assert.match(extension.token, /^t2\./);
  assert.deepEqual([extension.after, extension.epoch], [undefined, undefined]);
  socket.push({ op: "ok", id: extension.id, ...LOGIN, last: 500 });
  assert.deepEqual([fixture.client.cursor, fixture.client.state, asked], [100, "live", 2]);
});

test("after 4101 a new token is asked for; a new one that is refused stops", async () => {
  let asked = 0;
  const fixture = await withTokens(() => `token${++asked}`);
  await fixture.login();
  await fixture.reconnect(4101);
  const { token, id } = await fixture.open();
  assert.equal(token, "token2");
  fixture.socket.push({ op: "error", id, code: "bad_token", message: "wrong" });
  assert.deepEqual(fixture.of("state").at(-1), { state: "stopped", code: "bad_token", reason: "wrong" });
  assert.equal(fixture.clock.count, 0);
});

test("a kept token that is refused is replaced by a new one, without a stop", async () => {
  let asked = 0;
  const fixture = await withTokens(() => `token${++asked}`);
  await fixture.login();
  await fixture.reconnect();
  const { token, id } = await fixture.open();
  assert.equal(token, "token1");
  fixture.socket.push({ op: "error", id, code: "bad_token", message: "expired" });
  await fixture.waitOver();
  assert.equal((await fixture.login()).token, "token2");
  assert.equal(fixture.client.state, "live");
});

test("a token callback that fails is tried again; one that gives null stops the client", async () => {
  const answers = [() => Promise.reject(new Error("offline")), () => "good", () => null];
  const fixture = await withTokens(() => answers.shift()());
  await idle();
  assert.deepEqual([fixture.client.state, fixture.of("error")[0].message], ["waiting", "offline"]);
  await fixture.waitOver();
  assert.equal((await fixture.login()).token, "good");
  fixture.socket.end(4101);
  await fixture.waitOver();
  assert.deepEqual([fixture.client.state, fixture.of("state").at(-1).code], ["stopped", "no_token"]);
});

test("a client without tokens stops where they are asked for", async () => {
  const fixture = new Fixture();
  await fixture.client.start();
  const { id } = await fixture.open();
  fixture.socket.push({ op: "error", id, code: "bad_token", message: "a token is required" });
  assert.equal(fixture.client.state, "stopped");
});

test("a token of another user sends and shows nothing of the one before", async () => {
  let name = "alice";
  const storage = new MemoryStorage();
  const fixture = new Fixture({ user: undefined, token: () => name, storage });
  await fixture.client.start();
  await fixture.login();
  fixture.socket.push(msg(110, 100));
  const [item] = await fixture.send("bob", "of alice");
  fixture.socket.take("send");
  name = "carol";
  fixture.socket.end(4101);
  await fixture.waitOver();
  const asked = await fixture.open();
  fixture.socket.push({ op: "ok", id: asked.id, ...LOGIN, user: "carol", last: 300 });
  assert.equal((await item.outcome).code, "discarded");
  assert.ok(!fixture.socket.has("send"));
  await fixture.waitOver();
  assert.equal((await fixture.login({ user: "carol", last: 300 })).after, 300);
  assert.deepEqual(await storage.load(), { account: { user: "carol", epoch: "e1", cursor: 300 }, outbox: [] });
  assert.deepEqual(await storage.entries(), []);
});

test("an extension that is refused stops; one that cannot be had leaves the connection as it is", async () => {
  let give = (of) => tokenFor(of, 60e3);
  const fixture = await withTokens((of) => give(of));
  await fixture.login();
  give = () => Promise.reject(new Error("offline"));
  await fixture.clock.advance(24e3);
  fixture.socket.push(msg(110, 100)); // it is alive
  await fixture.clock.advance(21e3);
  assert.deepEqual([fixture.client.state, fixture.of("error")[0].message], ["live", "offline"]);
  give = (of) => tokenFor(of, 60e3, "new");
  await fixture.clock.advance(12e3);
  const { id, token } = fixture.socket.take("login");
  assert.match(token, /^new/);
  fixture.socket.push({ op: "error", id, code: "bad_token", message: "wrong" });
  assert.equal(fixture.client.state, "stopped");
});

// -- the rest of the surface --

test("arguments that cannot be right are refused at once", () => {
  assert.throws(() => new Client({}), TypeError);
  assert.throws(() => new Client({ url: "ws://x/ws", user: "a b" }), TypeError);
  assert.throws(() => new Client({ url: "ws://x/ws", user: "alice" }), /hand in a WebSocket/);
  const { client } = new Fixture();
  assert.throws(() => client.send("b\"c", "x"), TypeError);
  assert.throws(() => client.send("bob", ""), TypeError);
  assert.deepEqual(["a", "x".repeat(128), "~!"].map(isUserName), [true, true, true]);
  assert.deepEqual(["", "x".repeat(129), "a b", "ä", "a\\", 1].map(isUserName), [false, false, false, false, false, false]);
  assert.equal(utf8Length("ä😀"), 6);
  assert.equal(new IndexedDBStorage("n", { indexedDB: {} }).name, "n");
});

test("logout forgets user, cursor, entries and outbox", async () => {
  const fixture = await Fixture.live();
  fixture.socket.push(msg(110, 100));
  const [item] = await fixture.send("bob", "x");
  await fixture.client.logout();
  assert.equal((await item.outcome).code, "discarded");
  assert.deepEqual(await fixture.storage.load(), { account: undefined, outbox: [] });
  assert.deepEqual([await fixture.storage.entries(), fixture.client.outbox, fixture.client.cursor], [[], [], undefined]);
  await fixture.client.start();
  assert.equal((await fixture.login()).after, undefined);
});
