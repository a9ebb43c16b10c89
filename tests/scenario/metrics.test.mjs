// /metrics: its numbers are those of what the clients did, it never runs backwards, and promtool accepts it. The alert
// rules and the dashboard name only what is there.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { Api } from "./lib/api.mjs";
import { scenario } from "./lib/harness.mjs";
import { MONITORED, MONITORING, OF_CLUSTER, ROOT, Scrape, metricsMonitored } from "./lib/metrics.mjs";
import { Raw } from "./lib/raw.mjs";
import { SHORT, until } from "./lib/server.mjs";

const OPTIONS = { options: ["--admin", "127.0.0.1:0"] };
const SHARDS = { shards: [2] };

function promtool(args, input) {
  const { status, stdout, stderr, error } = spawnSync("promtool", args, { input, encoding: "utf8" });
  assert.ok(!error, `promtool: ${error}`);
  assert.equal(status, 0, `promtool ${args.join(" ")}: ${stdout}${stderr}`);
}

// A scrape for which `condition` holds: copies of the state are up to a second old.
const scrapeUntil = (server, what, condition) =>
  until(what, async () => {
    const scrape = await Scrape.take(server);
    return condition(scrape) && scrape;
  }, { every: 100 });

scenario("the first scrape has the state of each shard", { shards: [4] }, async (harness) => {
  await harness.start(OPTIONS);
  const scrape = await Scrape.take(harness.server);
  const limits = scrape.find("chitchat_runs_limit").map(({ value }) => value);
  assert.ok(limits.length === 4 && limits.every((value) => value > 0), limits.join());
  // On a slow disk a shard has no segment for a while.
  await scrapeUntil(harness.server, "all shards to take sends", (now) => now.find("chitchat_takes_sends").every(({ value }) => value === 1));
  await harness.end();
});

scenario("each send, push, login, error and disconnect is counted once", SHARDS, async (harness) => {
  await harness.start(OPTIONS);
  const before = await Scrape.take(harness.server);
  const [alice, bob, phone] = [await harness.login("alice"), await harness.login("bob"), await harness.login("bob")];
  for (let i = 0; i < 10; i++) await alice.send("bob", `text ${i}`);
  await alice.send("bob", "once", { key: "k" });
  assert.equal((await alice.send("bob", "once", { key: "k" })).dup, true);
  for (let i = 0; i < 3; i++) await alice.error({ op: "send", to: "not a name", text: "x" }, "bad_request");
  await alice.error({ op: "nothing" }, "unknown_op");
  await Promise.all([bob.untilMessages(11), phone.untilMessages(11)]);
  await bob.history({ limit: 4 });
  const visitor = await harness.client();
  await visitor.close(1000);
  const after = await scrapeUntil(harness.server, "the state", (scrape) => scrape.sum("chitchat_connections") - scrape.sum("chitchat_admin_connections") === 3);
  const grown = (name, labels) => after.sum(name, labels) - before.sum(name, labels);
  const expected = [
    ["chitchat_sends_total", { outcome: "stored" }, 11],
    ["chitchat_sends_total", { outcome: "duplicate" }, 1],
    ["chitchat_sends_total", { outcome: "refused" }, 3],
    ["chitchat_sends_total", { outcome: "unknown" }, 0],
    ["chitchat_requests_total", { op: "send" }, 15],
    ["chitchat_requests_total", { op: "history" }, 1],
    ["chitchat_errors_total", { code: "bad_request" }, 3],
    ["chitchat_errors_total", { code: "unknown_op" }, 1],
    ["chitchat_errors_total", {}, 4],
    ["chitchat_pushes_total", { outcome: "written" }, 22],
    ["chitchat_pushes_total", {}, 22],
    ["chitchat_send_to_ok_seconds_count", {}, 11],
    ["chitchat_send_to_push_seconds_count", {}, 22],
    ["chitchat_wal_batch_records_sum", {}, 11],
    ["chitchat_logins_total", { result: "ok" }, 3],
    ["chitchat_connections_accepted_total", { kind: "plain" }, 4],
    ["chitchat_disconnects_total", { code: "1000" }, 1],
    ["chitchat_history_pages_total", {}, 1],
    ["chitchat_history_entries_total", {}, 4],
    ["chitchat_wal_failures_total", {}, 0],
  ];
  assert.deepEqual(expected.map(([name, labels]) => [name, labels, grown(name, labels)]), expected);
  assert.equal(after.sum("chitchat_users"), 2);
  assert.equal(after.sum("chitchat_takes_sends"), harness.shards);
  await harness.end();
});

