// Runs a command of the binary while the test goes on, as a server of the test must answer it.
import { execFile } from "node:child_process";
import { BIN, DEADLINE_MS } from "./server.mjs";

// { code, stdout, stderr }
export function run(args, env = {}) {
  const plain = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("CHITCHAT_")));
  return new Promise((resolve) =>
    execFile(BIN, args, { env: { ...plain, ...env }, timeout: DEADLINE_MS, maxBuffer: 1 << 26 }, (error, stdout, stderr) =>
      resolve({ code: error ? error.code : 0, stdout, stderr })));
}
