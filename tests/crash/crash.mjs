// Real kills: the server under load by many clients is killed (SIGKILL) at random and at chosen moments and started again on the
// same data; the clients log in with `after` and `epoch`, send again with their keys what was not answered, and a model checks
// all that they ever received. Meanwhile the timelines of some users are erased: no kill undoes an erasure that was answered.
//
//   node tests/crash/crash.mjs [--rounds N | --seconds N] [--seed N] [--expect-violation]
//
// The last line gives the totals. Ends with 1 if a promise was broken; then the data directory is kept. CHITCHAT_BIN is the
// server; with --expect-violation it is one with a fault (FAULT_NUMBER), and it is a failure not to find it.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { readArguments } from "../arguments.mjs";
import { Api } from "../scenario/lib/api.mjs";
import { Client } from "../scenario/lib/client.mjs";
import { Server, killedAfter, sleep } from "../scenario/lib/server.mjs";
import { wholeTimeline } from "../scenario/lib/traffic.mjs";
import { Model } from "./model.mjs";
import { MOMENTS } from "./moments.mjs";

const { values } = readArguments("crash", {
  options: {
    rounds: { type: "string", default: "30" },
    seconds: { type: "string" },
    seed: { type: "string", default: String(Date.now() % 1000000) },
    "expect-violation": { type: "boolean", default: false },
  },
});

const USERS = 10;
const CONNECTIONS = 16; // the first users have two
const WINDOW = 12;
const ROUNDS_PER_DATA = 10;
const SHARDS = [1, 2, 4];
const ERASED = [1, 4, 9]; // the others keep all that they have. The name of user-1 is also how that of user-10 begins
const CLOSED_BY_ERASURE = 4203;
// Small sizes, so that checkpoints, merges and rotations happen all the time.
const OPTIONS = ["--memtable-bytes", "1M", "--checkpoint-s", "1", "--wal-segment-bytes", "4M", "--admin", "127.0.0.1:0"];

// mulberry32. The seed does not decide the timing of the machine.
function randomFrom(seed) {
  let state = Number(seed) >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) % bound;
  };
}

const random = randomFrom(values.seed);
const userOf = (index) => `user-${1 + (index % USERS)}`;

class Harness {
  data;
  shards;
  server;
  epoch;
  round = 0;
  model = new Model();
  random = random;
  #cursors = new Map(); // connection -> the newest ts it got
  #clients = []; // { client, index }, as they came
  #sending = [];
  #erasing;
  #endNow; // ends the wait of #erase

  constructor(shards) {
    this.shards = shards;
    this.data = fs.mkdtempSync(path.join(os.tmpdir(), "chitchat-crash-"));
  }

