// chitchat-load as a tool: thresholds, comparison, CSV, progress in a pipe, and what it says where no run is possible.
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import path from "node:path";
import { after, before, describe, it, test } from "node:test";
import { WebSocketServer } from "ws";
import { openBrowser } from "./lib/browser.mjs";
import { Client } from "./lib/client.mjs";
import { startLiar } from "./lib/liar.mjs";
import { load, untilEnough } from "./lib/load.mjs";
import { makeDataDir, removeDataDir, Server } from "./lib/server.mjs";

const QUICK = ["--connections", "4", "--duration", "0.3", "--warmup", "0"];

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

// -- conditions, comparison, files --

test("load: a condition of --fail-if that holds ends the run with 3, in the report too", async () => {
  const [json, html] = [path.join(dir, "failed.json"), path.join(dir, "failed.html")];
  const args = ["--fail-if", "ok_p50_ms>=0", "--fail-if", "ok_p50_ms>1000000", "--json", json, "--html", html];
  const end = await load([...args, ...QUICK, address()]);
  assert.equal(end.status, 3, end.stdout + end.stderr);
  assert.match(end.stdout, /^verified: /m);
  assert.match(end.stdout, /^FAILED: --fail-if ok_p50_ms>=0: it is [\d.e+]+$/m);
  assert.equal(end.stdout.match(/^FAILED/gm).length, 1);
  const report = JSON.parse(fs.readFileSync(json, "utf8"));
  assert.equal(report.thresholds_failed, 1);
  assert.match(report.threshold_failed_1, /^ok_p50_ms>=0: it is /);
  assert.match(fs.readFileSync(html, "utf8"), /✗ --fail-if ok_p50_ms&gt;=0: it is /);
});

test("load: conditions of --fail-if that do not hold are counted, and the run ends with 0", async () => {
  const end = await load(["--fail-if", "ok_p50_ms>1000000", "--fail-if", "unavailable>0", ...QUICK, address()]);
  assert.equal(end.status, 0, end.stdout + end.stderr);
  assert.match(end.stdout, /^passed: 2 conditions of --fail-if$/m);
});

test("load: a run beside an earlier one: a table with ratios, what differs, and conditions on a ratio", async () => {
  const json = path.join(dir, "earlier.json");
  assert.equal((await load([...QUICK, "--json", json, address()])).status, 0);
  // The new report may replace the old one.
  const args = ["--window", "2", "--compare", json, "--json", json, "--fail-if", "ok_p50_ms<1000000x"];
  const end = await load([...args, ...QUICK, address()]);
  assert.equal(end.status, 3, end.stdout + end.stderr);
  assert.match(end.stdout, /^the runs differ: window 1 -> 2$/m);
  assert.match(end.stdout, /^ {2}figure +before +now +ratio$/m);
  assert.match(end.stdout, /^ {2}ok_p99_ms +[\d.]+ +[\d.]+ +\d+\.\d{3}$/m);
  assert.match(end.stdout, /^FAILED: --fail-if ok_p50_ms<1000000x: it is [\d.]+, and was [\d.]+$/m);
  assert.equal(JSON.parse(fs.readFileSync(json, "utf8")).window, 2);
});

test("load: an earlier report that cannot be read is refused before the run", async () => {
  const end = await load(["--compare", path.join(dir, "nowhere.json"), ...QUICK, address()]);
  assert.equal(end.status, 2);
  assert.match(end.stderr, /^chitchat-load: --compare \S+nowhere\.json: .*No such file or directory\n$/);
});

test("load: CSV has a row for each interval of the measured time", async () => {
  const [csv, json] = [path.join(dir, "points.csv"), path.join(dir, "points.json")];
  const end = await load(["--csv", csv, "--json", json, ...QUICK, "--duration", "1", address()]);
  assert.equal(end.status, 0, end.stdout + end.stderr);
  const [head, ...rows] = fs.readFileSync(csv, "utf8").trimEnd().split("\n");
  const { points } = JSON.parse(fs.readFileSync(json, "utf8"));
  assert.equal(rows.length, points.length);
  assert.ok(rows.length > 0 && rows.every((row) => row.split(",").length === head.split(",").length), rows.join("\n"));
  assert.equal(Number(rows[0].split(",")[1]), points[0].acknowledged_per_s);
});

test("load: the page fits a phone of 390 px: what is wider scrolls by itself, and labels can be read", async () => {
  const html = path.join(dir, "phone.html");
  assert.equal((await load(["--html", html, ...QUICK, address()])).status, 0);
  const browser = await openBrowser();
  try {
    const page = await browser.newPage({ viewport: { width: 390, height: 844 }, isMobile: true });
    await page.goto(`file://${html}`);
    const found = await page.evaluate(() => {
      const all = [...document.body.querySelectorAll("*")];
      const wide = all.filter((it) => !it.closest(".w, svg") && it.getBoundingClientRect().right > innerWidth + 1);
      const labels = [...document.querySelectorAll("svg text")].map((it) => it.getBoundingClientRect().height);
      return { width: innerWidth, scroll: document.documentElement.scrollWidth, wide: wide.map((it) => it.outerHTML.slice(0, 100)), labels: labels.length > 0 && Math.min(...labels) >= 9 };
    });
    assert.deepEqual(found, { width: 390, scroll: 390, wide: [], labels: true });
  } finally {
    await browser.close();
  }
});

