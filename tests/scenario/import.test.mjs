// `chitchat import`, the inverse of `dump`.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { scenario } from "./lib/harness.mjs";
import { trouble } from "./lib/disk.mjs";
import { SMALL, fill, untilRuns, verified } from "./lib/offline.mjs";
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

const LINE = { user: "a", ts: 5, other_ts: 7, mid: "MwsR6-oZKALAYytrhgE-", from: "a", to: "b", text: "hi", key: "k" };
const OTHER = { ...LINE, user: "b", ts: 7, other_ts: 5, key: undefined };
const SELF = { user: "c", ts: 9, mid: "MwsR6-yh4ADAYytrhgE-", from: "c", to: "c", text: "me" };
const lines = (...entries) => entries.map((entry) => (typeof entry === "string" ? entry : JSON.stringify(entry)) + "\n").join("");

const BAD = [
  ["", /^chitchat: stdin has no line: nothing was made\n$/],
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
];

test("a bad line is reported by its number, and nothing is made", () =>
  withDataDir((dir) => {
    const data = path.join(dir, "data");
    for (const [text, word] of BAD) {
      const end = importText(text, data);
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
