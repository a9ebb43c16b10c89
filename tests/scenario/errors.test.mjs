// PROTOCOL, "Errors": what a connection survives, which errors have `retry_after`, and what becomes of messages while
// the server refuses them. What is wrong with single fields is in requests.test.mjs, with JSON in json.test.mjs.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { onServers, scenario } from "./lib/harness.mjs";
import { scaled } from "./lib/server.mjs";
import { checkHolds, pump, wholeTimeline } from "./lib/traffic.mjs";

// Writes beyond so many bytes of any file of the server fail from now on, as on a full disk.
function limitFiles(server, bytes) {
  const end = spawnSync("prlimit", ["--pid", String(server.pid), `--fsize=${bytes}:`], { encoding: "utf8" });
  assert.equal(end.status, 0, end.stderr);
}

// As harness.server.stop, where errors in the log are what the test asks for.
async function stopInTrouble(server) {
  server.signal("SIGTERM");
  assert.deepEqual(await server.ended(), { code: 0, signal: null }, server.stderr);
  assert.doesNotMatch(server.stderr, /Sanitizer|runtime error|assertion/i);
}

const codes = (replies) => replies.map((reply) => reply.code ?? reply.op);
const countOf = (replies, code) => codes(replies).filter((one) => one === code).length;

// Runs it: what it gives, and no more than how many a bucket of `rate` a second lets through meanwhile. The client's
// time is longer than the server's, so that the bound is valid however slow both are.
async function underRate(rate, run) {
  const begun = process.hrtime.bigint();
  const result = await run();
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
  return { result, most: Math.floor(rate * (1 + seconds)) + 1 };
}

onServers("Errors", {}, (harness, it) => {
  it("a connection stays after every error that says so, and each has op, id, code and message", async () => {
    const client = await harness.client();
    const to = harness.name();
    const errors = [await client.error({ op: "ping" }, "not_logged_in"), await client.error({ op: "login", user: "a b" }, "bad_request")];
    await client.loginAs(harness.name());
    await client.send(to, "one", { key: "k" });
    errors.push(await client.error({ op: "login", user: client.user }, "already_logged_in"));
    errors.push(await client.error({ op: "nothing" }, "unknown_op"));
    errors.push(await client.error({ op: "send", to, text: "x".repeat(16385) }, "too_large"));
    errors.push(await client.error({ op: "send", to, text: "two", key: "k" }, "key_conflict"));
    for (const error of errors) assert.deepEqual(Object.keys(error).sort(), ["code", "id", "message", "op"]);
    const broken = await client.strayAfter("{");
    assert.deepEqual(Object.keys(broken).sort(), ["code", "message", "op"]);
    assert.equal(broken.code, "bad_json");
    await client.ok({ op: "ping" });
    assert.equal((await wholeTimeline(client)).length, 1);
  });

  it("a key with another text is key_conflict while the first is pending", async () => {
    const client = await harness.login(harness.name());
    const to = harness.name();
    const replies = await Promise.all(["a", "b", "a"].map((text) => client.request({ op: "send", to, text, key: "k" })));
    assert.deepEqual(codes(replies), ["ok", "key_conflict", "ok"]);
    assert.equal(replies[2].dup, true);
    assert.deepEqual((await wholeTimeline(client)).map((message) => message.text), ["a"]);
  });

  it("a refused send leaves no gap: what is accepted around it is one chain for both", async () => {
    const [alice, bob] = [await harness.login(harness.name()), await harness.login(harness.name())];
    const texts = Array.from({ length: 60 }, (_, n) => (n % 3 === 1 ? "" : `n${n}`));
    const replies = await Promise.all(texts.map((text) => alice.request({ op: "send", to: bob.user, text })));
    assert.deepEqual(codes(replies), texts.map((text) => (text === "" ? "bad_request" : "ok")));
    await bob.untilMessages(40);
    assert.deepEqual(bob.messages.map((message) => message.text), texts.filter((text) => text !== ""));
  });

  it("a server with --auth none says that it takes no token", async () => {
    const client = await harness.client();
    for (const fields of [{ token: "a.b.c" }, { user: harness.name(), token: "a.b.c" }, { user: harness.name(), token: null }])
      assert.match((await client.error({ op: "login", ...fields }, "bad_request")).message, /--auth none and takes no token: log in with user/);
    await client.loginAs(harness.name());
  });
});

scenario("the frame rate comes after JSON and id, before op and login, and counts every frame", { shards: [2] }, async (harness) => {
  const rate = 2;
  await harness.start({ options: ["--frame-rate", String(rate)] });
  const client = await harness.client();
  const { result, most } = await underRate(rate, async () => {
    for (let i = 0; i < 20; i++) assert.equal((await client.strayAfter("{")).code, "bad_json");
    for (let i = 0; i < 20; i++) assert.equal((await client.strayAfter('{"id":null,"op":"ping"}')).code, "bad_request");
    const asked = [{ op: 7 }, { op: "nothing" }, { op: "ping" }, { op: "send" }, { op: "login", user: "a b" }];
    return Promise.all(Array.from({ length: 50 }, (_, n) => client.request(asked[n % asked.length])));
  });
  const limited = result.filter((reply) => reply.code === "rate_limited");
  assert.ok(result.length - limited.length <= most, `${result.length - limited.length} of at most ${most} were taken`);
  for (const reply of limited) {
    assert.deepEqual(Object.keys(reply).sort(), ["code", "id", "message", "op", "retry_after"]);
    assert.ok(Number.isInteger(reply.retry_after) && reply.retry_after > 0);
  }
  await harness.server.stop();
});

