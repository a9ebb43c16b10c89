// `chitchat verify`, and what `chitchat serve` refuses: damage of every kind in logs, runs, manifests and META.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { scenario } from "./lib/harness.mjs";
import { SMALL, cut, dump, fill, filesOf, flip, flipText, makeFilled, treeOf, untilRuns, verified, verify } from "./lib/offline.mjs";
import { makeDataDir, removeDataDir, runToEnd, scaled } from "./lib/server.mjs";

const serve = (data) => runToEnd(["serve", "--listen", "127.0.0.1:0", "--data", data]);

// Runs and two live segments of each log, the older one finished. Copied for each kind of damage.
async function makeStore(harness) {
  await makeFilled(harness, scaled(600), { tag: "run", pad: 200 });
  await harness.startAgain({ options: ["--wal-segment-bytes", "4M"] });
  await fill(harness, 60, { tag: "old" });
  await harness.server.kill();
  await harness.startAgain({ options: ["--wal-segment-bytes", "4M"] });
  await fill(harness, 60, { tag: "new" });
  await harness.server.kill();
  return harness.server.data;
}

const withText = (dir, pattern, text) => filesOf(dir, pattern).find((file) => fs.readFileSync(file).includes(text));
const newest = (dir) => withText(dir, /\.wal$/, "new/alice/bob/5");
const older = (dir) => withText(dir, /\.wal$/, "old/alice/bob/5");
const run = (dir) => filesOf(dir, /run-\d+\.mdb$/)[0];
const manifest = (dir) => filesOf(dir, /shard-0000\/runs\/manifest\.mdb$/)[0];

// name, which file, what is done to it, the error of serve (undefined: not found at the start), the error of verify.
const DAMAGES = [
  ["the header of the newest segment is flipped", newest, (file) => flip(file, 30), /at offset 0: its header is damaged/, /header/],
  ["the header of a finished segment is flipped", older, (file) => flip(file, 30), /at offset 0: its header is damaged/, /header/],
  ["the middle of the newest segment is flipped", newest, (file) => flip(file, 4096 + 60), /at offset \d+: a batch is damaged/, /a batch is damaged/],
  ["the newest segment is cut short", newest, (file) => cut(file, 8192), /at offset 8192: the newest segment was cut short/, /cut short/],
  ["the newest segment is cut to nothing", newest, (file) => cut(file, 0), /at offset 0: the file was cut short/, /cut short/],
  ["the middle of a finished segment is flipped", older, (file) => flipText(file, "old/alice/bob/3"), /at offset \d+: a (batch is|finished segment is) damaged/, /damaged/],
  ["a finished segment is cut short", older, (file) => cut(file, 8192), /at offset \d+: a finished segment is damaged/, /damaged/],
  ["a finished segment is missing", older, (file) => fs.rmSync(file), /the segment of generation \d+ is missing/, /missing/],
  ["the newest segment is missing", newest, (file) => fs.rmSync(file), /segment-\d+\.wal is missing: the manifest says that it was made for generation \d+/, /missing/],
  ["a run is cut short", run, (file) => cut(file, fs.statSync(file).size - 4096), /has \d+ bytes instead of \d+/, /instead of/],
  ["a run is missing", run, (file) => fs.rmSync(file), /is missing, but the manifest names it/, /missing/],
  ["the meta pages of a run are overwritten", run, overwriteMeta, /damaged/, /damaged/],
  ["the sizes in the meta pages of a run are 0", run, (file) => [0, 4096].forEach((meta) => write(file, meta + 24, Buffer.alloc(32))), /run-\d+\.mdb is damaged, reading it ended with/, /run-\d+\.mdb is damaged/],
  ["a manifest is missing", manifest, (file) => fs.rmSync(file), /manifest\.mdb is missing/, /missing/],
  ["the meta pages of a manifest are overwritten", manifest, overwriteMeta, /manifest\.mdb is damaged/, /manifest\.mdb is damaged/],
  ["the leaves of a manifest are no leaves", manifest, breakLeaves, /manifest\.mdb is damaged, reading it ended with/, /manifest\.mdb is damaged/],
  ["the last pages of a manifest are overwritten", manifest, raiseLastPages, /manifest\.mdb is damaged/, /manifest\.mdb is damaged/],
  ["a manifest is cut short", manifest, (file) => cut(file, 4096), /manifest\.mdb is damaged/, /manifest\.mdb is damaged/],
  ["a value of a manifest is flipped", manifest, flipValues, /manifest\.mdb is damaged/, /manifest\.mdb is damaged/],
  ["META is flipped", (dir) => path.join(dir, "META"), (file) => flipText(file, "epoch"), /META is damaged/, /META is damaged/],
  ["a text in a run is flipped", (dir) => withText(dir, /run-\d+\.mdb$/, "run/alice/bob/1"), (file) => flipText(file, "run/alice/bob/1"), undefined, /checksum/],
  ["the leaves of a run are no leaves", run, breakLeaves, undefined, /run-\d+\.mdb is damaged/],
  ["a page of a run is overwritten", run, overwriteLeaf, undefined, /damaged|cannot be read|order|checksum/],
];

