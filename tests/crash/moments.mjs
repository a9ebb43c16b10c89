// When the server is killed: at random under load, and at critical moments. Each function returns when its moment has come, and
// the server is killed at once. Changes of files in the data directory show what the server is doing.
import fs from "node:fs";
import path from "node:path";
import { sleep } from "../scenario/lib/server.mjs";

// The longest wait for a critical moment; after that the kill counts as a random one.
const WAIT_MS = 4000;

const subdirectories = (data, name) =>
  fs.readdirSync(data).filter((entry) => entry.startsWith("shard-")).map((shard) => path.join(data, shard, name));

const runCount = (dir) => fs.readdirSync(dir).filter((name) => name.startsWith("run-")).length;

// Waits for an event in one of the directories for which matches(dir, type, name), then `ms` more; false if none came.
async function untilEvent(dirs, matches, ms) {
  let watchers = [];
  const come = new Promise((resolve) => {
    watchers = dirs.map((dir) => fs.watch(dir, (type, name) => matches(dir, type, name ?? "") && resolve(true)));
  });
  const hasCome = await Promise.race([come, sleep(WAIT_MS).then(() => false)]);
  for (const watcher of watchers) watcher.close();
  if (hasCome && ms > 0) await sleep(ms);
  return hasCome;
}

const exists = (dir, name) => fs.existsSync(path.join(dir, name));

export const MOMENTS = {
  load: async (harness) => sleep(50 + harness.random(500)),

  // The server begins to write a run: most often, the run is neither synced nor committed yet.
  checkpoint: async (harness) =>
    untilEvent(subdirectories(harness.data, "runs"), (dir, type, name) => type === "rename" && name.startsWith("run-") && exists(dir, name), harness.random(12)),

  // The server begins to write a run beside so many that it is a merge's, or removes an input of a merge.
  merge: async (harness) =>
    untilEvent(
      subdirectories(harness.data, "runs"),
      (dir, type, name) => type === "rename" && name.startsWith("run-") && (!exists(dir, name) || runCount(dir) > 6),
      harness.random(10),
    ),

  // The WAL continues in another segment.
  rotation: async (harness) => {
    const last = new Map();
    return untilEvent(
      subdirectories(harness.data, "wal"),
      (dir, type, name) => {
        const before = last.get(dir);
        if (type === "change") last.set(dir, name);
        return type === "change" && before !== undefined && before !== name;
      },
      harness.random(3),
    );
  },

  // The server gets SIGTERM, and is killed while it stops.
  shutdown: async (harness) => {
    await sleep(100 + harness.random(300));
    harness.server.signal("SIGTERM");
    await sleep(harness.random(40));
  },

  // Killed under load first; crash.mjs then kills the next starts before they are ready.
  recovery: async (harness) => sleep(100 + harness.random(300)),
};
