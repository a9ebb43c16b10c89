// `./dev bench`: a fixed set of measurements in under 10 minutes: the server and the ceiling (bench/ceiling.c) in turns, three times each; the
// targets that can be measured in minutes; the small programs. The result is one table of medians and ranges, and a page, build/bench.html.
// `./dev bench --peers` adds nats-server with JetStream. `./dev bench --hostile` runs the attacks instead, `./dev bench --check` the checks of
// bench_check.mjs, `./dev bench --cluster` the log of a cluster. For BENCH_RUNS, BENCH_SECONDS and BENCH_ONLY see `./dev help`.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";

import { writePage } from "./bench_html.mjs";
import { clusterParts } from "./bench_cluster.mjs";
import { hostileParts } from "./bench_hostile.mjs";
import { movingParts } from "./bench_moving.mjs";
import { readOptions } from "./bench_options.mjs";
import { besideJetStream, promises } from "./bench_peers.mjs";
import { peopleParts } from "./bench_people.mjs";
import { programParts } from "./bench_programs.mjs";
import { checkDisk, memoryDir, micro, onCeiling, onNats, onServer, onTwoServers, stealWatch } from "./bench_run.mjs";
import { markdown, row, show } from "./bench_table.mjs";
import { tlsParts } from "./bench_tls.mjs";
import { tokenParts } from "./bench_tokens.mjs";

const { runs: RUNS, seconds: SECONDS, only: ONLY, withPeers, isHostile, isCheck, isCluster } = readOptions(process.argv.slice(2), process.env);
if (isCheck) {
  const { checkNames, runChecks } = await import("./bench_check.mjs");
  const failed = await runChecks(ONLY);
  if (failed === undefined) console.error(`./dev bench: BENCH_ONLY=${process.env.BENCH_ONLY} matches none of: ${checkNames.join("; ")}`);
  process.exit(failed === undefined ? 2 : Math.min(failed, 1));
}
const TIMES = ["--duration", SECONDS, "--warmup", "0.7"];
const MICRO = ["mailbox", "wal", "checkpoint", "memtable", "store", "request", "reply", "frame", "token"];

const rate = (r) => r.acknowledged / r.seconds;
const cpuOf = (r, count) => (r.server_cpu_s * 1e6) / count;
const cost = (r) => cpuOf(r, r.acknowledged);
const notes = [];

// In turns, so that other work on the machine affects all alike.
async function interleaved(...ways) {
  const sets = ways.map(() => []);
  for (let i = 0; i < RUNS; i++) for (const [k, way] of ways.entries()) sets[k].push(await way());
  for (const report of sets.flat()) if (report.is_saturated) notes.push(`the generator was saturated: ${report.scenario}, ${report.connections} x ${report.window}; that rate may be its limit`);
  return sets;
}

function pairs(connections, window, targets) {
  const size = `${show(connections, 0)} x ${window}`, group = `${size}, sends to random users`;
  const args = ["--connections", String(connections), "--window", String(window), ...TIMES];
  return {
    name: group,
    async run() {
      const peers = withPeers ? [() => onNats(args)] : [];
      const where = targets.tellsDisk ? memoryDir() : undefined;
      const noDisk = where ? [() => onServer(args, { where })] : [];
      const [ceiling, server, ...others] = await interleaved(() => onCeiling(args), () => onServer(args), ...noDisk, ...peers);
      const against = (of, reports = server) => reports.map((r, i) => of(r) / of(ceiling[i]));
      const inMemory = others.splice(0, noDisk.length);
      return [
        row(group, "the ceiling: sends", "/s", ceiling.map(rate), { of: "sends", who: "other" }),
        row(group, "chitchat: sends acknowledged, durable", "/s", server.map(rate), { of: "sends" }),
        row(group, "share of the ceiling's sends", "", against(rate), { least: targets.share }),
        ...inMemory.map((reports) => row(group, "the same if the disk were memory, not durable", "", against(rate, reports))),
        row(group, "the ceiling: CPU a send", "us", ceiling.map(cost), { of: "CPU", who: "other" }),
        row(group, "chitchat: CPU a send", "us", server.map(cost), { of: "CPU" }),
        row(group, "times the ceiling's CPU", "", against(cost), targets.cost ? { most: targets.cost } : {}),
        row(group, "generator: CPU a send to chitchat", "us", server.map((r) => (r.own_cpu_s * 1e6) / r.acknowledged), { of: "CPU", who: "generator" }),
        row(group, "send to ok, p50", "ms", server.map((r) => r.ok.p50 / 1000)),
        row(group, "send to ok, p99", "ms", server.map((r) => r.ok.p99 / 1000)),
        ...others.flatMap((nats) => besideJetStream(size, server, nats)),
      ];
    },
  };
}

