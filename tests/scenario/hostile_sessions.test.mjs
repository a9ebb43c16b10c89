// Attacks of many sessions, one after the other or at once, each beside a client that behaves (lib/beside.mjs).
import assert from "node:assert/strict";
import { CONNS, PATIENT, besideAttack, expectShortTurns } from "./lib/beside.mjs";
import { scenario } from "./lib/harness.mjs";
import { clientHello } from "./lib/hello.mjs";
import { Raw, frameOf, upgradeRequest } from "./lib/raw.mjs";
import { LONG, scaled } from "./lib/server.mjs";

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
    await harness.start({ options: PATIENT });
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

// What a client of TLS costs before it is one. \x16 begins the server's part of the handshake.
function handshakes(name, count, cut, options, { most = CONNS, ...how }) {
  scenario(name, { shards: [2] }, async (harness) => {
    await harness.start({ listen: ["127.0.0.1:0"], listenTls: ["127.0.0.1:0"], options: [...PATIENT, ...options] });
    const { host, port } = harness.server.tlsAddress;
    const says = [(await clientHello()).subarray(0, cut)];
    await besideAttack(harness, "sessions", { at: { host, port }, conns: most, times: Math.ceil(scaled(count) / most), says, ...how }, 48);
  });
}

handshakes("handshakes of TLS, each left after the server's part", 2000, undefined, [], { by: "client", word: "\x16\x03" });
handshakes("handshakes of TLS that wait for the rest, far more than there may be", 600, undefined, ["--tls-handshakes", "50", "--login-time-s", "5"], { most: scaled(600) });
handshakes("parts of a ClientHello, each left", 2000, 50, [], { by: "client" });

// The shard of a user, as an attacker can find it: in the mid of a message of theirs (TESTING.md, "Names chosen to collide").
async function shardOf(harness, user) {
  const client = await harness.login(user);
  const { mid } = await client.send(user, "where am I?");
  await client.close();
  return Number((Buffer.from(mid, "base64url").readBigUInt64BE(0) >> 1n) & 1023n);
}

scenario("names chosen to be on the shard of one user: logins and sends of all of them; another data set spreads them", { shards: [2] }, async (harness) => {
  await harness.start({ options: PATIENT });
  const here = await shardOf(harness, "alice");
  const names = [];
  for (let i = 0; names.length < 64; i++) if ((await shardOf(harness, `mallory-${i}`)) === here) names.push(`mallory-${i}`);
  const requestOf = (fields) => frameOf(JSON.stringify(fields));
  const says = names.map((user, i) => Buffer.concat([Buffer.from(upgradeRequest()), requestOf({ op: "login", id: 0, user }), requestOf({ op: "send", id: 1, to: names[(i + 1) % 64], text: "x" })]));
  await besideAttack(harness, "sessions", { conns: CONNS, times: Math.ceil(scaled(2000) / CONNS), says, by: "half", word: '"epoch"' }, 48);
  await harness.start({});
  const elsewhere = new Set();
  for (const name of names) elsewhere.add(await shardOf(harness, name));
  assert.equal(elsewhere.size, 2, "the seed is that of the data set");
  await harness.server.stop();
});

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
  await expectShortTurns(harness);
  harness.checkClients();
  await harness.server.untilAtRest(harness.shards);
  for (const raw of raws) raw.destroy();
  await harness.server.stop();
});

// -- many at once --

scenario("heads, logins and sends that come byte by byte", { shards: [2] }, async (harness) => {
  await harness.start({ options: PATIENT });
  await besideAttack(harness, "drips", { conns: scaled(100), sends: 20 }, 32);
});

scenario("a thousand connections with 1,024 requests unanswered each", { shards: [1, 2] }, async (harness) => {
  await harness.start({ options: PATIENT });
  await besideAttack(harness, "unanswered", { conns: scaled(1000), pages: 1024 }, 160);
});

// That a window gets no memory beyond the part that all of them have is tested in tests/unit/test_key_window.c.
scenario("key windows of many users at once, and no key is forgotten", { shards: [1] }, async (harness) => {
  await harness.start({ options: LONG ? PATIENT : [...PATIENT, "--memtable-bytes", "8M"] });
  await besideAttack(harness, "keys", LONG ? { conns: 200, keys: 10000, again: 20 } : { conns: 48, keys: 1030, again: 5 }, LONG ? 2048 : 128);
});
