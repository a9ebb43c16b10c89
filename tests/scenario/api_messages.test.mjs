// Messages over the HTTP API: sent as any user, in batches, read in pages, exported.
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { Api } from "./lib/api.mjs";
import { onServers, scenario } from "./lib/harness.mjs";
import { makeKey, makeToken } from "./lib/jwt.mjs";
import { Scrape } from "./lib/metrics.mjs";
import { Raw } from "./lib/raw.mjs";
import { makeDataDir, removeDataDir, scaled, until } from "./lib/server.mjs";
import { wholeTimeline } from "./lib/traffic.mjs";

const ADMIN = ["--admin", "127.0.0.1:0"];
const MESSAGES = "/api/v1/messages";
const BATCH = "/api/v1/messages:batch";

const of = (user, what, query = "") => `/api/v1/users/${encodeURIComponent(user)}/${what}${query}`;

async function post(api, body) {
  const { json } = await api.expect(200, "POST", MESSAGES, { body });
  assert.ok(Number.isSafeInteger(json.ts) && json.ts > 0, JSON.stringify(json));
  assert.match(json.mid, /^[\w-]{20}$/);
  return json;
}

async function batch(api, messages) {
  const { json } = await api.expect(200, "POST", BATCH, { body: { messages } });
  assert.equal(json.results.length, messages.length);
  return json.results;
}