function alone(name, args, rowsOf, how = {}) {
  return {
    name,
    async run() {
      const [reports] = await interleaved(() => onServer(args, how));
      return rowsOf(reports).map((cells) => row(name, ...cells));
    },
  };
}

// With this a message is in a run soon after it was sent.
const OFTEN = ["--checkpoint-s", "1"];
// Each connection sends 15,000 messages, every 12 MiB of them become a run, and merges fail: so there are 16 runs or more.
const KEEP_RUNS = { options: ["--memtable-bytes", "16M"], disk: "fail pwrite runs/run- EIO thread=merge" };

// Once for each of `windows`, the number of pages that a connection has in flight; the target `least` is for the first. With 1, each page
// waits until the one before it has come and been checked; with 16 the server always has work.
function history(where, windows, { fill = 1000, warmup, least, runs = 0 }, how = {}) {
  const group = `history, pages of 50, ${where}`;
  const args = ["--scenario", "history", "--connections", "50", "--fill", String(fill), "--warmup", String(warmup), "--duration", SECONDS];
  const name = (window) => (window === 1 ? "1 page in flight" : `${window} pages in flight`);
  const rowsOf = (reports, i) => {
    const fewest = Math.min(...reports.map((r) => r.runs));
    if (fewest < runs) throw new Error(`there were only ${fewest} runs, but this needs ${runs}`);
    return [
      row(group, `${name(windows[i])}: pages`, "/s", reports.map((r) => r.pages / r.seconds), { of: "pages" }),
      row(group, `${name(windows[i])}: pages a core of the server`, "/s", reports.map((r) => r.pages / r.server_cpu_s), { of: "pages a core", least: i === 0 ? least : undefined }),
      row(group, `${name(windows[i])}: CPU a page`, "us", reports.map((r) => cpuOf(r, r.pages)), { of: "CPU" }),
    ];
  };
  const run = async () => (await interleaved(...windows.map((window) => () => onServer([...args, "--window", String(window)], how)))).flatMap(rowsOf);
  return { name: group, run };
}

let openLoop; // its report, for the plot over time in the page

