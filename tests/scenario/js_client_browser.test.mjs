// The JavaScript client in Chromium: tabs that share an IndexedDB, under a server that is killed, paused, limits rates and has
// a full disk; tabs that are reloaded and closed in the middle of it.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, afterEach, before } from "node:test";
import { chromium } from "playwright-core";
import { checkFramesOf } from "./lib/browser.mjs";
import { Disk } from "./lib/disk.mjs";
import { scenario } from "./lib/harness.mjs";
import { checkOrder, untilCount } from "./lib/js_talk.mjs";
import { SMALL } from "./lib/offline.mjs";
import { DEADLINE_MS, LONG, SHORT, until } from "./lib/server.mjs";
import { wholeTimeline } from "./lib/traffic.mjs";

const MESSAGES = LONG ? 10000 : 500;
const WEB = path.resolve("../../src/web");

let browser;
const contexts = [];
before(async () => {
  const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]; // no sandbox as root; /dev/shm may be small
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args, timeout: DEADLINE_MS });
});
afterEach(() => Promise.all(contexts.splice(0).map((context) => context.close())));
after(() => browser.close());

// A device: tabs in it share their storage. An empty page with the modules of src/web beside it, from the origin of the
// server, which need not run for that.
async function device(harness, { hasLocks = true } = {}) {
  // The page comes from the test, not from an address of this machine: Chromium then guards such addresses.
  const context = await browser.newContext({ permissions: ["local-network-access"] });
  contexts.push(context);
  context.setDefaultTimeout(DEADLINE_MS);
  const origin = `http://127.0.0.1:${harness.server.address.port}`;
  await context.route(`${origin}/test/**`, (route) => {
    const name = path.basename(new URL(route.request().url()).pathname);
    if (name === "page") return route.fulfill({ contentType: "text/html", body: "<!doctype html><title>test</title>" });
    return route.fulfill({ contentType: "text/javascript", body: fs.readFileSync(path.join(WEB, name)) });
  });
  if (!hasLocks) await context.addInitScript(() => Object.defineProperty(Navigator.prototype, "locks", { value: undefined }));
  return { context, url: `${origin}/test/page`, server: harness.server.url() };
}

// Runs in the page. Waits and deadlines of the client are ten times shorter.
async function startClient({ user, server, speed, random }) {
  const { Client, IndexedDBStorage } = await import("/test/chitchat.js");
  const begun = Date.now();
  const clock = { now: () => begun + (Date.now() - begun) * speed, setTimeout: (callback, ms) => setTimeout(callback, Math.min(ms / speed, 2 ** 31 - 1)), clearTimeout: (timer) => clearTimeout(timer) };
  const storage = new IndexedDBStorage(user, { keep: 1e6 });
  const client = new Client({ url: server, user, storage, clock, ...(random && { random: () => random }) });
  Object.assign(globalThis, { client, storage, states: [], errors: [], received: 0, held: 0 });
  client.on("message", () => globalThis.received++);
  client.on("outbox", ({ item }) => (globalThis.held += item.status === "held"));
  client.on("state", (event) => globalThis.states.push(event));
  client.on("error", (error) => globalThis.errors.push(String(error)));
  await client.start();
}

// Runs in the page. Resolves when all are stored, or on their way out of the storage.
async function sendAll({ tab, users, count }) {
  const { client, storage } = globalThis;
  for (let n = 0; n < count; n++) for (const user of users) client.send(user, `${tab} ${user} ${n}`);
  const newest = client.outbox.at(-1).key;
  while (client.outbox.some(({ key }) => key === newest) && !(await storage.load()).outbox.some(({ key }) => key === newest)) await new Promise((resolve) => setTimeout(resolve, 5));
}

class Tab {
  frameErrors = [];

  static async open(device, user, options = {}) {
    const tab = new Tab();
    tab.device = device;
    tab.user = user;
    tab.page = await device.context.newPage();
    checkFramesOf(tab.page, tab.frameErrors);
    await tab.load(options);
    return tab;
  }

  async load(options = {}) {
    await this.page.goto(this.device.url);
    await this.page.evaluate(startClient, { user: this.user, server: this.device.server, speed: 10, ...options });
  }

  state() {
    return this.page.evaluate(() => globalThis.client.state);
  }

  async until(state) {
    await until(`the state ${state}: ${JSON.stringify(await this.page.evaluate(() => [globalThis.states, globalThis.errors]))}`, async () => (await this.state()) === state);
  }

  // How often a message of its outbox was refused for a time.
  heldCount() {
    return this.page.evaluate(() => globalThis.held);
  }

