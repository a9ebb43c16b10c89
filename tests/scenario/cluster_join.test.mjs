// The nodes that the log servers know: joined, shown, forgotten, removed; and what a purge keeps for them.
import assert from "node:assert/strict";
import { onClusters, talk, untilRun } from "./lib/cluster.mjs";
import { Scrape } from "./lib/metrics.mjs";
import { freePort } from "./lib/port.mjs";
import { SHORT, runToEnd, until } from "./lib/server.mjs";
import { pump } from "./lib/traffic.mjs";

// `chitchat cluster VERB` for this cluster: its stdout, or with a `code` its stderr.
function command(cluster, verb, options, code = 0) {
  const { status, stdout, stderr } = runToEnd(["cluster", verb, "--log", cluster.postgres.uri, "--name", cluster.name, ...options]);
  assert.equal(status, code, stdout + stderr);
  return code === 0 ? stdout : stderr;
}

onClusters("the nodes of a cluster", {}, (withCluster) => {
  withCluster("a node is joined, shown, and removed, but not while it is alive", async (cluster) => {
    const joined = command(cluster, "join", ["--node", "node-2", "--advertise", "wss://two"]);
    assert.match(joined, /^node node-2 is known to the cluster/);
    assert.ok(joined.endsWith(`start it with:\n  chitchat serve --cluster '${cluster.postgres.uri}' --cluster-name ${cluster.name} --node node-2 --advertise 'wss://two'\n`), joined);
    command(cluster, "join", ["--node", "node-2", "--advertise", "wss://two"]);
    const first = await cluster.startAt("node-1");
    await talk(cluster, first, 0, 1);
    await until("a report of the owner", () => cluster.status().nodes.some(({ role, applied }) => role === "owner" && applied.some((n) => n > 0)), { every: 200 });
    const [one, two] = cluster.status().nodes;
    assert.deepEqual([one.node, one.role, one.address], ["node-1", "owner", first.url()]);
    assert.deepEqual([two.node, two.role, two.address, two.runs], ["node-2", "standby", "wss://two/ws", [0, 0, 0]]);
    assert.ok(two.behind > 0);
    assert.match(cluster.status().log, /^log server 1 .*standbys 'ANY 1 \(s1, s2\)'$/);
    assert.match(command(cluster, "status", []), /\nnode node-1 +owner +reported \d+ s ago, ws:.*\nnode node-2 +standby +at most [1-9]\d* batches behind, reported/);
    assert.match(command(cluster, "leave", ["--node", "node-1"], 1), /node node-1 is alive: it reported \d+ s ago\. Stop it, wait for half a minute, and try again\n$/);
    assert.match(command(cluster, "join", ["--node", "node-1"], 1), /is alive.*give another name/);
    assert.match(command(cluster, "init", ["--slots", "2"], 1), /of 3 slots on 1 log servers, which never change: give these, or another --name/);
    assert.match(command(cluster, "leave", ["--node", "node-2"]), /node-2 has left the cluster/);
    assert.match(command(cluster, "leave", ["--node", "node-2"], 1), /has no node node-2/);
    assert.deepEqual(cluster.status().nodes.map(({ node }) => node), ["node-1"]);
    await first.stop();
    assert.match(command(cluster, "join", [], 2), /cluster join needs --node NAME/);
  });

  withCluster("serve --check asks the log servers", (cluster) => {
    const check = (...options) => runToEnd(["serve", "--check", "--listen", "127.0.0.1:0", "--data", `${cluster.newDir()}/new`, ...cluster.options(), ...options]);
    const good = check();
    assert.equal(good.status, 0, good.stderr);
    const other = check("--cluster-name", "other");
    assert.equal(other.status, 2, other.stdout);
    assert.match(other.stderr, /^chitchat: cluster other: .* has no cluster other: make it with chitchat cluster init\n$/);
  });

  withCluster("status looks also where the log servers do not promise enough", (cluster) => {
    const local = `${cluster.postgres.uri}?options=-c%20synchronous_commit%3Dlocal`;
    const ask = (...words) => runToEnd(["cluster", ...words, "--log", local, "--name", cluster.name]);
    const joined = ask("join", "--node", "node-1");
    assert.match(joined.stderr, /synchronous_commit/);
    assert.equal(joined.status, 1);
    const shown = ask("status");
    assert.equal(shown.status, 0, shown.stderr);
    assert.match(shown.stdout, /no node has taken the slots yet\nlog server 1 \(127\.0\.0\.1:\d+\): PostgreSQL \d+.*, standbys 'ANY 1 \(s1, s2\)'\nslot 0 /);
  });

  withCluster("two nodes of one name do not take the slots in turns", async (cluster) => {
    // The second one looks like the owner that comes back, unless it sees that the first is alive: surely so in the
    // second round, in which the first appends all the time.
    let owner = await cluster.startAt("node-1");
    for (const isBusy of [false, true]) {
      let isOver = false;
      const ann = await cluster.login(owner, "ann");
      const sends = pump(ann, { to: "ann", text: (n) => `${n}`, window: 4, stopped: () => isOver || !isBusy, mayFail: true });
      const nodes = [owner, await cluster.startAt("node-1", true)];
      const named = await until("a word on the name", () => nodes.find(({ stderr }) => stderr.includes("event=node_name_in_use")));
      isOver = true;
      await sends;
      owner = nodes.find((node) => node !== named);
      assert.match(await named.logLine("node_name_in_use"), new RegExp(`node=node-1 address="${owner.url()}" .*give each node a name of its own`));
      const bob = await cluster.login(owner, "bob");
      for (let n = 0; n < 30; n++) await bob.send("bob", `${n}`);
      assert.equal(cluster.status().address, owner.url());
      await named.kill();
    }
    await owner.stop();
  });

  withCluster("a purge keeps what a known node lacks, until it is forgotten or leaves", async (cluster) => {
    const data = cluster.newDir();
    const start = () => cluster.start(data, { options: ["--checkpoint-s", "1", "--log-keep", "0"] });
    const below = () => cluster.sql("SELECT below FROM slot WHERE slot = 1").then(Number);
    for (const node of ["node-2", "node-3"]) command(cluster, "join", ["--node", node]);
    let server = await start();
    await talk(cluster, server, 0, 1);
    await untilRun(data);
    await server.stop();
    await cluster.sql("UPDATE node SET seen = now() - interval '8 days' WHERE name = 'node-3'");
    server = await start();
    assert.match(await server.logLine("node_forgotten"), /node=node-3 away_s=604800/);
    await server.stop(); // behind the purge
    assert.equal(await below(), 0, "node-2 needs all");
    assert.equal(cluster.status().nodes.find(({ node }) => node === "node-3").role, "forgotten");
    command(cluster, "leave", ["--node", "node-2"]);
    server = await start();
    await until("the purge", async () => (await below()) > 0, { every: 100 });
    await server.stop();
    await cluster.sql("DELETE FROM batch USING slot WHERE batch.slot = slot.slot AND batch.number < slot.below"); // which drops partitions later
    assert.match(cluster.refusal(cluster.newDir(), "node-4"), /slot \d: the log was purged of its beginning, which an empty data directory needs: start this node on a copy of the data directory of another node/);
    await (await start()).stop();
  });

  withCluster("tables of an older version are refused, and brought to this one by cluster init", async (cluster) => {
    const data = cluster.newDir();
    await (await cluster.start(data)).stop();
    await cluster.sql("DROP TABLE node; UPDATE cluster SET version = 1");
    assert.match(cluster.refusal(data), /the schema chitchat_\w+ is older: run chitchat cluster init once more, with the same options/);
    command(cluster, "init", ["--slots", "3"]);
    const server = await cluster.start(data);
    await until("a report", () => cluster.status().nodes.some(({ node }) => node === "node-1"), { every: 200 });
    await server.stop();
  });

  if (!SHORT)
    withCluster("a standby writes runs, so that the log need not wait for its memory", async (cluster) => {
      const first = await cluster.startAt("node-1");
      const admin = { host: "127.0.0.1", port: await freePort() };
      const second = await cluster.startAt("node-2", true, { options: ["--checkpoint-s", "1", "--admin", `127.0.0.1:${admin.port}`] });
      await talk(cluster, first, 0, 1);
      await talk(cluster, first, 1, 1);
      await until("runs of the standby", async () => (await Scrape.at(admin)).find("chitchat_log_run_batch").every(({ value }) => value > 0), { every: 200 });
      await second.kill();
      await first.stop();
    });
});
