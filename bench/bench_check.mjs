// `./dev bench --check`: what depends on the machine and on what else it does, so that no test may assert it. Each check
// measures, says what it found, and fails if that is out of its bound. To be run on a machine that does nothing else.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

import { besideDeafReaders, besideDeafWriters, onSlowDisk, readAll } from "../tests/scenario/lib/backpressure.mjs";
import { Disk } from "../tests/scenario/lib/disk.mjs";
import { Harness } from "../tests/scenario/lib/harness.mjs";
import { LOAD, run } from "../tests/scenario/lib/load.mjs";
import { makeDataDir, removeDataDir, sleep } from "../tests/scenario/lib/server.mjs";
import { pump } from "../tests/scenario/lib/traffic.mjs";

const QUICK = ["--duration", "0.5", "--warmup", "0.1"];

const ms = (value) => `${value.toFixed(0)} ms`;
const isAtMost = (value, most, what) => assert.ok(value < most, `${what} took ${ms(value)}, at most ${ms(most)} are allowed`);

// A server of so many shards with a disk that the check may slow down; `body(harness, disk)`.
async function withHarness(shards, body) {
  const [harness, disk] = [new Harness(shards), new Disk()];
  try {
    return await body(harness, disk);
  } finally {
    await harness.clean();
    disk.clean();
  }
}

// The generator's report, and what it printed.
async function reported(args, command = [LOAD]) {
  const dir = makeDataDir();
  try {
    const json = path.join(dir, "report.json");
    const [program, ...before] = command;
    const end = await run(program, [...before, ...args.slice(0, -1), "--json", json, args.at(-1)]);
    assert.equal(end.status, 0, end.stdout + end.stderr);
    return { stdout: end.stdout, report: JSON.parse(fs.readFileSync(json, "utf8")) };
  } finally {
    removeDataDir(dir);
  }
}

const addressOf = (harness) => `127.0.0.1:${harness.server.address.port}`;

async function slowDisk(harness, disk) {
  const { ping, page } = await onSlowDisk(harness, disk);
  isAtMost(ping.most, 500, "the slowest ping");
  isAtMost(page.most, 500, "the slowest page");
  return `the slowest ping of ${ping.count}: ${ms(ping.most)}, the slowest page of ${page.count}: ${ms(page.most)}`;
}

async function replayBesideDeafReaders(harness, disk) {
  const { ms: took } = await besideDeafReaders(harness, disk);
  isAtMost(took, 10000, "the replay");
  return `the replay took ${ms(took)}`;
}

async function pingBesideDeafWriters(harness, disk) {
  const { others, ms: took } = await besideDeafWriters(harness, disk);
  isAtMost(took, 500, "the ping");
  const { served, refused } = await readAll(others);
  assert.ok(refused >= (others.length - served) / 2, `${refused} of ${others.length - served} refused connections have read why`);
  return `the ping took ${ms(took)}; ${served} were served, ${refused} of ${others.length - served} others have read why they were refused`;
}

async function stopUnderLoad(harness) {
  await harness.start();
  const clients = await Promise.all(Array.from({ length: 10 }, (_, index) => harness.login(`user-${index}`)));
  const sending = clients.map((from, index) => pump(from, { to: `user-${(index + 1) % 10}`, text: (n) => `${index}/${n}`, window: 20 }));
  await sleep(300);
  const begun = performance.now();
  await harness.server.stop();
  const took = performance.now() - begun;
  await Promise.all(sending);
  isAtMost(took, 5000, "the stop");
  return `the stop took ${ms(took)}`;
}

// Beside a loop on the same core, the generator waits for that core: its report must say so.
async function saturatedGenerator(harness) {
  await harness.start();
  const rival = spawn("taskset", ["-c", "0", "sh", "-c", "while :; do :; done"], { stdio: "ignore" });
  try {
    const args = ["--connections", "10", "--window", "64", "--duration", "2", "--warmup", "0.2", addressOf(harness)];
    const { stdout, report } = await reported(args, ["taskset", "-c", "0", LOAD]);
    assert.ok(report.own_waited_share > 0.1, `it waited ${report.own_waited_share} of the time, more than 0.1 is expected`);
    assert.match(stdout, /generator: .*, and it waited \d+ % for a core/);
    assert.equal(report.is_saturated, report.own_busiest_share + report.own_waited_share > 0.9);
    return `it waited ${(100 * report.own_waited_share).toFixed(0)} % of the time`;
  } finally {
    rival.kill("SIGKILL");
  }
}

// One server, three runs of the generator: memory of one connection, and the warning when the server has served before.
async function memoryOfConnections(harness) {
  await harness.start();
  const pid = ["--server-pid", String(harness.server.pid)];
  const first = await reported(["--scenario", "idle", "--connections", "1000", ...pid, ...QUICK, addressOf(harness)]);
  assert.match(first.stdout, /RSS .*: \d+ bytes a connection/);
  assert.doesNotMatch(first.stdout, /USED/);
  assert.equal(first.report.server_was_used, false);
  await reported(["--connections", "50", "--window", "16", ...pid, "--duration", "1", "--warmup", "0", addressOf(harness)]);
  const used = await reported(["--connections", "1000", ...pid, ...QUICK, addressOf(harness)]);
  assert.equal(used.report.server_was_used, true, "the second run must find a server that has served before");
  assert.match(used.stdout, /USED: before the first connection|memory was used again/);
  return /\d+ bytes a connection/.exec(first.stdout)[0];
}

const CHECKS = [
  ["pings and pages beside a disk of half a MB/s", [1, 2], slowDisk],
  ["a replay beside 600 connections that read nothing", [1, 2], replayBesideDeafReaders],
  ["a ping beside 300 connections that write much and read nothing", [1, 2], pingBesideDeafWriters],
  ["a stop under load", [1, 4], stopUnderLoad],
  ["a generator that waits for its core is reported as saturated", [1], saturatedGenerator],
  ["memory of 1,000 connections, and of a server that has served before", [1], memoryOfConnections],
].flatMap(([name, shards, body]) => shards.map((count) => ({ name: `${name}, ${count} shard${count > 1 ? "s" : ""}`, run: () => withHarness(count, body) })));

// Runs those whose names match; the number of those that failed, undefined if none matched.
export async function runChecks(only) {
  const checks = CHECKS.filter(({ name }) => only.test(name));
  let failed = 0;
  for (const { name, run: body } of checks) {
    try {
      console.log(`ok      ${name}: ${await body()}`);
    } catch (error) {
      failed++;
      console.log(`FAILED  ${name}: ${error.message}`);
    }
  }
  if (checks.length === 0) return undefined;
  console.log(`${checks.length - failed} checks passed, ${failed} failed${failed > 0 ? ": was the machine busy with something else?" : ""}`);
  return failed;
}

export const checkNames = CHECKS.map(({ name }) => name);
