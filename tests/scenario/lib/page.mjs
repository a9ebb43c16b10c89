// The page of GET /, without a browser: its policy, and the URL that its script connects to.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import vm from "node:vm";

function sourceOf(html, name) {
  const parts = html.split(`<${name}>`);
  assert.equal(parts.length, 2, `one <${name}>, without attributes`);
  return parts[1].slice(0, parts[1].indexOf(`</${name}>`));
}

// The directives of a Content-Security-Policy: name -> values.
export function directivesOf(policy) {
  return Object.fromEntries(policy.split("; ").map((text) => [text.split(" ")[0], text.split(" ").slice(1)]));
}

// What a browser demands of the policy: the hash of each inline script and style, and no attribute with code or style.
export function assertPageIsAllowed(html, policy) {
  const directives = directivesOf(policy);
  const hashOf = (name) => `'sha256-${crypto.createHash("sha256").update(sourceOf(html, name)).digest("base64")}'`;
  assert.deepEqual(directives["script-src"], [hashOf("script")]);
  assert.deepEqual(directives["style-src"], [hashOf("style")]);
  assert.deepEqual(directives["default-src"], ["'none'"]);
  assert.deepEqual(directives["frame-ancestors"], ["'none'"]);
  assert.deepEqual(directives["base-uri"], ["'none'"]);
  assert.doesNotMatch(policy, /unsafe/);
  assert.doesNotMatch(html, /<[a-z][^>]*\s(on[a-z]+|style|src|href)\s*=/i);
}

// The URL and the subprotocol that the page's script opens, when the page was loaded from `url` and a user logs in.
// `onRequest` gets what the page sends when the connection is open.
export function socketOf(html, url, values = { user: "alice" }, onRequest = () => {}) {
  const opened = [];
  const elements = new Map();
  const element = (value = "") => ({ dataset: {}, children: [], append() {}, replaceChildren() {}, insertBefore() {}, value });
  const document = {
    getElementById: (id) => elements.get(id) ?? elements.set(id, element(values[id])).get(id),
    createElement: () => element(),
  };
  class WebSocket {
    constructor(...args) {
      opened.push(args);
      queueMicrotask(() => this.onopen());
    }
    send(text) {
      onRequest(JSON.parse(text));
    }
  }
  vm.runInNewContext(sourceOf(html, "script"), { document, WebSocket, URL, location: new URL(url), clearTimeout, setTimeout });
  elements.get("login").onsubmit({ preventDefault() {} });
  assert.equal(opened.length, 1);
  return { url: opened[0][0], protocol: opened[0][1] };
}