const USUAL = [
  pairs(100, 16, { share: 0.5 }),
  pairs(10, 64, { share: 0.5 }),
  pairs(1000, 1, { share: 0.7, cost: 1.4 }),
  pairs(100, 1, { share: 0.7, cost: 1.4, tellsDisk: true }),
  {
    name: "open loop, 20 k/s, 1,000 connections, a checkpoint every second",
    async run() {
      const args = ["--connections", "1000", "--rate", "20000", "--duration", "6", "--warmup", "1"];
      const [ceiling, server] = await interleaved(() => onCeiling(args), () => onServer(args, { options: OFTEN }));
      openLoop = server[0];
      const ms = (reports, what, quantile) => reports.map((r) => r[what][quantile] / 1000);
      return [
        row(this.name, "the ceiling: send to ok, p50", "ms", ms(ceiling, "ok", "p50"), { of: "p50", who: "other" }),
        row(this.name, "chitchat: send to ok, p50", "ms", ms(server, "ok", "p50"), { most: 0.6, of: "p50" }),
        row(this.name, "the ceiling: send to ok, p99", "ms", ms(ceiling, "ok", "p99"), { of: "p99", who: "other" }),
        row(this.name, "chitchat: send to ok, p99", "ms", ms(server, "ok", "p99"), { most: 5, of: "p99" }),
        row(this.name, "chitchat: send to delivery, p50", "ms", ms(server, "delivery", "p50"), { most: 0.6 }),
        row(this.name, "chitchat: send to delivery, p99", "ms", ms(server, "delivery", "p99"), { most: 5 }),
      ];
    },
  },
  alone("idle, 15,000 connections", ["--scenario", "idle", "--connections", "15000", "--duration", "30", "--warmup", "1"], (reports) => [
    ["RSS a connection, after 30 s", "bytes", reports.map((r) => (r.server_rss_end - r.server_rss_idle) / r.connections), { most: 400 }],
    ["kernel memory a connection, both ends", "bytes", reports.map((r) => (r.kernel - r.kernel_idle) / r.connections)],
    ["CPU while idle", "% of a core", reports.map((r) => (100 * r.server_cpu_s) / r.seconds), { most: 1 }],
    ["CPU a connect, upgrade and login", "us", reports.map((r) => (r.server_login_cpu_s * 1e6) / r.connections), { most: 60 }],
  ]),
  alone("storm of 10,000", ["--scenario", "storm", "--connections", "10000", "--rate", "1000", "--duration", "6", "--warmup", "0.5"], (reports) => [
    ["all live again after", "s", reports.map((r) => r.storms[0]), { most: 3 }],
  ]),
  history("from memory", [16, 1], { warmup: 0.7, least: 100000 }),
  history("from one run", [16, 1], { warmup: 3, least: 100000, runs: 1 }, { options: OFTEN }),
  history("from 16 runs", [1], { fill: 15000, warmup: 1, least: 30000, runs: 16 }, KEEP_RUNS),
  alone("replay, 100 users of 5,000 entries", ["--scenario", "replay", "--connections", "100", "--fill", "2500", "--duration", "4", "--warmup", "1"], (reports) => [
    ["entries", "/s", reports.map((r) => r.replayed / r.seconds)],
    ["entries a core of the server", "/s", reports.map((r) => r.replayed / r.server_cpu_s), { least: 1e6 }],
  ]),
  {
    name: "fan-out to 1,000 connections of a user",
    async run() {
      const args = ["--scenario", "fanout", "--users", "1", "--connections", "1001", "--window", "4", ...TIMES];
      const [ceiling, server] = await interleaved(() => onCeiling(args), () => onServer(args));
      const frame = (r) => cpuOf(r, r.delivered);
      return [
        row(this.name, "chitchat: frames", "/s", server.map((r) => r.delivered / r.seconds)),
        row(this.name, "the ceiling: CPU a frame", "us", ceiling.map(frame), { of: "CPU", who: "other" }),
        row(this.name, "chitchat: CPU a frame", "us", server.map(frame), { of: "CPU" }),
        row(this.name, "times the ceiling's CPU", "", server.map((r, i) => frame(r) / frame(ceiling[i])), { most: 1.3 }),
      ];
    },
  },
  {
    name: "two shards against one",
    async run() {
      // A shard with less to do in a turn spends more CPU on each send: 64 in flight keep the cores busy.
      const args = (connections, window) => ["--connections", String(connections), "--window", String(window), ...TIMES];
      const way = (shards, window) => () => onServer(args(100 * shards, window), { shards, cpus: "0,1", loadCpu: "0,1" });
      const apart = () => onTwoServers(args(100, 64)); // what the machine itself costs with two busy processors
      const [one64, two64, apart64, one16, two16] = await interleaved(way(1, 64), way(2, 64), apart, way(1, 16), way(2, 16));
      const times = (two, one) => two.map((r, i) => cost(r) / cost(one[i]));
      return [
        row(this.name, "one shard, 100 x 64: CPU a send", "us", one64.map(cost), { of: "CPU" }),
        row(this.name, "two shards, 200 x 64: CPU a send", "us", two64.map(cost), { of: "CPU" }),
        row(this.name, "times one shard's, 64 deep", "", times(two64, one64), { most: 1.1 }),
        row(this.name, "the same of two servers of one shard each, at once", "", times(apart64, one64)),
        row(this.name, "times one shard's, 200 x 16 against 100 x 16", "", times(two16, one16), { most: 1.1 }),
      ];
    },
  },
  ...peopleParts(SECONDS, interleaved, KEEP_RUNS),
  ...tlsParts(SECONDS, interleaved),
  ...tokenParts(SECONDS, interleaved),
  ...programParts(SECONDS, interleaved),
  ...movingParts(interleaved),
  {
    names: MICRO.map((name) => `micro_${name}`),
    name: "the small programs",
    async run() {
      const programs = MICRO.filter((name) => ONLY.test(`micro_${name}`));
      const sets = await interleaved(...programs.map((name) => () => micro(name)));
      return sets.flatMap((reports) => reports[0].figures.map(({ name }, i) => row(`micro_${reports[0].program}`, name, "ns", reports.map((r) => r.figures[i].ns))));
    },
  },
];

