// The log of a server whose stderr nobody reads, or that has none.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { test } from "node:test";
import { Client } from "./lib/client.mjs";
import { BIN, DEADLINE_MS, makeDataDir, removeDataDir, runToEnd, until, within } from "./lib/server.mjs";

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

async function freePort() {
  const listener = net.createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => listener.once("listening", resolve));
  const { port } = listener.address();
  await new Promise((resolve) => listener.close(resolve));
  return port;
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
async function startUnheard(command, args, data, stdio) {
  const port = await freePort();
  const server = { address: { host: "127.0.0.1", port }, url: (where) => `ws://127.0.0.1:${port}${where}` };
  const child = spawn(command, [...args, "serve", "--listen", `127.0.0.1:${port}`, "--data", data, "--shards", "2", "--wal-segment-bytes", "4M", "--log-level", "debug"], { stdio });
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
