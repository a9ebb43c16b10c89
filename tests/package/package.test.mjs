// `./dev package --check`: the package is complete, and is installed, started, upgraded, removed and purged. CHITCHAT_DEB
// names the package, CHITCHAT_POSTGRESQL_DEB that of the plug-in, CHITCHAT_CONFINED the program that confines the server as the unit says. Needs root.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { Client } from "../scenario/lib/client.mjs";
import { until } from "../scenario/lib/server.mjs";
import { allowedCalls, readUnit, repack, Root, run, Service } from "./package.mjs";

const { CHITCHAT_DEB: DEB, CHITCHAT_POSTGRESQL_DEB: POSTGRESQL_DEB, CHITCHAT_CONFINED: CONFINED } = process.env;
const CONF = "/etc/chitchat/chitchat.conf";
const UNIT = "/usr/lib/systemd/system/chitchat.service";
const WANTS = "/etc/systemd/system/multi-user.target.wants/chitchat.service";
let root;
let tree; // the package, only unpacked

before(() => {
  root = new Root();
  tree = path.join(root.path, "unpacked");
  run("dpkg-deb", ["-x", DEB, tree]);
});
after(() => root.remove());

const at = (name) => path.join(tree, name);
const help = (program, ...command) => run(at(`/usr/bin/${program}`), [...command, "--help"]);
const commands = () => [...help("chitchat").matchAll(/^  chitchat ([a-z][a-z-]*) /gm)].map(([, name]) => name);

// The options that the help of a command lists.
function optionsOf(command) {
  const listed = help("chitchat", command).split(/^Options of .*:$/m)[1].split("\n\n")[0];
  return [...listed.matchAll(/^  (--[a-z][a-z-]*)/gm)].map(([, name]) => name);
}

const loadOptions = () => [...help("chitchat-load").matchAll(/(?<=\s)--[a-z][a-z-]*/g)].map(([name]) => name);

// A man page without its formatting: as it is read, and as man warns of it.
function manPage(name) {
  const page = at(`/usr/share/man/man1/${name}.1.gz`);
  const end = spawnSync("man", ["--warnings", "--local-file", page], { encoding: "utf8", env: { ...process.env, MANWIDTH: "200", LC_ALL: "C.UTF-8" } });
  assert.equal(end.status, 0, end.stderr);
  assert.equal(end.stderr, "");
  return end.stdout.replace(/.\x08/g, "").replaceAll("‐", "-").replaceAll("−", "-");
}

const sorted = (names) => [...new Set(names)].sort();

test("the man page of chitchat has each command with exactly the options of its help", () => {
  const page = manPage("chitchat");
  const parts = page.split(/^   chitchat (?=[a-z-]+$)/m).slice(1);
  assert.deepEqual(parts.map((part) => part.split("\n")[0]), commands());
  for (const part of parts) {
    const command = part.split("\n")[0];
    const listed = [...part.split(/^[A-Z]/m)[0].matchAll(/^       (--[a-z][a-z-]*)/gm)].map(([, name]) => name);
    assert.deepEqual(listed, optionsOf(command), command);
  }
  assert.ok(optionsOf("serve").length > 30);
});

test("the man page of chitchat-load has exactly the options of its help", () => {
  const options = manPage("chitchat-load").split(/^OPTIONS$/m)[1].split(/^EXIT STATUS$/m)[0];
  assert.deepEqual(sorted([...options.matchAll(/(?<=\s)--[a-z][a-z-]*/g)].map(([name]) => name)), sorted(loadOptions()));
  assert.ok(loadOptions().length > 20);
});

test("the server needs no library of PostgreSQL; the plug-in is a package of its own, and is found beside the server", () => {
  const init = () => spawnSync(at("/usr/bin/chitchat"), ["cluster", "init", "--slots", "1", "--log", "postgresql://nobody@127.0.0.1:1/none"], { encoding: "utf8" });
  const field = (deb, name) => run("dpkg-deb", ["-f", deb, name]).trim();
  assert.doesNotMatch(field(DEB, "Depends"), /libpq/);
  const without = init();
  assert.equal(without.status, 2);
  assert.match(without.stderr, /chitchat-log-pg\.so is not installed .*package chitchat-postgresql/);

  const version = field(DEB, "Version").replaceAll(".", "\\.");
  assert.match(field(POSTGRESQL_DEB, "Depends"), new RegExp(`chitchat \\(= ${version}\\).*libpq5|libpq5.*chitchat \\(= ${version}\\)`));
  run("dpkg-deb", ["-x", POSTGRESQL_DEB, tree]);
  const beside = init();
  assert.equal(beside.status, 1);
  assert.match(beside.stderr, /^chitchat: log server 1 \(127\.0\.0\.1:1\): .*Connection refused/);
});

