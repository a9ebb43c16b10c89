// `chitchat import`, the inverse of `dump`.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Api } from "./lib/api.mjs";
import { scenario } from "./lib/harness.mjs";
import { trouble } from "./lib/disk.mjs";
import { SMALL, USERS, fill, untilRuns, verified } from "./lib/offline.mjs";
import { BIN, Server, removeDataDir, runToEnd, scaled, until, withDataDir } from "./lib/server.mjs";
import { wholeTimeline } from "./lib/traffic.mjs";

const dumpText = (data) => runToEnd(["dump", "--data", data]).stdout;
const importText = (text, data, args = []) => spawnSync(BIN, ["import", "--from", "-", "--data", data, ...args], { input: text, encoding: "utf8" });

scenario("dump, import, dump: the two dumps are the same, and the server serves it under a new epoch", {}, async (harness) => {
  await harness.start({ options: SMALL });
  await fill(harness, scaled(600), { pad: 100 });
  await untilRuns(harness);
  const alice = await harness.login("alice");
  for (const text of ["quote \" and \\ back", "line\nfeed\ttab \u0001\u001f\u007f", "ünïcödé 💬 \u2028", "x".repeat(16384), "\"".repeat(16384)])
    for (const to of ["bob", "alice"]) await alice.send(to, text, { key: `${to} "${text.length}${text[0]}` });
  const timeline = await wholeTimeline(alice);
  const epoch = alice.epoch;
  await harness.server.kill();
  const text = dumpText(harness.server.data);
  await withDataDir(async (dir) => {
    const file = path.join(dir, "dump");
    fs.writeFileSync(file, text);
    const data = path.join(dir, "file");
    const end = runToEnd(["import", "--from", file, "--data", data, "--shards", "3"]);
    assert.equal(end.status, 0, end.stderr);
    assert.match(end.stdout, new RegExp(`^imported ${data}: 3 shards, ${text.split("\n").length - 1} entries, \\d+ keys, \\d+ bytes\n$`));
    assert.equal(dumpText(data), text);
    verified(data);
    const piped = importText(text, path.join(dir, "stdin"));
    assert.equal(piped.status, 0, piped.stderr);
    assert.equal(dumpText(path.join(dir, "stdin")), text);
    verified(path.join(dir, "stdin"));
    const server = await Server.start({ data, shards: null, options: SMALL });
    try {
      const again = await harness.client({ server });
      await again.loginAs("alice", { after: timeline[3].ts, epoch });
      assert.equal(again.login.reset, true, "an import is another data set");
      assert.deepEqual((await wholeTimeline(again)).map(({ ts, mid }) => [ts, mid]), timeline.map(({ ts, mid }) => [ts, mid]));
      const keyed = timeline.filter((entry) => entry.key).at(-1);
      assert.equal((await again.ok({ op: "send", to: keyed.to, text: keyed.text, key: keyed.key })).dup, true);
      assert.ok((await again.send("bob", "goes on")).ts > timeline.at(-1).ts);
      harness.checkClients();
      await server.stop();
      verified(data);
    } finally {
      await server.clean();
    }
  });
});

// What a dump says about where timelines begin.
function firstsOf(text) {
  const lines = text.split("\n").slice(0, -1).map((line) => JSON.parse(line)).filter((line) => line.first !== undefined);
  const all = lines.find((line) => line.user === undefined)?.first ?? 0;
  return { all, of: (user) => lines.find((line) => line.user === user)?.first ?? all };
}

async function erase(harness, user) {
  const api = new Api(harness.server.admin);
  const { json } = await api.expect(200, "DELETE", `/api/v1/users/${user}`);
  api.close();
  return json.first;
}

async function placesOf(harness, server, user, how) {
  const client = await harness.client({ server });
  await client.loginAs(user, how);
  const timeline = await wholeTimeline(client);
  client.terminate();
  return { first: client.login.first, last: client.login.last, places: timeline.map(({ ts, mid, text, prev }) => [ts, mid, text, prev]) };
}

// Makes directories of some numbers of shards of the dump, and looks at each: sound, and the same dump. The last one.
function importedAs(text, dir, numbers) {
  for (const shards of numbers) {
    const data = path.join(dir, `${shards}`);
    const end = importText(text, data, ["--shards", `${shards}`]);
    assert.equal(end.status, 0, end.stderr);
    verified(data);
    assert.equal(dumpText(data), text);
  }
  return path.join(dir, `${numbers.at(-1)}`);
}

