// The command line: what it prints, what it refuses, and that a refusal changes nothing.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { test } from "node:test";
import { runToEnd, withDataDir } from "./lib/server.mjs";
import { scenario } from "./lib/harness.mjs";
import { Client } from "./lib/client.mjs";

const PORT_OPEN = "127.0.0.1:0";

// Refused: one line on stderr that matches `word`, a status that is not 0, nothing on stdout.
function refused(args, word, env) {
  const end = runToEnd(args, env);
  assert.notEqual(end.status, 0, `${args.join(" ")}: ${end.stderr}`);
  assert.equal(end.signal, null);
  assert.match(end.stderr, /^[^\n]+\n$/, "one line");
  assert.match(end.stderr, word);
  assert.equal(end.stdout, "");
  return end;
}

// Every file below a directory with its bytes and time; without the locks, which readers change too.
function treeOf(dir) {
  const all = {};
  for (const entry of fs.readdirSync(dir, { recursive: true, withFileTypes: true }))
    if (entry.isFile() && !/lock$/i.test(entry.name)) {
      const name = path.join(entry.parentPath ?? entry.path, entry.name);
      all[name] = `${fs.statSync(name).size} ${fs.statSync(name).mtimeMs}`;
    }
  return all;
}

test("--help and --version print what they should and end with 0", () => {
  for (const args of [["--help"], ["serve", "--help"]]) {
    const end = runToEnd(args);
    assert.equal(end.status, 0);
    assert.equal(end.stderr, "");
    for (const option of ["--listen", "--data", "--shards", "--origin", "--host", "CHITCHAT_"]) assert.ok(end.stdout.includes(option), option);
  }
  const version = runToEnd(["--version"]);
  assert.equal(version.status, 0);
  assert.match(version.stdout, /^chitchat \d+\.\d+\.\d+\n$/);
});

test("what cannot be understood is refused with the word that is wrong, before anything is touched", async () => {
  await withDataDir((dir) => {
    const data = path.join(dir, "data");
    const bad = [
      [["serve", "--nonsense"], /--nonsense/],
      [["nonsense"], /nonsense/],
      [["serve", "stray"], /stray/],
      [["serve", "--listen", "nowhere"], /--listen/],
      [["serve", "--listen", "127.0.0.1:99999"], /--listen/],
      [["serve", "--listen", "[::1:80"], /--listen/],
      [["serve", "--shards", "0"], /--shards/],
      [["serve", "--shards", "65"], /--shards/],
      [["serve", "--shards", "two"], /--shards/],
      [["serve", "--shards"], /--shards/],
      [["serve", "--memtable-bytes", "12Q"], /--memtable-bytes/],
      [["serve", "--origin", "example.org"], /--origin/],
      [["serve", "--host", "https://chat.example.org"], /--host.*no URL/],
      [["serve", "--host", "chat.example.org:65536"], /--host.*port/],
      [["serve", "--host", "*.example.org"], /--host.*no wildcard/],
      [["serve", "--data", ""], /--data/],
      [["serve", "--listen", "0.0.0.0:0"], /0\.0\.0\.0:0.*--auth token.*--allow-anyone/],
      [["serve", "--auth", "token"], /--token-secrets.*--token-keys/],
      [["serve", "--token-keys", "k.pem"], /--auth token/],
      [["serve", "--auth", "token", "--token-secrets", "/nowhere/secrets"], /\/nowhere\/secrets: cannot be opened/],
    ];
    for (const [args, word] of bad) {
      const all = args[0] === "serve" && args.length > 1 && !args.includes("--data") ? [...args, "--data", data] : args;
      refused(args.at(-1).startsWith("--shards") ? args : all, word);
    }
    refused(["serve"], /CHITCHAT_SHARDS/, { CHITCHAT_SHARDS: "many", CHITCHAT_DATA: data });
    assert.ok(!fs.existsSync(data));
  });
});

test("./dev looks at its options before it installs or builds anything", async () => {
  await withDataDir((dir) => {
    for (const tool of ["apt-get", "cmake", "npm"]) fs.writeFileSync(path.join(dir, tool), "#!/bin/sh\necho touched >&2\nexit 9\n", { mode: 0o755 });
    const dev = (...args) => spawnSync("../../dev", args, { encoding: "utf8", env: { ...process.env, PATH: `${dir}:${process.env.PATH}` } });
    const usage = dev("soak", "--help");
    assert.deepEqual([usage.status, usage.stderr], [0, ""]);
    assert.match(usage.stdout, /^\.\/dev soak \[minutes\][^\n]*\n[^\n]*default: 60[^\n]*\n$/);
    for (const [args, word] of [[["many"], /MINUTES.*"many"/], [["1", "2"], /"2"/], [["--only", "simm"], /--only .*"simm"/], [["--onyl", "sim"], /--onyl/]]) {
      const { status, stdout, stderr } = dev("soak", ...args);
      assert.deepEqual([status, stdout], [2, ""]);
      assert.match(stderr, /^\.\/dev soak: [^\n]+\n$/);
      assert.match(stderr, word);
    }
  });
});

