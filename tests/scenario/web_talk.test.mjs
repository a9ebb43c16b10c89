// The web client in Chromium: people talk, the server is killed between, accounts come and go.
import assert from "node:assert/strict";
import path from "node:path";
import fs from "node:fs";
import { siteOf, useBrowser, Visitor } from "./lib/browser.mjs";
import { onServers, scenario } from "./lib/harness.mjs";
import { makeKey, makeToken, now } from "./lib/jwt.mjs";
import { TLS } from "./lib/certificate.mjs";
import { Api } from "./lib/api.mjs";
import { Proxy } from "./lib/proxy.mjs";
import { runToEnd, withDataDir } from "./lib/server.mjs";

const newDevice = useBrowser();

async function visit(harness, user, options) {
  const device = await newDevice(options);
  const visitor = await Visitor.open(device, siteOf(harness.server));
  visitor.device = device;
  await visitor.logIn(user);
  return visitor;
}

async function leave(...visitors) {
  for (const { page } of visitors) await page.context().close();
  for (const visitor of visitors) visitor.check();
}

// The same data again, at the same address, which is the origin of the page.
function startThere(harness) {
  const at = [`${harness.server.address.host}:${harness.server.address.port}`];
  return harness.startAgain(TLS ? { listenTls: at } : { listen: at });
}