scenario("a store with erased users and a retention cut is imported as it is, and its timelines begin where they did", { shards: [3] }, async (harness) => {
  const options = [...SMALL, "--admin", "127.0.0.1:0"];
  await harness.start({ options: [...options, "--retention", "2s"] });
  await fill(harness, 60, { tag: "grown-old" });
  const newest = Math.max(...(await Promise.all(USERS.map(async (user) => (await placesOf(harness, harness.server, user)).last))));
  for (const user of USERS) await until(`the cut of ${user}`, async () => (await placesOf(harness, harness.server, user)).first > newest, { every: 200 });
  await harness.server.stop();
  await harness.startAgain({ options });
  await fill(harness, 60, { tag: "before" });
  const erased = { bob: await erase(harness, "bob"), erin: await erase(harness, "erin"), "nobody-was-here": await erase(harness, "nobody-was-here") };
  const alice = await harness.login("alice");
  for (let i = 0; i < 5; i++) await alice.send("bob", `after ${i}`, { key: `after ${i}` });
  const users = [...USERS, "nobody-was-here"];
  const timelines = {};
  for (const user of users) timelines[user] = await placesOf(harness, harness.server, user);
  harness.checkClients();
  await harness.server.kill();
  const text = dumpText(harness.server.data);
  const firsts = firstsOf(text);
  for (const user of USERS) assert.ok(firsts.of(user) > newest, `retention has cut the shard of ${user}`); // one without users has no cut
  for (const [user, first] of Object.entries(erased)) assert.equal(firsts.of(user), first);
  assert.match(text, /"user":"erin","first":\d+\}\n\{"user":"frank"/, "a user without an entry is there");
  assert.match(text, /"user":"alice","ts":\d+,"other_ts":\d+,"alone":true,/);
  await withDataDir(async (dir) => {
    const data = importedAs(text, dir, [1, 5]);
    const server = await Server.start({ data, shards: null, options: SMALL });
    try {
      for (const user of users) {
        const { first, last, places } = await placesOf(harness, server, user);
        assert.equal(first, firsts.of(user), user);
        assert.equal(first, timelines[user].first, `${user}: as it was`);
        assert.deepEqual(places, timelines[user].places);
        assert.equal(last, timelines[user].last);
        const client = await harness.client({ server });
        await client.loginAs(user);
        assert.ok((await client.send(user, "goes on")).ts > last);
        assert.equal((await wholeTimeline(client)).length, places.length + 1);
      }
      harness.checkClients();
      await server.stop();
      verified(data);
    } finally {
      await server.clean();
    }
  });
});

const LINE = { user: "a", ts: 5, other_ts: 7, mid: "MwsR6-oZKALAYytrhgE-", from: "a", to: "b", text: "hi", key: "k" };
const OTHER = { ...LINE, user: "b", ts: 7, other_ts: 5, key: undefined };
const SELF = { user: "c", ts: 9, mid: "MwsR6-yh4ADAYytrhgE-", from: "c", to: "c", text: "me" };
const SELF_OF_B = { ...SELF, user: "b", from: "b", to: "b" };
const alone = ({ user, ts, other_ts, ...rest }) => ({ user, ts, other_ts, alone: true, ...rest });
const lines = (...entries) => entries.map((entry) => (typeof entry === "string" ? entry : JSON.stringify(entry)) + "\n").join("");

