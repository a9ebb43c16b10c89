// The log of a server whose stderr nobody reads.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { test } from "node:test";
import { Client } from "./lib/client.mjs";
import { BIN, DEADLINE_MS, makeDataDir, removeDataDir, until, within } from "./lib/server.mjs";

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

test("a server whose stderr is full and never read serves, and ends on SIGTERM", async () => {
  const data = makeDataDir();
  const pipe = makeFullPipe(data);
  const port = await freePort();
  const at = { host: "127.0.0.1", port };
  const server = { address: at, url: (where) => `ws://127.0.0.1:${port}${where}` };
  const args = ["serve", "--listen", `127.0.0.1:${port}`, "--data", path.join(data, "store"), "--shards", "2", "--wal-segment-bytes", "4M", "--log-level", "debug"];
  const child = spawn(BIN, args, { stdio: ["ignore", "ignore", pipe.write] });
  const ended = new Promise((resolve) => child.on("exit", (code, signal) => resolve({ code, signal })));
  try {
    const alice = await until("the server accepts", () => Client.open(server).catch(() => undefined));
    assert.equal((await alice.request({ op: "login", user: "alice" })).op, "ok");
    await alice.send("bob", "x");
    child.kill("SIGTERM");
    assert.deepEqual(await within(DEADLINE_MS, "the end of the server", ended), { code: 0, signal: null });
    assert.match(readAll(pipe.reader), /^x+$/);
  } finally {
    child.kill("SIGKILL");
    await ended;
    fs.closeSync(pipe.reader);
    fs.closeSync(pipe.write);
    removeDataDir(data);
  }
});
