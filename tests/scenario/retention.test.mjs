// --retention: what is older is gone at once, for each way to read it, after a start and while the server runs; and it
// leaves the files. What is newer stays, of every user. The clock stands where the test sets it, so no entry grows old by
// itself.
import assert from "node:assert/strict";
import fs from "node:fs";
import { Api } from "./lib/api.mjs";
import { dump, filesOf, verified } from "./lib/offline.mjs";
import { runToEnd, until } from "./lib/server.mjs";
import { wholeTimeline, wholeTimelineBackwards } from "./lib/traffic.mjs";
import { SECOND, YEAR, clocked } from "./lib/wall_clock.mjs";

const RETENTION = 3600 * SECOND; // its limit moves by steps of 56.25 s
const BEGIN = 1900000000 * SECOND;
const USERS = ["alice", "bob", "carol"];
// A step of an hour is no leap; a checkpoint comes with the stop alone, so no merge rewrites anything before.
const OPTIONS = ["--clock-leap-s", "86400", "--checkpoint-s", "3600", "--admin", "127.0.0.1:0"];
const RETAINS = [...OPTIONS, "--retention", "1h"];

const word = (age, n) => `${age}-word-of-message-${n}-of-which-there-is-no-other`;
const holds = (dir, text) => filesOf(dir, /\.(mdb|wal)$/).some((name) => fs.readFileSync(name).includes(text));
const shown = (entries) => entries.map(({ ts, mid, from, to, text }) => [ts, mid, from, to, text]);

// Each user sends to each, the first message with a key.
async function sendAll(harness, age) {
  for (const from of USERS) {
    const client = await harness.login(from);
    for (const [n, to] of USERS.entries()) await client.send(to, word(age, n), n === 0 ? { key: age } : {});
    client.terminate();
  }
}

async function timelinesOf(harness) {
  const all = {};
  for (const user of USERS) {
    const client = await harness.login(user);
    all[user] = await wholeTimeline(client);
    client.terminate();
  }
  return all;
}

// All ways to read the timelines show `wanted`, and every login says `first`.
async function checkRead(harness, wanted, first, cursors) {
  const api = new Api(harness.server.admin);
  for (const user of USERS) {
    const client = await harness.login(user);
    assert.equal(client.login.first, first, user);
    assert.equal(client.login.last, wanted[user].at(-1).ts);
    assert.deepEqual(shown(await wholeTimeline(client)), shown(wanted[user]));
    assert.deepEqual(shown(await wholeTimelineBackwards(client)), shown(wanted[user]));
    const page = await client.history({ after: 0, limit: 1 });
    assert.deepEqual(shown(page.messages), shown(wanted[user].slice(0, 1)), "the oldest");
    for (const after of [0, ...cursors[user]]) {
      const replay = await harness.login(user, { after });
      await replay.untilLive(); // the client checks the chain, from first on if its cursor is below that
      assert.deepEqual(replay.messages.map(({ mid }) => mid), wanted[user].filter(({ ts }) => ts > after).map(({ mid }) => mid), `${user} from ${after}`);
      if (after < first) assert.equal(replay.messages[0].prev, first);
      replay.terminate();
    }
    const { json } = await api.expect(200, "GET", `/api/v1/users/${user}/messages?limit=1000`);
    assert.deepEqual(json.messages.map(({ mid }) => mid), wanted[user].map(({ mid }) => mid));
    const { text } = await api.expect(200, "GET", `/api/v1/users/${user}/export`);
    assert.deepEqual(text.split("\n").filter((line) => line.includes('"mid"')).map((line) => JSON.parse(line).mid), wanted[user].map(({ mid }) => mid));
    client.terminate();
  }
  api.close();
}

async function untilFirst(harness, first) {
  for (const user of USERS)
    await until(`the login of ${user} to say first ${first}`, async () => {
      const client = await harness.login(user);
      client.terminate();
      return client.login.first === first;
    });
}

const younger = (timelines, ts) => Object.fromEntries(USERS.map((user) => [user, timelines[user].filter((entry) => entry.ts > ts)]));
const mids = (entries) => entries.map(({ user, mid }) => `${user} ${mid}`).sort();
const midsOf = (timelines) => mids(USERS.flatMap((user) => timelines[user].map(({ mid }) => ({ user, mid }))));

// A dump says up to which ts the timelines of all users are gone, if they are.
function checkDump(dir, timelines, first) {
  verified(dir);
  const lines = dump(dir);
  assert.deepEqual(lines.filter(({ mid }) => !mid), first ? [{ first }] : []);
  assert.deepEqual(mids(lines.filter(({ mid }) => mid)), midsOf(timelines));
}

