// `./dev bench`: the server beside the ceiling (bench/ceiling.c), run in turns, each three times; medians and ranges. One shard on
// CPU 0, the generator on CPU 1, everything durable. The data of a run lies in a new directory below --dir (default: here).
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

const BUILD = path.resolve("build/release");
const RUNS = Number(process.env.BENCH_RUNS ?? 3);
const SECONDS = process.env.BENCH_SECONDS ?? "5";
const PORT = { server: 9201, ceiling: 9202 };

const PAIRS = [
  ["100 x 16", ["--connections", "100", "--window", "16"]],
  ["10 x 64", ["--connections", "10", "--window", "64"]],
  ["1,000 x 1", ["--connections", "1000", "--window", "1"]],
  ["100 x 1", ["--connections", "100", "--window", "1"]],
];
const ALONE = [
  ["open loop, 20 k/s, 1,000 connections", ["--connections", "1000", "--rate", "20000"]],
  ["history, pages of 50, from memory", ["--scenario", "history", "--connections", "50", "--fill", "1000"]],
  ["replay, 100 users of 20,000 entries", ["--scenario", "replay", "--connections", "100", "--fill", "10000"]],
  ["storm of 10,000", ["--scenario", "storm", "--connections", "10000"]],
  ["fan-out to 1,000 connections", ["--scenario", "fanout", "--users", "1", "--connections", "1001", "--window", "4"]],
  ["idle, 15,000 connections", ["--scenario", "idle", "--connections", "15000"]],
];

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const pinned = (cpu) => ["-c", String(cpu)];

async function untilListening(port) {
  for (let i = 0; i < 200; i++) {
    const answer = await fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(500) }).catch((error) => error);
    if (answer.status || /reset|closed|Parse|abort/i.test(String(answer.cause ?? answer))) return;
    await sleep(50);
  }
  throw new Error(`nothing listens on port ${port}`);
}

async function withProcess(command, port, run) {
  const child = spawn("taskset", [...pinned(0), ...command], { stdio: ["ignore", "ignore", "ignore"] });
  const ended = new Promise((resolve) => child.once("close", resolve));
  try {
    await sleep(200);
    if (port === PORT.server) await untilListening(port);
    return run(child.pid);
  } finally {
    child.kill("SIGTERM");
    await ended;
  }
}

function load(port, pid, args) {
  const json = path.resolve(`build/bench-${process.pid}.json`);
  const all = [...args, "--duration", SECONDS, "--warmup", "1", "--server-pid", String(pid), "--json", json, `127.0.0.1:${port}`];
  const end = spawnSync("taskset", [...pinned(1), `${BUILD}/chitchat-load`, ...all], { encoding: "utf8" });
  if (end.status !== 0) throw new Error(`${args.join(" ")}: ${end.stderr}${end.stdout}`);
  const report = JSON.parse(fs.readFileSync(json, "utf8"));
  fs.rmSync(json);
  return report;
}

async function onServer(args) {
  const data = fs.mkdtempSync(path.resolve("build/bench-data-"));
  try {
    const command = [`${BUILD}/chitchat`, "serve", "--listen", `127.0.0.1:${PORT.server}`, "--data", `${data}/d`, "--shards", "1"];
    return await withProcess(command, PORT.server, (pid) => load(PORT.server, pid, args));
  } finally {
    fs.rmSync(data, { recursive: true, force: true });
  }
}

const onCeiling = (args) => withProcess([`${BUILD}/ceiling`, String(PORT.ceiling)], PORT.ceiling, (pid) => load(PORT.ceiling, pid, args));

function spread(values, digits = 0) {
  const sorted = [...values].sort((a, b) => a - b);
  const show = (value) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${show(sorted[sorted.length >> 1])} (${show(sorted[0])} to ${show(sorted.at(-1))})`;
}

const rate = (report) => report.acknowledged / report.seconds;
const cost = (report) => (report.server_cpu_s * 1e6) / report.acknowledged;

console.log(`${RUNS} runs each, in turns, ${SECONDS} s; medians and ranges. One shard, 64 bytes of text, acknowledged means durable.\n`);
console.log("| connections x window | server, sends/s | share of the ceiling's | CPU us a send | times the ceiling's | ok p99, ms |");
console.log("|---|---|---|---|---|---|");
for (const [name, args] of PAIRS) {
  const pairs = [];
  for (let i = 0; i < RUNS; i++) pairs.push({ ceiling: await onCeiling(args), server: await onServer(args) });
  const column = (value, digits) => spread(pairs.map(value), digits);
  const cells = [
    column((p) => rate(p.server)),
    column((p) => rate(p.server) / rate(p.ceiling), 2),
    column((p) => cost(p.server), 2),
    column((p) => cost(p.server) / cost(p.ceiling), 2),
    column((p) => p.server.ok.p99 / 1000, 1),
  ];
  console.log(`| ${name} | ${cells.join(" | ")} |`);
}
console.log("");
for (const [name, args] of ALONE) {
  const reports = [];
  for (let i = 0; i < RUNS; i++) reports.push(await onServer(args));
  const facts = [];
  const fact = (text, value, digits) => facts.push(`${text} ${spread(reports.map(value), digits)}`);
  if (args.includes("--rate")) {
    fact("send to ok ms: p50", (r) => r.ok.p50 / 1000, 2);
    fact("p99", (r) => r.ok.p99 / 1000, 2);
    fact("send to delivery p99", (r) => r.delivery.p99 / 1000, 2);
  } else if (args.includes("history")) {
    fact("pages/s", (r) => r.pages / r.seconds);
    fact("server CPU us a page", (r) => (r.server_cpu_s * 1e6) / r.pages, 1);
  } else if (args.includes("idle")) {
    fact("RSS bytes a connection", (r) => (r.server_rss - r.server_rss_idle) / r.connections);
  } else if (args.includes("storm")) {
    fact("all live again after s", (r) => r.storms[0], 2);
  } else if (args.includes("replay")) {
    fact("entries/s", (r) => r.replayed / r.seconds);
    fact("server CPU us an entry", (r) => (r.server_cpu_s * 1e6) / r.replayed, 2);
  } else {
    fact("frames/s", (r) => r.delivered / r.seconds);
    fact("server CPU us a frame", (r) => (r.server_cpu_s * 1e6) / r.delivered, 2);
  }
  console.log(`- ${name}: ${facts.join("; ")}`);
}
