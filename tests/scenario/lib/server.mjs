// A server under test: the real binary, a data directory of its own, a port that the system chose. It is only ever
// ended by its process id.
import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { certificate, optionsOf, TLS } from "./certificate.mjs";

export const BIN = path.resolve(process.env.CHITCHAT_BIN ?? "../../build/release/chitchat");
// Under sanitizers everything takes longer, so those runs are smaller.
export const SHORT = process.env.CHITCHAT_SCENARIO === "short";
export const LONG = process.env.CHITCHAT_SCENARIO === "long"; // for the soak
// Between them the runs have 1, 2 and 4, see `dev`.
export const SHARDS = (process.env.CHITCHAT_SCENARIO_SHARDS ?? (SHORT ? "2" : "4")).split(",").map(Number);
export const DEADLINE_MS = Number(process.env.TEST_DEADLINE_MS ?? 120000);
export const scaled = (count) => (SHORT ? Math.ceil(count / 10) : count);

// node does not stop a test whose time is over. Under `node --test` its file then ends as failed, and no server outlives
// a file.
const FILE_MS = Number(process.env.TEST_FILE_MS ?? 1500000);
const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
if (process.env.NODE_TEST_CONTEXT) setTimeout(endFile, FILE_MS).unref();

function endFile() {
  console.error(`this file of tests has not ended after ${FILE_MS / 1000} s: stopped`);
  process.exit(1);
}

// The CHITCHAT_ variables of the tests are no options of the server.
export const ENVIRONMENT = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("CHITCHAT_")));

export function makeDataDir() {
  return fs.mkdtempSync(path.join(os.tmpdir(), "chitchat-scenario-"));
}

export function removeDataDir(data) {
  fs.rmSync(data, { recursive: true, force: true });
}

// Calls body(dir) with a new directory, and removes it after the end of body.
export async function withDataDir(body) {
  const dir = makeDataDir();
  try {
    return await body(dir);
  } finally {
    removeDataDir(dir);
  }
}

// Runs the binary to its end: { status, stdout, stderr }.
export function runToEnd(args, env = {}) {
  return spawnSync(BIN, args, { encoding: "utf8", env: { ...ENVIRONMENT, ...env }, timeout: DEADLINE_MS, maxBuffer: 1 << 30 });
}

// The same while the test goes on: a promise.
export function runBeside(args) {
  return new Promise((resolve) =>
    execFile(BIN, args, { env: ENVIRONMENT, timeout: DEADLINE_MS }, (error, stdout, stderr) => resolve({ status: error === null ? 0 : error.code, stdout, stderr })),
  );
}

// A server on this data directory that is killed so many ms after its start, ready or not.
export function killedAfter(ms, data, options = []) {
  const args = ["serve", "--listen", "127.0.0.1:0", "--data", data, "--wal-segment-bytes", "4M", ...options];
  const { stderr, error } = spawnSync(BIN, args, { encoding: "utf8", timeout: ms, killSignal: "SIGKILL", env: ENVIRONMENT });
  assert.equal(error?.code, "ETIMEDOUT", `it ended by itself: ${stderr}`);
}

// Tests send faster than people do. Those of the rates name their own; the last value of an option counts.
const NO_RATES = ["--frame-rate", "0", "--send-rate", "0", "--history-rate", "0"];

export class Server {
  // Set by start, then only read.
  #child;
  #ownsData;
  #ended; // resolves to { code, signal }
  address; // the first of addresses
  addresses; // { host, port }, with TLS also { isTls, ca }: of --listen, then of --listen-tls
  tlsAddress; // the first of --listen-tls, if there is one
  admins; // as addresses: of --admin, then of --admin-tls
  admin; // the first of them
  data;
  pid;
  stderr = "";

