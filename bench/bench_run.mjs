// The processes of a measurement: one server at a time on CPU 0, the generator on CPU 1, the data in a new directory on a real disk.
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { freePort } from "../tests/scenario/lib/port.mjs";

export const BUILD = path.resolve("build/release");
const SCRATCH = path.resolve("build");
const STOP_MS = 20000;
const LONGEST_START_MS = 300000; // of a server that reads a long log

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Without a disk every figure of a durable server would be false.
export function checkDisk(dir = SCRATCH) {
  const type = spawnSync("findmnt", ["-no", "FSTYPE", "-T", dir], { encoding: "utf8" }).stdout?.trim() || "an unknown file system";
  if (/tmpfs|ramfs/.test(type)) throw new Error(`${dir} is on ${type}, not on a disk: it must be on one`);
  return type;
}

// A directory in memory with room for a server's data; undefined if there is none.
export function memoryDir() {
  const dir = "/dev/shm";
  if (!fs.existsSync(dir)) return undefined;
  const { bavail, bsize } = fs.statfsSync(dir);
  return bavail * bsize >= 2 ** 30 ? dir : undefined;
}

// Returns a function that gives the share of the processors' time since then that the host gave to others.
export function stealWatch() {
  const read = () => fs.readFileSync("/proc/stat", "utf8").split("\n")[0].trim().split(/\s+/).slice(1, 9).map(Number);
  const before = read();
  return () => {
    const spent = read().map((value, i) => value - before[i]);
    return spent[7] / spent.reduce((sum, value) => sum + value, 0);
  };
}

function canConnect(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

// Runs `command` on `cpus` while `body(pid)` runs. Its output is in the error if it ends early or never listens; `atEnd` gets its output too.
async function withProcess(command, cpus, port, body, atEnd = () => {}, startMs = 10000) {
  const child = spawn("taskset", ["-c", cpus, ...command], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (said = (said + data).slice(-2000)));
  const ended = new Promise((resolve) => child.once("close", resolve));
  let result;
  try {
    for (let i = 0; !(await canConnect(port)); i++) {
      if (i * 50 === startMs || child.exitCode !== null) throw new Error(`${command.join(" ")} does not listen on port ${port}: ${said}`);
      await sleep(50);
    }
    result = await body(child.pid);
  } finally {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS); // a server that hangs does not act on SIGTERM
    await ended;
    clearTimeout(timer);
  }
  atEnd(said, result);
  return result;
}