function write(file, at, bytes) {
  const fd = fs.openSync(file, "r+");
  fs.writeSync(fd, bytes, 0, bytes.length, at);
  fs.closeSync(fd);
}

function overwriteMeta(file) {
  write(file, 0, Buffer.alloc(8192, 0xee));
}

// Each leaf becomes a branch of one key, as LMDB never writes them: reading it ends the process.
function breakLeaves(file) {
  const bytes = fs.readFileSync(file);
  for (let page = 2 * 4096; page < bytes.length; page += 4096) if (bytes.readUInt16LE(page + 10) === 2) bytes.set([1, 0, 18, 0], page + 10);
  fs.writeFileSync(file, bytes);
}

// The first page behind the last one, times the size of a page, is 2^64.
function raiseLastPages(file) {
  const bytes = fs.readFileSync(file);
  for (const meta of [0, 4096]) bytes.writeBigUInt64LE((1n << 52n) - 1n, meta + 136);
  fs.writeFileSync(file, bytes);
}

// A missing manifest is reported by its directory, and so is a missing segment.
const named = (file) => (fs.existsSync(file) || /run-/.test(file) ? file : path.dirname(file));

// Every copy of the marks, in whatever page it is.
function flipValues(file) {
  const bytes = fs.readFileSync(file);
  for (let at = bytes.indexOf("marks"); at >= 0; at = bytes.indexOf("marks", at + 1)) bytes[at + 5 + 10] ^= 1;
  fs.writeFileSync(file, bytes);
}

// A page with rows in it, in the middle of the file.
function overwriteLeaf(file) {
  const bytes = fs.readFileSync(file);
  const page = Math.floor(bytes.length / 4096 / 2);
  bytes.fill(0xff, page * 4096 + 16, (page + 1) * 4096);
  fs.writeFileSync(file, bytes);
}

scenario("LMDB's own tools read a run whole", { shards: [1] }, async (harness) => {
  await makeFilled(harness, 120, { tag: "run" });
  const hex = Buffer.from("run/alice/bob/1").toString("hex");
  let found = 0;
  for (const file of filesOf(harness.server.data, /run-\d+\.mdb$/)) {
    const [stat, dumped] = ["mdb_stat", "mdb_dump"].map((tool) => {
      const { status, stdout, stderr } = spawnSync(tool, ["-n", file], { encoding: "utf8" });
      assert.equal(status, 0, `${tool}: ${stderr}`);
      return stdout;
    });
    const rows = Number(/^ +Entries: (\d+)$/m.exec(stat)[1]);
    assert.ok(rows > 0);
    assert.equal(dumped.match(/^ [0-9a-f]*$/gm).length, 2 * rows, "a line for each key and value");
    found += dumped.split(hex).length - 1;
  }
  assert.ok(found > 0, "messages are in it");
});

