// Wall clocks that leap, that were wrong once, and that no ts can follow.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { Scrape } from "./lib/metrics.mjs";
import { BIN, DEADLINE_MS, ENVIRONMENT, sleep, until } from "./lib/server.mjs";
import { wholeTimeline } from "./lib/traffic.mjs";
import { SECOND, YEAR, clocked } from "./lib/wall_clock.mjs";

const HOUR = 3600 * SECOND;
const BEYOND = 2 ** 53; // the first number that is no ts
const ADMIN = ["--admin", "127.0.0.1:0"];
const now = () => Date.now() * 1000;

function assertNear(ts, wanted, what) {
  assert.ok(Math.abs(ts - wanted) < HOUR, `${what}: ${ts}, wanted about ${wanted}`);
}

const floorAhead = async (server) => Math.max(...(await Scrape.take(server)).find("chitchat_clock_floor_ahead_seconds").map(({ value }) => value));

clocked("a leap of a year is not followed, and a warning says so; when the clock is back, another one does", async (harness, clock) => {
  const server = await harness.start({ env: clock.env });
  const alice = await harness.login("alice");
  await alice.send("bob", "before");
  for (const [leap, seconds] of [[YEAR, /leap_s=3153\d{4} /], [-YEAR, /leap_s=-3153\d{4} /]]) {
    const seen = server.stderr.length;
    clock.leap(leap);
    const line = () => server.stderr.slice(seen).match(/level=warn event=clock_leap .*/g)?.at(-1);
    if (leap > 0) assert.match(await until("the warning", line), seconds); // lines come once in a while only
    for (let n = 0; n < 20; n++) assertNear((await alice.send("bob", `${n}`, { key: `${leap} ${n}` })).ts, now(), "a send while the clock is wrong");
    clock.leap(0);
    if (leap > 0) await server.logLine("clock_returned");
  }
  assertNear((await alice.send("bob", "after")).ts, now(), "a send when the clock is back");
  const bob = await harness.login("bob", { after: 0 });
  await bob.untilMessages(42);
  assertNear(bob.cursor, now(), "the recipient's entries");
  assert.equal(server.stderr.includes("event=clock_followed"), false);
  await harness.end();
});

clocked("a leap that lasts --clock-follow-s is followed, and what comes after the clock is back is an order", async (harness, clock) => {
  const server = await harness.start({ env: clock.env, options: ["--clock-follow-s", "1", ...ADMIN] });
  const alice = await harness.login("alice");
  clock.leap(YEAR);
  await server.logLine("clock_leap");
  // Each shard sees the leap at a time of its own.
  const followed = (times) => until(`each shard to have followed ${times} times`, () => server.stderr.match(/event=clock_followed /g)?.length === times * harness.shards);
  await followed(1);
  assertNear((await alice.send("alice", "ahead")).ts, now() + YEAR, "a send after the leap was followed");
  clock.leap(0);
  await followed(2);
  let last = (await wholeTimeline(alice)).at(-1).ts;
  for (let n = 0; n < 20; n++) {
    const { ts } = await alice.send("alice", `${n}`);
    assert.equal(ts, last + 1, "an order, not the time");
    last = ts;
  }
  await until("the floor in the metrics", async () => (await floorAhead(server)) * SECOND > YEAR / 2);
  await harness.end();
});

