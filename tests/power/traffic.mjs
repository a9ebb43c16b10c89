// The clients' side of a recorded run: who sends what, noted in the journal before it is sent.
import assert from "node:assert/strict";
import fs from "node:fs";
import { Api } from "../scenario/lib/api.mjs";
import { Client } from "../scenario/lib/client.mjs";
import { sleep } from "../scenario/lib/server.mjs";

// Numbers from a seed (mulberry32).
export class Chance {
  #state;

  constructor(seed) {
    this.#state = seed >>> 0;
  }

  next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  }

  from(low, high) {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  hits(one_in) {
    return this.from(1, one_in) === 1;
  }

  of(list) {
    return list[this.from(0, list.length - 1)];
  }
}

// As claims_text of claims.c.
export function textOf(n, bytes) {
  let text = `${n}:`;
  while (text.length < bytes) text += String.fromCharCode(97 + ((n + text.length) % 26));
  return text;
}

// Every message ever sent: { n, from, to, bytes, key, again }, and what the clients know of it.
export class Journal {
  users;
  sent = [];
  erasures = []; // { erase, first }; first 0: no answer came
  claims = []; // of acknowledged ones: { user, n, ts, prev, mid }
  unknown = []; // n of keyed sends without an answer

  constructor(users) {
    this.users = users;
  }

  copy() {
    const copy = new Journal(this.users);
    copy.sent = this.sent.map((sent) => ({ ...sent }));
    copy.erasures = this.erasures.map((erasure) => ({ ...erasure }));
    return copy;
  }

  add(from, to, bytes, keyed) {
    const n = this.sent.length + 1;
    const sent = { n, from, to, bytes: Math.max(bytes, 8), ...(keyed ? { key: `key of ${n}` } : {}) };
    this.sent.push(sent);
    return sent;
  }

  save(file) {
    fs.writeFileSync(file, [...this.sent, ...this.erasures].map((line) => JSON.stringify(line) + "\n").join(""));
  }

  saveClaims(file) {
    const firsts = this.erasures.filter(({ first }) => first > 0).map(({ erase, first }) => ({ user: erase, first }));
    fs.writeFileSync(file, [...this.claims, ...firsts].map((line) => JSON.stringify(line) + "\n").join(""));
  }
}

const CLOSED_BY_ERASURE = 4203;

// Each user sends on one connection, some have a second one that listens. Every third user is erased now and then.
export class Traffic {
  #server;
  #journal;
  #chance;
  #clients = [];
  #api;

  constructor(server, journal, chance) {
    this.#server = server;
    this.#journal = journal;
    this.#chance = chance;
  }

  async #login(user) {
    const client = await Client.open(this.#server);
    this.#clients.push(client);
    await client.loginAs(user, this.#chance.hits(3) ? { after: 0 } : {});
    return client;
  }

  async #send(client, sent) {
    for (let attempt = 0; ; attempt++) {
      const fields = { op: "send", id: `${sent.n}/${attempt}`, to: sent.to, text: textOf(sent.n, sent.bytes) };
      const reply = await client.request({ ...fields, ...(sent.key ? { key: sent.key } : {}) });
      if (reply.op === "ok") {
        const { ts, prev, mid } = reply;
        this.#journal.claims.push({ user: sent.from, n: sent.n, ts, mid, ...(prev === undefined ? {} : { prev }) });
        return;
      }
      sent.again = true;
      if (reply.op === "closed") {
        if (sent.key) this.#journal.unknown.push(sent);
        return;
      }
      assert.equal(reply.code, "busy", JSON.stringify(reply));
      await sleep(reply.retry_after);
    }
  }

  // While an answer is due, and if none comes, the outcome is unknown.
  async #erase() {
    const erasure = { erase: this.#chance.of(this.#journal.users.filter((_, index) => index % 3 === 1)), first: 0 };
    this.#journal.erasures.push(erasure);
    this.#api ??= new Api(this.#server.admin);
    const { status, json } = await this.#api.delete(`/api/v1/users/${erasure.erase}`);
    if (status === 200) erasure.first = json.first;
    else assert.ok(status === 503, `${status} ${JSON.stringify(json)}`);
  }

  async #user(user, { count, window, bytes, resend, erases }) {
    let client = await this.#login(user);
    if (this.#chance.hits(2)) await this.#login(user);
    const own = resend ? this.#journal.unknown.filter((sent) => sent.from === user) : [];
    if (resend) this.#journal.unknown = this.#journal.unknown.filter((sent) => sent.from !== user);
    for (const sent of own) await this.#send(client, sent);
    const worker = async () => {
      while (count-- > 0 && !client.closed) {
        const sent = this.#journal.add(user, this.#chance.of(this.#journal.users), bytes(), this.#chance.hits(2));
        await this.#send(client, sent);
        if (sent.key && this.#chance.hits(8)) {
          sent.again = true;
          await this.#send(client, sent);
        }
        if (this.#chance.hits(erases)) await this.#erase();
        if (this.#chance.hits(4)) await sleep(this.#chance.from(0, 3));
      }
    };
    for (;;) {
      await Promise.all(Array.from({ length: window }, worker));
      if (client.closed?.code !== CLOSED_BY_ERASURE) return;
      client = await this.#login(user);
    }
  }

  // Until all is sent, or the server is gone.
  async run({ sends, ...how }) {
    const users = this.#journal.users;
    const gone = async (error) => {
      for (let ms = 0; ms < 2000 && this.#server.isRunning(); ms += 20) await sleep(20); // the end of the process is seen later than that of its sockets
      if (this.#server.isRunning()) throw error;
    };
    const count = Math.ceil(sends / users.length);
    await Promise.all(users.map((user) => this.#user(user, { ...how, count }).catch(gone)));
    for (const client of this.#clients) client.check();
  }

  end() {
    for (const client of this.#clients) client.terminate();
    this.#api?.close();
  }
}

// Asks the real server for every timeline over sockets: every claim holds, each message is in both timelines, and nothing
// that was erased is back.
export async function checkClaims(server, journal, file) {
  const claims = fs.readFileSync(file, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
  const timelines = new Map();
  const firsts = new Map();
  for (const user of journal.users) {
    const client = await Client.open(server);
    await client.loginAs(user, { after: 0 });
    await client.untilLive();
    client.check();
    firsts.set(user, client.login.first);
    timelines.set(user, new Map(client.entries.map((entry) => [entry.text.split(":")[0], entry])));
    assert.equal(timelines.get(user).size, client.entries.length, `${user} has a message twice`);
    client.terminate();
  }
  for (const { user, n, ts, prev, mid, first } of claims) {
    const erased = firsts.get(user);
    if (first !== undefined) {
      assert.ok(erased >= first, `${user} is erased up to ${erased}, reported was ${first}`);
      continue;
    }
    const entry = timelines.get(user).get(String(n));
    if (!entry && ts <= erased) continue;
    assert.ok(entry, `${user} lacks message ${n}, which the server had reported`);
    assert.deepEqual([entry.ts, entry.mid, prev === undefined ? undefined : entry.prev], [ts, mid, prev === undefined ? undefined : Math.max(prev, erased)]);
  }
  for (const [user, timeline] of timelines)
    for (const [n, entry] of timeline) {
      const peer = entry.from === user ? entry.to : entry.from;
      const other = timelines.get(peer).get(n);
      if (other || firsts.get(peer) === 0) assert.equal(other?.mid, entry.mid, `message ${n} of ${user} is one-sided`);
      assert.equal(entry.text, textOf(Number(n), journal.sent[n - 1].bytes));
    }
}