scenario("damage is found by verify, and refused at start, with the file and what to do; nothing is changed", { shards: [2] }, async (harness) => {
  const store = await makeStore(harness);
  assert.ok(newest(store) && older(store) && newest(store) !== older(store));
  const before = treeOf(store);
  const counts = verified(store);
  assert.deepEqual(treeOf(store), before, "verify changes nothing");
  assert.ok(counts.runs >= 2 && counts.segments >= 4 && counts.records >= 100, JSON.stringify(counts));
  for (const [name, find, damage, atStart, byVerify] of DAMAGES) {
    const dir = makeDataDir();
    try {
      fs.cpSync(store, dir, { recursive: true });
      const file = find(dir);
      damage(file);
      const expected = named(file);
      const damaged = treeOf(dir);
      const end = verify(dir);
      assert.equal(end.status, 1, `${name}: ${end.stdout}${end.stderr}`);
      assert.match(end.stdout + end.stderr, byVerify, name);
      assert.ok((end.stdout + end.stderr).includes(expected), `${name}: ${end.stdout}${end.stderr.slice(0, 1500)}`);
      assert.deepEqual(treeOf(dir), damaged, name);
      const { status, stderr } = runToEnd(["dump", "--data", dir]);
      assert.match(`${status} ${stderr}`, damage === breakLeaves ? /^1 .* is damaged, reading it ended with/ : /^(0 $|1 (.*\n)*chitchat: )/, name);
      if (atStart !== undefined) {
        const start = serve(dir);
        assert.equal(start.status, 1, `${name}: ${start.stderr}`);
        assert.match(start.stderr, /^chitchat: [^\n]+\n$/, name);
        assert.match(start.stderr, atStart, name);
        assert.ok(start.stderr.includes(expected), `${name}: ${start.stderr}`);
        assert.match(start.stderr, /restore/, name);
      }
    } finally {
      removeDataDir(dir);
    }
  }
});

scenario("verify does not claim what it cannot know of a damaged last batch, and claims nothing of a whole one", {}, async (harness) => {
  await harness.start({ options: SMALL });
  await fill(harness, 60, { tag: "kept" });
  const alice = await harness.login("alice");
  await alice.send("alice", "the last acknowledged");
  await harness.server.kill();
  const whole = verify(harness.server.data);
  assert.equal(whole.status, 0, whole.stdout);
  assert.doesNotMatch(whole.stdout, /incomplete|acknowledged/);
  flipText(withText(harness.server.data, /\.wal$/, "the last acknowledged"), "the last acknowledged");
  const { status, stdout } = verify(harness.server.data);
  assert.equal(status, 0, stdout);
  assert.match(stdout, /, 1 with an incomplete batch at the end$/m);
  assert.match(stdout, /Damage to the last acknowledged batch looks the same, and nothing here tells them apart/);
});

scenario("a store in order verifies, after a stop and after a kill, and the counts are those of the messages", {}, async (harness) => {
  await harness.start({ options: SMALL });
  const sent = await fill(harness, scaled(1200), { pad: 100 });
  await untilRuns(harness);
  const more = await fill(harness, 60, { tag: "late" });
  await harness.server.kill();
  const all = [...sent, ...more];
  const counts = verified(harness.server.data);
  const selfs = all.filter((one) => one.from === one.to).length;
  assert.equal(counts.shards, harness.shards);
  assert.equal(counts.users, 6);
  assert.ok(counts.messages >= all.length);
  assert.equal(counts.entries, 2 * counts.messages - selfs);
  await harness.startAgain({ options: SMALL });
  await harness.server.stop();
  const stopped = verified(harness.server.data);
  assert.equal(stopped.messages, counts.messages);
  // All is in runs; what was in a run and, when it was killed, in the log still is in two.
  assert.ok(stopped.rows >= stopped.entries && stopped.segments <= harness.shards, JSON.stringify(stopped));
  assert.ok(stopped.keys >= all.filter((one) => one.key).length);
  assert.equal(stopped.entries, counts.entries);
});

scenario("messages that one timeline lacks are found and named", { shards: [2] }, async (harness) => {
  await makeFilled(harness, 60);
  const shard = path.join(harness.server.data, "shard-0001");
  const kept = `${harness.server.data}-kept`;
  try {
    fs.cpSync(shard, kept, { recursive: true });
    await harness.startAgain({ options: SMALL });
    const lost = await fill(harness, 12, { tag: "lost" });
    await harness.server.stop();
    const there = dump(harness.server.data);
    assert.ok(there.some((entry) => entry.text.startsWith("lost/")));
    fs.rmSync(shard, { recursive: true });
    fs.renameSync(kept, shard);
    const end = verify(harness.server.data);
    assert.equal(end.status, 1, end.stdout);
    const named = end.stdout.split("\n").filter((line) => /^problem: message \S+ from .* stands in the timeline of .*, but not in that of/.test(line));
    const left = new Set(dump(harness.server.data).map((entry) => `${entry.user} ${entry.mid}`));
    const oneSided = lost.filter((one) => left.has(`${one.from} ${one.mid}`) !== left.has(`${one.to} ${one.mid}`));
    assert.ok(oneSided.length > 0);
    assert.equal(named.length, oneSided.length);
    for (const one of oneSided) assert.ok(named.some((line) => line.includes(one.mid)), one.mid);
  } finally {
    fs.rmSync(kept, { recursive: true, force: true });
  }
});

