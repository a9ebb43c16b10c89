// `chitchat backup` of a running server, `chitchat restore`, and what a backup costs the server meanwhile.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { Harness, scenario } from "./lib/harness.mjs";
import { SMALL, USERS, backupsIn, checkBothSides, dump, fill, filesOf, flip, newestBackup, treeOf, untilRuns, verified, verify, withoutLinks } from "./lib/offline.mjs";
import { BIN, LONG, Server, removeDataDir, runToEnd, scaled, sleep, until, withDataDir } from "./lib/server.mjs";
import { pump, wholeTimeline } from "./lib/traffic.mjs";

// Runs a command beside the traffic of this process: { status, stdout, stderr }.
async function run(args, onSpawn = () => {}) {
  const child = spawn(BIN, args, { stdio: ["ignore", "pipe", "pipe"] });
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"]) child[name].on("data", (text) => (texts[name] += text));
  const closed = once(child, "close");
  await onSpawn(child);
  const [status, signal] = await closed;
  assert.equal(signal, null);
  return { status, ...texts };
}

const backup = (data, to) => run(["backup", "--data", data, "--to", to]);

// All users send to all, some with keys, until stopped; `acknowledged` grows with the replies.
// Slowly, so that the amount to be checked stays small.
async function traffic(harness, tag) {
  const state = { acknowledged: [], isOver: false };
  const clients = await Promise.all(USERS.map((user) => harness.login(user)));
  state.done = Promise.all(
    clients.flatMap((client, index) =>
      USERS.map(async (to, n) => {
        let i = 0;
        while (!state.isOver && !client.closed) {
          const name = `${tag}/${client.user}/${to}/${i++}`;
          const text = name + "x".repeat(50 + 150 * (i % 5));
          const key = (n + index) % 2 ? name : undefined;
          const [sent] = await pump(client, { to, count: 1, window: 1, text: () => text, key: key && (() => key) });
          if (sent) state.acknowledged.push({ ...sent, from: client.user });
          await sleep(10);
        }
      }),
    ),
  );
  state.stop = async () => {
    state.isOver = true;
    await state.done;
  };
  return state;
}

scenario("backups of a server under load: each verifies, has all that was acknowledged before it, and nothing one-sided", {}, async (harness) => {
  await harness.start({ options: SMALL });
  const load = await traffic(harness, "load");
  await untilRuns(harness);
  await withDataDir(async (dir) => {
    const rounds = LONG ? 8 : 3;
    for (let round = 0; round < rounds; round++) {
      await sleep(400);
      const before = load.acknowledged.slice();
      const to = path.join(dir, `backup-${round}`);
      const end = await backup(harness.server.data, to);
      assert.equal(end.status, 0, end.stderr);
      assert.match(end.stdout, /^backup [^\n]*: \d+ runs \(\d+ files linked\), \d+ WAL segments, \d+ bytes copied\n$/);
      const tree = withoutLinks(treeOf(to));
      const counts = verified(to);
      assert.ok(counts.messages >= before.length, `${counts.messages} of ${before.length}`);
      checkBothSides(dump(to), before);
      assert.deepEqual(withoutLinks(treeOf(to)), tree, "neither looking nor the server changes anything in it");
      assert.deepEqual(fs.readdirSync(to).filter((name) => !name.startsWith("backup-")), ["LOCK"]);
      assert.deepEqual(fs.readdirSync(newestBackup(to)).filter((name) => !name.startsWith("shard-")).sort(), ["BACKUP", "LOCK"]);
    }
    await load.stop();
    const logs = fs.readdirSync(dir).flatMap((name) => filesOf(path.join(dir, name), /\.wal$/));
    const generations = new Set(logs.map((file) => `${path.basename(path.dirname(path.dirname(file)))} ${fs.readFileSync(file).readBigUInt64LE(24)}`));
    assert.ok(generations.size >= 3, `segments came and went meanwhile: ${generations.size}`);
    await harness.server.stop();
    // The earlier backups did not change when the server merged and recycled what they were made of.
    checkBothSides(dump(path.join(dir, "backup-0")), []);
    verified(path.join(dir, "backup-0"));
  });
  checkBothSides(dump(harness.server.data), load.acknowledged);
});

