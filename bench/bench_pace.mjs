// One client connection that marks, or sends, at an even rate, while the other user is connected too: "marks at an even rate" of
// bench_people.mjs runs it. Each mark sees one more message of the other user, so each is stored, and pushed to the author.
//
//     node bench/bench_pace.mjs PORT PID fill|sends|marks RATE SECONDS
//
// `fill`: bob sends alice what `marks` needs. `sends`: alice sends to bob. `marks`: alice marks what bob has sent, one message after the other.
// Prints { count, seconds, server_cpu_s, server_written } of the process PID, as JSON. A request that is refused, or a push that does not come,
// ends it with 1.
import fs from "node:fs";
import net from "node:net";

const WARMUP_S = 0.5;
const FILL_WINDOW = 64;
const DEADLINE_MS = 30000;
const TEXT = "x".repeat(64); // as the load generator's

const [, , port, pid, what, ...numbers] = process.argv;
const [rate, seconds] = numbers.map(Number);
const warmup = Math.ceil(rate * WARMUP_S);
const total = warmup + Math.ceil(rate * seconds);

function fail(why) {
  console.error(`bench_pace: ${why}`);
  process.exit(1);
}

// Frames of a client must have a mask; with one of zeros the text stays as it is.
function frameOf(text) {
  const body = Buffer.from(text);
  const head = body.length < 126 ? [0x81, 0x80 | body.length] : [0x81, 0xfe, body.length >> 8, body.length & 255];
  return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), body]);
}

class Connection {
  replies = 0; // to requests, all `ok`
  pushes = []; // but `live`
  isLive = false;
  #socket;
  #received = Buffer.alloc(0);
  #hasHead = false;

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
    if (opcode !== 1) return;
    const frame = JSON.parse(payload);
    if (frame.op === "ok") this.replies++;
    else if (frame.op === "live") this.isLive = true;
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

// Asks at the rate; `request(n)` is the n-th request of alice. Each must get `ok`, and bob a push.
async function pace(alice, bob, request) {
  const pushed = bob.pushes.length;
  const begun = performance.now();
  let before, beforeAt;
  for (let asked = 0; asked < total; ) {
    const due = Math.min(total, Math.floor(((performance.now() - begun) * rate) / 1000));
    for (; asked < due; asked++) alice.ask(request(asked));
    if (before === undefined && asked >= warmup) [before, beforeAt] = [usage(), { asked, at: performance.now() }];
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await until("all answers and pushes", () => alice.replies === total && bob.pushes.length - pushed === total);
  const after = usage();
  const figures = { count: total - beforeAt.asked, seconds: (performance.now() - beforeAt.at) / 1000, server_cpu_s: after.cpu - before.cpu, server_written: after.written - before.written };
  console.log(JSON.stringify(figures));
}

const [alice, bob] = [await Connection.open("alice"), await Connection.open("bob")];
if (what === "fill") {
  await fill(alice, bob);
  console.log("{}");
} else if (what === "sends") {
  await pace(alice, bob, () => ({ op: "send", to: "bob", text: TEXT }));
} else {
  const places = alice.pushes.map(({ ts }) => ts);
  if (places.length < total) fail(`alice has ${places.length} messages, and needs ${total}: run \`fill\` before`);
  await pace(alice, bob, (n) => ({ op: "seen", with: "bob", ts: places[n] }));
}
process.exit(0);
