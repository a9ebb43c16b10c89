// One client connection that sends and marks in turns, at an even rate, while the other user is connected too: "marks at an even rate" of
// bench_people.mjs runs it. Each mark sees one more message of the other user, so each is stored, and pushed to the author.
//
//     node bench/bench_pace.mjs PORT PID fill|turns RATE SECONDS
//
// `fill`: bob sends alice what she will mark. `turns`: alice sends to bob for a quarter of a second, marks for the next one, and so on, until she
// has done SECONDS of each. Prints { sends, marks } as JSON, each { count, seconds, server_cpu_s, server_written } with what the process PID took.
// A request that is refused, or a push that does not come, ends it with 1.
import crypto from "node:crypto";
import fs from "node:fs";
import net from "node:net";

const TURN_S = 0.25;
const WARMUP_TURNS = 2; // of each
const FILL_WINDOW = 64;
const DEADLINE_MS = 30000;
const TEXT = "x".repeat(64); // as the load generator's

const [, , port, pid, what, ...numbers] = process.argv;
const [rate, seconds] = numbers.map(Number);
const turns = WARMUP_TURNS + Math.ceil(seconds / TURN_S);
const perTurn = Math.ceil(rate * TURN_S);
const total = turns * perTurn;

function fail(why) {
  console.error(`bench_pace: ${why}`);
  process.exit(1);
}

// Frames of a client must have a mask; with one of zeros the text stays as it is.
function frameOf(payload, opcode = 1) {
  const body = Buffer.from(payload);
  const head = [0x80 | opcode, ...(body.length < 126 ? [0x80 | body.length] : [0xfe, body.length >> 8, body.length & 255])];
  return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), body]);
}

class Connection {
  replies = 0; // to requests, all `ok`
  pushes = []; // but `live`
  isLive = false;
  #socket;
  #received = Buffer.alloc(0);
  #hasHead = false;
  #onReply = () => {};

  static async open(user) {
    const connection = new Connection();
    connection.#socket = net.connect(Number(port), "127.0.0.1").setNoDelay(true);
    connection.#socket.on("error", (error) => fail(error.message)).on("close", () => fail("the server closed a connection"));
    connection.#socket.on("data", (data) => connection.#take(data));
    connection.#socket.write(`GET /ws HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`);
    await until("the upgrade", () => connection.#hasHead);
    connection.ask({ op: "login", user, after: 0 });
    await until("a login", () => connection.isLive);
    connection.replies = 0;
    return connection;
  }

  nextReply() {
    return new Promise((resolve) => (this.#onReply = resolve));
  }

  ask(fields) {
    this.#socket.write(frameOf(JSON.stringify({ ...fields, id: 1 })));
  }

  #take(data) {
    this.#received = this.#received.length === 0 ? data : Buffer.concat([this.#received, data]);
    if (!this.#hasHead) {
      const end = this.#received.indexOf("\r\n\r\n");
      if (end < 0) return;
      if (!this.#received.toString("latin1").startsWith("HTTP/1.1 101 ")) fail(`no upgrade: ${this.#received}`);
      this.#hasHead = true;
      this.#received = this.#received.subarray(end + 4);
    }
    for (let frame; (frame = this.#next()) !== null; ) this.#onFrame(frame.opcode, frame.payload);
  }

  // The next frame; all that the server sends here have less than 64 KiB.
  #next() {
    const data = this.#received;
    const isLong = data.length >= 4 && data[1] === 126;
    if (data.length < 2 || (data[1] === 126 && !isLong)) return null;
    const at = isLong ? 4 : 2, bytes = isLong ? data.readUInt16BE(2) : data[1];
    if (data.length < at + bytes) return null;
    this.#received = data.subarray(at + bytes);
    return { opcode: data[0] & 15, payload: data.subarray(at, at + bytes) };
  }

  #onFrame(opcode, payload) {
    if (opcode === 9) this.#socket.write(frameOf(payload, 10)); // else bob, who only listens, would be closed
    if (opcode !== 1) return;
    const frame = JSON.parse(payload);
    if (frame.op === "ok") {
      this.replies++;
      this.#onReply();
    } else if (frame.op === "live") this.isLive = true;
    else if (frame.op === "error") fail(`refused: ${payload}`);
    else this.pushes.push(frame);
  }
}

async function until(whatFor, condition) {
  for (const end = Date.now() + DEADLINE_MS; !condition(); await new Promise((resolve) => setTimeout(resolve, 1))) if (Date.now() > end) fail(`waited in vain for ${whatFor}`);
}

// CPU of all threads, in seconds, by the scheduler; and bytes given to the disk.
function usage() {
  const threads = fs.readdirSync(`/proc/${pid}/task`).map((tid) => Number(fs.readFileSync(`/proc/${pid}/task/${tid}/schedstat`, "utf8").split(" ")[0]));
  const written = Number(/^write_bytes: (\d+)$/m.exec(fs.readFileSync(`/proc/${pid}/io`, "utf8"))[1]);
  return { cpu: threads.reduce((sum, ns) => sum + ns) / 1e9, written };
}

async function fill(alice, bob) {
  for (let sent = 0; sent < total; sent++) {
    await until("the answers to sends", () => sent - bob.replies < FILL_WINDOW);
    bob.ask({ op: "send", to: "alice", text: TEXT });
  }
  await until("all messages", () => bob.replies === total && alice.pushes.length === total);
}

// One turn of alice, with one request in flight: so each has a write of the log to itself, however busy the machine is. What is late follows at
// once. It sleeps in between: a busy client would delay the kernel's threads for the disk. `request(n)` is the n-th request. Each must get `ok`, and
// bob a push.
async function takeTurn(alice, bob, request) {
  const [pushed, begun, before] = [bob.pushes.length, performance.now(), usage()];
  const watchdog = setTimeout(() => fail("waited in vain for an answer"), DEADLINE_MS);
  for (let asked = 0; asked < perTurn; asked++) {
    const early = begun + (asked * 1000) / rate - performance.now();
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
    watchdog.refresh();
    const reply = alice.nextReply();
    alice.ask(request(asked));
    await reply;
  }
  clearTimeout(watchdog);
  await until("all pushes", () => bob.pushes.length - pushed === perTurn);
  const after = usage();
  return { count: perTurn, seconds: (performance.now() - begun) / 1000, server_cpu_s: after.cpu - before.cpu, server_written: after.written - before.written };
}

const sumOf = (parts) => parts.reduce((sum, part) => Object.fromEntries(Object.keys(sum).map((name) => [name, sum[name] + part[name]])));

async function takeTurns(alice, bob) {
  const places = alice.pushes.map(({ ts }) => ts);
  if (places.length < total) fail(`alice has ${places.length} messages, and needs ${total}: run \`fill\` before`);
  const [sends, marks] = [[], []];
  for (let turn = 0; turn < turns; turn++) {
    sends.push(await takeTurn(alice, bob, () => ({ op: "send", to: "bob", text: TEXT, key: crypto.randomUUID() }))); // as clients do
    marks.push(await takeTurn(alice, bob, (n) => ({ op: "seen", with: "bob", ts: places[turn * perTurn + n] })));
  }
  console.log(JSON.stringify({ sends: sumOf(sends.slice(WARMUP_TURNS)), marks: sumOf(marks.slice(WARMUP_TURNS)) }));
}

const [alice, bob] = [await Connection.open("alice"), await Connection.open("bob")];
if (what === "fill") await fill(alice, bob);
else await takeTurns(alice, bob);
process.exit(0);
