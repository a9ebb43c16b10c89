// A timeline that is erased is gone at once, stays gone after kill -9, backup and restore, and leaves the files. The
// timelines of others stay whole.
import assert from "node:assert/strict";
import fs from "node:fs";
import { Api } from "./lib/api.mjs";
import { scenario } from "./lib/harness.mjs";
import { SMALL, USERS, dump, fill, filesOf, untilRuns, verify } from "./lib/offline.mjs";
import { makeDataDir, removeDataDir, runToEnd, until } from "./lib/server.mjs";
import { wholeTimeline } from "./lib/traffic.mjs";

const OPTIONS = { options: [...SMALL, "--admin", "127.0.0.1:0"] };
const WORD = "a-word-that-nobody-else-writes";

async function timelineOf(harness, user) {
  const client = await harness.login(user);
  const timeline = await wholeTimeline(client);
  client.terminate();
  return timeline;
}

async function timelinesOf(harness, users) {
  const all = {};
  for (const user of users) all[user] = (await timelineOf(harness, user)).map(({ ts, mid, text }) => [ts, mid, text]);
  return all;
}

async function erase(harness, user) {
  const api = new Api(harness.server.admin);
  const { json } = await api.expect(200, "DELETE", `/api/v1/users/${user}`);
  api.close();
  assert.deepEqual(Object.keys(json), ["user", "first"]);
  assert.equal(json.user, user);
  return json.first;
}

function checkVerified(dir, pattern) {
  const end = verify(dir);
  assert.equal(end.status, 0, end.stdout + end.stderr);
  assert.match(end.stdout, pattern);
}

const holds = (dir, word) => filesOf(dir, /\.(mdb|wal)$/).some((name) => fs.readFileSync(name).includes(word));

scenario("an erased timeline is gone at once, after kill -9, in a restored backup, and from the files", {}, async (harness) => {
  await harness.start(OPTIONS);
  await fill(harness, 300, { pad: 50 });
  await untilRuns(harness);
  const alice = await harness.login("alice");
  await alice.request({ op: "send", to: "alice", text: WORD });
  const resent = { op: "send", to: "bob", text: "once", key: "the key" };
  const sent = await alice.request(resent);
  const others = USERS.filter((user) => user !== "alice");
  const before = await timelinesOf(harness, others);
  const first = await erase(harness, "alice");
  assert.ok(first > sent.ts);
  assert.equal((await until("the close", () => alice.closed)).code, 4203);
  const check = async (how) => {
    assert.deepEqual(await timelineOf(harness, "alice"), [], how);
    assert.deepEqual(await timelinesOf(harness, others), before, how);
    const client = await harness.client();
    const login = await client.loginAs("alice", { after: sent.ts });
    assert.equal(login.first, first, how);
    assert.equal(login.last, first, how);
    const dup = await client.request(resent);
    assert.deepEqual([dup.dup, dup.ts], [true, sent.ts], how);
    client.terminate();
  };
  await check("at once");
  await harness.server.kill();
  checkVerified(harness.server.data, /\ncut: the other copy of \d+ entries/);
  await harness.startAgain(OPTIONS);
  await check("after kill -9");
  await harness.server.stop();
  assert.deepEqual(dump(harness.server.data, ["--user", "alice"]), [{ user: "alice", first }]);

  const backup = makeDataDir();
  const copy = makeDataDir();
  try {
    removeDataDir(copy);
    assert.equal(runToEnd(["backup", "--data", harness.server.data, "--to", backup]).status, 0);
    assert.equal(runToEnd(["restore", "--from", backup, "--data", copy]).status, 0);
    checkVerified(copy, /\ncut: /);
    assert.deepEqual(dump(copy, ["--user", "alice"]), [{ user: "alice", first }]);
    assert.equal(dump(copy, ["--user", "bob"]).length, before.bob.length);
  } finally {
    removeDataDir(backup);
    removeDataDir(copy);
  }

  const end = runToEnd(["compact", "--data", harness.server.data]);
  assert.equal(end.status, 0, end.stderr);
  const [, after, rows] = /: (\d+) rows, (\d+) before\n$/.exec(end.stdout);
  assert.ok(Number(after) < Number(rows), end.stdout);
  assert.equal(holds(harness.server.data, WORD), false, "the text is in no file");
  checkVerified(harness.server.data, /\ncut: /);
  await harness.startAgain(OPTIONS);
  assert.deepEqual(await timelinesOf(harness, others), before);
  assert.deepEqual(await timelineOf(harness, "alice"), []);
});

