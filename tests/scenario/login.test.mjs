// PROTOCOL, login: what stands before and behind a login in the same write, from the most unfriendly of clients. A
// server that hangs is killed by its test.
import assert from "node:assert/strict";
import { scenario } from "./lib/harness.mjs";
import { OPCODE, Raw, frameOf, upgradeRequest } from "./lib/raw.mjs";

const SHARDS = [2, 4];
const CROWD = 6;
const BAD_FRAMES = 2000;

const request = (fields) => frameOf(JSON.stringify(fields));
const repeated = (count, frame) => Buffer.concat(Array.from({ length: count }, () => frame));

// One write: the upgrade, `before`, a login, and what `behind` adds.
async function oneWrite(harness, user, before, behind = []) {
  const raw = await Raw.open(harness.server);
  raw.write(Buffer.concat([Buffer.from(upgradeRequest()), before, request({ op: "login", id: 1, user }), ...behind]));
  return raw;
}

const badFrames = (count = BAD_FRAMES) => repeated(count, frameOf("{"));

async function nextReply(raw) {
  for (;;) {
    const frame = await raw.frame();
    assert.ok(frame !== null, "the server closed the connection");
    if (frame.opcode === OPCODE.text) return JSON.parse(frame.payload);
  }
}

async function expectReplies(raw, refused, ids) {
  assert.equal((await raw.response()).status, 101);
  for (let i = 0; i < refused; i++) assert.equal((await nextReply(raw)).code, "bad_json", `bad frame ${i}`);
  for (const id of ids) {
    const reply = await nextReply(raw);
    assert.equal(reply.op, "ok", JSON.stringify(reply));
    assert.equal(reply.id, id);
  }
}

async function expectServing(harness) {
  const raw = await Raw.open(harness.server);
  raw.write("GET /healthz HTTP/1.1\r\nHost: chat.example\r\n\r\n");
  assert.equal((await raw.response()).status, 200);
  raw.destroy();
  for (let i = 0; i < 2 * harness.shards; i++) {
    const client = await harness.login(harness.name());
    await client.ok({ op: "ping" });
  }
}

scenario("2,000 bad frames and a login in one write, of six connections", { shards: SHARDS }, async (harness) => {
  await harness.start();
  const crowd = [];
  for (let i = 0; i < CROWD; i++) crowd.push(await oneWrite(harness, harness.name("rude"), badFrames()));
  await expectServing(harness);
  for (const raw of crowd) await expectReplies(raw, BAD_FRAMES, [1]);
  for (const raw of crowd) raw.destroy();
  await harness.server.stop();
});

scenario("bad frames and a login in one write, of connections that read late or never", { shards: SHARDS }, async (harness) => {
  await harness.start();
  const crowd = [];
  for (let i = 0; i < 4 * CROWD; i++) {
    const raw = await oneWrite(harness, harness.name("rude"), badFrames(400 + 100 * i));
    raw.pause();
    crowd.push(raw);
  }
  await expectServing(harness);
  for (const raw of crowd.slice(CROWD)) raw.resume();
  for (const [i, raw] of crowd.entries()) if (i >= CROWD) await expectReplies(raw, 400 + 100 * i, [1]);
  await harness.server.stop();
  for (const raw of crowd) raw.destroy();
});

scenario("requests behind a login in one write are answered once, in order, on the shard of the user", { shards: SHARDS }, async (harness) => {
  await harness.start();
  for (let i = 0; i < 4 * harness.shards; i++) {
    const user = harness.name("quick");
    const send = request({ op: "send", id: 2, to: user, text: "in one piece" });
    const pings = [3, 4, 5].map((id) => request({ op: "ping", id }));
    const raw = await oneWrite(harness, user, badFrames(i * 60), [send]);
    await expectReplies(raw, i * 60, [1, 2]);
    raw.write(Buffer.concat(pings));
    for (const id of [3, 4, 5]) assert.equal((await nextReply(raw)).id, id);
    raw.destroy();
  }
  for (let i = 0; i < 4 * harness.shards; i++) {
    const raw = await oneWrite(harness, harness.name("quick"), badFrames(i * 60), [2, 3, 4].map((id) => request({ op: "ping", id })));
    await expectReplies(raw, i * 60, [1, 2, 3, 4]);
    raw.destroy();
  }
  await harness.server.stop();
});
