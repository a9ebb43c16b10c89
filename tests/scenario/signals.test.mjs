// Signals from outside and from limits: none ends the server but SIGTERM, SIGINT, and those of a crash, which say so.
import assert from "node:assert/strict";
import os from "node:os";
import { scenario } from "./lib/harness.mjs";
import { SHORT, until } from "./lib/server.mjs";

const NOTED = ["QUIT", "USR1", "USR2", "TSTP", "ALRM", "VTALRM", "PROF", "IO", "STKFLT", "PWR"];
const IGNORED = ["PIPE", "XFSZ", "TTIN", "TTOU", "CHLD", "URG", "WINCH", "CONT"];
// 32 and 33 are the C library's own; 34 and 64 the first and the last real-time signal.
const BY_NUMBER = [32, 33, 34, 64];

const send = (pid, name) => process.kill(pid, os.constants.signals[`SIG${name}`]);

async function expectServes(client) {
  await client.ok({ op: "ping" });
}

scenario("a running server serves on after each signal that may come from outside", { shards: [2] }, async (harness) => {
  const server = await harness.start();
  const alice = await harness.login("alice");
  for (const signal of NOTED) {
    const seen = server.stderr.length;
    send(server.pid, signal);
    await until(`a line on SIG${signal}`, () => new RegExp(`level=warn event=signal_ignored signal=SIG(${signal}|POLL)\\b`).test(server.stderr.slice(seen)));
    await expectServes(alice);
  }
  for (const signal of IGNORED) {
    send(server.pid, signal);
    await expectServes(alice);
  }
  for (const number of BY_NUMBER) {
    process.kill(server.pid, number);
    await expectServes(alice);
  }
  await until("the real-time signals", () => /signal=SIGRTMIN\+30/.test(server.stderr));
  send(server.pid, "XCPU");
  await until("a line on the limit", () => /level=error event=cpu_limit signal=SIGXCPU/.test(server.stderr));
  await alice.send("bob", "x");
  server.signal("SIGINT");
  assert.deepEqual(await server.ended(), { code: 0, signal: null }, server.stderr);
  assert.match(server.stderr, /event=stopping signal=SIGINT/);
});

if (!SHORT)
  for (const signal of ["SEGV", "ABRT", "BUS", "SYS"])
    scenario(`the end by SIG${signal} leaves a line in the log file`, { shards: [1] }, async (harness) => {
      const server = await harness.start({ shellPrefix: "ulimit -c 0" });
      send(server.pid, signal);
      assert.deepEqual(await server.ended(), { code: null, signal: `SIG${signal}` });
      assert.match(server.stderr, new RegExp(`^level=fatal event=crashed signal=SIG${signal}$`, "m"));
      await harness.startAgain();
      await harness.end();
    });

// What a write past it does: errors.test.mjs. The shell counts blocks of 512 bytes.
scenario("limits of file size, address space and CPU time are named at the start", { shards: [1] }, async (harness) => {
  const server = await harness.start({ shellPrefix: `ulimit -f 20480; ulimit -t 10000${SHORT ? "" : "; ulimit -v 1000000000"}` });
  assert.match(await server.logLine("file_size_limit"), /level=warn .*bytes=10485760 hint=".*LimitFSIZE/);
  assert.match(await server.logLine("cpu_time_limit"), /level=warn .*seconds=10000 hint=".*LimitCPU/);
  if (!SHORT) assert.match(await server.logLine("address_space_limit"), /level=warn .*bytes=1024000000000 hint=".*LimitAS/);
  await harness.end();
});
