// `chitchat dump`: every entry of every timeline as a line of JSON.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import { once } from "node:events";
import { scenario } from "./lib/harness.mjs";
import { SMALL, checkBothSides, dump, fill, treeOf, untilRuns } from "./lib/offline.mjs";
import { BIN, scaled } from "./lib/server.mjs";
import { wholeTimeline } from "./lib/traffic.mjs";

const STRANGE = ["", "quote \" and \\ back", "line\nfeed\ttab \u0001\u001f", "ünïcödé 💬 \u2028", "</script>", "x".repeat(16384), "\u0000nul"];

scenario("a dump has every message in both timelines as the server gives it, by user and then by ts", {}, async (harness) => {
  await harness.start({ options: SMALL });
  const sent = await fill(harness, scaled(900), { pad: 100 });
  await untilRuns(harness);
  const alice = await harness.login("alice");
  const bob = await harness.login("bob");
  const strange = [];
  for (const text of STRANGE) {
    const reply = await alice.request({ op: "send", to: "bob", text, key: `key ${strange.length}` });
    if (reply.op === "ok") strange.push({ from: "alice", to: "bob", text, key: `key ${strange.length}`, ts: reply.ts, mid: reply.mid });
  }
  assert.ok(strange.length >= 5);
  const timelines = { alice: await wholeTimeline(alice), bob: await wholeTimeline(bob) };
  await harness.server.kill();
  const before = treeOf(harness.server.data);
  const entries = dump(harness.server.data);
  assert.deepEqual(treeOf(harness.server.data), before, "dump changes nothing");
  checkBothSides(entries, [...sent, ...strange]);
  for (const entry of entries) {
    const names = ["user", "ts", ...(entry.from === entry.to ? [] : ["other_ts"]), "mid", "from", "to", "text", ...(entry.key === undefined ? [] : ["key"])];
    assert.deepEqual(Object.keys(entry), names);
    assert.ok(entry.key === undefined || entry.user === entry.from, "the recipient never gets a key");
  }
  const order = (a, b) => Buffer.compare(Buffer.from(a.user), Buffer.from(b.user)) || a.ts - b.ts;
  for (let i = 1; i < entries.length; i++) assert.ok(order(entries[i - 1], entries[i]) < 0);
  for (const [user, timeline] of Object.entries(timelines)) {
    const own = dump(harness.server.data, ["--user", user]);
    assert.deepEqual(own, entries.filter((entry) => entry.user === user));
    assert.deepEqual(own.map((entry) => [entry.ts, entry.mid, entry.text]), timeline.map((entry) => [entry.ts, entry.mid, entry.text]));
  }
  assert.deepEqual(dump(harness.server.data, ["--user", "nobody"]), []);
  assert.deepEqual(dump(harness.server.data, ["--user", "ali"]), [], "a prefix is another user");
});

scenario("a reader that has enough ends the dump silently; a full disk and a closed stdout are reported", { shards: [2] }, async (harness) => {
  await harness.start({ options: SMALL });
  await fill(harness, 900, { pad: 300 });
  await harness.server.stop();
  const data = harness.server.data;
  const child = spawn(BIN, ["dump", "--data", data], { stdio: ["ignore", "pipe", "pipe"] });
  let stderr = "";
  child.stderr.on("data", (text) => (stderr += text));
  child.stdout.once("data", () => child.stdout.destroy());
  assert.deepEqual(await once(child, "close"), [0, null]);
  assert.equal(stderr, "");
  for (const [redirect, word] of [["> /dev/full", /No space left/], [">&-", /Bad file descriptor/]]) {
    const end = spawnSync("/bin/sh", ["-c", `"$0" dump --data "$1" ${redirect}`, BIN, data], { encoding: "utf8" });
    assert.equal(end.status, 1);
    assert.match(end.stderr, /^chitchat: stdout cannot be written: [^\n]*\n$/);
    assert.match(end.stderr, word);
  }
});

scenario("a damaged store is not dumped as if it were whole", { shards: [2] }, async (harness) => {
  await harness.start({ options: SMALL });
  await fill(harness, 60);
  await harness.server.kill();
  const log = fs.readdirSync(harness.server.data, { recursive: true }).map((name) => `${harness.server.data}/${name}`).find((name) => name.endsWith(".wal") && fs.readFileSync(name).includes("m/alice/bob/1"));
  const bytes = fs.readFileSync(log);
  bytes[30] ^= 1;
  fs.writeFileSync(log, bytes);
  const end = spawnSync(BIN, ["dump", "--data", harness.server.data], { encoding: "utf8" });
  assert.equal(end.status, 1);
  assert.equal(end.stdout, "");
  assert.match(end.stderr, /segment-\d+\.wal at offset 0: its header is damaged/);
});
