// `chitchat chat` in pipes, `chitchat send` and `chitchat history`, against servers that are killed, that limit rates,
// that ask for tokens and speak TLS.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { WebSocketServer } from "ws";
import { certificate } from "./lib/certificate.mjs";
import { Harness, scenario } from "./lib/harness.mjs";
import { makeKey, makeToken, now } from "./lib/jwt.mjs";
import { startLiar } from "./lib/liar.mjs";
import { run } from "./lib/run.mjs";
import { BIN, ENVIRONMENT, SHORT, scaled, until, withDataDir } from "./lib/server.mjs";
import { Piped } from "./lib/terminal.mjs";
import { wholeTimeline } from "./lib/traffic.mjs";

const trust = (server) => (server.address.isTls ? ["--tls-ca", certificate().cert] : []);
const talk = (server, command, user, ...rest) => [command, "--user", user, ...trust(server), ...rest];
const send = (server, user, to, ...rest) => run([...talk(server, "send", user, "--to", to), "--url", server.url(), ...rest]);

// Runs body with open(...args), which starts a chat in pipes; all are ended after it.
async function withPipes(body) {
  const open = [];
  try {
    return await body((args) => {
      open.push(new Piped(args));
      return open.at(-1);
    });
  } finally {
    for (const piped of open) piped.clean();
  }
}

const texts = (messages) => messages.map(({ text }) => text);

scenario("a message is sent, received and found in history", {}, async (harness) => {
  const server = await harness.start();
  await withPipes(async (open) => {
    const bob = open([...talk(server, "chat", "bob"), "--json", server.url()]);
    await bob.untilLive();
    const { code, stdout } = await send(server, "alice", "bob", "--json", "--key", "k1", "hello");
    assert.equal(code, 0);
    const { ts, mid } = JSON.parse(stdout);
    await until("the message", () => bob.objects("msg").length === 1);
    const [got] = bob.objects("msg");
    assert.deepEqual([got.mid, got.from, got.to, got.text], [mid, "alice", "bob", "hello"]);
    const again = await send(server, "alice", "bob", "--json", "--key", "k1", "hello");
    assert.deepEqual([again.code, JSON.parse(again.stdout).dup, JSON.parse(again.stdout).mid], [0, true, mid]);
    const conflict = await send(server, "alice", "bob", "--key", "k1", "another");
    assert.equal(conflict.code, 1);
    assert.match(conflict.stderr, /key_conflict/);
    const history = await run([...talk(server, "history", "alice", "--json"), server.url()]);
    assert.deepEqual(JSON.parse(history.stdout), { ts, mid, from: "alice", to: "bob", key: "k1", text: "hello" });
    bob.signal("SIGTERM");
    assert.equal((await bob.ended()).code, 0);
  });
  await harness.end();
});

scenario("history gives what is asked for, oldest first", {}, async (harness) => {
  const server = await harness.start();
  const alice = await harness.login("alice");
  const count = scaled(2300);
  for (let i = 0; i < count; i++) await alice.ok({ op: "send", to: i % 2 ? "bob" : "carol", text: `${i}` });
  const timeline = await wholeTimeline(await harness.login("alice"));
  const history = async (...args) => {
    const { code, stdout, stderr } = await run([...talk(server, "history", "alice", "--json"), ...args, server.url()]);
    assert.equal(code, 0, stderr);
    return stdout.trim().split("\n").filter(Boolean).map((line) => JSON.parse(line));
  };
  const all = texts(timeline);
  assert.deepEqual(texts(await history()), all.slice(-50));
  assert.deepEqual(texts(await history("--since", "1d")), all);
  assert.deepEqual(texts(await history("--limit", String(count - 7))), all.slice(7));
  assert.deepEqual(texts(await history("--with", "bob", "--since", "1d")), all.filter((text) => Number(text) % 2));
  assert.deepEqual(texts(await history("--since", String(timeline[5].ts), "--limit", "100000")), all.slice(5));
  assert.deepEqual(texts(await history("--since", String(timeline[5].ts))), all.slice(5));
  assert.deepEqual(await history("--with", "nobody"), []);
  await harness.end();
});

