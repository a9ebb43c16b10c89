// The disk is slower than the senders, and connections do not read what they are sent: memory stays under its limit,
// senders are asked to wait, and all that has nothing to do with it goes on. `./dev bench --check` says how quickly.
import assert from "node:assert/strict";
import { MIB, besideDeafReaders, besideDeafWriters, deaf, limitOf, onSlowDisk, optionsOf, readAll, sendTexts, watchMemory } from "./lib/backpressure.mjs";
import { expectShortTurns } from "./lib/beside.mjs";
import { checkKept, refusal, stopInTrouble, trouble } from "./lib/disk.mjs";
import { until } from "./lib/server.mjs";

const show = (harness, memory, text) => console.log(`# ${harness.shards} shards: RssAnon ${memory.first / MIB | 0} to ${memory.most / MIB | 0} MiB, ${text}`);

trouble("a disk of half a MB/s under ten times that: busy with retry_after, memory bounded, reads and pings go on, nothing is lost", async (harness, disk) => {
  const memtable = 8 * MIB;
  const { options, from, acknowledged, counts, memory, ping, page } = await onSlowDisk(harness, disk);
  show(harness, memory, `offered ${counts.offered / MIB | 0} MiB, taken ${acknowledged.length * 16000 / MIB | 0} MiB, busy ${counts.busy}, ${ping.count} pings, ${page.count} pages`);
  assert.ok(counts.busy > 0 && counts.offered > 8 * 0.5e6 * 12, JSON.stringify(counts));
  assert.ok(memory.most < limitOf(harness));
  assert.ok(memory.most - memory.first < harness.shards * (2 * memtable + 96 * MIB), `${memory.most} of ${memory.first}`);
  assert.ok(ping.count > 0 && page.count > 0, `${ping.count} pings, ${page.count} pages`);
  const after = await until("an end of busy", async () => {
    const reply = await from.request({ op: "send", to: "bob", text: "after", key: "after" });
    return reply.op === "ok" ? reply : null;
  });
  acknowledged.push({ to: "bob", text: "after", key: "after", ...after });
  await checkKept(harness, "alice", "bob", acknowledged);
  await harness.server.kill();
  await harness.startAgain({ options });
  await checkKept(harness, "alice", "bob", acknowledged);
  await harness.server.stop();
}, { shards: [2] });

trouble("a hundred connections that read no pushes: they are cut off, memory is bounded, who reads gets all", async (harness, disk) => {
  await harness.start({ options: optionsOf(harness), env: disk.env });
  const [alice, crowd] = [await harness.login("alice"), await harness.login("crowd")];
  const others = await Promise.all(Array.from({ length: 100 }, () => deaf(harness.server, "crowd")));
  const memory = watchMemory(harness.server);
  const count = 1200;
  await sendTexts(alice, "crowd", count, (sent) => crowd.untilMessages(sent));
  memory.stop();
  show(harness, memory, `${count * 16000 * 100 / MIB | 0} MiB pushed`);
  assert.ok(memory.most < limitOf(harness), `${memory.most}`);
  await alice.ok({ op: "ping" });
  await expectShortTurns(harness);
  for (const other of others) other.socket.destroy();
  await stopInTrouble(harness.server);
}, { shards: [2] });

trouble("hundreds of connections that ask for pages and replays and read nothing: memory is bounded, who reads is served", async (harness, disk) => {
  const { memory, others } = await besideDeafReaders(harness, disk);
  show(harness, memory, `${others.filter((other) => other.closed).length} cut off`);
  assert.ok(memory.most < limitOf(harness), `${memory.most}`);
  await expectShortTurns(harness);
  for (const other of others) other.socket.destroy();
  await stopInTrouble(harness.server);
}, { shards: [2] });

trouble("hundreds of connections that write much while they read nothing: reading from them stops, and they are served", async (harness, disk) => {
  const { alice, memory, others } = await besideDeafWriters(harness, disk);
  const { served, refused } = await readAll(others);
  memory.stop();
  show(harness, memory, `${served} served, ${refused} of ${300 - served} refused with the reason`);
  // Their requests wait in the kernel: the memory for stashes has no room for those of all.
  assert.ok(served > 260, `${served} served, ${refused} refused`);
  assert.ok(memory.most < limitOf(harness), `${memory.most}`);
  await alice.send("bob", "after");
  await expectShortTurns(harness);
  for (const other of others) other.socket.destroy();
  await stopInTrouble(harness.server);
}, { shards: [2] });

trouble("options that together do not fit --memory are refused at the start, with what would do", async (harness, disk) => {
  await harness.start({ options: ["--memtable-bytes", "8M"], env: disk.env });
  await harness.server.stop();
  const line = refusal(harness, disk, ["--memory", "300M", "--memtable-bytes", "64M"]);
  assert.match(line, /--memory 300M is too little for \d shards with --memtable-bytes 64M and \d+ connections, which need \d+M: give/);
}, { shards: [2] });
