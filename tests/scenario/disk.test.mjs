// The disk fails or is full while the server runs: which errors senders get, what goes on, what the log says, and that
// nothing that was acknowledged is lost.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { checkKept, checkReads, filesOf, linesOf, sendUntil, resendAll, stopInTrouble, textOf, trouble } from "./lib/disk.mjs";
import { sleep, until } from "./lib/server.mjs";
import { wholeTimeline } from "./lib/traffic.mjs";

const SMALL = ["--memtable-bytes", "4M", "--checkpoint-s", "1"];

async function startSmall(harness, disk) {
  await harness.start({ options: SMALL, env: disk.env });
  return harness.login("alice");
}

// `fault` makes sends busy; without it they go on, without a restart; `failed` and `recovered` are events of the log.
async function busyAndBack(harness, disk, fault, { failed, recovered, says }) {
  const alice = await startSmall(harness, disk);
  const before = await alice.send("bob", textOf("before"), { key: "before" });
  disk.rules(...fault);
  const { acknowledged, refused, next } = await sendUntil(alice, "bob", "busy");
  assert.ok(Number.isInteger(refused.retry_after) && refused.retry_after > 0);
  acknowledged.push({ ...before, to: "bob", text: textOf("before"), key: "before" });
  await checkReads(harness, alice, "bob", acknowledged);
  assert.equal(alice.closed, undefined);
  await harness.server.logLine(failed); // memory may have been short before
  disk.mend();
  const key = `${alice.user} after`;
  const text = textOf("after");
  const after = await until("an end of busy", async () => {
    const reply = await alice.request({ op: "send", to: "bob", text, key });
    return reply.op === "ok" ? reply : assert.equal(reply.code, "busy") ?? sleep(reply.retry_after).then(() => null);
  });
  acknowledged.push({ ...after, to: "bob", text, key });
  if (recovered) await harness.server.logLine(recovered);
  const lines = linesOf(harness.server.stderr, failed);
  assert.ok(lines.length >= 1 && lines.length <= harness.shards, `not flooding: ${lines.join("\n")}`);
  for (const line of lines) for (const word of says) assert.match(line, word);
  await harness.server.kill().catch(() => {}); // its log has errors
  await harness.startAgain({ options: SMALL });
  await resendAll(harness, "alice", acknowledged, []);
  await checkKept(harness, "alice", "bob", acknowledged);
  assert.ok(next > 0);
  await harness.server.stop();
}

trouble("no room for a new segment of the log: busy, and it ends when there is room", (harness, disk) =>
  busyAndBack(harness, disk, ["fail pwrite wal/segment ENOSPC", "fail pwrite,writev runs/run- ENOSPC"], {
    failed: "segment_failed",
    recovered: "segment_recovered",
    says: [/wal\/segment-\d+\.wal/, /No space left/, /make room/],
  }));

for (const errno of ["ENOSPC", "EIO"]) {
  trouble(`${errno} for a run: busy when memory is full, and it ends when the disk is well`, (harness, disk) =>
    busyAndBack(harness, disk, [`fail pwrite,writev runs/run- ${errno}`], {
      failed: "checkpoint_failed",
      recovered: "checkpoint_recovered",
      says: [/runs\/run-\d+\.mdb/, errno === "EIO" ? /Input\/output error/ : /No space left/, /make room/],
    }));
}

trouble("EIO on the flush of a run: the run does not count, and is written again", (harness, disk) =>
  busyAndBack(harness, disk, ["fail fsync,fdatasync runs/ EIO"], {
    failed: "checkpoint_failed",
    recovered: "checkpoint_recovered",
    says: [/Input\/output error/],
  }));

trouble("no room for the manifest's commit: busy, and it ends when there is room", (harness, disk) =>
  busyAndBack(harness, disk, ["fail pwrite,writev manifest ENOSPC"], {
    failed: "checkpoint_failed",
    recovered: null,
    says: [/runs/, /No space left|manifest\.mdb/],
  }));