// All of them, in whatever order: what is refused since the disk is slow is sent again.
async function storeAll(api, messages) {
  for (let left = messages; left.length > 0; ) {
    const results = await batch(api, left);
    results.forEach(({ status, error }) => assert.ok(status === 200 || error === "busy"));
    left = left.filter((_, n) => results[n].status !== 200);
    if (left.length > 0) await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

// Every page, with `limit` each, from the oldest on.
async function pages(api, user, limit, query = "") {
  const all = [];
  for (let after = 0, more = true; more; ) {
    const { json } = await api.expect(200, "GET", of(user, "messages", `?after=${after}&limit=${limit}${query}`));
    all.push(...json.messages);
    assert.ok(json.messages.length <= limit);
    more = json.more;
    after = json.next;
  }
  return all;
}

async function exported(api, user) {
  const answer = await api.expect(200, "GET", of(user, "export"));
  assert.equal(answer.headers["content-type"], "application/x-ndjson");
  assert.ok(answer.text === "" || answer.text.endsWith("\n"));
  return answer.text.split("\n").slice(0, -1).map((line) => JSON.parse(line));
}

// Messages in all pages of history that were read, for programs too.
async function entriesRead(api) {
  const { text } = await api.expect(200, "GET", "/metrics");
  return [...text.matchAll(/^chitchat_history_entries_total\{[^}]*\} (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
}

onServers("Messages over HTTP", { options: ADMIN }, (harness, it) => {
  const api = (options) => new Api(harness.server.admin, options);

  it("a message is sent as any user, and the connections of both get it", async () => {
    const [alice, bob] = [await harness.login(harness.name("alice")), await harness.login(harness.name("bob"))];
    const other = await harness.login(alice.user);
    const client = api();
    const sent = await post(client, { from: alice.user, to: bob.user, text: "héllo \"you\"\n", key: "k1" });
    assert.deepEqual(Object.keys(sent), ["ts", "mid"]);
    for (const each of [alice, bob, other]) {
      await each.untilMessages(1);
      assert.equal(each.messages[0].text, "héllo \"you\"\n");
      assert.equal(each.messages[0].mid, sent.mid);
    }
    assert.equal(alice.messages[0].ts, sent.ts);
    assert.equal(alice.messages[0].key, "k1");
    assert.equal((await alice.send(bob.user, "next")).prev, sent.ts);
    client.close();
  });

  it("users need not be connected, and may write to themselves", async () => {
    const [alice, bob] = [harness.name("alice"), harness.name("bob")];
    const client = api();
    const sent = [await post(client, { from: alice, to: bob, text: "one" }), await post(client, { from: alice, to: alice, text: "two" })];
    assert.ok(sent[1].ts > sent[0].ts);
    const late = await harness.login(alice, { after: 0 });
    await late.untilLive();
    assert.deepEqual(late.messages.map((message) => [message.text, message.ts]), [["one", sent[0].ts], ["two", sent[1].ts]]);
    client.close();
  });

  it("a key is the user's, over HTTP and WebSocket alike", async () => {
    const alice = await harness.login(harness.name("alice"));
    const bob = harness.name("bob");
    const client = api();
    const first = await post(client, { from: alice.user, to: bob, text: "once", key: "k" });
    assert.deepEqual(await post(client, { from: alice.user, to: bob, text: "once", key: "k" }), { ...first, dup: true });
    assert.deepEqual((await alice.send(bob, "once", { key: "k" })).dup, true);
    const sent = await alice.send(bob, "by a client", { key: "c" });
    assert.deepEqual(await post(client, { from: alice.user, to: bob, text: "by a client", key: "c" }), { ts: sent.ts, mid: sent.mid, dup: true });
    const conflict = await client.expect(409, "POST", MESSAGES, { body: { from: alice.user, to: bob, text: "twice", key: "k" } });
    assert.equal(conflict.json.error, "key_conflict");
    assert.equal((await pages(client, alice.user, 10)).length, 2);
    client.close();
  });

  it("what is wrong with a message is said, and nothing is stored", async () => {
    const [alice, bob] = [harness.name("alice"), harness.name("bob")];
    const client = api();
    const good = { from: alice, to: bob, text: "x" };
    const cases = [
      [{ ...good, from: "a b" }, 400, "bad_request"], [{ to: bob, text: "x" }, 400, "bad_request"], [{ ...good, to: 7 }, 400, "bad_request"],
      [{ ...good, text: "" }, 400, "bad_request"], [{ ...good, text: "a\0b" }, 400, "bad_request"], [{ ...good, key: "" }, 400, "bad_request"],
      [{ ...good, key: null }, 400, "bad_request"], [{ ...good, text: "x".repeat(16385) }, 413, "too_large"],
      ["{", 400, "bad_json"], ["[]", 400, "bad_json"], ["{\"from\":\"a\",\"from\":\"a\"}", 400, "bad_json"],
    ];
    for (const [body, status, code] of cases) {
      const { json } = await client.expect(status, "POST", MESSAGES, { body });
      assert.equal(json.error, code, JSON.stringify(body).slice(0, 80));
    }
    await client.expect(413, "POST", MESSAGES, { body: { ...good, text: "x".repeat(140000) } });
    await client.expect(405, "GET", MESSAGES);
    assert.deepEqual(await pages(client, alice, 10), []);
    await post(client, { ...good, text: "x".repeat(16384), future: [1] });
    client.close();
  });

  it("a batch of 1,000: each has its outcome, in order for each pair", async () => {
    const users = Array.from({ length: 8 }, () => harness.name("u"));
    const client = api();
    const messages = Array.from({ length: 1000 }, (_, n) => ({ from: users[n % 8], to: users[(n * 3) % 8], text: `${n}`, key: `k${n}` }));
    messages[10] = { ...messages[10], to: "not a name" };
    messages[20] = { ...messages[20], text: "y".repeat(16385) };
    messages[30] = { ...messages[22], text: "another" };
    messages[31] = { ...messages[23] };
    const results = await batch(client, messages);
    assert.deepEqual([results[10].status, results[10].error], [400, "bad_request"]);
    assert.deepEqual([results[20].status, results[20].error], [413, "too_large"]);
    assert.deepEqual([results[30].status, results[30].error], [409, "key_conflict"]);
    assert.deepEqual(results[31], { ...results[23], dup: true });
    const stored = messages.map((message, n) => ({ ...message, ...results[n] })).filter((each) => each.status === 200 && !each.dup);
    assert.equal(stored.length, 996);
    for (const user of users) {
      const timeline = await wholeTimeline(await harness.login(user));
      for (const other of users) {
        const pair = timeline.filter((entry) => entry.from === user && entry.to === other).map((entry) => [entry.text, entry.mid]);
        assert.deepEqual(pair, stored.filter((each) => each.from === user && each.to === other).map((each) => [each.text, each.mid]));
      }
    }
    const again = await batch(client, messages);
    for (const [n, result] of again.entries()) if (results[n].status === 200) assert.deepEqual(result, { ...results[n], dup: true });
    client.close();
  });

  it("a batch that cannot be read sends nothing", async () => {
    const [alice, bob] = [harness.name("alice"), harness.name("bob")];
    const client = api();
    const good = JSON.stringify({ from: alice, to: bob, text: "x" });
    const cases = [
      [`{"messages":[${good},{"from":}]}`, 400, "bad_json"], [`{"messages":[${good}`, 400, "bad_json"], [`{"messages":[${good}],"more":1}`, 400, "bad_json"],
      [`[${good}]`, 400, "bad_json"], [`{"messages":[${good},]}`, 400, "bad_json"], [`{"messages":[${good} ${good}]}`, 400, "bad_json"],
      [`{"messages":[]}`, 400, "bad_request"], [`{"messages":[${Array(1001).fill(good).join()}]}`, 413, "too_large"], [`{"messages":[${good},7]}`, 400, "bad_json"],
      [`{"messages":[${good},{"from":"${"x".repeat(131072)}"}]}`, 413, "too_large"],
    ];
    for (const [body, status, code] of cases) {
      const { json } = await client.expect(status, "POST", BATCH, { body });
      assert.equal(json.error, code, `${body.slice(0, 90)}: ${json.message}`);
    }
    assert.deepEqual(await pages(client, alice, 10), []);
    assert.equal((await client.expect(200, "POST", BATCH, { body: ` { "messages" :\t[ ${good} ,\n${good}] } ` })).json.results.length, 2);
    client.close();
  });

  it("a page is what history gives, with its filters", async () => {
    const alice = await harness.login(harness.name("alice"));
    const [bob, carol] = [harness.name("bob"), harness.name("carol")];
    const client = api();
    const list = Array.from({ length: 120 }, (_, n) => ({ from: n % 3 ? alice.user : bob, to: n % 3 ? (n % 2 ? bob : carol) : alice.user, text: `${n}` }));
    await batch(client, list);
    await alice.untilMessages(120);
    for (const fields of [{}, { limit: 7 }, { after: 0 }, { after: alice.messages[5].ts, before: alice.messages[40].ts, limit: 1000 }, { with: carol, limit: 9 }, { before: alice.messages[3].ts }]) {
      const { op, id, ...wanted } = await alice.history(fields);
      const query = Object.entries(fields).map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
      assert.deepEqual((await client.expect(200, "GET", of(alice.user, "messages", query && `?${query}`))).json, wanted, query);
    }
    assert.deepEqual((await pages(client, alice.user, 11)).map((entry) => entry.mid), alice.messages.map((entry) => entry.mid));
    assert.deepEqual((await client.expect(200, "GET", of(harness.name("nobody"), "messages"))).json, { messages: [], more: false });
    for (const query of ["?limit=0", "?limit=1001", "?after=x", "?before=-1", "?with=a%20b", "?with=", "?since=1", "?limit=5&limit=6"])
      assert.equal((await client.expect(400, "GET", of(alice.user, "messages", query))).json.error, "bad_request", query);
    client.close();
  });

  it("an export has the whole timeline", async () => {
    const [alice, bob] = [harness.name("alice"), harness.name("bob")];
    const client = api({ sockets: 4 });
    assert.deepEqual(await exported(client, alice), []);
    for (let n = 0; n < 3; n++) await batch(client, Array.from({ length: 500 }, (_, k) => ({ from: k % 2 ? alice : bob, to: k % 2 ? bob : alice, text: `${n}/${k} ${"z".repeat(k % 300)}`, key: `${n}/${k}` })));
    const whole = await wholeTimeline(await harness.login(alice));
    assert.deepEqual(await exported(client, alice), whole);
    const twice = await Promise.all([exported(client, alice), exported(client, alice), exported(client, alice)]);
    for (const lines of twice) assert.deepEqual(lines, whole);
    const readBefore = await entriesRead(client);
    const head = await client.expect(200, "HEAD", of(alice, "export"));
    assert.deepEqual([head.headers["content-type"], head.headers["transfer-encoding"], head.text], ["application/x-ndjson", "chunked", ""]);
    assert.equal(await entriesRead(client), readBefore, "nothing is read for HEAD");
    assert.deepEqual(await exported(client, alice), whole);
    assert.equal(await entriesRead(client), readBefore + whole.length);
    client.close();
  });
});

scenario("kill -9 after answers: all that was answered is there, and keys hold", {}, async (harness) => {
  await harness.start({ options: ADMIN });
  const client = new Api(harness.server.admin, { sockets: 8 });
  const answered = [];
  let isKilled = false;
  const send = async (worker) => {
    for (let n = 0; n < scaled(2000); n++) {
      const message = { from: `user-${worker}`, to: `user-${(worker + 1 + (n % 3)) % 8}`, text: `${worker}/${n}`, key: `${worker}/${n}` };
      try {
        answered.push({ ...message, ...(await post(client, message)) });
      } catch (error) {
        if (!isKilled) throw error;
        return;
      }
    }
  };
  const sending = Array.from({ length: 8 }, (_, worker) => send(worker));
  await until("some answers", () => answered.length >= 300);
  isKilled = true;
  await harness.server.kill();
  await Promise.all(sending);
  await harness.startAgain({ options: ADMIN });
  const again = new Api(harness.server.admin, { sockets: 8 });
  for (let user = 0; user < 8; user++) {
    const mids = new Map((await exported(again, `user-${user}`)).map((entry) => [entry.mid, entry]));
    for (const each of answered.filter((message) => message.from === `user-${user}` || message.to === `user-${user}`)) {
      assert.equal(mids.get(each.mid)?.text, each.text, `${each.text} of ${each.from} was answered and is lost`);
      if (each.from === `user-${user}`) assert.equal(mids.get(each.mid).ts, each.ts);
    }
  }
  for (const { from, to, text, key, ts, mid } of answered.slice(-50)) assert.deepEqual(await post(again, { from, to, text, key }), { ts, mid, dup: true });
  again.close();
  await harness.server.stop();
});

scenario("the rate of a user holds for programs and clients together: 429", { shards: [2] }, async (harness) => {
  await harness.start({ options: [...ADMIN, "--send-rate", "5"] });
  const client = new Api(harness.server.admin);
  const results = await batch(client, Array.from({ length: 9 }, (_, n) => ({ from: "alice", to: "bob", text: `${n}` })));
  assert.deepEqual(results.map((each) => each.status), [200, 200, 200, 200, 200, 429, 429, 429, 429]);
  assert.equal(results[5].error, "rate_limited");
  assert.ok(results[5].retry_after >= 1 && results[5].retry_after <= 1000);
  const refused = await client.request("POST", MESSAGES, { body: { from: "alice", to: "bob", text: "x" } });
  if (refused.status === 429) assert.ok(Number(refused.headers["retry-after"]) >= 1);
  else assert.equal(refused.status, 200, "a second has passed");
  await post(client, { from: "carol", to: "bob", text: "each user has a rate of their own" });
  client.close();
  await harness.server.stop();
  assert.match(harness.server.stderr, /event=refused .*cause=send_rate address=127\.0\.0\.1 count=1 .*reason="over HTTP" hint=".*--send-rate/);
});

scenario("an export goes on over checkpoints and merges, and a reader that stops holds up nobody", {}, async (harness) => {
  // A reader may stop for three times the login time.
  const options = [...ADMIN, "--memtable-bytes", "4M", "--checkpoint-s", "1", "--login-time-s", "600"];
  await harness.start({ options });
  const client = new Api(harness.server.admin, { sockets: 4 });
  const count = scaled(16000);
  const text = (n) => `${n} ${"q".repeat(700)}`;
  for (let n = 0; n < count; n += 400)
    await storeAll(client, Array.from({ length: 400 }, (_, k) => ({ from: "alice", to: (n + k) % 2 ? "bob" : "carol", text: text(n + k) })));
  const first = await stoppedExport(harness, "alice");
  for (let n = 0; n < 10; n++) {
    await storeAll(client, Array.from({ length: 200 }, (_, k) => ({ from: "alice", to: "dave", text: `after ${n}/${k} ${"r".repeat(700)}` })));
    await storeAll(client, [{ from: "dave", to: "alice", text: `later ${n}` }]);
  }
  const lines = linesOf(await first.rest());
  assert.equal(lines.length, count, "what was there when it began, and nothing that came later");
  assert.deepEqual(new Set(lines.map((line) => line.text)), new Set(Array.from({ length: count }, (_, n) => text(n))));
  lines.forEach(({ ts }, n) => assert.ok(n === 0 || ts > lines[n - 1].ts));

  const second = await stoppedExport(harness, "alice");
  await client.expect(200, "DELETE", "/api/v1/users/alice");
  const answer = await second.rest();
  const isWhole = answer.endsWith("\r\n0\r\n\r\n");
  assert.ok(!isWhole || linesOf(answer).length === count + 2010, "what is erased while it is exported does not end as a whole");
  client.close();
  await harness.server.stop();
});

// An export of which the first bytes were read, and then no more, so that the system does not make its buffer larger. Its
// socket is of its own, since Raw copies all that it has with each part that comes.
async function stoppedExport(harness, user) {
  const socket = net.connect(harness.server.admin.port, "127.0.0.1");
  const parts = [];
  let isResumed = false, isEnded = false;
  socket.on("data", (part) => {
    parts.push(part);
    if (!isResumed) socket.pause();
  });
  socket.on("close", () => (isEnded = true));
  socket.on("error", () => {});
  socket.write(`GET ${of(user, "export")} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  await until("the beginning", () => parts.length > 0);
  const rest = async () => {
    isResumed = true;
    socket.resume();
    await until("the end", () => isEnded);
    return Buffer.concat(parts).toString("latin1");
  };
  return { rest };
}

const linesOf = (answer) => unchunk(answer.slice(answer.indexOf("\r\n\r\n") + 4)).split("\n").slice(0, -1).map((line) => JSON.parse(line));

// The body of a chunked answer; it must be complete.
function unchunk(text) {
  let body = "";
  for (let at = 0; ; ) {
    const end = text.indexOf("\r\n", at);
    assert.ok(end > 0, "the answer is cut");
    const bytes = parseInt(text.slice(at, end), 16);
    if (bytes === 0) return body;
    body += text.slice(end + 2, end + 2 + bytes);
    at = end + 2 + bytes + 2;
  }
}

scenario("an export that is left in the middle, and a message whose sender is gone, give all back", {}, async (harness) => {
  await harness.start({ options: ADMIN });
  const client = new Api(harness.server.admin);
  for (let n = 0; n < 10; n++) await batch(client, Array.from({ length: 500 }, (_, k) => ({ from: "alice", to: "bob", text: `${n} ${k} ${"s".repeat(1000)}` })));
  for (let n = 0; n < 5; n++) {
    const raw = await Raw.open(harness.server, harness.server.admin);
    raw.write(`GET ${of("alice", "export")} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await raw.until(() => raw.received.length > 1000 * n, "a part");
    raw.destroy();
    const body = JSON.stringify({ from: "alice", to: "bob", text: "gone", key: `gone ${n}` });
    const sender = await Raw.open(harness.server, harness.server.admin);
    sender.write(`POST ${MESSAGES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    sender.destroy();
  }
  client.close();
  await harness.server.stop();
});

scenario("large bodies that come slowly leave room for small ones", { shards: [1] }, async (harness) => {
  await harness.start({ options: [...ADMIN, "--login-time-s", "600"] });
  const slow = [];
  for (let n = 0; n < 2; n++) {
    const raw = await Raw.open(harness.server, harness.server.admin);
    raw.write(`POST ${BATCH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${8 << 20}\r\n\r\n`);
    raw.write(Buffer.alloc((8 << 20) - 1, " "));
    slow.push(raw);
  }
  const client = new Api(harness.server.admin);
  // A request that comes before both have room for all could take what the second one needs: that one would be refused.
  const used = async () => (await Scrape.take(harness.server)).sum("chitchat_memory_used_bytes", { use: "programs" });
  await until("room for both bodies", async () => (await used()) >= 2 * ((8 << 20) - 1), { every: 50 });
  const large = { body: { from: "alice", to: "bob", text: "x".repeat(100000) } };
  await until("their memory to be used up", async () => (await client.request("POST", MESSAGES, large)).status === 503);
  for (let n = 0; n < 5; n++) await post(client, { from: "alice", to: "bob", text: "s".repeat(1000 * n + 1) });
  assert.equal((await client.request("POST", MESSAGES, large)).json.error, "busy");
  for (const raw of slow) raw.destroy();
  await until("their memory to be given back", async () => (await client.request("POST", MESSAGES, large)).status === 413);
  client.close();
  await harness.server.stop();
});

scenario("a token with the admin claim sends on the public address", { shards: [2] }, async (harness) => {
  const dir = makeDataDir();
  try {
    const key = makeKey("HS256");
    const secrets = path.join(dir, "secrets");
    fs.writeFileSync(secrets, `${key.secret}\n`, { mode: 0o600 });
    await harness.start({ options: ["--auth", "token", "--token-secrets", secrets] });
    const client = new Api(harness.server.address);
    const body = { from: "alice", to: "bob", text: "x", key: "k" };
    await client.expect(401, "POST", MESSAGES, { body });
    await client.expect(403, "POST", MESSAGES, { body, token: makeToken(key, { sub: "alice" }) });
    const token = makeToken(key, { sub: "shop", admin: true });
    assert.ok((await client.expect(200, "POST", MESSAGES, { body, token })).json.ts > 0);
    assert.equal((await client.expect(200, "POST", BATCH, { body: { messages: [body] }, token })).json.results[0].dup, true);
    assert.equal((await client.expect(200, "GET", of("bob", "messages"), { token })).json.messages[0].text, "x");
    assert.match((await client.expect(200, "GET", of("bob", "export"), { token })).text, /^{"ts":\d+,"mid":"[^"]*","from":"alice","to":"bob","text":"x"}\n$/);
    client.close();
    await harness.server.stop();
  } finally {
    removeDataDir(dir);
  }
});
