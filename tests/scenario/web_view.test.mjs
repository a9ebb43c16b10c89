// The web client in Chromium: what stands where, at every width; hostile texts; keyboard, screen readers, contrast.
import assert from "node:assert/strict";
import fs from "node:fs";
import { isInPane, siteOf, useBrowser, Visitor } from "./lib/browser.mjs";
import { onServers } from "./lib/harness.mjs";
import { until } from "./lib/server.mjs";

const newDevice = useBrowser();
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
const AXE = fs.readFileSync(new URL(import.meta.resolve("axe-core/axe.min.js")), "utf8");

async function visit(harness, user, options, { init, fragment = "" } = {}) {
  const device = await newDevice(options);
  if (init) await device.addInitScript(init);
  const visitor = await Visitor.open(device, siteOf(harness.server) + fragment);
  await visitor.logIn(user);
  return visitor;
}

async function leave(...visitors) {
  for (const { page } of visitors) await page.context().close();
  for (const visitor of visitors) visitor.check();
}

// Two names, of which the second has sent `count` messages to the first; and a client that goes on with that.
async function talk(harness, count, textOf = (i) => `message ${i}`) {
  const [ann, ben] = [harness.name("ann"), harness.name("ben")];
  const client = await harness.login(ben);
  for (let i = 0; i < count; i++) await client.send(ann, textOf(i));
  return { ann, ben, client };
}

const topOf = (visitor, text) => visitor.message(text).evaluate((element) => element.getBoundingClientRect().top);
const scrollBy = (visitor, pixels) => visitor.page.locator("#pane").evaluate((pane, by) => (pane.scrollTop += by), pixels);
const isAtEnd = (visitor) => visitor.page.locator("#pane").evaluate((pane) => pane.scrollHeight - pane.scrollTop - pane.clientHeight < 2);

// All is seen, and the server knows it.
async function allSeen(harness, visitor, me, user) {
  await visitor.choose(user);
  await visitor.page.locator(".message").first().waitFor();
  await visitor.page.locator("#pane").evaluate((pane) => (pane.scrollTop = pane.scrollHeight));
  await visitor.untilRow(user, { unseen: 0 });
  const client = await harness.login(me);
  await until("the mark", async () => (await client.request({ op: "peers" })).peers.every(({ unseen }) => unseen === 0));
}