for (const [name, rule] of [
  ["EIO on a write of the log that did not reach the disk", "fail uring wal/ EIO"],
  ["EIO on a write of the log that reached the disk", "land uring wal/ EIO"],
  ["a write of the log that was cut short", "short uring wal/"],
]) {
  trouble(`${name}: unavailable until a restart, reads go on, keys settle what is unknown`, async (harness, disk) => {
    const alice = await startSmall(harness, disk);
    const { acknowledged } = { acknowledged: [] };
    for (let n = 0; n < 100; n++) acknowledged.push({ to: "bob", text: `${n}`, key: `${n}`, ...(await alice.send("bob", `${n}`, { key: `${n}` })) });
    const [carol, dave] = [await harness.login("carol"), await harness.login("dave")];
    const { ts } = await carol.send("dave", "to be seen");
    await until("it at dave's", () => dave.messages.length > 0);
    disk.rules(rule);
    const unknown = Array.from({ length: 20 }, (_, n) => ({ to: "bob", text: `unknown ${n}`, key: `unknown ${n}` }));
    const replies = await Promise.all(unknown.map((sent) => alice.request({ op: "send", ...sent })));
    for (const reply of replies) assert.equal(reply.code, "unavailable");
    disk.mend();
    await alice.error({ op: "send", to: "bob", text: "later", key: "later" }, "unavailable");
    // Nothing durable is taken any more; what only reads goes on.
    const seen = { op: "seen", with: "carol", ts: dave.messages[0].ts };
    await dave.error(seen, "unavailable");
    assert.deepEqual((await dave.ok({ op: "peers" })).peers.map(({ user, unseen, seen }) => [user, unseen, seen]), [["carol", 1, 0]]);
    assert.deepEqual((await dave.ok({ op: "watch", users: ["carol", "alice"] })).online, ["carol"]);
    assert.equal((await carol.ok({ op: "peers" })).peers[0].last.ts, ts);
    const { client: bob } = await checkReads(harness, alice, "bob", acknowledged);
    assert.equal(bob.messages.length, 100, "up to the mark, and no further");
    const log = await stopInTrouble(harness.server);
    const lines = linesOf(log, "wal_failed");
    assert.equal(lines.length, 1);
    for (const word of [/wal/, /restart/, rule.startsWith("short") ? /cut short/ : /Input\/output error/]) assert.match(lines[0], word);
    await harness.startAgain({ options: SMALL, env: disk.env });
    const settled = await resendAll(harness, "alice", acknowledged, [...unknown, { to: "bob", text: "later", key: "later" }]);
    // Of a batch that was cut short the disk may have all that is not padding.
    if (!rule.startsWith("short")) assert.equal(settled.some((sent) => sent.dup), rule.startsWith("land"));
    await checkKept(harness, "alice", "bob", [...acknowledged, ...settled]);
    const daveAgain = await harness.login("dave");
    await daveAgain.ok(seen);
    assert.equal((await daveAgain.ok({ op: "peers" })).peers[0].unseen, 0);
    const late = await harness.login("bob", { after: bob.cursor, epoch: bob.epoch });
    await late.untilLive();
    assert.equal(late.messages.length, settled.length);
    await harness.server.stop();
  });
}

// -- whose sends are refused first --

// The other cause of `busy`: a machine under load.
const isSlow = (reply) => /is slow/.test(reply.message);

async function sendOrFail(client, to, text) {
  for (;;) {
    const reply = await client.request({ op: "send", to, text });
    if (reply.op === "ok") return;
    assert.ok(reply.code === "busy" && isSlow(reply), `the send of ${client.user} to ${to}: ${JSON.stringify(reply)}`);
    await sleep(reply.retry_after);
  }
}

// Many sends at once, which wait for nothing. True: all were refused.
async function isRefused(client, to) {
  const replies = await Promise.all(Array.from({ length: 100 }, (_, n) => client.request({ op: "send", to, text: textOf(n, 500) })));
  return replies.every((reply) => reply.code === "busy" && !isSlow(reply));
}

trouble("a checkpoint that does not end: those who send all that they can are refused, and those who send little are not", async (harness, disk) => {
  await startSmall(harness, disk);
  const named = (name, count) => Promise.all(Array.from({ length: count }, (_, n) => harness.login(`${name}-${n}`)));
  const greedy = await named("greedy", 8);
  disk.rules("wait pwrite,writev runs/run-");
  // From and to users of each shard, until memory takes nothing more of them on any.
  await Promise.all(greedy.map((client, n) => until("busy", async () => (await Promise.all(greedy.map((_, k) => isRefused(client, `sink-${n}-${k}`)))).every(Boolean))));
  const modest = await named("modest", 10);
  for (let round = 0; round < 5; round++) {
    await Promise.all(modest.map((client, n) => sendOrFail(client, `modest-${(n + round) % modest.length}`, `round ${round}`)));
    await until("who has taken much is refused all the time", () => isRefused(greedy[round], `sink-${round}-0`));
  }
  disk.mend();
  await until("an end of busy", async () => (await greedy[0].request({ op: "send", to: "sink-0-0", text: "again" })).op === "ok");
  await harness.server.stop();
});

