// The log of a server whose stderr nobody reads, or that has none.
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Client } from "./lib/client.mjs";
import { scenario } from "./lib/harness.mjs";
import { BIN, DEADLINE_MS, makeDataDir, removeDataDir, runToEnd, until, within } from "./lib/server.mjs";
import { freePort } from "./lib/port.mjs";

// A FIFO in `dir` into which nothing more fits. Resolves to { write, reader }: a blocking descriptor, and one to read.
function makeFullPipe(dir) {
  const file = path.join(dir, "stderr");
  execFileSync("mkfifo", [file]);
  const reader = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
  const block = Buffer.alloc(4096, "x");
  try {
    for (;;) fs.writeSync(reader, block);
  } catch (error) {
    assert.equal(error.code, "EAGAIN");
  }
  return { reader, write: fs.openSync(file, "w") };
}

function readAll(fd) {
  const block = Buffer.alloc(65536);
  let text = "";
  try {
    for (;;) text += block.toString("latin1", 0, fs.readSync(fd, block));
  } catch (error) {
    assert.equal(error.code, "EAGAIN");
  }
  return text;
}

// A server that is not asked for its log line `ready`: until it accepts. Resolves to { child, ended, client }.
async function startUnheard(command, args, data, stdio, options = []) {
  const port = await freePort();
  const server = { address: { host: "127.0.0.1", port }, url: (where) => `ws://127.0.0.1:${port}${where}` };
  const child = spawn(command, [...args, "serve", "--listen", `127.0.0.1:${port}`, "--data", data, "--shards", "2", "--wal-segment-bytes", "4M", "--log-level", "debug", ...options], { stdio });
  const ended = new Promise((resolve) => child.on("exit", (code, signal) => resolve({ code, signal })));
  try {
    const client = await until("the server accepts", () => Client.open(server).catch(() => undefined));
    return { child, ended, client };
  } catch (error) {
    child.kill("SIGKILL");
    await ended;
    throw error;
  }
}