  async begin() {
    this.round++;
    this.server = await Server.start({ shards: this.shards, data: this.data, options: OPTIONS });
    const clients = await Promise.all(Array.from({ length: CONNECTIONS }, (_, index) => this.#connect(index)));
    this.model.endErasing();
    this.#sending = clients.map((client, index) => this.#send(client, index));
    this.#erasing = this.#erase();
  }

  // Erases one user after another, until the server is gone. Without an answer the next logins show the outcome.
  async #erase() {
    const api = new Api(this.server.admin);
    const end = new Promise((resolve) => (this.#endNow = () => resolve(true)));
    while (!(await Promise.race([sleep(50 + random(300)), end])) && (await this.#eraseOne(api)));
    api.close();
  }

  async #eraseOne(api) {
    const user = `user-${ERASED[random(ERASED.length)]}`;
    const newest = this.model.eraseBegins(user);
    const answer = await api.delete(`/api/v1/users/${user}`).catch((error) => this.#checkGone(error));
    if (answer?.status === 200) this.model.eraseEnds(user, newest, answer.json.first);
    if (answer?.json.error === "busy") this.model.eraseEnds(user, newest, 0);
    return answer !== undefined;
  }

  // An error of a connection is right if the server is about to be gone. The end of a process is seen later than that of its
  // sockets.
  async #checkGone(error) {
    for (let ms = 0; ms < 2000 && this.server.isRunning(); ms += 20) await sleep(20);
    if (this.server.isRunning()) this.model.find("lost", `the server runs, and a connection fails: ${error.message}`);
  }

  async #connect(index) {
    const client = await Client.open(this.server);
    const fields = { after: this.#cursors.get(index) ?? 0, ...(this.epoch ? { epoch: this.epoch } : {}) };
    const before = this.model.first(userOf(index));
    const reply = await client.loginAs(userOf(index), fields);
    this.model.login(userOf(index), before, reply.first);
    if (reply.reset) this.model.find("lost", `${userOf(index)} got a reset: ${fields.after} lies beyond ${reply.last}`);
    this.epoch ??= client.epoch;
    this.#clients.push({ client, index });
    return client;
  }

  // An erasure closes the connections of its user, who comes back.
  async #connectAgain(index) {
    try {
      return await this.#connect(index);
    } catch (error) {
      await this.#checkGone(error);
      return undefined;
    }
  }

  // First the sends whose outcome is unknown, then new ones, until the connection ends.
  async #send(client, index) {
    const again = index < USERS ? this.model.unknown(client.user) : [];
    let number = 0;
    const worker = async () => {
      while (!client.closed) {
        const send = again.shift();
        if (send) this.model.resend(send.text);
        await this.#sendOne(client, send ?? this.#newSend(client, index, number++));
      }
    };
    for (; client; client = client.closed.code === CLOSED_BY_ERASURE ? await this.#connectAgain(index) : undefined) {
      await Promise.all(Array.from({ length: WINDOW }, worker));
      this.#cursors.set(index, client.cursor);
    }
  }

  #newSend(client, index, number) {
    const to = userOf(random(USERS));
    const text = `${this.round}/${index}/${number}/${"x".repeat(random(20) === 0 ? random(5000) : random(300))}`;
    const send = { from: client.user, to, text, stream: `${this.round}/${index}/${to}`, number };
    if (random(3) > 0) send.key = `${this.round}/${index}/${number}`;
    this.model.send(send);
    return send;
  }

  async #sendOne(client, { to, text, key }) {
    for (;;) {
      const reply = await client.request({ op: "send", to, text, ...(key ? { key } : {}) });
      this.model.reply(text, reply);
      if (reply.code !== "busy") return;
      this.model.resend(text); // its place in the order is unknown now
      await sleep(reply.retry_after);
    }
  }

  // The server is killed: what it had sent still arrives; then the model takes in all that the clients received.
  async end() {
    await this.server.kill();
    this.#endNow();
    await Promise.all([...this.#sending, this.#erasing]);
    await Promise.all(this.#clients.map(({ client }) => (client.closed ? undefined : client.untilClosed().catch(() => {}))));
    this.#clients.forEach(({ client, index }) => {
      for (const entry of client.entries) this.model.see(client.user, entry);
      if (client.violation) this.model.find("lost", `${client.user}: ${client.violation.message}`);
      this.#cursors.set(index, client.cursor);
    });
    this.#clients = [];
  }

  // In the end: sends whose outcome is unknown are repeated, and every timeline is read by pages and by replay.
  async check() {
    this.server = await Server.start({ shards: this.shards, data: this.data, options: OPTIONS });
    const timelines = new Map();
    const replays = new Map();
    for (let index = 0; index < USERS; index++) {
      const user = userOf(index);
      const client = await this.#connect(index);
      for (const send of this.model.unknown(user)) {
        this.model.resend(send.text);
        await this.#sendOne(client, send);
      }
    }
    for (let index = 0; index < USERS; index++) {
      const client = await Client.open(this.server);
      await client.loginAs(userOf(index), { after: 0, epoch: this.epoch });
      await client.untilLive();
      replays.set(client.user, client.entries);
      timelines.set(client.user, await wholeTimeline(client));
    }
    this.model.checkAll(timelines, replays);
    await this.server.stop();
    this.#countRuns();
  }

  // Runs are numbered as they are written; a missing one was merged, or the kill came before its commit.
  #countRuns() {
    for (let shard = 0; shard < this.shards; shard++) {
      const names = fs.readdirSync(path.join(this.data, `shard-${String(shard).padStart(4, "0")}`, "runs")).filter((name) => name.startsWith("run-"));
      totals.runs.left += names.length;
      totals.runs.written += Math.max(0, ...names.map((name) => Number(/\d+/.exec(name)[0])));
    }
  }