scenario("refusals are counted by cause, and logins by result", SHARDS, async (harness) => {
  await harness.start({ options: [...OPTIONS.options, "--user-connections", "1", "--send-rate", "2"], hasRates: true });
  const alice = await harness.login("alice");
  const other = await harness.client();
  assert.equal((await other.request({ op: "login", user: "alice" })).code, 4201);
  let refused = 0;
  for (let i = 0; i < 20; i++) refused += (await alice.request({ op: "send", to: "bob", text: "x" })).code === "rate_limited";
  assert.ok(refused > 0);
  const scrape = await Scrape.take(harness.server);
  assert.equal(scrape.sum("chitchat_refusals_total", { cause: "user_connections" }), 1);
  assert.equal(scrape.sum("chitchat_refusals_total", { cause: "send_rate" }), refused);
  assert.equal(scrape.sum("chitchat_errors_total", { code: "rate_limited" }), refused);
  assert.equal(scrape.sum("chitchat_sends_total", { outcome: "refused" }), refused);
  assert.equal(scrape.sum("chitchat_sends_total", { outcome: "stored" }), 20 - refused);
  assert.equal(scrape.sum("chitchat_logins_total", { result: "refused" }), 1);
  assert.equal(scrape.sum("chitchat_disconnects_total", { code: "4201" }), 1);
  await harness.end();
});

scenario("closes by an operator and by an erasure have codes of their own", SHARDS, async (harness) => {
  await harness.start(OPTIONS);
  const api = new Api(harness.server.admin);
  for (const [code, target] of [[4003, "alice/connections"], [4203, "alice"]]) {
    const alice = await harness.login("alice");
    await api.expect(200, "DELETE", `/api/v1/users/${target}`);
    assert.equal((await until("the close", () => alice.closed)).code, code);
    const scrape = await Scrape.take(harness.server);
    assert.equal(scrape.sum("chitchat_disconnects_total", { code: String(code) }), 1);
    assert.equal(scrape.sum("chitchat_disconnects_total", { code: "other" }), 0);
  }
  api.close();
  await harness.end();
});

scenario("answers to programs are counted by status", SHARDS, async (harness) => {
  await harness.start(OPTIONS);
  const api = new Api(harness.server.admin);
  const before = await Scrape.take(harness.server);
  for (let i = 0; i < 3; i++) await api.expect(200, "GET", "/api/v1/users/alice/connections");
  for (let i = 0; i < 2; i++) await api.expect(404, "GET", "/api/v1/nothing");
  const after = await Scrape.take(harness.server);
  const grown = (status) => after.sum("chitchat_api_answers_total", { status }) - before.sum("chitchat_api_answers_total", { status });
  // The scrape before is counted when it is answered.
  assert.deepEqual(["2xx", "4xx", "5xx"].map(grown), [4, 2, 0]);
  api.close();
  await harness.end();
});

scenario("the memory of bodies of programs is shown while they come", SHARDS, async (harness) => {
  await harness.start(OPTIONS);
  const used = (scrape) => scrape.sum("chitchat_memory_used_bytes", { use: "programs" });
  const first = await Scrape.take(harness.server);
  assert.equal(used(first), 0);
  assert.ok(first.find("chitchat_memory_limit_bytes", { use: "programs" }).every(({ value }) => value > 0));
  const raw = await Raw.open(harness.server, harness.server.admin);
  raw.write(`POST /api/v1/messages:batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n${" ".repeat(100000)}`);
  await scrapeUntil(harness.server, "the part of the body", (scrape) => used(scrape) >= 100000);
  raw.destroy();
  await scrapeUntil(harness.server, "its end", (scrape) => used(scrape) === 0);
  await harness.end();
});

const isCounter = (text) => {
  const types = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]));
  return (name) => types.get(name) === "counter" || types.get(name.replace(/_(bucket|sum|count)$/, "")) === "histogram";
};

scenario("two scrapes under load: no counter falls, no series goes, histograms add up", SHARDS, async (harness) => {
  await harness.start(OPTIONS);
  const alice = await harness.login("alice");
  let isDone = false;
  const load = (async () => {
    while (!isDone) await Promise.all(Array.from({ length: 20 }, () => alice.send("bob", "x")));
  })();
  let before = await Scrape.take(harness.server);
  for (let i = 0; i < 5; i++) {
    const after = await Scrape.take(harness.server);
    const counts = isCounter(after.text);
    assert.equal(after.samples.length, before.samples.length);
    after.samples.forEach((sample, at) => {
      assert.deepEqual([sample.name, sample.labels], [before.samples[at].name, before.samples[at].labels]);
      if (counts(sample.name)) assert.ok(sample.value >= before.samples[at].value, `${sample.name} fell`);
    });
    checkHistograms(after);
    before = after;
  }
  isDone = true;
  await load;
  assert.ok(before.sum("chitchat_sends_total", { outcome: "stored" }) > 0);
  await harness.end();
});