scenario("marks that do not fit the messages, or each other, are found and named", { shards: [2] }, async (harness) => {
  await harness.start();
  const [alice, bob, carol] = [await harness.login("alice"), await harness.login("bob"), await harness.login("carol")];
  for (const client of [alice, carol]) for (let i = 0; i < 3; i++) await client.send("bob", `${i} from ${client.user}`);
  await bob.send("alice", "an answer");
  for (const [client, peer, n] of [[bob, "alice", 1], [bob, "carol", 2], [alice, "bob", 0]]) {
    const received = (await client.history({ with: peer })).messages.filter(({ from }) => from === peer);
    await client.ok({ op: "seen", with: peer, ts: received[n].ts });
  }
  await harness.server.kill();
  assert.equal(verify(harness.server.data).status, 0, "from the WAL");
  await harness.startAgain();
  await harness.server.stop();
  assert.equal(verify(harness.server.data).status, 0, "from runs");
  const entries = dump(harness.server.data);
  const sent = entries.filter(({ user, from, to }) => user === "alice" && from === "alice" && to === "bob");
  const marks = entries.filter((line) => "with" in line);
  assert.equal(marks.length, 4, JSON.stringify(marks));
  // Lines of the dump with other marks, or without them (null): what verify says of a directory that has these.
  const said = (user, peer, change) => {
    const changed = entries.map((line) => (line.user === user && line.with === peer ? change && { ...line, ...change } : line)).filter(Boolean);
    const data = makeDataDir();
    try {
      const text = changed.map((line) => `${JSON.stringify(line)}\n`).join("");
      fs.writeFileSync(path.join(data, "dump"), text);
      const made = runToEnd(["import", "--from", path.join(data, "dump"), "--data", path.join(data, "new"), "--shards", "2"]);
      assert.equal(made.status, 0, made.stderr);
      const { status, stdout } = verify(path.join(data, "new"));
      return status === 0 ? [] : stdout.split("\n").filter((line) => line.startsWith("problem: ")).map((line) => line.slice(9));
    } finally {
      removeDataDir(data);
    }
  };
  assert.deepEqual(said("alice", "bob", {}), []);
  assert.deepEqual(said("carol", "bob", null), ["bob has seen messages of carol, as the timeline of bob says, but not as that of carol says"]);
  assert.deepEqual(said("bob", "carol", null), ["bob has seen messages of carol, as the timeline of carol says, but not as that of bob says"]);
  assert.deepEqual(said("alice", "bob", { seen_by: sent[0].ts }), ["how far bob has seen the messages of alice differs between their timelines"]);
  assert.deepEqual(said("alice", "bob", { seen_by: sent[1].ts + 1 }), [
    `alice is said to be seen by bob up to ts ${sent[1].ts + 1}, where no message to there stands`,
    "bob has seen messages of alice, as the timeline of bob says, but not as that of alice says"]);
  assert.deepEqual(said("bob", "alice", { seen: 1 }), [
    "the mark of bob with alice is at ts 1, and no message from there is below",
    "bob has seen messages of alice, as the timeline of alice says, but not as that of bob says"]);
});

scenario("verify and dump refuse a directory on which a server runs, with what to do; the server goes on", { shards: [2] }, async (harness) => {
  await harness.start();
  const alice = await harness.login("alice");
  for (const command of ["verify", "dump"]) {
    const end = runToEnd([command, "--data", harness.server.data]);
    assert.equal(end.status, 2);
    assert.match(end.stderr, /^chitchat: [^\n]*in use by a running chitchat: stop that one, or read a copy: `chitchat backup[^\n]*\n$/);
    assert.equal(end.stdout, "");
  }
  await alice.send("bob", "still here");
  await harness.server.stop();
});

test("what is no data directory is refused with its name", () => {
  const dir = makeDataDir();
  try {
    for (const command of ["verify", "dump"]) {
      const empty = runToEnd([command, "--data", dir]);
      assert.equal(empty.status, 2);
      assert.match(empty.stderr, /no data directory of chitchat/);
      const none = runToEnd([command, "--data", path.join(dir, "none")]);
      assert.equal(none.status, 2);
      assert.match(none.stderr, /none .*No such file/);
      assert.deepEqual(fs.readdirSync(dir), []);
    }
  } finally {
    removeDataDir(dir);
  }
});
