// Power cuts on the real I/O path: runs the real server under the recorder, has chitchat-power cut the traces and check the
// images, starts the real server on some of the images, records that too, and cuts it again.
//
//   node tests/power/power.mjs [--seconds N | --runs N] [--images N] [--starts N] [--seed S] [--jobs N] [--only NAME,...] [--faults]
//
// The seed decides traffic, cuts and images, but not the timing of the machine. So a failing image is kept with its traces,
// and the command that is printed repeats the failure exactly. A run is one seed with each of the scenarios; --images bounds
// the images of a scenario (default 900); the real server starts on --starts of them (default 3). The last line is the sum; exit status 1 if an image failed the check, or, with
// --faults, if a fault was not noticed. --only names scenarios (first, rounds, lives, segments) or faults.
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { readArguments } from "../arguments.mjs";
import { fileURLToPath } from "node:url";

const TOP = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const BUILD = path.join(TOP, process.env.CHITCHAT_BUILD ?? "build/release");
process.env.CHITCHAT_BIN ??= path.join(BUILD, "chitchat");
const { Server, killedAfter, sleep } = await import("../scenario/lib/server.mjs");
const { Chance, Journal, Traffic, checkClaims } = await import("./traffic.mjs");

const RECORDER = path.join(BUILD, "libchitchat-record.so");
const CUTTER = path.join(BUILD, "chitchat-power");
const OPTIONS = ["--memtable-bytes", "1M", "--checkpoint-s", "1", "--wal-segment-bytes", "4M", "--admin", "127.0.0.1:0"];
const WITHOUT_CHECKPOINTS = ["--memtable-bytes", "1M", "--checkpoint-s", "3600", "--wal-segment-bytes", "4M", "--admin", "127.0.0.1:0"];
const VERDICTS = ["undone", "lost", "duplicated", "reordered", "one_sided", "refused", "invented", "died"];
const FAULTS = ["log-write-lost", "no-file-sync", "no-dir-sync", "meta-not-dsync"];

const { values: given } = readArguments("power", {
  options: {
    seconds: { type: "string" },
    runs: { type: "string" },
    images: { type: "string", default: "900" },
    starts: { type: "string", default: "3" },
    seed: { type: "string", default: String(1 + (Date.now() % 1000000)) },
    jobs: { type: "string", default: "2" },
    only: { type: "string" },
    faults: { type: "boolean", default: false },
  },
});
for (const name of ["seconds", "runs", "images", "starts", "seed", "jobs"])
  if (given[name] !== undefined && !/^[1-9]\d*$/.test(given[name])) {
    console.error(`power: --${name} ${given[name]}: must be a whole number, at least 1`);
    process.exit(2);
  }

// Images are small and many: in memory where there is room.
function workRoot() {
  const memory = "/dev/shm";
  try {
    const { bavail, bsize } = fs.statfsSync(memory);
    fs.accessSync(memory, fs.constants.W_OK);
    if (bavail * bsize > 2 ** 31) return memory;
  } catch {}
  return os.tmpdir();
}

// -- one recorded data directory --

