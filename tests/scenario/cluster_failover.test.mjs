// A node, its log server, or both fail at once, while users talk and a ledger has all that they sent and saw. And what a standby
// has on its own disk.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import { test } from "node:test";
import { Cluster, countOf, onClusters, talk, timelines, untilCount, withServers } from "./lib/cluster.mjs";
import { Client } from "./lib/client.mjs";
import { PROGRAMS, PostgresCluster } from "./lib/postgres.mjs";
import { LONG, SHORT, until } from "./lib/server.mjs";
import { WINDOW } from "./lib/talkers.mjs";

const ROUNDS = LONG ? 10 : 1;
const META = 3; // the number of the log in which a node is elected: that of the slots

// Two nodes with users who talk: the one that owns the slots, and the other.
async function pairWithTalkers(cluster) {
  const nodes = [await cluster.startAt("node-1"), await cluster.startAt("node-2", true)];
  const talkers = cluster.startTalkers(nodes);
  await talkers.untilAcknowledged(50);
  const owner = cluster.ownerOf(nodes);
  return { talkers, owner, other: nodes.find((node) => node !== owner) };
}

// The owner stands still until another node has taken over, and goes on. Returns both.
async function pauseOwner(cluster, nodes, whenPaused) {
  for (;;) {
    const owner = cluster.ownerOf(nodes);
    const other = nodes.find((node) => node !== owner);
    const [deposed, stood] = [countOf(owner, "deposed"), countOf(owner, "standby")];
    owner.signal("SIGSTOP");
    await until("the other node to serve", async () => cluster.ownerOf(nodes) === other);
    await whenPaused();
    owner.signal("SIGCONT");
    await untilCount(owner, "standby", stood + 1);
    if (countOf(owner, "deposed") > deposed) return { owner: other, deposed: owner };
  }
}

onClusters("two nodes", {}, (withCluster) => {
  // Some clients stay with the paused owner, others go to the new one and send again there what had no answer.
  withCluster("an owner is paused until another one has taken over: no answer was false", async (cluster) => {
    const nodes = [await cluster.startAt("node-1"), await cluster.startAt("node-2", true)];
    const loyal = cluster.startTalkers(nodes);
    const fickle = cluster.startTalkers(nodes, { patienceMs: 500, suffix: "-2" });
    let last;
    for (let round = 0; round < ROUNDS; round++) {
      await Promise.all([loyal, fickle].map((talkers) => talkers.untilAcknowledged(30)));
      const before = loyal.closes.length;
      last = await pauseOwner(cluster, nodes, () => fickle.untilAcknowledged(30));
      await loyal.untilAcknowledged(30);
      const closes = loyal.closes.slice(before);
      assert.ok(closes.length > 0 && closes.every(({ code }) => code === 1001), JSON.stringify(closes));
    }
    await Promise.all([loyal.end(), fickle.end()]);
    for (const talkers of [loyal, fickle]) await talkers.check(last.owner);
    const refused = await Client.open(last.deposed);
    assert.equal((await refused.untilClosed()).reason, last.owner.url(), "it knows who owns the slots");
    // What the deposed one had in memory is what is committed, and no more: it serves the same.
    const served = countOf(last.deposed, "ready");
    await last.owner.kill();
    await untilCount(last.deposed, "ready", served + 1);
    for (const talkers of [loyal, fickle]) await talkers.check(last.deposed);
  });

  withCluster("a standby that is killed starts from the runs that it has built, not from the beginning of the log", async (cluster) => {
    const data = cluster.newDir();
    const first = await cluster.startAt("node-1");
    const standby = await cluster.startAt("node-2", true, { data, options: ["--memtable-bytes", "1M"] });
    const runs = () => Math.max(0, ...fs.readdirSync(`${data}/shard-0001/runs`).flatMap((name) => name.match(/^run-0*(\d+)/)?.[1] ?? []).map(Number));
    const sender = await cluster.login(first, "ann");
    const big = "x".repeat(8000);
    for (let n = 0; runs() < 3; n++) await Promise.all(Array.from({ length: 20 }, (_, i) => sender.send(`user-${n}-${i}`, big)));
    await talk(cluster, first, 0, 2);
    const before = await timelines(cluster, first);
    await standby.kill();
    // Nobody can read the beginning of any log any more.
    await cluster.sql(`UPDATE batch SET body = set_byte(body, length(body) - 1, get_byte(body, length(body) - 1) # 1) WHERE number = 2 AND slot < ${META}`);
    assert.match(cluster.refusal(cluster.newDir(), "node-3"), /slot \d: batch 2 of the log is damaged/);
    const again = await cluster.startAt("node-2", true, { data });
    await first.kill();
    await again.logLine("ready");
    assert.deepEqual(await timelines(cluster, again), before);
  });
});

// The primary is lost, and a standby of PostgreSQL is promoted by rule.
if (!SHORT)
  withServers("the primary is killed under an owner: the same process goes on with the next primary", {}, async (cluster) => {
    const node = await cluster.startAt("node-1");
    const talkers = cluster.startTalkers([node]);
    await talkers.untilAcknowledged(50);
    await cluster.postgres.primary.kill();
    assert.match(await node.logLine("log_unsure"), / error="[^"]*" hint="[^"]*" left_out=\d+\n$/, "the texts of libpq have quotes");
    await cluster.postgres.failOver();
    await talkers.untilAcknowledged(50);
    await talkers.end();
    await talkers.check(node);
    assert.equal(countOf(node, "ready"), 1, "the same process serves");
    await node.kill();
    await talkers.check(await cluster.start(cluster.newDir(), { node: "node-2" }));
  });

