// PROTOCOL, "Connection and frames", TLS: what is not the same as without. The other files run over TLS too: CHITCHAT_SCENARIO_TLS=1.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import https from "node:https";
import net from "node:net";
import { Duplex } from "node:stream";
import tls from "node:tls";
import { makeCertificate, optionsOf } from "./lib/certificate.mjs";
import { Client } from "./lib/client.mjs";
import { onServers, scenario } from "./lib/harness.mjs";
import { clientHello } from "./lib/hello.mjs";
import { Scrape } from "./lib/metrics.mjs";
import { frameOf, Raw, upgradeRequest } from "./lib/raw.mjs";
import { DEADLINE_MS, makeDataDir, removeDataDir, runToEnd, scaled, until, within } from "./lib/server.mjs";

const HEALTH = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

const listenTls = ["127.0.0.1:0"];

// A TLS connection: { socket, text (all that came), ended }. `options` are those of tls.connect.
async function connect(server, options = {}) {
  const at = server.tlsAddress;
  const socket = tls.connect({ host: at.host, port: at.port, ca: at.ca, ...options });
  const seen = { socket, text: "", ended: false, sessions: [] };
  socket.on("data", (data) => (seen.text += data.toString("latin1")));
  socket.on("session", (session) => seen.sessions.push(session));
  socket.on("end", () => (seen.ended = true));
  await new Promise((resolve, reject) => {
    socket.once("secureConnect", resolve);
    socket.once("error", reject);
  });
  socket.on("error", (error) => (seen.error = error));
  return seen;
}

const fails = (promise, code) => assert.rejects(promise, (error) => assert.match(error.code ?? error.message, code) ?? true);

// Plain bytes to the TLS port: all that is answered, until the server closes.
async function rawAnswer(server, data) {
  const { host, port } = server.tlsAddress;
  const raw = await Raw.open(server, { host, port });
  raw.write(data);
  await raw.until(() => raw.isEnded, "the end of the connection");
  raw.destroy();
  return raw.received;
}

const get = (server, path) =>
  new Promise((resolve, reject) => {
    const { host, port, ca } = server.tlsAddress;
    https.get({ host, port, ca, path, agent: false }, (response) => {
      let body = "";
      response.on("data", (data) => (body += data));
      response.on("end", () => resolve({ status: response.statusCode, body }));
    }).on("error", reject);
  });

const VERSIONS = ["TLSv1.2", "TLSv1.3"];
const CIPHERS = [
  ["TLSv1.3", "TLS_AES_128_GCM_SHA256"], ["TLSv1.3", "TLS_AES_256_GCM_SHA384"], ["TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256"],
  ["TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"], ["TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"], ["TLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305"],
];

const only = (version) => ({ minVersion: version, maxVersion: version });

// Longer than a chunk of output: several records.
const LONG = "é".repeat(8000);

