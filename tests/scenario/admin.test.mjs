// The admin listener: health checks, routes, credentials, keep-alive, limits, and bad input by bytes.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { Api } from "./lib/api.mjs";
import { makeCertificate, optionsOf } from "./lib/certificate.mjs";
import { onServers, scenario } from "./lib/harness.mjs";
import { makeKey, makeToken } from "./lib/jwt.mjs";
import { Raw } from "./lib/raw.mjs";
import { makeDataDir, removeDataDir, runToEnd, until } from "./lib/server.mjs";

const ADMIN = ["--admin", "127.0.0.1:0"];
const TOKEN = "0123456789abcdef0123456789abcdef";
const OTHER = "fedcba9876543210fedcba9876543210";
const CONNECTIONS = "/api/v1/users/nobody/connections";

const open = (harness) => Raw.open(harness.server, harness.server.admin);

// A scenario with a directory for files.
function fileScenario(name, run, options = {}) {
  scenario(name, options, async (harness) => {
    const dir = makeDataDir();
    try {
      await run(harness, (file, text, mode = 0o600) => {
        const full = path.join(dir, file);
        fs.writeFileSync(full, text);
        fs.chmodSync(full, mode);
        return full;
      });
    } finally {
      removeDataDir(dir);
    }
  });
}

// The answer to bytes on a connection of its own, with its body, to the end of the connection.
async function ask(harness, bytes) {
  const raw = await open(harness);
  raw.write(bytes);
  raw.end();
  return raw.responseToEnd();
}

// The next answer with a Content-Length on `raw`.
async function next(raw) {
  const answer = await raw.response();
  const bytes = Number(answer.headers["content-length"] ?? 0);
  await raw.until(() => raw.received.length >= bytes, "the body");
  answer.body = raw.received.subarray(0, bytes).toString("utf8");
  raw.received = raw.received.subarray(bytes);
  return answer;
}

