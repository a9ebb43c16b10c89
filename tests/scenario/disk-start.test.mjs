// A disk that fails while the server starts, and one that is really full: the error text, and that nothing is lost.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { checkKept, checkReads, filesOf, linesOf, refusal, sendUntil, stopInTrouble, textOf, trouble } from "./lib/disk.mjs";
import { run } from "./lib/run.mjs";
import { sleep, until } from "./lib/server.mjs";

const OPTIONS = ["--memtable-bytes", "4M", "--checkpoint-s", "1", "--admin", "127.0.0.1:0"];
const LARGE = ["--memtable-bytes", "16M", "--checkpoint-s", "3600"];

for (const [name, rule, words] of [
  ["the log cannot be mapped", "fail mmap wal/segment- EIO", [/wal\/segment-\d+\.wal/, /Input\/output error/]],
  ["the log cannot be opened", "fail open wal/segment- EIO", [/wal\/segment-\d+\.wal/, /Input\/output error/]],
  ["what was replayed cannot be made durable", "fail fdatasync wal/ EIO", [/shard-\d+\/wal/, /Input\/output error/]],
  ["the manifest cannot be opened", "fail open manifest.mdb EIO", [/manifest\.mdb/, /Input\/output error/]],
  ["a run cannot be opened", "fail open runs/run- EIO", [/runs\/run-\d+\.mdb/, /Input\/output error/]],
]) {
  trouble(`at the start ${name}: refused with the file, and the next start has it all`, async (harness, disk) => {
    await harness.start({ options: OPTIONS, env: disk.env });
    const acknowledged = [];
    const send = async (alice, n) => acknowledged.push({ to: "bob", text: textOf(n), key: `${n}`, ...(await alice.send("bob", textOf(n), { key: `${n}` })) });
    const first = await harness.login("alice");
    for (let n = 0; n < 100; n++) await send(first, n);
    await harness.server.stop(); // all is in runs
    assert.ok([0, 1].some((shard) => filesOf(harness, shard, "runs").some((file) => /run-\d+\.mdb$/.test(file))));
    await harness.startAgain({ options: OPTIONS, env: disk.env });
    await send(await harness.login("alice"), 100);
    await harness.server.kill();
    disk.rules(rule);
    const line = refusal(harness, disk, OPTIONS);
    for (const word of words) assert.match(line, word);
    disk.mend();
    await harness.startAgain({ options: OPTIONS, env: disk.env });
    await checkKept(harness, "alice", "bob", acknowledged);
    await harness.server.stop();
  }, { shards: [2] });
}

// What an operator sees is what the clients get, at the latest when each shard has looked.
async function checkShown({ admin }) {
  const url = `http://${admin.host}:${admin.port}`;
  await until("not ready", async () => (await (await fetch(`${url}/readyz`)).json()).error === "full_disk");
  await until("a status that says so", async () => /\nREFUSING {7}[12] of 2 shards refuse sends/.test((await run(["status", "--admin", url])).stdout));
}

// Until there is room: logins and history with all that was acknowledged, and `busy` for each send. Sends go on by themselves.
async function checkFullStart(harness, acknowledged, makeRoom) {
  const alice = await harness.login("alice");
  await checkReads(harness, alice, "bob", acknowledged);
  for (const to of ["bob", "alice"]) {
    const refused = await alice.request({ op: "send", to, text: "no room" });
    assert.equal(refused.code, "busy", JSON.stringify(refused));
    assert.ok(refused.retry_after > 0);
  }
  await checkShown(harness.server);
  await makeRoom();
  const sent = { to: "bob", text: "more room", key: "more room" };
  const reply = await until("an end of busy", async () => {
    const one = await alice.request({ op: "send", ...sent });
    return one.op === "ok" ? one : sleep(one.retry_after);
  });
  acknowledged.push({ ...sent, ...reply });
}

async function fillAndKill(harness, options, env, count) {
  await harness.start({ options, env, ...(harness.data ? { data: harness.data } : {}) });
  const alice = await harness.login("alice");
  const acknowledged = [];
  for (let n = 0; n < count; n++) acknowledged.push({ to: "bob", text: textOf(n), key: `${n}`, ...(await alice.send("bob", textOf(n), { key: `${n}` })) });
  await harness.server.kill();
  return acknowledged;
}