  outboxLength() {
    return this.page.evaluate(() => globalThis.client.outbox.length);
  }

  stored() {
    return this.page.evaluate(async () => ({ ...(await globalThis.storage.load()), entries: await globalThis.storage.entries({ limit: Infinity }) }));
  }
}

// The server again at the same address, with the same data.
const again = (harness, more) => harness.startAgain({ listen: [`127.0.0.1:${harness.server.address.port}`], ...more });

// Connections are dead without being closed, and new ones get no answer, until each tab has given one up.
async function pauseServer(harness, tabs) {
  for (const tab of tabs) await tab.until("live");
  const givenUp = (tab) => tab.page.evaluate(() => globalThis.states.filter(({ code }) => code === "dead" || code === "timeout").length);
  const before = await Promise.all(tabs.map(givenUp));
  harness.server.signal("SIGSTOP");
  for (const [index, tab] of tabs.entries()) await until("a connection that is given up", async () => (await givenUp(tab)) > before[index], { every: 50 });
  harness.server.signal("SIGCONT");
}

// One of alice's tabs is closed and one is reloaded while the server is killed, and paused. `talked` gives when so much of the talk,
// 0 to 1, is over.
const killServer = ({ isPaused }) => async (harness, tabs, talked) => {
  await talked(0.1);
  await harness.server.kill();
  await tabs[1].page.close();
  await again(harness);
  await talked(0.4);
  await tabs[2].load(); // a reload: what it has not sent yet is in the storage
  if (isPaused) await pauseServer(harness, tabs.filter((tab) => !tab.page.isClosed()));
  await talked(0.5);
  await harness.server.kill();
  await again(harness);
};

// First sends are over the rate, however slow the pages are, then the server finds no room at its start.
const SLOW = { options: ["--send-rate", "1"] };
const refuseSends = (disk) => async (harness, tabs) => {
  const held = async () => (await Promise.all(tabs.map((tab) => tab.heldCount()))).reduce((sum, count) => sum + count);
  const untilMoreAreHeld = async (before) => until("sends that are held", async () => (await held()) > before, { every: 50 });
  await untilMoreAreHeld(0);
  await harness.server.kill();
  disk.rules("fail pwrite wal/segment ENOSPC", "fail pwrite,writev runs/run- ENOSPC");
  const before = await held();
  await again(harness, { options: SMALL, env: disk.env });
  await untilMoreAreHeld(before);
  disk.mend();
};

// Alice has three tabs, bob two.
async function talkInTabs(harness, options, trouble, start = {}) {
  await harness.start(start);
  const [first, second] = [await device(harness, options), await device(harness, options)];
  const users = ["alice", "bob"];
  const tabs = [];
  for (const [at, user] of [[first, "alice"], [first, "alice"], [first, "alice"], [second, "bob"], [second, "bob"]]) tabs.push(await Tab.open(at, user));
  for (const tab of tabs) await tab.until("live");
  const count = Math.ceil(MESSAGES / tabs.length / users.length);
  const talked = async (share) => {
    await untilCount("entries of the first tab", () => tabs[0].page.evaluate(() => globalThis.received), share * count * tabs.length * users.length, 100);
  };
  await Promise.all(tabs.map((tab, index) => tab.page.evaluate(sendAll, { tab: index, users, count })));
  await trouble(harness, tabs, talked);
  const left = tabs.filter((tab) => !tab.page.isClosed());
  for (const tab of left) {
    await untilCount("empty places in the outbox", async () => -(await tab.outboxLength()), 0, 200);
    await untilCount("empty places in the storage", async () => -(await tab.stored()).outbox.length, 0, 200);
  }
  return { tabs, left, users, count };
}

async function checkTabs(harness, { tabs, left, users, count }) {
  for (const user of users) {
    const reader = await harness.login(user);
    const timeline = await wholeTimeline(reader);
    reader.terminate();
    checkOrder(timeline, tabs, users, count, (to, from) => to === user || from === user, user);
    for (const tab of left.filter((of) => of.user === user)) {
      await until("the newest entry", async () => (await tab.stored()).account.cursor === timeline.at(-1).ts, { every: 200 });
      const { entries } = await tab.stored();
      assert.deepEqual(entries, timeline.map(({ ts, mid, from, to, text, key }) => ({ ts, mid, from, to, text, ...(key && { key }) })));
      assert.deepEqual([...(await tab.page.evaluate(() => globalThis.errors)), ...tab.frameErrors], []);
    }
  }
}

