// `chitchat cluster init --from DIR`: a cluster that begins with the content of a data directory.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { Api } from "./lib/api.mjs";
import { Cluster, SLOTS, onClusters, talk, timelines } from "./lib/cluster.mjs";
import { checkBothSides, dump, filesOf, flip, flipText, verified } from "./lib/offline.mjs";
import { Server, runBeside, runToEnd, scaled, sleep, until } from "./lib/server.mjs";

const ADMIN = ["--admin", "127.0.0.1:0"];

// Runs `body` with a server without a cluster on `data`, then kills it.
async function alone(data, options, body) {
  const server = await Server.start({ shards: SLOTS, data, options });
  try {
    return await body(server);
  } finally {
    await server.kill();
  }
}

// A data directory with runs and a WAL: messages with and without keys, marks, a user whose timeline is erased, who then
// writes again, and old messages that --retention has cut.
async function makeSource(cluster) {
  const data = cluster.newDir();
  await alone(data, ["--checkpoint-s", "1"], (server) => talk(cluster, server, 0, scaled(10)));
  await sleep(1100);
  await alone(data, ["--retention", "1s"], () => {});
  return alone(data, ADMIN, async (server) => {
    const acknowledged = await talk(cluster, server, 1, scaled(10));
    const api = new Api(server.admin);
    await api.expect(200, "DELETE", "/api/v1/users/erin");
    api.close();
    acknowledged.push(...(await talk(cluster, server, 2, 1)));
    const reader = await cluster.login(server, "erin");
    await reader.ok({ op: "seen", with: "ann", ts: reader.cursor });
    return { data, acknowledged, before: await timelines(cluster, server) };
  });
}

// Each shard has written what it read at the start: `chitchat dump` of a node reads nothing but runs.
function untilInRuns(data) {
  const shards = () => new Set(filesOf(data, /run-\d+\.mdb$/).map((file) => path.dirname(file)));
  return until("the runs", () => shards().size === SLOTS, { every: 50 });
}

