// A session of a log engine, in a process of its own: tests/cluster/log_engine_driver.c. Each call resolves to what the
// driver printed: { status, error, result, last, … }. A status below 0 is a number of errors.
import { spawn } from "node:child_process";
import path from "node:path";
import readline from "node:readline";
import { BIN } from "./server.mjs";

const DRIVER = path.join(path.dirname(BIN), "log-engine-driver");
const TIMEOUT_MS = 20000; // of calls that must not time out, however busy the machine is
const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

export class LogEngine {
  #child;
  #waiting = [];

  static async open(uris, { cluster = "test", durability = "standby", keepS = 0 } = {}) {
    const engine = new LogEngine();
    engine.#child = spawn(DRIVER, [cluster, durability, uris, String(keepS)], { stdio: ["pipe", "pipe", "inherit"] });
    running.add(engine.#child);
    engine.#child.once("close", () => running.delete(engine.#child));
    const opened = new Promise((resolve) => engine.#waiting.push(resolve));
    readline.createInterface({ input: engine.#child.stdout }).on("line", (line) => engine.#waiting.shift()(JSON.parse(line)));
    engine.opened = await opened;
    return engine;
  }

  call(...words) {
    this.#child.stdin.write(`${words.join(" ")}\n`);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  create(slots) {
    return this.call("create", slots, TIMEOUT_MS);
  }

  check() {
    return this.call("check", TIMEOUT_MS);
  }

  append(slot, generation, last, text, ms = TIMEOUT_MS) {
    return this.call("append", slot, generation, last, text, ms);
  }

  fill(slot, generation, last, bytes) {
    return this.call("fill", slot, generation, last, bytes, TIMEOUT_MS);
  }

  // Up to `count` appends, until one is not acknowledged.
  run(slot, generation, last, count, ms = TIMEOUT_MS) {
    return this.call("run", slot, generation, last, count, ms);
  }

  read(slot, from, bytes = 1 << 20) {
    return this.call("read", slot, from, bytes, TIMEOUT_MS);
  }

  async texts(slot, from) {
    return (await this.read(slot, from)).batches.map(({ text }) => text);
  }

  tail(slot) {
    return this.call("tail", slot, TIMEOUT_MS);
  }

  follow(slot, last, ms) {
    return this.call("follow", ms, slot, last);
  }

  purge(slot, below) {
    return this.call("purge", slot, below, TIMEOUT_MS);
  }

  close() {
    const ended = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.stdin.end();
    return ended;
  }
}