  // shards: null leaves the option out. data: a new directory if not given, removed in the end. options: further
  // arguments. listenTls: addresses with TLS; in a run with TLS, `listen` is meant by them. shellPrefix: what a shell does
  // before it becomes the server. isStandby: it is a node of a cluster that another node owns. hasRates: those that the server has by default.
  static async start({ shards = 2, data, options = [], listen, listenTls, env = {}, shellPrefix, hasRates = false, isStandby = false } = {}) {
    const server = new Server();
    server.#ownsData = data === undefined;
    server.data = data ?? makeDataDir();
    const plain = TLS && !listenTls ? [] : listen ?? (listenTls ? [] : ["127.0.0.1:0"]);
    const secure = listenTls ?? (TLS ? listen ?? ["127.0.0.1:0"] : []);
    const args = ["serve", ...plain.flatMap((at) => ["--listen", at]), ...secure.flatMap((at) => ["--listen-tls", at])];
    args.push("--data", server.data);
    if (secure.length > 0 && !options.includes("--tls-cert")) args.push(...optionsOf(certificate()));
    if (shards !== null) args.push("--shards", String(shards));
    if (!hasRates) args.push(...NO_RATES);
    if (!options.includes("--wal-segment-bytes")) args.push("--wal-segment-bytes", "4M");
    // On a machine with other work the last checkpoint may take longer than the default, and the server then leaves it out.
    args.push("--stop-time-s", "60");
    args.push(...options);
    server.#spawn(args, env, shellPrefix);
    try {
      if (isStandby) await server.#standsBy([...plain.map(splitAddress), ...secure.map(splitTlsAddress)]);
      else await server.#ready();
    } catch (error) {
      await server.clean(); // nobody has it who could end it, and the test file would not end before it
      throw error;
    }
    return server;
  }

