// `./dev bench --hostile`: each attack of bench/hostile.c on its own server, and its effect on another client.
import { underAttack } from "./bench_run.mjs";
import { row } from "./bench_table.mjs";

// With this 12,000 entries stay in memory.
const IN_MEMORY = ["--checkpoint-s", "3600"];

// What the server of each attack needs; without options, one shard.
const ATTACKS = {
  "fan-out-1000": {},
  "fan-out-100": {},
  "fan-out-30": {},
  "history-with": { options: IN_MEMORY },
  unanswered: { options: IN_MEMORY },
  "pages-deaf": { options: IN_MEMORY },
  "key-windows": {},
  pongs: {},
  "pongs-1": {},
  continuations: {},
  pings: {},
  "pings-125": {},
  "pings-deaf": {},
  "bad-frames": { shards: 2 },
  "bad-frames-700": { shards: 2 },
  "full-refusals": { options: ["--checkpoint-s", "1"], files: 1500 },
  "partial-heads": {},
  "slow-heads": {},
  silent: {},
  connects: {},
  "half-closes": {},
  "half-closes-deaf": {},
  garbage: {},
  "garbage-frames": {},
  "huge-lengths": {},
  "long-frames": {},
  "bad-requests": {},
  "tiny-frames": {},
  "slow-sends": {},
  "login-storm": {},
  replay: { options: IN_MEMORY },
  "tls-hellos": { tls: true },
  "tls-half-open": { tls: true },
  "tls-slow-hellos": { tls: true },
};

const MIB = 2 ** 20;

const HUNG_MS = 30000;

// If the client was not served to the end, its p99 means little: then at least the time after which the program says that the server hangs.
function p99(report, when) {
  const isServed = report.verdict !== "hung" && report.verdict !== "lost";
  return Math.max(report[when].send.p99 / 1000, isServed ? 0 : HUNG_MS);
}

const msAlone = (r) => r.alone.send.p99 / 1000;

// What one attacker can do to a server with the defaults. Twice the p99 alone is the target of each attack.
function limitedRows(group, reports) {
  return [
    row(group, "with the default limits, the attackers at one address: the client alone", "ms", reports.map(msAlone), { of: "p99", who: "other" }),
    row(group, "under the attack, then", "ms", reports.map((r) => p99(r, "under")), { of: "p99" }),
    row(group, "times that alone", "", reports.map((r) => p99(r, "under") / msAlone(r)), { most: 2 }),
    row(group, "its `ping`, then", "ms", reports.map((r) => r.under.ping.p99 / 1000)),
    row(group, `the attack, then: ${reports[0].attack.unit}`, "/s", reports.map((r) => r.attack.per_s), { who: "generator" }),
  ];
}

function rowsOf(group, reports) {
  const limit = Math.min(...reports.map((report) => report.limit_us)) / 1000;
  return [
    row(group, "another client: send to ok, p99, alone", "ms", reports.map(msAlone), { of: "p99", who: "other" }),
    row(group, "under the attack", "ms", reports.map((r) => p99(r, "under")), { of: "p99", most: limit }),
    row(group, "its `ping`, p99, under the attack", "ms", reports.map((r) => r.under.ping.p99 / 1000)),
    row(group, "from a second after the attack on", "ms", reports.map((r) => p99(r, "after"))),
    row(group, `the attack: ${reports[0].attack.unit}`, "/s", reports.map((r) => r.attack.per_s), { who: "generator" }),
    row(group, "RSS of the server at its peak", "MiB", reports.map((r) => r.attack.rss_max / MIB)),
    ...("out_of_files" in reports[0] ? [row(group, "background work that failed for lack of open files", "", reports.map((r) => r.out_of_files), { most: 0 })] : []),
  ];
}

// As parts of bench.mjs. `interleaved(...ways)`: the reports of all runs of each.
export const hostileParts = (seconds, interleaved) =>
  Object.entries(ATTACKS).map(([name, how]) => {
    const group = `hostile: ${name}`;
    const run = async () => {
      const [free, limited] = await interleaved(() => underAttack(name, seconds, how), () => underAttack(name, seconds, { ...how, isLimited: true }));
      return [...rowsOf(group, free), ...limitedRows(group, limited)];
    };
    return { name: group, run };
  });