const alternatives = () => (isCluster ? clusterParts(SECONDS, interleaved) : USUAL);
const SET = isHostile ? hostileParts(SECONDS, interleaved) : alternatives();

function machine() {
  const kernel = `${os.type()} ${os.release()}`;
  return `${os.cpus().length} x ${os.cpus()[0].model.trim()}, ${Math.round(os.totalmem() / 2 ** 30)} GiB, ${kernel}, ${checkDisk()}`;
}

const commit = () => {
  try {
    return execFileSync("git", ["describe", "--always", "--dirty"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return "no git";
  }
};

const begun = Date.now();
const stolen = stealWatch();
const facts = { machine: machine(), commit: commit(), runs: RUNS, seconds: SECONDS };
const rows = [];
const parts = SET.filter(({ name, names = [name] }) => names.some((each) => ONLY.test(each)));
if (parts.length === 0) {
  console.error(`./dev bench: BENCH_ONLY=${process.env.BENCH_ONLY} matches none of: ${SET.flatMap(({ name, names = [name] }) => names).join("; ")}`);
  process.exit(2);
}
for (const part of parts) {
  console.error(`${show((Date.now() - begun) / 1000, 0).padStart(4)} s  ${part.name}`);
  try {
    rows.push(...(await part.run()));
  } catch (error) {
    // A part that fails has no figures; the other parts still run, and the exit status is 1.
    console.error(error.message);
    notes.push(`FAILED: ${part.name}: ${error.message.split("\n")[0]}`);
    process.exitCode = 1;
  }
}
const took = (Date.now() - begun) / 1000;
if (withPeers) notes.push(...promises);
const share = stolen();
if (share > 0.01) notes.push(`the host gave ${show(100 * share, 0)} % of the processors' time to others meanwhile: CPU and ratios are more reliable than rates`);
console.log(`${facts.machine}; commit ${facts.commit}`);
const loops = isHostile ? "of each attack; the server" : "of closed loop; one shard";
const where = isCluster ? "of closed loop; three PostgreSQL servers and what uses them share all processors of this machine" : `${loops} on CPU 0, the generator on CPU 1, text of 64 bytes`;
console.log(`${RUNS === 1 ? "One run" : `${RUNS} runs`} each, in turns, ${SECONDS} s ${where}, all durable.\n`);
console.log(markdown(rows));
for (const note of new Set(notes)) console.log(`\n- ${note}`);
fs.writeFileSync("build/bench.html", writePage({ ...facts, took, rows, notes: [...new Set(notes)], openLoop }));
console.log(`\n${show(took / 60, 1)} minutes; as a page: build/bench.html`);