onServers("admin listener", { options: ADMIN }, (harness, it) => {
  const api = () => new Api(harness.server.admin);

  it("health checks answer, also HEAD, under every Host and with an Origin", async () => {
    const client = api();
    for (const target of ["/livez", "/readyz", "/healthz"]) {
      const { text } = await client.expect(200, "GET", target, { headers: { Host: "probe.example", Origin: "https://x.example" } });
      assert.match(text, /^{"status":"(live|ready)"}$/);
      const head = await client.expect(200, "HEAD", target);
      assert.equal(head.text, "");
      assert.equal(Number(head.headers["content-length"]), text.length);
      assert.equal(head.headers["cache-control"], "no-store");
    }
    client.close();
  });

  it("one connection serves many requests, pipelined too, in order", async () => {
    const client = api();
    assert.equal((await client.get("/livez")).isReused, false);
    for (let i = 0; i < 20; i++) assert.equal((await client.get(i % 2 ? "/livez" : "/nothing")).isReused, true);
    client.close();
    const raw = await open(harness);
    const get = (target) => `GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    const targets = Array.from({ length: 60 }, (_, i) => ["/livez", CONNECTIONS, "/readyz", "/nothing"][i % 4]);
    raw.write(targets.map(get).join(""));
    for (const target of targets) {
      const answer = await next(raw);
      assert.match(answer.body, { "/livez": /"live"/, [CONNECTIONS]: /"nobody"/, "/readyz": /"ready"/, "/nothing": /not_found/ }[target]);
    }
    raw.write("GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert.equal((await raw.responseToEnd()).headers.connection, "close");
  });

  it("HTTP/1.0 is answered, and its connection closed unless it asks for more", async () => {
    assert.equal((await ask(harness, "GET /livez HTTP/1.0\r\n\r\n")).headers.connection, "close");
    const raw = await open(harness);
    raw.write("GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert.equal((await next(raw)).headers.connection, "keep-alive");
    raw.write("GET /livez HTTP/1.0\r\n\r\n");
    assert.equal((await raw.responseToEnd()).status, 200);
  });

  it("an unknown path is 404, a method that a path does not have 405 with Allow, OPTIONS 204", async () => {
    const client = api();
    for (const target of ["/", "/ws", "/api", "/api/v1", "/livez/", "/API/v1/users/a/connections", "/api/v1/users//a/connections", "*"]) {
      assert.equal((await client.expect(404, "GET", target)).json.error, "not_found");
    }
    const { headers, json } = await client.expect(405, "PUT", CONNECTIONS);
    assert.equal(headers.allow, "GET, HEAD, DELETE, OPTIONS");
    assert.equal(json.error, "method_not_allowed");
    await client.expect(405, "PROPFIND", "/livez");
    assert.equal((await client.expect(204, "OPTIONS", CONNECTIONS)).headers.allow, headers.allow);
    client.close();
  });

  it("a user name in a path is decoded and checked", async () => {
    const client = api();
    for (const user of ["a/b", "..", "a%b", "a+b", "%", "~!@#$^&*()=[]{}|;:,.<>?", "a".repeat(128)]) {
      const { json } = await client.expect(200, "GET", `/api/v1/users/${encodeURIComponent(user).replace(/\./g, "%2E")}/connections`);
      assert.equal(json.user, user);
    }
    for (const user of ["", "%20", "a%00", "%c3%a4", "%22", "%5c", "%", "%4", "%4z", "a".repeat(129), "%41".repeat(129)]) {
      assert.equal((await client.expect(400, "GET", `/api/v1/users/${user}/connections`)).json.error, "bad_request");
    }
    client.close();
  });

  it("a query parameter that is unknown, repeated or not decodable is refused", async () => {
    const client = api();
    for (const query of ["x=1", "code=1", "%63ode=1000&code=1000", "code=%", "code=1000&x", "Code=1000", Array(17).fill("a").join("&")]) {
      await client.expect(400, "DELETE", `${CONNECTIONS}?${query}`);
    }
    await client.expect(200, "DELETE", `${CONNECTIONS}?%63ode=100%30&`);
    client.close();
  });

  it("a body where there may be none is refused, and the connection ends", async () => {
    const answer = await ask(harness, `GET ${CONNECTIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhelloGET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    assert.equal(answer.status, 400);
    assert.equal(answer.headers.connection, "close");
    assert.doesNotMatch(answer.body, /live/, "what follows an unread body is no request");
  });

  it("what is not HTTP/1.1, or could be read in two ways, is refused, and the connection ends", async () => {
    const bad = {
      "hello\r\n\r\n": 400,
      "GET /livez HTTP/1.1\r\n\r\n": 400,
      "GET /livez HTTP/1.1\nHost: a\n\n": 400,
      "GET /livez HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n": 400,
      "POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
      "POST /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n": 501,
      "POST /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n": 501,
      "GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\n": 400,
      "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n": 400,
      "GET /livez HTTP/2.0\r\nHost: a\r\n\r\n": 505,
      [`GET /livez HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(16384)}\r\n\r\n`]: 431,
    };
    for (const [bytes, status] of Object.entries(bad)) {
      const answer = await ask(harness, bytes);
      assert.equal(answer.status, status, bytes.slice(0, 100));
      assert.equal(answer.headers.connection, "close");
      assert.match(JSON.parse(answer.body).error, /^[a-z_]+$/);
    }
  });

  it("a client that ends its side after its requests gets all answers", async () => {
    const raw = await open(harness);
    raw.write(`GET ${CONNECTIONS} HTTP/1.1\r\nHost: localhost\r\n\r\n`.repeat(3));
    raw.end();
    for (let i = 0; i < 3; i++) assert.equal((await next(raw)).status, 200);
    await raw.until(() => raw.isEnded, "the end");
  });

  it("without a token file, what a web page could make a browser send is refused", async () => {
    const client = api();
    const { json } = await client.expect(403, "GET", CONNECTIONS, { headers: { Origin: "http://localhost" } });
    assert.equal(json.error, "forbidden");
    assert.match((await client.expect(403, "GET", CONNECTIONS, { headers: { Host: "rebound.example" } })).json.message, /--host/);
    await client.expect(200, "GET", CONNECTIONS, { headers: { Host: `localhost:${harness.server.admin.port}` } });
    client.close();
    await until("the log to say so", () => /event=refused .*cause=admin_page address=127\.0\.0\.1 count=1 .*--host/.test(harness.server.stderr));
  });

  it("a user's connections are listed, and closed with the code asked for", async () => {
    const client = api();
    const user = harness.name();
    const target = `/api/v1/users/${user}/connections`;
    const first = await harness.login(user);
    const second = await harness.client({ protocol: null });
    await second.loginAs(user);
    const { json } = await client.expect(200, "GET", target);
    assert.equal(json.count, 2);
    assert.equal(new Set(json.connections.map(({ id }) => id)).size, 2);
    assert.deepEqual(json.connections.map(({ subprotocol }) => subprotocol).sort(), ["chitchat.v1", null]);
    for (const { address, since, shard, state, output_bytes } of json.connections) {
      assert.equal(address, "127.0.0.1");
      assert.ok(Math.abs(since / 1000 - Date.now()) < 3600e3);
      assert.ok(shard < harness.shards);
      assert.deepEqual([state, output_bytes], ["live", 0]);
    }
    assert.deepEqual((await client.expect(200, "DELETE", `${target}?code=4711`)).json, { user, closed: 2 });
    for (const closed of [first, second]) assert.equal((await until("the close", () => closed.closed)).code, 4711);
    assert.deepEqual((await client.expect(200, "GET", target)).json, { user, count: 0, connections: [] });
    const third = await harness.login(user);
    assert.equal((await client.expect(200, "DELETE", target)).json.closed, 1);
    assert.equal((await until("the close", () => third.closed)).code, 4003);
    for (const code of ["999", "1002", "1005", "1006", "1015", "2999", "5000", "-1", "", "1e3", "9007199254740993"]) {
      await client.expect(400, "DELETE", `${target}?code=${code}`);
    }
    client.close();
  });

  it("more connections than a shard keeps: the one that has waited longest goes, and checks still find a place", async () => {
    const opened = [];
    for (let i = 0; i < 64 * harness.shards + 64; i++) opened.push(await open(harness));
    const client = api();
    await client.expect(200, "GET", "/livez");
    client.close();
    await until("some to be closed", () => opened.some((raw) => raw.isEnded));
    assert.ok(!opened.at(-1).isEnded, "the newest stays");
    for (const raw of opened) raw.destroy();
    await until("the log to say so", () => harness.server.stderr.includes("cause=exchanges"));
  });
});

fileScenario("a request that does not come in time gets 408, an idle connection is closed", async (harness) => {
  await harness.start({ options: [...ADMIN, "--login-time-s", "1"] });
  const slow = await open(harness);
  const idle = await open(harness);
  slow.write("GET /livez HTTP/1.1\r\nHost: a\r\nX: ");
  const answer = await slow.responseToEnd();
  assert.equal(answer.status, 408);
  assert.equal(JSON.parse(answer.body).error, "timeout");
  await idle.until(() => idle.isEnded, "the end of the idle one");
  assert.equal(idle.received.length, 0);
  await harness.end();
});

fileScenario("a full public listener, and the rates of its addresses, do not concern the admin listener", async (harness) => {
  await harness.start({ options: [...ADMIN, "--connections", "1", "--limit-loopback", "1", "--address-rate", "1"] });
  const user = await harness.login("alice");
  const api = new Api(harness.server.admin);
  for (let i = 0; i < 5; i++) {
    const other = new Api(harness.server.admin);
    await other.expect(200, "GET", "/readyz");
    other.close();
  }
  assert.equal((await api.expect(200, "GET", "/api/v1/users/alice/connections")).json.count, 1);
  user.check();
  api.close();
  await harness.end();
});

// The log of a server that has ended has so many refusals of this cause, and the first one with these words.
function isNoted({ stderr }, cause, count, words) {
  const line = new RegExp(`event=refused .*cause=${cause} address=127\\.0\\.0\\.1 count=1 .*`).exec(stderr);
  assert.ok(line, stderr);
  assert.match(line[0], words);
  const counted = [...stderr.matchAll(new RegExp(`event=refusals .*\\b${cause}=(\\d+)`, "g"))];
  assert.equal(counted.reduce((sum, [, at]) => sum + Number(at), 0), count, stderr);
}

fileScenario("with a token file each request but the health checks needs a token; SIGHUP reads the file again", async (harness, write) => {
  const file = write("tokens", `${TOKEN}\n`);
  await harness.start({ options: ["--admin", "127.0.0.1:0", "--admin-token-file", file] });
  const api = new Api(harness.server.admin);
  await api.expect(200, "GET", "/readyz");
  for (const headers of [{}, { Authorization: TOKEN }, { Authorization: `Basic ${TOKEN}` }, { Authorization: "Bearer " }, { Authorization: `Bearer ${OTHER}` }, { Authorization: `Bearer ${TOKEN}x` }]) {
    for (const target of [CONNECTIONS, "/nothing", "/"]) assert.equal((await api.expect(401, "GET", target, { headers })).json.error, "bad_token");
  }
  await api.expect(200, "GET", CONNECTIONS, { headers: { Authorization: `bearer  ${TOKEN}` } });
  await api.expect(200, "GET", CONNECTIONS, { token: TOKEN, headers: { Host: "admin.example", Origin: "https://x.example" } });
  await api.expect(404, "GET", "/nothing", { token: TOKEN });
  write("tokens", `${OTHER}\n`);
  harness.server.signal("SIGHUP");
  await harness.server.logLine("admin_tokens_reloaded");
  await api.expect(401, "GET", CONNECTIONS, { token: TOKEN });
  await api.expect(200, "GET", CONNECTIONS, { token: OTHER });
  api.close();
  await harness.end();
  isNoted(harness.server, "admin_token", 19, /this needs a token.*--admin-token-file/);
});

fileScenario("a bad token file, and an open address without one, are refused at the start", async (harness, write) => {
  const serve = (...options) => runToEnd(["serve", "--listen", "127.0.0.1:0", "--data", path.join(path.dirname(write("x", "")), "d"), ...options]);
  const cases = [
    [["--admin", "0.0.0.0:0"], /--admin-token-file/],
    [["--admin-token-file", write("good", `${TOKEN}\n`)], /--admin ADDR:PORT/],
    [["--admin", "127.0.0.1:0", "--admin-token-file", write("open", `${TOKEN}\n`, 0o644)], /chmod o-rwx/],
    [["--admin", "127.0.0.1:0", "--admin-token-file", write("short", "short\n")], /line 1 is no token/],
    [["--admin-tls", "127.0.0.1:0"], /--tls-cert/],
    [["--admin", "here"], /ADDR:PORT/],
  ];
  for (const [options, words] of cases) {
    const { status, stderr } = serve(...options);
    assert.notEqual(status, 0);
    assert.match(stderr, words, options.join(" "));
  }
});

fileScenario("TLS: the same over https", async (harness) => {
  const made = makeCertificate();
  await harness.start({ options: ["--admin-tls", "127.0.0.1:0", ...optionsOf(made)], listen: ["127.0.0.1:0"] });
  const api = new Api({ ...harness.server.admin, ca: made.ca });
  await api.expect(200, "GET", "/readyz");
  const again = await api.expect(200, "GET", CONNECTIONS);
  assert.equal(again.isReused, true);
  api.close();
  await harness.end();
});

fileScenario("tokens with an admin claim may use the API on the public address, and nobody else", async (harness, write) => {
  const key = makeKey("HS256");
  const secrets = write("secrets", `${key.secret}\n`);
  await harness.start({ options: [...ADMIN, "--auth", "token", "--token-secrets", secrets] });
  const api = new Api(harness.server.address);
  const target = "/api/v1/users/bob/connections";
  const admin = makeToken(key, { sub: "backend", admin: true });
  assert.equal((await api.expect(401, "GET", target)).json.error, "bad_token");
  await api.expect(401, "GET", target, { token: "x.y.z" });
  await api.expect(401, "GET", target, { token: makeToken(key, { sub: "backend", admin: true, exp: 1 }) });
  await api.expect(401, "GET", target, { token: makeToken(makeKey("HS256"), { sub: "backend", admin: true }) });
  for (const claim of [{}, { admin: false }, { admin: 1 }, { admin: "true" }, { admin: [true] }, { admin: null }]) {
    assert.equal((await api.expect(403, "GET", target, { token: makeToken(key, { sub: "bob", ...claim }) })).json.error, "forbidden");
  }
  const bob = await harness.client();
  await bob.request({ op: "login", token: makeToken(key, { sub: "bob" }) });
  assert.equal((await api.expect(200, "GET", target, { token: admin })).json.count, 1);
  assert.equal((await api.expect(200, "GET", target, { token: admin })).isReused, true);
  await api.expect(404, "GET", "/api/v1/nothing", { token: admin });
  await api.expect(401, "GET", "/api/v1/nothing");
  assert.equal((await api.expect(200, "DELETE", target, { token: admin })).json.closed, 1);
  const outside = await Raw.open(harness.server);
  outside.write("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
  assert.equal((await outside.responseToEnd()).status, 404, "the other routes are on the admin address alone");
  api.close();
  await harness.end();
  isNoted(harness.server, "token", 11, /this needs a token with the admin claim.*--token-keys/);
});

fileScenario("those who may not use the API on the public address take no place from those who may", async (harness, write) => {
  const key = makeKey("HS256");
  const secrets = write("secrets", `${key.secret}\n`);
  await harness.start({ options: ["--auth", "token", "--token-secrets", secrets] });
  const request = (token) => `GET ${CONNECTIONS} HTTP/1.1\r\nHost: localhost\r\n${token ? `Authorization: Bearer ${token}\r\n` : ""}\r\n`;
  const admin = request(makeToken(key, { sub: "backend", admin: true }));
  const user = request(makeToken(key, { sub: "bob" }));
  const programs = [];
  const use = async (raw) => {
    raw.write(admin);
    assert.equal((await next(raw)).status, 200);
  };
  const join = async () => {
    programs.push(await Raw.open(harness.server));
    await use(programs.at(-1));
  };
  while (programs.length < 64) await join();
  for (let i = 0; i < 70; i++) {
    const raw = await Raw.open(harness.server);
    raw.write(i % 2 ? user : request());
    const answer = await raw.responseToEnd();
    assert.equal(answer.status, i % 2 ? 403 : 401);
    assert.equal(answer.headers.connection, "close");
  }
  for (const raw of programs) await use(raw);
  await join();
  await programs[0].until(() => programs[0].isEnded, "the end of the one that has waited longest");
  for (const raw of programs.slice(1)) await use(raw);
  programs[1].write(user);
  assert.equal((await programs[1].responseToEnd()).status, 403, "and gives its place up");
  for (const raw of programs) raw.destroy();
  await harness.end();
}, { shards: [1] });

fileScenario("another claim, by --admin-claim", async (harness, write) => {
  const key = makeKey("HS256");
  const secrets = write("secrets", `${key.secret}\n`);
  await harness.start({ options: ["--auth", "token", "--token-secrets", secrets, "--admin-claim", "https://chat.example/ops"] });
  const api = new Api(harness.server.address);
  await api.expect(403, "GET", CONNECTIONS, { token: makeToken(key, { sub: "a", admin: true }) });
  await api.expect(200, "GET", CONNECTIONS, { token: makeToken(key, { sub: "a", "https://chat.example/ops": true }) });
  api.close();
  await harness.end();
});

fileScenario("without tokens there is no API on the public address", async (harness) => {
  await harness.start({ options: ADMIN });
  const raw = await Raw.open(harness.server);
  raw.write(`GET ${CONNECTIONS} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  assert.equal((await raw.responseToEnd()).status, 404);
  await harness.end();
});
