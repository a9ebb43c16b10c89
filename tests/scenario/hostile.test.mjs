// Attacks that use up a budget, each beside a client that behaves (lib/beside.mjs).
import assert from "node:assert/strict";
import fs from "node:fs";
import { CONNS, MIB, PATIENT, anonymous, besideAttack, expectGivenBack } from "./lib/beside.mjs";
import { scenario } from "./lib/harness.mjs";
import { Raw, frameOf, upgradeRequest } from "./lib/raw.mjs";
import { SHORT, scaled, until } from "./lib/server.mjs";

function flood(name, frame, count, before = Buffer.alloc(0)) {
  scenario(name, { shards: [1, 2] }, async (harness) => {
    await harness.start({ options: PATIENT });
    await besideAttack(harness, "flood", { conns: CONNS, before, frame, count: scaled(count) }, 32);
  });
}

flood("empty pongs", frameOf("", { opcode: 10 }), 1000000);
flood("empty pings, each answered by a pong", frameOf("", { opcode: 9 }), 500000);
flood("empty continuations of a message that does not end", frameOf("", { opcode: 0, fin: false }), 1000000, frameOf("", { fin: false }));
flood("bad requests, each answered by an error", frameOf("{"), 100000);

scenario("pages of a long timeline in which nothing is found", { shards: [1] }, async (harness) => {
  await harness.start({ options: PATIENT });
  const filler = await harness.login("mallory");
  for (let i = 0; i < scaled(12000); i += 100) await Promise.all(Array.from({ length: 100 }, (_, k) => filler.send("mallory", `${i + k}`)));
  await besideAttack(harness, "pages", { conns: CONNS, pages: 500 }, 32);
});

scenario("a user with very many connections, fifty of which send to all of them", { shards: [1] }, async (harness) => {
  await harness.start({ options: PATIENT });
  await besideAttack(harness, "fanout", { conns: scaled(1000), senders: 50, each: 20 }, 64);
});

// -- what no budget counted --

scenario("thousands of heads that do not end: their memory is bounded and given back, whole heads are served", { shards: [1] }, async (harness) => {
  const count = scaled(4000);
  const head = Buffer.from(`${upgradeRequest().slice(0, -2)}X-Pad: ${"x".repeat(7000)}`);
  // A thirty-second of what is left of --memory is for heads (budget.h): 6 MiB, fewer than 600 of them. None may run out of
  // time before all are sent, however slow the machine is.
  await harness.start({ options: ["--memory", "342M", "--memtable-bytes", "8M", "--connections", "10000", "--login-time-s", "600"] });
  const alice = await harness.login("alice");
  await alice.send("bob", "the first takes memory of its own");
  const before = anonymous(harness);
  const raws = [];
  for (let i = 0; i < count; i++) {
    raws.push(await Raw.open(harness.server));
    raws.at(-1).write(head);
  }
  const late = await harness.login("carol");
  await late.ok({ op: "ping" });
  const refused = () => raws.filter((raw) => raw.received.includes("503")).length;
  await until(() => `503 for those without room: ${refused()} of ${count}`, () => refused() >= count - 600);
  // The short form has room for all.
  if (!SHORT) await until("the log to say so", () => /event=refused .*cause=heads address=127\.0\.0\.1 count=1 .*--memory/.test(harness.server.stderr));
  if (!SHORT) assert.ok(anonymous(harness) - before < 16 * MIB, `${(anonymous(harness) - before) / MIB} MiB for ${count} heads`);
  for (const raw of raws) raw.destroy();
  await expectGivenBack(harness);
});

// A slow disk makes the server answer `busy` meanwhile.
async function sendInTime(client, text) {
  const fields = { op: "send", to: "bob", text };
  return until("the send", async () => (await client.request(fields)).op === "ok");
}

scenario("connects to a full server: refused, and it keeps the descriptors that its files need", { shards: [1] }, async (harness) => {
  const options = ["--checkpoint-s", "1", "--memtable-bytes", "1M"];
  await harness.start({ shellPrefix: "ulimit -n 900", options });
  const alice = await harness.login("alice");
  const raws = [];
  let refused = 0;
  while (refused < scaled(600)) {
    const raw = await Raw.open(harness.server);
    raw.write(upgradeRequest());
    await raw.until(() => raw.received.length > 0 || raw.isEnded, "an answer");
    if (!raw.received.includes("101 Switching")) refused++;
    raws.push(raw);
    if (raws.length % 10 === 0) await sendInTime(alice, "x".repeat(10000));
  }
  assert.match(harness.server.stderr, /event=refused .*cause=full .*--connections/);
  await until("a checkpoint", async () => (await sendInTime(alice, "more")) && fs.readdirSync(harness.server.data, { recursive: true }).some((name) => /run-\d+\.mdb$/.test(name)));
  assert.doesNotMatch(harness.server.stderr, /Too many open files|accept_failed|checkpoint_failed/);
  for (const raw of raws) raw.destroy();
  await expectGivenBack(harness);
});
