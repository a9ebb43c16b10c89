// PROTOCOL, close codes: each with what brings it about.
import assert from "node:assert/strict";
import { onServers, scenario } from "./lib/harness.mjs";
import { OPCODE, Raw, frameOf } from "./lib/raw.mjs";
import { scaled, until } from "./lib/server.mjs";
import { pump, wholeTimeline } from "./lib/traffic.mjs";

onServers("Close codes", {}, (harness, it) => {
  async function closedBy(...frames) {
    const raw = await (await Raw.open(harness.server)).upgrade();
    for (const frame of frames) raw.write(frame);
    const code = await raw.closeCode();
    raw.end();
    await raw.until(() => raw.isEnded, "the end");
    return code;
  }

  it("1002 for what breaks the framing", async () => {
    assert.equal(await closedBy(frameOf("x", { mask: false })), 1002);
    assert.equal(await closedBy(frameOf("x", { rsv: 2 })), 1002);
    assert.equal(await closedBy(frameOf("x", { opcode: 5 })), 1002);
    assert.equal(await closedBy(frameOf("x", { opcode: OPCODE.continuation })), 1002);
  });

  it("1002 for control frames that are too long or in pieces, and for closes with an invalid content", async () => {
    const close = (...bytes) => frameOf(Buffer.from(bytes), { opcode: OPCODE.close });
    assert.equal(await closedBy(frameOf("x".repeat(126), { opcode: OPCODE.ping })), 1002);
    assert.equal(await closedBy(frameOf("x", { opcode: OPCODE.ping, fin: false })), 1002);
    assert.equal(await closedBy(frameOf("x", { fin: false }), frameOf("x")), 1002);
    assert.equal(await closedBy(close(3)), 1002);
    for (const code of [0, 999, 1004, 1005, 1006, 1015, 2999, 5000]) assert.equal(await closedBy(close(code >> 8, code & 255)), 1002, `${code}`);
  });

  it("1003 for a binary frame", async () => {
    assert.equal(await closedBy(frameOf("{}", { opcode: OPCODE.binary })), 1003);
  });

  it("1007 for text that is not UTF-8", async () => {
    const bad = [[0x7b, 0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]];
    for (const bytes of bad) assert.equal(await closedBy(frameOf(Buffer.from(bytes))), 1007, `${bytes}`);
    assert.equal(await closedBy(frameOf(Buffer.from([3, 0xe8, 0xff]), { opcode: OPCODE.close })), 1007);
  });

  it("a character may be cut between two fragments", async () => {
    const raw = await (await Raw.open(harness.server)).upgrade();
    const bytes = Buffer.from('{"op":"login","user":"","x":"\u20ac"}');
    const cut = bytes.indexOf(0x82);
    raw.write(frameOf(bytes.subarray(0, cut), { fin: false }));
    raw.write(frameOf(bytes.subarray(cut), { opcode: OPCODE.continuation }));
    assert.equal(JSON.parse((await raw.frame()).payload).code, "bad_request");
    raw.destroy();
  });

  it("1009 for a message over 128 KiB, also in fragments; 128 KiB exactly is fine", async () => {
    const fill = (bytes) => `{"op":"ping","x":"${"x".repeat(bytes - 20)}"}`;
    assert.equal(fill(131072).length, 131072);
    assert.equal(await closedBy(frameOf(fill(131073))), 1009);
    assert.equal(await closedBy(frameOf("x".repeat(131072), { fin: false }), frameOf("x", { opcode: OPCODE.continuation })), 1009);
    const client = await harness.login(harness.name());
    assert.equal((await client.strayAfter(fill(131072))).op, "ok");
  });

  it("a close of the client is answered with its code", async () => {
    const close = (code) => frameOf(Buffer.from([code >> 8, code & 255]), { opcode: OPCODE.close });
    assert.equal(await closedBy(close(1000)), 1000);
    assert.equal(await closedBy(close(4999)), 4999);
    assert.equal(await closedBy(frameOf("", { opcode: OPCODE.close })), 1000);
  });
});

onServers("The login time", { options: ["--login-time-s", "2"] }, (harness, it) => {
  it("4002 without a login within the login time, which pings do not extend", async () => {
    const raw = await (await Raw.open(harness.server)).upgrade();
    const pings = setInterval(() => raw.write(frameOf("", { opcode: OPCODE.ping })), 200);
    const code = await raw.closeCode();
    clearInterval(pings);
    assert.equal(code, 4002);
    raw.destroy();
  });

  it("4002 also when the login frame never becomes complete", async () => {
    const raw = await (await Raw.open(harness.server)).upgrade();
    raw.write(frameOf(`{"op":"login","user":"${harness.name()}"}`).subarray(0, 20));
    assert.equal(await raw.closeCode(), 4002);
    raw.destroy();
  });

  it("a connection that does not even send its HTTP head is closed at the login time", async () => {
    const raw = await Raw.open(harness.server);
    raw.write("GET /ws HTTP/1.1\r\n");
    await raw.until(() => raw.isEnded, "the end");
    raw.destroy();
  });

  it("a logged-in connection outlives the login time", async () => {
    const user = harness.name();
    // On a busy machine a login may itself be late.
    const client = await until("a login within the login time", async () => {
      const one = await harness.client();
      return (await one.request({ op: "login", user })).op === "ok" && one;
    });
    await new Promise((resolve) => setTimeout(resolve, 3000));
    await client.ok({ op: "ping" });
  });
});

