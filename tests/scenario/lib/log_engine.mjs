// A session of a log engine, in a process of its own: tests/cluster/log_engine_driver.c. Each call resolves to what the
// driver printed: { status, error, result, last, … }. A status below 0 is a number of errors.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import path from "node:path";
import readline from "node:readline";
import { test } from "node:test";
import { PROGRAMS, PostgresCluster } from "./postgres.mjs";
import { BIN, SHORT, until } from "./server.mjs";

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
    engine.#child.once("close", (code, signal) => {
      running.delete(engine.#child);
      for (const { reject } of engine.#waiting) reject(new Error(`the driver has ended: ${code ?? signal}`));
    });
    const opened = engine.#answer();
    readline.createInterface({ input: engine.#child.stdout }).on("line", (line) => engine.#waiting.shift().resolve(JSON.parse(line)));
    engine.opened = await opened;
    return engine;
  }

  #answer() {
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  call(...words) {
    this.#child.stdin.write(`${words.join(" ")}\n`);
    return this.#answer();
  }

  create(slots) {
    return this.call("create", slots, TIMEOUT_MS);
  }

  check() {
    return this.call("check", TIMEOUT_MS);
  }

  // `other`: behind another batch with the number `last` than the one that was appended.
  append(slot, generation, last, text, ms = TIMEOUT_MS, other = false) {
    return this.call("append", slot, generation, last, text, ms, Number(other));
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

  report(name, runs) {
    return this.call("report", name, runs.join(","), TIMEOUT_MS);
  }

  nodes() {
    return this.call("nodes", TIMEOUT_MS);
  }

  forget(awayS) {
    return this.call("forget", awayS, TIMEOUT_MS);
  }

  leave(name) {
    return this.call("leave", name, TIMEOUT_MS);
  }

  close() {
    const ended = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.stdin.end();
    return ended;
  }
}

// A test with a cluster of its own, and sessions that end with it. body(cluster, open): open(options, uris) begins a session.
// isBig: left out of the short form.
export function withCluster(name, { isBig = false, ...options }, body) {
  if (isBig && SHORT) return;
  test(name, { skip: PROGRAMS === undefined && "PostgreSQL is not installed" }, async () => {
    const cluster = await PostgresCluster.start(options);
    if (cluster === undefined) return console.log("# not run: needs the right to mount");
    const sessions = [];
    const open = async (more, uris = cluster.uri) => {
      sessions.push(await LogEngine.open(uris, more));
      return sessions.at(-1);
    };
    try {
      await body(cluster, open);
    } finally {
      await cluster.end();
      await Promise.all(sessions.map((session) => session.close()));
    }
  });
}

export function assertIs(result, answer) {
  assert.equal(answer.result, result, JSON.stringify(answer));
  return answer;
}

// Batches 1 to `count`, as `run` makes them, each once, in order.
export async function assertHolds(session, slot, count) {
  let next = 1;
  while (next <= count) {
    const { batches, status, error } = await session.read(slot, next);
    assert.ok(status > 0, `${status} ${error} at ${next} of ${count}`);
    for (const { number, text } of batches) {
      if (number <= count) assert.equal(text.split(":")[1], String(number));
      assert.equal(number, next++);
    }
  }
}

// Appends batch last + 1 again, whose outcome was unknown, and one more behind it, until both are known to be durable.
export async function settle(session, slot, generation, last) {
  const text = `${generation}:${last + 1}`;
  let answer;
  await until(() => JSON.stringify(answer), async () => {
    answer = await session.append(slot, generation, last, text);
    return answer.result === "acked" || answer.result === "refused";
  });
  if (answer.result === "refused") {
    assert.equal(answer.last, last + 1, "it is in the log, and nothing behind it");
    assert.deepEqual(await session.texts(slot, last + 1), [text]);
  }
  await until(() => JSON.stringify(answer), async () => {
    answer = await session.append(slot, generation, last + 1, `${generation}:${last + 2}`);
    return answer.result === "acked";
  });
  await assertHolds(session, slot, last + 2);
  assert.equal((await session.tail(slot)).last, last + 2);
}
