// SIGHUP: files are read again, and nobody is dropped.
import assert from "node:assert/strict";
import { scenario } from "./lib/harness.mjs";

scenario("SIGHUP does not end the server, also when it has no files to read again", {}, async (harness) => {
  await harness.start();
  const alice = await harness.login("alice");
  harness.server.signal("SIGHUP");
  assert.match(await harness.server.logLine("reload"), /signal=SIGHUP files=none/);
  await alice.ping();
  await harness.end();
});