if (!SHORT)
  withServers("owner and primary are killed together: the standby takes over when there is a primary again", {}, async (cluster) => {
    const { postgres } = cluster;
    const { talkers, owner, other } = await pairWithTalkers(cluster);
    const served = countOf(other, "ready");
    await Promise.all([owner.kill(), postgres.primary.kill()]);
    await other.logLine("log_unreachable");
    assert.equal(countOf(other, "ready"), served, "without a log nobody takes over");
    await postgres.failOver();
    await untilCount(other, "ready", served + 1);
    await talkers.untilAcknowledged(50);
    await talkers.end();
    await talkers.check(other);
    await other.kill();
    await talkers.check(await cluster.start(cluster.newDir(), { node: "node-3" }));
  });

if (LONG)
  withServers("the primary is killed while a node takes over: it takes over from the next primary", {}, async (cluster) => {
    const { postgres } = cluster;
    const { talkers, owner, other } = await pairWithTalkers(cluster);
    const served = countOf(other, "ready");
    await owner.kill();
    for (const standby of postgres.standbys) standby.pause(); // the append of the election waits for them
    const waiting = () => postgres.primary.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'chitchat'");
    await until("the election to wait", async () => (await waiting()) !== "0");
    await postgres.primary.kill();
    for (const standby of postgres.standbys) standby.resume();
    await postgres.failOver();
    await untilCount(other, "ready", served + 1);
    await talkers.untilAcknowledged(50);
    await talkers.end();
    await talkers.check(other);
  });

const MIB = 1 << 20;
const SMALL = { standbys: 1, room: 100 * MIB, settings: { max_wal_size: "32MB", wal_keep_size: "32MB" } };

if (LONG)
  withServers("the disk of the primary is full: busy; with room again all goes on", SMALL, async (cluster) => {
    const { postgres } = cluster;
    const node = await cluster.startAt("node-1");
    const talkers = cluster.startTalkers([node]);
    const filler = await cluster.login(node, "filler");
    let [waiting, isBusy] = [0, false];
    const fill = () => {
      const isUnsure = countOf(node, "log_unsure") > 0;
      for (let left = isUnsure ? 1 : 20 - waiting; left > 0; left--) {
        waiting++;
        void filler.request({ op: "send", to: "filler", text: randomBytes(6000).toString("hex") }).then(({ code }) => {
          waiting--;
          isBusy ||= code === "busy";
        });
      }
      return isBusy && isUnsure;
    };
    await until("busy, and a line in the log", fill);
    postgres.giveRoom(400 * MIB);
    if (postgres.primary.hasEnded) assert.ok(await postgres.primary.start(), postgres.primary.log);
    await talkers.untilAcknowledged(50);
    await talkers.end();
    await talkers.check(node);
    await node.kill();
    await talkers.check(await cluster.start(cluster.newDir()));
  });

// Two slots, each on a log server of its own. Users who send to themselves need one of both alone.
if (!SHORT)
  test("one of two log servers is killed: its slot waits, and the other one goes on", { skip: PROGRAMS === undefined && "PostgreSQL is not installed" }, async () => {
    const SINGLE = ["--log-durability", "single"];
    const users = Array.from({ length: 24 }, (_, i) => `user-${i}`); // all on one slot once in 2^23 times
    const logs = [];
    let cluster;
    try {
      for (let i = 0; i < 2; i++) logs.push(await PostgresCluster.start({ standbys: 0 }));
      cluster = new Cluster({ uri: logs.map(({ uri }) => uri).join(" "), primary: logs[0].primary }, ["--slots", "2", ...SINGLE]);
      const node = await cluster.startAt("node-1", false, { options: SINGLE });
      const all = users.map((user) => cluster.startTalkers([node], { users: [user] }));
      await Promise.all(all.map((one) => one.untilAcknowledged(3)));
      await logs[1].primary.kill();
      const before = all.map((one) => one.acknowledged);
      await until("a slot whose log does not answer", () => /event=log_unsure shard=1 /.test(node.stderr));
      await until("the other one to go on", () => all.some((one, i) => one.acknowledged > before[i] + 20));
      assert.ok(all.some((one, i) => one.acknowledged <= before[i] + WINDOW), "what was under way, and nothing more");
      assert.equal(countOf(node, "log_unsure shard=0"), 0);
      assert.ok(await logs[1].primary.start(), logs[1].primary.log);
      await Promise.all(all.map((one) => one.untilAcknowledged(3)));
      await Promise.all(all.map((one) => one.end()));
      for (const one of all) await one.check(node);
      await node.kill();
      const fresh = await cluster.startAt("node-2", false, { options: SINGLE });
      for (const one of all) await one.check(fresh);
    } finally {
      await cluster?.clean();
      for (const log of logs) await log.end();
    }
  });
