// chitchat-load: its output during a run and at the end, and its errors where no run is possible.
import assert from "node:assert/strict";
import dns from "node:dns/promises";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { after, before, test } from "node:test";
import { load, LOAD, run, untilEnough } from "./lib/load.mjs";
import { makeDataDir, removeDataDir, Server, sleep, until } from "./lib/server.mjs";

const QUICK = ["--duration", "0.3", "--warmup", "0.1"];

let server, dir;
before(async () => {
  server = await Server.start({ shards: 1 });
  dir = makeDataDir();
});
after(async () => {
  await server.end();
  removeDataDir(dir);
});

const address = () => `127.0.0.1:${server.address.port}`;

async function reported(args, at = address()) {
  const json = path.join(dir, "report.json");
  const end = await load([...args, "--json", json, at]);
  return { ...end, report: JSON.parse(fs.readFileSync(json, "utf8")) };
}

// A server for this test only. However the test ends, the server is stopped and its data removed.
async function serverOf(context, options) {
  const own = await Server.start({ shards: 1, ...options });
  context.after(() => own.clean());
  return own;
}

// Called before there are clients. The result waits until so many are connected, and then for `ms`.
function connectionsOf(server) {
  const files = () => fs.readdirSync(`/proc/${server.pid}/fd`).length;
  const before = files();
  return async (count, ms) => {
    await until(`${count} connections`, () => files() >= before + count);
    await sleep(ms);
  };
}

// -- runs that end early --

test("load: interrupted in the warm-up it says so, and reports no figures", async () => {
  const { stdout, report } = await (async () => {
    const json = path.join(dir, "interrupted.json");
    const args = ["--warmup", "30", "--server-pid", String(server.pid), "--json", json, address()];
    const connected = connectionsOf(server);
    const end = await load(args, (child) => connected(100, 1000).then(() => child.kill("SIGINT")));
    return { ...end, report: JSON.parse(fs.readFileSync(json, "utf8")) };
  })();
  assert.match(stdout, /^interrupted before measuring: no figures$/m);
  assert.doesNotMatch(stdout, /nan|inf\b| -\d|cores|latency, ms/);
  assert.match(stdout, /^verified: 100 logins, /m);
  assert.ok(report.has_figures === false && report.ended === "interrupted");
});

test("load: a server that ends while it is measured leaves no negative figures", async (t) => {
  const other = await serverOf(t);
  const args = ["--server-pid", String(other.pid), "--duration", "60", "--warmup", "0.1", `127.0.0.1:${other.address.port}`];
  const connected = connectionsOf(other);
  const end = await load(args, () => connected(100, 1000).then(() => process.kill(other.pid, "SIGKILL")));
  assert.equal(end.status, 1);
  assert.doesNotMatch(end.stdout, /nan|inf\b| -\d/);
  assert.match(end.stdout, /^server: it has ended/m);
});