export async function withScratch(body, where = SCRATCH) {
  const dir = fs.mkdtempSync(path.join(where, "bench-data-"));
  try {
    return await body(dir);
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

// What a program on `cpu` says, which must end well.
function outputOf(cpu, command) {
  return new Promise((resolve, reject) => {
    const child = spawn("taskset", ["-c", cpu, ...command], { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (said += data));
    child.once("error", reject);
    child.once("close", (status) => (status === 0 ? resolve(said) : reject(new Error(`${command.join(" ")}: status ${status}\n${said}`))));
  });
}

// The JSON report of a program that measures a server.
async function measure(program, args, dir, cpu) {
  const json = path.join(dir, "report.json");
  await outputOf(cpu, [`${BUILD}/${program}`, "--json", json, ...args]);
  return JSON.parse(fs.readFileSync(json, "utf8"));
}

// The generator's report. A broken promise is an error: a figure of a server that loses messages is worth nothing.
const load = (port, pid, dir, args, cpu = "1") => measure("chitchat-load", [...args, "--server-pid", String(pid), `127.0.0.1:${port}`], dir, cpu);

// The load has few users and few connections, which stand for many: a rate of each would measure nothing.
const NO_RATES = ["--frame-rate", "0", "--send-rate", "0", "--history-rate", "0"];

// The limits of a server with its defaults, and attackers at an address of their own.
const LIMITED = { server: ["--limit-loopback", "1"], attackers: ["--from", "127.0.0.2"] };
const UNLIMITED = { server: NO_RATES, attackers: [] };

// One attack on its own server. `isLimited`: with the default limits, else with none. `tls`: the server listens with TLS too, and the attackers connect there; the client is plain. `files`: the server's limit of open files; then the report gets `out_of_files`: how many checkpoints and other
// background jobs failed because of the limit, by the end of the server's log.
export const underAttack = (name, seconds, { shards = 1, options = [], files, tls = false, isLimited = false } = {}) =>
  withScratch(async (dir) => {
    const [port, tlsPort] = [await freePort(), await freePort()];
    const by = tls ? { server: (await secured(dir, tlsPort)).server, attackers: ["--tls", `127.0.0.1:${tlsPort}`] } : { server: [], attackers: [] };
    const limits = isLimited ? LIMITED : UNLIMITED;
    const command = [`${BUILD}/chitchat`, "serve", "--listen", `127.0.0.1:${port}`, "--data", `${dir}/d`, "--shards", String(shards), ...by.server, ...limits.server, ...options];
    if (files !== undefined) command.unshift("sh", "-c", `ulimit -n ${files}; exec "$@"`, "sh");
    const args = (pid) => ["--attack", name, "--seconds", seconds, ...by.attackers, ...limits.attackers, "--pid", String(pid), `127.0.0.1:${port}`];
    const countFailures = (said, { attacks }) => {
      if (files !== undefined) attacks[0].out_of_files = [...said.matchAll(/event=(\w+)_failed [^\n]*errno=24/g)].filter(([, what]) => what !== "accept").length;
    };
    const report = await withProcess(command, "0", port, (pid) => measure("hostile", args(pid), dir, "1"), countFailures);
    return report.attacks[0];
  });

// A certificate of a new key, P-256, that is its own issuer: the server's options, and the generator's.
async function secured(dir, port) {
  const [key, certificate] = [`${dir}/key.pem`, `${dir}/certificate.pem`];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key];
  const end = spawnSync("openssl", ["req", "-x509", ...kind, "-days", "1", "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate], { encoding: "utf8" });
  if (end.status !== 0) throw new Error(`openssl makes no certificate: ${end.stderr ?? end.error}`);
  return { server: ["--listen-tls", `127.0.0.1:${port}`, "--tls-cert", certificate, "--tls-key", key], load: ["--tls", "--tls-ca", certificate] };
}

// The options of a server that programs use, and of a generator that does as they do.
const programs = (port) => ({ server: ["--admin", `127.0.0.1:${port}`], load: ["--protocol", "http"] });

// `disk`: rules of tests/disk/inject.c for the server's files; `where`: the directory for its data and its report; `tls`: the generator connects
// by TLS; `data`: a data directory that is there already;
// `shards`: null leaves the option out; `http`: the generator posts to the server's admin address, as a program. The report gets `runs`: how many runs there were at the end.
export const onServer = (args, { shards = 1, cpus = "0", loadCpu = "1", options = [], disk = "", where, tls = false, data, http = false } = {}) =>
  withScratch(async (dir) => {
    const [port, otherPort] = [await freePort(), await freePort()];
    const by = tls ? await secured(dir, otherPort) : http ? programs(otherPort) : { server: [], load: [] };
    const command = [`${BUILD}/chitchat`, "serve", "--listen", `127.0.0.1:${port}`, "--data", data ?? `${dir}/d`, ...by.server, ...NO_RATES, ...options];
    if (shards !== null) command.push("--shards", String(shards));
    if (disk !== "") {
      fs.writeFileSync(`${dir}/disk`, `${disk}\n`);
      command.unshift("env", `LD_PRELOAD=${BUILD}/libinject.so`, `CHITCHAT_INJECT=${dir}/disk`);
    }
    const runsOf = (said, report) => (report.runs = Number(/ runs=(\d+)/.exec(said)?.[1] ?? 0));
    return withProcess(command, cpus, port, (pid) => load(tls || http ? otherPort : port, pid, dir, [...by.load, ...args], loadCpu), runsOf);
  }, where);

// The figures of bench_pace.mjs. `isInRuns`: what is marked is in a run alone, since the server was stopped after the fill.
export const atPace = (rate, seconds, { isInRuns = false } = {}) =>
  withScratch(async (dir) => {
    const serve = async (...steps) => {
      const port = await freePort();
      const command = [`${BUILD}/chitchat`, "serve", "--listen", `127.0.0.1:${port}`, "--data", `${dir}/d`, "--shards", "1", ...NO_RATES];
      return withProcess(command, "0", port, async (pid) => {
        let said;
        for (const step of steps) said = await outputOf("1", [process.execPath, "bench/bench_pace.mjs", String(port), String(pid), step, String(rate), String(seconds)]);
        return said;
      });
    };
    if (!isInRuns) return JSON.parse(await serve("fill", "turns"));
    await serve("fill");
    return JSON.parse(await serve("turns"));
  });

// Seconds from the start of a server with an empty data directory until it serves: a node of a cluster takes connections before.
export const untilServing = (options) =>
  withScratch(async (dir) => {
    const port = await freePort();
    const command = [`${BUILD}/chitchat`, "serve", "--listen", `127.0.0.1:${port}`, "--data", `${dir}/d`, ...options];
    const begun = process.hrtime.bigint();
    const serves = async () => {
      while (!(await fetch(`http://127.0.0.1:${port}/healthz`).then(({ ok }) => ok, () => false))) await new Promise((resolve) => setTimeout(resolve, 20));
      return Number(process.hrtime.bigint() - begun) / 1e9;
    };
    return withProcess(command, "0,1", port, serves, () => {}, LONGEST_START_MS);
  });

// A server on each of two processors, which share nothing but the machine: the sums of their sends and of their CPU.
export async function onTwoServers(args) {
  const reports = await Promise.all(["0", "1"].map((cpus) => onServer(args, { cpus, loadCpu: "0,1" })));
  const sum = (of) => reports.reduce((total, report) => total + of(report), 0);
  return { ...reports[0], acknowledged: sum((r) => r.acknowledged), server_cpu_s: sum((r) => r.server_cpu_s) };
}

export const onCeiling = (args) =>
  withScratch(async (dir) => {
    const port = await freePort();
    return withProcess([`${BUILD}/ceiling`, String(port)], "0", port, (pid) => load(port, pid, dir, args));
  });

// JetStream with its store in the scratch directory; `extra`: lines of its jetstream block.
export const onNats = (args, extra = "") =>
  withScratch(async (dir) => {
    const port = await freePort();
    fs.writeFileSync(`${dir}/nats.conf`, `listen: "127.0.0.1:${port}"\njetstream {\n  store_dir: "${dir}/js"\n  ${extra}\n}\n`);
    const command = ["env", "GOMAXPROCS=1", "nats-server", "-c", `${dir}/nats.conf`];
    return withProcess(command, "0", port, (pid) => load(port, pid, dir, ["--protocol", "nats", ...args]));
  });

// The figures of a small program, from its last line.
export const micro = (name) =>
  withScratch(async (dir) => {
    const cpus = name === "mailbox" ? "0,1" : "1";
    const end = spawnSync("taskset", ["-c", cpus, `${BUILD}/bench/micro_${name}`, dir], { encoding: "utf8" });
    if (end.status !== 0) throw new Error(`micro_${name}: ${end.stderr}`);
    return JSON.parse(end.stdout.trim().split("\n").at(-1));
  });
