// A server whose log is in PostgreSQL (--cluster): one node that owns all slots, and its standby. Each test has a cluster of its
// own in the same three PostgreSQL servers.
import assert from "node:assert/strict";
import fs from "node:fs";
import { checkAcknowledged, Cluster, onClusters, talk, timelines, untilRun, USERS } from "./lib/cluster.mjs";
import { Client } from "./lib/client.mjs";
import { Server, runToEnd, scaled, until } from "./lib/server.mjs";
import { pump, wholeTimeline } from "./lib/traffic.mjs";

onClusters("a node of a cluster", {}, (withCluster) => {
  withCluster("an empty data directory and the log are the same server", async (cluster) => {
    const first = await cluster.start(cluster.newDir());
    const acknowledged = await talk(cluster, first, 0, scaled(10));
    const before = await timelines(cluster, first);
    checkAcknowledged(before, acknowledged);
    await first.kill();

    const second = await cluster.start(cluster.newDir());
    assert.deepEqual(await timelines(cluster, second), before);
    const { from, to, text, key, ts, mid } = acknowledged[1];
    const again = await (await cluster.login(second, from)).ok({ op: "send", to, text, key });
    assert.deepEqual({ dup: again.dup, ts: again.ts, mid: again.mid }, { dup: true, ts, mid }, "the keys are in the log, too");
    await second.stop();
  });

  withCluster("runs and the log together are the server, wherever it was killed", async (cluster) => {
    const data = cluster.newDir();
    const acknowledged = [];
    for (let round = 0; round < 3; round++) {
      const server = await cluster.start(data, { options: ["--checkpoint-s", "1"] });
      acknowledged.push(...(await talk(cluster, server, round, scaled(10))));
      if (round === 1) await server.stop();
      else {
        await untilRun(data);
        await server.kill();
      }
    }
    const last = await cluster.start(data);
    const all = await timelines(cluster, last);
    checkAcknowledged(all, acknowledged);
    await last.kill();
    const fresh = await cluster.start(cluster.newDir());
    assert.deepEqual(await timelines(cluster, fresh), all, "all of the log is there, so an empty directory is the same");
    await fresh.stop();
  });

  withCluster("a data directory is of one cluster, or of none", async (cluster) => {
    const [own, without] = [cluster.newDir(), cluster.newDir()];
    await (await cluster.start(own)).stop();
    const alone = runToEnd(["serve", "--listen", "127.0.0.1:0", "--data", own]);
    assert.equal(alone.status, 1);
    assert.match(alone.stderr, new RegExp(`is of a node of the cluster ${cluster.name}.*give --cluster`));
    await (await Server.start({ data: without })).stop();
    assert.match(cluster.refusal(without), /was made without --cluster/);
    const check = (...args) => runToEnd(["serve", "--check", "--listen", "127.0.0.1:0", ...args]);
    assert.equal(check("--data", own, ...cluster.options()).status, 0);
    assert.match(check("--data", own).stderr, new RegExp(`is of a node of the cluster ${cluster.name}: give`));
    assert.match(check("--data", without, ...cluster.options()).stderr, /is of no cluster: give/);
    const other = new Cluster(cluster.postgres);
    assert.match(other.refusal(own), new RegExp(`is of a node of the cluster ${cluster.name}.*the log is of ${other.name}`));
    await other.clean();
  });

  withCluster("a standby closes clients with the address of the owner, and takes over when it is killed", async (cluster) => {
    const [first, second] = [await cluster.startAt("node-1"), await cluster.startAt("node-2", true)];
    const acknowledged = await talk(cluster, first, 0, scaled(10));
    const refused = await Client.open(second);
    assert.deepEqual(await refused.untilClosed(), { code: 1001, reason: first.url() });
    assert.equal((await fetch(`http://127.0.0.1:${second.address.port}/readyz`)).status, 503);
    assert.equal(cluster.status().owner, "node-1");
    const sent = runToEnd(["send", "--user", "zoe", "--to", "zoe", "--url", second.url(), "by the standby"]);
    assert.equal(sent.status, 0, `${sent.stdout}${sent.stderr}: a client goes to the address that the standby names`);
    await first.kill();
    await second.logLine("ready");
    const { owner, address, generation, slots } = cluster.status();
    assert.deepEqual({ owner, address }, { owner: "node-2", address: second.url() });
    assert.deepEqual(slots.map((slot) => [slot.slot, slot.node, slot.generation]), [0, 1, 2].map((slot) => [slot, "node-2", generation]));
    const all = await timelines(cluster, second);
    checkAcknowledged(all, acknowledged);
    const again = await cluster.startAt("node-1", true);
    await second.stop();
    await again.logLine("ready");
    assert.deepEqual(await timelines(cluster, again), all);
    await again.stop();
  });

  withCluster("an owner that was paused is deposed, drops what was not acknowledged, and stands by", async (cluster) => {
    const [first, second] = [await cluster.startAt("node-1"), await cluster.startAt("node-2", true)];
    const clients = await Promise.all(USERS.map((user) => cluster.login(first, user)));
    const sending = clients.map((from, index) => pump(from, { to: USERS[(index + 1) % USERS.length], text: (n) => `${n}`, key: (n) => `${n}`, window: 8, mayFail: true }));
    await clients[0].untilEntries(20);
    const waiting = await Client.open(first);
    first.signal("SIGSTOP");
    await second.logLine("ready");
    const late = waiting.request({ op: "login", user: "ann" });
    first.signal("SIGCONT");
    await first.logLine("deposed");
    await until("the first is a standby", () => /event=standby node=node-1 owner=node-2/.test(first.stderr));
    const closes = await Promise.all(clients.map((client) => client.untilClosed()));
    assert.deepEqual(closes.map(({ code }) => code), USERS.map(() => 1001));
    assert.equal((await late).op, "closed", "a login is answered by the owner alone");
    const acknowledged = (await Promise.all(sending)).flatMap((list, index) => list.map((sent) => ({ ...sent, from: USERS[index] })));
    assert.ok(acknowledged.length > 0);
    checkAcknowledged(await timelines(cluster, second), acknowledged);
    assert.equal((await (await Client.open(first)).untilClosed()).reason, second.url());
    await second.kill();
    await until("the first serves again", () => first.stderr.match(/event=ready/g).length === 2);
    checkAcknowledged(await timelines(cluster, first), acknowledged);
    await first.stop();
  });

  withCluster("a log that has lost what was acknowledged after the last checkpoint is refused", async (cluster) => {
    const data = cluster.newDir();
    const withoutCheckpoints = { options: ["--checkpoint-s", "3600"] }; // so that the runs do not have it
    const server = await cluster.start(data, withoutCheckpoints);
    await talk(cluster, server, 0, 1);
    const tail = `${data}/shard-0001/wal/log-tail`;
    const written = () => fs.existsSync(tail) && Number(fs.readFileSync(tail).readBigUInt64LE(16));
    await until("the tail follows", async () => written() === Number(await cluster.sql("SELECT last FROM slot WHERE slot = 1")), { every: 50 });
    await server.kill();
    await cluster.sql("CREATE TABLE lost AS SELECT * FROM batch WHERE slot = 1 AND number = (SELECT last FROM slot WHERE slot = 1)");
    const hash = await cluster.sql("SELECT hash FROM slot WHERE slot = 1");
    const lose = "DELETE FROM batch b USING lost WHERE b.slot = 1 AND b.number = lost.number; UPDATE slot SET last = last - 1, hash = (SELECT substring(body FROM 65 FOR 16) FROM lost) WHERE slot = 1";
    await cluster.sql(lose);
    assert.match(cluster.refusal(data), /slot 1: the log ends before batch \d+, which this node holds, or knows to have been acknowledged: a log server was promoted .* promote that one/);
    await cluster.sql(`INSERT INTO batch SELECT * FROM lost; UPDATE slot SET last = last + 1, hash = '${hash}' WHERE slot = 1`);
    await (await cluster.start(data, withoutCheckpoints)).kill();
    fs.rmSync(tail); // accepts the loss
    await cluster.sql(`DROP TABLE lost; CREATE TABLE lost AS SELECT * FROM batch WHERE slot = 1 AND number = (SELECT last FROM slot WHERE slot = 1); ${lose}`);
    await (await cluster.start(data)).stop();
  });

  withCluster("a log that has lost its end, or a batch, is refused for its slot", async (cluster) => {
    const data = cluster.newDir();
    const server = await cluster.start(data, { options: ["--checkpoint-s", "1"] });
    await talk(cluster, server, 0, 1);
    await untilRun(data);
    await talk(cluster, server, 1, 1);
    await server.stop();
    const last = Number(await cluster.sql("SELECT last FROM slot WHERE slot = 1"));
    await cluster.sql(`CREATE TABLE lost AS SELECT * FROM batch WHERE slot = 1 AND number > 1; DELETE FROM batch WHERE slot = 1 AND number > 1; UPDATE slot SET last = 1 WHERE slot = 1`);
    assert.match(cluster.refusal(data), /slot 1: the log ends before batch \d+, which this data directory has: the log has lost its end/);
    await cluster.sql(`INSERT INTO batch SELECT * FROM lost; UPDATE slot SET last = ${last} WHERE slot = 1`);
    const whole = await cluster.start(data);
    const below = (slot) => cluster.sql(`SELECT below FROM slot WHERE slot = ${slot}`).then(Number);
    await until("what the runs have to be purged", async () => (await below(1)) > 1 && (await below(2)) > 2, { every: 100 });
    await whole.stop(); // the log keeps it for a day

    await cluster.sql("UPDATE batch SET body = set_byte(body, length(body) - 1, get_byte(body, length(body) - 1) # 1) WHERE slot = 2 AND number = 2");
    assert.match(cluster.refusal(cluster.newDir()), /slot 2: batch 2 of the log is damaged: promote a log server that has it whole, or copy its row/);
    await (await cluster.start(data)).stop(); // which has that batch in its runs
    await cluster.sql("CREATE TABLE backup AS SELECT * FROM batch WHERE slot = 2 AND number = 2; UPDATE backup SET body = set_byte(body, length(body) - 1, get_byte(body, length(body) - 1) # 1)");
    await cluster.sql("BEGIN; DELETE FROM batch WHERE slot = 2 AND number = 2; INSERT INTO batch SELECT * FROM backup; COMMIT");
    await (await cluster.start(cluster.newDir(), { node: "node-2" })).stop();
  });

  withCluster("while the log does not answer, sends get busy; then all goes on, and nothing is lost or doubled", async (cluster) => {
    const server = await cluster.start(cluster.newDir());
    const ann = await cluster.login(server, "ann");
    const replies = [await ann.request({ op: "send", to: "bob", text: "0" })];
    for (const log of Object.values(cluster.postgres.servers)) log.pause();
    try {
      await until("busy", () => {
        const n = String(replies.length);
        replies.push(ann.request({ op: "send", to: "bob", text: n, key: n }).then((reply) => Object.assign(reply, { text: n })));
        void replies.at(-1).then((reply) => (replies.isBusy ||= reply.code === "busy"));
        return replies.isBusy;
      }, { every: 50 });
      assert.match(await server.logLine("log_unsure"), /sends are not answered/);
    } finally {
      for (const log of Object.values(cluster.postgres.servers)) log.resume();
    }
    const all = await Promise.all(replies);
    const stored = all.filter(({ op }) => op === "ok");
    assert.ok(stored.length > 1 && all.every(({ op, code }) => op === "ok" || code === "busy"), JSON.stringify(all.slice(0, 5)));
    const bob = await cluster.login(server, "bob");
    assert.deepEqual((await wholeTimeline(bob)).map(({ mid }) => mid), stored.map(({ mid }) => mid));
    assert.match(await server.logLine("log_sure"), /after_ms=/);
    await server.stop();
  });
});
