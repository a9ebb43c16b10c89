// PROTOCOL, "HTTP": by bytes on sockets.
import assert from "node:assert/strict";
import fs from "node:fs";
import { onServers, scenario } from "./lib/harness.mjs";
import { Raw, frameOf, upgradeRequest } from "./lib/raw.mjs";
import { Client } from "./lib/client.mjs";
import { assertPageIsAllowed, filesOf } from "./lib/page.mjs";
import { runToEnd, until } from "./lib/server.mjs";

async function answerTo(harness, text) {
  const raw = await Raw.open(harness.server);
  raw.write(text);
  return raw.responseToEnd();
}

// Refused with the reason in one line.
async function refuses(harness, text, status) {
  const answer = await answerTo(harness, text);
  assert.equal(answer.status, status, JSON.stringify(answer));
  assert.match(answer.body, /^[^\n]+\n?$/, "one line that says why");
  assert.equal(answer.headers["x-content-type-options"], "nosniff");
  return answer;
}

function headOf(bytes) {
  const bare = upgradeRequest({ headers: { "X-Fill": "" } });
  return upgradeRequest({ headers: { "X-Fill": "f".repeat(bytes - bare.length) } });
}

// The answer to an upgrade under `Host` by a page of `Origin`; of a refusal with its body.
async function answerToPage(harness, Host, Origin) {
  const raw = await Raw.open(harness.server);
  raw.write(upgradeRequest({ headers: { Host, Origin } }));
  const answer = await raw.response();
  if (answer.status === 101) raw.destroy();
  else {
    await raw.until(() => raw.isEnded, "the end of the connection");
    answer.body = raw.received.toString("utf8");
  }
  return answer;
}

async function upgradesPage(harness, Host, Origin) {
  assert.equal((await answerToPage(harness, Host, Origin)).status, 101, `Host ${Host}, Origin ${Origin}`);
}

// Refused with a line that names `option`.
async function refusesPage(harness, Host, Origin, option) {
  const answer = await answerToPage(harness, Host, Origin);
  assert.equal(answer.status, 403, `Host ${Host}, Origin ${Origin}`);
  assert.match(answer.body, /^[ -~]+\n$/, "one line that says why");
  assert.ok(answer.body.includes(option), answer.body);
}

// The log gets a line that has all of `parts`.
async function logs(harness, ...parts) {
  const found = () => harness.server.stderr.split("\n").find((line) => parts.every((part) => line.includes(part)));
  return until(() => `${parts} in a line of the log:\n${harness.server.stderr}`, found);
}

const ORIGINS = ["https://a.example", "https://b.example:8443", "https://*.wild.example", "file://", "capacitor://localhost"].flatMap((origin) => ["--origin", origin]);
const HOSTS = ["--host", "chat.example", "--host", "port.example:8443"];

