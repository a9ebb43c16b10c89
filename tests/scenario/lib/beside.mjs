// A well-behaved client beside an attack. Clients do not wait for what other clients do: during the attack the other
// client goes on with one send after the other. Work is counted, not time: how many of these sends were answered until
// the attack had done its part, and how much work the longest turn had. In the end all that the attackers took is given
// back.
import assert from "node:assert/strict";
import fs from "node:fs";
import { attack } from "./attack.mjs";
import { SHORT, scaled } from "./server.mjs";

export const CONNS = 8;
// Attackers answer no ping, and on a busy machine an attack lasts longer than a silence may.
export const PATIENT = ["--ping-s", "3600"];
// Sends of the other client, at least, during an attack. Where the disk is slow, or this process gets no CPU, the attack may
// be over before: then it is done again, at most so often.
const SENDS_LEAST = scaled(20);
const ATTACKS_MOST = 8;
export const MIB = 1 << 20;

export const anonymous = (harness) => Number(/^RssAnon:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${harness.server.pid}/status`, "utf8"))[1]) * 1024;

// Sends of a well-behaved client until `attack` has ended; then nothing is left of anybody. `mib`: what the server's
// memory may grow by meanwhile, with the other client's messages. Not in the short form, where sanitizers keep memory.
export async function besideAttack(harness, kind, options, mib) {
  const alice = await harness.login("alice");
  await alice.send("bob", "the first takes memory of its own");
  const before = anonymous(harness);
  let sends = 0;
  let most = 0;
  for (let attacks = 0; attacks === 0 || (sends < SENDS_LEAST && attacks < ATTACKS_MOST); attacks++) {
    let isOver = false;
    const attacked = attack(harness.server, kind, options).finally(() => (isOver = true));
    while (!isOver) {
      await alice.send("bob", `send ${sends}`);
      if (sends++ % 50 === 0) most = Math.max(most, anonymous(harness) - before);
    }
    await attacked;
  }
  if (mib !== undefined && !SHORT) assert.ok(most < mib * MIB, `${(most / MIB).toFixed(1)} MiB, ${mib} are allowed`);
  assert.ok(sends >= SENDS_LEAST, `${sends} sends only were answered during the attacks`);
  await expectGivenBack(harness);
}

export async function expectShortTurns(harness) {
  const turns = await harness.server.turns();
  assert.ok(turns.work <= turns.allowed, `a turn of ${turns.work} us of counted work, ${turns.allowed} are allowed`);
}

export async function expectGivenBack(harness) {
  await expectShortTurns(harness);
  harness.checkClients();
  await harness.server.untilAtRest(harness.shards);
  await harness.server.stop();
}
