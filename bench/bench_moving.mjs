// What an operator waits for: reshard, dump, import, and backups of a store of 200,000 messages; and what a backup copies that has an earlier
// one beside it.
import { spawnSync } from "node:child_process";
import fs from "node:fs";

import { BUILD, memoryDir, onServer, withScratch } from "./bench_run.mjs";
import { row } from "./bench_table.mjs";

const MESSAGES = 200000;
const NEW = MESSAGES / 100;

// Seconds, and what it printed.
function timed(program, args, stdout) {
  const out = stdout === undefined ? "pipe" : fs.openSync(stdout, "w");
  const begun = process.hrtime.bigint();
  const end = spawnSync("taskset", ["-c", "0", `${BUILD}/${program}`, ...args], { encoding: "utf8", stdio: ["ignore", out, "pipe"] });
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
  if (stdout !== undefined) fs.closeSync(out);
  if (end.status !== 0) throw new Error(`${program} ${args.join(" ")}: status ${end.status}\n${end.stderr}`);
  return { seconds, said: end.stdout ?? "" };
}

const copied = ({ said }) => Number(/(\d+) bytes copied/.exec(said)[1]);

// On the same file system a backup shares its files with the data, by links: `other` is on another one.
const oneRun = () => withScratch((dir) => withScratch((other) => measure(dir, other), memoryDir()));

async function measure(dir, other) {
  const at = (name) => `${dir}/${name}`;
  const backup = () => timed("chitchat", ["backup", "--data", at("d"), "--to", `${other}/backups`]);
  timed("wall-fill", [at("d"), String(MESSAGES), "10000"]);
  const first = backup();
  const again = backup();
  await onServer(["--connections", "20", "--rate", String(NEW), "--duration", "1", "--warmup", "0"], { data: at("d") });
  const grown = backup();
  const reshard = timed("chitchat", ["reshard", "--from", at("d"), "--to", at("two"), "--shards", "2"]);
  const dump = timed("chitchat", ["dump", "--data", at("d")], at("dump"));
  const imported = timed("chitchat", ["import", "--from", at("dump"), "--data", at("three"), "--shards", "2"]);
  return { entries: Number(/(\d+) entries/.exec(imported.said)[1]), first, again, grown, reshard, dump, imported };
}

export const movingParts = (interleaved) => [
  {
    name: "moving: 400,000 entries",
    async run() {
      const [reports] = await interleaved(oneRun);
      const perSecond = (step) => reports.map((r) => r.entries / r[step].seconds);
      const bytes = (step) => reports.map((r) => copied(r[step]));
      return [
        row(this.name, "reshard from one shard to two: entries", "/s", perSecond("reshard")),
        row(this.name, "dump: entries", "/s", perSecond("dump")),
        row(this.name, "import to two shards: entries", "/s", perSecond("imported")),
        row(this.name, "a first backup copies", "bytes", bytes("first"), { of: "bytes" }),
        row(this.name, "a second without news copies", "bytes", bytes("again"), { of: "bytes" }),
        row(this.name, "one with 1 % new messages copies", "bytes", bytes("grown"), { of: "bytes" }),
        row(this.name, "a first backup takes", "s", reports.map((r) => r.first.seconds), { of: "backup" }),
        row(this.name, "one with 1 % new messages takes", "s", reports.map((r) => r.grown.seconds), { of: "backup" }),
      ];
    },
  },
];
