// Nodes of a cluster on real PostgreSQL servers, their clients, and what these must find. What a test starts ends with it.
import assert from "node:assert/strict";
import fs from "node:fs";
import { after, before, describe, test } from "node:test";
import { Client } from "./client.mjs";
import { PROGRAMS, PostgresCluster } from "./postgres.mjs";
import { DEADLINE_MS, Server, makeDataDir, removeDataDir, runToEnd, until } from "./server.mjs";
import { Talkers } from "./talkers.mjs";
import { checkHolds, wholeTimeline } from "./traffic.mjs";
import { freePort } from "./port.mjs";

const skip = PROGRAMS === undefined ? "PostgreSQL is not installed" : false;
export const SLOTS = 3;
export const USERS = ["ann", "bob", "carol", "dave", "erin", "frank"];
let made = 0;

export class Cluster {
  name = `test_${++made}`;
  postgres;
  #servers = [];
  #clients = [];
  #dirs = [];
  #talkers = [];

  // content: the options of `cluster init` that say what it begins with.
  constructor(postgres, content = ["--slots", String(SLOTS)]) {
    this.postgres = postgres;
    const { status, stdout, stderr } = this.init(content);
    assert.equal(status, 0, stderr);
    this.made = stdout;
  }

  // run: runToEnd or runBeside.
  init(content, run = runToEnd) {
    return run(["cluster", "init", "--log", this.postgres.uri, "--name", this.name, ...content]);
  }

  // Removes what the logs have: the cluster is not made then.
  empty() {
    return this.sql("DELETE FROM batch; UPDATE slot SET last = 0, generation = 0, hash = DEFAULT");
  }

  // While body() runs, a call that appends to the log of this slot waits.
  async whileHeld(slot, body) {
    const held = this.sql(`SELECT FROM slot WHERE slot = ${slot} FOR UPDATE; SELECT pg_sleep(600)`).catch(() => {}); // it is ended
    try {
      await until("the lock", async () => (await this.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")) === "1");
      await body();
    } finally {
      await this.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
      await held;
    }
  }

  // Until so many appends wait for a log that is held.
  untilWaits(count = 1) {
    return until(`${count} appends that wait`, async () => (await this.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'chitchat'")) === String(count));
  }

  newDir() {
    this.#dirs.push(makeDataDir());
    return this.#dirs.at(-1);
  }

  // uri: of the log servers as this node is to reach them.
  options(node = "node-1", uri = this.postgres.uri) {
    return ["--cluster", uri, "--cluster-name", this.name, "--node", node];
  }

  async start(data, { node, options = [] } = {}) {
    const server = await Server.start({ shards: null, data, options: [...this.options(node), ...options] });
    this.#servers.push(server);
    return server;
  }

  // A node at an address of its own, which the others name to clients, with the path /ws that it gets.
  async startAt(node, isStandby = false, { uri, data = this.newDir(), options = [], env, isTls = false } = {}) {
    const listen = [`127.0.0.1:${await freePort()}`];
    const all = [...this.options(node, uri), "--advertise", `${isTls ? "wss" : "ws"}://${listen[0]}`, ...options];
    const server = Object.assign(await Server.start({ shards: null, data, [isTls ? "listenTls" : "listen"]: listen, isStandby, options: all, env }), { node });
    this.#servers.push(server);
    return server;
  }

  status() {
    const { status, stdout, stderr } = runToEnd(["cluster", "status", "--log", this.postgres.uri, "--name", this.name, "--json"]);
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout);
  }

  // Of nodes by startAt, the one that owns the slots now. On a machine that stands still for 2 s it may change at any time.
  ownerOf(nodes) {
    return nodes.find(({ node }) => node === this.status().owner);
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

  // All users talk on these nodes, whichever serves. suffix: of the names of users, so that others may talk beside them.
  startTalkers(nodes, { suffix = "", users = USERS, ...options } = {}) {
    this.#talkers.push(new Talkers(nodes, users.map((user) => `${user}${suffix}`), options));
    return this.#talkers.at(-1);
  }

  // A statement about the tables of this cluster.
  sql(statement) {
    return this.postgres.primary.sql(`SET search_path TO "chitchat_${this.name}"; ${statement}`);
  }

  async clean() {
    for (const talkers of this.#talkers) talkers.abandon();
    for (const client of this.#clients) client.terminate();
    for (const server of this.#servers) await server.clean();
    this.#dirs.forEach(removeDataDir);
    this.#clients.forEach((client) => client.check());
  }
}

// A group of tests on the same log servers, which are made with `options` of PostgresCluster.start. tests(withCluster) adds
// them: withCluster(name, body) is one with a cluster of its own, and body gets it.
export function onClusters(title, options, tests) {
  describe(title, { skip }, () => {
    let starting;
    before(() => (starting = PostgresCluster.start(options)), { timeout: 8 * DEADLINE_MS });
    // Also if the tests did not wait for them: servers that run would keep the file from ending.
    after(async () => (await starting.catch(() => undefined))?.end());
    tests((name, body) => test(name, { timeout: 8 * DEADLINE_MS }, async () => useCluster(await starting, body)));
  });
}

// A test with log servers of its own, which it may end.
export function withServers(name, options, body) {
  test(name, { skip, timeout: 8 * DEADLINE_MS }, async () => {
    const postgres = await PostgresCluster.start(options);
    if (postgres === undefined) return console.log("# not run: needs the right to mount");
    try {
      await useCluster(postgres, body);
    } finally {
      await postgres.end();
    }
  });
}

async function useCluster(postgres, body) {
  const cluster = new Cluster(postgres);
  try {
    await body(cluster);
  } finally {
    await cluster.clean();
  }
}

// Every user sends `count` messages to each of the others and to themselves. What was acknowledged.
export async function talk(cluster, server, round, count) {
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

// How often this line is in the log of a node; until it is there so often.
export const countOf = (node, event) => node.stderr.split(`event=${event} `).length - 1;
export const untilCount = (node, event, wanted) => until(() => `event=${event} ${wanted} times:\n${node.stderr}`, () => countOf(node, event) >= wanted);

export function untilRun(data) {
  return until("a run", () => fs.readdirSync(`${data}/shard-0001/runs`).some((name) => name.startsWith("run-")), { every: 50 });
}

// All that a client can read of every user.
export async function timelines(cluster, server) {
  const all = {};
  for (const user of USERS) {
    const client = await cluster.login(server, user);
    all[user] = { epoch: client.epoch, entries: await wholeTimeline(client), peers: await client.ok({ op: "peers" }) };
    delete all[user].peers.id;
  }
  return all;
}

export function checkAcknowledged(all, acknowledged) {
  for (const user of USERS) {
    const { entries } = all[user];
    checkHolds(entries.filter((m) => m.from === user), acknowledged.filter((s) => s.from === user), { isSender: true });
    checkHolds(entries.filter((m) => m.to === user && m.from !== user), acknowledged.filter((s) => s.to === user && s.from !== user), { isSender: false });
  }
}