scenario("4001 for one that does not read what it gets; it has lost nothing", {}, async (harness) => {
  await harness.start({ options: ["--output-bytes", "1M"] });
  const alice = await harness.login("alice");
  const slow = await harness.login("bob");
  const quick = await harness.login("bob");
  slow.pause();
  const count = 1500;
  // In portions: however busy the machine is, the quick connection is never far behind.
  for (let done = 0; done < count; done += 50) {
    await pump(alice, { to: "bob", count: 50, text: (n) => "x".repeat(16000) + (done + n), window: 20 });
    await quick.untilMessages(done + 50);
  }
  slow.resume();
  const closed = await slow.untilClosed();
  assert.ok(closed.code === 4001 || closed.code === 1006, `${closed.code}`);
  assert.ok(slow.messages.length < count);
  assert.match(await harness.server.logLine("refused"), /cause=output address=127\.0\.0\.1 .*--output-bytes/);
  slow.check();
  const back = await harness.login("bob", { after: slow.cursor, epoch: slow.epoch });
  await back.untilLive();
  assert.equal(slow.messages.length + back.messages.length, count);
  await harness.server.stop();
});

scenario("4002 for a silent connection; the server pings first, and a pong keeps it", { shards: [2] }, async (harness) => {
  await harness.start({ options: ["--ping-s", "1"] });
  const raw = await (await Raw.open(harness.server)).upgrade();
  raw.write(frameOf('{"op":"login","user":"silent"}'));
  let pings = 0;
  for (;;) {
    const frame = await raw.frame();
    if (frame.opcode === OPCODE.ping) pings++;
    if (frame.opcode === OPCODE.close) {
      assert.equal(frame.payload.readUInt16BE(0), 4002);
      break;
    }
  }
  assert.ok(pings >= 1);
  raw.destroy();
  const answering = await harness.login("answering"); // `ws` answers pings by itself
  await new Promise((resolve) => setTimeout(resolve, 5000));
  await answering.ok({ op: "ping" });
  await harness.server.stop();
});

scenario("4201 for one connection of a user too many, until one leaves", {}, async (harness) => {
  await harness.start({ options: ["--user-connections", "3"] });
  const clients = [];
  for (let i = 0; i < 3; i++) clients.push(await harness.login("alice"));
  const extra = await harness.client();
  assert.equal((await extra.request({ op: "login", user: "alice" })).code, 4201);
  await until("a log line", () => /event=refused .*cause=user_connections address=127\.0\.0\.1 count=1 .*--user-connections/.test(harness.server.stderr));
  await harness.login("bob");
  await clients[0].close();
  await until("a place for one more", async () => {
    const again = await harness.client();
    const reply = await again.request({ op: "login", user: "alice" });
    return reply.op === "ok" || assert.equal(reply.code, 4201);
  }, { every: 0 });
  await harness.server.stop();
});

scenario("rate_limited has the time to wait, after which sends are accepted", { shards: [2] }, async (harness) => {
  await harness.start({ options: ["--send-rate", "50", "--frame-rate", "200"] });
  const alice = await harness.login("alice");
  const replies = await Promise.all(Array.from({ length: 150 }, (_, n) => alice.request({ op: "send", to: "bob", text: `${n}` })));
  const refused = replies.filter((reply) => reply.op === "error");
  assert.ok(refused.length > 0 && refused.length < 150);
  for (const reply of refused) {
    assert.equal(reply.code, "rate_limited");
    assert.ok(reply.retry_after > 0);
  }
  await new Promise((resolve) => setTimeout(resolve, refused.at(-1).retry_after + 50));
  await alice.send("bob", "after waiting");
  assert.equal((await wholeTimeline(alice)).length, 150 - refused.length + 1);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const pings = await Promise.all(Array.from({ length: 600 }, () => alice.request({ op: "ping" })));
  assert.ok(pings.some((reply) => reply.code === "rate_limited"));
  await harness.server.stop();
});

scenario("1001 for everyone at a stop: idle, not logged in, and in the middle of a replay", {}, async (harness) => {
  await harness.start();
  const alice = await harness.login("alice");
  await pump(alice, { to: "bob", count: scaled(5000), text: (n) => "x".repeat(1000) + n, window: 100 });
  const stranger = await (await Raw.open(harness.server)).upgrade();
  const replaying = await harness.client();
  replaying.request({ op: "login", user: "bob", after: 0 });
  await replaying.untilMessages(1);
  await harness.server.stop();
  assert.equal((await alice.untilClosed()).code, 1001);
  assert.equal(await stranger.closeCode(), 1001);
  assert.equal((await replaying.untilClosed()).code, 1001);
  stranger.destroy();
});