test("a port in use is refused, and the data directory is not made", async () => {
  const holder = net.createServer();
  await new Promise((resolve) => holder.listen(0, "127.0.0.1", resolve));
  await withDataDir((dir) => {
    const data = path.join(dir, "data");
    refused(["serve", "--listen", `127.0.0.1:${holder.address().port}`, "--data", data], /in use/);
    assert.ok(!fs.existsSync(data));
  });
  holder.close();
});

scenario("a port that another server of ours has is in use too", { shards: [2] }, async (harness) => {
  await harness.start();
  await withDataDir((dir) => refused(["serve", "--listen", `127.0.0.1:${harness.server.address.port}`, "--data", path.join(dir, "d")], /in use/));
  await harness.server.stop();
});

scenario("a data directory that another server has is refused, and that server goes on", { shards: [2] }, async (harness) => {
  await harness.start();
  const alice = await harness.login("alice");
  await alice.send("bob", "before");
  refused(["serve", "--listen", PORT_OPEN, "--data", harness.server.data], /in use/);
  await alice.send("bob", "after");
  await harness.server.stop();
});

scenario("another number of shards is refused with the number that it has; none given takes that", { shards: [2] }, async (harness) => {
  await harness.start();
  const alice = await harness.login("alice");
  await alice.send("bob", "kept");
  await harness.server.stop();
  const before = treeOf(harness.server.data);
  const end = refused(["serve", "--listen", PORT_OPEN, "--data", harness.server.data, "--shards", "3"], /\b2\b/);
  assert.match(end.stderr, /--shards/);
  assert.deepEqual(treeOf(harness.server.data), before);
  await harness.startAgain({ shards: null });
  assert.match(harness.server.stderr, /shards=2/);
  assert.equal((await (await harness.login("bob")).history()).messages[0].text, "kept");
  await harness.server.stop();
});

scenario("a data directory of another version, or none of ours, is refused and left as it was", { shards: [2] }, async (harness) => {
  await harness.start();
  await harness.server.stop();
  const meta = path.join(harness.server.data, "META");
  const text = fs.readFileSync(meta, "utf8");
  fs.writeFileSync(meta, text.replace(/^chitchat-data \d+/, "chitchat-data 99"));
  assert.notEqual(fs.readFileSync(meta, "utf8"), text);
  const before = treeOf(harness.server.data);
  refused(["serve", "--listen", PORT_OPEN, "--data", harness.server.data], /version|format/);
  assert.deepEqual(treeOf(harness.server.data), before);
  await withDataDir((dir) => {
    fs.writeFileSync(path.join(dir, "precious.txt"), "not of chitchat");
    refused(["serve", "--listen", PORT_OPEN, "--data", dir], /./);
    assert.deepEqual(fs.readdirSync(dir), ["precious.txt"]);
  });
});

scenario("options come from the environment too, and the command line wins", { shards: [1] }, async (harness) => {
  await harness.start({ shards: null, env: { CHITCHAT_SHARDS: "3", CHITCHAT_PING_S: "7", CHITCHAT_ORIGIN: "https://a.example,https://b.example", CHITCHAT_HOST: "c.example,d.example:81" } });
  assert.match(harness.server.stderr, /shards=3/);
  const client = await harness.login("alice");
  assert.equal(client.login.ping, 7);
  await (await Client.open(harness.server, { headers: { Origin: "https://b.example" } })).loginAs("bob");
  await (await Client.open(harness.server, { headers: { Host: "d.example:81", Origin: "http://d.example:81" } })).loginAs("carol");
  await harness.server.stop();
  await harness.start({ shards: 2, env: { CHITCHAT_SHARDS: "3" } });
  assert.match(harness.server.stderr, /shards=2/);
  await harness.server.stop();
});

scenario("a name in the environment that no option has is warned of, without its value, and changes nothing", { shards: [1] }, async (harness) => {
  await harness.start({ env: { CHITCHAT_PINGS: "secret", CHITCHAT_PORT: "tcp://10.0.0.1:80" } });
  const warnings = harness.server.stderr.split("\n").filter((line) => line.includes("event=unknown_environment"));
  assert.deepEqual(warnings.map((line) => /name=(\S+)/.exec(line)[1]).sort(), ["CHITCHAT_PINGS", "CHITCHAT_PORT"]);
  for (const line of warnings) assert.match(line, /level=warn/);
  assert.doesNotMatch(harness.server.stderr, /secret|tcp:/);
  await harness.server.stop();
});