class Recording {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), "power-run-")); // the root that is recorded, traces and journal
  root = path.join(this.dir, "root");
  traces = [];
  claims; // a file of claims that stand from the beginning
  journal;

  constructor(journal) {
    this.journal = journal;
    fs.mkdirSync(this.root);
  }

  get data() {
    return path.join(this.root, "data");
  }

  #environment() {
    const trace = path.join(this.dir, `trace-${this.traces.length}`);
    this.traces.push(trace);
    return { LD_PRELOAD: RECORDER, CHITCHAT_RECORD_ROOT: this.root, CHITCHAT_RECORD_TRACE: trace };
  }

  start(recorded = true, options = OPTIONS) {
    return Server.start({ data: this.data, options, env: recorded ? this.#environment() : {} });
  }

  // Records the files as they are now, so that the trace is compared with them.
  finish() {
    const env = { ...process.env, ...this.#environment() };
    const { status, stderr } = spawnSync("true", [], { env, encoding: "utf8" });
    if (status !== 0) throw new Error(`the recorder: ${stderr}`);
    this.journal.save(path.join(this.dir, "journal"));
  }

  remove() {
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}

function cutterArguments(recording, work, extra) {
  const args = ["--journal", path.join(recording.dir, "journal"), "--work", work, "--jobs", given.jobs];
  if (recording.claims) args.push("--claims", recording.claims);
  return [...args, ...extra.map(String), ...recording.traces];
}

function workDir() {
  return path.join(workRoot(), `ccp-${process.pid}-${Math.floor(Math.random() * 1e6)}`);
}

// The sum that chitchat-power prints. Failing images, traces and journal are kept.
async function cut(recording, extra) {
  const work = workDir();
  const args = cutterArguments(recording, work, extra);
  const again = `${CUTTER} ${cutterArguments(recording, `${work}-again`, extra).join(" ")}`;
  const child = spawn(CUTTER, ["--again", again, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (piece) => (text += piece));
  const code = await new Promise((resolve) => child.on("close", resolve));
  const lines = text.trimEnd().split("\n");
  if (code !== 0 && code !== 1) throw new Error(`chitchat-power ended with ${code}: ${again}\n${text}`);
  return { sum: JSON.parse(lines.pop()), complaints: lines, work };
}

// -- scenarios: each makes a recording --

const users = (count) => Array.from({ length: count }, (_, index) => `user-${index}`);

// From nothing to a server with a few messages, that is stopped.
async function firstStart(chance) {
  const recording = new Recording(new Journal(users(5)));
  const server = await recording.start();
  const traffic = new Traffic(server, recording.journal, chance);
  await traffic.run({ sends: 60, window: 3, erases: 20, bytes: () => chance.from(8, 400) });
  traffic.end();
  await server.stop();
  recording.finish();
  return recording;
}

// So much text that rounds follow each other: checkpoints, merges, segments recycled.
async function rounds(chance) {
  const recording = new Recording(new Journal(users(8)));
  const server = await recording.start();
  const traffic = new Traffic(server, recording.journal, chance);
  await traffic.run({ sends: 900, window: 4, erases: 60, bytes: () => (chance.hits(2) ? chance.from(8, 300) : chance.from(6000, 16384)) });
  traffic.end();
  await server.stop();
  recording.finish();
  return recording;
}

// Killed under load and started again: what the next life reads may be in the page cache only.
async function lives(chance) {
  const recording = new Recording(new Journal(users(6)));
  for (let life = 0; life < 4; life++) {
    const server = await recording.start();
    const traffic = new Traffic(server, recording.journal, chance);
    const running = traffic.run({ sends: 400, window: 6, erases: 60, bytes: () => (chance.hits(6) ? 12000 : chance.from(8, 200)), resend: true });
    await sleep(chance.from(20, 300));
    if (life < 3) await server.kill();
    await running;
    traffic.end();
    if (life === 3) await server.stop();
    await sleep(50); // the writes that the killed process had in flight are done
  }
  recording.finish();
  return recording;
}

// So many lives without a checkpoint (SEALED_CHECKPOINT of recovery.c) that the next start writes all their segments to runs: that
// start is recorded.
async function manySegments(chance) {
  const recording = new Recording(new Journal(users(6)));
  for (let life = 0; life < 64; life++) {
    const server = await recording.start(false, WITHOUT_CHECKPOINTS);
    const traffic = new Traffic(server, recording.journal, chance);
    await traffic.run({ sends: 12, window: 2, erases: 60, bytes: () => chance.from(8, 200) });
    await server.kill();
    traffic.end();
  }
  recording.claims = path.join(recording.dir, "claims");
  recording.journal.saveClaims(recording.claims);
  const server = await recording.start();
  await server.stop();
  recording.finish();
  return recording;
}

// Starts the real server on an image of `source`, reads every timeline over sockets, sends a little more, and stops or kills
// the server. Returns the recording of that, with the claims from before the cut.
async function onImage(source, chance, cuts) {
  const recording = new Recording(source.journal.copy());
  const at = chance.from(1, cuts);
  const extra = ["--cut", at, "--image", chance.from(0, 1000000), "--save", path.join(recording.dir, "image")];
  const { work } = await cut(source, extra);
  fs.rmSync(work, { recursive: true, force: true });
  fs.cpSync(path.join(recording.dir, "image"), recording.root, { recursive: true });
  recording.claims = path.join(recording.dir, "image.claims");
  if (chance.hits(3) && fs.existsSync(recording.data)) killedAfter(chance.from(2, 40), recording.data, OPTIONS);
  const server = await recording.start();
  await checkClaims(server, recording.journal, recording.claims);
  const traffic = new Traffic(server, recording.journal, chance);
  await traffic.run({ sends: 20, window: 2, erases: 10, bytes: () => chance.from(8, 300) });
  if (chance.hits(2)) await server.stop();
  else await server.kill();
  traffic.end();
  recording.finish();
  return recording;
}

const SCENARIOS = { first: firstStart, rounds, lives, segments: manySegments };

// -- runs --

class Sum {
  runs = 0;
  seeds = [];
  fields = {};
  failed = [];

  add(sum) {
    for (const [name, value] of Object.entries(sum)) this.fields[name] = (this.fields[name] ?? 0) + value;
  }

  get bad() {
    return VERDICTS.reduce((count, name) => count + (this.fields[name] ?? 0), 0) + this.failed.length;
  }

  toString() {
    const at = (name) => this.fields[name] ?? 0;
    const shown = ["cuts", "images", "acknowledged", "erased"].map((name) => `${name}=${at(name)}`);
    const verdicts = VERDICTS.map((name) => `${name}=${at(name)}`);
    const first = this.seeds[0], last = this.seeds.at(-1);
    return `power: runs=${this.runs} ${shown.join(" ")} ${verdicts.join(" ")} seeds=${first === last ? first : `${first}-${last}`}`;
  }
}

async function check(name, recording, sum, seed, images) {
  const extra = ["--seed", seed, "--images", Math.ceil(images)];
  const { sum: one, complaints, work } = await cut(recording, extra);
  const bad = VERDICTS.filter((verdict) => one[verdict] > 0).map((verdict) => ` ${verdict}=${one[verdict]}`).join("");
  console.log(
    `   seed ${seed} ${name}: cuts=${one.cuts} of ${one.cuts_all} images=${one.images} acknowledged=${one.acknowledged} erased=${one.erased} ` +
      `writes kept/dropped/torn=${one.writes_kept}/${one.writes_dropped}/${one.writes_torn} ` +
      `names kept/dropped=${one.names_kept}/${one.names_dropped}${bad}`,
  );
  sum.add(one);
  if (!bad) return one;
  console.log(complaints.join("\n"));
  console.log(`   kept: ${recording.dir} ${work}`);
  recording.isKept = true;
  return one;
}

async function takeImages(source, sum, seed, chance, cuts, isTimeUp) {
  for (let image = 0; image < Number(given.starts) && (image === 0 || !isTimeUp()); image++) {
    let recording;
    try {
      recording = await onImage(source, chance, cuts);
    } catch (error) {
      source.isKept = true;
      sum.failed.push(error);
      console.log(`   seed ${seed}: the real server on an image of ${source.dir}: ${error.message}`);
      return;
    }
    sum.add({ acknowledged: 0 });
    await check("recovery", recording, sum, seed, given.images / 3);
    if (!recording.isKept) recording.remove();
  }
}

async function run(seed, sum, isTimeUp) {
  const names = given.only?.split(",") ?? Object.keys(SCENARIOS);
  for (const name of names) {
    if (isTimeUp() && sum.runs > 0) break;
    const chance = new Chance(seed * 1000 + name.length);
    const recording = await SCENARIOS[name](chance);
    const one = await check(name, recording, sum, seed, given.images);
    await takeImages(recording, sum, seed, chance, one.cuts_all, isTimeUp);
    if (!recording.isKept) recording.remove();
  }
}

async function runAll() {
  const sum = new Sum();
  const end = Date.now() + 1000 * (given.seconds ?? Infinity);
  const isTimeUp = () => Date.now() > end;
  const count = given.seconds ? Infinity : Number(given.runs ?? 1);
  for (let seed = Number(given.seed); sum.runs < count && (sum.runs === 0 || !isTimeUp()) && sum.bad === 0; seed++) {
    await run(seed, sum, isTimeUp);
    sum.runs++;
    sum.seeds.push(seed);
  }
  console.log(String(sum));
  return sum.bad > 0 ? 1 : 0;
}

// The seed chooses the cuts, and the write that is lost. No image may show a fault: the messages of that write may be in a run already, or few
// cuts lie where the fault matters. Then others are chosen. A proof that sees nothing sees none of them.
const TRIES = 8;
// What must be among the findings: such a disk loses whole segments, and with them erasures that were answered.
const FINDINGS = { "no-dir-sync": "undone" };

// Each fault of the disk must be noticed in the images of one run, of which no more are made than that needs.
async function runFaults() {
  const recording = await rounds(new Chance(Number(given.seed)));
  let unnoticed = 0;
  const faults = given.only?.split(",") ?? FAULTS;
  for (const fault of faults) {
    let found = [];
    for (let i = 0; i < TRIES && found.length === 0; i++) {
      const extra = ["--fault", fault, "--seed", String(Number(given.seed) + i), "--images", given.images, "--until", FINDINGS[fault] ?? "any"];
      const { sum, complaints, work } = await cut(recording, extra);
      fs.rmSync(work, { recursive: true, force: true });
      found = VERDICTS.filter((name) => sum[name] > 0).map((name) => `${name}=${sum[name]}`);
      console.log(`   fault ${fault}: images=${sum.images} ${found.join(" ") || "not noticed"}`);
      if (found.length > 0) console.log(`      ${complaints[0]}`);
      if (FINDINGS[fault] && !sum[FINDINGS[fault]]) found = [];
    }
    if (found.length === 0) unnoticed++;
  }
  recording.remove();
  console.log(`power: faults=${faults.length} noticed=${faults.length - unnoticed}`);
  return unnoticed > 0 ? 1 : 0;
}

process.exit(given.faults ? await runFaults() : await runAll());
