// Backup and restore where files cannot be linked: copies are complete, or the command reports that they are not.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { backupsIn, checkBothSides, cut, dump, filesOf, flipText, newestBackup, verified, verify } from "./lib/offline.mjs";
import { textOf, trouble } from "./lib/disk.mjs";
import { BIN, SHORT, until, makeDataDir, removeDataDir } from "./lib/server.mjs";
import { pump } from "./lib/traffic.mjs";

// Runs are large enough to be cut in steps when they go (storage/runs/run_remove.c: steps of 2 MiB).
const OPTIONS = ["--memtable-bytes", "4M", "--checkpoint-s", "600", "--wal-segment-bytes", "4M"];
const CUT_BYTES = 2 << 20;
const RUN = /run-\d+\.mdb$/;

// Runs a command on that disk: { status, stderr }.
function run(disk, args) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("CHITCHAT_")));
  const child = spawn(BIN, args, { stdio: ["ignore", "ignore", "pipe"], env: { ...env, ...disk.env } });
  let stderr = "";
  child.stderr.on("data", (text) => (stderr += text));
  running.add(child);
  return once(child, "close").then(([status, signal]) => {
    running.delete(child);
    return { status: status ?? signal, stderr };
  });
}

const running = new Set();

async function withDir(body) {
  const dir = makeDataDir();
  try {
    return await body(dir);
  } finally {
    running.forEach((child) => child.kill("SIGKILL"));
    removeDataDir(dir);
  }
}

const runsOf = (dir) => filesOf(dir, RUN);
const numberOf = (file) => Number(/run-(\d+)/.exec(file)[1]);
const newestOf = (dir) => Math.max(0, ...runsOf(dir).map(numberOf));

// Sends to others and to themselves until `stopped()`. What was acknowledged.
async function sendUntil(harness, tag, stopped) {
  const clients = await Promise.all(["alice", "bob"].map((user) => harness.login(user)));
  const lists = await Promise.all(clients.map((client, n) => pump(client, { to: "bob", window: 32, text: (i) => textOf(`${tag}/${n}/${i}`, 15000), stopped })));
  return lists.flatMap((list, n) => list.map((one) => ({ ...one, key: undefined, from: clients[n].user })));
}

// Until the server has made its `wanted`th run.
const sendUntilRun = (harness, wanted, tag) => sendUntil(harness, tag, () => newestOf(harness.server.data) >= wanted);

// The file of a run is there before the manifest names the run, and a backup copies what the manifest names.
async function untilNewestIsNamed(data) {
  const isNamed = () => {
    const { stdout } = spawnSync("mdb_dump", ["-n", "-p", path.join(data, "shard-0000/runs/manifest.mdb")], { encoding: "utf8" });
    return stdout.includes(`run-${String(newestOf(data)).padStart(12, "0")}`);
  };
  await until("the newest run in the manifest", isNamed);
}

// A run that was merged away is mapped no more, whether its file is there or not.
function areMerged(harness, files) {
  const maps = fs.readFileSync(`/proc/${harness.server.pid}/maps`, "utf8");
  return files.every((file) => !maps.includes(file));
}

trouble(
  "runs that a backup still copies stay whole while the server merges them away, and then they go",
  (harness, disk) =>
    withDir(async (dir) => {
      const to = path.join(dir, "b");
      await harness.start({ options: OPTIONS });
      // Fewer than are merged at once: none of them is merged before the backup has them open.
      const sent = await sendUntilRun(harness, 3, "before");
      disk.rules("fail link * EXDEV", "wait pwrite Z/shard-0000/runs/run- thread=chitchat");
      const end = run(disk, ["backup", "--data", harness.server.data, "--to", to]);
      await until("its first run", () => fs.existsSync(path.join(newestBackup(to), "shard-0000/runs")) && runsOf(to).length > 0, { every: 5 });
      const old = runsOf(harness.server.data).filter((file) => numberOf(file) <= 3);
      assert.ok(old.length === 3 && old.every((file) => fs.statSync(file).size > CUT_BYTES), "they are such as are cut");
      assert.ok(!areMerged(harness, old.slice(0, 1)), "they are in use");
      await sendUntil(harness, "after", () => areMerged(harness, old));
      await sendUntilRun(harness, newestOf(harness.server.data) + 1, "later");
      assert.ok(!fs.existsSync(path.join(newestBackup(to), "BACKUP")));
      disk.rules("fail link * EXDEV");
      const { status, stderr } = await end;
      assert.equal(status, 0, stderr);
      verified(to);
      checkBothSides(dump(to), sent);
      await until("an end of the runs that were merged away", () => old.every((file) => !fs.existsSync(file)));
      const restored = path.join(dir, "r");
      assert.equal((await run(disk, ["restore", "--from", to, "--data", restored])).status, 0);
      assert.ok(runsOf(restored).every((file) => fs.statSync(file).nlink === 1), "copied here too");
      verified(restored);
      checkBothSides(dump(restored), sent);
      await harness.server.stop();
    }),
  { shards: [1] },
);