trouble("EIO in a merge: the old runs stay and are read, and it is merged when the disk is well", async (harness, disk) => {
  const alice = await startSmall(harness, disk);
  disk.rules("fail pwrite,writev runs/run- EIO thread=merge");
  const acknowledged = [];
  await until("a merge that fails", async () => {
    const n = acknowledged.length;
    const sent = { to: "bob", text: textOf(n, 200), key: `${n}` };
    acknowledged.push({ ...sent, ...(await alice.send("bob", sent.text, { key: sent.key })) });
    return linesOf(harness.server.stderr, "merge_failed").length > 0;
  });
  assert.match(linesOf(harness.server.stderr, "merge_failed")[0], /runs\/run-\d+\.mdb.*Input\/output error/);
  const runsOf = () => Array.from({ length: harness.shards }, (_, shard) => filesOf(harness, shard, "runs").filter((file) => /run-\d+\.mdb$/.test(file)).length);
  const most = Math.max(...runsOf());
  assert.ok(most >= 6, `${most} runs`);
  await checkReads(harness, alice, "bob", acknowledged);
  disk.mend();
  await until("fewer runs", () => Math.max(...runsOf()) < 6);
  await checkReads(harness, alice, "bob", acknowledged);
  await stopInTrouble(harness.server);
  await harness.startAgain({ options: SMALL });
  await checkKept(harness, "alice", "bob", acknowledged);
  await harness.server.stop();
});

trouble("a run that cannot be read: its rows are unavailable, all else goes on, and they are back when it can be", async (harness, disk) => {
  const alice = await startSmall(harness, disk);
  const acknowledged = [];
  for (let n = 0; n < 300; n++) acknowledged.push({ to: "bob", text: textOf(n), key: `${n}`, ...(await alice.send("bob", textOf(n), { key: `${n}` })) });
  const runsOf = () => Array.from({ length: harness.shards }, (_, shard) => filesOf(harness, shard, "runs")).flat().filter((file) => /run-\d+\.mdb$/.test(file));
  const copiesOfLast = () => runsOf().reduce((count, file) => count + fs.readFileSync(file, "latin1").split(textOf(299)).length - 1, 0);
  const isCommitted = (file) => fs.statSync(path.join(path.dirname(file), "manifest.mdb")).mtimeMs >= fs.statSync(file).mtimeMs;
  await until("both copies of the last message in runs", () => {
    try {
      return copiesOfLast() === 2 && runsOf().every(isCommitted);
    } catch (error) {
      return assert.equal(error.code, "ENOENT", "only a run that is merged away may be missing");
    }
  }, { every: 100 });
  await sleep(1500);
  const saved = runsOf().map((file) => ({ file, bytes: fs.readFileSync(file) }));
  for (const { file } of saved) fs.truncateSync(file, 8192); // as a sector that is lost: the pages are no longer there
  await alice.error({ op: "history", after: 0 }, "unavailable");
  await alice.error({ op: "peers" }, "unavailable");
  await alice.error({ op: "watch", users: ["bob"] }, "unavailable");
  await alice.error({ op: "seen", with: "bob", ts: acknowledged[0].ts }, "unavailable");
  const again = await alice.send("bob", "goes on", { key: "goes on" });
  assert.deepEqual((await alice.history({ after: again.ts - 1 })).messages.map((message) => message.mid), [again.mid]);
  await alice.ok({ op: "ping" });
  const stranger = await harness.client();
  assert.equal((await stranger.request({ op: "login", user: "carol" })).op, "ok", "who is in no run logs in");
  assert.match(await harness.server.logLine("read_failed"), /runs\/run-\d+\.mdb.*look at the disk/);
  for (let n = 0; n < 50; n++) await alice.error({ op: "history", after: 0 }, "unavailable");
  assert.ok(linesOf(harness.server.stderr, "read_failed").length <= harness.shards, "not flooding");
  for (const { file, bytes } of saved) if (fs.existsSync(file)) fs.writeFileSync(file, bytes, { flag: "r+" });
  acknowledged.push({ to: "bob", text: "goes on", key: "goes on", ...again });
  assert.equal((await wholeTimeline(alice)).length, acknowledged.length);
  await checkReads(harness, alice, "bob", acknowledged);
  await stopInTrouble(harness.server);
  await harness.startAgain({ options: SMALL });
  await resendAll(harness, "alice", acknowledged, []);
  await checkKept(harness, "alice", "bob", acknowledged);
  await harness.server.stop();
});