  // With a prefix a shell runs it first and then becomes the server: same process id.
  #spawn(args, env, shellPrefix) {
    const command = shellPrefix ? "/bin/sh" : BIN;
    const all = shellPrefix ? ["-c", `${shellPrefix}; exec "$0" "$@"`, BIN, ...args] : args;
    this.#child = spawn(command, all, { stdio: ["ignore", "ignore", "pipe"], env: { ...ENVIRONMENT, CHITCHAT_LOG_LEVEL: "debug", ...env } });
    this.pid = this.#child.pid;
    running.add(this.#child);
    this.#child.stderr.setEncoding("utf8");
    this.#child.stderr.on("data", (text) => (this.stderr += text));
    this.#ended = new Promise((resolve) => {
      this.#child.on("error", (error) => resolve({ code: null, signal: null, error }));
      this.#child.on("close", (code, signal) => {
        running.delete(this.#child);
        resolve({ code, signal });
      });
    });
  }

  // A node of a cluster that does not own its slots: the addresses are those of its options.
  async #standsBy(addresses) {
    await this.#begun("standby");
    this.addresses = addresses;
    [this.address] = addresses;
  }

  #begun(event) {
    return Promise.race([
      this.logLine(event),
      this.#ended.then((end) => {
        throw new Error(`the server ended before it was ready: ${JSON.stringify(end)}\n${this.stderr}`);
      }),
    ]);
  }

  async #ready() {
    const line = await this.#begun("ready");
    const addresses = (name) => new RegExp(`(?: ${name}=|"${name}":")([^\\s"]+)`).exec(line)?.[1].split(",").map(name.endsWith("_tls") ? splitTlsAddress : splitAddress) ?? [];
    this.addresses = [...addresses("listen"), ...addresses("listen_tls")];
    this.address = this.addresses[0];
    this.tlsAddress = this.addresses.find((at) => at.isTls);
    this.admins = [...addresses("admin"), ...addresses("admin_tls")];
    this.admin = this.admins[0];
  }

  // The first line of the log with event=NAME, as soon as it is there.
  async logLine(event) {
    const found = new RegExp(`^.*(\\bevent=|"event":")${event}\\b.*\\n`, "m");
    const [line] = await until(() => `event=${event} in the log:\n${this.stderr}`, () => found.exec(this.stderr), { every: 5 });
    return line;
  }

  url(path = "/ws", at = this.address) {
    return `${at.isTls ? "wss" : "ws"}://${at.host}:${at.port}${path}`;
  }

  signal(name) {
    process.kill(this.pid, name);
  }

  // { code, signal }, when the process has ended.
  ended() {
    return within(DEADLINE_MS, "the end of the server", this.#ended);
  }

  isRunning() {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  // SIGTERM: all must end well.
  async stop() {
    assert.ok(this.isRunning(), `the server had ended before:\n${this.stderr}`);
    this.signal("SIGTERM");
    const end = await this.ended();
    this.checkLog();
    assert.deepEqual(end, { code: 0, signal: null }, this.stderr);
    this.#checkRest();
  }

  // When a shard ends, all that was taken is back; when all have ended, no connection is counted.
  #checkRest() {
    const ends = [...this.stderr.matchAll(/event=rest shard=\d+ at=end connections=(\d+) clean=(\w+) left="(.*)"/g)];
    assert.ok(ends.length > 0, this.stderr);
    assert.deepEqual(ends.map(([, , clean, left]) => `${clean} ${left}`), ends.map(() => "yes "));
    assert.ok(ends.some(([, count]) => count === "0"), "lines of two shards may change places");
  }

  // Nobody is connected any more, and each shard reports that all was given back.
  async untilAtRest(shards) {
    const before = this.stderr.length;
    const clean = () => new Set([...this.stderr.slice(before).matchAll(/event=rest shard=(\d+) at=idle connections=0 clean=yes/g)].map(([, shard]) => shard));
    await until(() => `all to be given back:\n${this.newestLines(2000)}`, () => clean().size === shards, { every: 100 });
  }

  // The longest turns so far: by the clock, in counted work, and what counted work may be at most; microseconds.
  async turns() {
    const before = this.stderr.length;
    await until("a word on turns", () => this.stderr.slice(before).includes("event=turns"), { every: 50 });
    const all = [...this.stderr.matchAll(/event=turns .*longest_us=(\d+) longest_work_us=(\d+) most_work_us=(\d+)/g)];
    const most = (at) => Math.max(...all.map((match) => Number(match[at])));
    return { us: most(1), work: most(2), allowed: most(3) };
  }

  // The end of its log, without the lines on turns, which come each second.
  newestLines(characters) {
    return this.stderr.replace(/^.* event=turns .*\n/gm, "").slice(-characters);
  }

  async kill() {
    if (this.isRunning()) this.signal("SIGKILL");
    await this.ended();
    this.checkLog();
  }

  checkLog() {
    assert.doesNotMatch(this.stderr, /Sanitizer|runtime error|assertion|level=error/i);
  }

  // The end of a server that its tests are done with.
  async end() {
    try {
      await this.stop();
    } finally {
      await this.clean();
    }
  }

  // Whatever the test did: no process and no directory is left.
  async clean() {
    if (this.isRunning()) this.signal("SIGKILL");
    await this.#ended;
    if (this.#ownsData) removeDataDir(this.data);
  }
}

function splitAddress(text) {
  const at = text.lastIndexOf(":");
  return { host: text.slice(0, at), port: Number(text.slice(at + 1)) };
}

// With the certificate to trust: other threads have another.
function splitTlsAddress(text) {
  return { ...splitAddress(text), isTls: true, ca: certificate().ca };
}

export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// What `condition` gives, as soon as it is true; looked at every `every` ms, or with 0 as often as can be. `what` may be
// a function, for words that are known only in the end.
export async function until(what, condition, { every = 20 } = {}) {
  for (const end = Date.now() + DEADLINE_MS; ; await (every ? sleep(every) : new Promise(setImmediate))) {
    const value = await condition();
    if (value) return value;
    if (Date.now() >= end) throw new Error(`waited ${DEADLINE_MS} ms in vain for ${typeof what === "function" ? what() : what}`);
  }
}

export async function within(ms, what, promise) {
  let timer;
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms in vain for ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
