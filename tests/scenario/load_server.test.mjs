// chitchat-load --kill-server: any shell command works, and at the end none of its processes is left.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, it, test } from "node:test";
import { freePort, listens, load } from "./lib/load.mjs";
import { BIN, makeDataDir, removeDataDir, Server } from "./lib/server.mjs";

let dir;
before(() => (dir = makeDataDir()));
after(() => removeDataDir(dir));

const COMMANDS = {
  "sets a variable": (serve) => `LOAD_TEST=1 ${serve}`,
  "changes the directory": (serve) => `cd / && ${serve}`,
  "says exec itself": (serve) => `exec ${serve}`,
  "goes on after the server": (serve) => `${serve}; true`,
  "has the server in a process group of its own": (serve) => `timeout 100 ${serve}; true`,
};
describe("load: --kill-server", { concurrency: 2 }, () => {
  for (const [what, commandOf] of Object.entries(COMMANDS))
    it(`a command that ${what} is killed, started again and stopped`, async () => {
      const port = await freePort();
      const json = path.join(dir, `${port}.json`);
      const serve = `${BIN} serve --data ${dir}/${port} --listen 127.0.0.1:${port} --shards 1 --wal-segment-bytes 4M 2>/dev/null`;
      const times = ["--kill-every", "0.7", "--duration", "2", "--warmup", "0.1", "--connections", "10", "--json", json];
      const end = await load(["--kill-server", commandOf(serve), ...times, `127.0.0.1:${port}`]);
      assert.equal(end.status, 0, end.stdout + end.stderr);
      assert.match(end.stdout, /server killed and started +[1-9]/);
      const report = JSON.parse(fs.readFileSync(json, "utf8"));
      assert.ok(report.server_cpu_s > 0.001 && report.server_rss_end > 4 << 20, "of the server, not of its shell");
      assert.match(end.stdout, /^ {2}RSS [1-9].* MiB at the end/m);
      assert.equal(await listens(port), false, "nothing of it is left");
    });
});

test("load: --kill-server refuses to start a server where something listens already", async () => {
  const server = await Server.start({ shards: 1 });
  const at = `127.0.0.1:${server.address.port}`;
  const end = await load(["--kill-server", `${BIN} serve --data ${dir}/second --listen ${at}`, "--duration", "1", at]);
  assert.equal(await server.end(), undefined);
  assert.equal(end.status, 2, end.stdout + end.stderr);
  assert.equal(end.stderr, `chitchat-load: something listens at ${at} already; --kill-server starts a server of its own there\n`);
});

test("load: --kill-server says when its command ends before anything listens", async () => {
  const end = await load(["--kill-server", "exit 3", `127.0.0.1:${await freePort()}`]);
  assert.equal(end.status, 2);
  assert.match(end.stderr, /^chitchat-load: the command of --kill-server ended before anything listened at [^\n]+\n$/);
});
