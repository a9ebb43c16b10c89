// storage/log_engine.h with real PostgreSQL servers: a primary and two standbys.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertHolds, assertIs, LogEngine, settle, withCluster } from "./lib/log_engine.mjs";
import { PROGRAMS, PostgresCluster } from "./lib/postgres.mjs";
import { runToEnd } from "./lib/server.mjs";

const EEXIST = -17;
const ENOENT = -2;
const EPERM = -1;
const ERANGE = -34;
const SLOTS = 4;

withCluster("a log is what was acknowledged, and one owner at a time appends to it", {}, async (cluster, open) => {
  const a = await open();
  assert.equal((await a.tail(0)).status, ENOENT, "there is no cluster yet");
  assert.equal((await a.create(SLOTS)).error, "");
  assert.equal((await a.create(SLOTS)).error, "", "again: nothing to do");
  assert.equal((await a.create(SLOTS + 1)).status, EEXIST);
  assert.equal((await a.check()).slots, SLOTS);
  assert.equal((await a.tail(SLOTS + 1)).status, ENOENT);

  await test("appends with the number expected, and no other", async () => {
    for (let last = 0; last < 3; last++) assertIs("acked", await a.append(0, 1, last, `a${last + 1}`));
    const refused = assertIs("refused", await a.append(0, 1, 2, "double"));
    assert.equal(`${refused.last} ${refused.generation} ${refused.first}`, "3 1 1");
    assertIs("refused", await a.append(0, 1, 4, "hole"));
    assertIs("refused", await a.append(0, 1, 3, "behind_another", undefined, true));
    assertIs("refused", await a.append(0, 2, 3, "newer_generation", undefined, true));
    assert.deepEqual(await a.texts(0, 1), ["a1", "a2", "a3"]);
    assert.deepEqual(await a.texts(0, 3), ["a3"]);
    assert.deepEqual(await a.texts(0, 4), []);
    assert.equal((await a.read(0, 0)).status, ERANGE);
    assertIs("acked", await a.append(SLOTS, 1, 0, "meta"));
  });

  await test("reads at most the bytes that are asked for, and one batch at least", async () => {
    for (let last = 0; last < 4; last++) assertIs("acked", await a.fill(3, 1, last, 100000));
    assert.equal((await a.read(3, 1, 250000)).status, 2);
    assert.equal((await a.read(3, 2, 1)).status, 1);
    assert.equal((await a.read(3, 1)).batches[0].bytes, 100000);
    assertIs("acked", await a.fill(3, 1, 4, 2 << 20));
    assert.equal((await a.read(3, 5)).batches[0].bytes, 2 << 20);
  });

  await test("a newer generation takes the log: the older one appends no more", async () => {
    const b = await open();
    const running = a.run(1, 1, 0, 1e6);
    let taken;
    for (let last = 20; taken?.result !== "acked"; last = taken.last) taken = await b.append(1, 2, last, `2:${last + 1}`);
    const { result, done } = await running;
    assert.equal(result, 1, "refused");
    assertIs("refused", await a.append(1, 1, done + 1, "late"));
    assertIs("refused", await a.append(1, 1, done, "late"));
    const tail = await b.tail(1);
    assert.equal(`${tail.last} ${tail.generation}`, `${done + 1} 2`);
    await assertHolds(b, 1, done + 1);
  });

  await test("two that append at the same time: one of each number", async () => {
    const b = await open();
    const won = { a: 0, b: 0 };
    for (let last = 0; last < 40; last++) {
      const answers = await Promise.all([a.append(2, 1, last, `${last}:${last + 1}`), b.append(2, 1, last, `${last}:${last + 1}`)]);
      assert.equal(answers.filter(({ result }) => result === "acked").length, 1);
      assert.equal(answers.filter(({ result }) => result === "refused").length, 1);
      won[answers[0].result === "acked" ? "a" : "b"]++;
    }
    await assertHolds(b, 2, 40);
  });

  await test("a follower hears of a batch", async () => {
    const b = await open();
    const { last } = await b.tail(0);
    assert.deepEqual(await b.follow(0, last, 0), { status: 0, error: "", last });
    const heard = b.follow(0, last, 60000);
    assertIs("acked", await a.append(0, 1, last, "news"));
    assert.deepEqual(await heard, { status: 1, error: "", last: last + 1 });
  });
  await theSettings(cluster, (options, uris) => open({ cluster: "settings", ...options }, uris));
});