const BAD = [
  ["", /^chitchat: stdin has no line: the dump has failed, so make it again; or it is of an empty store, for which `chitchat serve` makes a directory itself: nothing was made\n$/],
  [lines("{"), /line 1: .*nothing was made/],
  [lines(LINE, OTHER, ""), /line 3: /],
  [lines(LINE, OTHER).slice(0, -1), /line 2: it has no end: the dump is not complete/],
  [lines(LINE, OTHER, { ...SELF, user: "d" }), /line 3: "user" is neither "from" nor "to"/],
  [lines({ ...LINE, other_ts: undefined }), /line 1: it has no "other_ts"/],
  [lines({ ...LINE, ts: 0 }), /line 1: "ts" is no number/],
  [lines({ ...LINE, ts: 2 ** 53 }), /line 1: "ts" is no number/],
  [lines({ ...LINE, ts: "5" }), /line 1: "ts" is no number/],
  [lines({ ...LINE, mid: "short" }), /line 1: "mid" is no text/],
  [lines({ ...LINE, mid: "MwsR6+oZKALAYytrhgE-" }), /line 1: "mid" is no text/],
  [lines({ ...LINE, text: "" }), /line 1: "text" is no string/],
  [lines({ ...LINE, text: "x".repeat(16385) }), /line 1: "text" is no string/],
  [lines({ ...LINE, text: "nul\u0000" }), /line 1: "text" is no string/],
  [lines({ ...LINE, key: "x".repeat(65) }), /line 1: "key" is no string of 1 to 64 bytes/],
  [lines({ ...LINE, to: "b b" }), /line 1: "user", "from" or "to" is no user name/],
  [lines({ ...LINE, more: 1 }), /line 1: it has a field that this version does not know/],
  [lines({ ...SELF, other_ts: 9 }), /line 1: a message to oneself has no "other_ts"/],
  [lines(LINE, { ...OTHER, key: "k" }), /line 2: the recipient's entry has no "key"/],
  [lines(OTHER, LINE), /line 2: it is not in order: entries come by user/],
  [lines({ ...SELF, ts: 9 }, { ...SELF, ts: 8 }), /line 2: its ts is below that of the line before/],
  [lines(SELF, SELF), /line 2: the timeline has two entries with this ts/],
  [lines("x".repeat(200000)), /line 1: it is longer than any entry/],
  ["x".repeat(2000000), /line 1: it is longer than any entry/],
  [lines(LINE), /message MwsR6-oZKALAYytrhgE- from a to b stands in the timeline of a at ts 5, but not in that of b/],
  [lines(LINE, { ...OTHER, text: "ho" }), /message MwsR6-oZKALAYytrhgE- differs between the timelines/],
  [lines(LINE, { ...OTHER, other_ts: 6 }), /message MwsR6-oZKALAYytrhgE- differs between the timelines/],
  [lines({ first: 0 }), /line 1: "first" is no number from 1 to/],
  [lines({ first: 4 }, { first: 4 }), /line 2: a "first" without "user" stands in the first line only/],
  [lines(LINE, OTHER, { first: 4 }), /line 3: a "first" without "user" stands in the first line only/],
  [lines({ first: 4, user: "a b" }), /line 1: "user" is no user name/],
  [lines({ first: 4, user: "a", ts: 5 }), /line 1: a line with "first" has "user" besides, and nothing else/],
  [lines({ first: 4 }, { user: "a", first: 4 }, LINE, OTHER), /line 2: its "first" is not above that of the first line/],
  [lines({ user: "a", first: 4 }, { user: "a", first: 4 }), /line 2: "first" comes once for a user, before their entries/],
  [lines(LINE, { user: "a", first: 6 }, OTHER), /line 2: "first" comes once for a user, before their entries/],
  [lines({ user: "b", first: 6 }, LINE, OTHER), /line 2: it is not in order: entries come by user/],
  [lines({ user: "a", first: 5 }, LINE, OTHER), /line 2: its ts is not above the "first" of its user/],
  [lines({ first: 6 }, LINE, OTHER), /line 2: its ts is not above the "first" of the first line/],
  [lines({ ...LINE, alone: false }, OTHER), /line 1: "alone" is not true/],
  [lines({ ...SELF, alone: true }), /line 1: a message to oneself is never "alone"/],
  [lines(SELF_OF_B, { ...LINE, user: "c", from: "c", alone: true }), /line 2: it is "alone", but no "first" of the other user is at or above its "other_ts"/],
  [lines(alone(LINE), { user: "b", first: 6 }, SELF), /line 1: it is "alone", but no "first"/],
  [lines(alone(LINE), OTHER), /message MwsR6-oZKALAYytrhgE- from a to b stands in the timeline of b at ts 7, but not in that of a: a whole dump has both, unless one is "alone"/],
  [lines(...Array.from({ length: 100000 }, (_, i) => ({ user: `u${String(i).padStart(5, "0")}`, first: 4 }))), /shard 0 would have more than 99999 users whose timelines begin later than those of all: name a larger number of shards/],
  [lines(LINE, { user: "a", with: "b", seen: 6 }, OTHER), /line 2: "seen" or "seen_by" is above all entries of its user/],
  [lines(LINE, { user: "a", with: "b", seen: 5, seen_by: 6 }, OTHER), /line 2: "seen" or "seen_by" is above all entries of its user/],
  [lines(LINE, { user: "a", with: "a", seen: 5 }, OTHER), /line 2: a user has no marks with themselves/],
  [lines({ user: "a", with: "b", seen: 5 }), /line 1: "seen" or "seen_by" is above all entries of its user/],
  [lines(LINE, { user: "a", with: "c", seen: 5 }, { user: "a", with: "b", seen: 5 }, OTHER), /line 3: marks of a user come by "with"/],
  [lines(LINE, { user: "b", first: 8 }, SELF), /stands in the timeline of a at ts 5, but not in that of b/],
];

// Each of them is sound; the dump of what is made of it is the same, whatever the number of shards.
const GOOD = [
  lines({ first: 4 }),
  lines({ user: "b", first: 6 }),
  lines(LINE, { user: "a", with: "b", seen_by: 5 }, OTHER, { user: "b", with: "a", seen: 7 }),
  lines({ first: 4 }, LINE, OTHER, SELF),
  lines(alone(LINE), { user: "b", first: 7 }, SELF),
  lines({ first: 4 }, alone(LINE), { user: "b", first: 8 }, { ...SELF_OF_B, ts: 9 }, SELF, { user: "d", first: 2 ** 40 }),
  lines({ first: 6 }, alone(OTHER)),
  lines({ user: "a", first: 6 }, alone(OTHER)),
];

test("what says that timelines begin later is kept, with any number of shards", () =>
  withDataDir((dir) => {
    for (const [at, text] of GOOD.entries()) {
      fs.mkdirSync(path.join(dir, `${at}`));
      importedAs(text, path.join(dir, `${at}`), [1, 7]);
    }
  }));

test("a bad line is reported by its number, and nothing is made", () =>
  withDataDir((dir) => {
    const data = path.join(dir, "data");
    for (const [text, word] of BAD) {
      const end = importText(text, data, ["--shards", "1"]);
      assert.equal(end.status, 1, `${text.slice(0, 200)}: ${end.stdout}${end.stderr}`);
      assert.match(end.stderr, /^chitchat: [^\n]+\n$/);
      assert.match(end.stderr, word);
      assert.deepEqual(fs.readdirSync(dir), [], "nothing is left");
    }
    fs.mkdirSync(data);
    assert.equal(importText(lines(LINE), data).status, 1);
    assert.deepEqual(fs.readdirSync(data), [], "an empty directory stays one");
    assert.equal(importText(lines(LINE, OTHER, SELF), data).status, 0);
    assert.equal(verified(data).entries, 3);
    const full = importText(lines(LINE, OTHER), data);
    assert.match(full.stderr, /data is not empty/);
    assert.equal(verified(data).entries, 3, "it is not overwritten");
    assert.equal(runToEnd(["import", "--from", path.join(dir, "none"), "--data", path.join(dir, "x")]).status, 2);
    assert.equal(runToEnd(["import", "--from", dir, "--data", path.join(dir, "x")]).status, 1);
    assert.deepEqual(fs.readdirSync(dir), ["data"]);
  }));

trouble(
  "an import that is killed or finds no room leaves nothing that a server opens",
  (harness, disk) =>
    withDataDir(async (dir) => {
      await harness.start();
      await fill(harness, 60, { pad: 3000 });
      await harness.server.stop();
      const file = path.join(dir, "dump");
      fs.writeFileSync(file, dumpText(harness.server.data));
      const to = path.join(dir, "to");
      const args = ["import", "--from", file, "--data", to, "--shards", "1"];
      const env = { ...process.env, ...disk.env };
      disk.rules(`wait pwrite ${to}/shard-0000/runs/run-`);
      const child = spawn(BIN, args, { stdio: "ignore", env });
      await until("the run", () => fs.existsSync(path.join(to, "shard-0000/runs")) && fs.readdirSync(path.join(to, "shard-0000/runs")).length > 0, { every: 5 });
      child.kill("SIGKILL");
      await once(child, "close");
      assert.match(runToEnd(["verify", "--data", to]).stderr, /to is not finished/);
      removeDataDir(to);
      for (const place of ["/UNFINISHED", "/shard-0000/runs/run-", "/META"]) {
        disk.rules(`fail pwrite,write,writev ${to}${place} ENOSPC`);
        const end = spawnSync(BIN, args, { encoding: "utf8", env });
        assert.equal(end.status, 1, `${place}: ${end.stdout}${end.stderr}`);
        assert.match(end.stderr, /No space left on device.*make room on (that|its) disk/);
        assert.ok(!fs.existsSync(to), place);
      }
      disk.mend();
      assert.equal(runToEnd(args).status, 0);
      verified(to);
    }),
  { shards: [1] },
);
