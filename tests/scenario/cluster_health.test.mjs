// A node of a cluster as others see it: load balancers, Prometheus, a service manager; and what it does not answer when it
// may not be the owner.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { Api } from "./lib/api.mjs";
import { certificate, makeCertificate, optionsOf } from "./lib/certificate.mjs";
import { Client } from "./lib/client.mjs";
import { SLOTS, USERS, onClusters, talk } from "./lib/cluster.mjs";
import { makeKey, makeToken } from "./lib/jwt.mjs";
import { OF_CLUSTER, Scrape, metricsMonitored } from "./lib/metrics.mjs";
import { NotifySocket } from "./lib/notify.mjs";
import { freePort } from "./lib/port.mjs";
import { Raw } from "./lib/raw.mjs";
import { LONG, SHORT, runToEnd, until } from "./lib/server.mjs";
import { SECOND, WallClock } from "./lib/wall_clock.mjs";

// A node with an admin address, which a standby does not log.
async function startAt(cluster, node, { isStandby = false, env, options = [], isTls = false } = {}) {
  const admin = { host: "127.0.0.1", port: await freePort(), ...(isTls && { isTls, ca: certificate().ca }) };
  const server = await cluster.startAt(node, isStandby, { env, isTls, options: [...options, isTls ? "--admin-tls" : "--admin", `${admin.host}:${admin.port}`] });
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

  withCluster("a standby with TLS says by TLS what it is, and half a handshake delays nobody", async (cluster) => {
    const dir = cluster.newDir();
    const [tokens, own] = [path.join(dir, "tokens"), { cert: path.join(dir, "cert"), key: path.join(dir, "key") }];
    const putCertificate = ({ cert, key }) => (fs.copyFileSync(cert, own.cert), fs.copyFileSync(key, own.key));
    const token = "a".repeat(32);
    fs.writeFileSync(tokens, token, { mode: 0o600 });
    putCertificate(certificate());
    const options = ["--admin-token-file", tokens, ...optionsOf(own)];
    const first = await startAt(cluster, "node-1", { isTls: true, options });
    const second = await startAt(cluster, "node-2", { isTls: true, isStandby: true, options });
    const plain = ({ host, port }) => ({ host, port });
    const half = await Promise.all(Array.from({ length: 20 }, (_, i) => Raw.open(second, plain(i % 2 ? second.address : second.admin))));
    half.forEach((raw) => raw.write(Buffer.from("16030102000100", "hex")));

    const client = await Client.open(second);
    assert.deepEqual(await client.untilClosed(), { code: 1001, reason: first.url() });
    assert.match(first.url(), /^wss:/);
    const sent = runToEnd(["send", "--user", "zoe", "--to", "zoe", "--url", second.url(), "--tls-ca", certificate().cert, "by the standby"]);
    assert.equal(sent.status, 0, sent.stderr);
    const api = new Api(second.admin);
    assert.equal((await api.get("/livez")).status, 200);
    const { status, json } = await api.get("/readyz");
    assert.deepEqual({ status, json }, { status: 503, json: { error: "standby", message: `standby, owner is ${first.url()}` } });
    assert.equal((await api.get("/metrics")).status, 401);
    assert.equal((await api.get("/metrics", { token: "b".repeat(32) })).status, 401);
    assert.equal((await Scrape.at(second.admin, { token })).sum("chitchat_cluster_owner"), 0);

    const raw = await Raw.open(second, plain(second.admin));
    raw.write("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert.equal((await raw.responseToEnd()).status, 400, "no plain HTTP");
    await Promise.all(half.map((one) => one.until(() => one.isEnded, "the end of half a handshake")));
    half.forEach((one) => one.destroy());

    const renewed = makeCertificate();
    putCertificate(renewed);
    second.signal("SIGHUP");
    await second.logLine("tls_reloaded");
    await assert.rejects(new Api(second.admin).get("/livez"), /self-signed/);
    assert.equal((await new Api({ ...second.admin, ca: renewed.ca }).get("/livez")).status, 200);
    await first.stop();
    await second.logLine("ready");
    await cluster.login(Object.assign(second, { address: { ...second.address, ca: renewed.ca } }), "ann");
    await second.stop();
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
