// SIGTERM with --drain-s. That 1001 is spread evenly, and new connections get 503: tests/sim/test_rules_drain.c.
import assert from "node:assert/strict";
import { scenario } from "./lib/harness.mjs";
import { scaled } from "./lib/server.mjs";

const CLIENTS = scaled(400);

async function withClients(harness, count, options) {
  await harness.start({ options });
  return Promise.all(Array.from({ length: count }, (_, i) => harness.login(harness.name(`user-${i}`))));
}

scenario("a drain takes a thousandth of a second for each connection, and all get 1001", {}, async (harness) => {
  const clients = await withClients(harness, CLIENTS, ["--drain-s", "60"]);
  const { server } = harness;
  server.signal("SIGTERM");
  await server.logLine("stopping");
  for (const client of clients) assert.equal((await client.untilClosed()).code, 1001);
  assert.deepEqual(await server.ended(), { code: 0, signal: null });
  assert.match(server.stderr, new RegExp(`event=stopping signal=SIGTERM connections=${CLIENTS} drain_ms=${CLIENTS}\\b`));
  assert.match(server.stderr, /event=drained connections=\d+ ended_by=itself/);
  assert.match(server.stderr, /event=stopped clean=true/);
});

// Both are sent while the server is stopped, so that the second one comes before the drain can end by itself.
scenario("a second signal ends the drain at once", { shards: [2] }, async (harness) => {
  const clients = await withClients(harness, CLIENTS, ["--drain-s", "3600"]);
  const { server } = harness;
  for (const signal of ["SIGSTOP", "SIGINT", "SIGTERM", "SIGCONT"]) server.signal(signal);
  for (const client of clients) assert.equal((await client.untilClosed()).code, 1001);
  assert.deepEqual(await server.ended(), { code: 0, signal: null });
  assert.match(server.stderr, /event=stopping signal=SIGINT/);
  assert.match(server.stderr, /event=drained connections=[1-9]\d* ended_by=SIGTERM/);
  assert.match(server.stderr, /event=stopped clean=true/);
});

scenario("with --drain-s 0 all are closed at once, and with nobody connected there is no drain", { shards: [2] }, async (harness) => {
  const clients = await withClients(harness, 5, ["--drain-s", "0"]);
  const { server } = harness;
  server.signal("SIGTERM");
  for (const client of clients) assert.equal((await client.untilClosed()).code, 1001);
  assert.deepEqual(await server.ended(), { code: 0, signal: null });
  assert.match(server.stderr, /event=stopping signal=SIGTERM connections=5 drain_ms=0/);
  assert.doesNotMatch(server.stderr, /event=drained/);
  const again = await harness.startAgain();
  again.signal("SIGTERM");
  assert.deepEqual(await again.ended(), { code: 0, signal: null });
  assert.match(again.stderr, /connections=0 drain_ms=0/);
});