scenario("what was restored is served under a new epoch: cursors of the old one get a reset, and nothing is missing", {}, async (harness) => {
  await harness.start({ options: SMALL });
  const sent = await fill(harness, scaled(900), { pad: 60 });
  await untilRuns(harness);
  await withDataDir(async (dir) => {
    const to = path.join(dir, "backup");
    const restored = path.join(dir, "restored");
    assert.equal((await backup(harness.server.data, to)).status, 0);
    const later = await harness.login("alice");
    const lost = await later.send("bob", "after the backup");
    const epoch = later.epoch;
    const before = treeOf(to);
    const end = await run(["restore", "--from", to, "--data", restored]);
    assert.equal(end.status, 0, end.stderr);
    assert.deepEqual(withoutLinks(treeOf(to)), withoutLinks(before), "the backup is as it was, but for link counts");
    verified(restored);
    await harness.server.stop();
    const server = await Server.start({ data: restored, shards: null, options: SMALL });
    try {
      const alice = await harness.client({ server });
      await alice.loginAs("alice", { after: lost.ts, epoch });
      assert.equal(alice.login.reset, true);
      assert.notEqual(alice.epoch, epoch);
      assert.match(server.stderr, new RegExp(`shards=${harness.shards}`));
      const timeline = await wholeTimeline(alice);
      assert.equal(timeline.filter((entry) => entry.text === "after the backup").length, 0);
      for (const one of sent.filter((one) => one.from === "alice")) assert.ok(timeline.some((entry) => entry.mid === one.mid && entry.ts === one.ts));
      const again = sent.find((one) => one.from === "alice" && one.key);
      const dup = await alice.ok({ op: "send", to: again.to, text: again.text, key: again.key });
      assert.equal(dup.dup, true, "keys are known");
      const fresh = await alice.send("bob", "goes on");
      assert.ok(fresh.ts > timeline.at(-1).ts);
      await server.stop();
      verified(restored);
      assert.deepEqual(withoutLinks(treeOf(to)), withoutLinks(before), "the server changed nothing in the backup");
      verified(to);
    } finally {
      await server.clean();
    }
  });
});

scenario("a backup of a stopped or killed server's directory is as good, and keeps a server from starting meanwhile only", { shards: [2] }, async (harness) => {
  await harness.start({ options: SMALL });
  const sent = await fill(harness, 120);
  await harness.server.kill();
  await withDataDir(async (dir) => {
    assert.equal((await backup(harness.server.data, path.join(dir, "one"))).status, 0);
    checkBothSides(dump(path.join(dir, "one")), sent);
    await harness.startAgain({ options: SMALL });
    await harness.server.stop();
    assert.equal((await backup(harness.server.data, path.join(dir, "two"))).status, 0);
    checkBothSides(dump(path.join(dir, "two")), sent);
    assert.equal(verified(path.join(dir, "two")).messages, sent.length);
  });
});

scenario("wrong directories are refused with what to do, and left as they were", { shards: [2] }, async (harness) => {
  await harness.start();
  await fill(harness, 36);
  await withDataDir(async (dir) => {
    const good = path.join(dir, "good");
    const full = path.join(dir, "full");
    const data = harness.server.data;
    fs.mkdirSync(full);
    fs.writeFileSync(path.join(full, "mine"), "mine");
    assert.equal((await backup(data, good)).status, 0);
    const refusals = [
      [["backup", "--data", data, "--to", full], /full is not empty, and mine in it is no backup/],
      [["backup", "--data", data, "--to", data], /is a data directory/],
      [["backup", "--data", path.join(dir, "none"), "--to", path.join(dir, "x")], /none .*No such file/],
      [["backup", "--data", good, "--to", path.join(dir, "x")], /is a backup already/],
      [["backup", "--data", data, "--to", path.join(full, "mine")], /mine.*(Not a directory|File exists)/],
      [["restore", "--from", good, "--data", full], /full is not empty/],
      [["restore", "--from", good, "--data", data], /is not empty/],
      [["restore", "--from", full, "--data", path.join(dir, "x")], /no data directory of chitchat and no backup/],
      [["serve", "--listen", "127.0.0.1:0", "--data", good], /good has backups: `chitchat restore --from/],
      [["serve", "--listen", "127.0.0.1:0", "--data", newestBackup(good)], /backup-\S+ is a backup: `chitchat restore --from/],
    ];
    for (const [args, word] of refusals) {
      const end = await run(args);
      assert.ok(end.status === 1 || end.status === 2, args.join(" "));
      assert.match(end.stderr, /^chitchat: [^\n]+\n$/);
      assert.match(end.stderr, word);
      assert.equal(end.stdout, "");
    }
    assert.deepEqual(fs.readdirSync(full), ["mine"]);
    assert.ok(!fs.existsSync(path.join(dir, "x")));
    await harness.server.stop();
    const end = await run(["restore", "--from", data, "--data", path.join(dir, "x")]);
    assert.equal(end.status, 1);
    assert.match(end.stderr, /is no backup: `chitchat backup/);
    // A backup that was not finished, and one that was damaged.
    const one = newestBackup(good);
    fs.renameSync(path.join(one, "BACKUP"), path.join(one, "BACKUP.new"));
    for (const args of [["verify", "--data", one], ["restore", "--from", one, "--data", path.join(dir, "x")], ["serve", "--listen", "127.0.0.1:0", "--data", one]])
      assert.match((await run(args)).stderr, /a backup that was not finished: remove it/);
    for (const args of [["verify", "--data", good], ["restore", "--from", good, "--data", path.join(dir, "x")]])
      assert.match((await run(args)).stderr, /has no backup that was finished: `chitchat backup/);
    fs.renameSync(path.join(one, "BACKUP.new"), path.join(one, "BACKUP"));
    verified(good);
    const log = filesOf(good, /\.wal$/).sort((a, b) => fs.statSync(b).size - fs.statSync(a).size)[0];
    flip(log, fs.statSync(log).size - 4096); // the one byte of the last block that is never padding
    assert.equal(verify(good).status, 1, "in a backup nothing is torn: what does not read is damage");
    const damaged = await run(["restore", "--from", good, "--data", path.join(dir, "x")]);
    assert.equal(damaged.status, 1);
    assert.match(damaged.stderr, /segment-\d+\.wal at offset \d+/);
    assert.ok(!fs.existsSync(path.join(dir, "x")));
  });
});

