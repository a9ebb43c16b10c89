// storage/log_engine.h with real PostgreSQL servers: a primary and two standbys.
import assert from "node:assert/strict";
import { test } from "node:test";
import { LogEngine } from "./lib/log_engine.mjs";
import { PROGRAMS, PostgresCluster } from "./lib/postgres.mjs";

const EEXIST = -17;
const ENOENT = -2;
const EPERM = -1;
const ERANGE = -34;
const SLOTS = 4;
const skip = PROGRAMS === undefined ? "PostgreSQL is not installed" : false;

// A test with a cluster of its own, and sessions that end with it.
function withCluster(name, options, body) {
  test(name, { skip }, async () => {
    const cluster = await PostgresCluster.start(options);
    const sessions = [];
    const open = async (more) => {
      sessions.push(await LogEngine.open(cluster.uri, more));
      return sessions.at(-1);
    };
    try {
      await body(cluster, open);
    } finally {
      await Promise.all(sessions.map((session) => session.close()));
      await cluster.end();
    }
  });
}

async function created(open) {
  const session = await open();
  assert.equal((await session.create(SLOTS)).error, "");
  return session;
}

function assertIs(result, answer) {
  assert.equal(answer.result, result, JSON.stringify(answer));
  return answer;
}

// Batches 1 to `count` of `run`, each once, in order.
async function assertHolds(session, slot, count) {
  const { batches, status, error } = await session.read(slot, 1, 1 << 30);
  assert.ok(status >= 0, error);
  batches.slice(0, count).forEach(({ number, text }, i) => assert.equal(`${number} ${text.split(":")[1]}`, `${i + 1} ${i + 1}`));
  assert.ok(batches.length >= count, `${batches.length} batches of ${count}`);
}

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
});