async function theSettings(cluster, open) {
  const a = await open();
  const { primary } = cluster;
  const refusal = async (name, options = {}) => {
    const fresh = await open(options);
    const answer = assertIs("failed", await fresh.append(0, 1, 0, "x"));
    assert.equal(answer.status, EPERM);
    assert.match(answer.error, new RegExp(`: ${name} .*set`));
    return answer;
  };
  assert.equal((await a.create(5)).error, "");
  assert.match((await a.check()).text, /^log server 1 \(127\.0\.0\.1:\d+\): PostgreSQL .*ANY 1 \(s1, s2\)/);

  await test("each setting is named, by a session that is open and by a new one; what is appended meanwhile is unknown", async () => {
    for (const [last, name] of [[0, "fsync"], [2, "full_page_writes"]]) {
      const [wrong, right] = [{ [name]: "off" }, { [name]: "on" }];
      await primary.reload(wrong);
      const answer = assertIs("unknown", await a.append(4, 1, last, `1:${last + 1}`));
      const again = assertIs("failed", await a.append(4, 1, last, `1:${last + 1}`));
      assert.deepEqual([answer.status, again.status], [EPERM, EPERM]);
      for (const { error } of [answer, again, await a.check()]) assert.match(error, new RegExp(`: ${name} .*set ${name} = on`));
      await refusal(name);
      await refusal(name, { durability: "single" });
      await primary.reload(right);
      await settle(a, 4, 1, last);
    }
    await primary.sql("ALTER ROLE postgres SET synchronous_commit = remote_write");
    await refusal("synchronous_commit");
    await primary.sql("ALTER ROLE postgres RESET synchronous_commit");
  });

  await test("no names of standbys: what is appended is unknown, until they are back", async () => {
    assert.equal((await a.run(0, 1, 0, 2)).done, 2);
    await primary.reload({ synchronous_standby_names: "" });
    const answer = assertIs("unknown", await a.append(0, 1, 2, "1:3"));
    assert.equal(answer.status, EPERM);
    assert.match(answer.error, /synchronous_standby_names is empty/);
    assert.match((await a.check()).error, /synchronous_standby_names is empty/);
    await refusal("synchronous_standby_names");
    const single = await open({ durability: "single" });
    assert.equal((await single.check()).status, 0);
    assertIs("acked", await single.append(1, 1, 0, "1:1"));
    await primary.reload({ synchronous_standby_names: "ANY 1 (s1, s2)" });
    await settle(a, 0, 1, 2);
  });

  await test("chitchat cluster init makes a cluster, or names the setting", async () => {
    const init = (...more) => runToEnd(["cluster", "init", "--log", cluster.uri, "--slots", "2", "--name", "made", ...more]);
    const made = init();
    assert.equal(made.stderr, "");
    assert.match(made.stdout, /^cluster made: 2 slots, id [0-9a-f-]{36}\nlog server 1 .*\n$/);
    assert.equal(init().stdout, made.stdout, "again: the same cluster");
    const session = await open({ cluster: "made" });
    assert.equal((await session.tail(2)).last, 1, "the meta log says what the cluster is");
    assertIs("acked", await session.append(0, 1, 0, "first"));
    await primary.reload({ synchronous_standby_names: "" });
    const refused = init("--name", "other");
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /^chitchat: .*synchronous_standby_names is empty.*--log-durability single\n$/);
    assert.match(init("--name", "other", "--log-durability", "single").stdout, /lost with the disk of its log server/);
    await primary.reload({ synchronous_standby_names: "ANY 1 (s1, s2)" });
  });
  await thePartitions(primary, a, open);
}

