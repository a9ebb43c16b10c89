// Health checks say whether messages can be stored: a disk that is full or fails, a full server, a stop.
import assert from "node:assert/strict";
import { Api } from "./lib/api.mjs";
import { stopInTrouble, trouble } from "./lib/disk.mjs";
import { scenario } from "./lib/harness.mjs";
import { Raw, upgradeRequest } from "./lib/raw.mjs";
import { until } from "./lib/server.mjs";

const HEALTH = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
const OPTIONS = ["--admin", "127.0.0.1:0", "--memtable-bytes", "1M", "--checkpoint-s", "1"];

// The public answer.
async function publicHealth(server) {
  const raw = await Raw.open(server);
  raw.write(HEALTH);
  return raw.responseToEnd();
}

// All three health checks have this status, and those of the admin address this reason.
async function untilHealth(harness, api, status, reason) {
  await until(`${status} ${reason}`, async () => {
    const { status: is, json } = await api.get("/readyz");
    return is === status && (json.error ?? json.status) === reason;
  });
  assert.equal((await api.get("/healthz")).status, status);
  assert.equal((await api.get("/livez")).status, 200, "the process turns");
  const { status: seen, body } = await publicHealth(harness.server);
  assert.equal(seen, status);
  assert.match(body, status === 200 ? /^ok\n$/ : /^[ -~]{20,}\n$/);
}

trouble("no room for the log: not ready, with the reason; ready again when there is room", async (harness, disk) => {
  await harness.start({ options: OPTIONS, env: disk.env });
  const api = new Api(harness.server.admin);
  const alice = await harness.login("alice");
  await untilHealth(harness, api, 200, "ready");
  disk.rules("fail pwrite wal/segment ENOSPC", "fail pwrite,writev runs/run- ENOSPC");
  const text = "x".repeat(16000);
  await until("busy", async () => (await alice.request({ op: "send", to: "alice", text })).code === "busy");
  const stop = { asked: false };
  const flood = (async () => {
    while (!stop.asked) await alice.request({ op: "send", to: "alice", text });
  })();
  await until("not ready", async () => (await api.get("/readyz")).status === 503);
  const { json } = await api.get("/readyz");
  assert.match(json.error, /^(full_disk|disk_behind)$/);
  assert.equal((await publicHealth(harness.server)).status, 503);
  stop.asked = true;
  await flood;
  disk.mend();
  await untilHealth(harness, api, 200, "ready");
  api.close();
  await stopInTrouble(harness.server);
});

trouble("a failed write of the log: not ready until the restart", async (harness, disk) => {
  await harness.start({ options: OPTIONS, env: disk.env });
  const api = new Api(harness.server.admin);
  const alice = await harness.login("alice");
  await alice.send("alice", "before");
  disk.rules("fail uring wal/ EIO");
  await alice.error({ op: "send", to: "alice", text: "lost" }, "unavailable");
  disk.mend();
  await untilHealth(harness, api, 503, "store_failed");
  api.close();
  await stopInTrouble(harness.server);
});

scenario("a full server is healthy, and a connection that is too many gets 503 for anything else", {}, async (harness) => {
  await harness.start({ options: ["--admin", "127.0.0.1:0", "--connections", "1"] });
  const api = new Api(harness.server.admin);
  await harness.login("alice");
  await untilHealth(harness, api, 200, "ready");
  for (const bytes of [upgradeRequest(), "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /healthz/x HTTP/1.1\r\nHost: localhost\r\n\r\n", "hello\r\n\r\n"]) {
    const raw = await Raw.open(harness.server);
    raw.write(bytes);
    const { status, headers } = await raw.responseToEnd();
    assert.equal(status, 503, bytes);
    assert.match(headers["retry-after"], /^[1-9]\d*$/);
  }
  const silent = await Raw.open(harness.server);
  assert.equal((await silent.responseToEnd()).status, 503, "who says nothing is not waited for");
  api.close();
  await harness.end();
});
