// Memory of the server: little for idle connections, and what a burst took is given back after it.
import assert from "node:assert/strict";
import fs from "node:fs";
import { after, before, describe, it } from "node:test";
import { Client } from "./lib/client.mjs";
import { DEADLINE_MS, SHORT, Server, sleep, until } from "./lib/server.mjs";

const MIB = 1 << 20;
const CROWD = 500;
const ROUNDS = 4;

// The sanitizers take memory of their own.
describe("Memory", { skip: SHORT && "sanitizers hold memory of their own", timeout: 4 * DEADLINE_MS }, () => {
  let server;
  const clients = [];

  const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(fs.readFileSync(`/proc/${server.pid}/status`, "utf8"))[1]) * 1024;
  const rss = () => field("VmRSS");
  // The most since `resetPeak`, as the kernel counted it.
  const peak = () => field("VmHWM");
  const resetPeak = () => fs.writeFileSync(`/proc/${server.pid}/clear_refs`, "5");

  async function login(user) {
    const client = await Client.open(server);
    clients.push(client);
    await client.loginAs(user);
    return client;
  }

  async function untilBelow(bytes, what) {
    await until(() => `${what}: ${rss()} bytes are still held, more than ${bytes}`, () => rss() <= bytes, { every: 200 });
  }

  before(async () => {
    server = await Server.start({ shards: 1, options: ["--user-connections", String(CROWD), "--login-time-s", "600"] });
  });

  after(async () => {
    for (const client of clients) client.terminate();
    for (const client of clients) client.check();
    await server.clean();
  });

  it("a burst to many connections takes memory, and the idle server gives it back", async () => {
    const sender = await login("sender");
    await sender.send("nobody", "x".repeat(16384));
    await Promise.all(Array.from({ length: CROWD }, () => login("crowd")));
    await sleep(2000);
    const idle = rss();
    let messages = 0;
    resetPeak();
    await until(() => `a burst that takes more than ${peak() - idle} bytes`, async () => {
      for (let i = 0; i < ROUNDS; i++) await Promise.all([0, 1, 2, 3].map((n) => sender.send("crowd", `${n}`.repeat(16384))));
      messages += 4 * ROUNDS;
      await Promise.all(clients.slice(1).map((client) => client.untilMessages(messages)));
      return peak() > idle + 2 * MIB;
    });
    // Entries of further bursts stay in memory until a checkpoint, in both timelines.
    await untilBelow(idle + MIB + 2 * 16384 * (messages - 4 * ROUNDS), "after the burst");
  });

  it("connections that are gone leave nothing behind", async () => {
    const before = rss();
    for (const client of clients.splice(1)) client.terminate();
    await untilBelow(before + MIB, "after they left");
    const many = await Promise.all(Array.from({ length: 1000 }, (_, i) => login(`guest-${i}`)));
    await untilBelow(before + 1000 * 1024 + 2 * MIB, "with 1,000 idle connections");
    for (const client of many) client.terminate();
    clients.splice(1);
    await untilBelow(before + MIB, "after they left too");
  });
});