onServers("over TLS", { listenTls }, (harness, it) => {
  it("each cipher of each version carries short and long messages both ways", async () => {
    for (const [version, cipher] of CIPHERS) {
      const [alice, bob] = [harness.name("alice"), harness.name("bob")];
      const from = await harness.client({ socket: { ...only(version), ciphers: cipher } });
      await from.loginAs(alice);
      const to = await harness.client({ socket: { ...only(version), ciphers: cipher } });
      await to.loginAs(bob);
      for (const text of ["x", "short", LONG]) await from.send(bob, text);
      await to.untilMessages(3);
      assert.deepEqual(to.messages.map((message) => message.text), ["x", "short", LONG]);
      assert.equal(await to.ping("alive"), "alive");
    }
  });

  it("the page and /healthz are served", async () => {
    assert.equal((await get(harness.server, "/healthz")).status, 200);
    assert.match((await get(harness.server, "/")).body, /<html/);
  });

  it("old versions, weak ciphers and other protocols are refused", async () => {
    const weak = { ...only("TLSv1.1"), ciphers: "DEFAULT@SECLEVEL=0" };
    await fails(connect(harness.server, weak), /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|VERSION/i);
    await fails(connect(harness.server, { ...only("TLSv1.2"), ciphers: "AES128-GCM-SHA256" }), /HANDSHAKE_FAILURE/);
    await fails(connect(harness.server, { ...only("TLSv1.2"), ciphers: "ECDHE-ECDSA-AES128-SHA" }), /HANDSHAKE_FAILURE/);
    await fails(connect(harness.server, { ALPNProtocols: ["h2"] }), /NO_APPLICATION_PROTOCOL/);
    await harness.server.logLine("refused");
  });

  it("http/1.1 is chosen when it is offered, and nothing when nothing is", async () => {
    assert.equal((await connect(harness.server, { ALPNProtocols: ["h2", "http/1.1"] })).socket.alpnProtocol, "http/1.1");
    assert.equal((await connect(harness.server)).socket.alpnProtocol, false);
  });

  it("a session is resumed on every shard, and what it carries is whole", async () => {
    for (const version of VERSIONS) {
      const first = await connect(harness.server, only(version));
      first.socket.write(HEALTH);
      await until("a ticket", () => first.sessions.length > 0 && first.ended);
      for (let i = 0; i < 12; i++) {
        const again = await connect(harness.server, { ...only(version), session: first.sessions.at(-1) });
        assert.ok(again.socket.isSessionReused(), version);
        again.socket.write(HEALTH);
        await until("the answer", () => again.ended);
        assert.match(again.text, /^HTTP\/1.1 200 OK[\s\S]*ok\n$/);
      }
    }
  });

  it("the server sends close_notify before its end", () => {
    for (const version of ["-tls1_2", "-tls1_3"]) {
      const args = ["s_client", "-connect", `127.0.0.1:${harness.server.tlsAddress.port}`, "-quiet", "-ign_eof", version];
      const { stdout, stderr } = spawnSync("openssl", args, { input: HEALTH, timeout: DEADLINE_MS, encoding: "utf8" });
      assert.match(stdout, /^HTTP\/1.1 200 OK/);
      assert.doesNotMatch(stderr, /unexpected eof/);
    }
  });

  it("a client that takes short records only gets them", async () => {
    const user = harness.name();
    const say = (fields) => frameOf(JSON.stringify(fields));
    const from = await harness.client();
    await from.loginAs(harness.name());
    for (const text of ["x", LONG, "y"]) await from.send(user, text);
    const input = Buffer.concat([Buffer.from(upgradeRequest()), say({ op: "login", id: 1, user, after: 0 })]);
    for (const version of ["-tls1_2", "-tls1_3"])
      for (const bytes of ["512", "1024", "2048", "4096"]) {
        const args = ["s_client", "-connect", `127.0.0.1:${harness.server.tlsAddress.port}`, "-quiet", "-ign_eof", version, "-maxfraglen", bytes];
        const child = spawn("openssl", args, { stdio: ["pipe", "pipe", "pipe"] });
        let [text, errors, isEnded] = ["", "", false];
        child.stdout.setEncoding("utf8").on("data", (data) => (text += data));
        child.stderr.on("data", (data) => (errors += data));
        child.on("close", () => (isEnded = true));
        child.stdin.write(input);
        await until(() => `the message, ${version} ${bytes}: ${errors}`, () => isEnded || text.includes(LONG));
        assert.ok(text.includes(LONG), errors);
        child.kill();
      }
  });

  it("requests and close_notify in one piece, without the end of TCP: they are answered, then the connection ends", async () => {
    const request = (fields) => frameOf(JSON.stringify(fields));
    // Most of these users are on another shard than their connection.
    for (let i = 0; i < 8; i++) {
      const { host, port, ca } = harness.server.tlsAddress;
      const tcp = net.connect({ host, port });
      let held = null;
      const wire = new Duplex({
        read() {},
        write(data, encoding, done) {
          if (held === null) tcp.write(data);
          else held.push(data);
          done();
        },
      });
      let isEnded = false;
      tcp.on("data", (data) => wire.push(data)).on("end", () => (isEnded = true));
      const seen = await connect(harness.server, { socket: wire, ca });
      held = [];
      seen.socket.write(Buffer.concat([Buffer.from(upgradeRequest()), request({ op: "login", id: 1, user: harness.name() }), request({ op: "send", id: 2, to: "x", text: "x" })]));
      seen.socket.end();
      await until("close_notify", () => wire.writableFinished);
      tcp.write(Buffer.concat(held));
      await until("the server's end", () => isEnded);
      assert.match(seen.text, /"op":"ok","id":1,[^]*"op":"ok","id":2,/);
    }
  });

  it("new keys that the client asks for are used", async () => {
    const at = `127.0.0.1:${harness.server.tlsAddress.port}`;
    const child = spawn("openssl", ["s_client", "-connect", at, "-tls1_3"], { stdio: ["pipe", "pipe", "pipe"] });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (text += data));
    await until("the handshake", () => text.includes("Verify return code"));
    // `K` sends a KeyUpdate that asks for one, `k` one that does not. It is read as a command if it comes alone.
    for (const [i, line] of ["K\n", "k\n", "K\n"].entries()) {
      child.stdin.write(line);
      await until("a KeyUpdate", () => text.split("KEYUPDATE").length === i + 2);
    }
    child.stdin.write(HEALTH.replaceAll("\r", ""));
    await until(() => `the answer: ${text.slice(-500)}`, () => text.includes("HTTP/1.1 "));
    child.kill();
  });

  it("a handshake may come byte by byte", async () => {
    const at = harness.server.tlsAddress;
    const socket = net.connect({ host: at.host, port: at.port, noDelay: true });
    const slow = new Duplex({
      read() {},
      write(data, encoding, done) {
        (async () => {
          for (const byte of data) {
            socket.write(Buffer.from([byte]));
            await new Promise(setImmediate);
          }
          done();
        })();
      },
    });
    socket.on("data", (data) => slow.push(data));
    socket.on("error", () => {});
    const client = tls.connect({ socket: slow, ca: at.ca, host: at.host });
    let text = "";
    client.on("data", (data) => (text += data));
    await within(DEADLINE_MS, "the handshake", new Promise((resolve) => client.once("secureConnect", resolve)));
    client.write(HEALTH);
    await until("the answer", () => text.includes("200 OK"));
    socket.destroy();
  });

  it("plain HTTP gets a plain 400 that says so, and garbage no word", async () => {
    const answer = (await rawAnswer(harness.server, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")).toString();
    assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n/);
    assert.match(answer, /\r\n\r\nthis port speaks TLS: use https:\/\/ and wss:\/\/\n$/);
    for (const garbage of [Buffer.alloc(100), Buffer.alloc(3000, 0xff), Buffer.from([0x16, 2, 0]), Buffer.from([22, 3, 1, 0xff, 0xff, 1])])
      assert.equal((await rawAnswer(harness.server, garbage)).length, 0);
    // A record of a handshake without sense: an alert.
    assert.equal((await rawAnswer(harness.server, Buffer.from([22, 3, 1, 0, 4, 99, 0, 0, 0])))[0], 21);
    assert.match(await harness.server.logLine("refused"), /cause=tls address=127\.0\.0\.1 count=\d+ left_out=\d+ reason="[^"]+"/);
  });

  it("a changed record ends the connection with an alert", async () => {
    const at = harness.server.tlsAddress;
    for (const version of VERSIONS) {
      // A relay that changes one bit of the first record after the handshake.
      let harm = false;
      const relay = net.createServer((near) => {
        const far = net.connect(at);
        near.on("data", (data) => {
          if (harm) data[data.length - 1] ^= 1;
          far.write(data);
        });
        far.on("data", (data) => near.write(data));
        far.on("end", () => near.end());
        for (const socket of [near, far]) socket.on("error", () => {});
        near.on("close", () => far.destroy());
      });
      await new Promise((resolve) => relay.listen(0, "127.0.0.1", resolve));
      const seen = await connect({ tlsAddress: { ...at, port: relay.address().port } }, only(version));
      seen.socket.write(upgradeRequest());
      await until("the answer", () => seen.text.includes("101"));
      harm = true;
      seen.socket.write(frameOf(JSON.stringify({ op: "login", id: 1, user: harness.name() })));
      await until("an alert", () => seen.error !== undefined);
      assert.match(seen.error.code, /BAD_RECORD_MAC/);
      relay.close();
    }
  });

  it("requests right behind the handshake and the login are answered in order", async () => {
    const seen = await connect(harness.server);
    const user = harness.name();
    const requests = [{ op: "login", id: 0, user }, ...Array.from({ length: 200 }, (_, id) => ({ op: "ping", id: id + 1 }))];
    seen.socket.write(Buffer.concat([Buffer.from(upgradeRequest()), ...requests.map((fields) => frameOf(JSON.stringify(fields)))]));
    await until("all answers", () => seen.text.includes('"id":200'));
    assert.deepEqual([...seen.text.matchAll(/"id":(\d+)/g)].map(([, id]) => Number(id)), requests.map(({ id }) => id));
    seen.socket.destroy();
  });
});