onServers("HTTP", { options: [...ORIGINS, ...HOSTS] }, (harness, it) => {
  it("GET /ws with the headers of RFC 6455 upgrades and answers its key", async () => {
    const raw = await Raw.open(harness.server);
    raw.write(upgradeRequest());
    const answer = await raw.response();
    assert.equal(answer.status, 101);
    assert.equal(answer.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert.equal(answer.headers.upgrade.toLowerCase(), "websocket");
    assert.match(answer.headers.connection, /upgrade/i);
    assert.ok(!("sec-websocket-extensions" in answer.headers));
    raw.destroy();
  });

  it("a query string is ignored", async () => {
    const raw = await Raw.open(harness.server);
    await raw.upgrade("/ws?token=abc&x=/other");
    raw.destroy();
  });

  it("the subprotocol chitchat.v1 is accepted, also among others", async () => {
    assert.equal((await harness.client({ protocol: "chitchat.v1" })).protocol, "chitchat.v1");
    assert.equal((await harness.client({ protocol: ["other.v7", "chitchat.v1"] })).protocol, "chitchat.v1");
  });

  it("a client may leave the subprotocol out", async () => {
    const client = await harness.client({ protocol: null });
    assert.equal(client.protocol, "");
    await client.loginAs(harness.name());
  });

  it("header names and the tokens of Upgrade and Connection are read in any case, Connection as a list", async () => {
    const raw = await Raw.open(harness.server);
    raw.write(upgradeRequest({ headers: { Connection: "keep-alive, UPGRADE", Upgrade: "WebSocket" } }));
    assert.equal((await raw.response()).status, 101);
    raw.destroy();
  });

  it("a head that comes byte by byte is read", async () => {
    const raw = await Raw.open(harness.server);
    for (const byte of upgradeRequest()) {
      raw.write(byte);
      await new Promise(setImmediate);
    }
    assert.equal((await raw.response()).status, 101);
    raw.destroy();
  });

  it("frames that come in one piece with the head are read", async () => {
    const raw = await Raw.open(harness.server);
    const user = harness.name();
    raw.write(Buffer.concat([Buffer.from(upgradeRequest()), frameOf(JSON.stringify({ op: "login", id: 1, user }))]));
    assert.equal((await raw.response()).status, 101);
    assert.equal(JSON.parse((await raw.frame()).payload).user, user);
    raw.destroy();
  });

  it("GET / is the web client", async () => {
    const answer = await answerTo(harness, "GET / HTTP/1.1\r\nHost: chat.example\r\n\r\n");
    assert.equal(answer.status, 200);
    assert.match(answer.headers["content-type"], /^text\/html/);
    assert.equal(Number(answer.headers["content-length"]), Buffer.byteLength(answer.body));
    assert.match(answer.body, /^<!doctype html>[^]*<\/html>\s*$/i);
  });

  it("the page may run its own scripts, have its own style and connect to its server, and nothing else", async () => {
    const { body } = await answerTo(harness, "GET / HTTP/1.1\r\nHost: chat.example\r\n\r\n");
    for (const path of ["/", "/app.js", "/style.css"]) {
      const { headers } = await answerTo(harness, `GET ${path} HTTP/1.1\r\nHost: chat.example\r\n\r\n`);
      assertPageIsAllowed(body, headers["content-security-policy"]);
      assert.equal(headers["x-content-type-options"], "nosniff");
      assert.equal(headers["x-frame-options"], "DENY");
      assert.equal(headers["referrer-policy"], "no-referrer");
      assert.equal(headers["cross-origin-opener-policy"], "same-origin");
      assert.equal(headers["cross-origin-resource-policy"], "same-origin");
    }
  });

  it("the files of the page are beside it, with their types, and have less than 80 KB", async () => {
    const load = (url) => answerTo(harness, `GET ${new URL(url).pathname} HTTP/1.1\r\nHost: chat.example\r\n\r\n`);
    const files = await filesOf("http://chat.example/", load);
    const typeOf = { "": "text/html; charset=utf-8", js: "text/javascript; charset=utf-8", css: "text/css; charset=utf-8", svg: "image/svg+xml" };
    let bytes = 0;
    for (const [url, { headers, body }] of files) {
      assert.equal(headers["content-type"], typeOf[/\.(\w+)$/.exec(new URL(url).pathname)?.[1] ?? ""], url);
      assert.equal(Number(headers["content-length"]), Buffer.byteLength(body), url);
      bytes += Buffer.byteLength(body);
    }
    assert.ok(files.size >= 10);
    assert.ok(bytes < 80000, `${bytes} bytes`);
  });

  it("the files are those of src/web, line by line, without indentation and without comments of scripts and styles", async () => {
    const dir = new URL("../../src/web/", import.meta.url);
    for (const name of fs.readdirSync(dir).filter((file) => /\.(html|css|js|svg)$/.test(file))) {
      const source = fs.readFileSync(new URL(name, dir), "utf8").split("\n");
      const comments = { js: /^ *\/\/.*|(?<=[;,{]) \/\/ .*/, css: /^\/\*.*\*\/$/, html: /^$/, svg: /^$/ }[/\w+$/.exec(name)[0]];
      const lines = source.map((line) => line.replace(comments, "").replace(/^ +/, ""));
      const { body } = await answerTo(harness, `GET /${name === "index.html" ? "" : name} HTTP/1.1\r\nHost: chat.example\r\n\r\n`);
      assert.deepEqual(body.split("\n"), lines, name);
    }
  });

  it("a file that the browser has is 304, also with the weak tag of a proxy that compresses; HEAD has no body", async () => {
    for (const path of ["/", "/app.js"]) {
      const { headers } = await answerTo(harness, `GET ${path} HTTP/1.1\r\nHost: chat.example\r\n\r\n`);
      assert.equal(headers["cache-control"], "no-cache");
      for (const tag of [headers.etag, `"x", W/${headers.etag}`]) {
        const again = await answerTo(harness, `GET ${path} HTTP/1.1\r\nHost: chat.example\r\nIf-None-Match: ${tag}\r\n\r\n`);
        assert.equal(again.status, 304);
        assert.equal(again.body, "");
        assert.equal(again.headers.etag, headers.etag);
      }
      const changed = await answerTo(harness, `GET ${path} HTTP/1.1\r\nHost: chat.example\r\nIf-None-Match: "x"\r\n\r\n`);
      assert.equal(changed.status, 200);
      const head = await answerTo(harness, `HEAD ${path} HTTP/1.1\r\nHost: chat.example\r\n\r\n`);
      assert.equal(head.body, "");
      assert.equal(head.headers["content-length"], headers["content-length"]);
    }
  });

  it("GET /healthz is answered with ok", async () => {
    const answer = await answerTo(harness, "GET /healthz HTTP/1.1\r\nHost: chat.example\r\n\r\n");
    assert.equal(answer.status, 200);
    assert.equal(answer.body.trim(), "ok");
    assert.equal(answer.headers["x-content-type-options"], "nosniff");
  });

  it("any other path is 404", async () => {
    for (const path of ["/nothing", "/ws/", "/wsx", "/healthz/x", "/WS", "/index.html", "/app.js/", "/x/../app.js", "/package.json"])
      await refuses(harness, `GET ${path} HTTP/1.1\r\nHost: chat.example\r\n\r\n`, 404);
    await refuses(harness, upgradeRequest({ path: "/other" }), 404);
  });

  it("any other method is 405 with Allow", async () => {
    for (const path of ["/", "/app.js", "/ws", "/healthz"])
      for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
        const head = `${method} ${path} HTTP/1.1\r\nHost: chat.example\r\nContent-Length: 0\r\n\r\n`;
        const answer = await refuses(harness, head, 405);
        assert.match(answer.headers.allow, /\bGET\b/);
      }
  });

  it("a plain GET of /ws is 426 and names what to upgrade to", async () => {
    const plain = "GET /ws HTTP/1.1\r\nHost: chat.example\r\n\r\n";
    const answer = await refuses(harness, plain, 426);
    assert.equal(answer.headers.upgrade, "websocket");
    assert.equal(answer.headers["sec-websocket-version"], "13");
  });

  it("another version of WebSocket, or none, is 426 with the version that we speak", async () => {
    for (const version of ["8", "14", "0", null]) {
      const answer = await refuses(harness, upgradeRequest({ headers: { "Sec-WebSocket-Version": version } }), 426);
      assert.equal(answer.headers.upgrade, "websocket");
      assert.equal(answer.headers["sec-websocket-version"], "13");
    }
  });

  it("an upgrade without a correct key is 400", async () => {
    for (const key of [null, "", "short", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ==x", "!!!!IHNhbXBsZSBub25jZQ=="])
      await refuses(harness, upgradeRequest({ headers: { "Sec-WebSocket-Key": key } }), 400);
  });

  it("an upgrade without Host is 400", async () => {
    await refuses(harness, upgradeRequest({ headers: { Host: null } }), 400);
  });

  it("a header of the upgrade that comes twice is 400", async () => {
    for (const name of ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "Host: chat.example"])
      await refuses(harness, upgradeRequest().replace(/\r\n\r\n$/, `\r\n${name}\r\n\r\n`), 400);
  });

  it("what is no HTTP is 400", async () => {
    const heads = ["nonsense\r\n\r\n", "GET /ws\r\n\r\n", "GET /ws HTTP/1.1\r\nHost : a\r\n\r\n", "GET /ws HTTP/1.1\r\nHost: a\r\n  folded\r\n\r\n"];
    for (const head of heads) await refuses(harness, head, 400);
  });

  it("an upgrade with a body is 400", async () => {
    await refuses(harness, upgradeRequest({ headers: { "Content-Length": "3" } }), 400);
    await refuses(harness, upgradeRequest({ headers: { "Transfer-Encoding": "chunked" } }), 400);
  });

  it("an origin that is the server's own, absent or allowed by option upgrades", async () => {
    for (const Origin of [null, "http://chat.example", "https://chat.example", "https://a.example", "HTTPS://A.Example:443", "https://b.example:8443", "file://", "capacitor://localhost", "https://x.wild.example", "https://x.y.wild.example"]) {
      const raw = await Raw.open(harness.server);
      raw.write(upgradeRequest({ headers: { Origin } }));
      assert.equal((await raw.response()).status, 101, Origin);
      raw.destroy();
    }
  });

  it("any other origin is 403", async () => {
    const origins = ["https://evil.example", "https://a.example.evil.example", "http://a.example", "https://b.example", "null", "https://wild.example", "https://evilwild.example", "http://x.wild.example", "ionic://localhost"];
    for (const Origin of origins) await refuses(harness, upgradeRequest({ headers: { Origin } }), 403);
  });

  it("a page under a name that DNS rebinding brought here is 403 with the option that would allow the name", async () => {
    await refusesPage(harness, "evil.example:8080", "http://evil.example:8080", "--host evil.example");
    await refusesPage(harness, "evil.example", "https://evil.example", "--host evil.example");
    await refusesPage(harness, "chat.example.evil.example", "http://chat.example.evil.example", "--host chat.example.evil.example");
    await refusesPage(harness, "a.localhost:8080", "http://a.localhost:8080", "--host a.localhost");
  });

  it("a page that this server gave connects, by address and as localhost", async () => {
    const { port } = harness.server.address;
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `LOCALHOST:${port}`]) {
      const page = await answerTo(harness, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      assert.equal(page.status, 200);
      await upgradesPage(harness, host, `http://${host.toLowerCase()}`);
    }
    const client = await harness.client({ headers: { Origin: `http://127.0.0.1:${port}` } });
    await client.loginAs(harness.name());
  });

  it("every IP address is the server's own if the page has it as origin, compared by value", async () => {
    await upgradesPage(harness, "192.168.1.7:8080", "http://192.168.1.7:8080");
    await upgradesPage(harness, "[::1]:8080", "http://[::1]:8080");
    await upgradesPage(harness, "[0:0:0:0:0:0:0:1]:8080", "http://[::1]:8080");
    await refusesPage(harness, "127.0.0.1:8080", "http://127.0.0.1:8081", "--origin");
    await refusesPage(harness, "127.0.0.1:8080", "http://evil.example:8080", "--origin");
    await refusesPage(harness, "127.0.0.1:8080", "http://1.2.3.4:8080", "--origin");
  });

  it("a name of --host is the server's own at its port, or at any", async () => {
    await upgradesPage(harness, "chat.example:81", "http://chat.example:81");
    await upgradesPage(harness, "Chat.Example", "https://chat.example");
    await upgradesPage(harness, "port.example:8443", "https://port.example:8443");
    await refusesPage(harness, "port.example", "https://port.example", "--host port.example");
    await refusesPage(harness, "port.example:81", "http://port.example:81", "--host port.example");
  });

  it("the default port may be written or left out", async () => {
    await upgradesPage(harness, "chat.example:443", "https://chat.example");
    await upgradesPage(harness, "chat.example", "https://chat.example:443");
    await upgradesPage(harness, "chat.example:80", "http://chat.example");
    await refusesPage(harness, "chat.example:443", "http://chat.example", "--origin");
    await refusesPage(harness, "chat.example:80", "https://chat.example", "--origin");
  });

  it("clients that are no web page, and an allowed origin, connect under any Host", async () => {
    await upgradesPage(harness, "evil.example:8080", null);
    await upgradesPage(harness, "evil.example:8080", "https://a.example");
  });

  it("a Host that is no host is 400", async () => {
    for (const Host of ["user@chat.example", "http://chat.example", "chat.example:99999", "[::1", "a b"]) {
      await refuses(harness, upgradeRequest({ headers: { Host } }), 400);
      await refuses(harness, `GET / HTTP/1.1\r\nHost: ${Host}\r\n\r\n`, 400);
    }
  });

  it("the page and health are given under any Host", async () => {
    for (const path of ["/", "/healthz"])
      assert.equal((await answerTo(harness, `GET ${path} HTTP/1.1\r\nHost: evil.example:8080\r\n\r\n`)).status, 200);
  });

  it("a head of exactly 8,192 bytes is accepted", async () => {
    const raw = await Raw.open(harness.server);
    const head = headOf(8192);
    assert.equal(head.length, 8192);
    raw.write(head);
    assert.equal((await raw.response()).status, 101);
    raw.destroy();
  });

  it("a head of one byte more is 431", async () => {
    await refuses(harness, headOf(8193), 431);
  });

  it("a head without end is 431 as soon as it is over the limit", async () => {
    await refuses(harness, `GET /ws HTTP/1.1\r\nHost: a\r\nX-Fill: ${"f".repeat(9000)}`, 431);
  });

  it("a connection that closes before its head is complete harms nobody", async () => {
    const raw = await Raw.open(harness.server);
    raw.write("GET /ws HT");
    raw.destroy();
    await harness.login(harness.name());
  });
});

scenario("a full server answers 503 with Retry-After until one leaves", {}, async (harness) => {
  await harness.start({ options: ["--connections", "3"] });
  const clients = [];
  for (let i = 0; i < 3; i++) clients.push(await harness.login(harness.name()));
  const answer = await refuses(harness, upgradeRequest(), 503);
  assert.match(answer.headers["retry-after"], /^\d+$/);
  await clients[0].close();
  let again;
  for (let i = 0; i < 100 && !again; i++) again = await Client.open(harness.server).catch(() => undefined);
  assert.ok(again, "there is room again");
  await again.loginAs(harness.name());
  again.terminate();
  await harness.server.stop();
});

scenario("without --host, pages under a name are refused and those of every --listen address connect", { shards: [1] }, async (harness) => {
  await harness.start({ listen: ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"], options: ["--allow-anyone"] });
  await refusesPage(harness, "evil.example:8080", "http://evil.example:8080", "--host evil.example");
  await refusesPage(harness, "chat.example", "https://chat.example", "--host chat.example");
  for (const at of harness.server.addresses) {
    const host = at.host === "0.0.0.0" ? "127.0.0.1" : at.host;
    const client = await harness.client({ at: { ...at, host }, headers: { Origin: `http://${host}:${at.port}` } });
    await client.loginAs(harness.name());
  }
  await harness.server.stop();
});

scenario("every address of --listen serves, IPv6 too", { shards: [2] }, async (harness) => {
  await harness.start({ listen: ["127.0.0.1:0", "[::1]:0"] });
  assert.equal(harness.server.addresses.length, 2);
  assert.equal(harness.server.addresses[1].host, "[::1]");
  const user = harness.name();
  const clients = [];
  for (const at of harness.server.addresses) {
    const client = await harness.client({ at });
    await client.loginAs(user);
    clients.push(client);
  }
  await clients[0].send(user, "to both addresses");
  await clients[1].untilMessages(1);
  await harness.server.stop();
});

scenario("a refused page leaves a line with its address, its origin and the option", {}, async (harness) => {
  await harness.start();
  await refusesPage(harness, "127.0.0.1:8080", "https://evil.example", "--origin");
  await logs(harness, "level=warn event=refused", "cause=origin address=127.0.0.1 count=1", "Origin https://evil.example, Host 127.0.0.1:8080", "--origin");
  await refusesPage(harness, "evil.example:8080", "http://evil.example:8080", "--host evil.example");
  await logs(harness, "level=warn event=refused", "cause=host address=127.0.0.1 count=1", "Host evil.example:8080", "--host");
  await refusesPage(harness, "127.0.0.1", `https://evil.example/"${"x".repeat(4000)}`, "--origin");
  await harness.server.stop();
  assert.match(harness.server.stderr, /event=refusals shard=\d origin=\d/);
});

// The answer to an upgrade with these headers; the connection is ended.
async function upgradeWith(harness, headers) {
  const raw = await Raw.open(harness.server);
  raw.write(upgradeRequest({ headers: { Host: "127.0.0.1", Origin: "https://evil.example", ...headers } }));
  const { status } = await raw.response();
  raw.destroy();
  return status;
}

const FORWARDED = [
  ["the client", { "X-Forwarded-For": "192.0.2.7" }, "192.0.2.7"],
  ["several proxies", { "X-Forwarded-For": "203.0.113.1, 2001:db8::7, 127.0.0.1, 127.0.0.2" }, "2001:db8::7"],
  ["the header of RFC 7239", { Forwarded: 'for=203.0.113.1, for="[2001:db8::7]:4711";proto=https' }, "2001:db8::7"],
  ["nothing", {}, "127.0.0.1"],
  ["a name that a proxy made up", { Forwarded: "for=_hidden" }, "127.0.0.1"],
];

for (const [what, headers, address] of FORWARDED)
  scenario(`a trusted proxy forwards ${what}`, { shards: [2] }, async (harness) => {
    await harness.start({ options: ["--trust-proxy", "loopback"] });
    assert.equal(await upgradeWith(harness, headers), 403);
    await logs(harness, "event=refused", `cause=origin address=${address} `);
    assert.doesNotMatch(harness.server.stderr, /cause=forwarded/);
    await harness.server.stop();
  });

const IGNORED = [
  ["malformed", { "X-Forwarded-For": "192.0.2.7, nonsense" }, "X-Forwarded-For"],
  ["malformed by RFC 7239", { Forwarded: "for=192.0.2.7;for=192.0.2.8" }, "Forwarded"],
  ["two that differ", { "X-Forwarded-For": "192.0.2.7", Forwarded: "for=192.0.2.8" }, "different"],
  ["no host", { "X-Forwarded-Host": "a, b" }, "X-Forwarded-Host"],
];

for (const [what, headers, reason] of IGNORED)
  scenario(`forwarded headers of a trusted proxy are ignored with a line: ${what}`, { shards: [2] }, async (harness) => {
    await harness.start({ options: ["--trust-proxy", "127.0.0.1"] });
    assert.equal(await upgradeWith(harness, headers), 403);
    await logs(harness, "event=refused", "cause=forwarded address=127.0.0.1 count=1", reason);
    await logs(harness, "event=refused", "cause=origin address=127.0.0.1 ");
    await harness.server.stop();
  });

scenario("forwarded headers of another peer are not read", { shards: [2] }, async (harness) => {
  await harness.start({ options: ["--trust-proxy", "10.0.0.0/8", "--trust-proxy", "::1", "--host", "evil.example"] });
  const headers = { "X-Forwarded-For": "192.0.2.7", Forwarded: "nonsense", "X-Forwarded-Host": "evil.example" };
  assert.equal(await upgradeWith(harness, headers), 403);
  await logs(harness, "event=refused", "cause=origin address=127.0.0.1 ");
  assert.doesNotMatch(harness.server.stderr, /cause=forwarded/);
  await harness.server.stop();
});

scenario("the host that a trusted proxy forwards is the server's own, if it is known", { shards: [2] }, async (harness) => {
  await harness.start({ options: ["--trust-proxy", "loopback", "--host", "chat.example"] });
  const Origin = "https://chat.example";
  assert.equal(await upgradeWith(harness, { Host: "127.0.0.1:8080", Origin }), 403);
  assert.equal(await upgradeWith(harness, { Host: "127.0.0.1:8080", Origin, "X-Forwarded-Host": "chat.example" }), 101);
  assert.equal(await upgradeWith(harness, { Host: "127.0.0.1:8080", "X-Forwarded-Host": "evil.example" }), 403);
  await logs(harness, "event=refused", "cause=host", "Host evil.example", "--host");
  await harness.server.stop();
});

// Most of these logins are handed over to another shard.
scenario("the forwarded address stays with the connection: a 4201 after the login names it", { shards: [4] }, async (harness) => {
  await harness.start({ options: ["--trust-proxy", "loopback", "--user-connections", "1"] });
  for (let i = 0; i < 12; i++) {
    const user = harness.name();
    await harness.login(user);
    const again = await harness.client({ headers: { "X-Forwarded-For": "192.0.2.7" } });
    assert.equal((await again.request({ op: "login", user })).code, 4201);
  }
  await logs(harness, "event=refused", "cause=user_connections address=192.0.2.7 count=1", "--user-connections");
  assert.doesNotMatch(harness.server.stderr, /cause=user_connections address=(?!192\.0\.2\.7 )/);
});

scenario("options that are no origin and no network are refused at the start with what they may be", { shards: [2] }, async () => {
  const cases = [
    ["--origin", "https://example.org/", /--origin https:\/\/example.org\/: must be SCHEME:\/\/HOST/],
    ["--origin", "*.example.org", /https:\/\/\*\.example\.org/],
    ["--trust-proxy", "proxy.example.org", /must be a network or an address/],
    ["--trust-proxy", "10.0.0.1/8", /bits after the prefix/],
  ];
  for (const [option, value, said] of cases) {
    const { status, stderr } = runToEnd(["serve", option, value]);
    assert.equal(status, 2);
    assert.match(stderr, said);
    assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
  }
});