onServers("the web client", { shards: [2] }, (harness, it) => {
  it("two people talk: sent, seen, unseen, online, typing", async () => {
    const [ann, ben] = [harness.name("ann"), harness.name("ben")];
    const one = await visit(harness, ann);
    const two = await visit(harness, ben);
    await one.writeTo(ben);
    await one.send("hello");
    await one.page.locator(".message.mine .mark[data-seen='false']").waitFor();
    await two.untilRow(ann, { unseen: 1, preview: "hello" });
    assert.equal(await two.page.title(), "(1) chitchat");
    await one.untilRow(ben, { isOnline: true });
    await two.choose(ann);
    await two.untilTexts(["hello"]);
    await one.page.locator(".message.mine .mark[data-seen='true']").waitFor();
    await two.untilRow(ann, { unseen: 0 });
    await two.until("no count in the title", async () => (await two.page.title()) === "chitchat");
    await two.page.locator("#text").pressSequentially("hi");
    await one.until("typing", async () => (await one.page.textContent("#peer-state")) === "typing …");
    await two.page.press("#text", "Enter");
    await one.untilTexts(["hello", "hi"]);
    await one.until("no longer typing", async () => (await one.page.textContent("#peer-state")) === "online");
    await two.device.close();
    await one.untilRow(ben, { isOnline: false });
    two.check();
    await leave(one);
  });

  it("three people: the newest conversation is first, each has its count", async () => {
    const names = ["ann", "ben", "cy"].map((name) => harness.name(name));
    const [one, two, three] = [await visit(harness, names[0]), await visit(harness, names[1]), await visit(harness, names[2])];
    await two.writeTo(names[0]);
    await two.send("from two");
    await one.untilRow(names[1], { unseen: 1 });
    await three.writeTo(names[0]);
    for (const text of ["a", "b", "c"]) await three.send(text);
    await one.untilRow(names[2], { unseen: 3, preview: "c" });
    assert.deepEqual(await one.page.locator("#list .name").allTextContents(), [names[2], names[1]]);
    assert.equal(await one.page.title(), "(4) chitchat");
    await two.send("again");
    await one.until("the other order", async () => (await one.page.locator("#list .name").first().textContent()) === names[1]);
    await one.choose(names[2]);
    await one.untilTexts(["a", "b", "c"]);
    await one.untilRow(names[2], { unseen: 0 });
    await one.page.reload();
    await one.isConnected();
    await one.untilRow(names[1], { unseen: 2, preview: "again" });
    await one.untilRow(names[2], { unseen: 0 });
    await one.untilTexts(["a", "b", "c"]);
    await leave(one, two, three);
  });

  it("the title counts what is not seen in more conversations than a page has", async () => {
    const ann = harness.name("ann");
    for (let n = 0; n < 53; n++) {
      const peer = await harness.login(harness.name(`peer${n}`));
      await peer.send(ann, "hello");
      peer.terminate();
    }
    const one = await visit(harness, ann);
    await one.until("the count", async () => (await one.page.title()) === "(53) chitchat");
    await leave(one);
  });

  it("two tabs of one user: both show what either sends, and what either has seen", async () => {
    const [ann, ben] = [harness.name("ann"), harness.name("ben")];
    const one = await visit(harness, ann);
    const tab = await Visitor.open(one.device, siteOf(harness.server));
    await tab.isConnected();
    const two = await visit(harness, ben);
    await two.writeTo(ann);
    await two.send("to both");
    for (const each of [one, tab]) await each.untilRow(ben, { unseen: 1 });
    await tab.choose(ben);
    await one.untilRow(ben, { unseen: 0 });
    await tab.send("from one");
    await one.untilRow(ben, { preview: "You: from one" });
    await one.choose(ben);
    await one.untilTexts(["to both", "from one"]);
    // Another user in the second tab leaves the first one as it is; a logout ends both tabs of a user.
    await tab.page.click("#menu summary");
    await tab.page.click("#switch");
    await tab.logIn(harness.name("cy"));
    assert.equal(await one.page.textContent("#my-name"), ann);
    tab.check();
    await leave(one, two);
  });

  it("a user is remembered over a reload; a logout forgets, in all tabs", async () => {
    const [ann, ben] = [harness.name("ann"), harness.name("ben")];
    const one = await visit(harness, ann);
    await one.writeTo(ben);
    await one.send("a message");
    await one.untilRow(ben, { preview: "You: a message" });
    const other = await harness.login(ben);
    await other.send(ann, "a reply");
    await one.until("the reply is read out", async () => /a reply/.test(await one.page.textContent("#announcer")));
    await one.page.reload();
    await one.isConnected();
    assert.equal(await one.page.textContent("#my-name"), ann);
    await one.untilTexts(["a message", "a reply"]);
    await other.send(ann, "another reply");
    await one.untilTexts(["a message", "a reply", "another reply"]);
    await one.page.fill("#text", "a draft");
    const tab = await Visitor.open(one.device, siteOf(harness.server));
    await tab.isConnected();
    // The other tab stores messages until it gets the news.
    let isOver = false;
    const sending = (async () => {
      while (!isOver) await other.send(ann, "meanwhile");
    })();
    await one.page.click("#menu summary");
    await one.page.click("#log-out");
    for (const each of [one, tab]) await each.page.locator("#login").waitFor();
    isOver = true;
    await sending;
    // The database goes when both tabs have closed it.
    await one.until("no database", () => one.page.evaluate(async () => (await indexedDB.databases()).length === 0));
    const left = await one.page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.title, document.body.outerHTML, document.getElementById("text").value]));
    assert.deepEqual(left.match(new RegExp(`.{30}(${ann}|${ben}|a message|a reply|another reply|a draft|meanwhile)`, "g")), null);
    await one.page.reload();
    await one.page.locator("#login").waitFor();
    tab.check();
    await leave(one);
  });

  it("a browser that stores nothing forgets the user with the page, and does all else", async () => {
    const [ann, ben] = [harness.name("ann"), harness.name("ben")];
    const at = await newDevice();
    await at.addInitScript(() => {
      const refuse = () => {
        throw new DOMException("denied", "SecurityError");
      };
      for (const name of ["localStorage", "sessionStorage"]) Object.defineProperty(globalThis, name, { get: refuse });
      IDBFactory.prototype.open = refuse;
    });
    const one = await (await Visitor.open(at, siteOf(harness.server))).logIn(ann);
    await one.writeTo(ben);
    await one.send("hello");
    await one.untilRow(ben, { preview: "You: hello" });
    await one.page.click("#menu summary");
    await one.page.click("#log-out");
    await one.page.locator("#login").waitFor();
    await one.logIn(ben);
    await one.untilRow(ann, { preview: "hello", unseen: 1 });
    await one.page.reload();
    await one.page.locator("#login").waitFor();
    one.check();
    await at.close();
  });

  it("a message that is refused keeps its text and says why; it can be sent again, edited, deleted", async () => {
    const [ann, ben] = [harness.name("ann"), harness.name("ben")];
    const one = await visit(harness, ann);
    await one.writeTo(ben);
    for (const text of ["zero \0 byte", "another \0 one"]) await one.send(text);
    await one.until("two failed", async () => (await one.page.locator(".failed").count()) === 2);
    assert.match(await one.page.locator(".failed .problem").first().textContent(), /^Not sent: .*U\+0000/);
    await one.page.reload();
    await one.isConnected();
    await one.untilTexts(["zero \0 byte", "another \0 one"]);
    const button = (name) => one.page.locator(".failed").first().getByRole("button", { name }).click();
    await button("Send again");
    await one.untilTexts(["another \0 one", "zero \0 byte"]);
    await one.until("both failed again", async () => (await one.page.locator(".failed").count()) === 2);
    await button("Delete");
    await one.untilTexts(["zero \0 byte"]);
    await button("Edit");
    assert.equal(await one.page.inputValue("#text"), "zero \0 byte");
    await one.send("no zero byte");
    await one.untilTexts(["no zero byte"]);
    await one.page.locator(".mark[data-seen='false']").waitFor();
    // Too long: the text stays where it is written.
    const long = "é".repeat(8193);
    await one.send(long);
    assert.match(await one.page.textContent("#text-problem"), /2 bytes too long/);
    assert.equal(await one.page.inputValue("#text"), long);
    await one.send(long.slice(1));
    await one.untilTexts(["no zero byte", long.slice(1)]);
    // The row says so until something newer is to be shown there.
    const isProblem = async () => (await one.page.locator("#list .preview.problem").count()) === 1;
    await one.send("a third \0");
    await one.untilRow(ben, { preview: "Not sent: a third \0" });
    assert.equal(await isProblem(), true);
    const other = await harness.login(ben);
    await other.ok({ op: "typing", to: ann });
    await one.untilRow(ben, { preview: "typing …" });
    assert.equal(await isProblem(), false);
    await other.send(ann, "a reply");
    await one.untilRow(ben, { preview: "a reply" });
    assert.equal(await isProblem(), false);
    await leave(one);
  });
});