// Each file that is copied, and the error that the command prints if the copy is wrong.
const LIES = [
  ["runs/run-", "shard-0000/runs/run-\\d+\\.mdb is not what was written to it"],
  ["wal/segment-", "shard-0000/wal/segment-\\d+\\.wal is not what was written to it"],
  ["runs/manifest.mdb", "shard-0000/runs/manifest\\.mdb (cannot be written: Input/output error|(does not say|is not) what was written to it)"],
];

trouble(
  "a disk that keeps something else than what it was given is found: there is no BACKUP, and no META",
  (harness, disk) =>
    withDir(async (dir) => {
      await harness.start({ options: OPTIONS });
      const sent = await sendUntilRun(harness, 2, "m");
      disk.rules("fail link * EXDEV");
      const good = path.join(dir, "good");
      assert.equal((await run(disk, ["backup", "--data", harness.server.data, "--to", good])).status, 0);
      checkBothSides(dump(good), sent);
      const tries = [
        { args: (to) => ["backup", "--data", harness.server.data, "--to", to], mark: "BACKUP" },
        { args: (to) => ["restore", "--from", good, "--data", to], mark: "META" },
      ];
      let n = 0;
      for (const { args, mark } of tries) {
        for (const [file, word] of [...LIES, [`${mark}.new`, "cannot be written: Input/output error"]]) {
          for (const lie of ["flip", "lose"]) {
            const to = path.join(dir, `bad-${n++}`);
            disk.rules("fail link * EXDEV", `${lie} pwrite ${file}`);
            const end = await run(disk, args(to));
            assert.equal(end.status, 1, `${lie} ${file}: ${end.stderr}`);
            assert.match(end.stderr, new RegExp(`^chitchat: [^\\n]*${word}[^\\n]*\\n$`), `${lie} ${file}`);
            assert.ok(!fs.existsSync(path.join(mark === "META" ? to : newestBackup(to), mark)), `${lie} ${file}`);
          }
        }
      }
      await harness.server.stop();
    }),
  { shards: [1] },
);

// LMDB crashes on the damage, in a process apart: AddressSanitizer reports that.
const withoutSanitizers = SHORT ? () => {} : trouble;
withoutSanitizers(
  "a run that was damaged before is not copied as if it were whole, and one that was cut is not linked",
  (harness, disk) =>
    withDir(async (dir) => {
      await harness.start({ options: OPTIONS });
      await sendUntilRun(harness, 3, "m");
      await harness.server.stop();
      const data = harness.server.data;
      const [file] = runsOf(data);
      const name = path.basename(file);
      const content = fs.readFileSync(file);
      const to = path.join(dir, "b");
      const refused = async (word, ...rules) => {
        disk.rules(...rules);
        const end = await run(disk, ["backup", "--data", data, "--to", to]);
        assert.equal(end.status, 1, end.stderr);
        assert.match(end.stderr, new RegExp(`^chitchat: [^\\n]*${name}[^\\n]*${word}[^\\n]*\\n$`));
        assert.ok(!fs.existsSync(path.join(newestBackup(to), "BACKUP")));
        fs.rmSync(to, { recursive: true, force: true });
        fs.writeFileSync(file, content);
      };
      flipText(file, "xxxxxxxxxxxxxxxx");
      await refused("checksum[^\\n]*the file that it was copied from is damaged", "fail link * EXDEV");
      // Pages that LMDB trusts: leaves of nothing but ones.
      fs.writeFileSync(file, Buffer.concat([content.subarray(0, 8192), Buffer.alloc(content.length - 8192, 0xff)]));
      await refused("(the file that it was copied from is damaged|is damaged, reading it ended with)", "fail link * EXDEV");
      cut(file, content.length - 4096);
      await refused(`has ${content.length - 4096} bytes instead of ${content.length}`, "fail link * EXDEV");
      cut(file, content.length - 4096);
      await refused(`has ${content.length - 4096} bytes instead of ${content.length}`, "# linked");
      disk.mend();
      assert.equal((await run(disk, ["backup", "--data", data, "--to", to])).status, 0);
      verified(to);
      assert.equal(verify(data).status, 0);
    }),
  { shards: [1] },
);

