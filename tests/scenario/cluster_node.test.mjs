// A server whose log is in PostgreSQL (--cluster): one node that owns all slots. Each test has a cluster of its own in the
// same three PostgreSQL servers.
import assert from "node:assert/strict";
import fs from "node:fs";
import { after, before, describe, test } from "node:test";
import { Client } from "./lib/client.mjs";
import { PROGRAMS, PostgresCluster } from "./lib/postgres.mjs";
import { DEADLINE_MS, Server, makeDataDir, removeDataDir, runToEnd, scaled, until } from "./lib/server.mjs";
import { checkHolds, pump, wholeTimeline } from "./lib/traffic.mjs";
import { freePort } from "./lib/port.mjs";

const skip = PROGRAMS === undefined ? "PostgreSQL is not installed" : false;
const SLOTS = 3;
const USERS = ["ann", "bob", "carol", "dave", "erin", "frank"];
let postgres;
let made = 0;

// A cluster, its servers and clients, for one test.
class Cluster {
  name = `test_${++made}`;
  #servers = [];
  #clients = [];
  #dirs = [];

  constructor() {
    const { status, stderr } = runToEnd(["cluster", "init", "--log", postgres.uri, "--name", this.name, "--slots", String(SLOTS)]);
    assert.equal(status, 0, stderr);
  }

  newDir() {
    this.#dirs.push(makeDataDir());
    return this.#dirs.at(-1);
  }

  options(node = "node-1") {
    return ["--cluster", postgres.uri, "--cluster-name", this.name, "--node", node];
  }

  async start(data, { node, options = [] } = {}) {
    const server = await Server.start({ shards: null, data, options: [...this.options(node), ...options] });
    this.#servers.push(server);
    return server;
  }

  // A node at an address of its own, which the others name to clients.
  async startAt(node, isStandby = false) {
    const listen = [`127.0.0.1:${await freePort()}`];
    const options = [...this.options(node), "--advertise", `ws://${listen[0]}/ws`];
    const server = await Server.start({ shards: null, data: this.newDir(), listen, isStandby, options });
    this.#servers.push(server);
    return server;
  }

  status() {
    const { status, stdout, stderr } = runToEnd(["cluster", "status", "--log", postgres.uri, "--name", this.name, "--json"]);
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout);
  }

  // Why a server does not start.
  refusal(data, node = "node-1") {
    const { status, stderr } = runToEnd(["serve", "--listen", "127.0.0.1:0", "--data", data, ...this.options(node)]);
    assert.equal(status, 1, stderr);
    return stderr;
  }

  async login(server, user, fields) {
    const client = await Client.open(server);
    this.#clients.push(client);
    await client.loginAs(user, fields);
    return client;
  }

  // A statement about the tables of this cluster: $log and $slot stand for their names.
  sql(statement) {
    return postgres.primary.sql(`SET search_path TO "chitchat_${this.name}"; ${statement}`);
  }

  async clean() {
    for (const client of this.#clients) client.terminate();
    for (const server of this.#servers) await server.clean();
    this.#dirs.forEach(removeDataDir);
    this.#clients.forEach((client) => client.check());
  }
}

function withCluster(name, body) {
  test(name, { timeout: 8 * DEADLINE_MS }, async () => {
    const cluster = new Cluster();
    try {
      await body(cluster);
    } finally {
      await cluster.clean();
    }
  });
}

// Every user sends `count` messages to each of the others and to themselves. What was acknowledged.
async function talk(cluster, server, round, count) {
  const clients = await Promise.all(USERS.map((user) => cluster.login(server, user)));
  const lists = await Promise.all(
    clients.map(async (client, index) => {
      const sent = [];
      for (let n = 0; n < count; n++)
        for (const to of USERS) {
          const fields = { to, text: `${round}/${client.user}/${to}/${n}`, key: `${round}/${n}/${to}` };
          sent.push({ from: USERS[index], ...fields, ...(await client.send(to, fields.text, { key: fields.key })) });
        }
      return sent;
    }),
  );
  // Six users may all be of two slots; with these no slot is without a user.
  for (let n = 0; n < 40; n++) await clients[0].send(`other-${n}`, `${round}`);
  await clients[1].ok({ op: "seen", with: USERS[0], ts: clients[1].cursor });
  return lists.flat();
}

function untilRun(data) {
  return until("a run", () => fs.readdirSync(`${data}/shard-0001/runs`).some((name) => name.startsWith("run-")), { every: 50 });
}

// All that a client can read of every user.
async function timelines(cluster, server) {
  const all = {};
  for (const user of USERS) {
    const client = await cluster.login(server, user);
    all[user] = { epoch: client.epoch, entries: await wholeTimeline(client), peers: await client.ok({ op: "peers" }) };
    delete all[user].peers.id;
  }
  return all;
}

function checkAcknowledged(all, acknowledged) {
  for (const user of USERS) {
    const { entries } = all[user];
    checkHolds(entries.filter((m) => m.from === user), acknowledged.filter((s) => s.from === user), { isSender: true });
    checkHolds(entries.filter((m) => m.to === user && m.from !== user), acknowledged.filter((s) => s.to === user && s.from !== user), { isSender: false });
  }
}

describe("a node of a cluster", { skip }, () => {
  before(async () => (postgres = await PostgresCluster.start()), { timeout: DEADLINE_MS });
  after(() => postgres?.end());

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
    const other = new Cluster();
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
    assert.match(cluster.refusal(cluster.newDir()), /slot 2: the log has a damaged batch, at batch 1: the slot is not served/);
    await (await cluster.start(data)).stop(); // which has that batch in its runs
  });

  withCluster("while the log does not answer, sends get busy; then all goes on, and nothing is lost or doubled", async (cluster) => {
    const server = await cluster.start(cluster.newDir());
    const ann = await cluster.login(server, "ann");
    const replies = [await ann.request({ op: "send", to: "bob", text: "0" })];
    postgres.primary.pause();
    try {
      await until("busy", () => {
        const n = String(replies.length);
        replies.push(ann.request({ op: "send", to: "bob", text: n, key: n }).then((reply) => Object.assign(reply, { text: n })));
        void replies.at(-1).then((reply) => (replies.isBusy ||= reply.code === "busy"));
        return replies.isBusy;
      }, { every: 50 });
      assert.match(await server.logLine("log_unsure"), /sends are not answered/);
    } finally {
      postgres.primary.resume();
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
