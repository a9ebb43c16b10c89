// A Debian package that is installed into a directory of its own, and its service as the unit describes it.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { NotifySocket } from "../scenario/lib/notify.mjs";
import { until } from "../scenario/lib/server.mjs";

// Runs a program to its end; stdout and stderr as text.
export function run(command, args, options = {}) {
  const end = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 26, ...options });
  assert.equal(end.status, 0, `${command} ${args.join(" ")}: ${end.error ?? end.stderr}`);
  return end.stdout + end.stderr;
}

// The same package with another version and, as a new version may have it, another default configuration.
export function repack(deb, version, dir) {
  const tree = path.join(dir, "tree");
  run("dpkg-deb", ["-R", deb, tree]);
  const control = path.join(tree, "DEBIAN/control");
  fs.writeFileSync(control, fs.readFileSync(control, "utf8").replace(/^Version: .*$/m, `Version: ${version}`));
  fs.appendFileSync(path.join(tree, "etc/chitchat/chitchat.conf"), "# of the new version\n");
  const out = path.join(dir, `chitchat_${version}.deb`);
  run("dpkg-deb", ["--root-owner-group", "-Znone", "-b", tree, out]);
  return out;
}

// A root directory with a dpkg of its own. Maintainer scripts run with DPKG_ROOT, without a chroot.
export class Root {
  path;

  constructor() {
    this.path = fs.mkdtempSync(path.join(os.tmpdir(), "chitchat-package-"));
    fs.chmodSync(this.path, 0o755);
    fs.mkdirSync(this.at("/var/lib/dpkg/info"), { recursive: true });
    fs.mkdirSync(this.at("/var/lib/dpkg/updates"));
    fs.writeFileSync(this.at("/var/lib/dpkg/status"), "");
  }

  at(name) {
    return path.join(this.path, name);
  }

  dpkg(...args) {
    return run("dpkg", [`--root=${this.path}`, "--force-script-chrootless", "--force-depends", "--force-confdef", "--force-confold", ...args]);
  }

  has(name) {
    return fs.existsSync(this.at(name));
  }

  read(name) {
    return fs.readFileSync(this.at(name), "utf8");
  }

  // What a program of the package needs to run below this root.
  copyLibraries(program) {
    for (const [, from] of run("ldd", [program]).matchAll(/(?:=> |^\s*)(\/\S+) \(/gm)) {
      fs.mkdirSync(path.dirname(this.at(from)), { recursive: true });
      fs.copyFileSync(from, this.at(from));
    }
  }

  remove() {
    fs.rmSync(this.path, { recursive: true, force: true });
  }
}

// The lines of a unit: name to values.
export function readUnit(text) {
  const unit = new Map();
  for (const [, name, value] of text.matchAll(/^(\w+)=(.*)$/gm)) unit.set(name, [...(unit.get(name) ?? []), value]);
  return unit;
}

// The system calls that SystemCallFilter= allows.
export function allowedCalls(unit) {
  const allowed = new Set();
  for (const line of unit.get("SystemCallFilter")) {
    const denies = line.startsWith("~");
    for (const name of line.replace("~", "").split(" ").flatMap(members)) denies ? allowed.delete(name) : allowed.add(name);
  }
  return allowed;
}

const sets = new Map();

function members(name) {
  if (!name.startsWith("@")) return [name];
  if (!sets.has(name)) {
    const lines = run("systemd-analyze", ["syscall-filter", name]).split("\n").slice(1).map((line) => line.trim());
    sets.set(name, lines.filter((line) => line && !line.startsWith("#")).flatMap(members));
  }
  return sets.get(name);
}

// A user as DynamicUser= makes one: nothing on this machine is theirs.
const USER = 61999;

// The service as systemd starts it: the command line, the user, the limits and the system calls of the unit, below a root
// where it is installed. Namespaces and mounts of the sandbox are systemd's own and not made here.
export class Service {
  manager;
  #root;
  #child;
  #ended;
  stderr = "";

  static async start(root, confined) {
    const service = new Service();
    const unit = readUnit(root.read("/usr/lib/systemd/system/chitchat.service"));
    service.#root = root;
    service.manager = await NotifySocket.open();
    const socket = root.at("/notify");
    fs.rmSync(socket, { force: true });
    fs.linkSync(service.manager.path, socket);
    fs.writeFileSync(root.at("/calls"), [...allowedCalls(unit)].join("\n"));
    fs.copyFileSync(confined, root.at("/confined"));
    root.copyLibraries(confined);
    root.copyLibraries(root.at("/usr/bin/chitchat"));
    const state = root.at(`/var/lib/${unit.get("StateDirectory")[0]}`);
    if (!fs.existsSync(state)) {
      fs.mkdirSync(state, { recursive: true, mode: 0o700 });
      fs.chownSync(state, USER, USER);
    }
    service.#spawn(unit);
    await service.manager.until(/^READY=1$/).catch((error) => assert.fail(`${error.message}\n${service.stderr}`));
    return service;
  }

  #spawn(unit) {
    const hard = Number(/^Max open files\s+\S+\s+(\d+)/m.exec(fs.readFileSync("/proc/self/limits", "utf8"))[1]);
    const files = Math.min(hard, Number(unit.get("LimitNOFILE")[0]));
    const command = unit.get("ExecStart")[0].split(" ");
    const args = [`--nofile=${files}`, "chroot", `--userspec=${USER}:${USER}`, "--groups=", this.#root.path, "/confined", "/calls", ...command];
    const env = { NOTIFY_SOCKET: "/notify", WATCHDOG_USEC: String(Number(unit.get("WatchdogSec")[0]) * 1000000) };
    this.#child = spawn("prlimit", args, { stdio: ["ignore", "ignore", "pipe"], env: { PATH: process.env.PATH, ...env } });
    this.#child.stderr.setEncoding("utf8").on("data", (text) => (this.stderr += text));
    this.#ended = new Promise((resolve) => this.#child.on("close", (code, signal) => resolve({ code, signal })));
    process.on("exit", () => this.#child.kill("SIGKILL"));
  }

  get pid() {
    return this.#child.pid;
  }

  // As Client.open wants a server.
  get address() {
    const [, host, port] = /event=ready listen=([^ :]+):(\d+)/.exec(this.stderr);
    return { host, port: Number(port) };
  }

  get admin() {
    const [, host, port] = /event=ready .* admin=([^ :]+):(\d+)/.exec(this.stderr);
    return { host, port: Number(port) };
  }

  url(name, at) {
    return `ws://${at.host}:${at.port}${name}`;
  }

  async ready() {
    await until(() => `the line of a server that is ready:\n${this.stderr}`, () => /event=ready/.test(this.stderr));
  }

  async stop() {
    this.#child.kill("SIGTERM");
    assert.deepEqual(await this.#ended, { code: 0, signal: null }, this.stderr);
    assert.ok(this.manager.count(/^STOPPING=1/) === 1, "the manager hears of the stop");
    this.manager.close();
  }

  clean() {
    this.#child.kill("SIGKILL");
    this.manager.close();
  }
}
