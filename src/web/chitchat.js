// chitchat-client: a client of the chitchat protocol, version 1 (PROTOCOL.md, sections 10 to 15), for browsers and node.
// chitchat.d.ts has the contract of all that is exported here.
import { Calls } from "./chitchat-calls.js";
import { Outbox } from "./chitchat-outbox.js";
import { Commits, MemoryStorage, Tabs } from "./chitchat-storage.js";

export { ChatError } from "./chitchat-calls.js";
export { IndexedDBStorage, MemoryStorage } from "./chitchat-storage.js";

const PING_DEADLINE_MS = 10e3;
const LOGIN_DEADLINE_MS = 20e3;
const KEY_LIFE_MS = 23 * 3600e3; // the server knows a key for 24 hours
const CLOCK_LEEWAY_MS = 7 * 24 * 3600e3; // of this clock and the server's, in a search for an old item
const CODES_THAT_STOP = [1002, 1003, 1007, 1009, 4201];
const CLOSED_BY_CLIENT = 4000; // a gap, a dead connection
const GOING_AWAY = 1001; // of a cluster: the reason may be the URL of the node that serves

const systemClock = { now: () => Date.now(), setTimeout: (...of) => setTimeout(...of), clearTimeout: (timer) => clearTimeout(timer) };

export const utf8Length = (text) => new TextEncoder().encode(text).length;

export const isUserName = (name) => typeof name === "string" && /^[!#-[\]-~]{1,128}$/.test(name);

const toWellFormed = (text) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(new TextEncoder().encode(text));

const randomKey = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

// The longest wait before attempt n, counted from 0.
const longestWait = (n) => Math.min(30e3, 500 * 2 ** n);

// When a token expires, in ms since the Unix epoch. NaN: unknown.
function expiryOf(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).exp * 1000;
  } catch {
    return NaN;
  }
}

// The URL of the node that a reason names, for a client of the URL `given`; null: none that the client may go to.
function nodeOf(reason, given) {
  if (!/^wss?:\/\/\S+$/.test(reason)) return null;
  try {
    const [to, from] = [new URL(reason), new URL(given)];
    if (to.pathname === "/") to.pathname = from.pathname;
    return to.protocol === from.protocol ? to.href : null;
  } catch {
    return null;
  }
}

const toMessage = ({ ts, mid, from, to, text, key }) => ({ ts, mid, from, to, text, ...(key !== undefined && { key }) });

export class Client {
  #options;
  #clock;
  #random;
  #storage;
  #tabs;
  #listeners = new Map();
  #commits;
  #outbox;
  #calls; // history, peers, seen, typing, watch
  #resolvers = new WeakMap(); // item -> the function that resolves its outcome

  #state = "stopped";
  #isRunning = false;
  #loading; // of the storage, since the first start
  #hasLoaded; // resolves it
  #user;
  #epoch;
  #cursor;
  #login;

  #socket = null;
  #server = null; // the URL of the next connection; null: that of the options
  #isTrial = false; // this connection is to another URL, and not open yet
  #round = 0; // of connecting: what belongs to an earlier one is dropped
  #attempt = 0;
  #waitTimer;
  #timers = new Set(); // of this connection
  #asked = new Map(); // id -> the function that takes the reply, or null when the connection ends
  #nextId = 1;
  #isQuiet = false; // nothing came since the ping
  #isPinging = false;
  #heardAt = 0;

  #token = null;
  #isTokenNew = false; // the server has not accepted it yet

  #onOnline = () => this.wake();
  #onVisibility = () => document.visibilityState === "visible" && this.wake();

