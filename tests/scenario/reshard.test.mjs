// `chitchat reshard`: the same data on another number of shards.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { scenario } from "./lib/harness.mjs";
import { trouble } from "./lib/disk.mjs";
import { SMALL, USERS, checkBothSides, dump, fill, filesOf, flipText, treeOf, untilRuns, verified } from "./lib/offline.mjs";
import { BIN, Server, removeDataDir, runToEnd, scaled, until, withDataDir } from "./lib/server.mjs";
import { wholeTimeline } from "./lib/traffic.mjs";

const reshard = (from, to, shards) => runToEnd(["reshard", "--from", from, "--to", to, "--shards", String(shards)]);
const metaOf = (data) => fs.readFileSync(path.join(data, "META"), "utf8");
const dumpText = (data) => runToEnd(["dump", "--data", data]).stdout;

// A client that has read to its cursor, in the middle of its timeline, comes to the server of the new directory.
async function resume(harness, server, user, timeline) {
  const at = Math.floor(timeline.length / 2);
  const client = await harness.client({ server });
  await client.loginAs(user, { after: timeline[at].ts, epoch: harness.epoch });
  await client.untilLive();
  assert.equal(client.login.reset, undefined, "the cursor is valid");
  assert.equal(client.login.last, timeline.at(-1).ts);
  const missed = timeline.slice(at + 1);
  assert.deepEqual(client.messages.map(({ ts, mid, text }) => [ts, mid, text]), missed.map(({ ts, mid, text }) => [ts, mid, text]));
  assert.deepEqual(client.messages.map(({ prev }) => prev), timeline.slice(at, -1).map(({ ts }) => ts));
  return client;
}

scenario("after a reshard clients go on with their cursors and keys: nothing is lost, twice or in another order", { shards: [1, 4] }, async (harness) => {
  await harness.start({ options: SMALL });
  const sent = await fill(harness, scaled(900), { tag: "old", pad: 100 });
  await untilRuns(harness);
  sent.push(...(await fill(harness, 60, { tag: "late" })));
  const timelines = {};
  for (const user of USERS) {
    const client = await harness.login(user);
    timelines[user] = await wholeTimeline(client);
    harness.epoch = client.epoch;
  }
  await harness.server.kill();
  const data = harness.server.data;
  const before = treeOf(data);
  const text = dumpText(data);
  await withDataDir(async (dir) => {
    for (const shards of [1, 3, 8]) {
      const to = path.join(dir, `${shards}`);
      const end = reshard(data, to, shards);
      assert.equal(end.status, 0, end.stderr);
      assert.match(end.stdout, new RegExp(`^resharded ${to}: ${shards} shards instead of ${harness.shards}, ${text.split("\n").length - 1} entries, `));
      assert.match(end.stderr, /^(reshard: \d+ of about \d+ entries written\n)+$/);
      assert.deepEqual(treeOf(data), before, "the source is as it was");
      assert.equal(dumpText(to), text);
      assert.equal(verified(to).shards, shards);
      assert.ok(!fs.existsSync(path.join(to, "UNFINISHED")));
    }
    const to = path.join(dir, "3");
    const server = await Server.start({ data: to, shards: null, options: SMALL });
    try {
      for (const user of USERS) {
        const client = await resume(harness, server, user, timelines[user]);
        const keyed = sent.filter((one) => one.from === user && one.key).at(-1);
        const dup = await client.ok({ op: "send", to: keyed.to, text: keyed.text, key: keyed.key });
        assert.deepEqual([dup.dup, dup.ts, dup.mid], [true, keyed.ts, keyed.mid]);
        const fresh = await client.send("alice", `from ${user}`);
        sent.push({ ...fresh, from: user, to: "alice", text: `from ${user}`, key: undefined });
      }
      harness.checkClients();
      await server.stop();
      verified(to);
      checkBothSides(dump(to), sent);
      // And back to the old number.
      assert.equal(reshard(to, path.join(dir, "back"), harness.shards).status, 0);
      verified(path.join(dir, "back"));
      checkBothSides(dump(path.join(dir, "back")), sent);
    } finally {
      await server.clean();
    }
  });
});

