// The log of a cluster: three PostgreSQL servers on this machine, a primary and two standbys, one of which must have a batch on its disk before it
// is acknowledged. First the log alone, by append_loop.c: no cluster is faster than that. Then a node, beside a server that is alone.
import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { PostgresCluster } from "../tests/scenario/lib/postgres.mjs";
import { BUILD, checkDisk, onServer, untilServing } from "./bench_run.mjs";
import { row } from "./bench_table.mjs";

const run = promisify(execFile);
const WHERE = "/var/tmp"; // the user postgres can reach it, unlike the directory of the project
const SLOTS = 8;
const KIB = 1024;
const NODE_SLOTS = 2;
const RECORDS = 1e6;
const LONGEST_FILL_S = 120;
const FAILOVER_MS_MOST = 3000; // of which 2,000 are the silence after which a standby takes over

// One part after the other has a cluster of its own: a log that has grown is no slower, but a disk that writes back is.
async function withCluster(body) {
  checkDisk(WHERE);
  const cluster = await PostgresCluster.start({ where: WHERE, segmentMib: 16, settings: { max_wal_size: "1GB", shared_buffers: "128MB" } });
  try {
    return await body(cluster);
  } finally {
    await cluster.end();
  }
}

async function appends(cluster, slots, bytes, seconds) {
  const before = cluster.cpuSeconds;
  const { stdout } = await run(`${BUILD}/append-loop`, ["bench", "standby", cluster.uri, String(slots), String(bytes), seconds]);
  return { ...JSON.parse(stdout), engine_cpu_s: cluster.cpuSeconds - before };
}

const appendPart = (slots, seconds, interleaved) => ({
  name: `log alone, ${slots} slot${slots > 1 ? "s" : ""}, one batch in flight on each`,
  run() {
    return withCluster(async (cluster) => {
      const sizes = [4, 32, 64];
      const sets = await interleaved(...sizes.map((kib) => () => appends(cluster, slots, kib * KIB, seconds)));
      return sizes.flatMap((kib, i) => {
        const add = (what, unit, of, how) => row(this.name, `${kib} KiB: ${what}`, unit, sets[i].map(of), how);
        return [
          add("batches acknowledged", "/s", (r) => r.batches / r.seconds, { of: "batches" }),
          add("bytes", "MB/s", (r) => (r.batches * kib * KIB) / r.seconds / 1e6, { of: "bytes" }),
          add("append to acknowledgement, p50", "ms", (r) => r.p50 / 1000, { of: "p50" }),
          add("append to acknowledgement, p99", "ms", (r) => r.p99 / 1000, { of: "p99" }),
          add("CPU of the three servers a batch", "us", (r) => (r.engine_cpu_s * 1e6) / r.batches, { of: "CPU" }),
          add("CPU of who appends a batch", "us", (r) => (r.cpu_s * 1e6) / r.batches, { of: "CPU", who: "generator" }),
        ];
      });
    });
  },
});

let made = 0;

// The options of a node of a new cluster.
async function newCluster(postgres) {
  const name = `bench_${++made}`;
  await run(`${BUILD}/chitchat`, ["cluster", "init", "--log", postgres.uri, "--name", name, "--slots", String(NODE_SLOTS)]);
  return ["--cluster", postgres.uri, "--cluster-name", name, "--node", "node-1"];
}

// The same load on a server alone and on a node, with as many threads and all processors.
const SHARED = { cpus: "0,1", loadCpu: "0,1" };
const onPlain = (args) => onServer(args, { ...SHARED, shards: NODE_SLOTS });
async function onNode(postgres, args) {
  const options = await newCluster(postgres);
  const before = postgres.cpuSeconds;
  const report = await onServer(args, { ...SHARED, shards: null, options });
  return { ...report, engine_cpu_s: postgres.cpuSeconds - before, options };
}

const timesPart = (seconds, interleaved) => ({
  name: "node: open loop, 1,000 sends a second, 100 connections",
  run() {
    return withCluster(async (postgres) => {
      const args = ["--connections", "100", "--rate", "1000", "--duration", seconds, "--warmup", "1"];
      const [plain, node] = await interleaved(() => onPlain(args), () => onNode(postgres, args));
      const of = (quantile) => (r) => r.ok[quantile] / 1000;
      return ["p50", "p99"].flatMap((quantile) => [
        row(this.name, `plain: send to ok, ${quantile}`, "ms", plain.map(of(quantile)), { of: quantile }),
        row(this.name, `node: send to ok, ${quantile}`, "ms", node.map(of(quantile)), { of: quantile }),
        row(this.name, `node: times the plain server's ${quantile}`, "", node.map((r, i) => of(quantile)(r) / of(quantile)(plain[i]))),
      ]);
    });
  },
});

const sendsPart = (seconds, interleaved) => ({
  name: "node: sends to random users, 100 x 16",
  run() {
    return withCluster(async (postgres) => {
      const args = ["--connections", "100", "--window", "16", "--duration", seconds, "--warmup", "1"];
      const [plain, node] = await interleaved(() => onPlain(args), () => onNode(postgres, args));
      const rate = (r) => r.acknowledged / r.seconds;
      const cost = (cpu) => (r) => (r[cpu] * 1e6) / r.acknowledged;
      return [
        row(this.name, "plain: sends acknowledged", "/s", plain.map(rate), { of: "sends" }),
        row(this.name, "node: sends acknowledged", "/s", node.map(rate), { of: "sends" }),
        row(this.name, "node: share of the plain server's", "", node.map((r, i) => rate(r) / rate(plain[i])), { least: 0.1 }),
        row(this.name, "plain: CPU a send", "us", plain.map(cost("server_cpu_s")), { of: "CPU" }),
        row(this.name, "node: CPU a send", "us", node.map(cost("server_cpu_s")), { of: "CPU" }),
        row(this.name, "CPU of the three log servers a send", "us", node.map(cost("engine_cpu_s")), { of: "CPU", who: "other" }),
      ];
    });
  },
});

// Enough sends for RECORDS, then the node starts with an empty data directory.
const recoveryPart = () => ({
  name: "node: start with an empty data directory",
  run() {
    return withCluster(async (postgres) => {
      const short = await onNode(postgres, ["--connections", "100", "--window", "64", "--duration", "2", "--warmup", "0.5"]);
      const seconds = Math.min(Math.ceil(RECORDS / (short.acknowledged / short.seconds)), LONGEST_FILL_S);
      const filled = await onNode(postgres, ["--connections", "100", "--window", "64", "--duration", String(seconds), "--warmup", "0.5"]);
      const took = await untilServing(filled.options);
      return [
        row(this.name, "messages in the log", "", [filled.acknowledged]),
        row(this.name, "until it serves", "s", [took]),
        row(this.name, "messages read from the log", "/s", [filled.acknowledged / took]),
      ];
    });
  },
});

const failoverPart = () => ({
  name: "pair of nodes: the owner fails, until the first ok of the other node",
  run() {
    return withCluster(async (postgres) => {
      const { failovers } = await import("./bench_failover.mjs"); // it needs the packages of the tests
      return Object.entries(await failovers(postgres)).map(([what, took]) => row(this.name, what, "ms", took, { most: FAILOVER_MS_MOST, of: "failover" }));
    });
  },
});

export const clusterParts = (seconds, interleaved) => [
  ...[1, SLOTS].map((slots) => appendPart(slots, seconds, interleaved)),
  timesPart(seconds, interleaved),
  sendsPart(seconds, interleaved),
  recoveryPart(),
  failoverPart(),
];
