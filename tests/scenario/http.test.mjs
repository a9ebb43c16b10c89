// PROTOCOL, "HTTP": by bytes on sockets.
import assert from "node:assert/strict";
import { onServers, scenario } from "./lib/world.mjs";
import { Raw, frameOf, upgradeRequest } from "./lib/raw.mjs";
import { Client } from "./lib/client.mjs";

async function answerTo(world, text) {
  const raw = await Raw.open(world.server);
  raw.write(text);
  return raw.responseToEnd();
}

// Refused with a line that says why.
async function refuses(world, text, status) {
  const answer = await answerTo(world, text);
  assert.equal(answer.status, status, JSON.stringify(answer));
  assert.match(answer.body, /^[^\n]+\n?$/, "one line that says why");
  return answer;
}

function headOf(bytes) {
  const bare = upgradeRequest({ headers: { "X-Fill": "" } });
  return upgradeRequest({ headers: { "X-Fill": "f".repeat(bytes - bare.length) } });
}

onServers("HTTP", { options: ["--origin", "https://a.example", "--origin", "https://b.example:8443"] }, (world, it) => {
  it("GET /ws with the headers of RFC 6455 upgrades and answers its key", async () => {
    const raw = await Raw.open(world.server);
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
    const raw = await Raw.open(world.server);
    await raw.upgrade("/ws?token=abc&x=/other");
    raw.destroy();
  });

  it("the subprotocol chitchat.v1 is accepted, also among others", async () => {
    assert.equal((await world.client({ protocol: "chitchat.v1" })).protocol, "chitchat.v1");
    assert.equal((await world.client({ protocol: ["other.v7", "chitchat.v1"] })).protocol, "chitchat.v1");
  });

  it("a client may leave the subprotocol out", async () => {
    const client = await world.client({ protocol: null });
    assert.equal(client.protocol, "");
    await client.loginAs(world.name());
  });

  it("header names and the tokens of Upgrade and Connection are read in any case, Connection as a list", async () => {
    const raw = await Raw.open(world.server);
    raw.write(upgradeRequest({ headers: { Connection: "keep-alive, UPGRADE", Upgrade: "WebSocket" } }));
    assert.equal((await raw.response()).status, 101);
    raw.destroy();
  });

  it("a head that comes byte by byte is read", async () => {
    const raw = await Raw.open(world.server);
    for (const byte of upgradeRequest()) {
      raw.write(byte);
      await new Promise(setImmediate);
    }
    assert.equal((await raw.response()).status, 101);
    raw.destroy();
  });

  it("frames that come in one piece with the head are taken up", async () => {
    const raw = await Raw.open(world.server);
    const user = world.name();
    raw.write(Buffer.concat([Buffer.from(upgradeRequest()), frameOf(JSON.stringify({ op: "login", id: 1, user }))]));
    assert.equal((await raw.response()).status, 101);
    assert.equal(JSON.parse((await raw.frame()).payload).user, user);
    raw.destroy();
  });

  it("GET / is the web client", async () => {
    const answer = await answerTo(world, "GET / HTTP/1.1\r\nHost: chat.example\r\n\r\n");
    assert.equal(answer.status, 200);
    assert.match(answer.headers["content-type"], /^text\/html/);
    assert.equal(Number(answer.headers["content-length"]), Buffer.byteLength(answer.body));
    assert.match(answer.body, /^<!doctype html>[^]*<\/html>\s*$/i);
  });

  it("the page may run its own script and nothing else", async () => {
    const answer = await answerTo(world, "GET / HTTP/1.1\r\nHost: chat.example\r\n\r\n");
    assert.match(answer.headers["content-security-policy"], /default-src 'none'/);
    assert.match(answer.headers["content-security-policy"], /connect-src 'self'/);
  });

  it("GET /healthz says ok", async () => {
    const answer = await answerTo(world, "GET /healthz HTTP/1.1\r\nHost: chat.example\r\n\r\n");
    assert.equal(answer.status, 200);
    assert.equal(answer.body.trim(), "ok");
  });

  it("any other path is 404", async () => {
    for (const path of ["/nothing", "/ws/", "/wsx", "/healthz/x", "/WS"])
      await refuses(world, `GET ${path} HTTP/1.1\r\nHost: chat.example\r\n\r\n`, 404);
    await refuses(world, upgradeRequest({ path: "/other" }), 404);
  });

  it("any other method is 405 with Allow", async () => {
    for (const path of ["/", "/ws", "/healthz"])
      for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
        const head = `${method} ${path} HTTP/1.1\r\nHost: chat.example\r\nContent-Length: 0\r\n\r\n`;
        const answer = await refuses(world, head, 405);
        assert.match(answer.headers.allow, /\bGET\b/);
      }
  });

  it("a plain GET of /ws is 426 and says what to upgrade to", async () => {
    const plain = "GET /ws HTTP/1.1\r\nHost: chat.example\r\n\r\n";
    const answer = await refuses(world, plain, 426);
    assert.equal(answer.headers.upgrade, "websocket");
    assert.equal(answer.headers["sec-websocket-version"], "13");
  });

  it("another version of WebSocket, or none, is 426 with the version that we speak", async () => {
    for (const version of ["8", "14", "0", null]) {
      const answer = await refuses(world, upgradeRequest({ headers: { "Sec-WebSocket-Version": version } }), 426);
      assert.equal(answer.headers.upgrade, "websocket");
      assert.equal(answer.headers["sec-websocket-version"], "13");
    }
  });

  it("an upgrade without a correct key is 400", async () => {
    for (const key of [null, "", "short", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ==x", "!!!!IHNhbXBsZSBub25jZQ=="])
      await refuses(world, upgradeRequest({ headers: { "Sec-WebSocket-Key": key } }), 400);
  });

  it("an upgrade without Host is 400", async () => {
    await refuses(world, upgradeRequest({ headers: { Host: null } }), 400);
  });

  it("a header of the upgrade that comes twice is 400", async () => {
    for (const name of ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "Host: chat.example"])
      await refuses(world, upgradeRequest().replace(/\r\n\r\n$/, `\r\n${name}\r\n\r\n`), 400);
  });

  it("what is no HTTP is 400", async () => {
    const heads = ["nonsense\r\n\r\n", "GET /ws\r\n\r\n", "GET /ws HTTP/1.1\r\nHost : a\r\n\r\n", "GET /ws HTTP/1.1\r\nHost: a\r\n  folded\r\n\r\n"];
    for (const head of heads) await refuses(world, head, 400);
  });

  it("an upgrade with a body is 400", async () => {
    await refuses(world, upgradeRequest({ headers: { "Content-Length": "3" } }), 400);
    await refuses(world, upgradeRequest({ headers: { "Transfer-Encoding": "chunked" } }), 400);
  });

  it("an origin that is the server's own, absent or allowed by option upgrades", async () => {
    for (const Origin of [null, "http://chat.example", "https://chat.example", "https://a.example", "https://b.example:8443"]) {
      const raw = await Raw.open(world.server);
      raw.write(upgradeRequest({ headers: { Origin } }));
      assert.equal((await raw.response()).status, 101, Origin);
      raw.destroy();
    }
  });

  it("any other origin is 403", async () => {
    const origins = ["https://evil.example", "https://a.example.evil.example", "http://a.example", "https://b.example", "null"];
    for (const Origin of origins) await refuses(world, upgradeRequest({ headers: { Origin } }), 403);
  });

  it("a head of exactly 8,192 bytes is accepted", async () => {
    const raw = await Raw.open(world.server);
    const head = headOf(8192);
    assert.equal(head.length, 8192);
    raw.write(head);
    assert.equal((await raw.response()).status, 101);
    raw.destroy();
  });

  it("a head of one byte more is 431", async () => {
    await refuses(world, headOf(8193), 431);
  });

  it("a head without end is 431 as soon as it is over the limit", async () => {
    await refuses(world, `GET /ws HTTP/1.1\r\nHost: a\r\nX-Fill: ${"f".repeat(9000)}`, 431);
  });

  it("a connection that closes before its head is complete harms nobody", async () => {
    const raw = await Raw.open(world.server);
    raw.write("GET /ws HT");
    raw.destroy();
    await world.login(world.name());
  });
});

scenario("a full server answers 503 with Retry-After until one leaves", {}, async (world) => {
  await world.start({ options: ["--connections", "3"] });
  const clients = [];
  for (let i = 0; i < 3; i++) clients.push(await world.login(world.name()));
  const answer = await refuses(world, upgradeRequest(), 503);
  assert.match(answer.headers["retry-after"], /^\d+$/);
  await clients[0].close();
  let again;
  for (let i = 0; i < 100 && !again; i++) again = await Client.open(world.server).catch(() => undefined);
  assert.ok(again, "there is room again");
  await again.loginAs(world.name());
  again.terminate();
  await world.server.stop();
});

scenario("every address of --listen serves, IPv6 too", { shards: [2] }, async (world) => {
  await world.start({ listen: ["127.0.0.1:0", "[::1]:0"] });
  assert.equal(world.server.addresses.length, 2);
  assert.equal(world.server.addresses[1].host, "[::1]");
  const user = world.name();
  const clients = [];
  for (const at of world.server.addresses) {
    const client = await world.client({ at });
    await client.loginAs(user);
    clients.push(client);
  }
  await clients[0].send(user, "to both addresses");
  await clients[1].untilMessages(1);
  await world.server.stop();
});