scenario("a replay of a long timeline over TLS is whole", {}, async (harness) => {
  await harness.start({ listenTls });
  const alice = await harness.login("alice");
  const count = scaled(2000);
  for (let n = 0; n < count; n += 50) await Promise.all(Array.from({ length: 50 }, (_, k) => alice.send("bob", `${n + k} ${"t".repeat(3000)}`)));
  const bob = await harness.login("bob", { after: 0 });
  await bob.untilLive();
  assert.equal(bob.messages.length, Math.ceil(count / 50) * 50);
  await harness.end();
});

scenario("a handshake that does not go on is cut at the login time", { shards: [1] }, async (harness) => {
  await harness.start({ listenTls, options: ["--login-time-s", "1"] });
  const hello = await clientHello();
  const { host, port } = harness.server.tlsAddress;
  const parts = [Buffer.alloc(0), hello.subarray(0, 3), hello.subarray(0, 50), hello];
  const all = await Promise.all(parts.map(async (part) => {
    const raw = await Raw.open(harness.server, { host, port });
    if (part.length > 0) raw.write(part);
    await raw.until(() => raw.isEnded, "the cut");
    return raw.received.length;
  }));
  assert.deepEqual(all.map((bytes) => bytes > 0), [false, false, false, true]);
  assert.match(await harness.server.logLine("refused"), /cause=login_time address=127\.0\.0\.1 .*reason="no complete TLS handshake" .*--login-time-s/);
  await harness.server.untilAtRest(1);
  await harness.end();
});

