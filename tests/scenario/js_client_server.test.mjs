// The JavaScript client in node, against the real server: killed, stopped, paused, with a full and with a failing disk,
// rate-limited, restored.
import assert from "node:assert/strict";
import fs from "node:fs";
import { afterEach } from "node:test";
import { MemoryStorage } from "../../src/web/chitchat.js";
import { Disk } from "./lib/disk.mjs";
import { scenario } from "./lib/harness.mjs";
import { CheckedSocket, checkTalk, clockOf, stopTabs, Tab, tabsOf, talk, untilCount } from "./lib/js_talk.mjs";
import { makeKey, makeToken, now } from "./lib/jwt.mjs";
import { LONG, makeDataDir, removeDataDir, SHORT, until, withDataDir } from "./lib/server.mjs";
import { wholeTimeline } from "./lib/traffic.mjs";

const MESSAGES = LONG ? 10000 : SHORT ? 600 : 1200;
const SMALL = ["--memtable-bytes", "4M", "--checkpoint-s", "1"];

afterEach(stopTabs);

// The server again at the same address, with the same data.
const again = (harness, more = {}) => harness.startAgain({ listen: [`127.0.0.1:${harness.server.address.port}`], ...more });

// What happens to the server while people talk. `talked` gives when so much of the talk, 0 to 1, is over.
const troubles = {
  "is killed": async (harness, { talked }) => {
    for (const share of [0.2, 0.4, 0.6]) {
      await talked(share);
      await harness.server.kill();
      await again(harness);
    }
  },
  "is stopped": async (harness, { talked, tabs }) => {
    await talked(0.3);
    await harness.server.stop();
    await until("everybody to wait", () => tabs.every(({ client }) => client.state !== "live"));
    await again(harness);
  },
  // Connections are dead without being closed, and new ones get no answer.
  "is paused": async (harness, { talked, tabs }) => {
    await talked(0.3);
    harness.server.signal("SIGSTOP");
    await until("everybody to give up an attempt", () => tabs.every(({ codes }) => codes.has("timeout")));
    harness.server.signal("SIGCONT");
    assert.ok(tabs.every(({ codes }) => codes.has("dead")));
  },
  // Found at its start: then it has no room for a single message. Later on it may have spare segments for all of them.
  "has a full disk": async (harness, { talked, tabs, disk }) => {
    await talked(0.3);
    await harness.server.kill();
    disk.rules("fail pwrite wal/segment ENOSPC", "fail pwrite,writev runs/run- ENOSPC");
    await again(harness, { options: SMALL, env: disk.env });
    await until("sends that are held", () => tabs.some((tab) => tab.heldCount > 0));
    disk.mend();
  },
  "has a failing disk, and is killed": async (harness, { talked, tabs, disk }) => {
    await talked(0.3);
    disk.rules("fail uring wal/ EIO");
    await until("sends that are held", () => tabs.some((tab) => tab.heldCount > 0));
    disk.mend();
    await harness.server.kill().catch(() => {}); // its log has errors
    await again(harness, { options: SMALL });
  },
  "limits rates, and is killed": async (harness, { talked, tabs }) => {
    await talked(0.2);
    await harness.server.kill();
    await again(harness, { options: ["--send-rate", "50"] });
    await until("sends that are held", () => tabs.some((tab) => tab.heldCount > 0));
    await talked(0.5);
    await harness.server.kill();
    await again(harness);
  },
};

for (const [name, trouble] of Object.entries(troubles)) {
  const needsDisk = name.includes("disk");
  if (needsDisk && SHORT) continue;
  scenario(`six clients of three users talk while the server ${name}: none lost, doubled, reordered`, { shards: [2] }, async (harness) => {
    const disk = new Disk();
    try {
      await harness.start(needsDisk ? { options: SMALL, env: disk.env } : {});
      const users = ["alice", "bob", "carol"];
      const clock = clockOf(10);
      const tabs = await tabsOf(harness.server.url(), ["alice", "alice", "alice", "bob", "bob", "carol"], () => ({ clock }));
      const count = Math.ceil(MESSAGES / tabs.length / users.length);
      const talking = talk(tabs, users, count, needsDisk ? 4000 : 0);
      const talked = (share) => untilCount("outcomes", talking.done, share * talking.count, 2);
      await trouble(harness, { tabs, disk, talked });
      await talking.all;
      await checkTalk(tabs, users, count);
      const reader = await harness.login("alice");
      assert.equal((await wholeTimeline(reader)).length, tabs[0].received.length);
      reader.terminate();
    } finally {
      disk.clean();
    }
  });
}