test("load: it says which connections a run without an end was waiting for", async () => {
  // The proxy drops the `live` of one connection.
  let isDropped = false;
  const proxy = net.createServer((client) => {
    const upstream = net.connect(server.address.port, "127.0.0.1");
    let isThatOne = false;
    for (const socket of [client, upstream]) socket.on("error", () => {});
    client.pipe(upstream);
    upstream.on("data", (data) => {
      if (data.includes('"user":"load-3"')) isThatOne = true;
      const at = isThatOne && !isDropped ? data.indexOf('{"op":"live"}') : -1;
      if (at < 0) return client.write(data);
      isDropped = true;
      client.write(Buffer.concat([data.subarray(0, at - 2), data.subarray(at + 13)]));
    });
    upstream.on("close", () => client.destroy());
    client.on("close", () => upstream.destroy());
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const args = ["--scenario", "churn", "--connections", "5", "--churn", "20", "--duration", "1", "--warmup", "0.1"];
  const end = await load([...args, `127.0.0.1:${proxy.address().port}`], (child) => sleep(5000).then(() => child.kill("SIGINT")));
  proxy.close();
  assert.equal(end.status, 1, end.stdout + end.stderr);
  assert.match(end.stdout, /BROKEN: the run did not come to its end: interrupted: in the phase `drain` 1 connection waited for `live`: load-3\n/);
});

test("load: addresses that are none of this machine's are refused at once, with what to do", async () => {
  const end = await load(["--source-ips", "10.0.0.1+2", ...QUICK, address()]);
  assert.equal(end.status, 2, end.stdout);
  assert.match(end.stderr, /^chitchat-load: cannot connect from 10\.0\.0\.[12], which is no address of this machine: correct --source-ips \(0 of 100 connections are open\)\n$/);
  assert.equal(end.stdout, "");
});

// -- options and texts --

test("load: a server's name and an IPv6 address are taken", async (t) => {
  const known = await dns.lookup("localhost", { all: true });
  for (const [listen, host] of [["127.0.0.1:0", "localhost"], ["[::1]:0", "localhost"], ["[::1]:0", "[::1]"]]) {
    if (host === "localhost" && !known.some(({ address }) => listen.includes(address))) continue; // some machines have only one
    const other = await serverOf(t, { listen: [listen] });
    const end = await load([...QUICK, "--connections", "5", `${host}:${other.address.port}`]);
    assert.equal(end.status, 0, `${host} at ${listen}: ${end.stdout}${end.stderr}`);
  }
  const end = await load(["--source-ips", "2", "[::1]:80"]);
  assert.ok(end.status === 2 && end.stderr.includes("--source-ips are IPv4 addresses, so the server's must be one too"), end.stderr);
});

test("load: each loop is named", async () => {
  const loopOf = async (args) => (await load([...args, ...QUICK, "--connections", "4", address()])).stdout.split("\n")[1];
  assert.match(await loopOf(["--scenario", "history", "--fill", "50", "--window", "3"]), /^closed loop: 3 pages in flight on a connection; /);
  assert.match(await loopOf(["--scenario", "replay", "--fill", "50"]), /^closed loop: one replay in flight on a connection; /);
  assert.match(await loopOf(["--window", "2"]), /^closed loop: window 2; /);
});

test("load: verified says what was checked", async () => {
  const verifiedOf = async (args) => {
    const attempt = (factor) => load([...args, "--duration", `${0.5 * factor}`, "--warmup", "0.1", "--connections", "4", address()]);
    const { stdout } = await untilEnough(attempt, ({ status }) => status === 0);
    return /^verified: .*$/m.exec(stdout)?.[0] ?? stdout;
  };
  assert.equal(await verifiedOf(["--scenario", "idle"]), "verified: 4 logins: each connection stayed, and none got anything");
  assert.match(
    await verifiedOf(["--scenario", "history", "--fill", "50"]),
    /^verified: 4 logins, 200 sends acknowledged, 200 entries delivered, [1-9]\d* pages of history, [1-9]\d* messages in them: none lost/,
  );
});

test("load: sends over a user's rate are counted apart from busy ones", async (t) => {
  const strict = await serverOf(t, { options: ["--send-rate", "5"] });
  // More in flight than the rate allows in a second: some are refused however slow the machine is.
  const { status, stdout, report } = await reported(["--connections", "4", "--window", "16", "--duration", "1", "--warmup", "0.1"], `127.0.0.1:${strict.address.port}`);
  assert.equal(status, 0, stdout);
  assert.ok(report.rate_limited > 0 && report.busy === 0, JSON.stringify([report.rate_limited, report.busy]));
  assert.match(stdout, /^rate-limited, tried again: [1-9]/m);
});

test("load: timelines are filled though the server refuses sends, which are sent again", async (t) => {
  const strict = await serverOf(t, { options: ["--send-rate", "50"] });
  const { status, stdout, report } = await reported(["--scenario", "history", "--fill", "150", "--connections", "2", "--duration", "0.3", "--warmup", "0.1"], `127.0.0.1:${strict.address.port}`);
  assert.equal(status, 0, stdout);
  assert.ok(report.pages > 0, stdout);
  assert.match(stdout, /^rate-limited, tried again: [1-9]/m);
  assert.match(stdout, /^verified: 2 logins, 300 sends acknowledged/m);
});

test("load: memory of server and kernel is in the report", async (t) => {
  const fresh = await serverOf(t);
  const at = `127.0.0.1:${fresh.address.port}`;
  const pid = ["--server-pid", String(fresh.pid)];
  const kernel = /^kernel, whole system: TCP buffers \d.* MiB before, \d.* at the end; slab \d.* MiB$/m;
  const { stdout, report } = await reported(["--connections", "50", "--window", "16", ...pid, "--duration", "1", "--warmup", "0"], at);
  assert.match(stdout, /RSS .*; with 1000 or more connections, also what one takes\n/);
  assert.match(stdout, kernel);
  assert.ok(report.kernel_slab > 0 && report.kernel === report.kernel_slab + report.kernel_tcp);
});

// -- on a terminal --

test("load: on a terminal each phase shows what it does, and a dash where nothing is known", async () => {
  const line = `${LOAD} --connections 20 --ramp 20 --warmup 0.8 --duration 0.8 ${address()}`;
  const { stdout } = await run("script", ["-qefc", line, "/dev/null"]);
  const shown = (phase) => [...stdout.matchAll(new RegExp(`\\r${phase} +\\[[#.]+\\] ([^\\r\\x1b]*)`, "g"))].map((match) => match[1]);
  assert.match(shown("connect")[0], /^\d+ live  - logins\/s  p99 -  0 broken$/);
  assert.match(shown("connect").at(-1), /^\d+ live  [1-9]\d* logins\/s  p99 \d+\.\d\d ms  0 broken$/);
  assert.match(shown("warm-up").at(-1), /^20 live  [1-9]\d* sends\/s  p99 \d+\.\d\d ms  0 broken$/);
  assert.match(shown("measure").at(-1), /^20 live  [1-9]\d* sends\/s  p99 \d+\.\d\d ms  0 broken$/);
});
