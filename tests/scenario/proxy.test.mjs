// docs/OPERATIONS.md, "Behind a proxy": the documented configurations in the real nginx and HAProxy.
import assert from "node:assert/strict";
import http from "node:http";
import https from "node:https";
import { scenario } from "./lib/harness.mjs";
import { assertPageIsAllowed, filesOf } from "./lib/page.mjs";
import { NAME, Proxy } from "./lib/proxy.mjs";
import { Client } from "./lib/client.mjs";
import { until } from "./lib/server.mjs";

const CLIENT = "127.0.0.9"; // the whole of 127.0.0.0/8 is loopback
// Not `loopback`, which would trust the client, too.
const TRUSTING = ["--host", NAME, "--trust-proxy", "127.0.0.1"];

// How to reach a proxy as its name, from CLIENT.
function wayTo(proxy, isTls) {
  const port = isTls ? proxy.ports.tls : proxy.ports.plain;
  return {
    origin: `${isTls ? "https" : "http"}://${NAME}:${port}`,
    socket: { localAddress: CLIENT, ca: proxy.certificate, lookup: (name, options, done) => (options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4)) },
  };
}

function get(way, path) {
  return new Promise((resolve, reject) => {
    const { request } = way.origin.startsWith("https") ? https : http;
    request(way.origin + path, { ...way.socket, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text) => (body += text)).on("end", () => resolve({ status: response.statusCode, headers: response.headers, body }));
    }).on("error", reject).end();
  });
}

function connect(way, url, headers) {
  return Client.open({ url: () => url }, { headers: { Origin: way.origin, ...headers }, socket: way.socket });
}

// Refused with 403: the log names the cause and the address.
async function refuses(harness, way, url, headers, cause, address) {
  await assert.rejects(connect(way, url, headers), /403/);
  const line = new RegExp(`event=refused .*cause=${cause} address=${address.replaceAll(".", "\\.")} .*\\n`);
  await until(() => `${line} in the log:\n${harness.server.stderr}`, () => line.test(harness.server.stderr));
}

async function chats(way, url) {
  const alice = await connect(way, url);
  const bob = await connect(way, url);
  await alice.loginAs("alice");
  await bob.loginAs("bob");
  await alice.send("bob", "x".repeat(16384));
  await until("the message", () => bob.messages.length === 1);
  for (const client of [alice, bob]) client.terminate();
  for (const client of [alice, bob]) client.check();
}

async function withProxy(kind, harness, { hasPrefix, options = TRUSTING }, run) {
  await harness.start({ options });
  const proxy = await Proxy.start(kind, { server: harness.server.address, hasPrefix });
  try {
    await run(proxy);
  } catch (error) {
    error.message += `\nthe log of the proxy:\n${proxy.log}`;
    throw error;
  } finally {
    await proxy.end();
  }
  await harness.server.stop();
}

for (const kind of ["nginx", "haproxy"])
  for (const hasPrefix of [false, true])
    for (const isTls of [false, true]) {
      const base = hasPrefix ? "/chat/" : "/";
      scenario(`${kind} at ${base}, ${isTls ? "TLS" : "plain"}: the page connects and chats, and the client's address is known`, { shards: [2] }, (harness) =>
        withProxy(kind, harness, { hasPrefix }, async (proxy) => {
          const way = wayTo(proxy, isTls);
          const page = await get(way, base);
          assert.equal(page.status, 200);
          assertPageIsAllowed(page.body, page.headers["content-security-policy"]);
          const files = await filesOf(way.origin + base, (url) => get(way, new URL(url).pathname));
          assert.match(files.get(`${way.origin}${base}app.js`).headers["content-type"], /^text\/javascript/);
          const url = `${way.origin.replace("http", "ws")}${base}ws`; // beside the page
          await chats(way, url);
          // What a client says of itself changes nothing.
          const lies = { "X-Forwarded-For": "203.0.113.9", Forwarded: "for=203.0.113.9", "X-Forwarded-Host": "evil.example" };
          await refuses(harness, way, url, { Origin: "https://evil.example", ...lies }, "origin", CLIENT);
          assert.doesNotMatch(harness.server.stderr, /cause=forwarded/);
        }));
    }

for (const kind of ["nginx", "haproxy"]) {
  scenario(`${kind}: the prefix without its slash leads to the page`, { shards: [2] }, (harness) =>
    withProxy(kind, harness, { hasPrefix: true }, async (proxy) => {
      const way = wayTo(proxy, false);
      const answer = await get(way, "/chat");
      assert.ok(answer.status === 301 || answer.status === 302, String(answer.status));
      assert.equal(new URL(answer.headers.location, way.origin).pathname, "/chat/");
    }));

  scenario(`${kind} that is not trusted: all clients have its address, and the name must be known`, { shards: [2] }, (harness) =>
    withProxy(kind, harness, { hasPrefix: false, options: [] }, async (proxy) => {
      const way = wayTo(proxy, true);
      const url = `${way.origin.replace("http", "ws")}/ws`;
      await refuses(harness, way, url, {}, "host", "127.0.0.1");
      assert.match(harness.server.stderr, /event=refused .*--host/);
      await refuses(harness, way, url, { Origin: "https://evil.example" }, "origin", "127.0.0.1");
    }));
}
