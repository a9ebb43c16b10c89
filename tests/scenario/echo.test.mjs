// The echo server, which has the framing of the chat server: large messages, and many connections. conformance.test.mjs has the rules of RFC 6455.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import crypto from "node:crypto";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { OPCODE, Raw, frameOf, upgradeRequest } from "./lib/raw.mjs";
import { BIN, DEADLINE_MS, SHORT } from "./lib/server.mjs";

const ECHO = path.join(path.dirname(BIN), "chitchat-echo");
const at = { host: "127.0.0.1", port: 0 };
let child;
let log = "";

async function raw() {
  return (await Raw.open({ address: at, isEcho: true })).upgrade("/any/path");
}

// Writes frames; the code with which the server closes.
async function closedBy(...frames) {
  const socket = await raw();
  for (const frame of frames) socket.write(frame);
  const code = await socket.closeCode();
  socket.end();
  await socket.until(() => socket.isEnded, "the end of the connection");
  return code;
}

async function echoes(socket, payload, opcode) {
  const frame = await socket.frame();
  assert.equal(frame.opcode, opcode);
  assert.ok(frame.fin);
  assert.ok(frame.payload.equals(Buffer.from(payload)), `${frame.payload.length} bytes came back`);
}

describe("echo", { timeout: 4 * DEADLINE_MS }, () => {
  before(async () => {
    child = spawn(ECHO, ["0"], { stdio: ["ignore", "pipe", "pipe"] });
    child.stderr.on("data", (data) => (log += data));
    at.port = await new Promise((resolve, reject) => {
      child.stdout.once("data", (data) => resolve(Number(/^ready (\d+)/.exec(data)[1])));
      child.once("error", reject);
    });
  });

  after(async () => {
    const ended = new Promise((resolve) => child.once("close", (code, signal) => resolve({ code, signal })));
    child.kill("SIGTERM");
    assert.deepEqual(await ended, { code: 0, signal: null });
    assert.equal(log, "");
  });

  test("text and binary of every length come back as they were", async () => {
    const socket = await raw();
    const lengths = [0, 1, 125, 126, 127, 65535, 65536, 1 << 20, SHORT ? 2 << 20 : 16 << 20];
    for (const length of lengths) {
      const text = "t".repeat(length);
      socket.write(frameOf(text));
      await echoes(socket, text, OPCODE.text);
      const bytes = crypto.randomBytes(length);
      socket.write(frameOf(bytes, { opcode: OPCODE.binary }));
      await echoes(socket, bytes, OPCODE.binary);
    }
    socket.destroy();
  });

  test("a message of many fragments comes back complete, pings between them are answered at once", async () => {
    const socket = await raw();
    socket.write(frameOf("a", { fin: false }));
    socket.write(frameOf("ping", { opcode: OPCODE.ping }));
    await echoes(socket, "ping", OPCODE.pong);
    for (let i = 0; i < 100; i++) socket.write(frameOf("b", { opcode: OPCODE.continuation, fin: false }));
    socket.write(frameOf("c", { opcode: OPCODE.continuation }));
    await echoes(socket, `a${"b".repeat(100)}c`, OPCODE.text);
    socket.destroy();
  });

  test("a message of 16 MiB in fragments comes back whole, one byte more is closed with 1009", async () => {
    const part = crypto.randomBytes(1 << 20);
    const parts = (last) =>
      Array.from({ length: 16 }, (_, i) =>
        frameOf(part, { opcode: i === 0 ? OPCODE.binary : OPCODE.continuation, fin: last && i === 15 }),
      );
    const socket = await raw();
    for (const frame of parts(true)) socket.write(frame);
    await echoes(socket, Buffer.concat(Array(16).fill(part)), OPCODE.binary);
    socket.destroy();
    assert.equal(await closedBy(...parts(false), frameOf("x", { opcode: OPCODE.continuation })), 1009);
  });

  test("many connections at once get each its own", async () => {
    const sockets = await Promise.all(Array.from({ length: 200 }, raw));
    sockets.forEach((socket, i) => socket.write(frameOf(`number ${i}`)));
    await Promise.all(sockets.map((socket, i) => echoes(socket, `number ${i}`, OPCODE.text)));
    for (const socket of sockets) socket.destroy();
  });

  test("a message of more than 16 MiB is closed with 1009 before its end", async () => {
    const head = Buffer.from([0x82, 0xff, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0]);
    assert.equal(await closedBy(head), 1009);
  });

  test("a peer that sends much and reads late gets all of it", async () => {
    const client = new WebSocket(`ws://127.0.0.1:${at.port}/`, { perMessageDeflate: false });
    await new Promise((resolve) => client.once("open", resolve));
    const count = SHORT ? 100 : 400;
    const payload = crypto.randomBytes(65536);
    let came = 0;
    const done = new Promise((resolve) =>
      client.on("message", (data) => {
        assert.ok(data.equals(payload));
        if (++came === count) resolve();
      }),
    );
    client.pause();
    for (let i = 0; i < count; i++) client.send(payload);
    setTimeout(() => client.resume(), 200);
    await done;
    client.close();
    await new Promise((resolve) => client.once("close", resolve));
  });

  test("what is no upgrade is refused", async () => {
    const socket = await Raw.open({ address: at, isEcho: true });
    socket.write(upgradeRequest({ headers: { "Sec-WebSocket-Key": null } }));
    assert.equal((await socket.responseToEnd()).status, 400);
  });
});
