// The file of --config, and `chitchat serve --check`.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { test } from "node:test";
import { certificate } from "./lib/certificate.mjs";
import { scenario } from "./lib/harness.mjs";
import { filesOf, treeOf } from "./lib/offline.mjs";
import { BIN, DEADLINE_MS, ENVIRONMENT, makeDataDir, removeDataDir, runToEnd } from "./lib/server.mjs";

scenario("a server takes its options from a file, and warns where a proxy could be anybody", { shards: [1] }, async (harness) => {
  const dir = makeDataDir();
  try {
    const file = path.join(dir, "chitchat.conf");
    fs.writeFileSync(file, "# options of the test\nconnections = 17\ntrust-proxy = 0.0.0.0/0\nping-s = 9\n");
    await harness.start({ options: ["--config", file], env: { CHITCHAT_INJECT: "/nowhere" } });
    await harness.login("alice");
    await harness.end();
    assert.match(harness.server.stderr, /event=ready .* connections=17 /);
    assert.match(harness.server.stderr, /level=warn event=everybody_is_a_proxy/);
    assert.doesNotMatch(harness.server.stderr, /unknown_environment/);
    fs.appendFileSync(file, "ping-ms = 9\n");
    const { status, stderr } = runToEnd(["serve", "--config", file]);
    assert.equal(status, 2);
    assert.equal(stderr, `chitchat: ${file}:5: ping-ms: is no option: write the name without --, as \`chitchat serve --help\` lists it\n`);
  } finally {
    removeDataDir(dir);
  }
});

async function withListener(run) {
  const listener = net.createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => listener.once("listening", resolve));
  try {
    await run(`127.0.0.1:${listener.address().port}`);
  } finally {
    await new Promise((resolve) => listener.close(resolve));
  }
}

test("--check finds what a start would find, and changes nothing", async () => {
  const dir = makeDataDir();
  const data = path.join(dir, "store");
  const check = (...options) => runToEnd(["serve", "--check", "--listen", "127.0.0.1:0", "--data", data, "--connections", "100", ...options]);
  const expectWrong = (said, ...options) => {
    const { status, stdout, stderr } = check(...options);
    assert.match(stderr, said);
    assert.deepEqual([status, stdout, stderr.split("\n").length], [2, "", 2]);
  };
  try {
    const good = check("--log-file", path.join(dir, "log"));
    assert.deepEqual([good.status, good.stdout, good.stderr], [0, `chitchat: all is well: data="${data}" (will be made)\n`, ""]);
    assert.deepEqual(fs.readdirSync(dir), []);

    const { cert } = certificate();
    expectWrong(/^chitchat: --ping-s 0: /, "--ping-s", "0");
    expectWrong(/^chitchat: .*none\/chat.conf: it cannot be read/, "--config", path.join(dir, "none/chat.conf"));
    expectWrong(/^chitchat: --log-file .*none\/log cannot be written: No such file/, "--log-file", path.join(dir, "none/log"));
    expectWrong(/^chitchat: --log-file .* cannot be written: Is a directory/, "--log-file", dir);
    expectWrong(/^chitchat: .*none\/store .*make the directory above it first/, "--data", path.join(dir, "none/store"));
    expectWrong(/^chitchat: .*secrets/, "--auth", "token", "--token-secrets", path.join(dir, "secrets"));
    expectWrong(/^chitchat: .*key/, "--listen-tls", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", path.join(dir, "key"));
    expectWrong(/^chitchat: --memory 256M is too little/, "--memory", "256M", "--shards", "1");
    await withListener(async (address) => expectWrong(new RegExp(`^chitchat: ${address} is in use`), "--listen", address));
    fs.writeFileSync(path.join(dir, "file"), "x");
    expectWrong(/^chitchat: .* is neither empty nor a data directory of chitchat/, "--data", dir);
    assert.deepEqual(fs.readdirSync(dir), ["file"]);
  } finally {
    removeDataDir(dir);
  }
});

scenario("--check beside the running server, and on what it left", { shards: [2] }, async (harness) => {
  const { data, address } = await harness.start();
  const check = (...options) => runToEnd(["serve", "--check", "--listen", `${address.host}:${address.port}`, "--data", data, "--connections", "100", ...options]);
  const beside = check();
  assert.deepEqual([beside.status, beside.stderr], [0, ""]);
  assert.match(beside.stdout, /^chitchat: all is well: .*a server runs on it/);
  assert.match(check("--shards", "3").stderr, /was made for 2 shards and cannot be served by 3/);
  await harness.login("alice");
  harness.checkClients();
  await harness.server.stop();
  const before = treeOf(data);
  const after = check();
  assert.deepEqual([after.status, after.stdout, after.stderr], [0, `chitchat: all is well: data="${data}" (exists)\n`, ""]);
  assert.deepEqual(treeOf(data), before, "it only reads");
});

scenario("--check reads the manifests and the WAL as a start does", { shards: [2] }, async (harness) => {
  const { data } = await harness.start();
  await (await harness.login("alice")).send("bob", "kept");
  await harness.server.kill();
  const check = () => runToEnd(["serve", "--check", "--listen", "127.0.0.1:0", "--data", data, "--connections", "100"]);
  assert.equal(check().status, 0);
  for (const [pattern, said] of [[/shard-0000\/wal\/segment-\d+\.wal$/, /segment-\d+\.wal at offset 0: the file was cut short: restore /], [/shard-0001\/runs\/manifest\.mdb$/, /manifest\.mdb is damaged/]]) {
    const copy = path.join(makeDataDir(), "data");
    try {
      fs.cpSync(data, copy, { recursive: true });
      for (const file of filesOf(copy, pattern)) fs.truncateSync(file, pattern.source.includes("wal") ? 0 : 4096);
      const of = ["--listen", "127.0.0.1:0", "--data", copy, "--connections", "100"];
      const [checked, started] = [["serve", "--check", ...of], ["serve", ...of]].map((args) => runToEnd(args));
      assert.match(checked.stderr, /^chitchat: [^\n]+\n$/);
      assert.match(checked.stderr, said);
      assert.deepEqual([checked.status, started.status], [2, 1]);
      assert.match(started.stderr, said);
    } finally {
      removeDataDir(path.dirname(copy));
    }
  }
  await harness.startAgain();
  await harness.end();
});

test("--check warns of what a start would warn of", async () => {
  const dir = makeDataDir();
  try {
    const args = ["-c", 'ulimit -n 1000; exec "$0" "$@"', BIN, "serve", "--check", "--listen", "127.0.0.1:0", "--data", path.join(dir, "store"), "--shards", "1"];
    const { status, stdout, stderr } = spawnSync("/bin/sh", args, { encoding: "utf8", env: ENVIRONMENT, timeout: DEADLINE_MS });
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^chitchat: all is well: /);
    assert.match(stderr, /level=warn event=few_descriptors limit=1000 needed=\d+ connections=\d+ /);
  } finally {
    removeDataDir(dir);
  }
});
