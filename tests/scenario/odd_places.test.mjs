// A server that is started where it cannot have all that it needs: few descriptors, little memory, no io_uring.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { scenario } from "./lib/harness.mjs";
import { BIN, DEADLINE_MS, ENVIRONMENT, makeDataDir, removeDataDir } from "./lib/server.mjs";

// Runs a server, which must not start, in a shell that does `prefix` first: { status, stderr }.
function startIn(prefix, data, options, env = {}) {
  const args = ["-c", `${prefix}; exec "$0" "$@"`, BIN, "serve", "--listen", "127.0.0.1:0", "--data", data, "--shards", "1", ...options];
  return spawnSync("/bin/sh", args, { encoding: "utf8", timeout: DEADLINE_MS, env: { ...ENVIRONMENT, ...env } });
}

scenario("where descriptors are few, the server serves fewer connections than by default, and warns", { shards: [2] }, async (harness) => {
  const server = await harness.start({ shellPrefix: "ulimit -n 1000" });
  const line = await server.logLine("few_descriptors");
  assert.match(line, /level=warn .*limit=1000 needed=100704 connections=296 hint=".*LimitNOFILE/);
  assert.match(server.stderr, /event=ready .* connections=296 /);
  await harness.login("alice");
  await harness.end();
});

test("connections that were asked for and cannot be had are an error that names the limit, wherever they were asked for", () => {
  const data = makeDataDir();
  try {
    for (const [options, env] of [[["--connections", "5000"], {}], [[], { CHITCHAT_CONNECTIONS: "5000" }]]) {
      const { status, stderr } = startIn("ulimit -n 1000", data, options, env);
      assert.equal(status, 1);
      assert.equal(stderr, "chitchat: --connections 5000 needs a limit of open files of 5384, and it is 1000: raise it (ulimit -Hn, LimitNOFILE= of systemd), or give --connections 616\n");
    }
    const { stderr } = startIn("ulimit -n 300", data, ["--connections", "1"], {});
    assert.match(stderr, /^chitchat: --connections 1 needs a limit of open files of 385, and it is 300: raise it \(.*\)\n$/, "fewer than one is no advice");
  } finally {
    removeDataDir(data);
  }
});

test("a stack or a file size that does not suffice for a start is an error that names the limit", () => {
  const data = makeDataDir();
  try {
    const stack = startIn("ulimit -s 128", data, []);
    assert.deepEqual([stack.status, stack.signal], [1, null]);
    assert.equal(stack.stderr, "chitchat: the limit of the stack is 131072 bytes, and 524288 are needed: raise it (ulimit -s, LimitSTACK=)\n");
    const size = startIn("ulimit -f 8192", data, []); // blocks of 512 bytes: less than a segment of the WAL
    assert.equal(size.status, 1);
    assert.match(size.stderr, /^chitchat: .*wal: a new WAL segment cannot be created: File too large: raise the limit of file size \(ulimit -f, LimitFSIZE=\) and start again\n$/);
  } finally {
    removeDataDir(data);
  }
});

// Files about the process's limits, as a container has them.
const LIBRARY = path.join(path.dirname(BIN), "libelsewhere.so");

function withFiles(files, run) {
  const dir = makeDataDir();
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
    fs.writeFileSync(path.join(dir, name), text);
  }
  return Promise.resolve(run({ LD_PRELOAD: LIBRARY, ELSEWHERE: dir })).finally(() => removeDataDir(dir));
}

const CONTAINER = (mib) => ({ "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": `${mib << 20}\n` });

scenario("in a container with little memory the defaults follow its limit, and recovery fits too", { shards: [1] }, async (harness) => {
  await withFiles(CONTAINER(800), async (env) => {
    const server = await harness.start({ env });
    assert.match(await server.logLine("memory_limit"), /level=info .*file="\/sys\/fs\/cgroup\/memory.max" limit=800M wanted=\d+M memory=600M memtable=\d+M connections=\d+ /);
    assert.match(server.stderr, /event=ready .* memory=600M /);
    const alice = await harness.login("alice");
    await alice.send("bob", "x");
    await server.kill();
    await harness.startAgain({ env });
    assert.match(harness.server.stderr, /event=ready .* memory=600M .*replayed=1/);
    await harness.end();
  });
});

scenario("a --memory that the limit of the container does not carry is a warning", { shards: [1] }, async (harness) => {
  await withFiles(CONTAINER(800), async (env) => {
    const server = await harness.start({ env, options: ["--memory", "1G"] });
    assert.match(await server.logLine("memory_over_limit"), /level=warn .*limit=800M memory=1024M hint=".*--memory 600M/);
    await harness.end();
  });
});

test("a limit too low for a server is an error that says how much it needs", () =>
  withFiles(CONTAINER(256), (env) => {
    const data = makeDataDir();
    const { status, stderr } = startIn(":", data, [], env);
    removeDataDir(data);
    assert.equal(status, 1);
    assert.match(stderr, /^chitchat: the memory limit of \/sys\/fs\/cgroup\/memory.max is 256M, .*: raise the limit to \d+M, or lower [^\n]*\n$/);
  }));

// io_uring_setup, _enter and _register have the numbers 425 to 427 on all architectures.
const FORBID = path.join(path.dirname(BIN), "chitchat-forbid");
const [EPERM, ENOMEM, ENOSYS] = [1, 12, 38];
const forbidden = (errno, env = {}, prefix = ":") => startIn(`${prefix}; set -- ${errno} 425 427 "$0" "$@"; set -- "${FORBID}" "$@"; exec "$@"`, "/nowhere/data", [], env);

for (const [errno, said] of [
  [EPERM, /^chitchat: this process may not use io_uring, .*: allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile [^\n]*\n$/],
  [ENOSYS, /^chitchat: the kernel .* has no io_uring, or a filter hides it: allow io_uring_setup[^\n]*\n$/],
])
  test(`without io_uring (${errno}) the error says what to allow`, (context) => {
    const { status, stderr } = forbidden(errno);
    if (status === 125) return context.skip("the system allows no filter");
    assert.equal(status, 1);
    assert.match(stderr, said);
  });

test("an io_uring without memory names the limit of locked memory where it is low", (context) => {
  const { status, stderr } = forbidden(ENOMEM, {}, "ulimit -l 64");
  if (status === 125) return context.skip("the system allows no filter");
  assert.equal(status, 1);
  assert.match(stderr, /^chitchat: io_uring cannot be set up: Cannot allocate memory: [^\n]*the limit of locked memory, which is 65536 bytes, may be the cause: raise it \(ulimit -l, LimitMEMLOCK=\)\n$/);
});

test("locked memory for one io_uring, and not for those of all shards, names that limit too", () =>
  withFiles({}, (env) => {
    const data = makeDataDir();
    const { status, stderr } = startIn("ulimit -l 512", data, [], { ...env, RINGS: "1" });
    removeDataDir(data);
    assert.equal(status, 1);
    assert.match(stderr, /^chitchat: the shards cannot start: Cannot allocate memory: [^\n]*; the limit of locked memory, which is 524288 bytes, may be the cause: raise it \(ulimit -l, LimitMEMLOCK=\)\n$/);
  }));

test("a setting of the kernel that forbids io_uring is named", (context) =>
  withFiles({ "proc/sys/kernel/io_uring_disabled": "2\n" }, (env) => {
    const { status, stderr } = forbidden(EPERM, env);
    if (status === 125) return context.skip("the system allows no filter");
    assert.equal(status, 1);
    assert.match(stderr, /kernel.io_uring_disabled is 2: set it to 0/);
  }));
