// chitchat-load against the real server: every scenario verifies; through a proxy that lies it says which promise was broken and
// ends with 1.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { after, before, test } from "node:test";
import { BIN, DEADLINE_MS, makeDataDir, removeDataDir, Server } from "./lib/server.mjs";

const LOAD = path.join(path.dirname(BIN), "chitchat-load");
const QUICK = ["--duration", "0.5", "--warmup", "0.1"];

let server;
let dir;
before(async () => {
  server = await Server.start({ shards: 2 });
  dir = makeDataDir();
});
after(async () => {
  await server.stop();
  removeDataDir(dir);
});

// Not spawnSync: the proxy lives in this process.
function load(args) {
  return new Promise((resolve) => {
    const child = spawn(LOAD, args, { timeout: DEADLINE_MS });
    const end = { stdout: "", stderr: "" };
    child.stdout.on("data", (data) => (end.stdout += data));
    child.stderr.on("data", (data) => (end.stderr += data));
    child.once("close", (status) => resolve({ ...end, status }));
  });
}

const address = () => `127.0.0.1:${server.address.port}`;

async function verified(args) {
  const end = await load([...args, ...QUICK, address()]);
  assert.equal(end.status, 0, end.stdout + end.stderr);
  assert.match(end.stdout, /^verified: /m);
  assert.equal(end.stderr, "", "quiet in a pipe");
  return end;
}

const SCENARIOS = {
  pairs: ["--connections", "20", "--window", "8"],
  fanout: ["--connections", "30", "--users", "2"],
  idle: ["--connections", "20"],
  history: ["--connections", "4", "--fill", "120"],
  replay: ["--connections", "4", "--fill", "120"],
  churn: ["--connections", "20", "--churn", "40"],
  storm: ["--connections", "20", "--storms", "2"],
};
for (const [scenario, args] of Object.entries(SCENARIOS))
  test(`load: ${scenario} verifies all that it gets`, () => verified(["--scenario", scenario, ...args]));

for (const to of ["random", "partner", "zipf:1.2"])
  test(`load: sends to ${to}, two threads, several connections a user, keys, long texts`, () =>
    verified(["--to", to, "--connections", "12", "--users", "5", "--threads", "2", "--keys", "--text", "5000", "--window", "4"]));

test("load: sends go to more users than are connected", async () => {
  const end = await verified(["--recipients", "5000", "--connections", "10"]);
  assert.match(end.stdout, /to 5000 users/);
});

test("load: an open loop counts latency from when a send was meant to leave, and says so", async () => {
  const end = await verified(["--rate", "500", "--connections", "10"]);
  assert.match(end.stdout, /open loop: 500 sends\/s; latency counts from when each was meant to leave/);
});

