// A server that is started where it cannot have all that it needs: few descriptors, little memory, no io_uring.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { scenario } from "./lib/harness.mjs";
import { BIN, DEADLINE_MS, ENVIRONMENT, makeDataDir, removeDataDir } from "./lib/server.mjs";
import { test } from "node:test";

// Runs a server, which must not start, in a shell that does `prefix` first: { status, stderr }.
function startIn(prefix, data, options, env = {}) {
  const args = ["-c", `${prefix}; exec "$0" "$@"`, BIN, "serve", "--listen", "127.0.0.1:0", "--data", data, "--shards", "1", ...options];
  return spawnSync("/bin/sh", args, { encoding: "utf8", timeout: DEADLINE_MS, env: { ...ENVIRONMENT, ...env } });
}

scenario("where descriptors are few, the server serves fewer connections than by default, and warns", { shards: [2] }, async (harness) => {
  const server = await harness.start({ shellPrefix: "ulimit -n 1000" });
  const line = await server.logLine("few_descriptors");
  assert.match(line, /level=warn .*limit=1000 needed=100704 connections=296 hint=".*LimitNOFILE/);
  assert.match(server.stderr, /event=ready .* connections=296 /);
  await harness.login("alice");
  await harness.end();
});

test("connections that were asked for and cannot be had are an error that names the limit, wherever they were asked for", () => {
  const data = makeDataDir();
  try {
    for (const [options, env] of [[["--connections", "5000"], {}], [[], { CHITCHAT_CONNECTIONS: "5000" }]]) {
      const { status, stderr } = startIn("ulimit -n 1000", data, options, env);
      assert.equal(status, 1);
      assert.equal(stderr, "chitchat: --connections 5000 needs a limit of open files of 5384, and it is 1000: raise it (ulimit -Hn, LimitNOFILE= of systemd), or give --connections 616\n");
    }
  } finally {
    removeDataDir(data);
  }
});
