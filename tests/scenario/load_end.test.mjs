// chitchat-load against a server that stalls over the end of the measured time.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { loadOnTerminal } from "./lib/load.mjs";
import { makeDataDir, removeDataDir, Server, sleep } from "./lib/server.mjs";

let dir;
before(() => (dir = makeDataDir()));
after(() => removeDataDir(dir));

// The server stalls from the beginning of the measured 2.5 s until two seconds after their end.
async function stalledOverTheEnd(args) {
  const server = await Server.start({ shards: 1 });
  const json = path.join(dir, `stalled-${server.pid}.json`);
  const times = ["--warmup", "0.2", "--duration", "2.5", "--json", json];
  const end = await loadOnTerminal([...args, ...times, `127.0.0.1:${server.address.port}`], async (until) => {
    await until("measure");
    await sleep(200);
    process.kill(server.pid, "SIGSTOP");
    await until("drain");
    await sleep(2000);
    process.kill(server.pid, "SIGCONT");
  });
  await server.end();
  assert.equal(end.status, 0, end.stdout + end.stderr);
  return { ...end, report: JSON.parse(fs.readFileSync(json, "utf8")) };
}

describe("load: a server that stalls over the end of the measured time", { concurrency: true }, () => {
  it("closed loop: what it answers later is among the latencies", async () => {
    const { report, stdout } = await stalledOverTheEnd(["--connections", "10", "--window", "4"]);
    assert.ok(report.ok.max > 2e6, `the longest: ${report.ok.max} us`);
    assert.ok(report.delivery.max > 2e6, `the longest: ${report.delivery.max} us`);
    assert.equal(report.late_sends, 40);
    assert.match(stdout, /^ {2}40 sends of the measured time were answered after it/m);
    assert.ok(Math.abs(report.ok.count - report.acknowledged) <= 80, "except those that were in flight at either end");
  });

  it("open loop: each send of the measured time is among the latencies, however late its answer", async () => {
    const { report, stdout } = await stalledOverTheEnd(["--connections", "10", "--rate", "1000"]);
    assert.ok(Math.abs(report.ok.count - 2500) < 60, `${report.ok.count} of 2500`);
    assert.ok(report.ok.p90 > 1e6, `${report.ok.p90} us`);
    assert.ok(report.late_sends > 900, `${report.late_sends}`);
    assert.ok(report.acknowledged < 1700, "a rate counts the answers in the measured time");
    assert.deepEqual([report.held_by_window, report.overdue], [false, 0], stdout.slice(-2000));
    assert.doesNotMatch(stdout, /BEHIND/, stdout.slice(-2000));
  });

  it("open loop: sends that the window held back leave later, and are measured", async () => {
    const { report, stdout } = await stalledOverTheEnd(["--connections", "10", "--window", "2", "--rate", "1000"]);
    assert.ok(Math.abs(report.ok.count - 2500) < 60, `${report.ok.count} of 2500`);
    assert.ok(report.behind > 900 && report.overdue === 0 && report.held_by_window === true, JSON.stringify(report));
    assert.match(stdout, /BEHIND: .* no connection had room in its\n {2}--window of 2: the window is too small for --rate, or the server too slow/);
  });

  it("history: pages that come later are among the latencies", async () => {
    const { report, stdout } = await stalledOverTheEnd(["--scenario", "history", "--connections", "4", "--fill", "100"]);
    assert.ok(report.page.max > 2e6, `the longest: ${report.page.max} us`);
    assert.equal(report.late_pages, 4);
    assert.match(stdout, /^ {2}4 pages of the measured time were answered after it/m);
  });
});
