// `./dev cluster`: three PostgreSQL servers and a chitchat node on loopback, to try out what a failure does. Keys end servers
// and bring them back. All data are in a directory of their own, which is removed at the end.
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import readline from "node:readline";
import { PostgresCluster } from "../scenario/lib/postgres.mjs";
import { BIN, runToEnd, until } from "../scenario/lib/server.mjs";

const SLOTS = "2";
const LISTEN = "127.0.0.1:8080";
const ADMIN = "127.0.0.1:8081";

const dir = fs.mkdtempSync(path.join(os.tmpdir(), "chitchat-cluster-"));
const say = (text) => console.log(`\n== ${text}`);

class Node {
  #child;
  #ended;
  log = "";

  constructor(name, uri) {
    Object.assign(this, { name, uri, data: path.join(dir, name), logFile: path.join(dir, `${name}.log`) });
  }

  async start() {
    const out = fs.openSync(this.logFile, "a");
    const args = ["serve", "--listen", LISTEN, "--admin", ADMIN, "--data", this.data, "--cluster", this.uri, "--node", this.name];
    this.#child = spawn(BIN, args, { stdio: ["ignore", "ignore", out] });
    fs.closeSync(out);
    let hasEnded = false;
    this.#ended = new Promise((resolve) => this.#child.once("close", resolve)).then(() => (hasEnded = true));
    await until(() => `${this.name} to be ready: see ${this.logFile}`, async () => hasEnded || (await fetch(`http://${ADMIN}/readyz`).then(({ ok }) => ok, () => false)));
    if (hasEnded) throw new Error(`${this.name} has ended:\n${fs.readFileSync(this.logFile, "utf8")}`);
    say(`${this.name} serves: http://${LISTEN}/`);
  }

  async end(signal) {
    this.#child?.kill(signal);
    await this.#ended;
  }
}

async function begin() {
  say("three PostgreSQL servers: a primary, and two standbys of which one must have what is acknowledged");
  const postgres = await PostgresCluster.start({ segmentMib: 16 });
  const node = new Node("node-1", postgres.uri);
  const made = runToEnd(["cluster", "init", "--log", postgres.uri, "--slots", SLOTS]);
  if (made.status !== 0) throw new Error(made.stderr);
  console.log(made.stdout.trimEnd());
  await node.start();
  return { postgres, node };
}

async function failOver({ postgres }) {
  if (postgres.standbys.length < 2) return say("the standby that is left is needed: without one nothing is acknowledged. End and begin anew (q)");
  say(`kill -9 of PostgreSQL's primary (${postgres.primary.name})`);
  await postgres.primary.kill();
  const begun = Date.now();
  await postgres.failOver();
  say(`${postgres.primary.name} is promoted, ${Date.now() - begun} ms after the kill; a cluster manager would have to notice it first`);
}

async function restart({ node }, isEmpty) {
  await node.end("SIGKILL");
  if (isEmpty) fs.rmSync(node.data, { recursive: true });
  say(`${node.name} was killed${isEmpty ? ", its data directory is gone" : ""}; it starts again`);
  const begun = Date.now();
  await node.start();
  say(`${Date.now() - begun} ms`);
}

async function standbys({ postgres }) {
  for (const standby of postgres.standbys) standby.pause();
  say("all standbys stand still for 10 s: nothing is acknowledged, sends wait or get `busy`");
  await new Promise((resolve) => setTimeout(resolve, 10000));
  for (const standby of postgres.standbys) standby.resume();
  say("they go on");
}

const KEYS = {
  p: ["kill -9 of PostgreSQL's primary, promotion of a standby", failOver],
  n: ["kill -9 of the node, start", (all) => restart(all, false)],
  d: ["the same, and the node's data directory is lost", (all) => restart(all, true)],
  s: ["the standbys of PostgreSQL stop for 10 s", standbys],
};

function help({ postgres, node }) {
  console.log(`\nTry it: http://${LISTEN}/ in two windows, or: ${BIN} chat --user alice --to bob\nlog of the node: ${node.logFile}\nlog of the cluster: psql ${postgres.uri}\n`);
  for (const [key, [what]] of Object.entries(KEYS)) console.log(`  ${key}  ${what}`);
  console.log("  q  end\n");
}

let all;
let isEnding = false;
async function end(code) {
  if (isEnding) return;
  isEnding = true;
  await all?.node.end("SIGTERM");
  await all?.postgres.end();
  fs.rmSync(dir, { recursive: true, force: true });
  process.exit(code);
}
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => end(0));

try {
  all = await begin();
  help(all);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const key = line.trim();
    if (key === "q") break;
    if (KEYS[key]) await KEYS[key][1](all);
    else help(all);
  }
  await end(0);
} catch (error) {
  console.error(error.message);
  await end(1);
}