  async clean(keeps) {
    await this.server?.clean();
    if (!keeps) fs.rmSync(this.data, { recursive: true, force: true });
  }
}

// -- rounds --

const totals = { rounds: 0, kills: 0, moments: {}, runs: { written: 0, left: 0 }, acknowledged: 0, entries: 0, resent: 0, erased: 0, lost: 0, duplicated: 0, reordered: 0, one_sided: 0, undone: 0 };
const names = Object.keys(MOMENTS);

function countKill(moment) {
  totals.kills++;
  totals.moments[moment] = (totals.moments[moment] ?? 0) + 1;
}

async function oneRound(harness, moment) {
  await harness.begin();
  const hasCome = await MOMENTS[moment](harness);
  if (harness.server.isRunning()) harness.server.signal("SIGKILL");
  await harness.end();
  totals.rounds++;
  countKill(hasCome === false ? "load" : moment);
  if (moment !== "recovery") return;
  for (let kills = 1 + random(3); kills > 0; kills--) {
    killedAfter(1 + random(60), harness.data, OPTIONS);
    countKill("recovery");
  }
}

function addModel(model) {
  for (const name of ["acknowledged", "entries", "resent", "erased"]) totals[name] += model[name];
  for (const [kind, count] of Object.entries(model.broken)) totals[kind] += count;
}

// Rounds on one data directory, then a check of everything in it. False if a promise was broken.
async function campaign(shards, mayGoOn) {
  const harness = new Harness(shards);
  let error;
  try {
    for (let round = 0; round < ROUNDS_PER_DATA && mayGoOn() && !harness.model.isBroken; round++) await oneRound(harness, names[totals.rounds % names.length]);
    if (!harness.model.isBroken) await harness.check();
  } catch (caught) {
    error = caught;
  }
  addModel(harness.model);
  const isGood = !error && !harness.model.isBroken;
  if (!isGood && values["expect-violation"]) console.log(`found: ${(harness.model.findings[0] ?? error.message).slice(0, 300)}`);
  if (!isGood && !values["expect-violation"]) {
    for (const finding of harness.model.findings) console.error(finding.length > 300 ? `${finding.slice(0, 300)}…` : finding);
    if (error) console.error(error);
    console.error(`seed ${values.seed}, ${shards} shards; the data are kept in ${harness.data}; the log of the last server:`);
    console.error(harness.server?.stderr.slice(-3000));
  }
  await harness.clean(!isGood && !values["expect-violation"]);
  return isGood;
}

function report(isGood) {
  const moments = Object.entries(totals.moments).map(([name, count]) => `${name}=${count}`);
  const { rounds, kills, acknowledged, entries, resent, erased, lost, duplicated, reordered, one_sided, undone } = totals;
  console.log(`kills by moment: ${moments.join(" ")}; runs written ${totals.runs.written}, left ${totals.runs.left}; seed ${values.seed}`);
  console.log(
    `crash: rounds=${rounds} kills=${kills} acknowledged=${acknowledged} checked=${entries} resent=${resent} erased=${erased} failed=${isGood ? 0 : 1} ` +
      `lost=${lost} duplicated=${duplicated} reordered=${reordered} one_sided=${one_sided} undone=${undone}`,
  );
}

const begun = Date.now();
const mayGoOn = values.seconds ? () => Date.now() - begun < Number(values.seconds) * 1000 : () => totals.rounds < Number(values.rounds);
// A wait for a reply of a dead server keeps no handle open: without this timer, node would end before the deadline.
const keepRunning = setInterval(() => {}, 1000);
let isGood = true;
for (let index = 0; isGood && mayGoOn(); index++) isGood = await campaign(SHARDS[index % SHARDS.length], mayGoOn);
clearInterval(keepRunning);
report(isGood);
const isExpected = isGood !== values["expect-violation"];
if (values["expect-violation"]) console.log(isGood ? "the fault was NOT CAUGHT" : "the fault was caught");
process.exit(isExpected ? 0 : 1);