scenario("many parts of records before a login: the oldest are closed, and who is logged in keeps the memory", { shards: [1] }, async (harness) => {
  // A sixteenth of what is left of --memory is for stashes (budget.h): less than 500 parts of 16 KB take, doubled.
  await harness.start({ listenTls, options: ["--memory", "352M", "--memtable-bytes", "8M", "--connections", "2000", "--login-time-s", "600"] });
  const alice = await harness.login("alice");
  const { host, port } = harness.server.tlsAddress;
  const part = Buffer.concat([Buffer.from([22, 3, 1, 0x40, 0]), Buffer.alloc(16000, 1)]);
  const raws = [];
  for (let i = 0; i < 500; i++) {
    raws.push(await Raw.open(harness.server, { host, port }));
    raws.at(-1).write(part);
  }
  await until("most of them to be closed", () => raws.filter((raw) => raw.isEnded).length >= 300);
  assert.match(await harness.server.logLine("refused"), /cause=tls address=127\.0\.0\.1 .*reason="a part of a record/);
  for (let n = 0; n < 20; n++) await alice.send("bob", `${n} ${LONG}`);
  const late = await harness.login("carol");
  await late.send("alice", LONG);
  await alice.untilMessages(1);
  for (const raw of raws) raw.destroy();
  for (const client of [alice, late]) await client.close();
  await harness.server.untilAtRest(1);
  await harness.end();
});

scenario("too many handshakes at a time: the one that has waited longest goes, and a client gets through", { shards: [1] }, async (harness) => {
  await harness.start({ listenTls, options: ["--tls-handshakes", "4", "--login-time-s", "60", "--admin", "127.0.0.1:0"] });
  const hello = await clientHello();
  const { host, port } = harness.server.tlsAddress;
  const waiting = [];
  for (let i = 0; i < 10; i++) {
    const raw = await Raw.open(harness.server, { host, port });
    raw.write(hello);
    await raw.until(() => raw.received.length > 0, "the server's part");
    waiting.push(raw);
  }
  await until("six to be closed", () => waiting.filter((raw) => raw.isEnded).length === 6);
  assert.deepEqual(waiting.map((raw) => raw.isEnded), waiting.map((_, i) => i < 6));
  assert.match(await harness.server.logLine("refused"), /cause=tls_handshakes address=127\.0\.0\.1 .*--tls-handshakes/);
  const alice = await harness.login("alice");
  await alice.send("alice", "through");
  const scrape = await Scrape.take(harness.server);
  assert.deepEqual(["ok", "failed"].map((result) => scrape.sum("chitchat_tls_handshakes_total", { result })), [1, 7], "Alice's is the seventh that needs a place");
  for (const raw of waiting) raw.destroy();
  await alice.close();
  await harness.server.untilAtRest(1);
  await harness.end();
});

for (const option of ["--address-connections", "--address-rate"])
  scenario(`an address over ${option} gets no handshake, and a line; another address gets its own`, { shards: [1] }, async (harness) => {
    await harness.start({ listenTls, options: ["--limit-loopback", "1", option, "2", "--admin", "127.0.0.1:0"] });
    const from = (localAddress) => connect(harness.server, { localAddress });
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => from("127.0.0.2")));
    const good = outcomes.filter(({ status }) => status === "fulfilled").map(({ value }) => value);
    assert.ok(good.length >= 2 && (option === "--address-rate" || good.length === 2), `${good.length} got through`);
    good.push(await from("127.0.0.3"));
    const cause = option.slice(2).replace("-", "_");
    assert.match(await harness.server.logLine("refused"), new RegExp(`cause=${cause} address=127\\.0\\.0\\.2 count=1 .*${option}`));
    const scrape = await until("the end of the handshakes", async () => {
      const taken = await Scrape.take(harness.server);
      return taken.sum("chitchat_tls_handshakes_total", { result: "ok" }) === good.length && taken;
    });
    assert.equal(scrape.sum("chitchat_tls_handshakes_total", { result: "failed" }), 0);
    assert.equal(scrape.sum("chitchat_refusals_total", { cause }), 21 - good.length);
    for (const { socket } of good) socket.destroy();
    await harness.end();
  });