scenario("the send rate is a user's over all connections, others have their own, and what it refuses is not stored", {}, async (harness) => {
  const rate = 5;
  await harness.start({ options: ["--send-rate", String(rate)] });
  const connections = [await harness.login("alice"), await harness.login("alice"), await harness.login("alice")];
  const { result, most } = await underRate(rate, () =>
    Promise.all(connections.flatMap((one, index) => Array.from({ length: 40 }, (_, n) => one.request({ op: "send", to: "bob", text: `${index}/${n}` })))),
  );
  const accepted = countOf(result, "ok");
  assert.ok(accepted >= rate && accepted <= most, `${accepted} of at most ${most}`);
  assert.equal(countOf(result, "rate_limited"), result.length - accepted);
  const bob = await harness.login("bob");
  await bob.send("alice", "not limited by alice");
  for (const user of [connections[0], bob]) assert.equal((await wholeTimeline(user)).length, accepted + 1);
  await harness.server.stop();
});

scenario("busy, where the store falls behind: nothing is stored, reading goes on, and it ends when there is room again", {}, async (harness) => {
  const options = ["--memtable-bytes", "8M", "--checkpoint-s", "1"];
  await harness.start({ options });
  const alice = await harness.login("alice");
  const first = await alice.send("bob", "the first");
  limitFiles(harness.server, 4 << 20); // the log fits, a run of 8 MiB does not
  const text = (n) => `${n} `.padEnd(16000, "x");
  const accepted = [];
  let busy;
  for (let n = 0; n < 20000 && !busy; n++) {
    const reply = await alice.request({ op: "send", to: "bob", text: text(n), key: `${n}` });
    if (reply.op === "ok") accepted.push({ ...reply, text: text(n), key: `${n}` });
    else busy = { ...reply, n };
  }
  assert.equal(busy?.code, "busy", JSON.stringify(busy));
  assert.ok(Number.isInteger(busy.retry_after) && busy.retry_after > 0);
  assert.match(await harness.server.logLine("refused"), /cause=busy address=127\.0\.0\.1 count=1 left_out=0 reason="[^"]*(room|memory|disk)[^"]*" hint=".*--memory"/);
  const bob = await harness.login("bob", { after: 0 });
  await bob.untilLive();
  assert.equal(bob.messages.length, accepted.length + 1, "what was refused was not stored");
  assert.equal((await bob.history({ after: 0, limit: 1 })).messages[0].mid, first.mid);
  limitFiles(harness.server, "unlimited");
  const again = await pump(alice, { to: "bob", count: scaled(500), text: (n) => text(busy.n + n), key: (n) => `${busy.n + n}`, window: 5 });
  assert.equal(again.length, scaled(500));
  assert.ok(again.every((sent) => !sent.dup));
  await bob.untilMessages(1 + accepted.length + again.length);
  checkHolds(await wholeTimeline(alice), [...accepted, ...again], { isSender: true });
  checkHolds(await wholeTimeline(bob), [...accepted, ...again], { isSender: false });
  await stopInTrouble(harness.server);
});

scenario("unavailable, when the log cannot be written: reading goes on, and after a restart keys settle what is unknown", {}, async (harness) => {
  await harness.start();
  const alice = await harness.login("alice");
  const keys = Array.from({ length: 100 }, (_, n) => `key ${n}`);
  const sent = [];
  for (const key of keys.slice(0, 50)) sent.push(await alice.send("bob", key, { key }));
  limitFiles(harness.server, 0);
  for (const key of keys.slice(50)) {
    const error = await alice.error({ op: "send", to: "bob", text: key, key }, "unavailable");
    assert.deepEqual(Object.keys(error).sort(), ["code", "id", "message", "op"]);
  }
  const bob = await harness.login("bob", { after: 0 });
  await bob.untilLive();
  assert.deepEqual(bob.messages.map((message) => message.mid), sent.map((one) => one.mid));
  assert.equal((await wholeTimeline(alice)).length, 50);
  await stopInTrouble(harness.server);
  await harness.startAgain();
  const back = await harness.login("alice");
  for (const [index, key] of keys.entries()) {
    const reply = await back.send("bob", key, { key });
    if (index < 50) assert.deepEqual([reply.dup, reply.mid], [true, sent[index].mid]);
  }
  const late = await harness.login("bob", { after: bob.cursor, epoch: bob.epoch });
  await late.untilLive();
  const texts = [...bob.messages, ...late.messages].map((message) => message.text);
  assert.deepEqual(texts.sort(), [...keys].sort());
  await harness.server.stop();
});
