// chitchat-load, run to its end.
import { spawn } from "node:child_process";
import net from "node:net";
import path from "node:path";
import { BIN, DEADLINE_MS } from "./server.mjs";

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

export async function freePort() {
  const probe = net.createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => probe.once("listening", resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

// Whether something listens there.
export const listens = (port) =>
  new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true) ?? socket.destroy());
    socket.once("error", () => resolve(false));
  });
