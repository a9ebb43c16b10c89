// A client on npm's `ws`: replies by id, pushes in order. Each frame is checked against docs/asyncapi.yaml (lib/wire.mjs)
// and against what PROTOCOL promises of every timeline. A broken promise is kept in `violation`; every later wait and
// `check` throws it.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { DEADLINE_MS, sleep } from "./server.mjs";
import { checkCloseCode, checkFrame, checkRequest, isPush } from "./wire.mjs";

// As `import` of "ws", at half of its cost: that scans the sources of these modules for names, in each process of tests.
const { WebSocket } = createRequire(import.meta.url)("ws");

function assertOk(reply, op = "ok") {
  assert.equal(reply.op, op, JSON.stringify(reply));
  return reply;
}

export class Client {
  #socket;
  #asked = new Map(); // id -> { fields, resolve }
  #waiters = new Set();
  #nextId = 1;
  #mids = new Set();
  #closedWith; // the code of this side
  user;
  cursor; // the newest ts that this connection got
  epoch;
  login; // the reply to it
  entries = []; // of the timeline, as they came: msg frames, and { ok, ...fields of the send }
  messages = []; // the msg frames among them
  stray = []; // replies without an id
  pushes = []; // all frames that are neither a reply nor of the timeline: seen, seen_by, typing, presence
  lives = []; // for each `live`: how many entries had been received
  closed; // { code, reason } once it is
  violation;

  // `from`: the address to connect from. `socket`: further options of `ws`, as those of tls.connect.
  static async open(server, { path = "/ws", protocol = "chitchat.v1", headers, at = server.address, from, socket: more = {} } = {}) {
    const client = new Client();
    const options = { perMessageDeflate: false, handshakeTimeout: DEADLINE_MS, headers, localAddress: from, ...(at?.isTls && { ca: at.ca }), ...more };
    const socket = new WebSocket(server.url(path, at), protocol ?? [], options);
    client.#socket = socket;
    socket.on("message", (data, isBinary) => client.#onFrame(data, isBinary));
    socket.on("close", (code, reason) => client.#onClose(code, reason.toString()));
    await new Promise((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
    });
    socket.on("error", () => {});
    return client;
  }

  get protocol() {
    return this.#socket.protocol;
  }

  // -- receiving --

  #onFrame(data, isBinary) {
    try {
      assert.equal(isBinary, false, "the server sends text only");
      this.#take(JSON.parse(data.toString("utf8")));
    } catch (error) {
      this.violation ??= error;
    }
    this.#wake();
  }

  #take(frame) {
    if (frame.id !== undefined) this.#takeReply(frame);
    else this.#takeOther(frame);
  }