async function expectServesAndEnds({ child, ended, client }) {
  try {
    assert.equal((await client.request({ op: "login", user: "alice" })).op, "ok");
    await client.send("bob", "x");
    child.kill("SIGTERM");
    assert.deepEqual(await within(DEADLINE_MS, "the end of the server", ended), { code: 0, signal: null });
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}

test("a server whose stderr is full and never read serves, and ends on SIGTERM", async () => {
  const dir = makeDataDir();
  const pipe = makeFullPipe(dir);
  try {
    await expectServesAndEnds(await startUnheard(BIN, [], path.join(dir, "store"), ["ignore", "ignore", pipe.write]));
    assert.match(readAll(pipe.reader), /^x+$/);
  } finally {
    fs.closeSync(pipe.reader);
    fs.closeSync(pipe.write);
    removeDataDir(dir);
  }
});

test("a start that is refused ends, though stderr is full and never read", async () => {
  const dir = makeDataDir();
  const pipe = makeFullPipe(dir);
  const child = spawn(BIN, ["serve", "--listen", "127.0.0.1:0", "--data", path.join(dir, "none/store")], { stdio: ["ignore", "ignore", pipe.write] });
  try {
    const ended = new Promise((resolve) => child.on("exit", (code, signal) => resolve({ code, signal })));
    assert.deepEqual(await within(DEADLINE_MS, "the end of the start", ended), { code: 1, signal: null });
    assert.match(readAll(pipe.reader), /^x+$/);
  } finally {
    child.kill("SIGKILL");
    fs.closeSync(pipe.reader);
    fs.closeSync(pipe.write);
    removeDataDir(dir);
  }
});

test("a server whose stdout and stderr are closed serves, and writes its log into no file of the store", async () => {
  const dir = makeDataDir();
  const data = path.join(dir, "store");
  try {
    await expectServesAndEnds(await startUnheard("/bin/sh", ["-c", 'exec "$0" "$@" 1>&- 2>&-', BIN], data, "ignore"));
    for (const name of fs.readdirSync(data, { recursive: true })) {
      const file = path.join(data, name);
      if (fs.statSync(file).isFile()) assert.ok(!fs.readFileSync(file).includes("event="), file);
    }
    assert.equal(runToEnd(["verify", "--data", data]).status, 0);
  } finally {
    removeDataDir(dir);
  }
});

const permissions = (file) => (fs.statSync(file).mode & 0o777).toString(8);

test("log lines go to --log-file, and after SIGHUP to a new file of that name", async () => {
  const dir = makeDataDir();
  const [log, old] = [path.join(dir, "log"), path.join(dir, "log.1")];
  const read = (file) => (fs.existsSync(file) ? fs.readFileSync(file, "utf8") : "");
  try {
    const port = await freePort();
    const child = spawn("/bin/sh", ["-c", 'umask 022; exec "$0" "$@"', BIN, "serve", "--listen", `127.0.0.1:${port}`, "--data", path.join(dir, "store"), "--shards", "2", "--wal-segment-bytes", "4M", "--log-file", log], { stdio: ["ignore", "ignore", "pipe"] });
    let stderr = "";
    child.stderr.on("data", (text) => (stderr += text));
    const ended = new Promise((resolve) => child.on("close", (code, signal) => resolve({ code, signal })));
    try {
      await until("ready", () => read(log).includes("event=ready"));
      assert.equal(permissions(log), "640");
      fs.renameSync(log, old);
      child.kill("SIGHUP");
      await until("a line in the new file", () => /level=info event=log_file_opened/.test(read(log)));
      assert.match(read(old) + read(log), /event=reload signal=SIGHUP files=read/);
      assert.match(read(old), /event=ready/);
      assert.equal(permissions(log), "640");

      fs.renameSync(log, old);
      fs.mkdirSync(log);
      child.kill("SIGHUP");
      await until("a line in the old file", () => /level=error event=log_file_kept error="--log-file .* cannot be opened: Is a directory: .*" hint=/.test(read(old)));
      fs.rmdirSync(log);
      spawnSync("mkfifo", [log]);
      child.kill("SIGHUP");
      await until("a line about the pipe", () => /event=log_file_kept error="--log-file .*: nothing reads this pipe: /.test(read(old)));
      child.kill("SIGTERM");
      assert.deepEqual(await within(DEADLINE_MS, "the end of the server", ended), { code: 0, signal: null });
      assert.match(read(old), /event=stopped clean=true/);
      assert.equal(stderr, "");
    } finally {
      child.kill("SIGKILL");
      await ended;
    }
  } finally {
    removeDataDir(dir);
  }
});

test("a log file that cannot be opened is an error at the start, and says what to do; other errors are in the file too", () => {
  const dir = makeDataDir();
  const serve = (...options) => runToEnd(["serve", "--listen", "127.0.0.1:0", "--data", path.join(dir, "store"), ...options]);
  try {
    const { status, stderr } = serve("--log-file", path.join(dir, "none/log"));
    assert.equal(status, 1);
    assert.equal(stderr, `chitchat: --log-file ${dir}/none/log cannot be opened: No such file or directory: make its directory\n`);
    assert.ok(!fs.existsSync(path.join(dir, "store")), "nothing was made");
    const pipe = path.join(dir, "pipe");
    spawnSync("mkfifo", [pipe]);
    assert.match(serve("--log-file", pipe).stderr, /^chitchat: .*pipe cannot be opened: .*: nothing reads this pipe: start its reader first, or name a file\n$/);

    fs.writeFileSync(path.join(dir, "keys"), "");
    const end = serve("--log-file", path.join(dir, "log"), "--log-format", "json", "--auth", "token", "--token-secrets", path.join(dir, "keys"));
    assert.equal(end.status, 1);
    const line = JSON.parse(fs.readFileSync(path.join(dir, "log"), "utf8"));
    assert.deepEqual([line.level, line.event], ["error", "start_failed"]);
    assert.equal(end.stderr, `chitchat: ${line.error}\n`);
  } finally {
    removeDataDir(dir);
  }
});

scenario("with --log-format json each line is an object", { shards: [2] }, async (harness) => {
  const server = await harness.start({ options: ["--log-format", "json", "--log-level", "debug"] });
  await (await harness.login("alice")).send("bob", "x");
  server.signal("SIGTERM");
  assert.deepEqual(await server.ended(), { code: 0, signal: null });
  const lines = server.stderr.trim().split("\n").map((line) => JSON.parse(line));
  const ready = lines.find(({ event }) => event === "ready");
  assert.equal(ready.shards, 2);
  assert.equal(ready.data, server.data);
  assert.equal(ready.level, "info");
  assert.equal(lines.at(-1).event, "stopped");
  for (const { time } of lines) assert.ok(Math.abs(Date.parse(time) - Date.now()) < 600000, time);
});

test("lines below --log-level are left out", async () => {
  const dir = makeDataDir();
  try {
    const unheard = await startUnheard("/bin/sh", ["-c", 'CHITCHAT_UNKNOWN=1 exec "$0" "$@"', BIN], path.join(dir, "store"), ["ignore", "ignore", "pipe"], ["--log-level", "warn"]);
    let stderr = "";
    unheard.child.stderr.on("data", (text) => (stderr += text));
    await expectServesAndEnds(unheard);
    assert.match(stderr, /level=warn event=unknown_environment name=CHITCHAT_UNKNOWN/);
    assert.doesNotMatch(stderr, /level=(info|debug)/);
  } finally {
    removeDataDir(dir);
  }
});
