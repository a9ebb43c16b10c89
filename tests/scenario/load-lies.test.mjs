// chitchat-load against servers that lie, in each scenario: it says which promise was broken, and ends with 1.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { startLiar } from "./lib/liar.mjs";
import { freePort, load, untilEnough } from "./lib/load.mjs";
import { BIN, makeDataDir, removeDataDir, Server, sleep } from "./lib/server.mjs";

// Several runs at a time, each with its own users: if an entry is missing, chitchat-load waits a while for it.
const AT_A_TIME = { concurrency: 6 };
let server;
let runs = 0;

async function through(lie, args, onSpawn, factor = 1) {
  const times = ["--duration", `${0.3 * factor}`, "--warmup", "0.1"];
  const liar = await startLiar(server.address.port, lie);
  try {
    return await load([...args, ...times, "--prefix", `run${runs++}-`, liar.address], onSpawn);
  } finally {
    liar.close();
  }
}

// `lie` is called until it returns a lie; with `isRepeated` it may lie again and again. The output must match `word`, and must not say
// `verified`.
async function foundOut(args, lie, word, isRepeated = false) {
  let hasLied = false;
  const counted = (object, link) => {
    const instead = hasLied && !isRepeated ? undefined : lie(object, link);
    hasLied ||= instead !== undefined;
    return instead;
  };
  const attempt = (factor) => {
    hasLied = false;
    return through(counted, args, undefined, factor);
  };
  const end = await untilEnough(attempt, ({ stdout }) => hasLied && word.test(stdout));
  assert.ok(hasLied, "the server has lied");
  assert.equal(end.status, 1, end.stdout + end.stderr);
  assert.match(end.stdout, word);
  assert.doesNotMatch(end.stdout, /^verified/m);
}

const changed = (message) => ({ ...message, text: message.text.slice(0, 40) + (message.text[40] === "A" ? "B" : "A") + message.text.slice(41) });
const renamed = (message) => ({ ...message, mid: `${message.mid.slice(0, -1)}${message.mid.endsWith("A") ? "B" : "A"}` });
const bytes = (...values) => Buffer.from(values);

// Lies with the tenth object of this `op`, when the run has begun.
const tenth = (op, lie) => {
  let seen = 0;
  return (object) => (object.op === op && ++seen >= 10 ? lie(object) : undefined);
};

async function passesTheTruth() {
  const end = await through(() => undefined, ["--scenario", "churn", "--connections", "20", "--churn", "40", "--window", "4"]);
  assert.equal(end.status, 0, end.stdout + end.stderr);
  assert.match(end.stdout, /^verified: /m);
}

const pairs = {
  args: ["--connections", "5", "--window", "4"],
  lies: {
    "drops a message": [tenth("msg", () => []), /BROKEN: (prev chain|loss or duplicates)/],
    "gives a message twice": [tenth("msg", (message) => [message, message]), /BROKEN: prev chain/],
    "changes a character": [tenth("msg", (message) => [changed(message)]), /BROKEN: content/],
    "gives a message another mid": [tenth("msg", (message) => [renamed(message)]), /BROKEN: loss or duplicates/],
    "sends a close": [tenth("msg", () => [bytes(0x88, 2, 3, 0xe9)]), /BROKEN: closes without cause/],
    "sends nonsense": [tenth("msg", () => [{}]), /BROKEN: replies/],
    "sends a binary frame": [tenth("msg", (message) => [bytes(0x82, 1, 0), message]), /BROKEN: replies/],
    "answers a send twice": [tenth("ok", (ok) => [ok, ok]), /BROKEN: replies/],
    "acknowledges without a mid": [tenth("ok", ({ mid, ...ok }) => [ok]), /BROKEN: replies/],
    "says of a new send that it knows it": [tenth("ok", ({ prev, ...ok }) => [{ ...ok, dup: true }]), /BROKEN: replies/],
  },
};

// What is dropped at the very end leaves no gap in any chain. chitchat-load waits long for it, so the test interrupts the run when
// nothing comes any more, and checks the report.
async function keepsTheTail() {
  let [chosen, seen, dropped, heardAt] = [0, 0, 0, 0];
  const keepTail = (object, link) => {
    heardAt = Date.now();
    if (object.op !== "msg" || !link.user?.endsWith("-2") || (link.isChosen ??= !chosen++) === false || ++seen <= 10) return undefined;
    dropped++;
    return [];
  };
  const interrupt = async (child) => {
    while (child.exitCode === null) {
      await sleep(50);
      if (dropped > 0 && Date.now() - heardAt > 1500) child.kill("SIGINT");
    }
  };
  const attempt = (factor) => {
    [chosen, seen, dropped] = [0, 0, 0];
    return through(keepTail, ["--scenario", "fanout", "--connections", "8", "--users", "2", "--window", "4"], interrupt, factor);
  };
  const end = await untilEnough(attempt, () => dropped > 0);
  assert.equal(end.status, 1, end.stdout + end.stderr);
  assert.match(end.stdout, new RegExp(`^BROKEN: 0 sends without an answer, ${dropped} entries missing at the end$`, "m"));
  assert.match(end.stdout, /^BROKEN: loss or duplicates: 1$/m);
  assert.equal(end.stdout.match(/^BROKEN: /gm).length, 3, `nothing but these and the interruption: ${end.stdout}`);
}