// What bash would offer for the last of these words.
function complete(...words) {
  const file = at("/usr/share/bash-completion/completions/chitchat");
  const script = `. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); function=$(complete -p "$1" | sed 's/.*-F \\([a-z_]*\\).*/\\1/')
    "$function"; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const env = { ...process.env, PATH: `${at("/usr/bin")}:${process.env.PATH}` };
  return run("bash", ["-c", script, file, ...words], { env }).split("\n").filter(Boolean);
}

test("the completion offers the commands, and of each exactly the options of its help", () => {
  assert.deepEqual(sorted(complete("chitchat", "")), sorted([...commands(), "--help", "--version"]));
  for (const command of commands())
    assert.deepEqual(sorted(complete("chitchat", command, "--")), sorted([...optionsOf(command), "--help"]), command);
  assert.deepEqual(sorted(complete("chitchat-load", "--")), sorted([...loadOptions(), "--help"]));
});

test("the completion offers the values of an option that has few, and files", () => {
  assert.deepEqual(complete("chitchat", "serve", "--auth", ""), ["none", "token"]);
  assert.deepEqual(complete("chitchat", "serve", "--log-level", "w"), ["warn"]);
  assert.deepEqual(complete("chitchat", "backup", "--data", "/et"), ["/etc"]);
  assert.deepEqual(complete("chitchat", "serve", "--ping-s", ""), []);
});

test("the package needs the libraries of its programs, and has what documents and unit name", () => {
  const needs = run("dpkg-deb", ["-f", DEB, "Depends"]);
  for (const library of ["libc6", "libjansson4", "liblmdb0", "libssl3", "libsystemd0", "liburing2", "libwslay1"])
    assert.match(needs, new RegExp(`\\b${library}\\b`));
  const documents = ["README.md", "PROTOCOL.md", "OPERATIONS.md", "INSTALL.md", "monitoring/alerts.yml"];
  for (const name of documents) assert.ok(fs.existsSync(at(`/usr/share/doc/chitchat/${name}`)), name);
  assert.equal(fs.statSync(at("/usr/bin/chitchat")).mode & 0o777, 0o755);
  assert.equal(fs.statSync(at(CONF)).mode & 0o777, 0o644);
});

test("systemd accepts the unit, and its sandbox leaves io_uring", () => {
  const text = fs.readFileSync(at(UNIT), "utf8");
  const unit = readUnit(text);
  const verified = path.join(root.path, "chitchat.service");
  fs.writeFileSync(verified, text.replace("/usr/bin/chitchat", at("/usr/bin/chitchat")));
  assert.equal(run("systemd-analyze", ["verify", "--man=no", verified]), "");
  const calls = allowedCalls(unit);
  for (const name of ["io_uring_setup", "io_uring_enter", "io_uring_register", "sched_setaffinity", "prlimit64"]) assert.ok(calls.has(name), name);
  for (const name of ["mount", "ptrace", "bpf", "setuid", "init_module", "reboot"]) assert.ok(!calls.has(name), name);
  run("systemd-analyze", ["security", "--offline=true", "--threshold=20", at(UNIT)]);
});

test("the sandbox of the tests is in force: without the calls of io_uring the server says that they are missing", () => {
  const calls = [...allowedCalls(readUnit(fs.readFileSync(at(UNIT), "utf8")))].filter((name) => !name.startsWith("io_uring"));
  const list = path.join(root.path, "without");
  fs.writeFileSync(list, calls.join("\n"));
  const args = [list, at("/usr/bin/chitchat"), "serve", "--listen", "127.0.0.1:0", "--data", path.join(root.path, "never")];
  const end = spawnSync(CONFINED, args, { encoding: "utf8" });
  assert.equal(end.status, 1, end.stderr);
  assert.match(end.stderr, /io_uring/);
});

test("the image installs what ./dev does, and copies files that are there", () => {
  const source = path.resolve(import.meta.dirname, "../..");
  const dockerfile = fs.readFileSync(path.join(source, "Dockerfile"), "utf8");
  const [, packages] = /apt-get install -qy --no-install-recommends \\\n((?:.*\\\n)*.*)\nCOPY/.exec(dockerfile);
  const list = (name) => new RegExp(`^${name}=\\(([^)]*)\\)`, "m").exec(fs.readFileSync(path.join(source, "dev"), "utf8"))[1].split(/\s+/);
  const wanted = [...list("build_packages"), ...list("package_packages")].filter((name) => name !== "libcriterion-dev");
  assert.deepEqual(sorted(packages.replaceAll("\\", "").split(/\s+/).filter(Boolean)), sorted(wanted));
  for (const [, name] of dockerfile.matchAll(/^COPY (packaging\S+)/gm)) assert.ok(fs.existsSync(path.join(source, name)), name);
  const [, command] = /^CMD \["chitchat", (.*)\]$/m.exec(dockerfile);
  for (const option of command.match(/--[a-z-]+/g)) assert.ok(optionsOf("serve").includes(option), option);
});

// Whether the health check of the image finds the server ready.
function isReady({ host, port }) {
  return spawnSync(path.resolve(import.meta.dirname, "../../packaging/container-ready.sh"), [host, String(port)]).status === 0;
}

// The steps of the image, as the Dockerfile has them, in a chroot over this system: what they write is in memory, and all
// mounts end with the process. Exits with 77 where this process may not mount.
const STEPS = `
mount -t tmpfs none "$1" 2>/dev/null && mkdir "$1/new" "$1/work" "$1/root" || exit 77
root=$1/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/new,workdir=$1/work" "$root" 2>/dev/null || exit 77
mount -t proc proc "$root/proc" && mount --bind /dev "$root/dev" || exit 77
set -e
rm -f "$root/var/lib/man-db/auto-update" # the image has no man pages to look up
cp "$2" "$3" "$root/tmp/"
chroot "$root" sh -ec "$4" >&2
user=$5 directory=$6
shift 6
exec chroot --userspec="$user" "$root" sh -c 'cd "$0" && exec "$@"' "$directory" "$@"`;

test("the steps of the image, run in a chroot, leave a server that is ready as the user of the image", { timeout: 120000 }, async (context) => {
  const [, , image] = fs.readFileSync(path.resolve(import.meta.dirname, "../../Dockerfile"), "utf8").split(/^FROM .*\n/m);
  const line = (word) => new RegExp(`^${word} ((?:.*\\\\\n)*.*)$`, "m").exec(image)[1].replaceAll("\\\n", " ");
  const install = line("RUN").replace("apt-get update && ", ""); // what it needs is on this system
  const command = JSON.parse(line("CMD")).map((word) => word.replace(":8081", ":0"));
  const dir = path.join(root.path, "image");
  fs.mkdirSync(dir);
  const args = ["--mount", "sh", "-c", STEPS, "sh", dir, DEB, POSTGRESQL_DEB, install, line("USER"), line("WORKDIR"), ...command, "--listen", "127.0.0.1:0"];
  const child = spawn("unshare", args, { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } });
  const ended = new Promise((resolve) => child.on("close", (code, signal) => resolve({ code, signal })));
  let stderr = "", end;
  child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text));
  ended.then((how) => (end = how));
  try {
    await until(() => `a server that is ready:\n${stderr}`, () => end !== undefined || /event=ready/.test(stderr));
    if (end?.code === 77 || stderr.startsWith("unshare: ")) return context.skip("this process may not mount");
    const [, host, port] = /event=ready .* admin=([^ :]+):(\d+) .* data="\/var\/lib\/chitchat"/.exec(stderr) ?? assert.fail(stderr);
    await until("the health check", () => isReady({ host, port }));
    assert.match(fs.readFileSync(`/proc/${child.pid}/status`, "utf8"), /^Uid:\t900\t900/m);
    child.kill("SIGTERM");
    assert.deepEqual(await ended, { code: 0, signal: null }, stderr);
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
});

// A line in the place of the address, as an administrator writes it.
function configure() {
  const text = root.read(CONF).replace("listen = 127.0.0.1:8080", "listen = 127.0.0.1:0\nadmin = 127.0.0.1:0\nshards = 2");
  assert.match(text, /127\.0\.0\.1:0/);
  fs.writeFileSync(root.at(CONF), text);
  return text;
}

async function login(service, user, fields) {
  await service.ready();
  const client = await Client.open(service);
  await client.loginAs(user, fields);
  return client;
}

async function textsOf(service, user) {
  const client = await login(service, user, { after: 0 });
  await client.untilLive();
  client.terminate();
  client.check();
  return client.messages.map(({ text }) => text);
}

test("install, start by the unit, upgrade over running data, remove, purge", { timeout: 600000 }, async () => {
  root.dpkg("-i", DEB);
  assert.ok(fs.lstatSync(root.at(WANTS)).isSymbolicLink(), "the service is enabled");
  const configured = configure();
  let service = await Service.start(root, CONFINED);
  try {
    await service.manager.until(/^WATCHDOG=1$/, 2);
    const status = fs.readFileSync(`/proc/${service.pid}/status`, "utf8");
    assert.match(status, /^Uid:\t61999\t61999/m);
    assert.match(status, /^CapEff:\t0+$/m);
    assert.match(status, /^Seccomp:\t2$/m);
    const alice = await login(service, "alice");
    await alice.send("bob", "before the upgrade");

    const { admin } = service;
    assert.ok(isReady(admin));

    root.dpkg("-i", repack(DEB, "99.0", root.path));
    assert.match(root.read("/var/lib/dpkg/status"), /^Version: 99\.0$/m);
    await alice.send("bob", "the old server goes on");
    alice.terminate();
    await service.stop();
    assert.ok(!isReady(admin));
    assert.equal(root.read(CONF), configured, "what the administrator wrote stays");
    assert.match(root.read(`${CONF}.dpkg-dist`), /# of the new version/);

    service = await Service.start(root, CONFINED);
    assert.deepEqual(await textsOf(service, "bob"), ["before the upgrade", "the old server goes on"]);
    await service.stop();
  } finally {
    service.clean();
  }
  root.dpkg("-r", "chitchat");
  assert.ok(!root.has("/usr/bin/chitchat") && !root.has(UNIT));
  assert.ok(root.has(CONF), "the configuration stays at a removal");
  const words = root.dpkg("-P", "chitchat");
  assert.match(words, /the messages stay in \/var\/lib\/chitchat/);
  assert.ok(!root.has("/etc/chitchat") && !root.has(WANTS));
  assert.ok(root.has("/var/lib/chitchat/META"), "no purge removes messages");
});
