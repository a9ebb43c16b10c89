// The JavaScript client alone (src/web/chitchat.js): connection, login, tokens, cursor. The test is clock and server.
import assert from "node:assert/strict";
import test from "node:test";
import { Client, IndexedDBStorage, isUserName, MemoryStorage, utf8Length } from "../../src/web/chitchat.js";
import { LOGIN, msg, settled, World } from "./lib/fake_server.mjs";

// -- login and cursor --

test("the first login has no cursor, and takes `last` as it", async () => {
  const world = new World();
  await world.client.start();
  const asked = await world.login();
  assert.deepEqual(asked, { op: "login", id: asked.id, user: "alice" });
  assert.equal(world.socket.protocol, "chitchat.v1");
  assert.equal(world.client.state, "live");
  assert.equal(world.client.cursor, 100);
  assert.deepEqual(world.of("state").map(({ state }) => state), ["connecting", "logging-in", "live"]);
});

test("a later login resumes at the cursor, and says what was replayed", async () => {
  const world = await World.live();
  world.socket.push(msg(110, 100));
  await world.reconnect();
  const asked = await world.open();
  assert.deepEqual(asked, { op: "login", id: asked.id, user: "alice", after: 110, epoch: "e1" });
  world.socket.push({ op: "ok", id: asked.id, ...LOGIN, last: 120 });
  assert.equal(world.client.state, "replay");
  world.socket.push(msg(120, 110), { op: "live" }, msg(130, 120));
  assert.equal(world.client.state, "live");
  assert.deepEqual(world.of("message").map(({ message, replayed }) => [message.ts, replayed]), [[110, false], [120, true], [130, false]]);
});

test("a cursor that was stored goes on where it was", async () => {
  const storage = new MemoryStorage();
  const first = await World.live({ storage });
  first.socket.push(msg(110, 100), msg(120, 110));
  await first.client.stop();
  const second = new World({ storage });
  await second.client.start();
  assert.equal((await second.open()).after, 120);
  assert.deepEqual((await storage.entries()).map(({ ts }) => ts), [110, 120]);
});

test("an entry that is not the next one is a gap: a new login fills it", async () => {
  const world = await World.live();
  world.socket.push(msg(110, 100), msg(130, 120), msg(140, 130));
  assert.equal(world.socket.closedWith, 4000);
  assert.deepEqual(world.of("state").at(-1).code, "gap");
  await world.waitOver();
  const asked = await world.open();
  assert.equal(asked.after, 110);
  world.socket.push({ op: "ok", id: asked.id, ...LOGIN, last: 140 }, msg(120, 110), msg(130, 120), msg(140, 130), { op: "live" });
  assert.deepEqual(world.texts, ["t110", "t120", "t130", "t140"]);
});

test("an ok is an entry: a msg right behind it is the next one", async () => {
  const world = await World.live();
  await world.send("bob", "mine");
  const frame = world.socket.take("send");
  world.socket.push({ op: "ok", id: frame.id, ts: 110, prev: 100, mid: "a" }, msg(120, 110));
  assert.deepEqual(world.texts, ["mine", "t120"]);
  assert.deepEqual(world.of("message")[0].message, { ts: 110, mid: "a", from: "alice", to: "bob", text: "mine", key: frame.key });
});

test("a reset voids cursor and entries, and keeps the outbox with its keys", async () => {
  const world = await World.live();
  world.socket.push(msg(110, 100));
  await world.send("bob", "kept");
  const { key } = world.socket.take("send");
  await world.reconnect();
  const asked = await world.open();
  world.socket.push({ op: "ok", id: asked.id, ...LOGIN, epoch: "e2", last: 7, reset: true }, { op: "live" });
  await settled();
  assert.deepEqual(world.of("reset"), [{ epoch: "e2", last: 7 }]);
  assert.equal(world.client.cursor, 7);
  assert.deepEqual(await world.storage.entries(), []);
  assert.equal(world.accept(8, 7).key, key);
  await settled();
  assert.deepEqual((await world.storage.load()).account, { user: "alice", epoch: "e2", cursor: 8 });
});

test("a reset within one epoch, by a cursor beyond `last`, is one too", async () => {
  const world = await World.live();
  await world.reconnect();
  await world.login({ last: 50, reset: true });
  assert.deepEqual((await world.storage.load()).account, { user: "alice", epoch: "e1", cursor: 50 });
});