scenario("SIGHUP takes a new certificate, drops nobody, and a bad one changes nothing", {}, async (harness) => {
  const first = makeCertificate();
  await harness.start({ listenTls, options: optionsOf(first) });
  const names = async (ca) => {
    const seen = await connect(harness.server, { ca });
    const { fingerprint256 } = seen.socket.getPeerCertificate();
    seen.socket.destroy();
    return fingerprint256;
  };
  const stays = await harness.client({ socket: { ca: first.ca } });
  await stays.loginAs("alice");
  const old = await names(first.ca);
  const renewed = makeCertificate({ key: ["rsa:2048"] });
  fs.copyFileSync(renewed.cert, first.cert);
  harness.server.signal("SIGHUP");
  assert.match(await harness.server.logLine("tls_kept"), /does not belong to the certificate/);
  assert.equal(await names(first.ca), old);
  fs.copyFileSync(renewed.key, first.key);
  harness.server.signal("SIGHUP");
  await harness.server.logLine("tls_reloaded");
  assert.notEqual(await names(renewed.ca), old);
  await stays.send("alice", "still here");
  const later = await harness.client({ socket: { ca: renewed.ca } });
  await later.loginAs("alice");
  await stays.send("alice", "to the new one");
  await later.untilMessages(1);
  // The bad pair was logged as an error, as it should be; nothing else was.
  harness.server.signal("SIGTERM");
  assert.deepEqual(await harness.server.ended(), { code: 0, signal: null });
  assert.deepEqual([...new Set([...harness.server.stderr.matchAll(/level=error event=(\w+)/g)].map(([, event]) => event))], ["tls_kept"]);
});