scenario("six quick sends under --send-rate 2 arrive in the order in which they were written", { shards: [1] }, async (harness) => {
  await harness.start({ options: ["--send-rate", "2"] });
  const [alice] = await tabsOf(harness.server.url(), ["alice"]);
  let held = 0;
  alice.client.on("outbox", ({ item }) => (held += item.status === "held"));
  const texts = ["1", "2", "3", "4", "5", "6"];
  const outcomes = await Promise.all(texts.map((text) => alice.send("bob", text).outcome));
  assert.ok(outcomes.every(({ ok }) => ok));
  assert.deepEqual(alice.received.map(({ text }) => text), texts);
  assert.ok(held > 0, "the server has refused some");
  const bob = await harness.login("bob");
  assert.deepEqual((await wholeTimeline(bob)).map(({ text }) => text), texts);
});

scenario("another data set at the same address: what is stored is void, and the outbox goes there", { shards: [1] }, async (harness) => {
  await harness.start();
  const [alice] = await tabsOf(harness.server.url(), ["alice"], () => ({ clock: clockOf(10) }));
  await alice.send("bob", "in the old data set").outcome;
  await harness.server.kill();
  const waiting = alice.send("bob", "written while there was no server");
  const data = makeDataDir();
  try {
    let resets = 0;
    alice.client.on("reset", () => resets++);
    await again(harness, { data });
    const { ok, ts } = await waiting.outcome;
    assert.deepEqual([ok, resets], [true, 1]);
    await alice.client.stop();
    assert.deepEqual((await alice.storage.entries()).map(({ text }) => text), ["written while there was no server"]);
    assert.equal((await alice.storage.load()).account.cursor, ts);
    await harness.server.stop();
  } finally {
    removeDataDir(data);
  }
});

scenario("a new client goes on where the storage of the one before ended, with its outbox", { shards: [2] }, async (harness) => {
  await harness.start();
  const storage = new MemoryStorage();
  const [alice] = await tabsOf(harness.server.url(), ["alice"], () => ({ storage }));
  await alice.send("bob", "one").outcome;
  await alice.client.stop();
  const bob = await harness.login("bob");
  for (let n = 0; n < 300; n++) await bob.send("alice", `missed ${n}`);
  alice.client.send("bob", "two"); // stored, since the client is stopped
  await until("the item to be stored", async () => (await storage.load()).outbox.length === 1);
  const [next] = await tabsOf(harness.server.url(), ["alice"], () => ({ storage }));
  await until("the outbox to be sent", () => next.client.outbox.length === 0);
  assert.deepEqual(next.received.map(({ text }) => text), [...Array.from({ length: 300 }, (_, n) => `missed ${n}`), "two"]);
  const pages = [];
  for await (const { messages } of next.client.history({ with: "bob", limit: 100 })) pages.unshift(...messages);
  assert.deepEqual(pages.map(({ text }) => text), ["one", ...next.received.map(({ text }) => text)]);
  await next.client.stop();
});

scenario("tokens are extended while connected, and asked for anew when the server has other keys", { shards: [1] }, async (harness) => {
  await withDataDir(async (dir) => {
    const keys = [makeKey("HS256"), makeKey("HS256")];
    const start = (key) => {
      fs.writeFileSync(`${dir}/secrets`, `${key.secret}\n`, { mode: 0o600 });
      return { options: ["--auth", "token", "--token-secrets", `${dir}/secrets`] };
    };
    await harness.start(start(keys[0]));
    const seen = { asked: 0, sockets: 0, logins: 0, key: keys[0] };
    class Counted extends CheckedSocket {
      constructor(...of) {
        super(...of);
        seen.sockets++;
      }
    }
    const token = () => {
      seen.asked++;
      return makeToken(seen.key, { sub: "alice", exp: now() + 3 });
    };
    const { client } = new Tab(harness.server.url(), undefined, { WebSocket: Counted, token });
    client.on("login", () => seen.logins++);
    await client.start();
    await until("two extensions", () => seen.asked >= 3);
    assert.deepEqual([client.user, client.login.auth], ["alice", "token"]);
    assert.ok((await client.send("bob", "x").outcome).ok);
    assert.deepEqual([seen.sockets, seen.logins, client.state], [1, 1, "live"]);
    seen.key = keys[1];
    await harness.server.kill();
    await again(harness, start(keys[1]));
    await until("a login with another key", () => seen.logins >= 2);
    assert.ok((await client.send("bob", "y").outcome).ok);
    assert.ok(seen.sockets >= 2);
  });
});
