// Data directories on which no server runs: filling them, damaging them, and looking at every byte of them.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { runToEnd, until } from "./server.mjs";
import { pump } from "./traffic.mjs";

// Small generations and segments, so that checkpoints and merges happen at once.
export const SMALL = ["--memtable-bytes", "1M", "--checkpoint-s", "1", "--wal-segment-bytes", "4M"];

export const USERS = ["alice", "bob", "carol", "dave", "erin", "frank"];

// Each user sends `count` messages: to others in turn, some to themselves, some with keys. What was acknowledged.
export async function fill(harness, count, { tag = "m", pad = 0 } = {}) {
  const lists = await Promise.all(
    USERS.map(async (from, index) => {
      const client = await harness.login(from);
      const sent = await Promise.all(
        USERS.map((to, n) => pump(client, { to, count: Math.ceil(count / USERS.length), window: 20, text: (i) => `${tag}/${from}/${to}/${i}${"x".repeat(pad)}`, key: (n + index) % 2 ? (i) => `${tag}/${from}/${to}/${i}` : undefined })),
      );
      client.terminate();
      return sent.flat().map((one) => ({ ...one, from }));
    }),
  );
  return lists.flat();
}

// A new data set, filled and stopped, so that all is in runs, with messages on every shard. By its seed all users may
// live on one shard: then another data set is begun.
export async function makeFilled(harness, count, how) {
  let homes;
  do {
    await harness.start({ options: SMALL });
    await fill(harness, count, how);
    await harness.server.stop();
    homes = new Set(runsOf(harness).map((file) => path.dirname(file)));
  } while (homes.size < harness.shards);
}

// Also of a directory that others change or remove meanwhile.
function namesBelow(dir) {
  try {
    return fs.readdirSync(dir, { recursive: true });
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
    return fs.existsSync(dir) ? namesBelow(dir) : [];
  }
}

export function filesOf(dir, pattern) {
  return namesBelow(dir).map((name) => path.join(dir, name)).filter((name) => pattern.test(name) && fs.statSync(name, { throwIfNoEntry: false })?.isFile()).sort();
}

// The backups in a directory of backups, oldest first, finished or not.
export function backupsIn(dir) {
  const names = fs.readdirSync(dir).filter((name) => /^backup-\d{6,9}-\d{8}T\d{6}Z$/.test(name));
  return names.sort((a, b) => Number(a.split("-")[1]) - Number(b.split("-")[1])).map((name) => path.join(dir, name));
}

// The newest one; where there is none yet, a path that does not exist.
export const newestBackup = (dir) => (fs.existsSync(dir) && backupsIn(dir).at(-1)) || path.join(dir, "none");

const runsOf = (harness) => filesOf(harness.server.data, /run-\d+\.mdb$/);

export async function untilRuns(harness, wanted = 1) {
  await until(`${wanted} runs`, () => runsOf(harness).length >= wanted);
}

// Every name below a directory with its kind, bytes, times and content.
export function treeOf(dir) {
  const all = {};
  for (const name of fs.readdirSync(dir, { recursive: true })) {
    const stat = fs.lstatSync(path.join(dir, name), { bigint: true });
    const content = stat.isFile() ? crypto.createHash("sha256").update(fs.readFileSync(path.join(dir, name))).digest("hex") : "";
    all[name] = `${stat.mode} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs} ${content}`;
  }
  return all;
}

// The same but for what a change of the number of a file's names does to it: its ctime.
export function withoutLinks(tree) {
  return Object.fromEntries(Object.entries(tree).map(([name, text]) => [name, text.split(" ").filter((_, at) => at !== 3).join(" ")]));
}

// A damaged page may end the process that reads it: by its signal, under a sanitizer too.
export function verify(dir) {
  return runToEnd(["verify", "--data", dir], { ASAN_OPTIONS: "handle_segv=0:handle_sigbus=0" });
}

// All is well; the numbers of the summary.
export function verified(dir) {
  const end = verify(dir);
  assert.equal(end.status, 0, `${end.stdout}${end.stderr}`);
  assert.equal(end.stderr, "");
  assert.match(end.stdout, /^no problem found$/m);
  const number = (word) => Number(new RegExp(`(\\d+) ${word}`).exec(end.stdout)[1]);
  const words = ["shards", "segments", "batches", "records", "runs", "rows", "keys", "users", "entries", "messages"];
  return Object.fromEntries(words.map((word) => [word, number(word)]));
}

export function dump(dir, args = []) {
  const end = runToEnd(["dump", "--data", dir, ...args]);
  assert.equal(end.status, 0, end.stderr);
  assert.equal(end.stderr, "");
  assert.ok(end.stdout === "" || end.stdout.endsWith("\n"));
  return end.stdout.split("\n").slice(0, -1).map((line) => JSON.parse(line));
}

// Every acknowledged message is once in the sender's timeline and once in the recipient's, and any other message that is in
// one of them is in the other.
export function checkBothSides(entries, acknowledged) {
  const byPlace = new Map();
  for (const entry of entries) {
    const place = `${entry.user} ${entry.mid}`;
    if (byPlace.has(place)) assert.fail(`${place} stands twice`);
    byPlace.set(place, entry);
  }
  for (const entry of entries) {
    const other = byPlace.get(`${entry.user === entry.from ? entry.to : entry.from} ${entry.mid}`);
    assert.ok(other, `${entry.mid} is one-sided: it stands with ${entry.user}`);
    assert.ok(other.from === entry.from && other.to === entry.to && other.text === entry.text, `${entry.mid} differs`);
  }
  for (const sent of acknowledged) {
    const own = byPlace.get(`${sent.from} ${sent.mid}`);
    assert.ok(own, `${sent.mid}, which was acknowledged, is missing`);
    assert.ok(own.ts === sent.ts && own.to === sent.to && own.text === sent.text && own.key === sent.key, `${sent.mid} is not what was sent`);
  }
}

// -- damage --

export function flip(file, offset) {
  const bytes = fs.readFileSync(file);
  bytes[offset] ^= 1;
  fs.writeFileSync(file, bytes);
}

export function flipText(file, text) {
  const offset = fs.readFileSync(file).indexOf(text);
  assert.ok(offset >= 0, `${file} does not hold ${text}`);
  flip(file, offset);
}

export function cut(file, bytes) {
  fs.truncateSync(file, bytes);
}
