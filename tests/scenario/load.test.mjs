// chitchat-load against the real server: every scenario verifies. Against servers that lie: load-lies.test.mjs.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { freePort, listens, load, untilEnough } from "./lib/load.mjs";
import { BIN, makeDataDir, removeDataDir, Server } from "./lib/server.mjs";

const QUICK = ["--duration", "0.3", "--warmup", "0.1"];

let server;
let dir;
before(async () => {
  server = await Server.start({ shards: 2, options: ["--admin", "127.0.0.1:0"] });
  dir = makeDataDir();
});
after(async () => {
  await server.end();
  removeDataDir(dir);
});

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
  peers: ["--connections", "6", "--fill", "60", "--limit", "3", "--recipients", "20"],
  typing: ["--connections", "8", "--to", "partner", "--threads", "2"],
};
for (const [scenario, args] of Object.entries(SCENARIOS))
  test(`load: ${scenario} verifies all that it gets`, () => verified(["--scenario", scenario, ...args]));

test("load: pages of one conversation after the other verify", async () => {
  const end = await verified(["--scenario", "history", "--with", "--connections", "4", "--fill", "120", "--limit", "20"]);
  assert.match(end.stdout, /[1-9]\d* pages of history/);
});

test("load: marks of a share of what is received verify, with several connections a user", async () => {
  const end = await verified(["--seen", "0.5", "--connections", "12", "--users", "5", "--threads", "2", "--window", "4"]);
  assert.match(end.stdout, /12 pages of conversations, [1-9]\d* marks, [1-9]\d* receipts/);
});