scenario("the server is killed between messages of three people: they arrive once and in order, and the focus stays", { shards: [2] }, async (harness) => {
  await harness.start();
  const one = await visit(harness, "ann");
  const two = await visit(harness, "ben");
  const three = await visit(harness, "cy");
  await one.writeTo("ben");
  await two.writeTo("ann");
  await three.writeTo("ann");
  await one.send("1");
  await two.untilTexts(["1"]);
  await two.page.focus("#text");
  await one.page.fill("#text", "a draft");
  for (let round = 2; round < 6; round += 2) {
    await harness.server.kill();
    await one.page.locator("#banner").waitFor();
    assert.match(await one.page.textContent("#banner"), /no connection/);
    await one.send(String(round));
    await two.send(String(round + 1));
    await three.send(`${round} of a third`);
    assert.equal(await one.page.locator(".unsent").count(), 1);
    assert.equal(await one.page.locator(".unsent .status").textContent(), "not sent yet");
    await startThere(harness);
    // Their order between the two is that of the reconnects.
    await one.until("all messages", async () => (await one.page.locator(".message:not(.unsent)").count()) === round + 1);
    await two.until("all messages", async () => (await two.page.locator(".message:not(.unsent)").count()) === round + 1);
    assert.equal(await two.page.evaluate(() => document.activeElement.id), "text");
    await one.page.locator("#banner").waitFor({ state: "hidden" });
  }
  const texts = await one.texts();
  assert.deepEqual(texts.toSorted(), ["1", "2", "3", "4", "5"]);
  assert.deepEqual(await two.texts(), texts);
  await one.untilRow("cy", { unseen: 2, preview: "4 of a third" });
  await one.choose("cy");
  await one.untilTexts(["2 of a third", "4 of a third"]);
  assert.deepEqual(await three.texts(), ["2 of a third", "4 of a third"]);
  await leave(one, two, three);
});

// A dump in which ben has sent ann one message at each of these ts.
function dumpOf(list) {
  const line = (user, ts, n) => JSON.stringify({ user, ts, other_ts: ts, mid: `MiH0RiMkBAGlHs4mkkA${n}`, from: "ben", to: "ann", text: `message ${n}` });
  return ["ann", "ben"].flatMap((user) => list.map((ts, n) => line(user, ts, n))).join("\n") + "\n";
}

