// The web client in Debian's Chromium, without a screen. One browser serves all tests of a file; each visitor has a
// context of their own, as if at a device of their own.
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { chromium } from "playwright-core";
import { DEADLINE_MS, until } from "./server.mjs";
import { checkFrame } from "./wire.mjs";

// The caller closes it.
export function openBrowser() {
  // As root Chromium has no sandbox. /dev/shm is small in containers.
  const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args, timeout: DEADLINE_MS });
}

// For a file of tests: gives a function that opens a device. All are closed with the browser.
export function useBrowser() {
  let browser;
  before(async () => (browser = await openBrowser()));
  after(() => browser.close());
  return async (options = {}) => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB", ignoreHTTPSErrors: true, ...options });
    context.setDefaultTimeout(DEADLINE_MS);
    return context;
  };
}

export const siteOf = (server) => `${server.address.isTls ? "https" : "http"}://${server.address.host}:${server.address.port}/`;

// Each frame that the page receives is checked against docs/asyncapi.yaml: `errors` gets what the document does not have.
export function checkFramesOf(page, errors) {
  page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => {
    try {
      checkFrame(JSON.parse(payload));
    } catch (error) {
      errors.push(error.message);
    }
  }));
}

// What the browser says when a server is not there.
const NO_SERVER = /ERR_CONNECTION|WebSocket connection to|net::ERR|status of 50\d/;

// A page of a device.
export class Visitor {
  page;
  #errors = [];

  static async open(device, url) {
    const visitor = new Visitor();
    visitor.page = await device.newPage();
    visitor.page.on("pageerror", (error) => visitor.#errors.push(error.stack));
    visitor.page.on("console", (message) => message.type() === "error" && !NO_SERVER.test(message.text()) && visitor.#errors.push(message.text()));
    checkFramesOf(visitor.page, visitor.#errors);
    await visitor.page.goto(url);
    return visitor;
  }

  async logIn(user) {
    await this.page.fill("#user", user);
    await this.page.click("#log-in");
    await this.isConnected();
    return this;
  }

  async isConnected() {
    await this.page.locator("#state.live").waitFor();
  }

  // Opens the conversation by the field above the list.
  async writeTo(user) {
    await this.page.fill("#peer", user);
    await this.page.press("#peer", "Enter");
    await this.page.getByRole("heading", { name: user, exact: true }).waitFor();
  }

  async choose(user) {
    await this.page.click(`#list li[data-user="${user}"] a`);
    await this.page.getByRole("heading", { name: user, exact: true }).waitFor();
  }

  async send(text) {
    await this.page.fill("#text", text);
    await this.page.press("#text", "Enter");
  }

  // The text of a message of the conversation.
  message(text) {
    return this.page.locator("#messages").getByText(text, { exact: true });
  }

  // The texts that the conversation shows, in their order.
  texts() {
    return this.page.locator("#messages .text").allTextContents();
  }

  async untilTexts(wanted) {
    await this.until(() => `the texts ${JSON.stringify(wanted).slice(0, 2000)}`, async () => JSON.stringify(await this.texts()) === JSON.stringify(wanted));
  }

  // Until the condition holds. A failure says what the page shows in place of that.
  async until(what, condition) {
    try {
      return await until(what, condition, { every: 50 });
    } catch (error) {
      error.message += `\nthe page shows:\n${(await this.page.locator("body").innerText()).slice(-1500)}`;
      throw error;
    }
  }

  // What a row of the list shows.
  async row(user) {
    const row = this.page.locator(`#list li[data-user="${user}"]`);
    const text = async (part) => ((await row.locator(part).count()) > 0 ? row.locator(part).first().textContent() : "");
    return { unseen: parseInt(await text(".badge")) || 0, preview: await text(".preview"), isOnline: await row.locator(".presence").first().isVisible() };
  }

  async untilRow(user, wanted) {
    await this.until(() => `the row of ${user} with ${JSON.stringify(wanted)}`, async () => {
      const row = await this.row(user);
      return Object.entries(wanted).every(([key, value]) => row[key] === value);
    });
  }

  // Nothing went wrong in the page.
  check() {
    assert.deepEqual(this.#errors, []);
  }
}

// Whether the element is inside of the pane of messages, at least in part.
export function isInPane(locator) {
  return locator.evaluate((element) => {
    const [own, pane] = [element, document.getElementById("pane")].map((it) => it.getBoundingClientRect());
    return own.height > 0 && own.top < pane.bottom && own.bottom > pane.top && own.bottom <= innerHeight;
  });
}
