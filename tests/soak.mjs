// `./dev soak [MINUTES] [--only STEP,…]`: the long tests, in turns, with their results in one table. Each program ends with a line
// `name: key=number …`; the numbers are added up. Exit status 1 if any of them failed; their output is kept in build/soak. With
// --check it only looks at its options: `./dev soak` does that before it builds.
import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { readArguments } from "./arguments.mjs";

const { values, positionals } = readArguments("./dev soak", { options: { only: { type: "string" }, check: { type: "boolean" } }, allowPositionals: true });

function refuse(why) {
  console.error(`./dev soak: ${why}`);
  process.exit(2);
}

const minutes = Number(positionals[0] ?? 60);
if (!(minutes > 0)) refuse(`MINUTES must be a number above 0, and is "${positionals[0]}"`);
if (positionals.length > 1) refuse(`there is one number of minutes at most, and "${positionals[1]}" besides`);

const DIR = path.resolve("build/soak");
const FUZZ_TARGETS = fs.readdirSync("tests/fuzz").filter((name) => /^fuzz_.*\.c$/.test(name)).length;
const ROUND_MINUTES = 20; // so that a long soak runs each step several times

// The steps, and their shares of the time. A step without a time option takes as long as it needs.
const STEPS = [
  { name: "sim", share: 0.3, command: (s) => ["./dev", "sim", "--seconds", String(s)] },
  { name: "cluster", share: 0.02, command: (_, turn) => ["./dev", "sim", "--cluster", "--seeds", "2000", "--first", String(2000 * turn - 1999)] },
  { name: "crash", share: 0.3, command: (s) => ["./dev", "crash", "--seconds", String(s)] },
  { name: "power", share: 0.2, needs: "tests/power/power.mjs", command: (s) => ["./dev", "power", "--seconds", String(s)] },
  { name: "fuzz", share: 0.1, command: (s) => ["./dev", "fuzz", String(Math.max(1, Math.floor(s / FUZZ_TARGETS)))] },
  { name: "sanitizers", share: 0.1, command: () => ["./dev", "soak-sanitizers"] },
];

const only = values.only?.split(",") ?? STEPS.map((step) => step.name);
const unknown = only.find((name) => !STEPS.some((step) => step.name === name));
if (unknown !== undefined) refuse(`--only must be of ${STEPS.map((step) => step.name).join(", ")}, and is "${unknown}"`);
if (values.check) process.exit(0);

const sums = new Map(STEPS.map((step) => [step.name, { runs: 0, failed: 0, seconds: 0, numbers: {} }]));

// Runs a command until it ends, with its output in a file: { code, text }.
function run(command, file) {
  return new Promise((resolve) => {
    const out = fs.openSync(file, "a");
    const child = spawn(command[0], command.slice(1), { stdio: ["ignore", out, out] });
    const end = (code) => {
      fs.closeSync(out);
      resolve({ code, text: fs.readFileSync(file, "utf8") });
    };
    child.on("error", () => end(null));
    child.on("close", end);
  });
}

// The last line `name: key=value …` of each name.
function totalsIn(text) {
  const totals = new Map();
  for (const line of text.split("\n")) {
    const match = /^(\w+): (?=.*=)(.*)$/.exec(line);
    if (match) totals.set(match[1], Object.fromEntries([...match[2].matchAll(/(\w+)=(\d+)(?=\s|$)/g)].map(([, key, value]) => [key, Number(value)])));
  }
  return totals;
}

async function runStep(step, seconds, turn) {
  const sum = sums.get(step.name);
  const file = path.join(DIR, `${step.name}-${turn}.log`);
  fs.rmSync(file, { force: true });
  const begun = Date.now();
  const { code, text } = await run(step.command(seconds, turn), file);
  const took = Math.round((Date.now() - begun) / 1000);
  const totals = totalsIn(text).get(step.name) ?? {};
  const isGood = code === 0 && (totals.failed ?? 0) === 0;
  sum.runs++;
  sum.failed += !isGood;
  sum.seconds += took;
  for (const [key, value] of Object.entries(totals)) sum.numbers[key] = (sum.numbers[key] ?? 0) + value;
  console.log(`${step.name}: ${isGood ? "good" : `FAILED, see ${path.relative(".", file)}`}, ${took} s`);
  if (!isGood) console.log(text.trimEnd().split("\n").slice(-12).join("\n"));
}

// -- the table --

const COLUMNS = ["rounds", "kills", "cuts", "images", "seeds", "events", "crashes", "acknowledged", "lost", "duplicated", "reordered", "one_sided"];

function table() {
  const rows = [["", "runs", "failed", "minutes", ...COLUMNS]];
  for (const [name, sum] of sums) {
    if (sum.runs === 0) continue;
    rows.push([name, sum.runs, sum.failed, (sum.seconds / 60).toFixed(1), ...COLUMNS.map((key) => sum.numbers[key] ?? "-")].map(String));
  }
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) => row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))).join("  ")).join("\n");
}

fs.mkdirSync(DIR, { recursive: true });
const steps = STEPS.filter((step) => only.includes(step.name) && (!step.needs || fs.existsSync(step.needs)));
const shares = steps.reduce((sum, step) => sum + step.share, 0);
const turns = Math.max(1, Math.round(minutes / ROUND_MINUTES));
for (let turn = 1; turn <= turns; turn++) {
  console.log(`-- turn ${turn} of ${turns}`);
  for (const step of steps) await runStep(step, Math.max(1, Math.round(((minutes * 60) / turns) * (step.share / shares))), turn);
}
const failed = [...sums.values()].reduce((sum, { failed }) => sum + failed, 0);
console.log(`\n${table()}\n\n${failed === 0 ? "all promises kept" : `${failed} FAILED`}; output in build/soak`);
process.exit(failed === 0 ? 0 : 1);
