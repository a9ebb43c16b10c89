// What the server says to a service manager (systemd) through NOTIFY_SOCKET.
import assert from "node:assert/strict";
import { scenario } from "./lib/harness.mjs";
import { NotifySocket } from "./lib/notify.mjs";
import { until } from "./lib/server.mjs";

scenario("a service manager hears READY, WATCHDOG, RELOADING and STOPPING", {}, async (harness) => {
  const manager = await NotifySocket.open();
  try {
    await harness.start({ env: { NOTIFY_SOCKET: manager.path, WATCHDOG_USEC: "30000000" } });
    await manager.until(/^READY=1$/);
    await manager.until(/^STATUS=ready: /);
    await manager.until(/^WATCHDOG=1$/, 2);
    const alice = await harness.login("alice");
    harness.server.signal("SIGHUP");
    await manager.until(/^RELOADING=1 MONOTONIC_USEC=[0-9]+$/);
    await manager.until(/^READY=1$/, 2);
    await alice.ping();
    await harness.end();
    await manager.until(/^STOPPING=1 .*EXTEND_TIMEOUT_USEC=[0-9]+$/);
    assert.equal(manager.messages[1], "READY=1", "nothing comes before the server is ready");
  } finally {
    manager.close();
  }
});

scenario("without WATCHDOG_USEC a service manager hears no watchdog", { shards: [1] }, async (harness) => {
  const manager = await NotifySocket.open();
  try {
    await harness.start({ env: { NOTIFY_SOCKET: manager.path } });
    await manager.until(/^READY=1$/);
    const turns = () => harness.server.stderr.split("event=turns").length;
    const before = turns();
    await until("two seconds of the server", () => turns() >= before + 2);
    assert.equal(manager.count(/WATCHDOG/), 0);
    await harness.end();
  } finally {
    manager.close();
  }
});