scenario("a session outlives a reload, and not the server", { shards: [2] }, async (harness) => {
  await harness.start({ listenTls });
  const session = async (options) => {
    const seen = await connect(harness.server, options);
    seen.socket.write(HEALTH);
    const isReused = seen.socket.isSessionReused();
    await until("the answer", () => seen.ended && (options?.session || seen.sessions.length > 0));
    return { isReused, session: seen.sessions.at(-1) };
  };
  const first = await session();
  harness.server.signal("SIGHUP");
  await harness.server.logLine("tls_reloaded");
  assert.ok((await session({ session: first.session })).isReused);
  await harness.server.stop();
  await harness.startAgain({ listenTls });
  assert.ok(!(await session({ session: first.session })).isReused);
  await harness.end();
});

scenario("plain and TLS addresses serve side by side", { shards: [2] }, async (harness) => {
  const server = await harness.start({ listen: ["127.0.0.1:0"], listenTls: ["127.0.0.1:0", "[::1]:0"] });
  assert.deepEqual(server.addresses.map(({ isTls = false }) => isTls), [false, true, true]);
  const clients = [];
  for (const at of server.addresses) clients.push(await harness.client({ at }));
  for (const client of clients) await client.loginAs("alice");
  await clients[1].send("alice", "to all of them");
  await Promise.all(clients.map((client) => client.untilEntries(1)));
  await harness.end();
});

scenario("what is wrong with the files is said at the start", { shards: [1] }, async () => {
  const data = makeDataDir();
  const made = makeCertificate();
  const other = makeCertificate();
  const run = (...options) => runToEnd(["serve", "--listen-tls", "127.0.0.1:0", "--data", data, ...options]);
  const says = ({ status, stderr }, code, words) => {
    assert.equal(status, code, stderr);
    assert.match(stderr.trimEnd().split("\n").at(-1), words);
  };
  says(run(), 2, /^chitchat: --listen-tls needs --tls-cert F and --tls-key F/);
  says(run("--tls-cert", made.cert), 2, /needs --tls-cert F and --tls-key F/);
  says(runToEnd(["serve", "--data", data, ...optionsOf(made)]), 2, /without --listen-tls/);
  says(run("--tls-cert", `${made.cert}.no`, "--tls-key", made.key), 1, /^chitchat: --tls-cert \S+ cannot be read: No such file/);
  says(run("--tls-cert", made.cert, "--tls-key", other.key), 1, /^chitchat: --tls-key \S+ does not belong to the certificate/);
  fs.chmodSync(made.key, 0o644);
  says(run(...optionsOf(made)), 1, /^chitchat: --tls-key \S+ can be read or written by every user .*chmod 600/);
  removeDataDir(data);
});

scenario("an expired certificate is warned of", { shards: [1] }, async (harness) => {
  const made = makeCertificate({ dates: ["20200101000000Z", "20200201000000Z"] });
  await harness.start({ listenTls, options: optionsOf(made) });
  assert.match(await harness.server.logLine("tls_certificate_not_valid"), /level=warn .*has expired/);
  await fails(Client.open(harness.server, { socket: { ca: made.ca } }), /CERT_HAS_EXPIRED/);
  await harness.end();
});

scenario("connections with TLS move to the shard of their user, with what follows the login", { shards: [4] }, async (harness) => {
  await harness.start({ listenTls });
  for (const version of VERSIONS) {
    const users = Array.from({ length: 24 }, () => harness.name("user"));
    const clients = await Promise.all(users.map(() => harness.client({ socket: only(version) })));
    // The sends are written before the login is answered. Some arrive before their recipient is logged in: the replay has them.
    const sends = clients.map((client, i) => [client.loginAs(users[i], { after: 0 }), ...[0, 1, 2].map((n) => client.send(users[(i + 1) % 24], `${n} ${LONG}`))]);
    await Promise.all(sends.flat());
    await Promise.all(clients.map((client) => client.untilEntries(6)));
    for (const client of clients) await client.close();
  }
  await harness.server.untilAtRest(4);
  await harness.end();
});
