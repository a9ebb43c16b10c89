// Data directories of other format versions: older ones are opened, newer ones are refused.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Harness } from "./lib/harness.mjs";
import { unpack } from "./lib/format_text.mjs";
import { treeOf, verified } from "./lib/offline.mjs";
import { runToEnd, withDataDir } from "./lib/server.mjs";

const OLDER = [1, 2];
const textOf = (format) => fs.readFileSync(path.join(import.meta.dirname, `formats/data-format-${format}.txt`), "utf8");
const metaOf = (data) => fs.readFileSync(path.join(data, "META"), "utf8");
// As the version that made the first of them wrote it.
const asFirst = (dump) => dump.replaceAll(/,"other_ts":\d+/g, "");
const dumpOf = (data) => asFirst(runToEnd(["dump", "--data", data]).stdout);

const withFormat = (format, body) =>
  withDataDir((dir) => {
    const data = path.join(dir, "data");
    return body(data, asFirst(unpack(textOf(format), data)), dir);
  });

for (const format of OLDER) {
  test(`a directory of format ${format} is verified and dumped without a change`, () =>
    withFormat(format, (data, expected) => {
      const before = treeOf(data);
      const counts = verified(data);
      assert.deepEqual([counts.shards, counts.users, counts.entries, counts.runs], [2, 3, 30, 2]);
      assert.ok(counts.records > 0, "the WAL has some of it");
      assert.equal(dumpOf(data), expected);
      assert.deepEqual(treeOf(data), before);
    }));

  test(`a server opens a directory of format ${format}, raises its format, and serves every message, cursor and key of it`, () =>
    withFormat(format, async (data, expected) => {
      const harness = new Harness(2);
      const timeline = expected.split("\n").filter(Boolean).map(JSON.parse).filter((entry) => entry.user === "alice");
      try {
        await harness.start({ data, shards: null });
        assert.match(metaOf(data), /^chitchat-data 3\nversion \d+\.\d+\.\d+\nshards 2\n/);
        const epoch = /^epoch (\w+)$/m.exec(metaOf(data))[1];
        const cursor = timeline[2].ts;
        const alice = await harness.login("alice", { after: cursor, epoch });
        assert.equal(alice.login.reset, undefined);
        await alice.untilLive();
        const replayed = alice.messages.slice();
        assert.deepEqual(replayed.map(({ ts, mid, text }) => [ts, mid, text]), timeline.slice(3).map(({ ts, mid, text }) => [ts, mid, text]));
        assert.equal(replayed[0].prev, cursor);
        for (const sent of timeline.filter((entry) => entry.key)) {
          const dup = await alice.ok({ op: "send", to: sent.to, text: sent.text, key: sent.key });
          assert.deepEqual([dup.dup, dup.ts, dup.mid], [true, sent.ts, sent.mid]);
        }
        // The runs of that format have no index by peer, or an older one.
        const { peers } = await alice.ok({ op: "peers" });
        const withPeer = (user) => timeline.filter(({ from, to }) => (from === "alice" ? to : from) === user);
        assert.deepEqual(peers.map(({ user }) => user).sort(), [...new Set(timeline.map(({ from, to }) => (from === "alice" ? to : from)))].sort());
        for (const { user, last, unseen } of peers) {
          const { messages } = await alice.history({ with: user });
          assert.deepEqual(messages.map(({ ts, mid, text }) => [ts, mid, text]), withPeer(user).map(({ ts, mid, text }) => [ts, mid, text]));
          assert.deepEqual([last, unseen], [messages.at(-1), user === "alice" ? 0 : messages.filter(({ from }) => from === user).length]);
        }
        const fresh = await alice.send("bob", "after the upgrade");
        assert.equal(fresh.prev, timeline.at(-1).ts);
        harness.checkClients();
        await harness.server.stop();
        assert.equal(verified(data).entries, 32);
        const lines = new Set(dumpOf(data).split("\n"));
        for (const line of expected.split("\n").filter(Boolean)) assert.ok(lines.has(line), line);
      } finally {
        await harness.clean();
      }
    }));

  test(`backup and restore leave a directory of format ${format} as it is, and what they make has the format that they write`, () =>
    withFormat(format, (data, expected, dir) => {
      const before = metaOf(data);
      for (const args of [["backup", "--data", data, "--to", path.join(dir, "b")], ["restore", "--from", path.join(dir, "b"), "--data", path.join(dir, "r")]]) {
        const end = runToEnd(args);
        assert.equal(end.status, 0, end.stderr);
      }
      assert.equal(metaOf(data), before);
      const backup = fs.readdirSync(path.join(dir, "b")).find((name) => name.startsWith("backup-"));
      assert.match(fs.readFileSync(path.join(dir, "b", backup, "BACKUP"), "utf8"), /^[^\n]+\nchitchat-data 3\nversion \d+\.\d+\.\d+\nshards 2\n/);
      assert.match(metaOf(path.join(dir, "r")), /^chitchat-data 3\nversion \d+\.\d+\.\d+\nshards 2\n/);
      verified(path.join(dir, "r"));
      assert.equal(dumpOf(path.join(dir, "r")), expected);
    }));
}

test("a directory of a newer format is refused by each command with the version that reads it, and not changed", () =>
  withFormat(1, async (data, expected, dir) => {
    fs.writeFileSync(path.join(data, "META"), "chitchat-data 99\nversion 8.1.0\nwhat is not known yet\n");
    const before = treeOf(data);
    for (const args of [["serve", "--listen", "127.0.0.1:0"], ["verify"], ["dump"], ["backup", "--to", path.join(dir, "b")]]) {
      const end = runToEnd([args[0], "--data", data, ...args.slice(1)]);
      assert.equal(end.status === 1 || end.status === 2, true, args[0]);
      assert.match(end.stderr, /has data format 99 of chitchat 8\.1\.0, and this chitchat reads the formats 1 to \d+: start chitchat 8\.1\.0 or a later one/);
      assert.equal(end.stdout, "");
    }
    assert.deepEqual(treeOf(data), before);
    assert.deepEqual(fs.readdirSync(dir), ["data"]);
    const own = /^chitchat (\S+)\n$/.exec(runToEnd(["--version"]).stdout)[1];
    fs.writeFileSync(path.join(data, "META"), `chitchat-data 99\nversion ${own}\n`);
    assert.ok(runToEnd(["verify", "--data", data]).stderr.includes(`: start a newer build of chitchat ${own}, or `), "no program is sent to itself");
  }));