clocked("a clock that was a year ahead at a start: the next start and /metrics say for how long stamps are not the time", async (harness, clock) => {
  clock.leap(YEAR);
  await harness.start({ env: clock.env, options: ADMIN });
  assert.equal(await floorAhead(harness.server), 0);
  const alice = await harness.login("alice");
  const sent = await alice.send("alice", "a year ahead", { key: "k" });
  assertNear(sent.ts, now() + YEAR, "a start believes the clock");
  await harness.server.kill();
  clock.leap(0);
  const server = await harness.startAgain({ env: clock.env, options: ADMIN });
  const lines = server.stderr.match(/.*event=ts_ahead .*/g);
  assert.equal(lines?.length, 1, "of alice's shard alone");
  const [, seconds] = /level=warn event=ts_ahead shard=\d+ ahead_s=(\d+) hint="/.exec(lines[0]);
  assertNear(Number(seconds) * SECOND, YEAR, "ahead_s");
  await until("the floor in the metrics", async () => Math.abs((await floorAhead(server)) * SECOND - YEAR) < HOUR);
  const again = await harness.login("alice", { after: 0 });
  await again.untilLive();
  assert.deepEqual((({ ts, dup }) => [ts, dup])(await again.send("alice", "a year ahead", { key: "k" })), [sent.ts, true]);
  assert.equal((await again.send("alice", "next")).ts, sent.ts + 1);
  await server.kill();
  clock.leap(YEAR);
  await harness.startAgain({ env: clock.env, options: ADMIN });
  assert.equal(harness.server.stderr.includes("event=ts_ahead"), false, "the clock has come to the floor");
  await harness.end();
});

clocked("a start names a floor that is ahead by less than what counts as a leap, too", async (harness, clock) => {
  const options = ["--clock-leap-s", "86400"];
  clock.leap(HOUR);
  await harness.start({ env: clock.env, options });
  await (await harness.login("alice")).send("alice", "an hour ahead");
  await harness.server.kill();
  clock.leap(0);
  const server = await harness.startAgain({ env: clock.env, options });
  const [, seconds] = /event=ts_ahead shard=\d+ ahead_s=(\d+) /.exec(server.stderr) ?? assert.fail(server.stderr);
  assert.ok(Number(seconds) <= 3600 && Number(seconds) > 0, seconds);
  await harness.end();
}, { shards: [1] });

clocked("a key keeps its protection when the clock is a year ahead after a start, from the WAL and from a run", async (harness, clock) => {
  const resent = { op: "send", to: "bob", text: "once", key: "the key" };
  await harness.start({ env: clock.env });
  const sent = await (await harness.login("alice")).ok(resent);
  for (const end of ["kill", "stop"]) {
    await harness.server[end]();
    clock.leap(YEAR);
    await harness.startAgain({ env: clock.env });
    const alice = await harness.login("alice");
    const dup = await alice.ok(resent);
    assert.deepEqual([dup.dup, dup.ts, dup.mid], [true, sent.ts, sent.mid], end);
    await alice.error({ ...resent, text: "another text" }, "key_conflict");
    assert.deepEqual((await wholeTimeline(alice)).map(({ text }) => text), ["once"], end);
  }
  assert.deepEqual((await wholeTimeline(await harness.login("bob"))).map(({ text }) => text), ["once"]);
  await harness.end();
});

clocked("a clock beyond every ts is refused at a start with a line, and never followed by a server that runs", async (harness, clock) => {
  const server = await harness.start({ env: clock.env, options: ["--clock-follow-s", "1"] });
  const alice = await harness.login("alice");
  clock.leap(BEYOND);
  assert.match(await server.logLine("clock_leap"), /level=warn /);
  await sleep(2500);
  assertNear((await alice.send("alice", "goes on")).ts, now(), "a send with such a clock");
  assert.equal(server.stderr.includes("event=clock_followed"), false);
  await harness.server.stop();
  const args = ["serve", "--listen", "127.0.0.1:0", "--data", server.data, "--wal-segment-bytes", "4M"];
  const end = spawnSync(BIN, args, { encoding: "utf8", env: { ...ENVIRONMENT, ...clock.env }, timeout: DEADLINE_MS });
  assert.deepEqual([end.status, end.signal], [1, null], end.stderr);
  assert.match(end.stderr, /^chitchat: the system's clock says \d+ s since 1970, and no ts can be above 9007199254 s \(the year 2255\): set the clock and start again$/m);
  clock.leap(0);
  await harness.startAgain({ env: clock.env });
  const again = await harness.login("alice", { after: 0 });
  await again.untilMessages(1);
  await harness.end();
});
