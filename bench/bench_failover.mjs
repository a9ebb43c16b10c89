// A pair of nodes of a cluster, whose owner fails again and again: how long until a client has an `ok` of the other one.
import { Client } from "../tests/scenario/lib/client.mjs";
import { Cluster, countOf, untilCount } from "../tests/scenario/lib/cluster.mjs";
import { sleep } from "../tests/scenario/lib/server.mjs";

const TIMES = 5; // of each kind
const TRY_MS = 10;

// The time until a client that tries again and again has the `ok` of a send to this node; since `begun`.
async function untilOk(node, begun) {
  for (;; await sleep(TRY_MS)) {
    let client;
    try {
      client = await Client.open(node);
      const login = await client.request({ op: "login", user: "bench" });
      const reply = login.op === "ok" ? await client.request({ op: "send", to: "bench", text: "after a failover" }) : login;
      if (reply.op === "ok") return performance.now() - begun;
    } catch {
      // it does not take the connection
    } finally {
      client?.terminate();
    }
  }
}

// A client sends to the owner until it fails.
async function sendOn(cluster, node) {
  const client = await cluster.login(node, "bench");
  while (!client.closed) {
    await client.request({ op: "send", to: "bench", text: "before a failover" });
    await sleep(TRY_MS);
  }
}

// `pair`: the owner, then its standby. Ends with the two in the other order.
async function failOver(cluster, pair, isPaused) {
  const [owner, standby] = pair;
  const stood = countOf(owner, "standby");
  void sendOn(cluster, owner);
  await sleep(300 + Math.random() * 500);
  const begun = performance.now();
  owner.signal(isPaused ? "SIGSTOP" : "SIGKILL");
  const took = await untilOk(standby, begun);
  if (isPaused) owner.signal("SIGCONT");
  else await owner.ended();
  const next = isPaused ? owner : await cluster.startAt(owner.node, true);
  if (isPaused) await untilCount(owner, "standby", stood + 1);
  pair.splice(0, 2, standby, next);
  return took;
}

// { "kill -9": milliseconds of each, SIGSTOP: the same }
export async function failovers(postgres) {
  const cluster = new Cluster(postgres);
  const took = { "kill -9": [], SIGSTOP: [] };
  try {
    const pair = [await cluster.startAt("node-1"), await cluster.startAt("node-2", true)];
    for (let i = 0; i < TIMES; i++) for (const what of Object.keys(took)) took[what].push(await failOver(cluster, pair, what === "SIGSTOP"));
    return took;
  } finally {
    await cluster.clean();
  }
}
