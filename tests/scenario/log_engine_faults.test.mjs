// storage/log_engine.h when PostgreSQL servers end, stop or cannot be reached: what was acknowledged is there once, and what
// is not known is said to be unknown.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CutProxy } from "./lib/cut_proxy.mjs";
import { assertHolds, assertIs, settle, withCluster } from "./lib/log_engine.mjs";
import { until } from "./lib/server.mjs";

const EIO = -5;
const EPERM = -1;
const SHORT_MS = 400; // for calls whose server does not answer

// An append may leave a NOTIFY behind it that is not answered yet. Against a server that stops then, the next append has
// failed, since it was not sent; the tests are about one that was.
function untilIdle(session) {
  return session.tail(0);
}

withCluster("servers that fail", {}, async (cluster, open) => {
  const a = await open();
  const { primary, standbys } = cluster;
  assert.equal((await a.create(4)).error, "");

  await test("SIGSTOP of the primary: unknown, then settled", async () => {
    assert.equal((await a.run(0, 1, 0, 3)).done, 3);
    await untilIdle(a);
    primary.pause();
    assertIs("unknown", await a.append(0, 1, 3, "1:4", SHORT_MS));
    assertIs("failed", await a.append(0, 1, 3, "1:4", SHORT_MS));
    primary.resume();
    await settle(a, 0, 1, 3);
  });

  await test("SIGSTOP of both standbys: unknown and not to be read, then settled", async () => {
    standbys.forEach((standby) => standby.pause());
    assertIs("unknown", await a.append(1, 1, 0, "1:1", SHORT_MS));
    assert.equal((await a.tail(1)).last, 0, "it is not visible");
    const waiting = await a.append(1, 1, 0, "1:1");
    assertIs("failed", waiting);
    assert.equal(waiting.status, EIO, "the first one holds the slot's row");
    standbys.forEach((standby) => standby.resume());
    await settle(a, 1, 1, 0);
  });

  await test("a wait for standbys that is cancelled is not an acknowledgement", async () => {
    standbys.forEach((standby) => standby.pause());
    const waiting = a.append(2, 1, 0, "1:1");
    await until("the wait", async () => (await primary.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%owned%'")) === "1");
    await primary.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
    const answer = assertIs("unknown", await waiting);
    assert.equal(answer.status, EPERM);
    assert.match(answer.error, /wait for synchronous replication/);
    assert.deepEqual(await a.texts(2, 1), ["1:1"], "it can be read, and is not replicated");
    standbys.forEach((standby) => standby.resume());
    await settle(a, 2, 1, 0);
  });
  await theNetwork(primary, open);
  await theKills(cluster, open);
});

async function theNetwork(primary, open) {
  const proxy = await CutProxy.start(primary.port);
  const b = await open({}, `postgresql://postgres@127.0.0.1:${proxy.port}/chat`);
  const when = (text, what) => {
    proxy.onRequest = (bytes) => {
      if (!bytes.includes(text)) return "pass";
      proxy.onRequest = () => "pass";
      return what;
    };
  };

  await test("the network is cut before the server has the statement: unknown, then appended", async () => {
    assert.equal((await b.run(3, 1, 0, 2)).done, 2);
    when("1:3", "drop");
    assertIs("unknown", await b.append(3, 1, 2, "1:3"));
    assertIs("acked", await b.append(3, 1, 2, "1:3"));
  });

  await test("the network is cut before the answer: unknown, and it is in the log once", async () => {
    when("1:4", 0);
    assertIs("unknown", await b.append(3, 1, 3, "1:4"));
    const refused = assertIs("refused", await b.append(3, 1, 3, "1:4"));
    assert.equal(refused.last, 4);
    assertIs("acked", await b.append(3, 1, 4, "1:5"));
    await assertHolds(b, 3, 5);
    await proxy.end();
  });
}

async function theKills(cluster, open) {
  const [a, b] = [await open({ cluster: "killed" }), await open({ cluster: "killed" })];
  assert.equal((await a.create(4)).error, "");

  await test("kill -9 of all: what was acknowledged is there", async () => {
    const running = a.run(0, 1, 0, 1e9, 1500);
    await until("some batches", async () => (await b.tail(0)).last > 30);
    await Promise.all(Object.values(cluster.servers).map((server) => server.kill()));
    const { done } = await running;
    for (const server of Object.values(cluster.servers)) assert.ok(await server.start(), server.log);
    await settle(a, 0, 1, done);
  });

  await test("kill -9 of the primary, a standby is promoted: what was acknowledged is there", async () => {
    await cluster.untilStreaming(2);
    const running = a.run(1, 1, 0, 1e9, 1500);
    await until("some batches", async () => (await b.tail(1)).last > 30);
    await cluster.servers.primary.kill();
    const { done } = await running;
    await cluster.failOver();
    await settle(a, 1, 1, done);
    assertIs("refused", await b.append(0, 1, 3, "late"));
  });
}

const MIB = 1 << 20;

withCluster("two servers that both take writes", {}, async (cluster, open) => {
  const a = await open();
  const { primary } = cluster;
  assert.equal((await a.create(1)).error, "");
  assert.equal((await a.run(0, 1, 0, 3)).done, 3);
  await untilIdle(a);
  primary.pause();
  assertIs("unknown", await a.append(0, 1, 3, "1:4", SHORT_MS));
  await cluster.failOver();
  primary.resume(); // it does not know of its successor, and no standby follows it any more
  await settle(a, 0, 1, 3);
  const b = await open(); // whom it asks first is chance; the other one only after it has heard nothing
  await until("an acknowledgement of the new primary", async () => (await b.append(0, 2, (await b.tail(0)).last, "b", 1000)).result === "acked");
  for (let i = 0; i < 5; i++) {
    await cluster.primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'chitchat'");
    for (const session of [a, b]) {
      let found;
      await until(() => found.error, async () => (found = await session.check()).status === 0); // it may meet its own end
      assert.match(found.text, new RegExp(`:${cluster.primary.port}\\)`), "never again the old one");
    }
  }
  await primary.kill();
});

withCluster("the disk of the primary is full", { isBig: true, standbys: 1, room: 100 * MIB, settings: { max_wal_size: "32MB", wal_keep_size: "32MB" } }, async (cluster, open) => {
  const a = await open();
  const { primary } = cluster;
  assert.equal((await a.create(1)).error, "");
  let done = 0;
  let answer;
  do {
    answer = await a.fill(0, 1, done, 256 * 1024);
    if (answer.result === "acked") done++;
  } while (answer.result === "acked" && done < 1000);
  assert.ok(done > 10 && done < 1000, JSON.stringify(answer));
  assert.match(answer.result, /^(failed|unknown)$/); // or the server has ended itself, when its own log had no room
  assert.notEqual((await a.append(0, 1, done, `1:${done + 1}`, SHORT_MS)).result, "refused");

  cluster.giveRoom(400 * MIB);
  if (primary.hasEnded) assert.ok(await primary.start(), primary.log);
  await until(() => JSON.stringify(answer), async () => {
    answer = await a.append(0, 1, done, `1:${done + 1}`);
    return answer.result === "acked" || answer.result === "refused";
  });
  assert.ok(answer.result === "acked" || answer.last === done + 1, JSON.stringify(answer));
  assertIs("acked", await a.append(0, 1, done + 1, "next"));
  for (let next = 1; next <= done; ) {
    const { batches, status, error } = await a.read(0, next, 8 * MIB);
    assert.ok(status > 0, error);
    for (const { number, bytes } of batches) if (number <= done) assert.equal(`${number} ${bytes}`, `${next++} ${256 * 1024}`);
  }
  assert.equal((await a.tail(0)).last, done + 2);
});