// A segment that a checkpoint has released is used again: its bytes stay until they are overwritten.
scenario("what is erased leaves the files of the WAL of a server that runs, and sends go on", { shards: [1, 2] }, async (harness) => {
  await harness.start(OPTIONS);
  const alice = await harness.login("alice");
  const inWal = () =>
    filesOf(harness.server.data, /\.wal$/).some((name) => {
      try {
        return fs.readFileSync(name).includes(WORD);
      } catch (error) {
        return assert.equal(error.code, "ENOENT", "a file may have been removed since it was listed");
      }
    });
  await alice.send("alice", WORD);
  assert.ok(inWal());
  await untilRuns(harness);
  const bob = await harness.login("bob");
  await bob.send("alice", "the next one");
  await erase(harness, "alice");
  let sent = 0;
  await until("new files in the place of those with the word", async () => {
    await bob.send("carol", `${++sent}`);
    return !inWal();
  });
  for (let n = 0; n < 20; n++) await bob.send("carol", `${++sent}`);
  await harness.server.kill();
  await harness.startAgain(OPTIONS);
  assert.deepEqual(await timelineOf(harness, "alice"), []);
  const texts = (await timelineOf(harness, "carol")).map(({ text }) => text);
  assert.deepEqual(texts, Array.from({ length: sent }, (_, n) => `${n + 1}`));
  await harness.server.stop();
  checkVerified(harness.server.data, /\ncut: /);
});

scenario("compact takes what is erased from the files of the WAL too", { shards: [2] }, async (harness) => {
  await harness.start(OPTIONS);
  const alice = await harness.login("alice");
  await alice.send("alice", WORD);
  await alice.send("bob", "stays");
  await untilRuns(harness);
  const first = await erase(harness, "alice");
  await until("the close", () => alice.closed);
  await harness.server.stop();
  const { data } = harness.server;
  const end = runToEnd(["compact", "--data", data]);
  assert.equal(end.status, 0, end.stderr);
  assert.equal(holds(data, WORD), false, "the text is in no file");
  checkVerified(data, /\ncut: /);
  await harness.startAgain(OPTIONS);
  const again = await harness.login("alice");
  assert.equal(again.login.first, first);
  assert.ok((await again.send("bob", "goes on")).ts > first);
  await harness.server.kill();
  checkVerified(data, /\ncut: /);
  await harness.startAgain(OPTIONS);
  assert.deepEqual((await timelineOf(harness, "bob")).map(({ text }) => text), ["stays", "goes on"]);
});

scenario("a client that was away takes first as its cursor, and then has every entry once", { shards: [2] }, async (harness) => {
  await harness.start(OPTIONS);
  const alice = await harness.login("alice");
  const bob = await harness.login("bob");
  const old = await alice.request({ op: "send", to: "bob", text: "old" });
  alice.terminate();
  const first = await erase(harness, "alice");
  await bob.request({ op: "send", to: "alice", text: "new" });
  const again = await harness.client();
  const login = await again.loginAs("alice", { after: old.ts });
  assert.equal(login.first, first);
  await again.untilLive();
  await bob.request({ op: "send", to: "alice", text: "newer" });
  await again.untilMessages(2);
  const [msg, newer] = again.messages;
  assert.deepEqual([msg.text, msg.prev], ["new", first]);
  assert.deepEqual([newer.text, newer.prev], ["newer", msg.ts]);
  assert.ok((await erase(harness, "nobody-was-ever-here")) > first);
});

scenario("a WAL that has records is not compacted, and a backup neither", { shards: [2] }, async (harness) => {
  await harness.start(OPTIONS);
  const alice = await harness.login("alice");
  await alice.request({ op: "send", to: "bob", text: "in the WAL" });
  await harness.server.kill();
  const end = runToEnd(["compact", "--data", harness.server.data]);
  assert.equal(end.status, 1);
  assert.match(end.stderr, /records that are in no run yet: start the server and stop it by SIGTERM/);
  const backup = makeDataDir();
  try {
    assert.equal(runToEnd(["backup", "--data", harness.server.data, "--to", backup]).status, 0);
    assert.equal(runToEnd(["compact", "--data", backup]).status, 2);
  } finally {
    removeDataDir(backup);
  }
});
