// The log of a cluster: three PostgreSQL servers on this machine, a primary and two standbys, one of which must have a batch on its disk before it
// is acknowledged. First the log alone, by append_loop.c: no cluster is faster than that.
import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { PostgresCluster } from "../tests/scenario/lib/postgres.mjs";
import { BUILD, checkDisk } from "./bench_run.mjs";
import { row } from "./bench_table.mjs";

const run = promisify(execFile);
const WHERE = "/var/tmp"; // the user postgres can reach it, unlike the directory of the project
const SLOTS = 8;
const KIB = 1024;

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

export const clusterParts = (seconds, interleaved) => [1, SLOTS].map((slots) => appendPart(slots, seconds, interleaved));