scenario("tabs talk while the server is killed and paused, and tabs are closed and reloaded: none lost, doubled, reordered", { shards: [2] }, async (harness) => {
  await checkTabs(harness, await talkInTabs(harness, {}, killServer({ isPaused: true })));
});

scenario("the same without Web Locks, and without a pause", { shards: [2] }, async (harness) => {
  await checkTabs(harness, await talkInTabs(harness, { hasLocks: false }, killServer({ isPaused: false })));
});

if (!SHORT)
  scenario("the same under a server that limits rates, and then has a full disk", { shards: [2] }, async (harness) => {
    const disk = new Disk();
    try {
      await checkTabs(harness, await talkInTabs(harness, {}, refuseSends(disk), SLOW));
    } finally {
      disk.clean();
    }
  });

scenario("a browser that is online again, or a page that is visible again, connects at once", { shards: [1] }, async (harness) => {
  await harness.start();
  const tab = await Tab.open(await device(harness), "alice", { speed: 1e-6, random: 0.999 }); // waits never end by themselves
  await tab.until("live");
  for (const [target, event] of [["window", "online"], ["document", "visibilitychange"]]) {
    await harness.server.kill();
    await tab.until("waiting");
    await again(harness);
    assert.equal(await tab.state(), "waiting");
    await tab.page.evaluate(([name, type]) => globalThis[name].dispatchEvent(new Event(type)), [target, event]);
    await tab.until("live");
  }
});

scenario("a logout in one tab is one in all, and leaves nothing in the storage", { shards: [1] }, async (harness) => {
  await harness.start();
  const at = await device(harness);
  const tabs = [await Tab.open(at, "alice"), await Tab.open(at, "alice")];
  for (const tab of tabs) await tab.until("live");
  await tabs[0].page.evaluate(() => globalThis.client.send("bob", "x").outcome);
  await harness.server.kill();
  await tabs[1].page.evaluate(() => void globalThis.client.send("bob", "unsent"));
  await until("a stored item", async () => (await tabs[0].stored()).outbox.length === 1);
  await tabs[0].page.evaluate(() => globalThis.client.logout());
  await tabs[1].until("stopped");
  assert.deepEqual(await tabs[1].page.evaluate(() => [globalThis.states.at(-1).code, globalThis.client.outbox.length]), ["logout", 0]);
  const { account, outbox, entries } = await tabs[0].stored();
  assert.deepEqual([account ?? null, outbox, entries], [null, [], []]);
});

scenario("a client that is stopped while it starts can be started again, and gives its lock back", { shards: [1] }, async (harness) => {
  await harness.start();
  const tab = await Tab.open(await device(harness), "alice");
  await tab.until("live");
  const locks = () => tab.page.evaluate(async () => (await navigator.locks.query()).held.length);
  const restart = (times) => tab.page.evaluate(async (count) => {
    for (let n = 0; n < count; n++) {
      await globalThis.client.stop();
      void globalThis.client.start();
    }
  }, times);
  await restart(3);
  await tab.until("live");
  assert.equal(await locks(), 1);
  await restart(1);
  await tab.page.evaluate(() => globalThis.client.stop());
  await until("the lock to be given back", async () => (await locks()) === 0);
});

scenario("the storage of a browser keeps the newest entries, and gives those of one conversation", { shards: [1] }, async (harness) => {
  await harness.start();
  const tab = await Tab.open(await device(harness), "alice");
  const found = await tab.page.evaluate(async () => {
    const { IndexedDBStorage } = await import("/test/chitchat.js");
    const storage = new IndexedDBStorage("trimmed", { keep: 100 });
    await storage.commit({ begin: { user: "alice", epoch: "e", cursor: 0 } });
    for (let ts = 1; ts <= 300; ts++) await storage.commit({ take: { epoch: "e", from: ts - 1, cursor: ts, messages: [{ ts, mid: `m${ts}`, from: ts % 2 ? "bob" : "alice", to: "alice", text: "x" }] } });
    const all = await storage.entries();
    const ofBob = await storage.entries({ with: "bob", before: 300, limit: 2 });
    await storage.commit({ take: { epoch: "e", from: 300, cursor: 310, messages: [] }, dropTo: 299 });
    const left = await storage.entries();
    return { length: all.length, newest: all.at(-1).ts, ofBob: ofBob.map(({ ts }) => ts), left: left.map(({ ts }) => ts), account: (await storage.load()).account };
  });
  assert.ok(found.length >= 100 && found.length <= 125, `${found.length} entries`);
  assert.deepEqual({ ...found, length: 0 }, { length: 0, newest: 300, ofBob: [297, 299], left: [300], account: { user: "alice", epoch: "e", cursor: 310 } });
});