// -- history --

const page = (lie) => (object) => (object.op === "history" && object.messages.length > 2 ? lie(object, object.messages) : undefined);

const history = {
  args: ["--connections", "4", "--fill", "60", "--window", "2"],
  lies: {
    "leaves an entry out of a page": [page((reply, [, ...rest]) => [{ ...reply, messages: rest }]), /BROKEN: history/],
    "gives an entry of a page twice": [page((reply, [first, ...rest]) => [{ ...reply, messages: [first, first, ...rest] }]), /BROKEN: history/],
    "swaps two entries of a page": [page((reply, [a, b, ...rest]) => [{ ...reply, messages: [b, a, ...rest] }]), /BROKEN: history/],
    "changes a character on a page": [page((reply, [first, ...rest]) => [{ ...reply, messages: [changed(first), ...rest] }]), /BROKEN: content/],
    "gives an entry of a page another mid": [page((reply, [first, ...rest]) => [{ ...reply, messages: [renamed(first), ...rest] }]), /BROKEN: history/],
    "gives an entry of a page another ts": [page((reply, [first, ...rest]) => [{ ...reply, messages: [{ ...first, ts: first.ts - 1 }, ...rest] }]), /BROKEN: history/],
    // The second page may be taken for the answer to the next request, which has the same id.
    "gives a page twice": [page((reply) => [reply, reply]), /BROKEN: (replies|history)/],
    "says that there is no more": [page((reply) => (reply.more ? [{ ...reply, more: false }] : undefined)), /BROKEN: history/],
    "does not say where it goes on": [page(({ next, ...reply }) => (reply.more ? [reply] : undefined)), /BROKEN: history/],
    "leads on over an entry": [page((reply, messages) => (reply.more ? [{ ...reply, messages: messages.slice(1), next: reply.next }] : undefined)), /BROKEN: history/],
    "gives a page without messages": [page(({ messages, ...reply }) => [reply]), /BROKEN: history/],
  },
};

// -- peers --

const peers = (lie) => (object) => (object.op === "peers" && object.peers.length > 1 ? lie(object, object.peers) : undefined);
const changedPeer = (change) => peers((reply, [first, ...rest]) => [{ ...reply, peers: [change(first), ...rest] }]);

const talks = {
  args: ["--connections", "4", "--fill", "60", "--window", "2"],
  lies: {
    "leaves a conversation out": [peers((reply, [, ...rest]) => [{ ...reply, peers: rest }]), /BROKEN: conversations/],
    "swaps two conversations": [peers((reply, [a, b, ...rest]) => [{ ...reply, peers: [b, a, ...rest] }]), /BROKEN: conversations/],
    "counts one unseen message too many": [changedPeer((peer) => ({ ...peer, unseen: peer.unseen + 1 })), /BROKEN: conversations/],
    "has forgotten a mark": [changedPeer((peer) => (peer.seen > 0 ? { ...peer, seen: 0 } : { ...peer, seen: peer.last.ts - 1 })), /BROKEN: conversations/],
    "gives another receipt": [changedPeer((peer) => ({ ...peer, seen_by: peer.seen_by + 1 })), /BROKEN: conversations/],
    "changes a character of a last message": [changedPeer((peer) => ({ ...peer, last: changed(peer.last) })), /BROKEN: content/],
    "gives a seen_by twice": [(object) => (object.op === "seen_by" ? [object, object] : undefined), /BROKEN: conversations/],
  },
};

// -- replay: the first four connections are new, all others come back --

const CONNECTIONS = 4;
const replayed = (lie) => (object, link) => (link.number >= CONNECTIONS ? lie(object, link) : undefined);
// Drops the first entry of a connection, and gives the second the `prev` of the first.
function mend(object, link) {
  if (object.op !== "msg") return undefined;
  if (link.prev === undefined) {
    link.prev = object.prev;
    return [];
  }
  const { prev } = link;
  link.prev = object.ts;
  return object.prev === prev || link.isMended ? undefined : ((link.isMended = true), [{ ...object, prev }]);
}

