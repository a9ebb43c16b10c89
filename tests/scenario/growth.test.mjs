// Files do not grow without bound: the WAL, the runs and the manifests under a load that lasts, while a replay is open
// that nobody reads.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { scenario } from "./lib/harness.mjs";
import { SMALL, fill, filesOf, verified } from "./lib/offline.mjs";
import { LONG, scaled, sleep, until } from "./lib/server.mjs";
import { pump } from "./lib/traffic.mjs";

const sizeOf = (file) => fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0;

// What the process has open although it has no name any more.
function unnamed(pid) {
  return fs.readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return / \(deleted\)$/.test(fs.readlinkSync(`/proc/${pid}/fd/${fd}`));
    } catch {
      return false;
    }
  }).length;
}

scenario("WAL, runs and manifests keep their limits under load, with a replay that nobody reads", { shards: [2] }, async (harness) => {
  await harness.start({ options: SMALL });
  await fill(harness, scaled(1200), { pad: 4000 });
  const slow = await harness.login("alice", { after: 0 });
  slow.pause();
  const clients = await Promise.all(Array.from({ length: 4 }, (_, n) => harness.login(`sender-${n}`)));
  const end = Date.now() + (LONG ? 12000 : 5000);
  const most = { segments: 0, runs: 0, unnamed: 0, manifest: 0 };
  const seen = new Set();
  let isOver = false;
  const pumps = clients.map((client, n) => pump(client, { to: `sender-${(n + 1) % 4}`, window: 32, text: (i) => `${n}/${i}`.padEnd(2000, "z"), stopped: () => isOver }));
  await until(() => `runs that come and go: ${seen.size} seen, at most ${most.runs} at once`, () => {
    const runs = filesOf(harness.server.data, /run-\d+\.mdb$/);
    for (const file of runs) seen.add(file);
    most.segments = Math.max(most.segments, filesOf(harness.server.data, /\.wal$/).length);
    most.runs = Math.max(most.runs, runs.length);
    most.unnamed = Math.max(most.unnamed, unnamed(harness.server.pid));
    for (const file of filesOf(harness.server.data, /manifest\.mdb$/)) most.manifest = Math.max(most.manifest, sizeOf(file));
    return Date.now() >= end && seen.size > most.runs;
  }, { every: 100 });
  isOver = true;
  const sent = (await Promise.all(pumps)).flat().length;
  // For each shard: two rounds of a memtable of 1 MiB in segments of 4 MiB, and at most 16 spares; in practice few.
  assert.ok(most.segments <= 2 * 20, JSON.stringify(most));
  // 24 runs, what a merge is making, and its inputs until they are unlinked.
  assert.ok(most.runs <= 2 * (24 + 1 + 6), JSON.stringify(most));
  // A run that was merged away is open only while a page is read: those of one merge, for each shard.
  assert.ok(most.unnamed <= 2 * 24, JSON.stringify(most));
  assert.ok(most.manifest <= 256 * 1024, JSON.stringify(most));
  await sleep(2500);
  await until(() => `an end of ${unnamed(harness.server.pid)} merged runs that are still open`, () => unnamed(harness.server.pid) === 0);
  slow.resume();
  await slow.untilLive();
  await harness.server.stop();
  assert.ok(verified(harness.server.data).messages >= sent);
});

scenario("segments that a checkpoint has made unnecessary are removed: an idle server keeps a few segments, whatever went through it", { shards: [2] }, async (harness) => {
  await harness.start({ options: SMALL });
  await fill(harness, scaled(600), { pad: 15000 });
  const segments = () => filesOf(harness.server.data, /\.wal$/);
  await sleep(3500);
  await until(() => `at most ${2 * 17} segments, of ${segments().length}`, () => segments().length <= 2 * 17);
  for (const file of segments()) assert.equal(sizeOf(file), 4 << 20, path.basename(file));
  await harness.server.stop();
});