clocked("what is older than --retention is gone at once for every reader, and compact removes it from the files", async (harness, clock) => {
  const env = clock.env;
  clock.stand(BEGIN);
  await harness.start({ env, options: OPTIONS });
  await sendAll(harness, "old");
  clock.stand(BEGIN + 150 * SECOND);
  await sendAll(harness, "middle");
  clock.stand(BEGIN + RETENTION + 100 * SECOND);
  await sendAll(harness, "new");
  const all = await timelinesOf(harness);
  for (const user of USERS) assert.equal(all[user].length, 15);
  const cursors = Object.fromEntries(USERS.map((user) => [user, [2, 4, 7, 9, 12].map((n) => all[user][n].ts)]));
  await harness.server.stop();
  const { data } = harness.server;
  checkDump(data, all);

  await harness.startAgain({ env, options: RETAINS });
  const atStart = BEGIN + 100 * SECOND;
  const withoutOld = younger(all, atStart);
  await checkRead(harness, withoutOld, atStart, cursors);

  const stays = await harness.login("alice", { after: 0 });
  await stays.untilLive();
  clock.stand(BEGIN + RETENTION + 160 * SECOND);
  const later = BEGIN + 160 * SECOND;
  await untilFirst(harness, later);
  const rest = younger(all, later);
  for (const user of USERS) assert.equal(rest[user].length, 5);
  await checkRead(harness, rest, later, cursors);
  assert.equal(stays.closed, undefined, "a client that has caught up stays");
  const resent = await stays.send("alice", word("old", 0), { key: "old" });
  assert.deepEqual([resent.dup, resent.ts], [true, all.alice[0].ts], "a key protects for 24 hours, whatever --retention says");

  await harness.server.kill();
  checkDump(data, rest, later);
  await harness.startAgain({ env, options: OPTIONS });
  await checkRead(harness, rest, later, cursors);
  await harness.server.stop();
  checkDump(data, rest, later);
  for (const age of ["old", "middle", "new"]) assert.equal(holds(data, word(age, 1)), true, `${age}: hidden, and in the files`);

  const end = runToEnd(["compact", "--data", data]);
  assert.equal(end.status, 0, end.stderr);
  checkDump(data, rest, later);
  for (const age of ["old", "middle"]) for (const n of USERS.keys()) assert.equal(holds(data, word(age, n)), false, `${age} ${n} is in no file`);
  assert.equal(holds(data, word("new", 1)), true);
  const numbers = verified(data);
  assert.deepEqual([numbers.entries, numbers.messages], [15, 9]);
  await harness.startAgain({ env, options: RETAINS });
  await checkRead(harness, rest, later, cursors);
  await harness.end();
});

clocked("entries that were imported grow old too", async (harness, clock) => {
  clock.stand(BEGIN);
  await harness.start({ env: clock.env, options: OPTIONS });
  await sendAll(harness, "old");
  clock.stand(BEGIN + RETENTION + 100 * SECOND);
  await sendAll(harness, "new");
  const all = await timelinesOf(harness);
  await harness.server.stop();
  const { stdout } = runToEnd(["dump", "--data", harness.server.data]);
  const data = `${harness.server.data}/imported`;
  fs.writeFileSync(`${harness.server.data}/dump`, stdout);
  const end = runToEnd(["import", "--from", `${harness.server.data}/dump`, "--data", data, "--shards", String(harness.shards)]);
  assert.equal(end.status, 0, end.stderr);
  checkDump(data, all);
  await harness.start({ data, env: clock.env, options: RETAINS });
  const first = BEGIN + 100 * SECOND;
  const rest = younger(all, first);
  for (const user of USERS) assert.equal(rest[user].length, 5);
  await checkRead(harness, rest, first, Object.fromEntries(USERS.map((user) => [user, []])));
  await harness.server.stop();
  checkDump(data, rest, first);
}, { shards: [2] });

clocked("a clock that leaps by a year takes nothing, and one that is a year ahead at a start only hides", async (harness, clock) => {
  const options = ["--retention", "90d", "--admin", "127.0.0.1:0"]; // the limit moves 24 times as fast as time passes: no test takes days
  await harness.start({ env: clock.env, options });
  await sendAll(harness, "new");
  const all = await timelinesOf(harness);
  const checkAll = async (how) => {
    const timelines = await timelinesOf(harness);
    for (const user of USERS) {
      assert.deepEqual(shown(timelines[user]), shown(all[user]), `${user} ${how}`);
      const client = await harness.login(user);
      assert.ok(client.login.first < all[user][0].ts, `${user} ${how}: ${client.login.first}`);
      client.terminate();
    }
  };
  clock.leap(YEAR);
  await harness.server.logLine("clock_leap");
  await checkAll("after the leap");
  await harness.server.stop();
  await harness.startAgain({ env: clock.env, options });
  await harness.server.logLine("retention_behind");
  const api = new Api(harness.server.admin);
  for (const user of USERS) {
    const client = await harness.login(user, { after: 0 });
    await client.untilLive();
    assert.deepEqual([client.messages.length, client.login.first, client.login.last], [0, all[user].at(-1).ts, all[user].at(-1).ts], `${user} is too old by this clock`);
    assert.deepEqual(await wholeTimeline(client), []);
    client.terminate();
    assert.equal((await api.expect(200, "GET", `/api/v1/users/${user}/export`)).text, "");
  }
  api.close();
  await harness.server.stop();
  clock.leap(0);
  await harness.startAgain({ env: clock.env, options });
  await checkAll("with a clock that is right again");
  await harness.end();
}, { shards: [2] });