scenario("days of the past, an erased timeline, another data set: the page shows what the server has", { shards: [2] }, (harness) =>
  withDataDir(async (dir) => {
    const noon = new Date().setUTCHours(12, 0, 0, 0);
    const ago = (days, hours = 0) => (noon - days * 86400e3 - hours * 3600e3) * 1000;
    fs.writeFileSync(path.join(dir, "dump"), dumpOf([ago(800), ago(2, 11.9), ago(2), ago(1, 12), ago(0, 12)]));
    const end = runToEnd(["import", "--from", path.join(dir, "dump"), "--data", path.join(dir, "data"), "--shards", "2"]);
    assert.equal(end.status, 0, end.stderr);
    await harness.start({ data: path.join(dir, "data"), options: ["--admin", "127.0.0.1:0"] });
    const device = await newDevice({ timezoneId: "UTC" });
    await device.addInitScript((at) => {
      const [now, offset] = [Date.now, at - Date.now()];
      Date.now = () => now() + offset;
    }, noon);
    const one = await Visitor.open(device, siteOf(harness.server));
    await one.logIn("ann");
    await one.choose("ben");
    await one.untilTexts([0, 1, 2, 3, 4].map((n) => `message ${n}`));
    const format = (days, more) => new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long", timeZone: "UTC", ...more }).format(ago(days) / 1000);
    const isThisYear = new Date(ago(2) / 1000).getUTCFullYear() === new Date(noon).getUTCFullYear();
    assert.deepEqual(await one.page.locator(".day").allTextContents(), [format(800, { year: "numeric" }), format(2, isThisYear ? {} : { year: "numeric" }), "Yesterday", "Today"]);

    // The connection is closed; after the next login the cursor is below `first`.
    await one.page.fill("#text", "a draft");
    const api = new Api(harness.server.admin);
    await api.expect(200, "DELETE", "/api/v1/users/ann");
    api.close();
    await one.untilTexts([]);
    assert.deepEqual(await one.page.locator(".day").allTextContents(), []);
    await one.until("an empty row", async () => (await one.row("ben")).preview === "");
    let ben = await harness.login("ben");
    await ben.send("ann", "after it");
    await one.untilTexts(["after it"]);

    // The server comes back with another data set: what the page had is void.
    await harness.server.kill();
    const at = [`${harness.server.address.host}:${harness.server.address.port}`];
    await harness.start(TLS ? { listenTls: at } : { listen: at });
    await one.isConnected();
    await one.untilTexts([]);
    await one.untilRow("ben", { preview: "", unseen: 0 });
    assert.equal(await one.page.inputValue("#text"), "a draft");
    ben = await harness.login("ben");
    await ben.send("ann", "a new beginning");
    await one.untilTexts(["a new beginning"]);
    await one.send("yes");
    await one.untilTexts(["a new beginning", "yes"]);
    await leave(one);
  }));

scenario("while connecting takes long the page says that there is no connection", { shards: [2] }, async (harness) => {
  await harness.start();
  const device = await newDevice();
  await device.addInitScript(() => {
    const { WebSocket, setTimeout } = window;
    const silent = { send() {}, close() {} };
    window.WebSocket = class {
      constructor(...of) {
        return window.isSilent ? silent : new WebSocket(...of);
      }
    };
    // No attempt is given up.
    window.setTimeout = (call, ms, ...of) => (ms === 20e3 ? 0 : setTimeout(call, ms, ...of));
  });
  const one = await Visitor.open(device, siteOf(harness.server));
  await one.logIn("ann");
  await one.writeTo("ben");
  await one.page.evaluate(() => (window.isSilent = true));
  await harness.server.kill();
  await one.page.locator("#banner").waitFor();
  assert.match(await one.page.textContent("#banner"), /no connection/);
  // Another user who logs in does not get that of the one before.
  await one.page.evaluate(() => (window.isSilent = false));
  await startThere(harness);
  await one.page.click("#menu summary");
  await one.page.click("#switch");
  assert.equal(await one.page.locator("#banner").isVisible(), false);
  await one.logIn("cy");
  assert.equal(await one.page.locator("#banner").isVisible(), false);
  await leave(one);
});