const replay = {
  args: ["--connections", String(CONNECTIONS), "--fill", "60"],
  lies: {
    "does not replay an entry": [replayed((object) => (object.op === "msg" ? [] : undefined)), /BROKEN: prev chain/],
    "replays an entry twice": [replayed((object) => (object.op === "msg" ? [object, object] : undefined)), /BROKEN: prev chain/],
    "changes a character of a replay": [replayed((object) => (object.op === "msg" ? [changed(object)] : undefined)), /BROKEN: content/],
    "gives a replayed entry another mid": [replayed((object) => (object.op === "msg" ? [renamed(object)] : undefined)), /BROKEN: resuming/],
    "says live before it has replayed all": [replayed((object) => (object.op === "ok" ? [object, { op: "live" }] : undefined)), /BROKEN: resuming/],
  },
};

async function mendsTheChain() {
  const args = ["--scenario", "replay", "--connections", String(CONNECTIONS), "--fill", "60"];
  const end = await untilEnough((factor) => through(replayed(mend), args, undefined, factor), ({ status }) => status === 1);
  assert.equal(end.status, 1, end.stdout + end.stderr);
  assert.match(end.stdout, /first: resuming: the replay is not the timeline/);
  assert.doesNotMatch(end.stdout, /BROKEN: (prev chain|content|order|replies|history)/);
}

// -- churn: the first twenty connections are new, all others come back --

const isBack = (object, link) => link.number >= 20 && object.op === "ok" && object.last !== undefined;
const back = (lie) => (object, link) => (isBack(object, link) ? lie(object) : undefined);

const churn = {
  args: ["--connections", "20", "--churn", "80", "--window", "4"],
  lies: {
    // Repeated: it is no lie to a connection that has got nothing yet.
    "has forgotten what it gave": [back((ok) => [{ ...ok, last: 1 }]), /BROKEN: resuming/, true],
    "says that all is void": [back((ok) => [{ ...ok, reset: true }]), /BROKEN: resuming/],
    "gives another epoch": [back((ok) => [{ ...ok, epoch: "another" }]), /BROKEN: resuming/],
    "drops a message after a connection came back": [(object, link) => (link.number >= 20 && object.op === "msg" ? [] : undefined), /BROKEN: (prev chain|resuming)/],
  },
};

// -- --kill-server --

// The second start copies the data; the third replaces them by that copy: what was acknowledged since is lost.
function writeScript(dir, port) {
  const script = path.join(dir, "start.sh");
  const lines = [
    `cd '${dir}'`,
    "echo start >> starts",
    "case $(wc -l < starts) in",
    "2) cp -a data older ;;",
    "3) rm -rf data; cp -a older data ;;",
    "esac",
    `exec '${BIN}' serve --data data --listen 127.0.0.1:${port} --shards 2 --wal-segment-bytes 4M 2>> log`,
  ];
  fs.writeFileSync(script, lines.join("\n"));
  return script;
}

async function runOnOlderCopy(factor) {
  const dir = makeDataDir();
  try {
    const port = await freePort();
    const args = ["--kill-server", `sh '${writeScript(dir, port)}'`, "--kill-every", "0.6", "--duration", `${3 * factor}`, "--warmup", "0.1"];
    return await load([...args, "--connections", "10", "--window", "4", `127.0.0.1:${port}`]);
  } finally {
    removeDataDir(dir);
  }
}

async function startsFromAnOlderCopy() {
  const KILLED_TWICE = /server killed and started +([2-9]|\d\d)/;
  const end = await untilEnough(runOnOlderCopy, ({ status, stdout }) => status === 1 && KILLED_TWICE.test(stdout));
  assert.equal(end.status, 1, end.stdout + end.stderr);
  assert.match(end.stdout, KILLED_TWICE);
  assert.match(end.stdout, /^BROKEN: resuming: /m);
  assert.match(end.stdout, /first: resuming: what was received is unknown/, "the epoch is the same");
  assert.doesNotMatch(end.stdout, /^verified/m);
}

describe("load against servers that lie", AT_A_TIME, () => {
  before(async () => {
    server = await Server.start({ shards: 2 });
  });
  after(() => server.end());

  for (const [scenario, { args, lies }] of Object.entries({ pairs, history, peers: talks, replay, churn }))
    for (const [what, [lie, ...expected]] of Object.entries(lies))
      test(`${scenario}: a server that ${what} is found out`, () => foundOut(["--scenario", scenario, ...args], lie, ...expected));
  test("fanout: a server that keeps the last messages from one connection is found out", keepsTheTail);
  test("replay: a server that leaves an entry out and mends the chain is found out", mendsTheChain);
  test("--kill-server: a server that starts from an older copy of its data is found out", startsFromAnOlderCopy);
  test("what passes through a proxy that does not lie is verified", passesTheTruth);
});