  constructor(options) {
    const { url, user, token, storage = new MemoryStorage(), clock = systemClock, random = Math.random } = options;
    if (typeof url !== "string") throw new TypeError("url must be a string: wss://HOST/ws");
    if (user === undefined ? !token : !isUserName(user)) throw new TypeError("user must be a user name; only with a token it may be left out");
    this.#options = { WebSocket: globalThis.WebSocket, ...options };
    if (!this.#options.WebSocket) throw new TypeError("hand in a WebSocket: this platform has none");
    this.#user = user;
    this.#storage = storage;
    this.#clock = clock;
    this.#random = random;
    this.#tabs = new Tabs(randomKey(), storage, (items) => this.#adopt(items), () => this.#onLogout());
    this.#loading = new Promise((resolve) => (this.#hasLoaded = resolve));
    this.#commits = new Commits(storage, (error) => this.#emit("error", error));
    // What outbox and calls need. ask: onReply gets null when the connection ends. faultOf: [code, message] if the item
    // must not be sent.
    const port = {
      isRunning: () => this.#isRunning,
      isOpen: () => this.#isLoggedIn(),
      now: () => clock.now(),
      epoch: () => this.#epoch,
      emit: (...of) => this.#emit(...of),
      later: (...of) => this.#later(...of),
      ask: (...of) => this.#ask(...of),
      waitFor: (...of) => this.#waitFor(...of),
      transmit: (...of) => this.#transmit(...of),
      faultOf: (item) => this.#faultOf(item),
      isOld: ({ tried }) => tried !== undefined && this.#clock.now() - tried > KEY_LIFE_MS,
      findSent: (item) => this.#findSent(item),
      done: (...of) => this.#onOutcome(...of),
    };
    this.#outbox = new Outbox(port);
    this.#calls = new Calls(port);
  }

  get state() { return this.#state; }
  get user() { return this.#user; }
  get login() { return this.#login; }
  get cursor() { return this.#cursor; }
  get outbox() { return [...this.#outbox.items.values()]; }
  get online() { return this.#calls.online; }

  on(type, listener) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    this.#listeners.get(type).add(listener);
    return () => this.#listeners.get(type).delete(listener);
  }

  // A listener that throws does not stop the client: the platform reports the error.
  #emit(type, event) {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) {
      try {
        listener(event);
      } catch (error) {
        setTimeout(() => { throw error; });
      }
    }
  }

  #setState(state, more) {
    if (state === this.#state && state !== "waiting") return;
    this.#state = state;
    this.#emit("state", { state, ...more });
  }

  // -- start and stop --

  async start() {
    if (this.#isRunning) return this.#loading;
    this.#isRunning = true;
    this.#attempt = 0;
    const round = ++this.#round;
    this.#setState("connecting");
    globalThis.addEventListener?.("online", this.#onOnline);
    globalThis.document?.addEventListener("visibilitychange", this.#onVisibility);
    await this.#load();
    if (this.#isRunning && round === this.#round) this.#connect();
  }

  async stop() {
    this.#halt("stopped", "stopped");
    await this.#commits.all;
  }

  async logout() {
    await this.stop();
    this.#forget("logged out");
    await this.#commits.all;
    await this.#storage.clear().finally(() => this.#tabs.tellLogout());
  }

  #onLogout() {
    this.#halt("logout", "another tab has logged out");
    this.#forget("another tab has logged out");
  }

  #forget(why) {
    this.#discardAll(why);
    this.#user = this.#options.user;
    this.#token = null;
    this.#cursor = this.#epoch = this.#login = undefined;
    this.#calls.forget();
  }

  #discardAll(message) {
    for (const item of this.outbox) this.#outbox.settle(item, { ok: false, code: "discarded", message });
  }

  wake() {
    if (this.#state === "waiting") this.#connect();
    else if (this.#isLoggedIn()) this.#ping();
  }

  #halt(code, reason) {
    if (!this.#isRunning) return;
    this.#isRunning = false;
    globalThis.removeEventListener?.("online", this.#onOnline);
    globalThis.document?.removeEventListener("visibilitychange", this.#onVisibility);
    this.#drop(1000);
    this.#tabs.leave();
    this.#calls.stop(code, reason);
    this.#setState("stopped", { code, reason });
  }

  async #load() {
    try {
      const { account, outbox } = await this.#storage.load();
      const isOther = account && (this.#options.user ?? account.user) !== account.user;
      if (account && !isOther && this.#cursor === undefined) ({ user: this.#user, epoch: this.#epoch, cursor: this.#cursor } = account);
      await this.#tabs.enter(isOther ? [] : outbox);
    } catch (error) {
      this.#emit("error", error);
    }
    if (!this.#isRunning) this.#tabs.leave();
    this.#hasLoaded();
  }

  // Items of the storage: an earlier attempt may have reached the server.
  #adopt(items) {
    const fresh = items.filter((item) => !this.#outbox.items.has(item.key));
    for (const item of fresh) Object.assign(item, { tried: item.at, status: item.error ? "failed" : "waiting" });
    this.#outbox.load(fresh);
    for (const item of fresh) {
      this.#emit("outbox", { item });
      this.#outbox.enqueue(item);
    }
  }

  // -- the connection --

  #isLoggedIn() {
    return this.#state === "replay" || this.#state === "live";
  }

  // A timer that ends with the connection.
  #later(ms, callback) {
    const timer = this.#clock.setTimeout(() => {
      this.#timers.delete(timer);
      callback();
    }, Math.min(ms, 2 ** 31 - 1));
    this.#timers.add(timer);
  }

  async #connect() {
    this.#clock.clearTimeout(this.#waitTimer);
    const round = ++this.#round;
    this.#setState("connecting");
    this.#later(LOGIN_DEADLINE_MS, () => this.#isLoggedIn() || this.#retry("no reply to the login", "timeout"));
    if (this.#options.token && this.#token === null) {
      const token = await this.#askToken();
      if (round !== this.#round) return;
      if (token === undefined) return this.#retry("no token yet", "no_token");
      if (token === null) return this.#halt("no_token", "there is no token");
      this.#token = token;
      this.#isTokenNew = true;
    }
    this.#open(round);
  }

  #open(round) {
    let socket;
    const url = this.#server ?? this.#options.url;
    this.#server = null;
    this.#isTrial = url !== this.#options.url;
    try {
      socket = new this.#options.WebSocket(url, "chitchat.v1");
    } catch (error) {
      if (this.#isTrial) return this.#retry(error.message, "bad_url");
      return this.#halt("bad_url", error.message);
    }
    this.#socket = socket;
    socket.onopen = () => {
      this.#isTrial = false;
      this.#setState("logging-in");
      this.#sendLogin(url);
    };
    socket.onmessage = ({ data }) => round === this.#round && this.#onData(data);
    socket.onclose = ({ code, reason }) => round === this.#round && this.#onClose(code, reason);
    socket.onerror = () => {}; // close follows
  }

  // Leaves the connection without waiting for its end.
  #drop(code) {
    this.#round++;
    this.#clock.clearTimeout(this.#waitTimer);
    for (const timer of this.#timers) this.#clock.clearTimeout(timer);
    this.#timers.clear();
    this.#isPinging = this.#isTrial = false;
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      if (code === CLOSED_BY_CLIENT && socket.terminate) socket.terminate();
      else socket.close(code);
    }
    this.#state = "connecting"; // whatever follows sets it; sends wait from now on
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    for (const onReply of asked) onReply(null);
    this.#calls.disconnected();
    this.#outbox.disconnected();
  }

  #retry(reason, code, atLeastMs = 0) {
    const n = this.#attempt;
    if (!this.#isTrial) this.#attempt++; // a page may be kept from connecting there
    this.#drop(CLOSED_BY_CLIENT);
    if (!this.#isRunning) return; // a listener has stopped it
    const waitMs = atLeastMs + this.#random() * longestWait(n);
    this.#waitTimer = this.#clock.setTimeout(() => this.#connect(), waitMs);
    this.#setState("waiting", { reason, code, waitMs });
  }

  #onClose(code, reason) {
    const why = reason || `the connection ended (${code})`;
    if (code === GOING_AWAY) this.#server = nodeOf(reason, this.#options.url);
    if (code === 4101 && !this.#refuseToken()) return this.#halt(code, why);
    if (CODES_THAT_STOP.includes(code)) return this.#halt(code, why);
    this.#retry(why, code);
  }

  #onData(data) {
    this.#heardAt = this.#clock.now();
    this.#isQuiet = false;
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      // as null
    }
    if (typeof frame !== "object" || frame === null) return this.#retry("a frame that is no JSON object", "bad_json");
    const onReply = frame.id === undefined ? undefined : this.#asked.get(frame.id);
    this.#asked.delete(frame.id);
    if (onReply) onReply(frame);
    else this.#onPush(frame);
  }

  #onPush(frame) {
    const { op, ...fields } = frame;
    if (op === "msg") this.#onMessage(frame);
    else if (op === "live") this.#setLive();
    else if (op === "presence") this.#calls.setPresence(frame.user, frame.online);
    else if (op === "seen" || op === "seen_by" || op === "typing") this.#emit(op, fields);
  }

  // Sends a request. onReply gets the reply at once when it comes: the order of entries depends on that.
  #ask(fields, onReply) {
    const id = this.#nextId++;
    this.#asked.set(id, onReply);
    this.#socket.send(JSON.stringify({ ...fields, id }));
  }

  // How long to wait before a request is sent again, in ms; undefined if it was not refused for a time.
  #waitFor(reply, n) {
    if (reply.op !== "error") return undefined;
    return reply.code === "unavailable" ? this.#random() * longestWait(n) : reply.retry_after;
  }

  // -- login and tokens --

  // null: there is none. undefined: the callback has failed.
  async #askToken() {
    try {
      return (await this.#options.token()) ?? null;
    } catch (error) {
      this.#emit("error", error);
      return undefined;
    }
  }

  // The server has refused the token. Gives whether another one may be better.
  #refuseToken() {
    const mayRetry = Boolean(this.#options.token) && !this.#isTokenNew;
    this.#token = null;
    return mayRetry;
  }

  #sendLogin(url) {
    const { user, replayMax: max } = this.#options;
    const resume = this.#cursor === undefined ? {} : { after: this.#cursor, epoch: this.#epoch, max };
    this.#ask({ op: "login", user, token: this.#token ?? undefined, ...resume }, (reply) => {
      if (!reply) return;
      if (reply.op === "error") return this.#onLoginError(reply);
      this.#server = url; // stays there while logins succeed
      this.#onLogin(reply, this.#cursor !== undefined);
    });
  }

