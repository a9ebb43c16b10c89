// RFC 6455, 5.4: a message may come in any number of fragments, empty ones too. Only the message's length has a limit, and
// the rate of frames.
import assert from "node:assert/strict";
import { onServers } from "./lib/harness.mjs";
import { OPCODE, Raw, frameOf } from "./lib/raw.mjs";

const FRAME_BYTES = 131072;

// The text in fragments of one byte, each with `empty` empty fragments behind it; the last is empty if `ends`.
function tinyFragments(text, empty, ends = true) {
  const [first, ...bytes] = Buffer.from(text);
  const nothing = Array(empty).fill(frameOf("", { opcode: OPCODE.continuation, fin: false }));
  const ofByte = Array.from({ length: 256 }, (_, byte) => frameOf([byte], { opcode: OPCODE.continuation, fin: false }));
  const frames = [frameOf([first], { fin: false }), ...nothing];
  for (const byte of bytes) frames.push(ofByte[byte], ...nothing);
  if (ends) frames.push(frameOf("", { opcode: OPCODE.continuation }));
  return Buffer.concat(frames);
}

async function ask(raw, bytes) {
  raw.write(bytes);
  return JSON.parse((await raw.frame()).payload);
}

async function loggedIn(server, user) {
  const raw = await (await Raw.open(server)).upgrade();
  const { op } = await ask(raw, frameOf(JSON.stringify({ op: "login", user })));
  assert.equal(op, "ok");
  return raw;
}

onServers("Fragments with the default limits", {}, (harness, it) => {
  it("a send in fragments of one byte, each with two empty ones behind it, is delivered whole", async () => {
    const [from, to] = [harness.name(), harness.name()];
    const receiver = await harness.login(to);
    const raw = await loggedIn(harness.server, from);
    const text = "h\u00e9llo \u{1f600} ".repeat(80);
    const sent = await ask(raw, tinyFragments(JSON.stringify({ op: "send", id: 1, to, text }), 2));
    assert.equal(sent.op, "ok", JSON.stringify(sent));
    await receiver.untilMessages(1);
    assert.equal(receiver.messages[0].text, text);
    raw.destroy();
  });

  it("a request behind 3,000 empty fragments is answered, and a ping between them at once", async () => {
    const raw = await loggedIn(harness.server, harness.name());
    const empty = (count) => Array(count).fill(frameOf("", { opcode: OPCODE.continuation, fin: false }));
    raw.write(Buffer.concat([frameOf("", { fin: false }), ...empty(1500), frameOf("?", { opcode: OPCODE.ping }), ...empty(1500)]));
    const pong = await raw.frame();
    assert.equal(pong.opcode, OPCODE.pong);
    assert.equal((await ask(raw, frameOf('{"op":"ping"}', { opcode: OPCODE.continuation }))).op, "ok");
    raw.destroy();
  });
});

onServers("Fragments without a rate of frames", { options: ["--frame-rate", "0"] }, (harness, it) => {
  const fill = `{"op":"ping","x":"${"x".repeat(FRAME_BYTES - 20)}"}`;

  it("128 KiB in fragments of one byte are one request, and one byte more is closed with 1009", async () => {
    assert.equal(fill.length, FRAME_BYTES);
    const raw = await loggedIn(harness.server, harness.name());
    assert.equal((await ask(raw, tinyFragments(fill, 0))).op, "ok");
    raw.write(tinyFragments(`${fill} `, 0, false));
    assert.equal(await raw.closeCode(), 1009);
    raw.destroy();
  });

  it("100,000 empty fragments in a message are one request", async () => {
    const raw = await loggedIn(harness.server, harness.name());
    assert.equal((await ask(raw, tinyFragments('{"op":"ping"}', 7700))).op, "ok");
    raw.destroy();
  });
});