test("what is gone on the server is dropped, and the cursor is `first`", async () => {
  const world = await World.live();
  world.socket.push(msg(110, 100));
  await world.reconnect(4203);
  await world.login({ first: 150, last: 150 });
  assert.deepEqual(world.of("cut"), [{ first: 150 }]);
  assert.deepEqual(await world.storage.entries(), []);
  world.socket.push(msg(160, 150));
  assert.deepEqual(world.texts, ["t110", "t160"]);
});

test("with replayMax the cursor is `skipped_until`", async () => {
  const world = await World.live({ replayMax: 1 });
  world.socket.push(msg(110, 100));
  await world.reconnect();
  const asked = await world.open();
  assert.equal(asked.max, 1);
  world.socket.push({ op: "ok", id: asked.id, ...LOGIN, last: 140, skipped_until: 130 }, msg(140, 130), { op: "live" });
  assert.deepEqual(world.of("skipped"), [{ after: 110, until: 130 }]);
  assert.deepEqual(world.texts, ["t110", "t140"]);
  await settled();
  assert.deepEqual((await world.storage.entries()).map(({ ts }) => ts), [140]);
});

// -- reconnect --

test("waits are spread up to min(30 s, 0.5 s * 2^n), and n is 0 again only when the client is live", async () => {
  const world = await World.live();
  world.random = 1 - 2 ** -40;
  const waits = [];
  for (let n = 0; n < 9; n++) {
    world.socket.end(1006);
    const { state, waitMs } = world.of("state").at(-1);
    assert.equal(state, "waiting");
    waits.push(Math.round(waitMs));
    await world.clock.advance(waitMs);
    const asked = await world.open();
    world.socket.push({ op: "ok", id: asked.id, ...LOGIN }); // ends in the replay
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  world.socket.push({ op: "live" });
  world.socket.end(1001);
  assert.equal(Math.round(world.of("state").at(-1).waitMs), 500);
});

test("wake ends a wait at once, and checks a connection with a ping", async () => {
  const world = await World.live();
  world.client.wake();
  assert.ok(world.socket.take("ping"));
  world.socket.end();
  assert.equal(world.sockets.length, 1);
  world.client.wake();
  await settled();
  assert.equal(world.sockets.length, 2);
  await world.clock.advance(15000);
  assert.equal(world.sockets.length, 2, "the wait that was cut does not connect again");
});

for (const code of [1002, 1003, 1007, 1009, 4201])
  test(`${code} stops the client, and start begins anew`, async () => {
    const world = await World.live();
    world.socket.end(code, "why");
    assert.deepEqual(world.of("state").at(-1), { state: "stopped", code, reason: "why" });
    assert.equal(world.clock.count, 0);
    await world.client.start();
    await world.login();
    assert.equal(world.client.state, "live");
  });

for (const code of [1000, 1001, 1006, 1011, 1013, 4001, 4002, 4003, 4203, 4999])
  test(`after ${code} the client comes back`, async () => {
    const world = await World.live();
    await world.reconnect(code);
    await world.login();
    assert.equal(world.client.state, "live");
  });

test("silence is answered by a ping, and more silence by a new connection", async () => {
  const world = await World.live();
  await world.clock.advance(20000);
  world.socket.push(msg(110, 100));
  await world.clock.advance(24999);
  assert.ok(!world.socket.has("ping"));
  await world.clock.advance(1);
  const { id } = world.socket.take("ping");
  await world.clock.advance(9999);
  world.socket.push({ op: "ok", id });
  await world.clock.advance(25000);
  world.socket.take("ping");
  await world.clock.advance(9999);
  assert.equal(world.client.state, "live");
  await world.clock.advance(1);
  assert.equal(world.socket.closedWith, 4000);
  assert.deepEqual([world.client.state, world.of("state").at(-1).code], ["waiting", "dead"]);
});

test("a clock that is set back or forward delays no ping by more than that of silence", async () => {
  for (const leapMs of [-3600e3, 3600e3]) {
    const world = await World.live();
    world.clock.leapMs = leapMs;
    await world.clock.advance(25000);
    world.socket.take("ping");
    await world.clock.advance(10000);
    assert.deepEqual([world.client.state, world.of("state").at(-1).code], ["waiting", "dead"]);
  }
});

test("an attempt without a reply to its login is given up after 20 s", async () => {
  const world = new World();
  await world.client.start();
  await world.open();
  await world.clock.advance(19999);
  assert.equal(world.client.state, "logging-in");
  await world.clock.advance(1);
  assert.deepEqual([world.client.state, world.socket.closedWith], ["waiting", 4000]);
});

test("a refused login stops or waits, as its code says", async () => {
  const world = new World();
  world.random = 0;
  await world.client.start();
  await world.open().then(({ id }) => world.socket.push({ op: "error", id, code: "rate_limited", message: "", retry_after: 700 }));
  assert.deepEqual([world.client.state, world.of("state").at(-1).waitMs], ["waiting", 700]);
  await world.clock.advance(700);
  await world.open().then(({ id }) => world.socket.push({ op: "error", id, code: "unavailable", message: "" }));
  assert.equal(world.client.state, "waiting");
  await world.clock.advance(0);
  await world.open().then(({ id }) => world.socket.push({ op: "error", id, code: "bad_request", message: "why" }));
  assert.deepEqual(world.of("state").at(-1), { state: "stopped", code: "bad_request", reason: "why" });
});

test("a frame that is no JSON ends the connection, one of an unknown op does not", async () => {
  const world = await World.live();
  world.socket.push({ op: "new_thing" }, { op: "ok", id: 999 });
  assert.equal(world.client.state, "live");
  world.socket.push("{");
  assert.equal(world.client.state, "waiting");
});

test("stop closes with 1000 and leaves no timer; an address that is none stops", async () => {
  const world = await World.live();
  await world.client.stop();
  assert.deepEqual([world.socket.closedWith, world.clock.count, world.client.state], [1000, 0, "stopped"]);
  class Bad { constructor() { throw new SyntaxError("no address"); } }
  const bad = new World({ WebSocket: Bad });
  await bad.client.start();
  assert.deepEqual(bad.of("state").at(-1), { state: "stopped", code: "bad_url", reason: "no address" });
});

test("a listener may stop the client wherever it is called", async () => {
  for (const type of ["login", "message", "outbox", "state"]) {
    const world = await World.live();
    await world.send("bob", "x");
    world.client.on(type, () => void world.client.stop());
    if (type === "login" || type === "state") {
      world.socket.end();
      if (world.client.state === "stopped") continue;
      await world.waitOver();
      await world.login();
    } else {
      world.accept(110, 100);
    }
    await settled();
    assert.deepEqual([type, world.client.state, world.clock.count], [type, "stopped", 0]);
  }
});

test("a listener that throws stops nothing, and its error is reported", async (t) => {
  const world = await World.live();
  const reported = [];
  const real = globalThis.setTimeout;
  t.after(() => (globalThis.setTimeout = real));
  globalThis.setTimeout = (callback) => reported.push(callback);
  world.client.on("message", () => { throw new Error("mine"); });
  world.socket.push(msg(110, 100), msg(120, 110));
  globalThis.setTimeout = real;
  assert.equal(world.client.cursor, 120);
  assert.throws(reported[0], /mine/);
});

// -- tokens --

// A token whose payload says when it expires, in ms from now.
const tokenFor = (world, ms, name = "t") => `${name}.${Buffer.from(JSON.stringify({ exp: (world.clock.time + ms) / 1000 })).toString("base64url")}.s`;

async function withTokens(give) {
  const world = new World({ user: undefined, token: () => give(world) });
  await world.client.start();
  return world;
}

test("a token is asked for before the login, kept over a reconnect, and extended before it expires", async () => {
  let asked = 0;
  const world = await withTokens((of) => tokenFor(of, 3600e3, `t${++asked}`));
  const login = await world.login({ auth: "token" });
  assert.match(login.token, /^t1\./);
  assert.equal(login.user, undefined);
  await world.reconnect();
  assert.match((await world.login()).token, /^t1\./);
  const { socket } = world;
  for (let ms = 0; ms < 3600e3 - 120e3 - 10e3; ms += 10e3) {
    assert.ok(!socket.has("login"));
    await world.clock.advance(10e3);
    while (socket.has("ping")) socket.push({ op: "ok", id: socket.take("ping").id });
  }
  await world.clock.advance(10e3);
  const extension = socket.take("login");
  assert.match(extension.token, /^t2\./);
  assert.deepEqual([extension.after, extension.epoch], [undefined, undefined]);
  socket.push({ op: "ok", id: extension.id, ...LOGIN, last: 500 });
  assert.deepEqual([world.client.cursor, world.client.state, asked], [100, "live", 2]);
});

test("after 4101 a new token is asked for; a new one that is refused stops", async () => {
  let asked = 0;
  const world = await withTokens(() => `token${++asked}`);
  await world.login();
  await world.reconnect(4101);
  const { token, id } = await world.open();
  assert.equal(token, "token2");
  world.socket.push({ op: "error", id, code: "bad_token", message: "wrong" });
  assert.deepEqual(world.of("state").at(-1), { state: "stopped", code: "bad_token", reason: "wrong" });
  assert.equal(world.clock.count, 0);
});

test("a kept token that is refused is replaced by a new one, without a stop", async () => {
  let asked = 0;
  const world = await withTokens(() => `token${++asked}`);
  await world.login();
  await world.reconnect();
  const { token, id } = await world.open();
  assert.equal(token, "token1");
  world.socket.push({ op: "error", id, code: "bad_token", message: "expired" });
  await world.waitOver();
  assert.equal((await world.login()).token, "token2");
  assert.equal(world.client.state, "live");
});

test("a token callback that fails is tried again; one that gives null stops the client", async () => {
  const answers = [() => Promise.reject(new Error("offline")), () => "good", () => null];
  const world = await withTokens(() => answers.shift()());
  await settled();
  assert.deepEqual([world.client.state, world.of("error")[0].message], ["waiting", "offline"]);
  await world.waitOver();
  assert.equal((await world.login()).token, "good");
  world.socket.end(4101);
  await world.waitOver();
  assert.deepEqual([world.client.state, world.of("state").at(-1).code], ["stopped", "no_token"]);
});

test("a client without tokens stops where they are asked for", async () => {
  const world = new World();
  await world.client.start();
  const { id } = await world.open();
  world.socket.push({ op: "error", id, code: "bad_token", message: "a token is required" });
  assert.equal(world.client.state, "stopped");
});

test("a token of another user sends and shows nothing of the one before", async () => {
  let name = "alice";
  const storage = new MemoryStorage();
  const world = new World({ user: undefined, token: () => name, storage });
  await world.client.start();
  await world.login();
  world.socket.push(msg(110, 100));
  const [item] = await world.send("bob", "of alice");
  world.socket.take("send");
  name = "carol";
  world.socket.end(4101);
  await world.waitOver();
  const asked = await world.open();
  world.socket.push({ op: "ok", id: asked.id, ...LOGIN, user: "carol", last: 300 });
  assert.equal((await item.outcome).code, "discarded");
  assert.ok(!world.socket.has("send"));
  await world.waitOver();
  assert.equal((await world.login({ user: "carol", last: 300 })).after, 300);
  assert.deepEqual(await storage.load(), { account: { user: "carol", epoch: "e1", cursor: 300 }, outbox: [] });
  assert.deepEqual(await storage.entries(), []);
});

test("an extension that is refused stops; one that cannot be had leaves the connection as it is", async () => {
  let give = (of) => tokenFor(of, 60e3);
  const world = await withTokens((of) => give(of));
  await world.login();
  give = () => Promise.reject(new Error("offline"));
  await world.clock.advance(24e3);
  world.socket.push(msg(110, 100)); // it is alive
  await world.clock.advance(21e3);
  assert.deepEqual([world.client.state, world.of("error")[0].message], ["live", "offline"]);
  give = (of) => tokenFor(of, 60e3, "new");
  await world.clock.advance(12e3);
  const { id, token } = world.socket.take("login");
  assert.match(token, /^new/);
  world.socket.push({ op: "error", id, code: "bad_token", message: "wrong" });
  assert.equal(world.client.state, "stopped");
});

// -- the rest of the surface --

test("arguments that cannot be right are refused at once", () => {
  assert.throws(() => new Client({}), TypeError);
  assert.throws(() => new Client({ url: "ws://x/ws", user: "a b" }), TypeError);
  assert.throws(() => new Client({ url: "ws://x/ws", user: "alice" }), /hand in a WebSocket/);
  const { client } = new World();
  assert.throws(() => client.send("b\"c", "x"), TypeError);
  assert.throws(() => client.send("bob", ""), TypeError);
  assert.deepEqual(["a", "x".repeat(128), "~!"].map(isUserName), [true, true, true]);
  assert.deepEqual(["", "x".repeat(129), "a b", "ä", "a\\", 1].map(isUserName), [false, false, false, false, false, false]);
  assert.equal(utf8Length("ä😀"), 6);
  assert.equal(new IndexedDBStorage("n", { indexedDB: {} }).name, "n");
});

test("logout forgets user, cursor, entries and outbox", async () => {
  const world = await World.live();
  world.socket.push(msg(110, 100));
  const [item] = await world.send("bob", "x");
  await world.client.logout();
  assert.equal((await item.outcome).code, "discarded");
  assert.deepEqual(await world.storage.load(), { account: undefined, outbox: [] });
  assert.deepEqual([await world.storage.entries(), world.client.outbox, world.client.cursor], [[], [], undefined]);
  await world.client.start();
  assert.equal((await world.login()).after, undefined);
});
