// A thread of attackers, so that they and the client that is measured do not wait for each other. What they receive is
// counted, not kept. `attack` starts one and resolves when it has done its part and left.
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { connectTo, readyEvent } from "./certificate.mjs";
import { frameOf, upgradeRequest } from "./raw.mjs";

const request = (fields) => frameOf(JSON.stringify(fields));
const repeated = (count, frame) => Buffer.concat(Array.from({ length: count }, () => frame));

// `at`: another address of the server.
export function attack(server, kind, { at = server.address, ...options }) {
  const worker = new Worker(new URL(import.meta.url), { workerData: { at, kind, options } });
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

// A connection that says `bytes` and comes to its end: `by` the server; by a "half" close, after which the server ends
// too; or by the "client" as soon as it is connected or, with `word`, has received that.
function session(at, { bytes, by = "server", word }) {
  return new Promise((resolve, reject) => {
    const socket = connectTo(at, { allowHalfOpen: true });
    let received = "";
    socket.on("data", (data) => {
      received = (received + data.toString("latin1")).slice(-4096);
      if (word !== undefined && received.includes(word)) socket.destroy();
    });
    socket.on("error", () => {}); // the server may reset a connection whose bytes it does not read
    socket.on("end", () => socket.destroy());
    socket.on("close", () => (word === undefined || received.includes(word) ? resolve() : reject(new Error(`the end came before ${word}: ${received}`))));
    socket.on(readyEvent(at), () => {
      if (bytes !== undefined) socket.write(Buffer.from(bytes));
      if (by === "half") socket.end();
      if (by === "client" && word === undefined) socket.destroy();
    });
  });
}

// A connection that says `bytes`, each in a write of its own, until it has received `word`.
function drip(at, bytes, word) {
  return new Promise((resolve, reject) => {
    const socket = connectTo(at, { noDelay: true });
    let index = 0;
    const next = () => index < bytes.length && socket.write(bytes.subarray(index, ++index), () => setImmediate(next));
    let received = "";
    socket.on("data", (data) => (received += data.toString("latin1")).includes(word) && resolve(socket));
    socket.on("close", () => reject(new Error(`the end came before ${word}: ${received}`)));
    socket.on("error", reject);
    socket.on(readyEvent(at), next);
  });
}

// A connection that is logged in; resolves to the socket. `words`: counted in all that is received.
function connect(at, user, words) {
  const socket = connectTo(at);
  let tail = "";
  socket.counts = Object.fromEntries(words.map((word) => [word, 0]));
  socket.onCount = () => {};
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("data", (data) => {
      const text = tail + data.toString("latin1");
      for (const word of words) for (let i = text.indexOf(word); i >= 0; i = text.indexOf(word, i + 1)) socket.counts[word] += i + word.length > tail.length;
      tail = text.slice(-32);
      if (text.includes('"epoch"')) resolve(socket);
      socket.onCount();
    });
    socket.write(Buffer.concat([Buffer.from(upgradeRequest()), request({ op: "login", id: 0, user })]));
  });
}

function untilCount(socket, word, count) {
  return new Promise((resolve, reject) => {
    socket.once("close", () => reject(new Error(`the server ended a connection after ${socket.counts[word]} of ${count} times ${word}`)));
    socket.onCount = () => socket.counts[word] >= count && resolve();
    socket.onCount();
  });
}

const connectAll = (at, count, user, words) => Promise.all(Array.from({ length: count }, () => connect(at, user, words)));

