// A disk in trouble: the server with the library of tests/disk/inject.c, where the rules are described.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { BIN, DEADLINE_MS, sleep } from "./server.mjs";
import { scenario } from "./harness.mjs";
import { checkHolds, wholeTimeline } from "./traffic.mjs";

const LIBRARY = path.join(path.dirname(BIN), "libinject.so");

export class Disk {
  #dir = fs.mkdtempSync(path.join(os.tmpdir(), "chitchat-inject-"));

  get env() {
    return { LD_PRELOAD: LIBRARY, CHITCHAT_INJECT: path.join(this.#dir, "rules") };
  }

  // From now on these rules are valid, and no others.
  rules(...lines) {
    const file = path.join(this.#dir, "rules");
    fs.writeFileSync(`${file}.new`, lines.map((line) => `${line}\n`).join(""));
    fs.renameSync(`${file}.new`, file);
  }

  mend() {
    this.rules("# all is well");
  }

  clean() {
    fs.rmSync(this.#dir, { recursive: true, force: true });
  }
}

// A scenario with a disk of its own.
export function trouble(name, run, { shards = [1, 2] } = {}) {
  scenario(name, { shards }, async (harness) => {
    const disk = new Disk();
    try {
      await run(harness, disk);
    } finally {
      disk.clean();
    }
  });
}

// SIGTERM, where errors in the log are what the test asks for. Returns the log.
export async function stopInTrouble(server, code = 0) {
  server.signal("SIGTERM");
  assert.deepEqual(await server.ended(), { code, signal: null }, server.stderr);
  return server.stderr;
}

// Runs a server that must refuse to start: its error text.
export function refusal(harness, disk, options = []) {
  const args = ["serve", "--listen", "127.0.0.1:0", "--data", harness.server.data, "--wal-segment-bytes", "4M", ...options];
  const end = spawnSync(BIN, args, { encoding: "utf8", env: { ...process.env, ...disk.env }, timeout: DEADLINE_MS });
  assert.equal(end.status, 1, JSON.stringify(end));
  const lines = end.stderr.trimEnd().split("\n").filter((line) => !line.startsWith("time="));
  assert.equal(lines.length, 1, `one line says why: ${end.stderr}`);
  return lines[0];
}

export const filesOf = (harness, shard, part) => {
  const dir = path.join(harness.server.data, `shard-${String(shard).padStart(4, "0")}`, part);
  return fs.readdirSync(dir).sort().map((name) => path.join(dir, name));
};

export const textOf = (n, bytes = 4000) => `${n} `.padEnd(bytes, "x");

// Sends one after the other, each with a key, until one is answered with `code`. What was acknowledged, and the refusal.
export async function sendUntil(client, to, code, { first = 0, bytes = 4000, most = 50000, window = 20 } = {}) {
  const acknowledged = [];
  let refused;
  let next = first;
  const worker = async () => {
    while (!refused && next < first + most) {
      const n = next++;
      const fields = { op: "send", to, text: textOf(n, bytes), key: `${client.user} ${n}` };
      const reply = await client.request(fields);
      if (reply.op === "ok") acknowledged.push({ ...fields, ...reply });
      else if (reply.code === code) refused ??= { ...reply, ...{ n } };
      else if (reply.code === "busy") await sleep(reply.retry_after);
      else assert.fail(JSON.stringify(reply));
    }
  };
  await Promise.all(Array.from({ length: window }, worker));
  assert.ok(refused, `${code} never came`);
  return { acknowledged, refused, next };
}

// What the server answers while it accepts no sends: pings, pages, a login with all that was acknowledged.
export async function checkReads(harness, client, to, acknowledged) {
  await client.ok({ op: "ping" });
  const mine = await wholeTimeline(client);
  checkHolds(mine, acknowledged, { isSender: true });
  const other = await harness.login(to, { after: 0 });
  await other.untilLive();
  checkHolds(other.messages, acknowledged, { isSender: false });
  return { client: other, mids: new Set(other.messages.map((message) => message.mid)) };
}

// After a restart: both timelines have what was acknowledged, once, by pages and by replay.
export async function checkKept(harness, from, to, acknowledged) {
  for (const [user, isSender] of [[from, true], [to, false]]) {
    const client = await harness.login(user, { after: 0 });
    await client.untilLive();
    const timeline = await wholeTimeline(client);
    checkHolds(timeline, acknowledged, { isSender });
    assert.deepEqual(client.entries.map((entry) => entry.mid), timeline.map((entry) => entry.mid));
  }
}

// Each key again: what was acknowledged is `dup` with the mid that it had, what was not is stored now or was before.
export async function resendAll(harness, from, acknowledged, unknown) {
  const client = await harness.login(from);
  const settled = [];
  for (const sent of acknowledged) {
    const reply = await client.ok({ op: "send", to: sent.to, text: sent.text, key: sent.key });
    assert.deepEqual([reply.dup, reply.mid], [true, sent.mid]);
  }
  for (const sent of unknown) settled.push({ ...sent, ...(await client.ok({ op: "send", ...sent })) });
  return settled;
}

export const linesOf = (log, event) => log.split("\n").filter((line) => line.includes(`event=${event} `));
