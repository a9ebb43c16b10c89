// Real PostgreSQL servers on loopback: a primary and two standbys, one of which must have a commit before it is
// acknowledged. Their files are in a directory of their own, never in that of a server of the system. A server is only
// ever ended by its process ids. A superuser may not run PostgreSQL: then the user postgres does.
import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { BIN, DEADLINE_MS, until } from "./server.mjs";
import { freePort } from "./port.mjs";

const VERSIONS = "/usr/lib/postgresql";
const STARTS_MAX = 20;
const FLUSHED = "libchitchat-flushed.so";
const TICKS_A_SECOND = 100; // of /proc/PID/stat, on Linux
const run = promisify(execFile);
const running = new Set();
process.on("exit", () => running.forEach((server) => server.kill()));

// The programs of the newest version that is installed; undefined: none is.
export const PROGRAMS = fs.existsSync(VERSIONS)
  ? fs.readdirSync(VERSIONS).sort((a, b) => b - a).map((version) => `${VERSIONS}/${version}/bin`).find((bin) => fs.existsSync(`${bin}/initdb`))
  : undefined;

function numberOf(flag) {
  return Number(spawnSync("id", [flag, "postgres"], { encoding: "utf8" }).stdout);
}

// As whom they run; {}: as who runs this.
const AS = process.getuid() === 0 && PROGRAMS !== undefined ? { uid: numberOf("-u"), gid: numberOf("-g") } : {};
const ENVIRONMENT = { PATH: process.env.PATH, LC_ALL: "C", TZ: "UTC", HOME: "/" };

function program(name, args) {
  return run(`${PROGRAMS}/${name}`, args, { ...AS, env: ENVIRONMENT, cwd: "/", maxBuffer: 1 << 26 });
}

// Of a process and what it started.
function familyOf(pid) {
  let children = "";
  try {
    children = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  } catch {
    // it has ended
  }
  return [pid, ...children.split(" ").filter(Boolean).flatMap((child) => familyOf(Number(child)))];
}

// Also of its children that have ended.
function cpuSecondsOf(pid) {
  try {
    const times = fs.readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /, "").split(" ").slice(11, 15);
    return times.reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_A_SECOND;
  } catch {
    return 0; // it has ended
  }
}

function signalAll(pids, signal) {
  for (const pid of pids)
    try {
      process.kill(pid, signal);
    } catch {
      // it has ended
    }
}

// The files of a server that never ran, made once beside the program: copies of them are backups of each other. They have
// one database, chat, and not the three of a usual one, since copying them is most of the work of a short test. Two that
// make them at the same time: the first one counts.
async function templateDir(segmentMib) {
  const template = path.join(path.dirname(BIN), `postgres-template-${PROGRAMS.split("/").at(-2)}-${AS.uid ?? process.getuid()}-${segmentMib}`);
  if (fs.existsSync(template)) return template;
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "chitchat-postgres-template-"));
  if (AS.uid !== undefined) fs.chownSync(dir, AS.uid, AS.gid);
  await program("initdb", ["-D", dir, "-A", "trust", "-U", "postgres", "-N", "-E", "UTF8", "--locale=C", `--wal-segsize=${segmentMib}`]);
  alone(dir, "postgres", ["UPDATE pg_database SET datistemplate = false", "DROP DATABASE template0", "ALTER DATABASE template1 RENAME TO chat"]);
  alone(dir, "chat", ["DROP DATABASE postgres"]);
  await run("cp", ["-a", dir, `${template}.${process.pid}`]);
  fs.rmSync(dir, { recursive: true });
  try {
    fs.renameSync(`${template}.${process.pid}`, template);
  } catch {
    fs.rmSync(`${template}.${process.pid}`, { recursive: true });
  }
  return template;
}

// Runs statements on files on which no server runs.
function alone(dir, database, statements) {
  const end = spawnSync(`${PROGRAMS}/postgres`, ["--single", "-F", "-D", dir, database], { ...AS, env: ENVIRONMENT, cwd: "/", input: `${statements.join(";\n")}\n`, encoding: "utf8" });
  assert.ok(end.status === 0 && !/ERROR/.test(end.stderr), end.stderr);
}

export class PostgresServer {
  #child;
  #ended;
  name;
  dir;
  port;
  log = "";
  hasEnded = true;
  image; // of what it has flushed, beside its directory (tests/power/flushed.c); undefined: none is made

  constructor(name, dir, port) {
    Object.assign(this, { name, dir, port });
  }

