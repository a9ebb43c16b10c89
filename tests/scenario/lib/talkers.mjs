// Users who talk to each other on the nodes of a cluster, whichever of them serves, and a ledger of all that they sent and saw
// (tests/crash/model.mjs). A send without an answer is repeated with its key until it has one.
import assert from "node:assert/strict";
import { Model } from "../../crash/model.mjs";
import { Client } from "./client.mjs";
import { sleep, until } from "./server.mjs";
import { wholeTimeline } from "./traffic.mjs";

const AGAIN_MS = 40; // before a connection is tried again
const PAUSE_MS = 8; // between two sends, so that a test is no load
export const WINDOW = 2; // sends of a user without an answer
const ANSWER_MS = 1000; // then another node is tried

// Resolves to undefined when the time is over.
function atMost(ms, promise) {
  let timer;
  return Promise.race([promise, new Promise((resolve) => (timer = setTimeout(resolve, ms)))]).finally(() => clearTimeout(timer));
}

export class Talkers {
  model = new Model();
  closes = []; // { user, code, reason }
  #nodes;
  #users;
  #talks = [];
  #open = new Map(); // user -> the client that is logged in
  #cursors = new Map();
  #made = 0;
  #isEnding = false;
  #isAbandoned = false;
  #patienceMs;
  #error;
  epoch;

  // nodes: of lib/server.mjs; who serves is found out. patienceMs: a client that has had no answer for so long goes to
  // another node; without it a client waits for the end of its connection.
  constructor(nodes, users, { patienceMs = Infinity } = {}) {
    this.#nodes = nodes;
    this.#users = users;
    this.#patienceMs = patienceMs;
    this.#talks = users.map((user, index) => this.#talk(user, index));
    for (const talk of this.#talks) talk.catch((error) => (this.#error ??= error)); // thrown by the next wait
  }

  // -- one user --

  async #talk(user, index) {
    for (let tries = index; !this.#isAbandoned && (!this.#isEnding || this.model.unknown(user).length > 0); tries++) {
      const client = await this.#connect(user, this.#nodes[tries % this.#nodes.length]);
      if (client === undefined) await sleep(AGAIN_MS);
      else await this.#talkOn(client);
    }
  }

  async #connect(user, node) {
    let client;
    try {
      client = await Client.open(node, { socket: { handshakeTimeout: ANSWER_MS } });
      const cursor = this.#cursors.get(user);
      const fields = cursor === undefined ? {} : { after: cursor, epoch: this.epoch };
      const reply = (await atMost(ANSWER_MS, client.request({ op: "login", user, ...fields }))) ?? {};
      if (reply.op === "ok") {
        this.epoch ??= client.epoch;
        if (reply.reset) this.model.find("lost", `${user} got a reset: ${cursor} lies beyond ${reply.last}`);
        if (client.epoch !== this.epoch) this.model.find("lost", `${user} got another epoch`);
        return client;
      }
    } catch (error) {
      if (client?.violation) throw client.violation;
      if (error.code === "ERR_ASSERTION") throw error; // else the node does not take the connection
    }
    client?.terminate();
    return undefined;
  }

  async #talkOn(client) {
    const again = this.model.unknown(client.user);
    const stream = `${client.user}/${++this.#made}`;
    let number = 0;
    this.#open.set(client.user, client);
    const worker = async () => {
      for (;;) {
        const send = again.shift();
        if (client.closed || (send === undefined && this.#isEnding)) return;
        if (send) this.model.resend(send.text);
        if (!(await this.#send(client, send ?? this.#newSend(client, stream, number++)))) return client.terminate();
        await sleep(PAUSE_MS);
      }
    };
    await Promise.all(Array.from({ length: WINDOW }, worker));
    this.#open.delete(client.user);
    if (!client.closed) await client.close();
    await client.untilClosed();
    client.check();
    if (client.closed.code !== 1000) this.closes.push({ user: client.user, ...client.closed });
    for (const entry of client.entries) this.model.see(client.user, entry);
    this.#cursors.set(client.user, client.cursor);
  }

  #newSend(client, stream, number) {
    const to = this.#users[number % this.#users.length];
    const send = { from: client.user, to, text: `${stream}/${number}`, key: `${stream}/${number}`, stream: `${stream}/${to}`, number };
    this.model.send(send);
    return send;
  }

  // Until it is answered, or the connection is over: false if the client has lost its patience.
  async #send(client, { to, text, key }) {
    for (;;) {
      const asked = client.request({ op: "send", to, text, key });
      const reply = this.#patienceMs === Infinity ? await asked : await atMost(this.#patienceMs, asked);
      if (reply === undefined) return false;
      this.model.reply(text, reply);
      if (reply.op !== "error") return true;
      if (reply.code === "unavailable") {
        await client.untilClosed(); // a deposed owner: the outcome is unknown, and the next connection asks
        return true;
      }
      assert.equal(reply.code, "busy", JSON.stringify(reply));
      this.model.resend(text); // its place in the order is unknown now
      await sleep(reply.retry_after);
    }
  }

  // -- all of them --

  get acknowledged() {
    return this.model.acknowledged;
  }

  #until(what, condition) {
    return until(what, () => {
      if (this.#error) throw this.#error;
      return condition();
    }, { every: 5 });
  }

  // Until `count` more sends are acknowledged.
  untilAcknowledged(count) {
    const wanted = this.acknowledged + count;
    return this.#until(() => `${wanted - this.acknowledged} more acknowledged sends`, () => this.acknowledged >= wanted);
  }

  // Nobody sends any more, and every send has its answer.
  async end() {
    this.#isEnding = true;
    await Promise.all(this.#talks);
  }

  // Nobody sends any more, whatever had no answer.
  abandon() {
    this.#isEnding = this.#isAbandoned = true;
    for (const client of this.#open.values()) client.terminate();
    return Promise.allSettled(this.#talks);
  }

  // Who serves, from now on.
  moveTo(nodes) {
    this.#nodes = nodes;
  }

  // All that `node` serves is what was acknowledged and seen: nothing lost, doubled, reordered or one-sided.
  async check(node) {
    assert.deepEqual(await this.findings(node), []);
    assert.ok(this.acknowledged > 0);
  }

  // What is wrong with that.
  async findings(node) {
    const [timelines, replays] = [new Map(), new Map()];
    for (const user of this.#users) {
      const client = await Client.open(node);
      await client.loginAs(user, { after: 0, epoch: this.epoch });
      await client.untilLive();
      replays.set(user, client.entries);
      timelines.set(user, await wholeTimeline(client));
      await client.close();
      client.check();
    }
    this.model.checkAll(timelines, replays);
    return this.model.findings;
  }
}