onClusters("a cluster from a data directory", {}, (withCluster) => {
  withCluster("nodes that start empty have the dump, the timelines, the epoch and the keys of the source", async (other) => {
    const { data, acknowledged, before } = await makeSource(other);
    const source = dump(data);
    assert.ok(source.some((line) => line.first > 0 && line.user === undefined) && source.some(({ first, user }) => first > 0 && user === "erin"), "cuts of all, and of one");
    assert.ok(source.some(({ seen }) => seen > 0) && source.some(({ seen_by }) => seen_by > 0), "marks");
    const cluster = new Cluster(other.postgres, ["--from", data]);
    try {
      assert.match(cluster.made, /^from \S+: [1-9]\d+ messages, marks in [1-9]\d* conversations, [1-9]\d* cuts, the same epoch/);
      assert.deepEqual(dump(data), source, "the source is as it was");
      const node = cluster.newDir();
      const first = await cluster.start(node, { options: ["--checkpoint-s", "1", ...ADMIN] });
      assert.deepEqual(await timelines(cluster, first), before);
      assert.doesNotMatch(first.stderr, /event=standby/, "nobody else had the slots");
      const { from, to, text, key, ts, mid } = acknowledged.find((sent) => sent.from === "ann" && sent.to === "bob");
      const again = await (await cluster.login(first, from)).ok({ op: "send", to, text, key });
      assert.deepEqual({ dup: again.dup, ts: again.ts, mid: again.mid }, { dup: true, ts, mid });
      await untilInRuns(node);
      await first.stop();
      assert.deepEqual(dump(node), source);
      verified(node);
      const second = await cluster.start(cluster.newDir(), { node: "node-2" });
      assert.deepEqual(await timelines(cluster, second), before);
      await talk(cluster, second, 3, 1); // new ts are above all that came from the source
      await second.stop();
    } finally {
      await cluster.clean();
    }
  });

  withCluster("what cannot become a cluster is refused before a log has anything of it", async (cluster) => {
    const empty = async () => (await cluster.sql("SELECT count(*) FROM batch WHERE slot < 3")) === "0";
    const data = cluster.newDir();
    const refuse = (content, code, pattern) => {
      const { status, stderr } = cluster.init(content);
      assert.equal(status, code, stderr);
      assert.match(stderr, pattern);
    };
    await alone(data, [], async (server) => {
      await talk(cluster, server, 0, 1);
      refuse(["--from", data], 2, /is in use by a running chitchat: stop that one/);
    });
    refuse(["--from", data, "--slots", "4"], 2, /--from has 3 shards, and each becomes a slot: leave --slots out, or make a directory of 4 shards with `chitchat reshard`/);
    refuse(["--from", `${data}/none`], 2, /none/);
    refuse(["--from", data], 1, /the cluster is made already, and --from is for a new one: give another --name/);
    assert.equal(runToEnd(["cluster", "status", "--log", "x", "--from", data]).status, 2);
    await cluster.empty();
    const [wal] = filesOf(data, /\.wal$/).filter((name) => fs.readFileSync(name).includes("0/ann/bob/0"));
    flip(wal, 30);
    refuse(["--from", data], 1, /its header is damaged.*`chitchat verify`/);
    assert.ok(await empty());
  });

  withCluster("an import that did not end is never served, and is made anew after what the error says; a backup gets a new epoch", async (other) => {
    const [data, backups] = [other.newDir(), other.newDir()];
    const before = await alone(data, [], async (server) => (await talk(other, server, 0, 1), timelines(other, server)));
    const made = runToEnd(["backup", "--data", data, "--to", backups]);
    assert.equal(made.status, 0, made.stderr);
    const cluster = new Cluster(other.postgres, ["--from", backups]);
    try {
      assert.match(cluster.made, /a new epoch: clients read their history anew/);
      await cluster.sql("DELETE FROM batch WHERE slot = 3; UPDATE slot SET last = 0, generation = 0, hash = DEFAULT WHERE slot = 3");
      assert.match(cluster.refusal(cluster.newDir()), /make the cluster with `chitchat cluster init`/);
      assert.match(runToEnd(["cluster", "status", "--log", cluster.postgres.uri, "--name", cluster.name]).stdout, /^cluster \w+: not made yet: `chitchat cluster init` has not ended\n/);
      for (const content of [["--slots", "3"], ["--from", backups]]) {
        const { status, stderr } = cluster.init(content);
        assert.equal(status, 1);
        const [, statement] = /did not end: .* the SQL statement (DROP SCHEMA \S+ CASCADE), on each log server/.exec(stderr);
        if (content[0] === "--from") await cluster.sql(statement);
      }
      assert.equal(cluster.init(["--from", backups]).status, 0);
      const server = await cluster.start(cluster.newDir());
      const all = await timelines(cluster, server);
      assert.notEqual(all.ann.epoch, before.ann.epoch);
      for (const user of Object.keys(all)) assert.deepEqual(all[user].entries, before[user].entries);
      await server.stop();
    } finally {
      await cluster.clean();
    }
  });

  withCluster("a cluster that another command makes while the logs are taken gets nothing of the directory; a lost connection at the last step does not end the import", async (cluster) => {
    const data = cluster.newDir();
    const before = await alone(data, [], async (server) => (await talk(cluster, server, 0, 1), timelines(cluster, server)));
    await cluster.empty();
    let importing;
    await cluster.whileHeld(0, async () => {
      importing = cluster.init(["--from", data], runBeside);
      await cluster.untilWaits();
      assert.equal(cluster.init(["--slots", String(SLOTS)]).status, 0);
    });
    const { status, stderr } = await importing;
    assert.equal(status, 1);
    assert.match(stderr, /^chitchat: another command has made cluster \w+ meanwhile, without this data: give another --name$/m);
    assert.equal(await cluster.sql("SELECT string_agg(number::text, ' ') FROM batch WHERE slot < 3"), "1 1 1", "the logs are taken, and have no records");
    await cluster.empty();
    let making;
    await cluster.whileHeld(SLOTS, async () => {
      making = cluster.init(["--slots", String(SLOTS)], runBeside);
      await cluster.untilWaits();
      importing = cluster.init(["--from", data], runBeside);
      await cluster.untilWaits(2);
    });
    const ends = await Promise.all([making, importing]); // which of both is first is not known
    assert.equal(ends[0].status, 1);
    assert.match(ends[0].stderr, /the cluster is made, but another command has begun with its logs meanwhile/);
    if (ends[1].status !== 0) assert.match(ends[1].stderr, /another command has made cluster \w+ while this one filled its logs.* DROP SCHEMA chitchat_\w+ CASCADE/);
    await cluster.empty();
    await cluster.whileHeld(SLOTS, async () => {
      importing = cluster.init(["--from", data], runBeside);
      await cluster.untilWaits();
      await cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
    });
    const made = await importing;
    assert.equal(made.status, 0, made.stderr);
    assert.match(made.stderr, /cluster init: waits for the log: /);
    const server = await cluster.start(cluster.newDir());
    assert.deepEqual(await timelines(cluster, server), before);
    await server.stop();
  });

  withCluster("the directory of a node whose log is lost, with shards that end at different times, becomes a cluster with all that any of them has", async (cluster) => {
    const [data, older] = [cluster.newDir(), cluster.newDir()];
    const run = async (round) => {
      const node = await cluster.start(data);
      const acknowledged = await talk(cluster, node, round, 1);
      await node.stop();
      return acknowledged;
    };
    const acknowledged = await run(0);
    fs.cpSync(data, older, { recursive: true });
    await run(1);
    for (let shard = 0, name = "shard-0000"; shard < SLOTS; shard++, name = `shard-000${shard}`) {
      const lost = cluster.newDir();
      fs.cpSync(data, lost, { recursive: true });
      fs.rmSync(`${lost}/${name}`, { recursive: true });
      fs.cpSync(`${older}/${name}`, `${lost}/${name}`, { recursive: true });
      const mids = (dir) => [...new Set(dump(dir).map(({ mid }) => mid))].sort();
      const count = (all) => all.reduce((sum, { from, to }) => sum + (from === to ? 2 : 1), 0);
      const entries = dump(lost).filter(({ mid }) => mid !== undefined);
      const oneSided = 2 * new Set(entries.map(({ mid }) => mid)).size - count(entries);
      assert.ok(oneSided > 0);
      const made = new Cluster(cluster.postgres, ["--from", lost]);
      try {
        assert.match(made.made, new RegExp(`a new epoch: .*\none of the two timelines lacked ${oneSided} of the messages, and has them now\n`));
        const node = made.newDir();
        await (await made.start(node)).stop();
        checkBothSides(dump(node).filter(({ mid }) => mid !== undefined), acknowledged);
        assert.deepEqual(mids(node), mids(lost));
        verified(node);
      } finally {
        await made.clean();
      }
    }
    flipText(filesOf(older, /run-\d+\.mdb$/).find((name) => fs.readFileSync(name).includes("0/ann/bob/0")), "0/ann/bob/0");
    await cluster.empty();
    const { status, stderr } = cluster.init(["--from", older]);
    assert.equal(status, 1);
    assert.match(stderr, /: the two timelines of some messages do not have the same copy/);
  });
});