const kinds = {
  // Each of `conns`: `before` first, then `count` times `frame`, then a ping, whose pong shows that all was handled.
  async flood(at, { conns, before, frame, count }) {
    const sockets = await connectAll(at, conns, "mallory", ["\x8a\x03end"]);
    const frames = repeated(1000, Buffer.from(frame));
    for (const socket of sockets) {
      socket.write(Buffer.from(before));
      for (let i = 0; i < count; i += 1000) socket.write(frames);
      socket.write(frameOf("end", { opcode: 9 }));
    }
    await Promise.all(sockets.map((socket) => untilCount(socket, "\x8a\x03end", 1)));
    return sockets;
  },

  // Each of `conns` asks for so many pages at once, in which nothing is found.
  async pages(at, { conns, pages }) {
    const sockets = await connectAll(at, conns, "mallory", ['"op":"history"']);
    const asks = Buffer.concat(Array.from({ length: pages }, (_, id) => request({ op: "history", id, with: "nobody" })));
    for (const socket of sockets) socket.write(asks);
    await Promise.all(sockets.map((socket) => untilCount(socket, '"op":"history"', pages)));
    return sockets;
  },

  // Each of `conns`: one session after the other, `times` of them; each says one of `says`, in turns.
  async sessions(at, { conns, times, says, ...how }) {
    const one = async (_, nth) => {
      for (let i = 0; i < times; i++) await session(at, { bytes: says?.[(nth + i) % says.length], ...how });
    };
    await Promise.all(Array.from({ length: conns }, one));
    return [];
  },

  // Each of `conns`: an upgrade, a login and `sends` sends, byte by byte.
  async drips(at, { conns, sends }) {
    const frames = Array.from({ length: sends }, (_, id) => request({ op: "send", id, to: "nobody", text: "slow" }));
    const bytes = Buffer.concat([Buffer.from(upgradeRequest()), request({ op: "login", id: "login", user: "mallory" }), ...frames]);
    return Promise.all(Array.from({ length: conns }, () => drip(at, bytes, `"id":${sends - 1},`)));
  },

  // Each of `conns` is a user who sends with `keys` keys to themselves; and, with all still connected, once more.
  async keys(at, { conns, keys, again }) {
    const sockets = [];
    for (let i = 0; i < conns; i++) sockets.push(await connect(at, `mallory-${i}`, ['"id":', '"dup":true']));
    const sends = (first, count) => Array.from({ length: count }, (_, i) => (user) => request({ op: "send", id: first + i + 1, to: user, text: "x", key: `k${first + i}` }));
    const say = (socket, i, asks) => socket.write(Buffer.concat(asks.map((ask) => ask(`mallory-${i}`))));
    sockets.forEach((socket, i) => say(socket, i, sends(0, keys)));
    await Promise.all(sockets.map((socket) => untilCount(socket, '"id":', keys + 1)));
    sockets.forEach((socket, i) => say(socket, i, sends(keys - again, again)));
    await Promise.all(sockets.map((socket) => untilCount(socket, '"dup":true', again)));
    return sockets;
  },

  // Each of `conns` asks at once for as many pages as may be unanswered; a refusal is an answer.
  async unanswered(at, { conns, pages }) {
    const sockets = await connectAll(at, conns, "mallory", ['"id":']);
    const asks = Buffer.concat(Array.from({ length: pages }, (_, id) => request({ op: "history", id, with: "nobody" })));
    for (const socket of sockets) socket.write(asks);
    await Promise.all(sockets.map((socket) => untilCount(socket, '"id":', pages + 1)));
    return sockets;
  },

  // `senders` of the connections of one user send to that user, `each` at once; each is answered.
  async fanout(at, { conns, senders, each }) {
    const sockets = await connectAll(at, conns, "crowd", ['"id":']);
    const sends = Buffer.concat(Array.from({ length: each }, (_, id) => request({ op: "send", id: id + 1, to: "crowd", text: `${id}` })));
    for (const socket of sockets.slice(0, senders)) socket.write(sends);
    await Promise.all(sockets.slice(0, senders).map((socket) => untilCount(socket, '"id":', each)));
    return sockets;
  },
};

if (!isMainThread) {
  const sockets = await kinds[workerData.kind](workerData.at, workerData.options);
  for (const socket of sockets) socket.destroy();
  parentPort.postMessage("done");
}