scenario("lines keep their order through kills, none is lost or doubled", {}, async (harness) => {
  let server = await harness.start();
  const { port } = server.address;
  const count = scaled(1000);
  await withPipes(async (open) => {
    const bob = open([...talk(server, "chat", "bob"), "--json", server.url()]);
    await bob.untilLive();
    const alice = open([...talk(server, "chat", "alice", "--to", "bob"), "--timeout", "1h", server.url()]);
    let written = 0;
    for (const share of [0.2, 0.5, 0.8]) {
      while (written < count * share) alice.write(`line ${written++}\n`);
      await until("some to arrive", () => bob.objects("msg").length >= written / 3, { every: 50 });
      server.signal("SIGKILL");
      await server.ended();
      server = await harness.startAgain({ listen: [`127.0.0.1:${port}`] });
    }
    while (written < count) alice.write(`line ${written++}\n`);
    assert.equal((await alice.end()).code, 0, alice.stderr);
    assert.deepEqual(alice.lines, []);
    const wanted = Array.from({ length: count }, (_, i) => `line ${i}`);
    await until("all lines", () => bob.lines.length > count && bob.objects("msg").length >= count, { every: 200 });
    assert.deepEqual(texts(bob.objects("msg")), wanted);
    assert.deepEqual(texts(await wholeTimeline(await harness.login("alice"))), wanted);
    assert.deepEqual(texts(await wholeTimeline(await harness.login("bob"))), wanted);
  });
  await harness.end();
});

scenario("lines keep their order where the server limits sends", {}, async (harness) => {
  const server = await harness.start({ options: ["--send-rate", "20"] });
  await withPipes(async (open) => {
    const alice = open([...talk(server, "chat", "alice", "--to", "bob"), "--json", server.url()]);
    const lines = Array.from({ length: 60 }, (_, i) => `${i}`);
    assert.equal((await alice.end(`${lines.join("\n")}\n`)).code, 0, alice.stderr);
    assert.deepEqual(texts(alice.objects("ok")), lines);
    assert.deepEqual(texts(await wholeTimeline(await harness.login("bob"))), lines);
  });
  await harness.end();
});

scenario("a gap is noticed and filled, a message that comes twice is shown once", {}, async (harness) => {
  const server = await harness.start();
  if (server.address.isTls) return harness.end();
  const lies = new Set(["2", "7"]);
  const proxy = await startLiar(server.address.port, (object, link) => {
    if (object.text === "2" && lies.delete("2")) return [];
    return object.text === "7" && link.number > 0 && lies.delete("7") ? [object, object] : undefined;
  });
  try {
    await withPipes(async (open) => {
      const bob = open([...talk(server, "chat", "bob"), "--json", `ws://${proxy.address}`]);
      await bob.untilLive();
      const alice = await harness.login("alice");
      for (let i = 0; i < 10; i++) await alice.ok({ op: "send", to: "bob", text: `${i}` });
      await until("all", () => bob.objects("msg").length >= 10);
      assert.deepEqual(texts(bob.objects("msg")), Array.from({ length: 10 }, (_, i) => `${i}`));
      assert.ok(bob.objects("state").filter(({ state }) => state === "waiting").length >= 2, bob.lines.join("\n"));
    });
  } finally {
    await proxy.close();
  }
  await harness.end();
});

