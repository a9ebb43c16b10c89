// When the server is killed: at random under load, and where it hurts: each function returns when its moment has come, and the
// server is killed at once. Files that come, go and change in the data directory tell what the server is doing.
import fs from "node:fs";
import path from "node:path";
import { sleep } from "../scenario/lib/server.mjs";

// What a targeted moment waits for at most; then it is a random one.
const WAIT_MS = 4000;

const subdirectories = (data, name) =>
  fs.readdirSync(data).filter((entry) => entry.startsWith("shard-")).map((shard) => path.join(data, shard, name));

const runCount = (dir) => fs.readdirSync(dir).filter((name) => name.startsWith("run-")).length;

// Until matches(dir, type, name) for an event in one of the directories, then `ms` more; false if that did not come.
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

  // A run begins to be written; so soon, it is hardly synced or committed.
  checkpoint: async (harness) =>
    untilEvent(subdirectories(harness.data, "runs"), (dir, type, name) => type === "rename" && name.startsWith("run-") && exists(dir, name), harness.random(12)),

  // A run begins to be written beside so many that it is a merge's, or one of its inputs is removed.
  merge: async (harness) =>
    untilEvent(
      subdirectories(harness.data, "runs"),
      (dir, type, name) => type === "rename" && name.startsWith("run-") && (!exists(dir, name) || runCount(dir) > 6),
      harness.random(10),
    ),

  // The log goes on in another file.
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

  // It is told to stop, and killed while it does.
  shutdown: async (harness) => {
    await sleep(100 + harness.random(300));
    harness.server.signal("SIGTERM");
    await sleep(harness.random(40));
  },

  // Under load first; what follows is killed before it is ready (crash.mjs).
  recovery: async (harness) => sleep(100 + harness.random(300)),
};
