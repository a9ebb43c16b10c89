// Clients do not wait for what other clients do: during an attack another client goes on with one send after the other.
// Work is counted, not time: how many of these sends were answered until the attack had done its part, and how much work
// the longest turn had. In the end all that the attackers took is given back.
import assert from "node:assert/strict";
import fs from "node:fs";
import { attack } from "./lib/attack.mjs";
import { scenario } from "./lib/harness.mjs";
import { Raw, frameOf, upgradeRequest } from "./lib/raw.mjs";
import { SHORT, scaled, until } from "./lib/server.mjs";

const CONNS = 8;
// Sends of the other client, at least, during an attack.
const SENDS_LEAST = 20;
const MIB = 1 << 20;

const anonymous = (harness) => Number(/^RssAnon:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${harness.server.pid}/status`, "utf8"))[1]) * 1024;

// Sends of a well-behaved client until `attack` has ended; then nothing is left of anybody. `mib`: what the server's
// memory may grow by meanwhile, with the other client's messages. Not in the short form, where sanitizers keep memory.
async function besideAttack(harness, kind, options, mib) {
  const alice = await harness.login("alice");
  await alice.send("bob", "the first takes memory of its own");
  const before = anonymous(harness);
  let isOver = false;
  let sends = 0;
  let most = 0;
  const attacked = attack(harness.server, kind, options).finally(() => (isOver = true));
  while (!isOver) {
    await alice.send("bob", `send ${sends}`);
    if (sends++ % 50 === 0) most = Math.max(most, anonymous(harness) - before);
  }
  await attacked;
  if (mib !== undefined && !SHORT) assert.ok(most < mib * MIB, `${(most / MIB).toFixed(1)} MiB, ${mib} are allowed`);
  assert.ok(sends >= SENDS_LEAST, `${sends} sends only were answered during the attack`);
  await expectGivenBack(harness);
}

async function expectGivenBack(harness) {
  const turns = await harness.server.turns();
  assert.ok(turns.work <= turns.allowed, `a turn of ${turns.work} us of counted work, ${turns.allowed} are allowed`);
  harness.checkClients();
  await harness.server.untilAtRest(harness.shards);
  await harness.server.stop();
}

function flood(name, frame, count, before = Buffer.alloc(0)) {
  scenario(name, { shards: [1, 2] }, async (harness) => {
    await harness.start();
    await besideAttack(harness, "flood", { conns: CONNS, before, frame, count: scaled(count) });
  });
}

flood("empty pongs", frameOf("", { opcode: 10 }), 1000000);
flood("empty pings, each answered by a pong", frameOf("", { opcode: 9 }), 500000);
flood("empty continuations of a message that does not end", frameOf("", { opcode: 0, fin: false }), 1000000, frameOf("", { fin: false }));
flood("bad requests, each answered by an error", frameOf("{"), 100000);

scenario("pages of a long timeline in which nothing is found", { shards: [1] }, async (harness) => {
  await harness.start();
  const filler = await harness.login("mallory");
  for (let i = 0; i < scaled(12000); i += 100) await Promise.all(Array.from({ length: 100 }, (_, k) => filler.send("mallory", `${i + k}`)));
  await besideAttack(harness, "pages", { conns: CONNS, pages: 500 });
});

scenario("a user with very many connections, fifty of which send to all of them", { shards: [1] }, async (harness) => {
  await harness.start();
  await besideAttack(harness, "fanout", { conns: scaled(1000), senders: 50, each: 20 });
});

// -- what no budget counted --

scenario("thousands of heads that do not end: their memory is bounded and given back, whole heads are served", { shards: [1] }, async (harness) => {
  const count = scaled(4000);
  const head = Buffer.from(`${upgradeRequest().slice(0, -2)}X-Pad: ${"x".repeat(7000)}`);
  // A thirty-second of what is left of --memory is for heads (budget.h): 6 MiB, fewer than 600 of them. None may run out of
  // time before all are sent, however slow the machine is.
  await harness.start({ options: ["--memory", "332M", "--memtable-bytes", "8M", "--connections", "10000", "--login-time-s", "600"] });
  const alice = await harness.login("alice");
  await alice.send("bob", "the first takes memory of its own");
  const before = anonymous(harness);
  const raws = [];
  for (let i = 0; i < count; i++) {
    raws.push(await Raw.open(harness.server));
    raws.at(-1).write(head);
  }
  const late = await harness.login("carol");
  await late.ok({ op: "ping" });
  const refused = () => raws.filter((raw) => raw.received.includes("503")).length;
  await until(() => `503 for those without room: ${refused()} of ${count}`, () => refused() >= count - 600);
  if (!SHORT) assert.ok(anonymous(harness) - before < 16 * MIB, `${(anonymous(harness) - before) / MIB} MiB for ${count} heads`);
  for (const raw of raws) raw.destroy();
  await expectGivenBack(harness);
});

scenario("connects to a full server: refused, and it keeps the descriptors that its files need", { shards: [1] }, async (harness) => {
  const options = ["--checkpoint-s", "1", "--memtable-bytes", "1M"];
  await harness.start({ shellPrefix: "ulimit -n 900", options });
  const alice = await harness.login("alice");
  const raws = [];
  let refused = 0;
  while (refused < scaled(600)) {
    const raw = await Raw.open(harness.server);
    raw.write(upgradeRequest());
    await raw.until(() => raw.received.length > 0 || raw.isEnded, "an answer");
    if (!raw.received.includes("101 Switching")) refused++;
    raws.push(raw);
    if (raws.length % 10 === 0) await alice.send("bob", "x".repeat(10000));
  }
  assert.match(harness.server.stderr, /event=refused .*cause=full .*--connections/);
  await until("a checkpoint", async () => (await alice.send("bob", "more")) && fs.readdirSync(harness.server.data, { recursive: true }).some((name) => /run-\d+\.mdb$/.test(name)));
  assert.doesNotMatch(harness.server.stderr, /Too many open files|accept_failed|checkpoint_failed/);
  for (const raw of raws) raw.destroy();
  await expectGivenBack(harness);
});

// -- one session after the other --

const LOGIN = Buffer.concat([Buffer.from(upgradeRequest()), frameOf(JSON.stringify({ op: "login", id: 0, user: "mallory" }))]);
const GARBAGE = Buffer.from(Array.from({ length: 4096 }, (_, i) => 0x70 | ((i * 2654435761) >>> 24)));

// The header of a final text frame of `length` bytes, and the first of them.
function declares(length) {
  const head = Buffer.alloc(14);
  head[0] = 0x81;
  head[1] = 0x80 | 127;
  head.writeBigUInt64BE(length, 2);
  return Buffer.concat([head, Buffer.alloc(1000, "x")]);
}

function sessions(name, count, options) {
  scenario(name, { shards: [2] }, async (harness) => {
    await harness.start();
    await besideAttack(harness, "sessions", { conns: CONNS, times: Math.ceil(scaled(count) / CONNS), ...options }, 48);
  });
}

const TOO_LONG = [131073n, 2n ** 32n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n].map((length) => Buffer.concat([LOGIN, declares(length)]));
const BAD_FRAMES = Buffer.concat([Buffer.from(upgradeRequest()), ...Array.from({ length: 2000 }, () => frameOf("{")), LOGIN.subarray(LOGIN.indexOf("\r\n\r\n") + 4)]);

sessions("connects that say nothing", 4000, { by: "client" });
sessions("garbage for an HTTP head", 2000, { says: [GARBAGE] });
sessions("garbage for frames after a login", 2000, { says: [Buffer.concat([LOGIN, GARBAGE])] });
sessions("frames that declare up to 2^64 - 1 bytes", 2000, { says: TOO_LONG });
sessions("logins, each followed by a close", 2000, { says: [LOGIN], by: "client", word: '"epoch"' });
sessions("logins, each followed by the end of its side", 2000, { says: [LOGIN], by: "half", word: '"epoch"' });
sessions("thousands of bad frames, then the end of the client's side", 200, { says: [BAD_FRAMES], by: "half", word: '"epoch"' });

scenario("connections that send nothing end with the login time", { shards: [2] }, async (harness) => {
  await harness.start({ options: ["--login-time-s", "3", "--connections", "10000"] });
  await besideAttack(harness, "sessions", { conns: scaled(3000), times: 1 }, 32);
});

scenario("connections that end their side with answers due, and read nothing, do not stay", { shards: [2] }, async (harness) => {
  await harness.start({ options: ["--ping-s", "1"] });
  const filler = await harness.login("mallory");
  for (let i = 0; i < 64; i++) await filler.send("mallory", "x".repeat(16000));
  const pages = Array.from({ length: 100 }, (_, id) => frameOf(JSON.stringify({ op: "history", id, limit: 1000 })));
  const raws = [];
  for (let i = 0; i < scaled(50); i++) {
    raws.push(await Raw.open(harness.server));
    raws.at(-1).pause();
    raws.at(-1).write(Buffer.concat([LOGIN, ...pages]));
    raws.at(-1).end();
  }
  const alice = await harness.login("alice");
  await alice.send("bob", "beside them");
  harness.checkClients();
  await harness.server.untilAtRest(harness.shards);
  for (const raw of raws) raw.destroy();
  await harness.server.stop();
});

// -- many at once --

scenario("heads, logins and sends that come byte by byte", { shards: [2] }, async (harness) => {
  await harness.start();
  await besideAttack(harness, "drips", { conns: scaled(100), sends: 20 }, 32);
});

scenario("a thousand connections with 1,024 requests unanswered each", { shards: [1, 2] }, async (harness) => {
  await harness.start();
  await besideAttack(harness, "unanswered", { conns: scaled(1000), pages: 1024 }, 160);
});

// A sixteenth of what is left of --memory is for keys: 12 MiB. The windows of all users would take more. One
// that had to leave is read again: all keys are known.
scenario("key windows of many users at once take their part of the memory, and no key is forgotten", { shards: [1] }, async (harness) => {
  await harness.start({ options: ["--memory", "332M", "--memtable-bytes", "8M", "--connections", "10000"] });
  await besideAttack(harness, "keys", { conns: scaled(480), keys: 1030, again: 5 }, 128);
});
