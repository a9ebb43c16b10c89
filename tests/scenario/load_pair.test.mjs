// chitchat-load against a pair of nodes of a cluster: it follows the one that serves, kills it, goes on with the other, and at
// the end nothing that was acknowledged is missing, there twice, in another order, or with one user only.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { onClusters } from "./lib/cluster.mjs";
import { startLiar } from "./lib/liar.mjs";
import { freePort, listens, load, untilEnough } from "./lib/load.mjs";
import { BIN, LONG } from "./lib/server.mjs";

// Of the build of the simulator: a server with a fault (base/fault.h), which acknowledges before the log has.
const BUILD = path.dirname(BIN);
const FAULTY = path.join(BUILD, "../sim/chitchat-faulty");
const PLUG_IN = "chitchat-log-pg.so";
const ACK_BEFORE_FLUSH = 1;
const LOAD = ["--warmup", "0.1", "--connections", "8", "--window", "4"];

// chitchat-load starts both nodes, and kills the one that serves.
async function killed(cluster, kills, { program = `'${BIN}'`, more = [] } = {}) {
  const dir = cluster.newDir();
  const addresses = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const commands = addresses.flatMap((address, i) => {
    const words = ["serve", "--listen", address, "--advertise", `ws://${address}/ws`, "--data", `${dir}/${i}`, "--frame-rate", "0", "--send-rate", "0", ...cluster.options(`node-${i + 1}`)];
    return ["--kill-server", `${program} ${words.map((word) => `'${word}'`).join(" ")} 2>>'${dir}/${i}.log'`];
  });
  const times = ["--kill-every", "0.3", "--duration", String(1 + 3 * kills), "--json", `${dir}/report.json`];
  const end = await load([...commands, ...times, ...LOAD, ...more, ...addresses]);
  for (const address of addresses) assert.equal(await listens(address.split(":")[1]), false, "nothing of it is left");
  const textOf = (file) => (fs.existsSync(file) ? fs.readFileSync(file, "utf8") : "");
  const said = [end.stdout, end.stderr, ...[0, 1].map((i) => textOf(`${dir}/${i}.log`).slice(-1500))].join("\n");
  return { ...end, said, report: JSON.parse(textOf(`${dir}/report.json`) || "{}") };
}

// The server with the fault, beside the plug-in of the log, which its own build does not have.
function faulty(dir) {
  fs.copyFileSync(FAULTY, `${dir}/chitchat-faulty`);
  fs.copyFileSync(path.join(BUILD, PLUG_IN), `${dir}/${PLUG_IN}`);
  return `FAULT_NUMBER=${ACK_BEFORE_FLUSH} '${dir}/chitchat-faulty'`;
}

// Leaves out the first message of each connection.
function leaveOut(object, link) {
  if (object.op !== "msg" || link.hasLied) return undefined;
  link.hasLied = true;
  return [];
}

onClusters("load: a pair of nodes", {}, (withCluster) => {
  withCluster("the owner is killed, the other one goes on, and nothing is lost", async (cluster) => {
    const { status, said, report } = await untilEnough((factor) => killed(cluster, (LONG ? 12 : 1) * factor), (end) => end.status !== 0 || end.report.kills > 0);
    assert.equal(status, 0, said);
    assert.ok(report.kills > 0 && report.failovers.length === report.kills, said);
    assert.ok(report.failovers.every((seconds) => seconds > 0), "the time until the first ok of the other node");
  });

  withCluster("a node that acknowledges before the log has the batch is found out", async (cluster) => {
    const { status, said } = await untilEnough((factor) => killed(cluster, 2 * factor, { program: faulty(cluster.newDir()), more: ["--rate", "2000"] }), (end) => end.status === 1);
    assert.equal(status, 1, said);
    assert.match(said, /^BROKEN: (resuming|loss or duplicates|prev chain): /m);
  });

  withCluster("a new owner that leaves out a message is found out", async (cluster) => {
    const [first, second] = [await cluster.startAt("node-1"), await cluster.startAt("node-2", true)];
    const liars = [await startLiar(first.address.port, () => undefined), await startLiar(second.address.port, leaveOut)];
    try {
      const during = async (child) => {
        await new Promise((resolve) => child.stderr.on("data", (text) => /measure/.test(text) && resolve()));
        await first.kill();
      };
      const { status, stdout, stderr } = await load(["--duration", "4", "--progress", ...LOAD, ...liars.map(({ address }) => address)], during);
      assert.equal(status, 1, stdout + stderr);
      assert.match(stdout, /^BROKEN: (prev chain|loss or duplicates)/m);
      assert.doesNotMatch(stdout, /^BROKEN: closes without cause/m, "that connections end is no fault of a pair");
    } finally {
      liars.forEach((liar) => liar.close());
    }
  });
});
