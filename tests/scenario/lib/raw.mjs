// Bytes on a socket, for what no decent client sends: broken HTTP, broken frames.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import { connectTo, readyEvent } from "./certificate.mjs";
import { DEADLINE_MS, within } from "./server.mjs";
import { checkFrame } from "./wire.mjs";

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

export class Raw {
  #socket;
  #isEcho;
  #waiters = new Set();
  #store = Buffer.alloc(0); // of which [#begin, #end) is `received`; its bytes are written once, since a frame borrows them
  #begin = 0;
  #end = 0;
  isEnded = false; // by the server

  static async open(server, at = server.address, from = undefined) {
    const raw = new Raw();
    raw.#isEcho = server.isEcho === true;
    const socket = connectTo(at, { allowHalfOpen: true, localAddress: from });
    raw.#socket = socket;
    socket.on("data", (data) => {
      raw.#append(data);
      raw.#wake();
    });
    const end = () => {
      raw.isEnded = true;
      raw.#wake();
    };
    socket.on("end", end);
    socket.on("close", end);
    await new Promise((resolve, reject) => {
      socket.once(readyEvent(at), resolve);
      socket.once("error", reject);
    });
    socket.on("error", end);
    return raw;
  }

  // What came and was not taken off.
  get received() {
    return this.#store.subarray(this.#begin, this.#end);
  }

  // Takes off what stands before `rest`, the end of what came.
  set received(rest) {
    this.#begin = this.#end - rest.length;
  }

  #append(data) {
    if (this.#end + data.length > this.#store.length) {
      const kept = this.received;
      this.#store = Buffer.allocUnsafe(2 * (kept.length + data.length));
      [this.#begin, this.#end] = [0, kept.copy(this.#store)];
    }
    this.#end += data.copy(this.#store, this.#end);
  }

  #wake() {
    for (const waiter of this.#waiters) waiter();
  }

  until(condition, what) {
    let look;
    const done = new Promise((resolve) => {
      look = () => condition() && resolve();
      this.#waiters.add(look);
      look();
    });
    return within(DEADLINE_MS, what, done).finally(() => this.#waiters.delete(look));
  }

  write(data) {
    this.#socket.write(data);
  }

  // Nothing more is read, so that in the end the server cannot send; and read again.
  pause() {
    this.#socket.pause();
  }

  resume() {
    this.#socket.resume();
  }

  end() {
    this.#socket.end();
  }

  destroy() {
    this.#socket.destroy();
  }

  // The head of the answer, taken off: { status, headers, text }.
  async response() {
    const at = () => this.received.indexOf("\r\n\r\n");
    await this.until(() => at() >= 0 || this.isEnded, "an answer");
    assert.ok(at() >= 0, `the server closed without an answer; it said ${JSON.stringify(this.received.toString())}`);
    const [line, ...lines] = this.received.subarray(0, at()).toString("latin1").split("\r\n");
    this.received = this.received.subarray(at() + 4);
    const match = /^HTTP\/1\.1 (\d{3}) /.exec(line);
    assert.ok(match, line);
    const headers = Object.fromEntries(lines.map((text) => [text.split(":")[0].toLowerCase(), text.replace(/^[^:]*:\s*/, "")]));
    return { status: Number(match[1]), headers };
  }

  // The same with what follows until the server closes.
  async responseToEnd() {
    const response = await this.response();
    await this.until(() => this.isEnded, "the end of the connection");
    return { ...response, body: this.received.toString("utf8") };
  }

  async upgrade(path = "/ws") {
    this.write(upgradeRequest({ path }));
    const response = await this.response();
    assert.equal(response.status, 101);
    return this;
  }

  // The next frame of the server: { opcode, payload, fin }; null when the server closed instead. A text must be one that
  // docs/asyncapi.yaml has.
  async frame() {
    let frame;
    await this.until(() => (frame = parseFrame(this.received)) !== null || this.isEnded, "a frame");
    if (frame === null) return null;
    this.received = this.received.subarray(frame.bytes);
    if (frame.opcode === OPCODE.text && !this.#isEcho) checkFrame(JSON.parse(frame.payload));
    return frame;
  }

  // The code of the close frame, other frames skipped; null when none came before the end.
  async closeCode() {
    for (;;) {
      const frame = await this.frame();
      if (frame === null) return null;
      if (frame.opcode === OPCODE.close) return frame.payload.length >= 2 ? frame.payload.readUInt16BE(0) : 1005;
    }
  }
}

export function parseFrame(data) {
  if (data.length < 2) return null;
  assert.equal(data[1] & 0x80, 0, "a server's frame has no mask");
  let at = 2;
  let length = data[1] & 0x7f;
  if (length === 126) {
    if (data.length < 4) return null;
    length = data.readUInt16BE(2);
    at = 4;
  } else if (length === 127) {
    if (data.length < 10) return null;
    length = Number(data.readBigUInt64BE(2));
    at = 10;
  }
  if (data.length < at + length) return null;
  return { fin: data[0] >= 0x80, opcode: data[0] & 15, payload: data.subarray(at, at + length), bytes: at + length };
}

// A client's frame; every part may be made wrong.
export function frameOf(payload, { opcode = OPCODE.text, fin = true, rsv = 0, mask = true, lengthBytes } = {}) {
  const body = Buffer.from(payload);
  const small = body.length < 126 ? 0 : body.length < 65536 ? 2 : 8;
  const extra = lengthBytes ?? small;
  const head = Buffer.alloc(2 + extra);
  head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  head[1] = (mask ? 0x80 : 0) | (extra === 0 ? body.length : extra === 2 ? 126 : 127);
  if (extra === 2) head.writeUInt16BE(body.length, 2);
  if (extra === 8) head.writeBigUInt64BE(BigInt(body.length), 2);
  if (!mask) return Buffer.concat([head, body]);
  const key = crypto.randomBytes(4);
  const masked = Buffer.allocUnsafe(body.length);
  for (let i = 0; i < body.length; i++) masked[i] = body[i] ^ key[i & 3];
  return Buffer.concat([head, key, masked]);
}

// A correct upgrade; `lines` replaces or, with null, removes header lines.
export function upgradeRequest({ method = "GET", path = "/ws", version = "1.1", headers = {} } = {}) {
  const all = {
    Host: "chat.example",
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    ...headers,
  };
  const lines = Object.entries(all).filter(([, value]) => value !== null).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/${version}\r\n${lines.join("")}\r\n`;
}
