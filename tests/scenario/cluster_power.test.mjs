// The power of all fails at one moment: the node, and all log servers. The files of these are what they had flushed, and by
// chance a part of what they had written besides. Then a node with an empty data directory has all that was acknowledged.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { withServers } from "./lib/cluster.mjs";
import { LONG } from "./lib/server.mjs";

const SECTOR = 512;
const SENDS = LONG ? 1000 : 150;
const ROUNDS = LONG ? 8 : 1;

// mulberry32
function randomFrom(seed) {
  let state = seed >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) % bound;
  };
}

// Any part of what was written and not flushed may be on the disk: whole files, and sectors of files.
function mixer(random) {
  const mixFile = (written, flushed) => {
    const all = fs.readFileSync(written);
    if (!fs.existsSync(flushed)) return random(2) === 0 && fs.writeFileSync(flushed, all, { mode: 0o600 });
    const kept = fs.readFileSync(flushed);
    if (all.equals(kept)) return undefined;
    const out = Buffer.alloc(random(2) === 0 ? all.length : kept.length);
    for (let at = 0; at < out.length; at += SECTOR) (random(2) === 0 ? all : kept).subarray(at, at + SECTOR).copy(out, at);
    return fs.writeFileSync(flushed, out);
  };
  return function mix(written, flushed) {
    for (const entry of fs.readdirSync(written, { withFileTypes: true })) {
      const [from, to] = [path.join(written, entry.name), path.join(flushed, entry.name)];
      if (entry.isFile()) mixFile(from, to);
      else if (entry.isDirectory()) {
        fs.mkdirSync(to, { recursive: true, mode: 0o700 });
        mix(from, to);
      }
    }
  };
}

// The primary comes back, too; or it is lost for good, and a standby is promoted by rule.
async function startAgain(postgres, isPrimaryLost) {
  const servers = isPrimaryLost ? postgres.standbys : Object.values(postgres.servers);
  for (const server of servers) assert.ok(await server.start(), server.log);
  if (isPrimaryLost) await postgres.failOver();
}

for (let round = 0; round < ROUNDS; round++) {
  const isPrimaryLost = round % 2 === 0;
  const seed = round % 4 > 1 ? (Date.now() + round) % 1000000 : 0; // 0: nothing but what was flushed
  const what = `${isPrimaryLost ? "the primary is lost with it" : "all come back"}${seed > 0 ? `, seed ${seed}` : ""}`;
  withServers(`the power of all fails, ${what}: nothing that was acknowledged is missing`, { keepsFlushed: true }, async (cluster) => {
    const { postgres } = cluster;
    const node = await cluster.startAt("node-1");
    const talkers = cluster.startTalkers([node]);
    await talkers.untilAcknowledged(SENDS);
    await postgres.losePower(seed > 0 ? mixer(randomFrom(seed)) : undefined);
    await node.kill();
    await startAgain(postgres, isPrimaryLost);
    const fresh = await cluster.start(cluster.newDir(), { node: "node-2" });
    talkers.moveTo([fresh]);
    await talkers.untilAcknowledged(20);
    await talkers.end();
    await talkers.check(fresh);
  });
}

withServers("standbys that do not flush are found out when the power fails and the primary is lost", { keepsFlushed: true }, async (cluster) => {
  const { postgres } = cluster;
  const node = await cluster.startAt("node-1");
  const talkers = cluster.startTalkers([node]);
  await talkers.untilAcknowledged(50);
  for (const standby of postgres.standbys) await standby.reload({ fsync: "off" });
  await talkers.untilAcknowledged(100);
  await postgres.losePower();
  await node.kill();
  await startAgain(postgres, true);
  await talkers.abandon();
  const findings = await talkers.findings(await cluster.start(cluster.newDir(), { node: "node-2" }));
  assert.ok(findings.some((finding) => finding.startsWith("lost: ")), findings.join("\n"));
});