// Of one shard and name, buckets grow, and the last is the count.
function checkHistograms(scrape) {
  const last = new Map();
  for (const { name, labels, value } of scrape.samples) {
    const key = `${name.replace(/_(bucket|count)$/, "")} ${labels.shard}`;
    if (name.endsWith("_bucket")) {
      assert.ok(value >= (last.get(key) ?? 0), `${key} ${labels.le}`);
      last.set(key, value);
    } else if (name.endsWith("_count") && last.has(key)) {
      assert.equal(value, last.get(key), key);
    }
  }
  assert.ok(last.size > 0);
}

scenario("promtool accepts the metrics, and those of the process are what the kernel says", SHARDS, async (harness) => {
  await harness.start(OPTIONS);
  const alice = await harness.login("alice");
  await alice.send("bob", "x");
  const scrape = await scrapeUntil(harness.server, "a sample of the process", (now) => now.sum("process_open_fds") >= 10);
  promtool(["check", "metrics"], scrape.text);
  const limits = fs.readFileSync(`/proc/${harness.server.pid}/limits`, "utf8");
  assert.equal(scrape.sum("process_max_fds"), Number(/^Max open files +(\d+)/m.exec(limits)[1]));
  assert.ok(scrape.sum("process_open_fds") < 1000);
  assert.ok(scrape.sum("process_resident_memory_bytes") > scrape.sum("chitchat_anonymous_memory_bytes") / 2);
  assert.ok(scrape.sum("chitchat_disk_size_bytes") > scrape.sum("chitchat_disk_free_bytes"));
  assert.ok(Math.abs(scrape.sum("process_start_time_seconds") - Date.now() / 1000) < 3600);
  assert.equal(scrape.sum("chitchat_tls_certificate_expiry_seconds"), 0);
  await harness.end();
});

// -- docs/monitoring --

const { rules, dashboard, dashboardQueries, expressions } = MONITORED;

scenario("alert rules and dashboard name metrics and labels that a server has", SHARDS, async (harness) => {
  await harness.start(OPTIONS);
  const scrape = await Scrape.take(harness.server);
  const named = metricsMonitored().filter(({ name }) => !OF_CLUSTER.test(name));
  assert.ok(expressions.length > 20 && dashboardQueries.length > 40 && named.length > 80);
  const missing = named.filter(({ name, labels }) => scrape.find(name, labels).length === 0);
  assert.deepEqual(missing, []);
  assert.deepEqual(scrape.samples.filter(({ name }) => OF_CLUSTER.test(name)), [], "without --cluster there is nothing of it");
  await harness.end();
});

test("promtool: the rules are valid and fire when they should; the dashboard's queries are valid", { skip: SHORT }, () => {
  promtool(["check", "rules", path.join(MONITORING, "alerts.yml")]);
  promtool(["test", "rules", path.join(ROOT, "tests/monitoring/alerts_test.yml")]);
  const alerts = [...rules.matchAll(/- alert: (\S+)/g)].map(([, name]) => name);
  const tests = fs.readFileSync(path.join(ROOT, "tests/monitoring/alerts_test.yml"), "utf8");
  assert.deepEqual(alerts.filter((name) => !tests.includes(`alertname="${name}"`)), [], "each alert is expected once");
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "chitchat-scenario-"));
  const queries = dashboardQueries.map((expr) => expr.replaceAll("$__rate_interval", "5m").replaceAll("$instance", "a"));
  fs.writeFileSync(path.join(dir, "queries.yml"), JSON.stringify({ groups: [{ name: "dashboard", rules: queries.map((expr, at) => ({ record: `query_${at}`, expr })) }] }));
  promtool(["check", "rules", path.join(dir, "queries.yml")]);
  fs.rmSync(dir, { recursive: true });
});

test("the documents say of each alert what it means", () => {
  const operations = ["OPERATIONS", "CLUSTER_NODE"].map((name) => fs.readFileSync(path.join(ROOT, `docs/${name}.md`), "utf8")).join();
  const alerts = [...rules.matchAll(/- alert: (\S+)/g)].map(([, name]) => name);
  assert.deepEqual(alerts.filter((name) => !operations.includes(`\`${name}\``)), []);
});
