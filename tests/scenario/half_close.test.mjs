// PROTOCOL, half-close: a client ends its side right after its requests (TCP FIN) and reads on. What it asked for is
// answered; then the server closes with 1000.
import assert from "node:assert/strict";
import { onServers } from "./lib/harness.mjs";
import { OPCODE, Raw, frameOf, upgradeRequest } from "./lib/raw.mjs";
import { scaled } from "./lib/server.mjs";
import { wholeTimeline } from "./lib/traffic.mjs";

const request = (fields) => frameOf(JSON.stringify(fields));

onServers("Half-close", {}, (harness, it) => {
  // Writes `frames` after an upgrade in one write and ends. The frames of the server until its close frame, whose code
  // must be `code`; then its end.
  async function answersTo(frames, code = 1000) {
    const raw = await Raw.open(harness.server);
    raw.write(Buffer.concat([Buffer.from(upgradeRequest()), ...frames]));
    raw.end();
    assert.equal((await raw.response()).status, 101);
    const answers = [];
    for (let frame; (frame = await raw.frame()) !== null; ) {
      if (frame.opcode === OPCODE.text) answers.push(JSON.parse(frame.payload));
      if (frame.opcode !== OPCODE.close) continue;
      assert.equal(frame.payload.readUInt16BE(0), code);
      await raw.until(() => raw.isEnded, "the end of the connection");
      assert.equal(raw.received.length, 0);
      return answers;
    }
    assert.fail(`the server ended without a close frame, after ${answers.length} answers`);
  }

  const sends = (to, count) => Array.from({ length: count }, (_, i) => request({ op: "send", id: i + 1, to, text: `${i}` }));

  async function sendAndEnd(count) {
    const [alice, bob] = [harness.name("alice"), harness.name("bob")];
    const answers = await answersTo([request({ op: "login", id: 0, user: alice }), ...sends(bob, count), request({ op: "history", id: "h" }), request({ op: "ping", id: "p" })]);
    const ok = answers.filter(({ op, id }) => op === "ok" && id > 0).map(({ id }) => id);
    assert.deepEqual(ok, Array.from({ length: count }, (_, i) => i + 1), "each send, in order");
    assert.equal(answers.filter(({ op }) => op === "history").length, 1);
    assert.equal(answers.filter(({ id }) => id === "p").length, 1);
    const texts = (await wholeTimeline(await harness.login(bob))).map(({ text }) => text);
    assert.deepEqual(texts, Array.from({ length: count }, (_, i) => `${i}`));
  }

  it("a head, a login, sends, a page and a ping in one write are answered", async () => {
    for (let i = 0; i < 8; i++) await sendAndEnd(5);
  });

  it("more sends than may be unanswered are all answered", async () => {
    await sendAndEnd(scaled(3000));
  });

  it("a replay goes on until live", async () => {
    const [alice, bob] = [harness.name("alice"), harness.name("bob")];
    await answersTo([request({ op: "login", id: 0, user: bob }), ...sends(alice, scaled(2000))]);
    const answers = await answersTo([request({ op: "login", id: 0, user: alice, after: 0 })]);
    assert.equal(answers.filter(({ op }) => op === "msg").length, scaled(2000));
    assert.equal(answers.at(-1).op, "live");
  });

  it("bad frames without a login are answered; a message without its end is dropped", async () => {
    const bad = Array.from({ length: 300 }, () => frameOf("{"));
    const answers = await answersTo([...bad, frameOf('{"op":', { fin: false })]);
    assert.deepEqual(answers.map(({ code }) => code), bad.map(() => "bad_json"));
  });

  it("a connection with nothing unanswered is closed, logged in or not", async () => {
    assert.deepEqual(await answersTo([]), []);
    const answers = await answersTo([request({ op: "login", id: 0, user: harness.name() })]);
    assert.deepEqual(answers.map(({ op }) => op), ["ok"]);
  });

  it("a page asked for by HTTP comes whole; a head without its end gets nothing", async () => {
    const raw = await Raw.open(harness.server);
    raw.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    raw.end();
    const { headers, body } = await raw.responseToEnd();
    assert.equal(Buffer.byteLength(body), Number(headers["content-length"]));
    const cut = await Raw.open(harness.server);
    cut.write("GET / HTTP/1.1\r\nHost: x\r\n");
    cut.end();
    await cut.until(() => cut.isEnded, "the end of the connection");
    assert.equal(cut.received.length, 0);
  });

  it("a half-closed connection gets no pushes once it is closed, and its user is served on", async () => {
    const [alice, bob] = [harness.name("alice"), harness.name("bob")];
    await answersTo([request({ op: "login", id: 0, user: alice })]);
    const later = await harness.login(alice, { after: 0 });
    await (await harness.login(bob)).send(alice, "hi");
    assert.deepEqual((await wholeTimeline(later)).map(({ text }) => text), ["hi"]);
  });
});
