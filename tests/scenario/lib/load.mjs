// chitchat-load, run to its end.
import { spawn } from "node:child_process";
import net from "node:net";
import path from "node:path";
import { BIN, DEADLINE_MS } from "./server.mjs";

export { freePort } from "./port.mjs";

export const LOAD = path.join(path.dirname(BIN), "chitchat-load");

// Not spawnSync: proxies live in this process. Resolves to { status, stdout, stderr } when the command has ended, and
// `during`, which gets the child, is through.
export function run(command, args, during = () => {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { timeout: DEADLINE_MS });
    const end = { stdout: "", stderr: "" };
    child.stdout.on("data", (data) => (end.stdout += data));
    child.stderr.on("data", (data) => (end.stderr += data));
    const through = Promise.resolve(during(child));
    child.once("close", (status) => through.then(() => resolve({ ...end, status }), reject));
  });
}

export const load = (args, during) => run(LOAD, args, during);

// The first of attempt(1), attempt(4) and attempt(16) that isEnough: the number is a factor for its times, because on a
// busy machine less happens in the same time.
export async function untilEnough(attempt, isEnough) {
  for (const factor of [1, 4]) {
    const result = await attempt(factor);
    if (isEnough(result)) return result;
  }
  return attempt(16);
}

// The generator on a terminal, where it shows its phases: `during` gets until(phase), which waits for one. The output as
// of `run`, with all of it in stdout.
export async function loadOnTerminal(args, during) {
  const until = (child) => (phase) =>
    new Promise((resolve) => {
      let shown = "";
      child.stdout.on("data", (data) => (shown = (shown + data).slice(-1000)).includes(`\r${phase} `) && resolve());
      child.once("close", resolve);
    });
  const end = await run("script", ["-qefc", [LOAD, ...args].join(" "), "/dev/null"], (child) => during(until(child)));
  return { ...end, stdout: end.stdout.replaceAll("\r\n", "\n") };
}

// Whether something listens there.
export const listens = (port) =>
  new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true) ?? socket.destroy());
    socket.once("error", () => resolve(false));
  });
