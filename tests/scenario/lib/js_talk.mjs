// People who talk by the JavaScript client, and what must be true of all that they see: nothing lost, doubled, reordered.
import assert from "node:assert/strict";
import { WebSocket } from "ws";
import { Client, MemoryStorage } from "../../../src/web/chitchat.js";
import { until } from "./server.mjs";
import { checkFrame } from "./wire.mjs";

// Time that runs faster than that of the machine, so that waits and deadlines of the client are short.
export function clockOf(speed) {
  const begun = Date.now();
  return {
    now: () => begun + (Date.now() - begun) * speed,
    setTimeout: (callback, ms) => setTimeout(callback, ms / speed),
    clearTimeout: (timer) => clearTimeout(timer),
  };
}

// A WebSocket whose frames are checked against docs/asyncapi.yaml. `violation`: the first that the document does not have.
export class CheckedSocket extends WebSocket {
  static violation;

  constructor(...of) {
    super(...of);
    this.on("message", (data) => {
      try {
        checkFrame(JSON.parse(data));
      } catch (error) {
        CheckedSocket.violation ??= error;
      }
    });
  }
}

const open = new Set();

// Ends all tabs of a test: one that is left would connect for ever.
export async function stopTabs() {
  await Promise.all([...open].map((tab) => tab.client.stop()));
  open.clear();
  const { violation } = CheckedSocket;
  CheckedSocket.violation = undefined;
  assert.ifError(violation);
}

// Until count() has reached `wanted`. However long that takes, it must grow.
export async function untilCount(what, count, wanted, every) {
  for (let had = await count(); had < wanted; ) {
    await until(() => `more of ${what}: ${had} of ${wanted}`, async () => (await count()) > had, { every });
    had = await count();
  }
}

// One connection of a user, as a tab or a device. `received`: each message that the client gave, in order.
export class Tab {
  received = [];
  sendings = [];
  codes = new Set(); // why it waited

  constructor(url, user, options = {}) {
    this.user = user;
    this.storage = options.storage ?? new MemoryStorage({ keep: 1e6 });
    this.client = new Client({ url, user, WebSocket: CheckedSocket, storage: this.storage, ...options });
    open.add(this);
    this.client.on("message", ({ message }) => this.received.push(message));
    this.client.on("state", ({ code }) => code !== undefined && this.codes.add(code));
    this.client.on("error", (error) => (this.error ??= error));
  }

  send(to, text) {
    const sending = this.client.send(to, text);
    this.sendings.push(sending);
    return sending;
  }

  until(state) {
    return until(() => `${this.user} is ${this.client.state}, not ${state}`, () => this.client.state === state, { every: 5 });
  }

  get heldCount() {
    return this.client.outbox.filter(({ status }) => status === "held").length;
  }
}

export async function tabsOf(url, users, options = () => ({})) {
  const tabs = users.map((user, index) => new Tab(url, user, options(index)));
  await Promise.all(tabs.map((tab) => tab.client.start()));
  await Promise.all(tabs.map((tab) => tab.until("live")));
  return tabs;
}

// Each tab sends so many messages to each user, in turns: `TAB USER N`, with so many bytes in front of it.
export function talk(tabs, users, count, bytes = 0) {
  const front = "x".repeat(bytes);
  for (let n = 0; n < count; n++) tabs.forEach((tab, index) => users.forEach((user) => tab.send(user, `${front}${index} ${user} ${n}`)));
  const all = tabs.flatMap((tab) => tab.sendings);
  let done = 0;
  for (const { outcome } of all) outcome.then(() => done++);
  return { count: all.length, done: () => done, all: Promise.all(all.map(({ outcome }) => outcome)) };
}

// A list of messages, oldest first: each once, `ts` ascending, and those of each tab to each user in the order in which
// they were sent, none missing. `isOf(to, from)`: whether the list has the messages of this pair.
export function checkOrder(messages, tabs, users, count, isOf, who) {
  assert.equal(new Set(messages.map(({ mid }) => mid)).size, messages.length, `${who}: a mid came twice`);
  const next = new Map();
  let newest = 0;
  for (const { ts, text } of messages) {
    assert.ok(ts > newest, `${who}: ${ts} does not come after ${newest}`);
    newest = ts;
    const [, pair, n] = /^x*(.*) (\d+)$/.exec(text);
    assert.equal(Number(n), next.get(pair) ?? 0, `${who}: ${text} comes out of order, twice, or after a lost one`);
    next.set(pair, Number(n) + 1);
  }
  tabs.forEach((tab, index) => users.forEach((user) => {
    if (isOf(user, tab.user)) assert.equal(next.get(`${index} ${user}`), count, `${who}: messages of tab ${index} to ${user}`);
  }));
}

// Every tab has had every message of its user, and its storage has the same; every outcome is that of the timeline.
export async function checkTalk(tabs, users, count) {
  for (const [index, tab] of tabs.entries()) {
    const isOf = (to, from) => to === tab.user || from === tab.user;
    const wanted = tabs.length * users.length * count - tabs.filter(({ user }) => user !== tab.user).length * (users.length - 1) * count;
    await untilCount(`the messages of tab ${index} of ${tab.user}`, () => tab.received.length, wanted, 20);
    checkOrder(tab.received, tabs, users, count, isOf, `tab ${index} of ${tab.user}`);
    await tab.client.stop();
    assert.deepEqual(await tab.storage.entries({ limit: Infinity }), tab.received, "the storage has the same");
    const { account, outbox } = await tab.storage.load();
    assert.deepEqual([account.cursor, outbox], [tab.received.at(-1).ts, []]);
    const byKey = new Map(tab.received.map((message) => [message.key, message]));
    for (const { key, outcome } of tab.sendings) {
      const { ok, ts, mid } = await outcome;
      assert.deepEqual([ok, ts, mid], [true, byKey.get(key).ts, byKey.get(key).mid]);
    }
    assert.equal(tab.error, undefined);
  }
}