test("load: what programs send verifies, and the server has stored as much", async () => {
  const stored = async () => {
    const text = await fetch(`http://127.0.0.1:${server.admin.port}/metrics`).then((answer) => answer.text());
    return [...text.matchAll(/^chitchat_sends_total\{.*outcome="stored".*\} (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
  };
  const before = await stored();
  const end = await load(["--protocol", "http", "--keys", "--connections", "6", "--users", "4", ...QUICK, `127.0.0.1:${server.admin.port}`]);
  assert.equal(end.status, 0, end.stdout + end.stderr);
  const [, count] = /^verified: 6 logins, ([1-9]\d*) sends acknowledged: each with a mid and a ts /m.exec(end.stdout);
  assert.equal((await stored()) - before, Number(count));
});

test("load: programs send to an admin address", async () => {
  const end = await load(["--protocol", "http", address()]);
  assert.equal(end.status, 2);
  assert.match(end.stderr, /this is no admin address of a chitchat server \(its option --admin\): it answers GET \/readyz with `HTTP\/1\.1 404 Not Found`/);
});

test("load: with marks the users must be new ones", async () => {
  const args = ["--prefix", "marked-", "--connections", "4", ...QUICK];
  assert.equal((await load([...args, address()])).status, 0);
  const end = await load(["--seen", "1", ...args, address()]);
  assert.equal(end.status, 2, end.stdout + end.stderr);
  assert.match(end.stderr, /^chitchat-load: user marked-\d has messages that this run has not sent, .* give another --prefix, or none/);
});

for (const to of ["random", "partner", "zipf:1.2"])
  test(`load: sends to ${to}, two threads, several connections a user, keys, long texts`, () =>
    verified(["--to", to, "--connections", "12", "--users", "5", "--threads", "2", "--keys", "--text", "5000", "--window", "4"]));

test("load: sends go to more users than are connected", async () => {
  const end = await verified(["--recipients", "5000", "--connections", "10"]);
  assert.match(end.stdout, /to 5000 users/);
});

test("load: an open loop counts latency from when a send was due, and says so", async () => {
  const end = await verified(["--rate", "500", "--connections", "10"]);
  assert.match(end.stdout, /open loop: 500 sends\/s; latency counts from when each was due/);
});

for (const [what, args, sign] of [
  ["an open loop", ["--rate", "500"], /[1-9]\d* sends acknowledged/],
  ["replay", ["--scenario", "replay", "--fill", "120"], /entries replayed +[1-9]/],
])
  test(`load: ${what} without a warm-up begins with the measured time`, async () => {
    const end = await load([...args, "--connections", "4", "--duration", "0.5", "--warmup", "0", address()]);
    assert.equal(end.status, 0, end.stdout + end.stderr);
    assert.match(end.stdout, sign);
  });

test("load: a report as JSON and as a page", async () => {
  const [json, html] = [path.join(dir, "report.json"), path.join(dir, "report.html")];
  const attempt = async () => {
    await verified(["--json", json, "--html", html, "--server-pid", String(server.pid)]);
    return JSON.parse(fs.readFileSync(json, "utf8"));
  };
  // On a busy machine the last interval may end late.
  const report = await untilEnough(attempt, ({ points, seconds }) => Math.abs(points.at(-1).at - seconds) < 0.05);
  assert.equal(report.good, true);
  assert.ok(report.acknowledged > 0 && report.ok.p50 > 0 && report.ok.max >= report.ok.p9999 && report.server_cpu_s > 0);
  assert.ok(Math.abs(report.points.at(-1).at - report.seconds) < 0.05, "the plots end where measuring ended");
  const page = fs.readFileSync(html, "utf8");
  assert.match(page, /<svg/);
  assert.doesNotMatch(page, /https?:\/\//, "needs no other file");
});

test("load: the page of idle connections says what one takes, not what is sent", async () => {
  const html = path.join(dir, "idle.html");
  const fresh = await Server.start({ shards: 1 });
  const args = ["--scenario", "idle", "--connections", "1000", "--server-pid", String(fresh.pid), "--html", html, ...QUICK];
  const end = await load([...args, `127.0.0.1:${fresh.address.port}`]);
  await fresh.end();
  assert.equal(end.status, 0, end.stdout + end.stderr);
  const page = fs.readFileSync(html, "utf8");
  assert.match(page, /<b>\d+ bytes<\/b><span>RSS of the server a connection/);
  assert.match(page, /<b>[\d.]+ us<\/b><span>CPU of the server a connect, upgrade and login/);
  assert.match(page, /<svg/);
  assert.doesNotMatch(page, /of text/);
});

test("load: the ceiling that the server is compared with keeps the part of the protocol that is checked", async () => {
  const port = await freePort();
  const ceiling = spawn(path.join(path.dirname(BIN), "ceiling"), [String(port)], { stdio: "ignore" });
  try {
    for (let tries = 0; tries < 500 && !(await listens(port)); tries++) await new Promise((resolve) => setTimeout(resolve, 20));
    for (const args of [["--window", "16"], ["--rate", "1000"], ["--scenario", "fanout", "--window", "4"]]) {
      const end = await load([...args, ...QUICK, `127.0.0.1:${port}`]);
      assert.equal(end.status, 0, end.stdout + end.stderr);
    }
  } finally {
    ceiling.kill("SIGKILL");
  }
});

test("load: a server that is killed again and again loses nothing", async () => {
  const port = await freePort();
  const command = `${BIN} serve --data ${dir}/killed --listen 127.0.0.1:${port} --shards 2 --wal-segment-bytes 4M 2>/dev/null`;
  const args = ["--kill-server", command, "--kill-every", "0.7", "--duration", "2.5", "--warmup", "0.2", "--connections", "20", "--window", "8"];
  const end = await load([...args, "--html", `${dir}/killed.html`, "--json", `${dir}/killed.json`, `127.0.0.1:${port}`]);
  assert.equal(end.status, 0, end.stdout + end.stderr);
  assert.match(end.stdout, /server killed and started +[1-9]/);
  const page = fs.readFileSync(`${dir}/killed.html`, "utf8");
  const { kills, points } = JSON.parse(fs.readFileSync(`${dir}/killed.json`, "utf8"));
  assert.match(page, new RegExp(`killed with SIGKILL ${kills} time`));
  assert.equal(page.split("<g class=m0>").length - 1, 2 * kills, "a mark for each kill, in both plots over time");
  assert.ok(points.filter((point) => point.max === 0 && point.acknowledged_per_s === 0).length >= kills, "each outage is an interval of its own");
});

// A second start begins to listen only after the time between two kills. On a busy machine a kill may come between listening and the line
// that says so: then all times are longer.
async function slowStarts(factor) {
  const port = await freePort();
  const [script, starts, log, data] = ["sh", "starts", "log", "data"].map((name) => path.join(dir, `slow-${factor}.${name}`));
  fs.writeFileSync(
    script,
    `echo start >> '${starts}'
[ $(wc -l < '${starts}') = 1 ] || sleep ${0.6 * factor}
exec '${BIN}' serve --data '${data}' --listen 127.0.0.1:${port} --shards 1 --wal-segment-bytes 4M 2>> '${log}'`,
  );
  const end = await load(["--kill-server", `sh '${script}'`, "--kill-every", `${0.3 * factor}`, "--duration", `${2 * factor}`, "--connections", "5", `127.0.0.1:${port}`]);
  const count = (file, word) => fs.readFileSync(file, "utf8").split(word).length - 1;
  return { end, starts: count(starts, "start"), ready: count(log, "event=ready"), log };
}

test("load: a server that is killed again and again forgets no mark", async () => {
  const port = await freePort();
  const command = `${BIN} serve --data ${dir}/marks --listen 127.0.0.1:${port} --shards 2 --wal-segment-bytes 4M 2>/dev/null`;
  const args = ["--seen", "0.5", "--kill-server", command, "--kill-every", "0.7", "--duration", "2", "--warmup", "0.2", "--connections", "12", "--window", "4"];
  const end = await load([...args, `127.0.0.1:${port}`]);
  assert.equal(end.status, 0, end.stdout + end.stderr);
  assert.match(end.stdout, /^verified: .* [1-9]\d* marks, /m);
});

test("load: a server that is slow to start is not killed before it listens", async () => {
  const { end, starts, ready, log } = await untilEnough(slowStarts, ({ starts, ready }) => starts > 2 && ready === starts);
  assert.equal(end.status, 0, end.stdout + end.stderr);
  assert.ok(starts > 2);
  assert.equal(ready, starts, fs.readFileSync(log, "utf8"));
});

test("load: a server that ends by itself under --kill-server is no success", async () => {
  const port = await freePort();
  const attempt = (factor) => {
    const command = `timeout -s KILL ${1.5 * factor} ${BIN} serve --data ${dir}/dies --listen 127.0.0.1:${port} --shards 1 --wal-segment-bytes 4M 2>/dev/null`;
    const args = ["--kill-server", command, "--kill-every", "60", "--warmup", "60", "--duration", "5", "--html", `${dir}/dies.html`];
    return load([...args, `127.0.0.1:${port}`]);
  };
  const end = await untilEnough(attempt, ({ status }) => status === 1);
  assert.equal(end.status, 1, end.stdout + end.stderr);
  assert.match(end.stdout, /the server ended by itself: (signal 9|status 137)/);
  const page = fs.readFileSync(`${dir}/dies.html`, "utf8");
  assert.match(page, /ended before anything was measured/);
  assert.doesNotMatch(page, /\b(nan|inf)\b|<svg/i);
});

test("load: a server that is not there is reported in one line", async () => {
  const end = await load(["127.0.0.1:1"]);
  assert.equal(end.status, 2);
  assert.match(end.stderr, /^chitchat-load: cannot connect to 127\.0\.0\.1:1: [^\n]+\n$/);
});
