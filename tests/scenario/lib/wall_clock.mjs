// A wall clock that a test sets: the server with the library of tests/places/wall_clock.c, where the file is described.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { scenario } from "./harness.mjs";
import { BIN } from "./server.mjs";

const LIBRARY = path.join(path.dirname(BIN), "libwall_clock.so");

export const SECOND = 1000000; // of a ts
export const YEAR = 365 * 86400 * SECOND;

export class WallClock {
  #dir = fs.mkdtempSync(path.join(os.tmpdir(), "chitchat-clock-"));
  #file = path.join(this.#dir, "wall");

  constructor() {
    this.leap(0);
  }

  get env() {
    return { LD_PRELOAD: LIBRARY, WALL_CLOCK: this.#file };
  }

  #write(mode, us) {
    const words = new BigInt64Array([BigInt(mode), BigInt(us), ~(BigInt(mode) ^ BigInt(us))]);
    const fd = fs.openSync(this.#file, fs.existsSync(this.#file) ? "r+" : "w");
    fs.writeSync(fd, new Uint8Array(words.buffer), 0, words.byteLength, 0);
    fs.closeSync(fd);
  }

  // From now on the clock is so many us ahead of the system's.
  leap(us) {
    this.#write(0, us);
  }

  // From now on the clock stands there, us since the epoch.
  stand(us) {
    this.#write(1, us);
  }

  clean() {
    fs.rmSync(this.#dir, { recursive: true, force: true });
  }
}

// A scenario with a clock of its own.
export function clocked(name, run, { shards } = {}) {
  scenario(name, { shards }, async (harness) => {
    const clock = new WallClock();
    try {
      await run(harness, clock);
    } finally {
      clock.clean();
    }
  });
}
