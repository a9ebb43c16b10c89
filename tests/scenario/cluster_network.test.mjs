// The network between a node of a cluster and its log servers fails: whatever is cut, held up or slow, nothing acknowledged is
// lost or doubled, what is not available is reported as such, and all goes on without a restart.
import assert from "node:assert/strict";
import { Api } from "./lib/api.mjs";
import { Client } from "./lib/client.mjs";
import { countOf, onClusters, untilCount, USERS } from "./lib/cluster.mjs";
import { CutProxy } from "./lib/cut_proxy.mjs";
import { LONG, SHORT, sleep, until } from "./lib/server.mjs";

const BRIEF_MS = 400; // a trouble that is over before anybody is refused
const DELAY_MS = 60;

// Proxies before all log servers, and the URI by which a node goes through them.
class Network {
  proxies;

  static async start(postgres) {
    const network = new Network();
    network.proxies = await Promise.all(Object.values(postgres.servers).map(({ port }) => CutProxy.start(port)));
    return network;
  }

  get uri() {
    return `postgresql://postgres@${this.proxies.map(({ port }) => `127.0.0.1:${port}`).join(",")}/chat`;
  }

  all(change) {
    this.proxies.forEach(change);
  }

  // Answers the next requests whose bytes have `text` as `what` says, see CutProxy.onRequest. How often that was done.
  async answer(text, what, times) {
    let done = 0;
    this.all((proxy) => (proxy.onRequest = (bytes) => (done < times && bytes.includes(text) ? (done++, what) : "pass")));
    await until(`${times} appends to be cut`, () => done === times, { every: 5 });
    this.all((proxy) => (proxy.onRequest = () => "pass"));
  }

  end() {
    return Promise.all(this.proxies.map((proxy) => proxy.end()));
  }
}

const TROUBLES = {
  "is cut": [(proxy) => ((proxy.isDown = true), proxy.cut()), (proxy) => (proxy.isDown = false)],
  "swallows all": [(proxy) => proxy.hold("server", "client"), (proxy) => proxy.release()],
  "swallows what the node sends": [(proxy) => proxy.hold("server"), (proxy) => proxy.release()],
  "swallows what the log answers": [(proxy) => proxy.hold("client"), (proxy) => proxy.release()],
  "swallows what the log answers, and is cut": [(proxy) => proxy.hold("client"), (proxy) => (proxy.cut(), proxy.release())],
};

const readyz = (node) => fetch(`http://${node.admin.host}:${node.admin.port}/readyz`).then(({ status }) => status);

// A node alone, reached by talkers, that goes through `network`; in the end all that it has is what they know.
async function alone(cluster, body) {
  const network = await Network.start(cluster.postgres);
  const node = await cluster.startAt("node-1", false, { uri: network.uri, options: ["--admin", "127.0.0.1:0"] });
  const talkers = cluster.startTalkers([node]);
  try {
    await talkers.untilAcknowledged(20);
    await body({ network, node, talkers });
    await talkers.untilAcknowledged(20);
    await talkers.end();
    await talkers.check(node);
    assert.equal(countOf(node, "ready"), 1, "the same process serves");
    await node.kill();
    await talkers.check(await cluster.start(cluster.newDir()));
  } finally {
    await network.end();
  }
}

onClusters("the network between a node and its log", {}, (withCluster) => {
  withCluster("is cut within answers, swallows for a moment, and is slow: nobody notices but by the time", (cluster) =>
    alone(cluster, async ({ network, talkers }) => {
      for (const bytes of [0, 1, 5, 12]) {
        await network.answer(USERS[0], bytes, 2);
        await talkers.untilAcknowledged(20);
      }
      for (const [begin, end] of Object.values(TROUBLES)) {
        network.all(begin);
        await sleep(BRIEF_MS);
        network.all(end);
        await talkers.untilAcknowledged(20);
      }
      network.all((proxy) => (proxy.delayMs = DELAY_MS));
      await talkers.untilAcknowledged(20);
      network.all((proxy) => (proxy.delayMs = 0));
      await talkers.untilAcknowledged(20);
    }),
  );

  const long = LONG ? Object.keys(TROUBLES) : SHORT ? [] : ["swallows what the log answers"];
  for (const what of long)
    withCluster(`${what} for seconds: busy, not ready, a line in the log; then all goes on`, (cluster) =>
      alone(cluster, async ({ network, node, talkers }) => {
        const [begin, end] = TROUBLES[what];
        const probe = await cluster.login(node, "probe");
        let isBusy = false;
        assert.equal(await readyz(node), 200);
        network.all(begin);
        await until("busy", () => {
          void probe.request({ op: "send", to: "probe", text: "?" }).then(({ code }) => (isBusy ||= code === "busy"));
          return isBusy;
        }, { every: 50 });
        await until("not ready", async () => (await readyz(node)) === 503, { every: 100 });
        assert.equal((await new Api(node.admin).get("/readyz")).json.error, "log_behind");
        await node.logLine("log_unsure"); // when the call of the log has not ended in time
        assert.equal(countOf(node, "log_sure"), 0);
        network.all(end);
        await talkers.untilAcknowledged(20);
        await until("ready", async () => (await readyz(node)) === 200, { every: 100 });
        assert.ok(countOf(node, "log_sure") > 0, node.stderr);
      }),
    );

  withCluster("hides the log from the owner: its standby takes over, and it is deposed when it sees the log again, and waits if that is lost once more", async (cluster) => {
    const network = await Network.start(cluster.postgres);
    const first = await cluster.startAt("node-1", false, { uri: network.uri });
    const second = await cluster.startAt("node-2", true);
    const talkers = cluster.startTalkers([first, second], { patienceMs: 1000 });
    try {
      await talkers.untilAcknowledged(20);
      network.all((proxy) => proxy.hold("client"));
      await second.logLine("took_over");
      await talkers.untilAcknowledged(20);
      network.all((proxy) => proxy.release());
      await first.logLine("deposed");
      network.all(TROUBLES["is cut"][0]);
      await until("the first to look for the log", () => {
        assert.ok(first.isRunning(), first.stderr);
        return countOf(first, "log_unreachable") > 0;
      });
      // The node has lost the log again before it has begun to follow it, or soon after: a standby in any case.
      assert.equal((await (await Client.open(first)).untilClosed()).code, 1001);
      const answer = await fetch(`http://127.0.0.1:${first.address.port}/readyz`);
      assert.deepEqual([answer.status, (await answer.json()).error], [503, "standby"]);
      network.all(TROUBLES["is cut"][1]);
      await until("the first stands by", () => /event=standby node=node-1 owner=node-2/.test(first.stderr));
      await talkers.untilAcknowledged(20);

      // Now it is hidden from the standby, which cannot say that the owner is silent.
      network.all((proxy) => proxy.hold("server", "client"));
      await until("the second node to own the slots", () => cluster.status().owner === "node-2");
      const { generation } = cluster.status();
      await sleep(3000);
      assert.equal(cluster.status().generation, generation, "nobody has taken over");
      network.all((proxy) => proxy.release());
      await talkers.end();
      await talkers.check(second);
      const served = countOf(first, "ready");
      await second.kill();
      await untilCount(first, "ready", served + 1);
      await talkers.check(first);
    } finally {
      await network.end();
    }
  });
});