test("each command has its own options, and prints its usage", () => {
  const bad = [
    [["verify", "--shards", "2"], /unknown option --shards: `chitchat verify --help`/],
    [["dump", "--to", "x"], /unknown option --to/],
    [["dump", "--user"], /--user: needs a value/],
    [["dump", "stray"], /unknown option stray/],
    [["backup"], /backup needs --to DIR2/],
    [["restore", "--data", "x"], /restore needs --from DIR2/],
    [["backup", "--to", ""], /--to .*must name a directory/],
  ];
  for (const [args, word] of bad) assert.equal(refused(args, word).status, 2);
  for (const command of ["verify", "dump", "backup", "restore"]) {
    const help = runToEnd([command, "--help"]);
    assert.equal(help.status, 0);
    assert.match(help.stdout, new RegExp(`^Usage: chitchat ${command} `));
    assert.doesNotMatch(help.stdout, /--ping-s/);
  }
});

scenario("the log is logfmt on stderr, with one line when ready, and never the text of a message", { shards: [2] }, async (harness) => {
  await harness.start();
  const alice = await harness.login("alice");
  await alice.send("bob", "a very secret text", { key: "a very secret key" });
  await alice.error({ op: "send", to: "b b", text: "another secret" }, "bad_request");
  alice.raw('{"op":"send","to":"bob","text":"broken secret');
  await alice.until(() => alice.stray.length > 0, "bad_json");
  await harness.server.stop();
  const lines = harness.server.stderr.trim().split("\n");
  for (const line of lines) assert.match(line, /^time=\d{4}-\d\d-\d\dT[\d:.]+Z level=(debug|info|warn|error) event=[a-z_]+( [a-z_]+=("[^"]*"|[^ "]*))*$/);
  assert.equal(lines.filter((line) => line.includes("event=ready")).length, 1);
  assert.match(lines.find((line) => line.includes("event=ready")), new RegExp(`listen=127\\.0\\.0\\.1:${harness.server.address.port}\\b`));
  assert.doesNotMatch(harness.server.stderr, /secret/);
});

scenario("damage in the middle of a log is refused with file and offset, and nothing is touched", { shards: [2] }, async (harness) => {
  await harness.start();
  const alice = await harness.login("alice");
  for (let i = 0; i < 5; i++) await alice.send("bob", `message ${i} with a text to be found`);
  await harness.server.kill();
  const logs = Object.keys(treeOf(harness.server.data)).filter((name) => name.endsWith(".wal"));
  const log = logs.find((name) => fs.readFileSync(name).includes("message 1 with"));
  const bytes = fs.readFileSync(log);
  bytes[bytes.indexOf("message 1 with")] ^= 1;
  fs.writeFileSync(log, bytes);
  const before = treeOf(harness.server.data);
  const end = refused(["serve", "--listen", PORT_OPEN, "--data", harness.server.data], /segment-\d+\.wal/);
  assert.match(end.stderr, /offset/);
  assert.deepEqual(treeOf(harness.server.data), before);
});

test("an option may be written with = too, and values may be bytes with K, M or G", async () => {
  await withDataDir((dir) => {
    const all = ["serve", `--listen=${PORT_OPEN}`, `--data=${path.join(dir, "data")}`];
    refused([...all, "--memtable-bytes=1K"], /--memtable-bytes/);
    refused([...all, "--memtable-bytes=1M", "--wal-segment-bytes=4097K"], /--wal-segment-bytes/);
    refused([...all, "--ping-s="], /--ping-s/);
    refused([], /./);
    assert.deepEqual(fs.readdirSync(dir), []);
  });
});

test("a data directory that is a file, or cannot be made, is refused with its name", async () => {
  await withDataDir((dir) => {
    const file = path.join(dir, "file");
    fs.writeFileSync(file, "mine");
    for (const data of [file, path.join(file, "below")]) refused(["serve", "--listen", PORT_OPEN, "--data", data], /file/);
    assert.equal(fs.readFileSync(file, "utf8"), "mine");
  });
});

scenario("an environment that sets several addresses is served on all; the command line replaces them", { shards: [1] }, async (harness) => {
  await harness.start({ listen: [], env: { CHITCHAT_LISTEN: "127.0.0.1:0,[::1]:0" } });
  assert.deepEqual(harness.server.addresses.map((at) => at.host), ["127.0.0.1", "[::1]"]);
  for (const at of harness.server.addresses) await (await harness.client({ at })).loginAs("alice");
  await harness.server.stop();
  await harness.start({ env: { CHITCHAT_LISTEN: "[::1]:0" } });
  assert.deepEqual(harness.server.addresses.map((at) => at.host), ["127.0.0.1"]);
  await harness.server.stop();
});