scenario("texts are one line each, and none reaches a terminal as it is", {}, async (harness) => {
  const server = await harness.start();
  const alice = await harness.login("alice");
  await alice.ok({ op: "send", to: "bob", text: "\u001b[2Jred\r\nline\u009b1m \u202etxt" });
  const { stdout } = await run([...talk(server, "history", "bob"), server.url()], { TZ: "UTC" });
  assert.match(stdout, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d alice -> bob: \^\[\[2Jred\^M\\nline\\u009b1m \\u202etxt\n$/);
  await harness.end();
});

scenario("stdin of send, and what can never be sent", {}, async (harness) => {
  const server = await harness.start();
  await withPipes(async (open) => {
    const args = [...talk(server, "send", "alice", "--to", "bob"), "--url", server.url()];
    assert.equal((await open(args).end("two\nlines\n")).code, 0);
    assert.equal((await open(args).end("x".repeat(16384))).code, 0);
    const long = open(args);
    assert.equal((await long.end("x".repeat(16385))).code, 1);
    assert.match(long.stderr, /too long/);
    for (const never of ["", "zero \0 byte"]) assert.equal((await open(args).end(never)).code, 1);
    assert.equal((await open(args).end(Buffer.from([0xff, 0x0a]))).code, 1);
    const full = spawnSync("/bin/sh", ["-c", 'exec "$0" "$@" > /dev/full', BIN, ...args, "--json", "stored"], { encoding: "utf8", env: ENVIRONMENT });
    assert.equal(full.status, 1);
    assert.match(full.stderr, /stdout cannot be written, but the message is stored/);
    const chat = open([...talk(server, "chat", "alice", "--to", "bob"), server.url()]);
    assert.equal((await chat.end(`good\n${"y".repeat(40000)}\n\nalso good`)).code, 1);
    assert.match(chat.stderr, /not sent: .*too long/);
  });
  const timeline = texts(await wholeTimeline(await harness.login("bob")));
  assert.deepEqual(timeline.map((text) => text.slice(0, 10)), ["two\nlines", "xxxxxxxxxx", "stored", "good", "also good"]);
  await harness.end();
});

scenario("tokens: refused, expired, renewed", {}, async (harness) => {
  await withDataDir(async (dir) => {
    const key = makeKey("HS256");
    const secrets = path.join(dir, "secrets");
    const token = path.join(dir, "token");
    fs.writeFileSync(secrets, `${key.secret}\n`, { mode: 0o600 });
    fs.writeFileSync(token, `${makeToken(key, { sub: "alice", exp: now() - 1000 })}\n`);
    const server = await harness.start({ options: ["--auth", "token", "--token-secrets", secrets] });
    const args = ["chat", "--token-file", token, "--to", "bob", "--json", ...trust(server), server.url()];
    await withPipes(async (open) => {
      const refused = open(args);
      assert.equal((await refused.end("x\n")).code, 3);
      assert.match(refused.stderr, /bad_token/);
      fs.writeFileSync(token, `${makeToken(key, { sub: "alice", exp: now() - 27 })}\n`);
      const alice = open(args);
      await alice.untilLive();
      await until("the expiry", () => alice.stderr.includes("put a new one into"), { every: 50 });
      alice.write("after the expiry\n");
      fs.writeFileSync(token, `${makeToken(key, { sub: "alice" })}\n`);
      assert.equal((await alice.end()).code, 0, alice.stderr);
      assert.deepEqual(texts(alice.objects("ok")), ["after the expiry"]);
      const sent = await run(["send", "--token-file", token, "--to", "bob", ...trust(server), "--url", server.url(), "by token"]);
      assert.equal(sent.code, 0, sent.stderr);
    });
  });
  await harness.end();
});

scenario("TLS is checked", {}, async (harness) => {
  const server = await harness.start({ listen: ["127.0.0.1:0"], listenTls: ["127.0.0.1:0"] });
  const url = server.url("/ws", server.tlsAddress);
  const args = ["send", "--user", "alice", "--to", "bob", "--url", url];
  const good = await run([...args, "--tls-ca", certificate().cert, "secret"]);
  assert.equal(good.code, 0, good.stderr);
  const unknown = await run([...args, "secret"]);
  assert.equal(unknown.code, 3);
  assert.match(unknown.stderr, /certificate is not trusted: .*--tls-ca/);
  const history = await run(["history", "--user", "bob", "--json", "--tls-ca", certificate().cert, url]);
  assert.equal(JSON.parse(history.stdout).text, "secret");
  const plain = server.url("/ws", server.addresses.find((at) => !at.isTls));
  const wrong = await run(["send", "--user", "a", "--to", "b", "--url", plain.replace("ws:", "wss:"), "x"]);
  assert.equal(wrong.code, 3);
  assert.match(wrong.stderr, /does not answer in TLS/);
  await harness.end();
});

// The program of docs/CLIENT_C.md, built by the command that stands there, from the files that it names.
test("the program of the C client's page is built from the files that it names, and answers", { skip: SHORT }, async () => {
  const root = path.resolve(import.meta.dirname, "../..");
  const page = fs.readFileSync(path.join(root, "docs/CLIENT_C.md"), "utf8");
  const [, program] = /```c\n([^]*?)```/.exec(page);
  const [command] = /cc -std=c11[^]*?-pthread/.exec(page);
  const harness = new Harness(1);
  try {
    await withDataDir(async (dir) => {
      await harness.start({ listen: ["127.0.0.1:0"] });
      const url = harness.server.url("", harness.server.addresses[0]);
      fs.writeFileSync(path.join(dir, "bot.c"), program.replace("ws://127.0.0.1:8080", url));
      const built = spawnSync("bash", ["-c", `${command} -O0 -o "$PROGRAM.bot"`],
        { cwd: root, encoding: "utf8", env: { ...ENVIRONMENT, PROGRAM: path.join(dir, "bot.c") } });
      assert.equal(built.status, 0, built.stderr);
      if (harness.server.address.isTls) return;
      const bot = spawn(path.join(dir, "bot.c.bot"), { stdio: ["ignore", "ignore", "pipe"] });
      try {
        const alice = await harness.login("alice");
        await until("an answer", async () => {
          await alice.ok({ op: "send", to: "echo", text: "who is there?" });
          return alice.messages.some(({ from, text }) => from === "echo" && text === "who is there?");
        }, { every: 100 });
      } finally {
        bot.kill("SIGKILL");
      }
    });
    await harness.end();
  } finally {
    await harness.clean();
  }
});

// A node for WebSockets of any path: its URL, without one.
async function startNode(servers, onConnection) {
  const node = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  servers.push(node);
  node.on("connection", onConnection);
  await new Promise((resolve) => node.once("listening", resolve));
  return `ws://127.0.0.1:${node.address().port}`;
}

// The given URL is that of a load balancer, say: later it leads to another node.
scenario("a node that is named and does not serve is left for the given URL", {}, async (harness) => {
  const server = await harness.start({ listen: ["127.0.0.1:0"] });
  const serving = server.url("/ws", server.addresses.find((at) => !at.isTls));
  const servers = [];
  try {
    const cutOff = await startNode(servers, (socket) => socket.on("message", (data) => socket.send(JSON.stringify({ op: "error", id: JSON.parse(data).id, code: "unavailable", message: "no log" }))));
    const named = { "/no-path": [serving.replace("/ws", "/none"), serving], "/cut-off": [cutOff, serving] };
    const given = await startNode(servers, (socket, { url }) => socket.close(1001, named[url].shift()));
    await Promise.all(Object.keys(named).map(async (path) => {
      const sent = await run(["send", "--user", "a", "--to", "b", "--timeout", "30s", "--url", given + path, path]);
      assert.equal(sent.code, 0, `${path}: ${sent.stderr}`);
      assert.deepEqual(named[path], [], path);
    }));
  } finally {
    for (const node of servers) {
      for (const socket of node.clients) socket.terminate();
      node.close();
    }
  }
  await harness.end();
});

scenario("exit codes without a server, of wrong addresses and of wrong options", {}, async (harness) => {
  const server = await harness.start();
  const late = await run(["send", "--user", "a", "--to", "b", "--url", "ws://127.0.0.1:1", "--timeout", "1s", "x"]);
  assert.equal(late.code, 4);
  assert.match(late.stderr, /nothing was sent: .*cannot be reached: Connection refused/);
  const path404 = await run([...talk(server, "history", "a"), server.url("/none")]);
  assert.equal(path404.code, 3);
  assert.match(path404.stderr, /status 404/);
  for (const [args, wanted] of [
    [["send", "--user", "a", "x"], /send needs --to/],
    [["send", "--to", "b", "x"], /needs --user/],
    [["send", "--user", "a", "--to", "b", "x", "y"], /TEXT y: is one too many/],
    [["send", "--user", "a b", "--to", "b", "x"], /--user a b: must be a user name/],
    [["send", "--user", "a", "--to", "a b", "x"], /--to a b: must be a user name/],
    [["chat", "--user", "a", "--to", "a\"b"], /--to a"b: must be a user name/],
    [["history", "--user", "a", "--with", "\u00e9"], /--with \u00e9: must be a user name/],
    [["chat", "--user", "a", "http://x"], /the URL http:\/\/x has another scheme/],
    [["chat", "--user", "a", "--tls-ca", "/none", "ws://x"], /--tls-ca is for wss/],
    [["chat", "--user", "a", "--tls-ca", "/none", "wss://x"], /--tls-ca \/none/],
    [["chat", "--token-file", "/none"], /--token-file \/none cannot be read/],
    [["history", "--user", "a", "--since", "once"], /--since must be/],
  ]) {
    const { code, stderr } = await run(args);
    assert.equal(code, 2, `${args}: ${stderr}`);
    assert.match(stderr, wanted);
    assert.equal(stderr.trim().split("\n").length, 1);
  }
  await harness.end();
});