trouble(
  "to another disk only new runs are copied; killed in the middle, or without room, the earlier backups stay whole",
  (harness, disk) =>
    withDir(async (dir) => {
      await harness.start({ options: OPTIONS });
      const data = harness.server.data;
      const to = path.join(dir, "b");
      const args = ["backup", "--data", data, "--to", to, "--keep", "2"];
      const sent = await sendUntilRun(harness, 2, "first");
      // The links between backups are possible, those to the data are not.
      const apart = `fail link ${path.basename(data)} EXDEV`;
      disk.rules(apart);
      assert.equal((await run(disk, args)).status, 0);
      const [first] = backupsIn(to);
      const copied = runsOf(first);
      const messages = verified(first).messages;
      sent.push(...(await sendUntilRun(harness, newestOf(data) + 1, "second")));
      await untilNewestIsNamed(data);
      // Killed while it copies a run, and while it copies the WAL.
      for (const wanted of ["runs/run-", "wal/segment-"]) {
        disk.rules(apart, `wait pwrite Z/shard-0000/${wanted} thread=chitchat`);
        const child = spawn(BIN, args, { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, ...disk.env } });
        let said = "";
        child.stderr.on("data", (data) => (said += data));
        await until(() => `a copy of ${wanted}; the command's exit code is ${child.exitCode}, it said: ${said}`, () => newestBackup(to) !== first && filesOf(newestBackup(to), new RegExp(wanted)).some((file) => fs.statSync(file).size === 0), { every: 5 });
        child.kill("SIGKILL");
        await once(child, "close");
        disk.rules(apart);
        assert.equal(backupsIn(to).length, 2, "the unfinished one of the try before was removed");
        assert.ok(!fs.existsSync(path.join(newestBackup(to), "BACKUP")));
        assert.equal(verified(to).messages, messages, "the newest complete one is the first");
      }
      // No room.
      disk.rules(apart, "fail pwrite Z/shard-0000/runs/run- ENOSPC after=1 thread=chitchat");
      const full = await run(disk, args);
      assert.equal(full.status, 1);
      assert.match(full.stderr, /cannot be written: No space left on device: make room on that disk/);
      assert.equal(verified(to).messages, messages);
      disk.rules(apart);
      assert.equal((await run(disk, args)).status, 0);
      const second = newestBackup(to);
      assert.equal(backupsIn(to).length, 2);
      const inodes = new Set(copied.map((file) => fs.statSync(file).ino));
      const shared = runsOf(second).filter((file) => inodes.has(fs.statSync(file).ino));
      const still = runsOf(data).map((file) => path.basename(file)).filter((name) => copied.some((file) => path.basename(file) === name));
      assert.equal(shared.length, still.length, "a run that both have is one file");
      assert.ok(runsOf(second).length > shared.length, "the new ones are copied");
      checkBothSides(dump(second), sent);
      // A run of the backup before that was cut is copied again.
      if (shared.length > 0) cut(shared[0], fs.statSync(shared[0]).size - 4096);
      assert.equal((await run(disk, args)).status, 0);
      verified(newestBackup(to));
      checkBothSides(dump(newestBackup(to)), sent);
      await harness.server.stop();
    }),
  { shards: [1] },
);
