// `./dev cluster`: three PostgreSQL servers and two chitchat nodes on loopback, to try out what a failure does. Keys end
// servers and bring them back. All data are in a directory of their own, which is removed at the end.
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import readline from "node:readline";
import { PostgresCluster } from "../scenario/lib/postgres.mjs";
import { BIN, ENVIRONMENT, runToEnd, until } from "../scenario/lib/server.mjs";

const SLOTS = "2";
const PORT = 8080; // of the first node; its admin address, and those of the other node, have the ports behind it

const dir = fs.mkdtempSync(path.join(os.tmpdir(), "chitchat-cluster-"));
const say = (text) => console.log(`\n== ${text}`);

class Node {
  #child;
  #ended;

  constructor(number, uri) {
    const port = PORT + 2 * (number - 1);
    const name = `node-${number}`;
    Object.assign(this, { name, uri, listen: `127.0.0.1:${port}`, admin: `127.0.0.1:${port + 1}`, data: path.join(dir, name), logFile: path.join(dir, `${name}.log`) });
  }

  // 200: it owns the slots. 503: it does not, or not yet. 0: it does not answer.
  status() {
    return fetch(`http://${this.admin}/readyz`, { signal: AbortSignal.timeout(1000) }).then(({ status }) => status, () => 0);
  }

  async start() {
    const out = fs.openSync(this.logFile, "a");
    const args = ["serve", "--listen", this.listen, "--admin", this.admin, "--advertise", `ws://${this.listen}/ws`, "--data", this.data, "--cluster", this.uri, "--node", this.name];
    this.#child = spawn(BIN, args, { stdio: ["ignore", "ignore", out], env: ENVIRONMENT });
    fs.closeSync(out);
    let hasEnded = false;
    this.#ended = new Promise((resolve) => this.#child.once("close", resolve)).then(() => (hasEnded = true));
    await until(() => `${this.name} to answer: see ${this.logFile}`, async () => hasEnded || (await this.status()) !== 0);
    if (hasEnded) throw new Error(`${this.name} has ended:\n${fs.readFileSync(this.logFile, "utf8")}`);
  }

  async end(signal) {
    this.signal(signal);
    await this.#ended;
  }

  signal(signal) {
    this.#child?.kill(signal);
  }
}

async function ownerOf(nodes) {
  let owner;
  await until("a node to own the slots", async () => {
    const statuses = await Promise.all(nodes.map((node) => node.status()));
    return (owner = nodes[statuses.indexOf(200)]);
  }, { every: 20 });
  return owner;
}

// The owner ends, or stands still, by `end`. The other node takes over.
async function takeOver({ nodes }, what, end) {
  const owner = await ownerOf(nodes);
  const other = nodes.find((node) => node !== owner);
  say(`${what} of ${owner.name}, which owns the slots`);
  const begun = Date.now();
  await end(owner);
  await ownerOf([other]);
  say(`${other.name} owns them ${Date.now() - begun} ms later: http://${other.listen}/`);
  return owner;
}

async function begin() {
  say("three PostgreSQL servers: a primary, and two standbys of which one must have what is acknowledged");
  const postgres = await PostgresCluster.start({ segmentMib: 16 });
  const nodes = [1, 2].map((number) => new Node(number, postgres.uri));
  const made = runToEnd(["cluster", "init", "--log", postgres.uri, "--slots", SLOTS]);
  if (made.status !== 0) throw new Error(made.stderr);
  console.log(made.stdout.trimEnd());
  for (const node of nodes) await node.start();
  const owner = await ownerOf(nodes);
  say(`${owner.name} owns the slots: http://${owner.listen}/. The other is its standby`);
  return { postgres, nodes };
}

async function failOver({ postgres }) {
  if (postgres.standbys.length < 2) return say("one standby is left, and it is needed: without one nothing is acknowledged. For another failover of PostgreSQL end (q), and begin anew");
  say(`kill -9 of PostgreSQL's primary (${postgres.primary.name})`);
  await postgres.primary.kill();
  const begun = Date.now();
  await postgres.failOver();
  say(`${postgres.primary.name} is promoted, ${Date.now() - begun} ms after the kill, and ${postgres.standbys[0].name} follows it; a cluster manager would have to notice first that the primary is gone`);
}

async function killOwner(all, isEmpty) {
  const killed = await takeOver(all, "kill -9", (owner) => owner.end("SIGKILL"));
  if (isEmpty) fs.rmSync(killed.data, { recursive: true });
  await killed.start();
  say(`${killed.name} is a standby${isEmpty ? ", with an empty data directory: it reads the whole log" : ""}`);
}

async function pauseOwner(all) {
  const paused = await takeOver(all, "SIGSTOP", (owner) => owner.signal("SIGSTOP"));
  paused.signal("SIGCONT");
  say(`${paused.name} goes on: it finds that it is deposed, and becomes a standby (event=deposed in ${paused.logFile})`);
}

async function standbys({ postgres, nodes }) {
  for (const standby of postgres.standbys) standby.pause();
  say("all standbys stand still for 10 s: nothing is acknowledged, sends wait or get `busy`");
  await new Promise((resolve) => setTimeout(resolve, 10000));
  for (const standby of postgres.standbys) standby.resume();
  const owner = await ownerOf(nodes);
  say(`they go on. A silent log looks like a silent owner: now ${owner.name} owns the slots: http://${owner.listen}/`);
}

const KEYS = {
  p: ["kill -9 of PostgreSQL's primary, promotion of a standby", failOver],
  n: ["kill -9 of the node that owns the slots; it starts again", (all) => killOwner(all, false)],
  d: ["the same, and its data directory is lost", (all) => killOwner(all, true)],
  z: ["SIGSTOP of the node that owns the slots, SIGCONT when the other has them", pauseOwner],
  c: ["chitchat cluster status", ({ postgres }) => console.log(runToEnd(["cluster", "status", "--log", postgres.uri]).stdout)],
  s: ["the standbys of PostgreSQL stop for 10 s", standbys],
};

async function help({ postgres, nodes }) {
  const { listen } = await ownerOf(nodes);
  console.log(`\nTry it: http://${listen}/ in two windows, or: ${BIN} chat --user alice --to bob ws://${listen}/ws`);
  console.log(`logs of the nodes: ${dir}/node-*.log\nlog of the cluster: psql '${postgres.uri}'\n`);
  console.log("Type a letter, then Enter:\n");
  for (const [key, [what]] of Object.entries(KEYS)) console.log(`  ${key}  ${what}`);
  console.log("  q  end\n");
}

let all;
let isEnding = false;
async function end(code) {
  if (isEnding) return;
  isEnding = true;
  for (const node of all?.nodes ?? []) await node.end("SIGTERM");
  await all?.postgres.end();
  fs.rmSync(dir, { recursive: true, force: true });
  process.exit(code);
}
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => end(0));

try {
  all = await begin();
  await help(all);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const key = line.trim();
    if (key === "q") break;
    if (KEYS[key]) await KEYS[key][1](all);
    else await help(all);
  }
  await end(0);
} catch (error) {
  console.error(error.message);
  await end(1);
}