  // A push, or a reply without an id; also one that the document does not have is there for who waits for it.
  #takeOther(frame) {
    try {
      checkFrame(frame);
    } finally {
      if (frame.op === "msg") this.#takeMessage(frame);
      else if (frame.op === "live") this.lives.push(this.entries.length);
      else if (isPush(frame)) this.pushes.push(frame);
      else this.stray.push(frame);
    }
  }

  #takeMessage(frame) {
    assert.ok(frame.key === undefined || frame.from === this.user, "the recipient never gets a key");
    assert.ok(frame.from === this.user || frame.to === this.user, "a message of others");
    this.#takeEntry(frame);
    this.messages.push(frame);
  }

  #takeReply(frame) {
    const asked = this.#asked.get(frame.id);
    assert.ok(asked, `a reply that nobody waits for: ${JSON.stringify(frame)}`);
    this.#asked.delete(frame.id);
    try {
      checkFrame(frame, asked.fields.op ?? null);
      checkRequest(asked.fields, frame);
      if (asked.fields.op === "login" && frame.op === "ok") this.#takeLogin(asked.fields, frame);
      if (asked.fields.op === "send" && frame.op === "ok") this.#takeSent(asked.fields, frame);
    } finally {
      asked.resolve(frame); // who asked waits no longer, even if a promise is broken
    }
  }

  #takeLogin(fields, frame) {
    const replays = fields.after !== undefined && frame.reset !== true;
    this.user = frame.user;
    this.login = frame;
    this.epoch = frame.epoch;
    this.cursor = replays ? Math.max(fields.after, frame.first, frame.skipped_until ?? 0) : frame.last;
  }

  #takeSent(fields, frame) {
    if (frame.dup) {
      assert.ok(!("prev" in frame), "a dup moves no cursor");
      return;
    }
    this.#takeEntry({ ok: true, from: this.user, to: fields.to, text: fields.text, key: fields.key, ...frame });
  }

  #takeEntry(entry) {
    assert.equal(entry.prev, this.cursor, `a gap in the timeline of ${this.user} at ${entry.ts}`);
    assert.ok(Number.isSafeInteger(entry.ts) && entry.ts > entry.prev, `ts ${entry.ts} after ${entry.prev}`);
    assert.match(entry.mid, /^.{1,20}$/);
    assert.ok(!this.#mids.has(entry.mid), `${entry.mid} came twice`);
    this.#mids.add(entry.mid);
    this.cursor = entry.ts;
    this.entries.push(entry);
  }

  #onClose(code, reason) {
    this.closed = { code, reason };
    try {
      if (code !== this.#closedWith) checkCloseCode(code, reason);
    } catch (error) {
      this.violation ??= error;
    }
    for (const asked of this.#asked.values()) asked.resolve({ op: "closed", code, reason });
    this.#asked.clear();
    this.#wake();
  }

  #wake() {
    for (const waiter of this.#waiters) waiter();
  }

  // -- sending --

  raw(data, options) {
    this.#socket.send(data, options);
  }

  ping(data) {
    const answer = new Promise((resolve) => this.#socket.once("pong", (back) => resolve(back.toString())));
    this.#socket.ping(data);
    return answer;
  }

  // The reply: also errors, and { op: "closed", code } if the connection ends before.
  request(fields) {
    const id = fields.id ?? this.#nextId++;
    const all = { ...fields, id };
    if (this.closed) return Promise.resolve({ op: "closed", ...this.closed });
    const reply = new Promise((resolve) => this.#asked.set(id, { fields: all, resolve }));
    this.#socket.send(JSON.stringify(all));
    return reply;
  }

  async ok(fields) {
    return assertOk(await this.request(fields), ["history", "peers"].includes(fields.op) ? fields.op : "ok");
  }

  async error(fields, code) {
    const reply = await this.request(fields);
    assert.equal(reply.op, "error", JSON.stringify(reply).slice(0, 300));
    assert.equal(reply.code, code, JSON.stringify(reply));
    assert.ok(typeof reply.message === "string" && reply.message.length > 0, "an error has a message");
    return reply;
  }

  loginAs(user, fields = {}) {
    return this.ok({ op: "login", user, ...fields });
  }

  // Waits and sends again on `busy`, as PROTOCOL says: on a busy machine a write of the log may take seconds. Tests of `busy` use request.
  async send(to, text, fields = {}) {
    for (;;) {
      const reply = await this.request({ op: "send", to, text, ...fields });
      if (reply.code !== "busy") return assertOk(reply);
      await sleep(reply.retry_after);
    }
  }

  history(fields = {}) {
    return this.ok({ op: "history", ...fields });
  }

  // Sends `text` as it is; the next reply without an id.
  async strayAfter(text) {
    const before = this.stray.length;
    this.raw(text);
    await this.until(() => this.stray.length > before, `a reply to ${String(text).slice(0, 80)}`);
    return this.stray[before];
  }

  // -- waiting and checking --

  // Until the condition is true, which is checked after every frame.
  until(condition, what, ms = DEADLINE_MS) {
    return new Promise((resolve, reject) => {
      const end = (finish, value) => {
        clearTimeout(timer);
        this.#waiters.delete(look);
        finish(value);
      };
      const look = () => {
        if (this.violation) end(reject, this.violation);
        else if (condition()) end(resolve);
      };
      const timer = setTimeout(() => end(reject, new Error(`${this.user}: waited in vain for ${what}`)), ms);
      this.#waiters.add(look);
      look();
    });
  }

  untilMessages(count) {
    return this.until(() => this.messages.length >= count, `${count} messages (has ${this.messages.length})`);
  }

  untilPushes(count) {
    return this.until(() => this.pushes.length >= count, `${count} pushes (has ${this.pushes.length})`);
  }

  untilEntries(count) {
    return this.until(() => this.entries.length >= count, `${count} entries`);
  }

  untilLive() {
    return this.until(() => this.lives.length > 0, "live");
  }

  // Waits for the end: { code, reason }.
  async untilClosed() {
    await this.until(() => this.closed !== undefined, "the close");
    return this.closed;
  }

  check() {
    if (this.violation) throw this.violation;
  }

  pause() {
    this.#socket.pause();
  }

  resume() {
    this.#socket.resume();
  }

  close(code = 1000) {
    this.#closedWith = code;
    this.#socket.close(code);
    return this.untilClosed();
  }

  terminate() {
    this.#socket.terminate();
  }
}