scenario("unsent messages outlive the page: closed while the server is down, opened again later", { shards: [2] }, async (harness) => {
  await harness.start();
  const one = await visit(harness, "ann");
  await one.writeTo("ben");
  await one.send("sent");
  await one.page.locator(".mark").waitFor();
  await harness.server.kill();
  await one.page.locator("#banner").waitFor();
  await one.send("unsent 1");
  await one.send("unsent 2");
  await one.until("both stored", () => one.page.evaluate(async () => {
    const [{ name }] = await indexedDB.databases();
    const database = await new Promise((resolve) => (indexedDB.open(name).onsuccess = ({ target }) => resolve(target.result)));
    const count = await new Promise((resolve) => (database.transaction("outbox").objectStore("outbox").count().onsuccess = ({ target }) => resolve(target.result)));
    database.close();
    return count === 2;
  }));
  await one.page.close();
  await startThere(harness);
  const again = await Visitor.open(one.device, siteOf(harness.server));
  await again.isConnected();
  await again.choose("ben");
  await again.untilTexts(["sent", "unsent 1", "unsent 2"]);
  await again.until("all sent", async () => (await again.page.locator(".mark").count()) === 3);
  await leave(again);
});

scenario("quick sends over the rate arrive in order, also if the page is loaded anew meanwhile", { shards: [2] }, async (harness) => {
  await harness.start({ options: ["--send-rate", "2"] });
  const one = await visit(harness, "ann");
  const two = await visit(harness, "ben");
  await two.writeTo("ann");
  await one.writeTo("ben");
  const texts = ["1", "2", "3", "4", "5", "6"];
  for (const text of texts) await one.send(text);
  await one.untilTexts(texts);
  await one.page.reload();
  await two.untilTexts(texts);
  await one.untilTexts(texts);
  await leave(one, two);
});

scenario("a token logs in, by itself or beside a name; a bad one is refused with its reason; a new one is asked for", { shards: [2] }, (harness) =>
  withDataDir(async (dir) => {
    const key = makeKey("HS256");
    fs.writeFileSync(path.join(dir, "secret"), key.secret, { mode: 0o600 });
    await harness.start({ options: ["--auth", "token", "--token-secrets", path.join(dir, "secret")] });
    const one = await Visitor.open(await newDevice(), siteOf(harness.server));
    await one.page.fill("#user", "ann");
    await one.page.click("#log-in");
    await one.until("the reason", async () => /token/.test(await one.page.textContent("#login-problem")));
    await one.page.fill("#user", "");
    await one.page.fill("#token", "nonsense");
    await one.page.click("#log-in");
    await one.until("the reason", async () => /not accepted/.test(await one.page.textContent("#login-problem")));
    assert.equal(await one.page.evaluate(() => document.activeElement.id), "token");
    await one.page.fill("#token", `${makeToken(key, { sub: "ann", exp: now() + 6 })}\n`);
    await one.page.press("#token", "Enter");
    await one.isConnected();
    assert.equal(await one.page.textContent("#my-name"), "ann");
    // Some time before its end the page asks for the next one.
    await one.page.locator("#renew").waitFor();
    await one.page.fill("#new-token", makeToken(key, { sub: "ann" }));
    await one.page.press("#new-token", "Enter");
    await one.page.locator("#renew").waitFor({ state: "hidden" });
    await one.page.reload();
    await one.isConnected();
    await leave(one);
  }));

scenario("under a path prefix behind nginx the client works, and keeps its account apart from that of other paths", { shards: [2] }, async (harness) => {
  await harness.start({ options: ["--host", "chat.example.org", "--trust-proxy", "127.0.0.1"] });
  const proxy = await Proxy.start("nginx", { server: harness.server.address, hasPrefix: true });
  try {
    const site = `http://127.0.0.1:${proxy.ports.plain}/chat/`;
    const one = await Visitor.open(await newDevice(), site);
    await one.logIn("ann");
    const two = await Visitor.open(await newDevice(), site);
    await two.logIn("ben");
    await one.writeTo("ben");
    await one.send("by way of a proxy");
    await two.choose("ann");
    await two.untilTexts(["by way of a proxy"]);
    assert.deepEqual(await one.page.evaluate(() => Object.keys(localStorage)), ["chitchat /chat/"]);
    await two.page.reload();
    await two.isConnected();
    await two.untilTexts(["by way of a proxy"]);
    await leave(one, two);
  } finally {
    await proxy.end();
  }
});