onServers("the view of the web client", { shards: [2] }, (harness, it) => {
  it("on a phone, after a login with more than 50 messages, the end is shown and own messages too", async () => {
    const { ann, ben, client } = await talk(harness, 70);
    const one = await visit(harness, ann, PHONE);
    await allSeen(harness, one, ann, ben);
    await client.send(ann, "the newest");
    await one.message("the newest").waitFor();
    await one.until("the end", () => isAtEnd(one));
    await one.send("an answer");
    await one.until("the answer in the pane", () => isInPane(one.page.locator("#messages .text").last()));
    assert.equal(await one.page.locator("#messages .text").last().textContent(), "an answer");
    // The pane gets smaller, as for a keyboard: its end stays in view.
    await one.page.setViewportSize({ width: 390, height: 500 });
    await one.until("the end", () => isAtEnd(one));
    await leave(one);
  });

  it("what comes while the user reads further up does not move the text; a button says how much it is", async () => {
    const { ann, ben, client } = await talk(harness, 60);
    const one = await visit(harness, ann);
    await allSeen(harness, one, ann, ben);
    await scrollBy(one, -600);
    await one.page.locator("#down").waitFor();
    assert.equal(await one.page.textContent("#down"), "Newest");
    const before = await topOf(one, "message 50");
    await client.send(ann, "new 1");
    await client.send(ann, "new 2");
    await one.until("the count", async () => (await one.page.textContent("#down")) === "2 new");
    assert.equal(await topOf(one, "message 50"), before);
    await one.untilRow(ben, { unseen: 2 });
    await one.page.fill("#text", "a long\ntext\n".repeat(8));
    const [button, field] = await Promise.all(["#down", "#composer"].map((id) => one.page.locator(id).boundingBox()));
    assert.ok(button.y + button.height < field.y, `the button covers the field: ${JSON.stringify([button, field])}`);
    await one.page.fill("#text", "");
    await one.page.click("#down");
    await one.until("the end", () => isAtEnd(one));
    await one.untilRow(ben, { unseen: 0 });
    await one.page.locator("#down").waitFor({ state: "hidden" });
    await leave(one);
  });

  it("the user's own message is shown though they had scrolled up", async () => {
    const { ann, ben } = await talk(harness, 60);
    const one = await visit(harness, ann, PHONE);
    await allSeen(harness, one, ann, ben);
    await scrollBy(one, -900);
    await one.page.locator("#down").waitFor();
    await one.send("my own");
    await one.until("it in the pane", () => isInPane(one.message("my own")));
    await one.until("the end", () => isAtEnd(one));
    await leave(one);
  });

  it("a message that comes while the pane is scrolled, and is not drawn yet, breaks nothing", async () => {
    const { ann, ben, client } = await talk(harness, 20);
    const init = () => {
      const { set } = Object.getOwnPropertyDescriptor(WebSocket.prototype, "onmessage");
      const scroll = (handler) => handler && ((event) => (handler(event), document.getElementById("pane").onscroll?.()));
      Object.defineProperty(WebSocket.prototype, "onmessage", { set(handler) { set.call(this, scroll(handler)); } });
    };
    const one = await visit(harness, ann, {}, { init });
    await allSeen(harness, one, ann, ben);
    await client.send(ann, "while it is scrolled");
    await one.message("while it is scrolled").waitFor();
    await one.untilRow(ben, { unseen: 0 });
    await leave(one);
  });

  it("older messages are loaded above, and what is read stays where it is", async () => {
    const { ann, ben } = await talk(harness, 170, (i) => (i % 7 === 0 ? `message ${i}\n`.repeat(3) : `message ${i}`));
    const one = await visit(harness, ann);
    await allSeen(harness, one, ann, ben);
    await one.page.reload();
    for (const oldest of [120, 70, 20]) {
      await one.until(`message ${oldest} first`, async () => new RegExp(`^message ${oldest}\\b`).test((await one.texts())[0]));
      // At the top the page above is loaded. The message that was the first one then keeps its place.
      await one.page.evaluate(() => {
        const pane = document.getElementById("pane");
        const element = document.querySelector(".message");
        pane.scrollTop = 0;
        window.first = { element, top: element.getBoundingClientRect().top };
      });
      await one.until("older ones above", () => one.page.evaluate(() => document.querySelector(".message") !== window.first.element));
      const moved = await one.page.evaluate(() => window.first.element.getBoundingClientRect().top - window.first.top);
      assert.ok(Math.abs(moved) < 2, `it moved by ${moved} px`);
    }
    await one.until("all messages", async () => (await one.page.locator(".message").count()) === 170);
    const numbers = (await one.texts()).map((text) => Number(/\d+/.exec(text)[0]));
    assert.deepEqual(numbers, Array.from({ length: 170 }, (_, i) => i));
    await leave(one);
  });

  it("older messages that have come are shown before more are loaded", async () => {
    const { ann, ben } = await talk(harness, 170);
    const one = await visit(harness, ann);
    await allSeen(harness, one, ann, ben);
    await one.page.reload();
    await one.until("message 120 first", async () => (await one.texts())[0] === "message 120");
    // The page is shown late, and the pane scrolls at its top meanwhile.
    await one.page.evaluate(() => {
      const { setTimeout } = window;
      window.setTimeout = (call, ms = 0, ...values) => setTimeout(call, ms + 500, ...values);
      const pane = document.getElementById("pane");
      pane.scrollTop = 0;
      const shown = document.querySelectorAll(".message").length;
      window.scrolls = setInterval(() => {
        if (document.querySelectorAll(".message").length > shown) clearInterval(window.scrolls);
        else pane.dispatchEvent(new Event("scroll"));
      }, 5);
    });
    await one.until("older ones above", async () => (await one.texts())[0] !== "message 120");
    assert.equal((await one.texts())[0], "message 70");
    await leave(one);
  });

  it("a conversation with many new messages opens at the first of them, under a line", async () => {
    const { ann, ben, client } = await talk(harness, 20);
    const one = await visit(harness, ann);
    await allSeen(harness, one, ann, ben);
    await one.page.goto(siteOf(harness.server));
    await one.isConnected();
    for (let i = 0; i < 120; i++) await client.send(ann, `new ${i}`);
    await one.untilRow(ben, { unseen: 120 });
    await one.choose(ben);
    const line = one.page.locator(".line.new");
    await line.waitFor();
    await one.until("the line in the pane", () => isInPane(line));
    assert.equal(await line.evaluate((element) => element.nextElementSibling.querySelector(".text").textContent), "new 0");
    const { unseen } = await one.row(ben);
    assert.ok(unseen > 0, "what is below the pane is not seen");
    await leave(one);
  });

  it("days stand between messages, each once", async () => {
    const { ann, ben } = await talk(harness, 3);
    const one = await visit(harness, ann);
    await one.choose(ben);
    await one.message("message 2").waitFor();
    assert.deepEqual(await one.page.locator(".day").allTextContents(), ["Today"]);
    await leave(one);
  });

  const HOSTILE = {
    "HTML": "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script><b>bold</b> &amp; &lt;",
    "right to left": "مرحبا بالعالم، hello 123\nעברית first, then English",
    "overrides of direction": "abc \u202Edef\u202E \u2066ghi \u200F(x)",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈👍🏽 🇩🇪 1️⃣",
    "combining marks": `Z${"\u0351\u036B\u0343".repeat(40)}algo${"\u0323\u0325".repeat(40)}`,
    "16 KiB": "long text, ".repeat(1489).slice(0, 16384),
    "a word of 600 letters": "w".repeat(600),
    "blanks and lines": "  two  blanks\n\n\n\tand a tab\n",
    "a link that runs code": "javascript:document.title='owned'//example.org/",
  };

  it("hostile texts are shown as they are, and break nothing at 320 px", async () => {
    const { ann, ben, client } = await talk(harness, 0);
    const texts = Object.values(HOSTILE);
    for (const text of texts) await client.send(ann, text);
    const one = await visit(harness, ann, { ...PHONE, viewport: { width: 320, height: 568 } });
    const width = () => one.page.evaluate(() => document.documentElement.scrollWidth);
    await one.untilRow(ben, { unseen: texts.length });
    assert.equal(await width(), 320);
    await one.choose(ben);
    await one.untilTexts(texts);
    for (const text of texts) await one.send(text.trim());
    await one.untilTexts([...texts, ...texts.map((text) => text.trim())]);
    assert.equal(await width(), 320);
    const broken = await one.page.evaluate(() => {
      const pane = document.getElementById("pane").getBoundingClientRect();
      const bubbles = [...document.querySelectorAll(".bubble")];
      return bubbles.filter((it) => it.getBoundingClientRect().left < pane.left || it.getBoundingClientRect().right > pane.right || it.querySelector(".text").children.length > 0).length;
    });
    assert.equal(broken, 0);
    assert.equal(await one.page.evaluate(() => document.querySelectorAll("#pane img, #pane script, #pane b, #pane a").length), 0);
    assert.notEqual(await one.page.title(), "owned");
    await leave(one);
  });

  it("from 320 to 1,920 px nothing is cut off, and the message field is in view", async () => {
    const { ann, ben, client } = await talk(harness, 40);
    const other = await harness.login(harness.name("a-name-that-is-much-longer-than-most-of-them-are"));
    await other.send(ann, "hello");
    await client.send(ann, HOSTILE["a word of 600 letters"]);
    const one = await visit(harness, ann);
    await one.choose(ben);
    for (const [width, height] of [[320, 568], [390, 844], [719, 400], [720, 800], [1024, 768], [1920, 1080]]) {
      await one.page.setViewportSize({ width, height });
      const found = await one.page.evaluate(() => {
        const cut = [...document.querySelectorAll("button, input, textarea, h2, .bubble, #list li")].filter((it) => {
          const { left, right, width } = it.getBoundingClientRect();
          return width > 0 && (left < -1 || right > innerWidth + 1);
        });
        const { top, bottom } = document.getElementById("text").getBoundingClientRect();
        return { cut: cut.map((it) => it.outerHTML.slice(0, 100)), scroll: document.documentElement.scrollWidth - innerWidth, isInView: top > 0 && bottom <= innerHeight };
      });
      assert.deepEqual(found, { cut: [], scroll: 0, isInView: true }, `${width} px`);
    }
    await leave(one);
  });

  it("on a phone the list and a conversation take turns, also by the back button of the browser", async () => {
    const { ann, ben } = await talk(harness, 1);
    const one = await visit(harness, ann, PHONE);
    await one.choose(ben);
    await one.page.locator("#sidebar").waitFor({ state: "hidden" });
    await one.page.click("#back");
    await one.page.locator("#thread").waitFor({ state: "hidden" });
    await one.choose(ben);
    await one.page.goBack();
    await one.page.locator("#sidebar").waitFor();
    await leave(one);
  });

  it("fields for names change no letters", async () => {
    const one = await visit(harness, harness.name());
    for (const id of ["user", "peer"]) {
      const field = one.page.locator(`#${id}`);
      assert.deepEqual([await field.getAttribute("autocapitalize"), await field.getAttribute("autocorrect"), await field.getAttribute("spellcheck")], ["none", "off", "false"], id);
    }
    await leave(one);
  });

  it("Enter sends, Shift+Enter begins a line, and a text stays with its conversation", async () => {
    const one = await visit(harness, harness.name("ann"));
    await one.writeTo("first");
    await one.page.keyboard.type("one");
    await one.page.keyboard.press("Shift+Enter");
    await one.page.keyboard.type("two");
    const before = await one.page.locator("#text").evaluate((element) => element.clientHeight);
    await one.page.keyboard.press("Shift+Enter");
    const after = await one.page.locator("#text").evaluate((element) => element.clientHeight);
    assert.ok(after > before, "the field grows");
    await one.page.keyboard.press("Backspace");
    await one.page.keyboard.press("Enter");
    await one.untilTexts(["one\ntwo"]);
    await one.page.keyboard.press("Enter");
    await one.page.keyboard.type("a draft");
    await one.writeTo("second");
    assert.equal(await one.page.inputValue("#text"), "");
    await one.choose("first");
    assert.equal(await one.page.inputValue("#text"), "a draft");
    assert.deepEqual(await one.texts(), ["one\ntwo"]);
    await leave(one);
  });

  it("everything is reached by keys, in the order of the page", async () => {
    const { ann, ben } = await talk(harness, 2);
    const one = await visit(harness, ann);
    await one.untilRow(ben, { unseen: 2 });
    assert.equal(await one.page.evaluate(() => document.activeElement.id), "peer", "the login form had it, and is gone");
    const order = [];
    for (const key of ["Shift+Tab", "Tab", "Tab", "Tab"]) {
      await one.page.keyboard.press(key);
      order.push(await one.page.evaluate(() => document.activeElement.id || document.activeElement.getAttribute("aria-label") || document.activeElement.getAttribute("href")));
    }
    assert.deepEqual(order, ["Menu", "peer", "Open the conversation", `#${ben}`]);
    await one.page.keyboard.press("Enter");
    await one.page.getByRole("heading", { name: ben, exact: true }).waitFor();
    assert.equal(await one.page.evaluate(() => document.activeElement.id), "text");
    await one.page.locator("#menu summary").focus();
    await one.page.keyboard.press("Enter");
    await one.page.locator("#log-out").waitFor();
    await one.page.keyboard.press("Escape");
    await one.page.locator("#log-out").waitFor({ state: "hidden" });
    const focused = () => one.page.evaluate(() => document.activeElement.id || document.activeElement.closest("li")?.dataset.user);
    await one.send("refused \0");
    await one.page.getByRole("button", { name: "Send again" }).press("Enter");
    await one.until("the focus in the field", async () => (await focused()) === "text");
    await one.page.setViewportSize({ width: 320, height: 568 });
    await one.page.locator("#back").press("Enter");
    await one.until("the focus on the row", async () => (await focused()) === ben);
    await leave(one);
  });

  it("a screen reader gets each new message once, and neither older ones nor the user's own", async () => {
    const { ann, ben, client } = await talk(harness, 3);
    const one = await visit(harness, ann);
    await one.choose(ben);
    await one.message("message 2").waitFor();
    const announcer = one.page.locator("#announcer");
    assert.equal(await announcer.getAttribute("aria-live"), "polite");
    assert.equal(await announcer.textContent(), "");
    await one.send("my own");
    await client.send(ann, "to be read out");
    await one.until("the announcement", async () => (await announcer.textContent()) === `${ben}: to be read out`);
    await leave(one);
  });

  it("a message to a page that nobody looks at is notified once, if that was allowed, and counts as not seen", async () => {
    const { ann, ben, client } = await talk(harness, 1);
    const init = () => {
      window.shown = [];
      window.Notification = class {
        static permission = "default";
        static requestPermission = async () => (this.permission = "granted");
        constructor(title, { body }) {
          window.shown.push([title, body]);
        }
      };
      document.hasFocus = () => !window.isAway;
    };
    const one = await visit(harness, ann, {}, { init });
    await allSeen(harness, one, ann, ben);
    await one.page.evaluate(() => (window.isAway = true));
    await client.send(ann, "before it is allowed");
    await one.untilRow(ben, { unseen: 1 });
    await one.page.click("#menu summary");
    await one.page.click("#notify");
    assert.equal(await one.page.getAttribute("#notify", "aria-pressed"), "true");
    await client.send(ann, "<b>hello</b>");
    await one.until("the title", async () => (await one.page.title()) === "(2) chitchat");
    assert.deepEqual(await one.page.evaluate(() => window.shown), [[ben, "<b>hello</b>"]]);
    await one.page.evaluate(() => {
      window.isAway = false;
      window.dispatchEvent(new Event("focus"));
    });
    await one.untilRow(ben, { unseen: 0 });
    await leave(one);
  });

  for (const colorScheme of ["light", "dark"])
    it(`axe-core finds no serious fault, ${colorScheme}`, async () => {
      const { ann, ben, client } = await talk(harness, 3);
      await client.send(ann, "the newest");
      const one = await Visitor.open(await newDevice({ colorScheme, bypassCSP: true }), siteOf(harness.server));
      await one.page.evaluate(AXE);
      const faults = async (where) => {
        const { violations } = await one.page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
        const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
        assert.deepEqual(serious.map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)]), [], where);
      };
      const edges = () => one.page.evaluate(() => {
        const light = (colour) => colour.match(/[\d.]+/g).slice(0, 3).map((n) => (n / 255 <= 0.03928 ? n / 255 / 12.92 : ((n / 255 + 0.055) / 1.055) ** 2.4)).reduce((sum, n, at) => sum + n * [0.2126, 0.7152, 0.0722][at], 0.05);
        const contrast = (a, b) => Math.max(light(a), light(b)) / Math.min(light(a), light(b));
        const shown = [...document.querySelectorAll("input, textarea")].filter((field) => field.checkVisibility());
        return shown.map((field) => [field.id, contrast(getComputedStyle(field).borderTopColor, getComputedStyle(field).backgroundColor)]);
      });
      const fieldsAreSeen = async (wanted) => {
        const found = await edges();
        assert.deepEqual(found.map(([id, contrast]) => [id, contrast >= 3]), wanted.map((id) => [id, true]), JSON.stringify(found));
      };
      await fieldsAreSeen(["user"]);
      await faults("login");
      await one.logIn(ann);
      await one.untilRow(ben, { unseen: 4 });
      await faults("list");
      await one.choose(ben);
      for (const text of ["sent", "refused \0"]) await one.send(text);
      await one.page.locator(".failed").waitFor();
      await one.page.locator("#text").evaluate((field) => field.blur());
      await fieldsAreSeen(["peer", "text"]);
      await one.page.click("#menu summary");
      await faults("conversation");
      await one.page.click("#menu summary");
      await one.page.setViewportSize(PHONE.viewport);
      await faults("phone");
      await leave(one);
    });
});