// The backup lock, as a backup has it that never ends.
async function holdFor(data) {
  const holder = spawn("flock", ["-x", path.join(data, "HOLD"), "sh", "-c", "echo held; exec sleep 600"], { stdio: ["ignore", "pipe", "inherit"], detached: true });
  await once(holder.stdout, "data");
  return {
    async end() {
      process.kill(-holder.pid, "SIGKILL");
      await once(holder, "close");
    },
  };
}

const bytesOf = (dir, pattern) => filesOf(dir, pattern).reduce((sum, file) => sum + (fs.existsSync(file) ? fs.statSync(file).size : 0), 0);

scenario("while a backup has the backup lock, segments stay up to a limit; past it the server goes on and the backup is overtaken", { shards: [2] }, async (harness) => {
  await harness.start({ options: SMALL });
  const load = await traffic(harness, "held");
  await untilRuns(harness);
  const holder = await holdFor(harness.server.data);
  const count = () => filesOf(harness.server.data, /\.wal$/).length;
  const overtaken = () => Number(fs.readFileSync(path.join(harness.server.data, "HOLD"), "utf8") || "0");
  const before = overtaken();
  const files = count();
  let most = files;
  let acknowledged = load.acknowledged.length;
  try {
    const clients = await Promise.all(USERS.map((user) => harness.login(user)));
    const large = clients.map((client, n) => pump(client, { to: USERS[(n + 1) % USERS.length], text: (i) => `large/${n}/${i}`.padEnd(16000, "y"), window: 16, stopped: () => overtaken() > before }));
    await until("a backup that is overtaken", () => {
      most = Math.max(most, count());
      return overtaken() !== before;
    });
    await Promise.all(large);
    assert.ok(most > files + 20, `segments stayed: ${files}, then ${most}`);
    // For each shard: 32 that the backup lock keeps, those of a round, and spares.
    assert.ok(most <= harness.shards * (32 + 16 + 8), `${most} segments`);
    acknowledged = load.acknowledged.length;
    await until("a send that is acknowledged while the backup lock is held", () => load.acknowledged.length > acknowledged);
  } finally {
    await holder.end();
  }
  await until(() => `fewer segments than ${most} after the backup lock was released`, () => count() < most);
  await load.stop();
  await harness.server.stop();
  checkBothSides(dump(harness.server.data), load.acknowledged);
});