// What lies in the log is made to look as if it had been appended hours ago.
async function thePartitions(primary, a, open) {
  const parts = async () => (await primary.sql("SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'chitchat_settings.batch'::regclass ORDER BY 1::text")).split("\n");
  const age = async (hours, where) => {
    const at = `date_trunc('hour', now(), 'UTC') - interval '${hours} hours'`;
    const part = await primary.sql(`SELECT 'chitchat_settings.' || to_char((${at}) AT TIME ZONE 'UTC', '"batch_"YYYYMMDD"_"HH24')`);
    await primary.sql(`DO $$ BEGIN EXECUTE format('CREATE TABLE ${part} PARTITION OF chitchat_settings.batch FOR VALUES FROM (%L) TO (%L)', ${at}, ${at} + interval '1 hour'); END $$`);
    await primary.sql(`UPDATE chitchat_settings.batch SET at = ${at} WHERE ${where}`);
    return part;
  };

  await test("purge drops the partitions that no slot needs", async () => {
    assert.equal((await a.run(2, 1, 0, 6)).done, 6);
    assert.equal((await a.run(3, 1, 0, 2)).done, 2);
    const oldest = await age(30, "slot = 2 AND number <= 2");
    const older = await age(20, "(slot = 2 AND number IN (3, 4)) OR (slot = 3 AND number = 1)");
    const before = await parts();
    assert.equal((await a.purge(2, 3)).error, "");
    assert.deepEqual(await parts(), before.filter((part) => part !== oldest));
    assert.equal((await a.read(2, 1)).status, ERANGE);
    assert.equal((await a.tail(2)).first, 3);
    assert.equal((await a.read(2, 3)).status, 4);
    assert.equal((await a.purge(2, 5)).error, "");
    assert.ok((await parts()).includes(older), "slot 3 needs it");
    const keeping = await open({ keepS: 86400 });
    assert.equal((await keeping.purge(3, 2)).error, "");
    assert.ok((await parts()).includes(older), "younger than a day");
    assert.equal((await a.purge(3, 2)).error, "");
    assert.ok(!(await parts()).includes(older));
    assert.equal((await a.read(3, 2)).status, 1);
  });

  await test("nodes report, are forgotten, and leave; a purge keeps what the others need", async () => {
    const below = () => primary.sql("SELECT below FROM chitchat_nodes.slot WHERE slot = 1").then(Number);
    const a = await open({ cluster: "nodes" });
    assert.equal((await a.create(2)).error, "");
    assert.equal((await a.run(1, 1, 0, 8)).done, 8);
    assert.deepEqual((await a.nodes()).nodes, []);
    for (const [name, runs] of [["owner", [0, 8]], ["standby", [0, 3]], ["away", [0, 1]]]) assert.equal((await a.report(name, runs)).error, "");
    await a.purge(1, 8);
    assert.equal(await below(), 1);
    assert.deepEqual((await a.forget(3600)).names, []);
    await primary.sql("UPDATE chitchat_nodes.node SET seen = now() - interval '2 hours' WHERE name = 'away'");
    assert.deepEqual((await a.forget(3600)).names, ["away"]);
    assert.deepEqual((await a.forget(3600)).names, [], "once");
    await a.purge(1, 8);
    assert.equal(await below(), 3);
    assert.equal((await a.report("standby", [0, 6])).error, "");
    const node = (name, run, forgotten = false) => ({ name, address: "ws://here", forgotten, runs: [0, run], applied: [0, run] });
    assert.deepEqual((await a.nodes()).nodes, [node("away", 1, true), node("owner", 8), node("standby", 6)]);
    await a.purge(1, 8);
    assert.equal(await below(), 6);
    assert.equal((await a.leave("standby")).error, "");
    assert.match((await a.leave("standby")).error, /cluster nodes has no node standby/);
    await a.purge(1, 8);
    assert.equal(await below(), 8);
    assert.equal((await a.report("away", [0, 8])).error, "");
    assert.equal((await a.nodes()).nodes[0].forgotten, false, "it is back");
  });

  await test("an hour without a partition gets one", async () => {
    for (const part of await parts()) await primary.sql(`ALTER TABLE chitchat_settings.batch DETACH PARTITION ${part}; ALTER TABLE ${part} RENAME TO gone_${part.split(".")[1]}`);
    assertIs("acked", await a.append(3, 1, 2, "1:3"));
    assert.equal((await parts()).length, 3);
  });

  await test("batches that are missing, and were not purged, are damage", async () => {
    assert.match((await a.read(0, 1)).error, /batch 1 of slot 0 is missing in the log.*lost it/);
    assert.equal((await a.read(3, 2)).status, -74);
  });
}

test("several log servers have the slots in turn, and the meta log on the first", { skip: PROGRAMS === undefined && "PostgreSQL is not installed" }, async () => {
  const clusters = [];
  const sessions = [];
  const open = async (uris) => {
    sessions.push(await LogEngine.open(uris, { durability: "single" }));
    return sessions.at(-1);
  };
  try {
    for (let i = 0; i < 2; i++) clusters.push(await PostgresCluster.start({ standbys: 0 }));
    const uris = clusters.map(({ uri }) => uri);
    const a = await open(`${uris[0]} ${uris[1]}`.replace(" ", "\t"));
    assert.equal((await a.create(3)).error, "");
    for (let slot = 0; slot <= 3; slot++) assertIs("acked", await a.append(slot, 1, 0, `slot${slot}`));
    const held = (cluster) => cluster.primary.sql("SELECT string_agg(slot::text, ' ' ORDER BY slot) FROM chitchat_test.batch");
    assert.equal(await held(clusters[0]), "0 2 3");
    assert.equal(await held(clusters[1]), "1");
    assert.match((await (await open(`${uris[1]}\t${uris[0]}`)).check()).error, /log server 1 .* is number 2 of the 2 log servers of cluster test: give all, in that order/);
    assert.match((await (await open(uris[0])).check()).error, /is number 1 of the 2 log servers/);

    await clusters[1].primary.kill();
    assertIs("acked", await a.append(0, 1, 1, "on"));
    assertIs("failed", await a.append(1, 1, 1, "off", 1000));
    assert.equal((await a.follow(0, 0, 1000)).last, 2);
    assert.ok(await clusters[1].primary.start());
    assertIs("acked", await a.append(1, 1, 1, "again"));
  } finally {
    for (const cluster of clusters) await cluster.end();
    await Promise.all(sessions.map((session) => session.close()));
  }
});