test("load: --progress writes lines to a pipe", async () => {
  const attempt = (factor) => load(["--progress", "--connections", "4", "--warmup", "0", "--duration", `${1.5 * factor}`, address()]);
  const end = await untilEnough(attempt, ({ stderr }) => stderr !== "");
  assert.equal(end.status, 0, end.stdout + end.stderr);
  assert.match(end.stderr, /^(\d+\.\d s {2}(connect|warm-up|measure|drain) +\[[#.]{16}\] \d+ live {2}[\d-]+ \w+\/s {2}p99 .* 0 broken\n)+$/);
});

test("load: --version and --help", async () => {
  assert.match((await load(["--version"])).stdout, /^chitchat-load \d+\.\d+\.\d+\n$/);
  const { stdout, status } = await load(["--help"]);
  assert.equal(status, 0);
  assert.match(stdout, /^Examples:\n {2}chitchat-load 127\.0\.0\.1:8080$/m);
  assert.match(stdout, /^Exit status: 0 /m);
});

// -- runs that are not possible --

async function listening(listener) {
  listener.listen(0, "127.0.0.1");
  await new Promise((resolve) => listener.once("listening", resolve));
  return listener;
}

describe("load: where no run is possible it ends with 2 and the reason", { concurrency: true }, () => {
  // `listener` is closed after the run.
  async function refused(listener, args = []) {
    const port = listener.address().port;
    const end = await load([...args, ...QUICK, `127.0.0.1:${port}`]);
    listener.close();
    assert.equal(end.status, 2, end.stdout + end.stderr);
    assert.equal(end.stdout, "");
    assert.equal(end.stderr.match(/\n/g).length, 1, end.stderr);
    return end.stderr;
  }

  it("another web server", async () => {
    const other = http.createServer((request, response) => response.writeHead(404).end());
    other.on("upgrade", (request, socket) => socket.end("HTTP/1.1 404 Not Found\r\n\r\n"));
    assert.match(await refused(await listening(other)), /^chitchat-load: this is no chitchat server: it answers an upgrade with `HTTP\/1\.1 404 Not Found`; does it speak TLS \(--tls\)\? /);
  });

  it("a server of another protocol", async () => {
    const other = net.createServer((socket) => socket.on("error", () => {}).write("220 mail.example.org ESMTP\r\n"));
    assert.match(await refused(await listening(other)), /it answers an upgrade with `220 mail\.example\.org ESMTP`/);
  });

  it("a WebSocket server of another protocol", async () => {
    const answers = [
      [/it answers a login with \{"op":"ok"\} /, (socket) => socket.send('{"op":"ok"}')],
      [/it answers a login with a frame that is no text /, (socket) => socket.send(Buffer.from("{}"))],
      [/it answers a login with what is no WebSocket frame /, (socket) => socket._socket.write(Buffer.alloc(8, 0xff))],
    ];
    for (const [said, answer] of answers) {
      const other = new WebSocketServer({ server: http.createServer() });
      other.on("connection", (socket) => socket.on("error", () => {}).on("message", () => answer(socket)));
      assert.match(await refused(await listening(other.options.server)), said);
    }
  });

  it("a server that answers nothing", async () => {
    const said = await refused(await listening(net.createServer((socket) => socket.on("error", () => {}))));
    assert.match(said, /^chitchat-load: no connection can log in at 127\.0\.0\.1:\d+: no answer; is it a chitchat server\? \(0 of 4 connections are open\)\n$/);
  });

  it("a server that ends all connections", async () => {
    const said = await refused(await listening(net.createServer((socket) => socket.on("error", () => {}).end())));
    assert.match(said, /^chitchat-load: no connection can log in at .*: the server ended the connection; is it a chitchat server\?/);
  });

  it("a server that has no room for all connections", async (t) => {
    const small = await Server.start({ shards: 1, options: ["--user-connections", "2"] });
    t.after(() => small.clean());
    const end = await load(["--users", "1", ...QUICK, `127.0.0.1:${small.address.port}`]);
    assert.equal(end.status, 2, end.stdout + end.stderr);
    assert.match(end.stderr, /^chitchat-load: the server closed the connection with 4201, too many connections of one user: give more --users \(\d of 4 connections are open\)\n$/);
  });

  // An error for each send; chitchat-load tries again for five seconds.
  async function refusing(code) {
    const error = (object) => (object.op === "ok" && object.mid !== undefined ? [{ op: "error", id: object.id, code, message: "no", retry_after: 500 }] : undefined);
    const liar = await startLiar(server.address.port, (object) => error(object) ?? (object.op === "msg" ? [] : undefined));
    const end = await load([...QUICK, "--duration", "10", "--prefix", `${code}-`, liar.address]);
    liar.close();
    assert.equal(end.status, 2, end.stdout + end.stderr);
    assert.equal(end.stdout, "");
    return end.stderr;
  }

  it("a server that refuses all sends for now", async () => {
    assert.match(await refusing("busy"), /^chitchat-load: the server refuses all requests: \{"op":"error","id":\d+,"code":"busy",/);
  });

  it("a server that refuses the first send for good", async () => {
    assert.match(await refusing("too_large"), /^chitchat-load: the server refuses a request: \{"op":"error","id":\d+,"code":"too_large",/);
  });
});

// -- a store with users of its own --

test("load: before it writes to users who have messages of their own it warns", async () => {
  const sender = await Client.open(server);
  await sender.ok({ op: "login", user: "somebody" });
  await sender.send("mine-1", "are you there?");
  sender.close();
  const end = await load(["--prefix", "mine-", ...QUICK, address()]);
  assert.equal(end.status, 0, end.stdout + end.stderr);
  assert.match(end.stderr, /^chitchat-load: warning: this server has users of its own: mine-1 has messages that chitchat-load has not written, and so have 0 more\. .*--prefix\n$/);
});

test("load: messages of earlier runs are no reason to warn", async () => {
  for (let run = 0; run < 2; run++) {
    const end = await load(["--prefix", "again-", ...QUICK, address()]);
    assert.equal(end.status, 0, end.stdout + end.stderr);
    assert.equal(end.stderr, "");
  }
});
