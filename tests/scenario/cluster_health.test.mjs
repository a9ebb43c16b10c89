// A node of a cluster as others see it: load balancers, Prometheus, a service manager; and what it does not answer when it
// may not be the owner.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { Api } from "./lib/api.mjs";
import { Client } from "./lib/client.mjs";
import { SLOTS, USERS, onClusters, talk } from "./lib/cluster.mjs";
import { makeKey, makeToken } from "./lib/jwt.mjs";
import { OF_CLUSTER, Scrape, metricsMonitored } from "./lib/metrics.mjs";
import { NotifySocket } from "./lib/notify.mjs";
import { freePort } from "./lib/port.mjs";
import { LONG, SHORT, until } from "./lib/server.mjs";
import { SECOND, WallClock } from "./lib/wall_clock.mjs";

// A node with an admin address, which a standby does not log.
async function startAt(cluster, node, { isStandby = false, env, options = [] } = {}) {
  const admin = { host: "127.0.0.1", port: await freePort() };
  const server = await cluster.startAt(node, isStandby, { env, options: [...options, "--admin", `${admin.host}:${admin.port}`] });
  server.admin ??= admin;
  return server;
}

onClusters("a node as others see it", {}, (withCluster) => {
  withCluster("a standby is alive, not ready, and has metrics; a service manager counts it as started", async (cluster) => {
    const manager = await NotifySocket.open();
    try {
      const first = await startAt(cluster, "node-1");
      const second = await startAt(cluster, "node-2", { isStandby: true, env: { NOTIFY_SOCKET: manager.path, WATCHDOG_USEC: "30000000" } });
      await manager.until(new RegExp(`^READY=1 STATUS=standby: owner is node-1 at ${first.url()}$`));
      await manager.until(/^WATCHDOG=1$/, 2);
      await talk(cluster, first, 0, 1);
      const [owner, standby] = [await Scrape.at(first.admin), () => Scrape.at(second.admin)];
      const monitored = metricsMonitored().filter(({ name }) => OF_CLUSTER.test(name));
      assert.ok(monitored.length > 12);
      const hasAll = (scrape) => assert.deepEqual(monitored.filter(({ name, labels }) => scrape.find(name, labels).length === 0), []);
      hasAll(owner);
      assert.equal(owner.sum("chitchat_cluster_owner"), 1);
      assert.equal(owner.sum("chitchat_cluster_takeovers_total"), 1);
      assert.ok(owner.sum("chitchat_log_appends_total", { outcome: "acked" }) > 0);
      assert.ok(owner.sum("chitchat_barrier_waits_total") >= USERS.length, "each login waits for a batch");
      const last = await Scrape.at(first.admin).then((scrape) => scrape.sum("chitchat_log_last_batch"));
      let followed;
      await until(() => followed?.text, async () => {
        followed = await standby();
        return followed.sum("chitchat_log_last_batch") >= last && followed.sum("chitchat_log_lag_batches") === 0;
      });
      hasAll(followed);
      assert.equal(followed.sum("chitchat_cluster_owner"), 0);
      assert.equal(followed.sum("chitchat_cluster_generation"), owner.sum("chitchat_cluster_generation"));
      assert.equal(followed.sum("chitchat_log_connected"), SLOTS);
      assert.deepEqual(followed.find("chitchat_takes_sends"), [], "no shard runs");
      const api = new Api(second.admin);
      assert.equal((await api.get("/livez")).status, 200);
      const { status, json } = await api.get("/readyz");
      assert.deepEqual({ status, json }, { status: 503, json: { error: "standby", message: `standby, owner is ${first.url()}` } });
      first.signal("SIGSTOP");
      await second.logLine("ready");
      assert.equal((await standby()).sum("chitchat_cluster_takeovers_total"), 1);
      const late = new Api(first.admin).get("/api/v1/users/ann/messages").catch(() => ({ status: 0 }));
      first.signal("SIGCONT");
      assert.notEqual((await late).status, 200, "a page is answered by the owner alone");
      await until("the first is a standby", () => /event=standby node=node-1 owner=node-2/.test(first.stderr));
      assert.equal((await Scrape.at(first.admin)).sum("chitchat_cluster_depositions_total"), 1, "it outlives the execution");
      assert.equal(manager.count(/STOPPING/), 0);
      await second.stop();
      await manager.until(/^STOPPING=1 /);
      await first.logLine("took_over");
      await first.stop();
    } finally {
      manager.close();
    }
  });

  withCluster("a renewed login is answered by the owner alone", async (cluster) => {
    const key = makeKey("HS256");
    const secrets = path.join(cluster.newDir(), "secrets");
    fs.writeFileSync(secrets, `${key.secret}\n`, { mode: 0o600 });
    const options = ["--auth", "token", "--token-secrets", secrets];
    const first = await startAt(cluster, "node-1", { options });
    const second = await startAt(cluster, "node-2", { isStandby: true, options });
    const ann = await Client.open(first);
    const login = { op: "login", token: makeToken(key, { sub: "ann" }) };
    const { last } = await ann.ok(login);
    assert.equal((await ann.ok(login)).last, last, "two at a time are answered, too");
    const both = await Promise.all([ann.ok(login), ann.ok(login)]);
    assert.deepEqual(both.map((reply) => reply.last), [last, last]);
    first.signal("SIGSTOP");
    await second.logLine("ready");
    const late = ann.request(login);
    first.signal("SIGCONT");
    assert.equal((await late).op, "closed");
    await second.stop();
    await first.stop();
    ann.terminate();
  });

  if (LONG)
    withCluster("while the log does not answer, reads of programs get busy, and then the clients of all slots are closed", async (cluster) => {
      const server = await startAt(cluster, "node-1");
      const clients = await Promise.all(USERS.map((user) => cluster.login(server, user)));
      await talk(cluster, server, 0, 1);
      const api = new Api(server.admin);
      assert.equal((await api.get("/api/v1/users/ann/messages")).status, 200);
      cluster.postgres.primary.pause();
      try {
        const answers = await Promise.all([api.get("/api/v1/users/ann/messages"), new Api(server.admin).get("/api/v1/users/bob/export"), new Api(server.admin).get("/api/v1/users/bob/connections")]);
        assert.deepEqual(answers.map(({ status, json }) => [status, json.error]), answers.map(() => [503, "busy"]));
        assert.equal((await clients[0].history({ limit: 1 })).messages.length, 1, "history is served");
        const closes = await Promise.all(clients.map((client) => client.untilClosed()));
        assert.deepEqual(closes, closes.map(() => ({ code: 1001, reason: "the log does not answer: reconnect later" })));
      } finally {
        cluster.postgres.primary.resume();
      }
      await server.logLine("log_sure");
      assert.equal((await api.get("/api/v1/users/ann/messages")).status, 200);
      await server.stop();
    });

  if (!SHORT) withCluster("a node whose clock is wrong does not take over", async (cluster) => {
    const clock = new WallClock();
    const first = await startAt(cluster, "node-1");
    const second = await startAt(cluster, "node-2", { isStandby: true, env: clock.env });
    const ann = await cluster.login(first, "ann");
    const sent = await ann.send("ann", "before");
    clock.leap(-3600 * SECOND);
    await first.stop();
    assert.match(await second.logLine("clock_off"), /the clock of this machine is 3[56]\d\d s behind that of the log server.*does not take over/);
    assert.equal((await Scrape.at(second.admin)).sum("chitchat_cluster_owner"), 0);
    clock.leap(-30 * SECOND);
    await second.logLine("ready");
    assert.match(second.stderr, /event=clock_behind_log behind_s=[12]\d /);
    const again = await cluster.login(second, "ann");
    assert.ok((await again.send("ann", "after")).ts > sent.ts, "no ts goes backwards");
    await second.stop();
    clock.clean();
  });
});