test("load: a report as JSON and as a page", async () => {
  const [json, html] = [path.join(dir, "report.json"), path.join(dir, "report.html")];
  await verified(["--json", json, "--html", html, "--server-pid", String(server.pid)]);
  const report = JSON.parse(fs.readFileSync(json, "utf8"));
  assert.equal(report.good, true);
  assert.ok(report.acknowledged > 0 && report.ok.p50 > 0 && report.ok.max >= report.ok.p9999 && report.server_cpu_s > 0);
  const page = fs.readFileSync(html, "utf8");
  assert.match(page, /<svg/);
  assert.doesNotMatch(page, /https?:\/\//, "needs nothing else");
});

async function freePort() {
  const probe = net.createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => probe.once("listening", resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

test("load: a server that is killed again and again loses nothing", async () => {
  const port = await freePort();
  const command = `${BIN} serve --data ${dir}/killed --listen 127.0.0.1:${port} --shards 2 2>/dev/null`;
  const args = ["--kill-server", command, "--kill-every", "0.7", "--duration", "2.5", "--warmup", "0.2", "--connections", "20", "--window", "8"];
  const end = await load([...args, `127.0.0.1:${port}`]);
  assert.equal(end.status, 0, end.stdout + end.stderr);
  assert.match(end.stdout, /server killed and started +[1-9]/);
});

test("load: a server that dies by itself under --kill-server is no success", async () => {
  const port = await freePort();
  const command = `timeout -s KILL 1.5 ${BIN} serve --data ${dir}/dies --listen 127.0.0.1:${port} --shards 1 2>/dev/null`;
  const end = await load(["--kill-server", command, "--kill-every", "60", "--duration", "5", `127.0.0.1:${port}`]);
  assert.equal(end.status, 1, end.stdout + end.stderr);
  assert.match(end.stdout, /the server ended by itself: (signal 9|status 137)/);
});

test("load: a server that is not there is told in one line", async () => {
  const end = await load(["127.0.0.1:1"]);
  assert.equal(end.status, 2);
  assert.match(end.stderr, /^chitchat-load: cannot connect to 127\.0\.0\.1:1: [^\n]+\n$/);
});

// -- lies --

// The server's frames: [header and payload together, payload], as many as are whole.
function splitFrames(bytes) {
  const frames = [];
  let at = 0;
  while (bytes.length - at >= 4) {
    const short = bytes[at + 1];
    const head = short < 126 ? 2 : 4;
    const size = short < 126 ? short : bytes.readUInt16BE(at + 2);
    if (bytes.length - at < head + size) break;
    frames.push(Buffer.from(bytes.subarray(at, at + head + size)));
    at += head + size;
  }
  return { frames, rest: bytes.subarray(at) };
}

// Passes all on, but hands each `msg` of the server, once `lie` wants it, to it: it gives the frames that go instead.
async function proxy(lie) {
  const state = { told: false, seen: 0 };
  const listener = net.createServer((client) => {
    const upstream = net.connect(server.address.port, "127.0.0.1");
    let pending = Buffer.alloc(0);
    let upgraded = false;
    client.pipe(upstream);
    upstream.on("data", (data) => {
      pending = Buffer.concat([pending, data]);
      if (!upgraded) {
        const end = pending.indexOf("\r\n\r\n");
        if (end < 0) return;
        upgraded = true;
        client.write(pending.subarray(0, end + 4));
        pending = pending.subarray(end + 4);
      }
      const { frames, rest } = splitFrames(pending);
      pending = rest;
      client.write(Buffer.concat(frames.flatMap((frame) => (frame.includes('"op":"msg"') ? lie(frame, state) : [frame]))));
    });
    for (const socket of [client, upstream]) socket.on("error", () => {});
    upstream.on("close", () => client.destroy());
    client.on("close", () => upstream.destroy());
  });
  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  return listener;
}

// Lies once, at the tenth message.
const once = (lie) => (frame, state) => {
  if (state.told || ++state.seen < 10) return [frame];
  state.told = true;
  return lie(frame);
};

const change = (frame) => {
  const at = frame.indexOf('"text":"') + 40;
  frame[at] = frame[at] === 0x41 ? 0x42 : 0x41;
  return [frame];
};

const LIES = {
  "drops a message": [() => [], /BROKEN: (prev chain|loss or duplicates)/],
  "gives a message twice": [(frame) => [frame, frame], /BROKEN: prev chain/],
  "changes a character": [change, /BROKEN: content/],
  "sends a close": [() => [Buffer.from([0x88, 2, 3, 0xe9])], /BROKEN: closes without cause/],
  "sends nonsense": [() => [Buffer.from([0x81, 2, 0x7b, 0x7d])], /BROKEN: replies/],
};
for (const [what, [lie, word]] of Object.entries(LIES))
  test(`load: a server that ${what} is found out`, async () => {
    const listener = await proxy(once(lie));
    const end = await load(["--connections", "5", "--window", "4", ...QUICK, `127.0.0.1:${listener.address().port}`]);
    listener.close();
    assert.equal(end.status, 1, end.stdout + end.stderr);
    assert.match(end.stdout, word);
    assert.doesNotMatch(end.stdout, /^verified/m);
  });
