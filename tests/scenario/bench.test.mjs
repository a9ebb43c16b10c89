// `./dev bench`: its page, its table and its options. Nothing is measured here.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import path from "node:path";
import { test } from "node:test";

import { spread, steps, writePage } from "../../bench/bench_html.mjs";
import { besideJetStream } from "../../bench/bench_peers.mjs";
import { markdown, row } from "../../bench/bench_table.mjs";

const ROOT = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), "../..");

const page = (rows, openLoop) => writePage({ machine: "m", commit: "c", runs: 3, seconds: "3", took: 60, rows, notes: [], openLoop });

test("bench: labels that would overlap are moved apart, in their order, within the plot", () => {
  assert.deepEqual(spread([100, 50, 52], 13, 200), [100, 50, 63]);
  assert.deepEqual(spread([199, 198, 200], 13, 200), [187, 174, 200]);
  assert.deepEqual(spread([10, 40, 90], 13, 200), [10, 40, 90]);
});

test("bench: the end labels of the open loop do not overlap even if its lines end at one place", () => {
  const html = page([], { points: [{ at: 1, p50: 900, p99: 1000, max: 1001 }] });
  const places = [...html.matchAll(/<text x="816" y="([\d.]+)"[^>]*>(p50|p99|max)</g)].map((match) => Number(match[1])).sort((a, b) => a - b);
  assert.equal(places.length, 3);
  assert.ok(places[1] - places[0] >= 13 && places[2] - places[1] >= 13, places.join(" "));
});

test("bench: an interval without an answer breaks the line of the open loop", () => {
  const points = [[0, 1, 5], [1, 2, 0], [2, 3, 6]].map(([from, to, value]) => ({ from, to, value }));
  assert.equal(steps(points, (x) => x, (y) => y), "M0.0 5.0H1.0M2.0 6.0H3.0");
});

test("bench: only bars of figures that are compared have one scale, and each has the colour of its owner", () => {
  const html = page([
    row("g", "the ceiling: p50", "ms", [2], { of: "p50", who: "other" }),
    row("g", "chitchat: p50", "ms", [1], { of: "p50" }),
    row("g", "the ceiling: p99", "ms", [1000], { of: "p99", who: "other" }),
    row("g", "chitchat: p99", "ms", [500], { of: "p99" }),
    row("g", "generator: CPU", "ms", [500], { of: "p99", who: "generator" }),
    row("g", "alone", "ms", [5]),
  ]);
  const bars = [...html.matchAll(/<div class="bar (\w+)"><i style="width:([\d.]+)%">/g)].map((match) => `${match[1]} ${match[2]}`);
  assert.deepEqual(bars, ["other 100.00", "chitchat 50.00", "other 100.00", "chitchat 50.00", "generator 50.00"]);
});

test("bench: each figure of chitchat is followed by that of JetStream", () => {
  const report = { acknowledged: 10, seconds: 1, server_cpu_s: 1, ok: { p50: 1, p99: 2 }, delivery: { p99: 3 } };
  const rows = besideJetStream("10 x 64", [report], [report]);
  for (let i = 0; i < rows.length; i += 2) {
    assert.equal(rows[i].of, rows[i + 1].of);
    assert.deepEqual([rows[i].who, rows[i + 1].who], ["chitchat", "other"]);
  }
});

test("bench: the table has medians, ranges and verdicts", () => {
  const table = markdown([row("g", "fast", "/s", [3, 1, 2], { least: 2 }), row("g", "slow", "/s", [3, 1, 2], { least: 2.5 })]);
  assert.match(table, /\| fast +\| 2\.00 \(1\.00 to 3\.00\) +\| \/s +\| at least 2\.00 +\| yes +\|/);
  assert.match(table, /\| slow .* no +\|/);
});

const WRONG = [
  [["--peer"], {}, /--peer is no option; there are --peers, --hostile, --check, --cluster/],
  [["--check", "--peers"], {}, /--check and --peers exclude each other/],
  [["--cluster", "--check"], {}, /--cluster and --check exclude each other/],
  [["--cluster"], { BENCH_ONLY: "no such part" }, /matches none of: log alone, 1 slot/],
  [["--check"], { BENCH_ONLY: "no such check" }, /BENCH_ONLY=no such check matches none of: pings and pages/],
  [[], { BENCH_RUNS: "0" }, /BENCH_RUNS must be a whole number from 1 to 99/],
  [[], { BENCH_SECONDS: "x" }, /BENCH_SECONDS must be at least 0\.1, and is x/],
  [[], { BENCH_ONLY: "(" }, /BENCH_ONLY must be a regular expression/],
  [[], { BENCH_ONLY: "no such part" }, /BENCH_ONLY=no such part matches none of: 100 x 16/],
];
for (const [words, env, why] of WRONG)
  test(`bench: ${[...words, ...Object.entries(env).flat()].join(" ")} is refused, and nothing is run`, () => {
    const end = spawnSync("node", ["bench/bench.mjs", ...words], { cwd: ROOT, env: { ...process.env, ...env }, encoding: "utf8" });
    assert.equal(end.status, 2);
    assert.match(end.stderr, why);
    assert.equal(end.stdout, "");
  });
