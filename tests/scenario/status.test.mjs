// `chitchat status`: what it shows is what the clients did; and what it says when the server cannot be asked.
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { test } from "node:test";
import { makeCertificate, optionsOf } from "./lib/certificate.mjs";
import { scenario } from "./lib/harness.mjs";
import { Scrape } from "./lib/metrics.mjs";
import { run } from "./lib/run.mjs";
import { makeDataDir, removeDataDir, until } from "./lib/server.mjs";

const SHARDS = { shards: [2] };
const TOKEN = "0123456789abcdef0123456789abcdef";

const urlOf = ({ host, port, isTls }) => `${isTls ? "https" : "http"}://${host}:${port}`;

async function statusOf(server, args = []) {
  const { code, stdout, stderr } = await run(["status", "--admin", urlOf(server.admin), "--json", ...args]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

// One line on stderr that matches, nothing on stdout.
async function fails(wanted, args, code = 1) {
  const end = await run(["status", ...args]);
  assert.match(end.stderr, /^chitchat: [^\n]+\n$/);
  assert.match(end.stderr, wanted);
  assert.equal(end.stdout, "");
  assert.equal(end.code, code);
}

// On a slow disk a shard has no segment for a while: until then it takes no sends.
async function startReady(harness) {
  const server = await harness.start({ options: ["--admin", "127.0.0.1:0"] });
  await until("all shards to take sends", async () => (await Scrape.take(server)).find("chitchat_takes_sends").every(({ value }) => value === 1));
}

// A server that gives these bytes to whoever connects, and ends the connection; `ask` is given its options.
async function withAnswer(bytes, ask) {
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => (bytes === null ? socket.destroy() : socket.end(bytes)));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await ask(["--admin", `http://127.0.0.1:${server.address().port}`]);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

const http = (status, body, length = body.length) => `HTTP/1.1 ${status} X\r\nContent-Length: ${length}\r\n\r\n${body}`;

scenario("the JSON says what the clients did, in all and by shard", SHARDS, async (harness) => {
  await startReady(harness);
  const [alice, bob] = [await harness.login("alice"), await harness.login("bob")];
  for (let i = 0; i < 7; i++) await alice.send("bob", "x");
  await alice.error({ op: "send", to: "", text: "x" }, "bad_request");
  await bob.untilMessages(7);
  const status = await until("the state", async () => {
    const now = await statusOf(harness.server);
    return now.total.connections.users === 2 && now;
  });
  assert.equal(status.total.messages.stored, 7);
  assert.equal(status.total.messages.takes_sends_shards, 2);
  assert.deepEqual(status.since_start.errors, { bad_request: 1 });
  assert.deepEqual(status.shards.map(({ shard }) => shard), [0, 1]);
  assert.equal(status.shards.reduce((sum, { messages }) => sum + messages.stored, 0), 7);
  assert.equal(status.process.store_failed, false);
  assert.equal(status.process.certificate_expires_in_s, null);
  assert.ok(status.total.messages.send_to_ok.p50_ms > 0);
  assert.ok(status.process.disk_size_bytes > status.process.disk_free_bytes);
  await harness.end();
});

scenario("rates are of the second between its two readings", SHARDS, async (harness) => {
  await harness.start({ options: ["--admin", "127.0.0.1:0"] });
  const alice = await harness.login("alice");
  let isDone = false;
  const load = (async () => {
    while (!isDone) await alice.send("alice", "x");
  })();
  const status = await until("a second with sends", async () => {
    const now = await statusOf(harness.server);
    return now.total.messages.stored_per_s > 0 && now;
  });
  isDone = true;
  await load;
  assert.ok(status.seconds >= 1);
  assert.equal(status.total.messages.send_to_ok.since_start, false);
  await harness.end();
});

scenario("the page fits a terminal", SHARDS, async (harness) => {
  await startReady(harness);
  await harness.login("alice");
  const { code, stdout, stderr } = await run(["status", "--admin", urlOf(harness.server.admin)]);
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^chitchat [\d.]+, up \d+ s, 2 shards\nhttp:/);
  assert.match(stdout, /\nready {10}all shards accept sends\n/);
  assert.deepEqual(stdout.split("\n").filter((line) => line.length > 80), []);
  assert.ok(stdout.split("\n").length < 60);
  await harness.end();
});

scenario("it bears the admin token, over TLS where the server wants it", SHARDS, async (harness) => {
  const dir = makeDataDir();
  const file = (name, text) => {
    fs.writeFileSync(path.join(dir, name), text, { mode: 0o600 });
    return path.join(dir, name);
  };
  try {
    const certificate = makeCertificate();
    const tokens = file("tokens", `${TOKEN}\n`);
    await harness.start({ options: ["--admin-tls", "127.0.0.1:0", "--admin-token-file", tokens, ...optionsOf(certificate)] });
    const at = ["--admin", urlOf({ ...harness.server.admin, isTls: true })];
    const trusted = [...at, "--ca-file", certificate.cert];
    const { code, stderr } = await run(["status", ...trusted, "--token-file", tokens]);
    assert.equal(code, 0, stderr);
    await fails(/refused with status 401: give the server's token with --token-file/, trusted);
    await fails(/refused with status 401/, [...trusted, "--token-file", file("other", "f".repeat(32))]);
    await fails(/TLS failed: .*certificate.*--ca-file/, [...at, "--token-file", tokens]);
    await fails(/ended|TLS|HTTP/, ["--admin", urlOf({ ...harness.server.admin, isTls: false })]);
    await fails(/has no token/, [...trusted, "--token-file", file("empty", "\n")]);
    await fails(/cannot be read: No such file/, [...trusted, "--token-file", path.join(dir, "missing")]);
    await fails(/has no certificates/, [...at, "--ca-file", tokens]);
    await harness.end();
  } finally {
    removeDataDir(dir);
  }
});

test("a server that is not there, and addresses that are none", async () => {
  await withAnswer(null, async ([, url]) => fails(/stopped in the middle of its answer|does not speak HTTP/, ["--admin", url]));
  await fails(/cannot be reached: Connection refused/, ["--admin", "http://127.0.0.1:1"]); // a free port may be another test's by now
  await fails(/the host is not found/, ["--admin", "http://nowhere.invalid:1"]);
  for (const url of ["127.0.0.1:8081", "ftp://x", "http://", "http://x:0", "http://x:99999", "http://x:1/y", "http://a b"])
    await fails(/must be http:\/\/HOST:PORT/, ["--admin", url], 2);
});

test("answers that are no metrics", async () => {
  const cases = [
    [http(200, "<html>x</html>"), /gives no metrics/],
    [http(200, "up 1\n"), /no metrics of a chitchat server/],
    [http(200, "up 1\n", 500), /ended its answer before all of it had come/],
    ["HTTP/1.1 200 OK\r\n\r\nup 1\n", /ended its answer before all of it had come/],
    [http(404, "none"), /refused with status 404: is this the address of --admin\? \(none\)/],
    [http(503, "a\nb"), /refused with status 503: see the server's log \(a\)/],
    ["SSH-2.0-x\r\n", /does not speak HTTP/],
    ["", /does not speak HTTP/],
  ];
  for (const [bytes, wanted] of cases) await withAnswer(bytes, (args) => fails(wanted, args));
});