scenario("a backup that is stopped while it copies the WAL is overtaken and reports that; what it made is known as unfinished", { shards: [2] }, async (harness) => {
  await harness.start({ options: ["--memtable-bytes", "64M", "--checkpoint-s", "600", "--wal-segment-bytes", "4M"] });
  await fill(harness, 600, { tag: "big", pad: 15000 });
  await withDataDir(async (dir) => {
    const to = path.join(dir, "b");
    const wal = () => path.join(newestBackup(to), "shard-0000/wal");
    const end = await run(["backup", "--data", harness.server.data, "--to", to], async (child) => {
      await until("a copied log", () => fs.existsSync(wal()) && fs.readdirSync(wal()).length > 0, { every: 0 });
      child.kill("SIGSTOP");
      assert.ok(!fs.existsSync(path.join(newestBackup(to), "BACKUP")), "it was stopped in time");
      await harness.server.stop();
      await harness.startAgain({ options: SMALL });
      child.kill("SIGCONT");
    });
    assert.equal(end.status, 1, end.stdout);
    assert.match(end.stderr, /^chitchat: the server was started again, or could not keep old segments[^\n]*make the backup again[^\n]*\n$/);
    assert.match((await run(["verify", "--data", newestBackup(to)])).stderr, /not finished/);
    // The checkpoint after the start releases more old segments at once than the server keeps for a backup.
    let tries = 0;
    const again = () => backup(harness.server.data, path.join(dir, `c${++tries}`));
    const complete = await until("the segments of the first start are gone", () => again().then((one) => !/make the backup again/.test(one.stderr) && one));
    assert.equal(complete.status, 0, complete.stderr);
    verified(path.join(dir, `c${tries}`));
  });
  await harness.server.stop();
});

scenario("a backup that was killed keeps no lock: the next one begins at once, and two at a time wait for each other", { shards: [2] }, async (harness) => {
  await harness.start({ options: SMALL });
  await fill(harness, 600, { pad: 2000 });
  await withDataDir(async (dir) => {
    const child = spawn(BIN, ["backup", "--data", harness.server.data, "--to", path.join(dir, "killed")], { stdio: "ignore" });
    await until("the backup's directory", () => fs.existsSync(path.join(dir, "killed")), { every: 0 });
    child.kill("SIGKILL");
    await once(child, "close");
    const ends = await Promise.all(["a", "b", "c"].map((name) => backup(harness.server.data, path.join(dir, name))));
    for (const end of ends) assert.equal(end.status, 0, end.stderr);
    for (const name of ["a", "b", "c"]) verified(path.join(dir, name));
  });
  await harness.server.stop();
});

scenario("a file that cannot be written is reported by name, and the server goes on", { shards: [1] }, async (harness) => {
  await harness.start({ options: SMALL });
  await fill(harness, 600, { pad: 500 });
  await withDataDir(async (dir) => {
    const nowhere = await run(["backup", "--data", harness.server.data, "--to", "/proc/none"]);
    assert.equal(nowhere.status, 1);
    assert.match(nowhere.stderr, /cannot make \/proc\/none: /);
    const below = await run(["backup", "--data", harness.server.data, "--to", path.join(dir, "none", "b")]);
    assert.match(below.stderr, /cannot make .*\/none\/b: No such file or directory: make the directory above it first\n$/);
    const to = path.join(dir, "b");
    const script = 'ulimit -f 16; exec "$0" "$@"';
    const end = spawnSync("/bin/sh", ["-c", script, BIN, "backup", "--data", harness.server.data, "--to", to], { encoding: "utf8" });
    assert.equal(end.status, 1);
    assert.match(end.stderr, /^chitchat: [^\n]*\/b\/backup-[^\n]*\/shard-0000\/[^\n]* cannot be written: File too large\n$/);
    assert.equal(fs.existsSync(path.join(newestBackup(to), "BACKUP")), false);
  });
  const alice = await harness.login("alice");
  await alice.send("bob", "still here");
  await harness.server.stop();
});

scenario("a second backup shares the runs that the first has; --keep removes the oldest, and what was shared stays whole", {}, async (harness) => {
  await harness.start({ options: SMALL });
  await withDataDir(async (dir) => {
    const to = path.join(dir, "b");
    const sent = [];
    const tags = ["one", "two", "three", "four"];
    for (const tag of tags) {
      sent.push(...(await fill(harness, 120, { tag, pad: 400 })));
      await untilRuns(harness, 1);
      const end = await run(["backup", "--data", harness.server.data, "--to", to, "--keep", "2"]);
      assert.equal(end.status, 0, end.stderr);
      assert.ok(end.stdout.startsWith(`backup ${newestBackup(to)}: `), end.stdout);
      checkBothSides(dump(to), sent);
      assert.equal(verified(to).messages, sent.length);
    }
    const left = backupsIn(to);
    assert.deepEqual(left.map((file) => Number(path.basename(file).split("-")[1])), [3, 4]);
    // Each is complete in itself.
    checkBothSides(dump(left[0]), sent.slice(0, (sent.length * 3) / 4));
    assert.equal(verified(left[0]).messages, (sent.length * 3) / 4);
    const restored = path.join(dir, "r");
    assert.equal((await run(["restore", "--from", left[0], "--data", restored])).status, 0);
    checkBothSides(dump(restored), sent.slice(0, (sent.length * 3) / 4));
    // A clock that stepped back does not change what is the newest.
    fs.renameSync(left[1], path.join(to, "backup-000004-19990101T000000Z"));
    assert.equal(verified(to).messages, sent.length);
    assert.equal((await run(["backup", "--data", harness.server.data, "--to", to])).status, 0);
    assert.equal(backupsIn(to).length, 3, "without --keep all stay");
    await harness.server.stop();
    verified(to);
  });
});