  #onLoginError({ code, message, retry_after }) {
    const mayRetry = code === "bad_token" ? this.#refuseToken() : ["unavailable", "rate_limited", "busy"].includes(code);
    if (mayRetry) this.#retry(message, code, retry_after);
    else this.#halt(code, message);
  }

  #onLogin(reply, isResumed) {
    const { op, id, ...login } = reply;
    const isOther = this.#user !== undefined && this.#user !== login.user;
    this.#isTokenNew = false;
    this.#user = login.user;
    if (isOther) return this.#changeUser(login);
    this.#login = login;
    this.#later(login.ping * 1000, () => this.#checkLife());
    if (this.#token !== null) this.#planExtension();
    const round = this.#round; // a listener may stop the client
    if (isResumed && !login.reset) this.#resume(login);
    else this.#begin(login, isResumed);
    if (round === this.#round) this.#emit("login", login);
    if (round !== this.#round) return;
    if (isResumed) this.#setState("replay");
    else this.#setLive();
    if (round !== this.#round) return;
    this.#calls.loggedIn();
    this.#outbox.pump();
  }

  // The token is of another user than the stored data.
  #changeUser(login) {
    const why = `${login.user} is logged in now`;
    this.#discardAll(why);
    this.#calls.stop("user", why);
    this.#begin(login, true);
    this.#retry("another user", "user");
  }

  #begin({ user, epoch, last }, isReset) {
    this.#epoch = epoch;
    this.#cursor = last;
    this.#commits.add({ begin: { user, epoch, cursor: last } });
    if (!isReset) return;
    this.#calls.forgetMarks();
    this.#emit("reset", { epoch, last });
  }

  #resume({ first, skipped_until: skipped = 0 }) {
    const after = this.#cursor;
    if (first > after) {
      this.#skipTo(first);
      this.#emit("cut", { first });
    }
    if (skipped > this.#cursor) {
      this.#skipTo(skipped);
      this.#emit("skipped", { after, until: skipped });
    }
  }

  // What is stored has no holes: older entries are dropped.
  #skipTo(ts) {
    this.#commits.add({ take: { epoch: this.#epoch, from: this.#cursor, cursor: ts, messages: [] }, dropTo: ts });
    this.#cursor = ts;
  }

  #setLive() {
    this.#attempt = 0;
    this.#setState("live");
  }

  #planExtension() {
    const left = expiryOf(this.#token) - this.#clock.now();
    if (Number.isNaN(left)) return;
    // If the token seems to have expired, the clocks differ.
    this.#later(left > 0 ? Math.max(1000, left - Math.min(120e3, left / 4)) : 30e3, () => this.#extend());
  }

  async #extend() {
    const round = this.#round;
    const token = await this.#askToken();
    if (round !== this.#round) return;
    if (!token) return this.#planExtension();
    this.#ask({ op: "login", token }, (reply) => {
      if (!reply) return;
      if (reply.code === "bad_token") return this.#halt(reply.code, reply.message);
      if (reply.op === "ok") this.#token = token;
      this.#planExtension();
    });
  }

  // -- is the connection alive? --

  #checkLife() {
    const left = this.#heardAt + this.#login.ping * 1000 - this.#clock.now();
    const wasSetBack = left > this.#login.ping * 1000; // the clock
    if (left <= 0 || wasSetBack) this.#ping();
    else this.#later(left, () => this.#checkLife());
  }

  #ping() {
    if (this.#isPinging) return;
    this.#isPinging = this.#isQuiet = true;
    this.#ask({ op: "ping" }, () => {});
    this.#later(PING_DEADLINE_MS, () => {
      this.#isPinging = false;
      if (this.#isQuiet) this.#retry("the connection is dead", "dead");
      else this.#checkLife();
    });
  }

  // -- entries --

  #onMessage(frame) {
    const round = this.#round;
    const item = frame.from === this.#user ? this.#outbox.items.get(frame.key) : undefined;
    if (item) this.#outbox.settle(item, { ok: true, ts: frame.ts, mid: frame.mid, dup: false });
    if (round === this.#round) this.#take(frame, toMessage(frame), item);
  }

  // The next entry of the timeline: a msg, or the ok of a send.
  #take({ ts, prev }, message, item) {
    if (prev !== this.#cursor) return this.#retry(`entries between ${this.#cursor} and ${ts} are missing`, "gap");
    this.#cursor = ts;
    this.#commits.add({ take: { epoch: this.#epoch, from: prev, cursor: ts, messages: [message] } });
    this.#emit("message", { message, replayed: ts <= this.#login.last, item });
  }

  // -- sending --

  send(to, text, { key = randomKey() } = {}) {
    if (!isUserName(to)) throw new TypeError(`${to} is no user name`);
    if (typeof text !== "string" || text === "") throw new TypeError("text must be a string that is not empty");
    if (this.#outbox.items.has(key)) throw new TypeError(`the key ${key} is in the outbox already`);
    const item = { key, to, text: toWellFormed(text), at: this.#clock.now(), tab: this.#tabs.id, status: "waiting" };
    const outcome = new Promise((resolve) => this.#resolvers.set(item, resolve));
    Object.defineProperty(item, "outcome", { value: outcome });
    this.#outbox.items.set(key, item);
    this.#emit("outbox", { item });
    this.#loading.then(() => this.#commits.add({ put: [item] })).then(() => this.#outbox.enqueue(item));
    return item;
  }

  retry(key) {
    const item = this.#outbox.items.get(key);
    return item?.status === "failed" && this.discard(key) ? this.send(item.to, item.text) : undefined;
  }

  discard(key) {
    return this.#outbox.discard(key);
  }

  // Why an item must not be sent: [code, message].
  #faultOf(item) {
    const { text } = this.#login.limits;
    if (utf8Length(item.text) > text) return ["too_large", `the text has more than ${text} bytes`];
    if (item.text.includes("\0")) return ["bad_request", "the text holds U+0000"];
    return undefined;
  }

  // The entry of an item that was tried long ago; null: it was never stored; undefined: nothing tells.
  async #findSent({ key, to, tried }) {
    const since = (tried - CLOCK_LEEWAY_MS) * 1000;
    try {
      for await (const { messages } of this.history({ with: to, limit: 1000 })) {
        const found = messages.find((message) => message.from === this.#user && message.key === key);
        if (found || messages[0]?.ts < since) return found ?? null;
      }
      return this.#login.first > since ? undefined : null;
    } catch {
      return undefined;
    }
  }

  #transmit(item, onReply) {
    const { to, text, key } = item;
    item.tried ??= this.#clock.now();
    this.#ask({ op: "send", to, text, key }, (reply) => {
      if (!reply) return;
      const round = this.#round;
      onReply(reply);
      if (reply.op !== "ok" || reply.dup || round !== this.#round) return;
      this.#take(reply, toMessage({ ...reply, from: this.#user, to, text, key }), item);
    });
  }

  #onOutcome(item, outcome) {
    if (this.#outbox.items.has(item.key)) this.#commits.add({ put: [item] }); // failed: it stays
    else this.#commits.add({ remove: [item.key] });
    this.#resolvers.get(item)?.(outcome);
    this.#emit("outbox", { item, outcome });
  }

  // -- conversations --

  history(range = {}) { return this.#calls.pages({ ...range, op: "history" }, range.after === undefined ? "before" : "after"); }
  peers(range = {}) { return this.#calls.pages({ ...range, op: "peers" }, "before"); }
  seen(user, ts) { return this.#calls.seen(user, ts); }
  typing(to) { this.#calls.typing(to); }
  watch(users) { return this.#calls.watch([...users]); }
}