scenario("what cannot be resharded is refused with what to do, and nothing is made", { shards: [2] }, async (harness) => {
  await harness.start({ options: SMALL });
  await fill(harness, 120, { pad: 300 });
  await untilRuns(harness);
  const data = harness.server.data;
  await withDataDir(async (dir) => {
    const to = path.join(dir, "to");
    const refused = (end, status, word) => {
      assert.equal(end.status, status, `${end.stdout}${end.stderr}`);
      assert.match(end.stderr, word);
      assert.equal(end.stdout, "");
      assert.ok(!fs.existsSync(to));
    };
    refused(reshard(data, to, 3), 2, /is in use by a running chitchat/);
    refused(reshard(path.join(dir, "none"), to, 3), 2, /cannot open .*No such file/);
    refused(reshard(data, to, 65), 2, /--shards 65: must be a whole number from 1 to 64/);
    refused(runToEnd(["reshard", "--from", data, "--to", to]), 2, /reshard needs --shards N/);
    refused(runToEnd(["reshard", "--from", data, "--shards", "2"]), 2, /reshard needs --to DIR2/);
    // A backup of the running server gets a new epoch: clients may have seen later messages.
    const backups = path.join(dir, "b");
    assert.equal(runToEnd(["backup", "--data", data, "--to", backups]).status, 0);
    const moved = path.join(dir, "moved");
    assert.equal(reshard(backups, moved, 3).status, 0);
    verified(moved);
    const epoch = (text) => /^epoch (\w+)$/m.exec(text)[1];
    assert.notEqual(epoch(metaOf(moved)), epoch(metaOf(data)));
    await harness.server.stop();
    assert.match(reshard(data, moved, 3).stderr, /moved is not empty/);
    verified(moved);
    // Damage is found, and not given a new checksum.
    const file = filesOf(data, /run-\d+\.mdb$/).sort((a, b) => fs.statSync(b).size - fs.statSync(a).size)[0];
    const content = fs.readFileSync(file);
    flipText(file, "xxxxxxxxxxxxxxxx");
    refused(reshard(data, to, 3), 1, /run-\d+\.mdb: its rows do not have the checksum .*nothing was made/);
    fs.writeFileSync(file, content);
    fs.mkdirSync(to);
    flipText(file, "xxxxxxxxxxxxxxxx");
    assert.equal(reshard(data, to, 3).status, 1);
    assert.deepEqual(fs.readdirSync(to), [], "an empty directory stays one");
    fs.writeFileSync(file, content);
    assert.equal(reshard(data, to, 3).status, 0);
    verified(to);
  });
});

trouble(
  "a reshard that is killed or finds no room leaves the source as it was, and nothing that a server opens",
  (harness, disk) =>
    withDataDir(async (dir) => {
      await harness.start({ options: SMALL });
      await fill(harness, 120, { pad: 2000 });
      await harness.server.stop();
      const data = harness.server.data;
      const before = treeOf(data);
      const args = (to) => ["reshard", "--from", data, "--to", to, "--shards", "2"];
      const env = { ...process.env, ...disk.env };
      const killed = path.join(dir, "killed");
      // Only what is made is written to. All users may be on one of its shards: the other has no run then.
      for (const file of ["/runs/run-", "/shard-0001/runs/manifest", "/META"]) {
        disk.rules(`wait pwrite,fdatasync,fsync ${file}`);
        const child = spawn(BIN, args(killed), { stdio: "ignore", env });
        await until(`a wait at ${file}`, () => filesOf(dir, /./).some((name) => name.startsWith(killed) && name.includes(file)) && /nanosleep|wait/.test(fs.readFileSync(`/proc/${child.pid}/wchan`, "utf8")), { every: 5 });
        child.kill("SIGKILL");
        await once(child, "close");
        assert.ok(!fs.existsSync(path.join(killed, "META")), file);
        for (const command of [["serve", "--listen", "127.0.0.1:0"], ["verify"], ["dump"]])
          assert.match(runToEnd([command[0], "--data", killed, ...command.slice(1)]).stderr, /killed is not finished: a reshard or an import into it was interrupted: remove it/);
        assert.match(runToEnd(args(killed)).stderr, /killed is not empty/);
        assert.deepEqual(treeOf(data), before);
        removeDataDir(killed);
      }
      const full = path.join(dir, "full");
      for (const file of ["/UNFINISHED", "/runs/run-", "/shard-0001/runs/manifest", "/META"]) {
        disk.rules(`fail pwrite,write,writev ${file} ENOSPC`);
        const end = spawnSync(BIN, args(full), { encoding: "utf8", env });
        assert.equal(end.status, 1, `${file}: ${end.stdout}${end.stderr}`);
        assert.match(end.stderr, /No space left on device.*make room on (that|its) disk/, file);
        assert.ok(!fs.existsSync(full), file);
      }
      assert.deepEqual(treeOf(data), before);
      assert.equal(runToEnd(args(full)).status, 0);
      verified(full);
    }),
  { shards: [1] },
);