for (const [name, rules] of [
  ["for a new segment", ["fail pwrite wal/segment ENOSPC"]],
  ["for a run of the recovery, nor for a segment", ["fail pwrite wal/segment ENOSPC", "fail pwrite runs/run- ENOSPC"]],
]) {
  trouble(`at the start there is no room ${name}: history and logins are served, sends get busy, and with room it goes on`, async (harness, disk) => {
    const acknowledged = await fillAndKill(harness, LARGE, disk.env, 300);
    disk.rules(...rules);
    await harness.startAgain({ options: OPTIONS.with(1, "1M"), env: disk.env });
    assert.ok(linesOf(harness.server.stderr, "no_room_at_start").length > 0, harness.server.stderr);
    await checkFullStart(harness, acknowledged, () => disk.mend());
    await stopInTrouble(harness.server);
    await harness.startAgain({ options: OPTIONS, env: disk.env });
    await checkKept(harness, "alice", "bob", acknowledged);
    await harness.server.stop();
  }, { shards: [2] });
}

trouble("a file system full to its last byte at the start, without a byte for a lock file: the same", async (harness, disk) => {
  const dir = smallDisk(160 << 20);
  if (dir === null) return console.log("# not run: needs the right to mount");
  try {
    const ballast = path.join(dir, "ballast");
    harness.data = path.join(dir, "data");
    const acknowledged = await fillAndKill(harness, LARGE, disk.env, 300);
    for (const file of fs.readdirSync(harness.data, { recursive: true })) if (/-lock$|^HOLD$/.test(file)) fs.rmSync(path.join(harness.data, file));
    const fd = fs.openSync(ballast, "w");
    for (let bytes = 1 << 20; bytes >= 4096; ) {
      try {
        fs.writeSync(fd, Buffer.alloc(bytes));
      } catch (error) {
        assert.equal(error.code, "ENOSPC");
        bytes /= 2;
      }
    }
    fs.closeSync(fd);
    // The spares of the server that ran before, which a start removes, are too small for one such segment.
    await harness.startAgain({ options: [...OPTIONS.with(1, "1M"), "--wal-segment-bytes", "24M"], env: disk.env });
    assert.ok(linesOf(harness.server.stderr, "no_room_at_start").length > 0, harness.server.stderr);
    await checkFullStart(harness, acknowledged, () => fs.rmSync(ballast));
    await stopInTrouble(harness.server);
    await harness.startAgain({ options: OPTIONS });
    await checkKept(harness, "alice", "bob", acknowledged);
    await harness.server.stop();
  } finally {
    await unmount(harness, dir);
  }
}, { shards: [2] });

async function unmount(harness, dir) {
  for (let tries = 0; tries < 50 && spawnSync("umount", [dir]).status !== 0; tries++) {
    if (harness.server?.isRunning()) await harness.server.kill().catch(() => {});
    await sleep(100);
  }
  fs.rmdirSync(dir);
}

// A file system of so many bytes; null where this process may not mount.
function smallDisk(bytes) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "chitchat-small-"));
  if (spawnSync("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "none", dir]).status === 0) return dir;
  fs.rmdirSync(dir);
  return null;
}

trouble("a file system that is full: busy, history goes on, and with more room it goes on by itself", async (harness, disk) => {
  const dir = smallDisk(48 << 20);
  if (dir === null) return console.log("# not run: needs the right to mount");
  try {
    const data = path.join(dir, "data");
    await harness.start({ options: OPTIONS, data, env: disk.env });
    const alice = await harness.login("alice");
    const { acknowledged, refused } = await sendUntil(alice, "bob", "busy", { bytes: 16000 });
    assert.ok(refused.retry_after > 0);
    // Sends may be busy before the disk is full: goes on until it is.
    let first = 0;
    await until("a checkpoint that fails", async () => {
      if (linesOf(harness.server.stderr, "checkpoint_failed").length > 0) return true;
      acknowledged.push(...(await sendUntil(alice, "bob", "busy", { bytes: 16000, first: (first += 100000) })).acknowledged);
      return false;
    }, { every: 100 });
    // LMDB calls a write that a full disk cut short an I/O error.
    assert.match(linesOf(harness.server.stderr, "checkpoint_failed")[0], /(No space left on device|Input\/output error).*make room/);
    await checkReads(harness, alice, "bob", acknowledged);
    assert.equal(spawnSync("mount", ["-o", "remount,size=400M", dir]).status, 0);
    await harness.server.logLine("checkpoint_recovered");
    const sent = { to: "bob", text: "more room", key: "more room" };
    const reply = await until("an end of busy", async () => {
      const one = await alice.request({ op: "send", ...sent });
      return one.op === "ok" ? one : sleep(one.retry_after);
    });
    acknowledged.push({ ...sent, ...reply });
    await stopInTrouble(harness.server);
    await harness.startAgain({ options: OPTIONS });
    await checkKept(harness, "alice", "bob", acknowledged);
    await harness.server.stop();
  } finally {
    await unmount(harness, dir);
  }
});