  configure(settings) {
    const lines = Object.entries(settings).map(([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'\n`);
    fs.appendFileSync(`${this.dir}/postgresql.conf`, lines.join(""));
  }

  // Ends when it takes connections.
  async start() {
    const from = this.log.length;
    const env = this.image === undefined ? ENVIRONMENT : { ...ENVIRONMENT, LD_PRELOAD: `${path.dirname(this.dir)}/${FLUSHED}`, CHITCHAT_FLUSHED_ROOT: this.dir, CHITCHAT_FLUSHED_IMAGE: this.image };
    if (this.image !== undefined) {
      fs.rmSync(this.image, { recursive: true, force: true });
      await run("cp", ["-aT", this.dir, this.image]);
    }
    this.#child = spawn(`${PROGRAMS}/postgres`, ["-D", this.dir, "-c", `port=${this.port}`], { ...AS, env, cwd: "/", stdio: ["ignore", "ignore", "pipe"] });
    running.add(this);
    this.#child.stderr.setEncoding("utf8").on("data", (text) => (this.log += text));
    this.hasEnded = false;
    this.#ended = new Promise((resolve) => this.#child.once("close", resolve)).then(() => {
      this.hasEnded = true; // it was ended, or has ended by itself
    });
    await until(() => `${this.name} takes connections:\n${this.log}`, () => this.hasEnded || / ready to accept /.test(this.log.slice(from)));
    return !this.hasEnded;
  }

  // Tells it to read its configuration again; ends when it has.
  async reload(settings) {
    this.configure(settings);
    const from = this.log.length;
    process.kill(this.#child.pid, "SIGHUP");
    await until(() => `${this.name} reads its configuration:\n${this.log}`, () => /received SIGHUP/.test(this.log.slice(from)));
    for (const [name, value] of Object.entries(settings))
      await until(`${name} of ${this.name} is ${value}`, async () => (await this.sql(`SELECT setting FROM pg_settings WHERE name = '${name}'`)) === String(value));
  }

  // All processes at once, as by a crash of the machine, but for what is in the page cache.
  async kill() {
    running.delete(this);
    if (this.#child === undefined) return;
    const pids = familyOf(this.#child.pid);
    signalAll(pids, "SIGSTOP"); // so that none starts another, or hears of the end of one
    signalAll(new Set([...pids, ...familyOf(this.#child.pid)]), "SIGKILL");
    await this.#ended;
    this.#child = undefined;
    this.#freeSegment();
  }

  // The kernel has 4,096 segments of shared memory for all, and keeps that of a server which was killed.
  #freeSegment() {
    const file = `${this.dir}/postmaster.pid`;
    const [, id] = (fs.existsSync(file) ? fs.readFileSync(file, "utf8").split("\n")[6] ?? "" : "").trim().split(/\s+/);
    if (id !== undefined) spawnSync("ipcrm", ["-m", id]);
  }

  pause() {
    signalAll(familyOf(this.#child.pid), "SIGSTOP");
  }

  resume() {
    signalAll(familyOf(this.#child.pid), "SIGCONT");
  }

  // After kill, as if the power had failed: its files are what it had flushed. mix(dir, image) may add to the image of what
  // it had written.
  async losePower(mix) {
    mix?.(this.dir, this.image);
    fs.rmSync(this.dir, { recursive: true });
    fs.renameSync(this.image, this.dir);
    fs.rmSync(`${this.dir}/postmaster.pid`, { force: true });
    if (AS.uid !== undefined) await run("chown", ["-R", `${AS.uid}:${AS.gid}`, this.dir]);
  }

  // Ends at once, in order.
  async stop() {
    process.kill(this.#child.pid, "SIGINT");
    await this.#ended;
    running.delete(this);
    this.#child = undefined;
  }

  get cpuSeconds() {
    return familyOf(this.#child.pid).reduce((sum, pid) => sum + cpuSecondsOf(pid), 0);
  }

  // The rows of a statement, a line each, columns divided by |.
  async sql(statement) {
    const { stdout } = await run(`${PROGRAMS}/psql`, ["-XAtq", "-v", "ON_ERROR_STOP=1", `postgresql://postgres@127.0.0.1:${this.port}/chat`, "-c", statement], { env: ENVIRONMENT, timeout: DEADLINE_MS, maxBuffer: 1 << 26 });
    return stdout.trimEnd();
  }
}

const SETTINGS = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  max_connections: 100, // as initdb has noted: a standby may not have fewer
  shared_buffers: "16MB",
  dynamic_shared_memory_type: "mmap", // in its directory: files in /dev/shm would outlive a server that is killed
  wal_keep_size: "128MB",
  max_wal_size: "256MB",
  wal_receiver_status_interval: 1,
  wal_retrieve_retry_interval: "100ms",
  wal_sender_timeout: "5s",
  wal_receiver_timeout: "5s",
  recovery_init_sync_method: "syncfs",
  log_line_prefix: "%m [%p] ",
};

export class PostgresCluster {
  dir;
  isMounted = false; // the primary's directory is a file system of its own
  servers; // all, primary, s1 and s2, under these names
  primary; // the one that takes writes
  standbys; // those that follow it

  // standbys: how many. settings: of all servers. where: the directory of their directory. room: the bytes of a file system
  // of its own for the primary, which needs the right to mount: then without it the result is undefined. segmentMib: the
  // size of a file of the servers' own log. keepsFlushed: the power of all can fail.
  static async start({ standbys = 2, settings = {}, where = os.tmpdir(), room, segmentMib = 1, keepsFlushed = false } = {}) {
    assert.ok(PROGRAMS !== undefined, "PostgreSQL is not installed");
    const cluster = new PostgresCluster();
    cluster.dir = fs.mkdtempSync(path.join(where, "chitchat-postgres-"));
    if (AS.uid !== undefined) fs.chownSync(cluster.dir, AS.uid, AS.gid);
    try {
      if (room !== undefined && !cluster.#mount(room)) {
        await cluster.end();
        return undefined;
      }
      if (keepsFlushed) fs.copyFileSync(path.join(path.dirname(BIN), FLUSHED), `${cluster.dir}/${FLUSHED}`);
      await cluster.#make(standbys, settings, segmentMib, keepsFlushed);
    } catch (error) {
      await cluster.end();
      throw error;
    }
    return cluster;
  }

  #mount(bytes) {
    fs.mkdirSync(`${this.dir}/primary`, { mode: 0o700 });
    const owner = AS.uid === undefined ? "" : `,uid=${AS.uid},gid=${AS.gid}`;
    this.isMounted = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${bytes},mode=700${owner}`, "none", `${this.dir}/primary`]).status === 0;
    return this.isMounted;
  }

  giveRoom(bytes) {
    assert.equal(spawnSync("mount", ["-o", `remount,size=${bytes}`, `${this.dir}/primary`]).status, 0);
  }

  async #make(standbys, settings, segmentMib, keepsFlushed) {
    const names = ["primary", ...Array.from({ length: standbys }, (_, i) => `s${i + 1}`)];
    const template = await templateDir(segmentMib);
    this.servers = {};
    for (const name of names) {
      const dir = `${this.dir}/${name}`;
      await run("cp", ["-aT", template, dir]);
      this.servers[name] = new PostgresServer(name, dir, await freePort());
      if (keepsFlushed) this.servers[name].image = `${dir}.flushed`;
    }
    this.primary = this.servers.primary;
    this.standbys = names.slice(1).map((name) => this.servers[name]);
    const quorum = standbys > 0 ? { synchronous_standby_names: `ANY 1 (${names.slice(1).join(", ")})` } : {};
    for (const server of Object.values(this.servers)) server.configure({ ...SETTINGS, ...quorum, cluster_name: server.name, ...settings });
    await this.#startNew(this.primary);
    for (const standby of this.standbys) {
      fs.writeFileSync(`${standby.dir}/standby.signal`, "");
      if (AS.uid !== undefined) fs.chownSync(`${standby.dir}/standby.signal`, AS.uid, AS.gid);
      standby.configure({ primary_conninfo: this.#wayTo(this.primary) });
      await this.#startNew(standby);
    }
    await this.untilStreaming(standbys);
  }

  // Another program may have taken the port since.
  async #startNew(server) {
    for (let starts = 1; !(await server.start()); starts++) {
      assert.ok(starts < STARTS_MAX && /could not bind/.test(server.log), server.log);
      server.port = await freePort();
    }
  }

  #wayTo(server) {
    return `host=127.0.0.1 port=${server.port} user=postgres`;
  }

  // Of all servers, wherever the primary is.
  get uri() {
    return `postgresql://postgres@${Object.values(this.servers).map(({ port }) => `127.0.0.1:${port}`).join(",")}/chat`;
  }

  // Of all processes of all servers.
  get cpuSeconds() {
    return Object.values(this.servers).reduce((sum, server) => sum + server.cpuSeconds, 0);
  }

  async untilStreaming(count) {
    await until(`${count} standbys stream`, async () => Number(await this.primary.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")) >= count);
  }

  // The power of all fails at one moment, but for what it takes to stop them one after the other.
  async losePower(mix) {
    for (const server of Object.values(this.servers)) server.pause();
    for (const server of Object.values(this.servers)) await server.kill();
    for (const server of Object.values(this.servers)) await server.losePower(mix);
  }

  // What an operator does without a cluster manager, when the primary is lost. First no standby may take anything from it
  // any more: a commit that one of them has can be acknowledged. Then the one that has most is promoted, and the other
  // follows it.
  async failOver() {
    const standbys = this.standbys;
    for (const standby of standbys) await standby.reload({ primary_conninfo: "" });
    const places = [];
    for (const standby of standbys) {
      await until(`${standby.name} has no receiver`, async () => (await standby.sql("SELECT count(*) FROM pg_stat_wal_receiver")) === "0");
      // One that was started without the primary does not know what it had received, and replays it.
      const waits = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event = 'RecoveryRetrieveRetryInterval'";
      await until(`${standby.name} has replayed all`, async () => (await standby.sql(waits)) === "1");
      places.push(Number(await standby.sql("SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'")));
    }
    const next = standbys[places.indexOf(Math.max(...places))];
    await next.sql("SELECT pg_promote()");
    this.primary = next;
    this.standbys = standbys.filter((standby) => standby !== next);
    for (const standby of this.standbys) await standby.reload({ primary_conninfo: this.#wayTo(next) });
  }

  async end() {
    for (const server of Object.values(this.servers ?? {})) await server.kill();
    if (this.isMounted) await until("the file system of the primary is free", () => spawnSync("umount", [`${this.dir}/primary`]).status === 0);
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}