scenario("a backup that is being read is not removed, one of another data directory is not mixed in, an older layout is taken over", { shards: [2] }, async (harness) => {
  await harness.start({ options: SMALL });
  await fill(harness, 60);
  await harness.server.stop();
  const data = harness.server.data;
  await withDataDir(async (dir) => {
    const to = path.join(dir, "b");
    assert.equal((await backup(data, to)).status, 0);
    const [first] = backupsIn(to);
    const reader = spawn("flock", ["-s", path.join(first, "LOCK"), "sh", "-c", "echo held; exec sleep 600"], { stdio: ["ignore", "pipe", "inherit"], detached: true });
    await once(reader.stdout, "data");
    const busy = await run(["backup", "--data", data, "--to", to, "--keep", "1"]);
    assert.equal(busy.status, 1);
    assert.match(busy.stderr, /backup-000001-\S+ cannot be removed: it is being read/);
    assert.match(busy.stdout, /^backup \S+backup-000002-/, "the new one is complete");
    process.kill(-reader.pid, "SIGKILL");
    await once(reader, "close");
    verified(first);
    assert.equal((await run(["backup", "--data", data, "--to", to, "--keep", "1"])).status, 0);
    assert.equal(backupsIn(to).length, 1);
    // Another data directory.
    const other = await Server.start({ shards: 1 });
    await other.stop();
    const mixed = await backup(other.data, to);
    assert.equal(mixed.status, 1);
    assert.match(mixed.stderr, /has backups of another data directory/);
    await other.clean();
    // As versions before made them: the backup is the directory itself.
    const old = path.join(dir, "old");
    fs.renameSync(newestBackup(to), old);
    fs.rmSync(path.join(old, "LOCK"));
    verified(old);
    assert.equal((await backup(data, old)).status, 0);
    assert.ok(fs.existsSync(path.join(old, "BACKUP")), "it stays, as the oldest");
    assert.equal((await run(["backup", "--data", data, "--to", old, "--keep", "2"])).status, 0);
    assert.deepEqual(fs.readdirSync(old).filter((name) => !name.startsWith("backup-")), []);
    assert.equal(backupsIn(old).length, 2);
    for (const one of backupsIn(old)) verified(one);
    // A killed removal left a part of it.
    fs.mkdirSync(path.join(old, "shard-0000/runs"), { recursive: true });
    assert.equal((await backup(data, old)).status, 0);
    assert.ok(!fs.existsSync(path.join(old, "shard-0000")));
  });
});

const OTHER = "/dev/shm";
const hasOther = fs.existsSync(OTHER) && fs.statSync(OTHER).dev !== fs.statSync(os.tmpdir()).dev;

test("to another file system runs are copied, while the server merges them away", { skip: !hasOther }, async () => {
  const dir = fs.mkdtempSync(path.join(OTHER, "chitchat-scenario-"));
  const harness = new Harness(2);
  try {
    await harness.start({ options: SMALL });
    const load = await traffic(harness, "other");
    await untilRuns(harness, 8);
    for (let round = 0; round < 3; round++) {
      await sleep(500);
      const before = load.acknowledged.slice();
      const to = path.join(dir, "all");
      const end = await backup(harness.server.data, to);
      assert.equal(end.status, 0, end.stderr);
      assert.match(end.stdout, /\(0 files linked[,)]/);
      verified(to);
      checkBothSides(dump(to), before);
    }
    await load.stop();
    harness.checkClients();
    await harness.server.stop();
  } finally {
    await harness.clean();
    removeDataDir(dir);
  }
});

test("restore goes into a directory that is there and empty too", async () => {
  await withDataDir(async (dir) => {
    const server = await Server.start({ shards: 1 });
    try {
      assert.equal((await backup(server.data, path.join(dir, "b"))).status, 0);
      await server.stop();
      fs.mkdirSync(path.join(dir, "r"));
      assert.equal((await run(["restore", "--from", path.join(dir, "b"), "--data", path.join(dir, "r")])).status, 0);
      assert.equal(runToEnd(["verify", "--data", path.join(dir, "r")]).status, 0);
      assert.ok(bytesOf(path.join(dir, "r"), /./) > 0);
    } finally {
      await server.clean();
    }
  });
});
