// What the JavaScript client sees around it, in the hands of a test: a clock that only the test moves, and a WebSocket
// whose other side is the test.
import assert from "node:assert/strict";
import { Client, MemoryStorage } from "../../../src/web/chitchat.js";

// All that waits for promises has run.
export const idle = () => new Promise((resolve) => setImmediate(resolve));

export class FakeClock {
  time = 1_763_900_000_000;
  leapMs = 0; // by which a test has set it forward or back
  #timers = new Set();
  #count = 0;

  // Timers go on as they were when the clock is set.
  now() {
    return this.time + this.leapMs;
  }

  setTimeout(callback, ms) {
    assert.ok(ms >= 0 && ms < 2 ** 31, `a timer of ${ms} ms`);
    const timer = { at: this.time + ms, order: this.#count++, callback };
    this.#timers.add(timer);
    return timer;
  }

  clearTimeout(timer) {
    this.#timers.delete(timer);
  }

  get count() {
    return this.#timers.size;
  }

  async advance(ms) {
    for (const end = this.time + ms; ; await idle()) {
      const [next] = [...this.#timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at || a.order - b.order);
      if (!next) {
        this.time = end;
        return idle();
      }
      this.#timers.delete(next);
      this.time = Math.max(this.time, next.at);
      next.callback();
    }
  }
}

class FakeSocket {
  readyState = 0;
  sent = []; // frames of the client that the test has not taken
  closedWith; // the code, once the client has closed it
  onopen = this.onmessage = this.onclose = this.onerror = null;

  constructor(url, protocol) {
    Object.assign(this, { url, protocol });
  }

  send(text) {
    assert.equal(this.closedWith, undefined, "a frame after the close");
    this.sent.push(JSON.parse(text));
  }

  close(code) {
    this.closedWith = code;
  }

  // -- the side of the test --

  open() {
    this.onopen?.({});
  }

  push(...frames) {
    for (const frame of frames) this.onmessage?.({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
  }

  end(code = 1006, reason = "") {
    this.onclose?.({ code, reason });
  }

  // The oldest frame of this op that was not taken yet.
  take(op) {
    const at = this.sent.findIndex((frame) => frame.op === op);
    assert.ok(at >= 0, `the client has sent no ${op}: ${JSON.stringify(this.sent)}`);
    return this.sent.splice(at, 1)[0];
  }

  has(op) {
    return this.sent.some((frame) => frame.op === op);
  }
}

export const LOGIN = { user: "alice", last: 100, first: 0, epoch: "e1", ping: 25, auth: "none", limits: { text: 16384, frame: 131072 }, server: "chitchat/test" };

// A client, and what it meets: `fixture.socket` is the newest connection.
export class Fixture {
  clock = new FakeClock();
  sockets = [];
  events = []; // [type, event]
  random = 0.5;

  constructor(options = {}) {
    const fixture = this;
    class Socket extends FakeSocket {
      constructor(...of) {
        super(...of);
        fixture.sockets.push(this);
      }
    }
    this.storage = options.storage ?? new MemoryStorage();
    this.client = new Client({ url: "ws://test/ws", user: "alice", WebSocket: Socket, clock: this.clock, random: () => this.random, storage: this.storage, ...options });
    for (const type of ["state", "login", "message", "outbox", "reset", "cut", "skipped", "seen", "seen_by", "typing", "presence", "error"])
      this.client.on(type, (event) => this.events.push([type, event]));
  }

  get socket() {
    return this.sockets.at(-1);
  }

  of(type) {
    return this.events.filter(([name]) => name === type).map(([, event]) => event);
  }

  get texts() {
    return this.of("message").map(({ message }) => message.text);
  }

  // Opens the newest connection; the login frame.
  async open() {
    await idle();
    this.socket.open();
    return this.socket.take("login");
  }

  // As far as the ok of the login, and `live` if it had `after`.
  async login(fields = {}) {
    const asked = await this.open();
    this.socket.push({ op: "ok", id: asked.id, ...LOGIN, ...fields });
    if (asked.after !== undefined) this.socket.push({ op: "live" });
    await idle();
    return asked;
  }

  static async live(options, fields) {
    const fixture = new Fixture(options);
    await fixture.client.start();
    await fixture.login(fields);
    return fixture;
  }

  async send(to, ...texts) {
    const items = texts.map((text) => this.client.send(to, text));
    await idle();
    return items;
  }

  // Answers the oldest send with ok; the frame.
  accept(ts, prev, more = {}) {
    const frame = this.socket.take("send");
    this.socket.push({ op: "ok", id: frame.id, ts, prev, mid: `m${ts}`, ...more });
    return frame;
  }

  refuse(op, code, more = {}) {
    const frame = this.socket.take(op);
    this.socket.push({ op: "error", id: frame.id, code, message: code, ...more });
    return frame;
  }

  // The wait before the next attempt is over.
  waitOver() {
    const { state, waitMs } = this.of("state").at(-1);
    assert.equal(state, "waiting");
    return this.clock.advance(waitMs);
  }

  // The connection ends, and the wait before the next one is over.
  async reconnect(code = 1006) {
    const before = this.sockets.length;
    this.socket.end(code);
    await this.waitOver();
    assert.equal(this.sockets.length, before + 1);
  }
}

export const msg = (ts, prev, fields = {}) => ({ op: "msg", ts, prev, mid: `m${ts}`, from: "bob", to: "alice", text: `t${ts}`, ...fields });
