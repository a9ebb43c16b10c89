// Data directories as text: so the repository keeps one of each format version. A block of 32 bytes that are not all
// zeros is a line.
//
//     file shard-0000/runs/manifest.mdb 16384
//     4064 00…
//     dump
//     {"user":"alice",…          what `chitchat dump` wrote of it
//
// Run by itself, it makes such a text with the server of CHITCHAT_BIN, and writes it to stdout:
//
//     CHITCHAT_BIN=path node lib/format_text.mjs > FILE
//
// The directory has 2 shards, runs, records that are in the WAL only, keys, and a server that was killed.
import fs from "node:fs";
import path from "node:path";
import { Client } from "./client.mjs";
import { filesOf, treeOf } from "./offline.mjs";
import { Server, runToEnd, until } from "./server.mjs";

const BLOCK_BYTES = 32;

function linesOf(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
    const block = bytes.subarray(at, at + BLOCK_BYTES);
    if (block.some((byte) => byte !== 0)) lines.push(`${at} ${block.toString("hex")}`);
  }
  return lines;
}

function textOf(dir, dump) {
  const names = Object.keys(treeOf(dir)).filter((name) => fs.statSync(path.join(dir, name)).isFile() && !/(LOCK|HOLD|-lock)$/.test(name)).sort();
  const files = names.flatMap((name) => {
    const bytes = fs.readFileSync(path.join(dir, name));
    return [`file ${name} ${bytes.length}`, ...linesOf(bytes)];
  });
  return [...files, "dump", dump].join("\n");
}

// Makes `dir`, which must not exist, from the text. What `chitchat dump` writes of it.
export function unpack(text, dir) {
  const [files, dump] = text.split("\ndump\n");
  let fd;
  for (const line of files.split("\n")) {
    const [first, second, bytes] = line.split(" ");
    if (first !== "file") {
      const block = Buffer.from(second, "hex");
      fs.writeSync(fd, block, 0, block.length, Number(first));
      continue;
    }
    if (fd !== undefined) fs.closeSync(fd);
    fs.mkdirSync(path.dirname(path.join(dir, second)), { recursive: true });
    fd = fs.openSync(path.join(dir, second), "wx");
    fs.ftruncateSync(fd, Number(bytes));
  }
  fs.closeSync(fd);
  return dump;
}

async function sendAll(clients, tag) {
  for (const from of clients)
    for (const to of clients) await from.send(to.user, `${tag}: ${from.user} to ${to.user}`, from === clients[0] ? { key: `${tag}/${to.user}` } : {});
}

async function main() {
  const server = await Server.start({ shards: 2, options: ["--checkpoint-s", "1"] });
  try {
    const clients = [];
    for (const user of ["alice", "bob", "carol"]) {
      clients.push(await Client.open(server));
      await clients.at(-1).loginAs(user);
    }
    // Until each shard has a run: by the seed of the names, all users may be on one.
    await sendAll(clients, "in runs");
    await until("a run on each shard: if it does not come, start again", () => filesOf(server.data, /run-\d+\.mdb$/).length >= 2);
    await sendAll(clients, "in the WAL");
    await server.kill();
    process.stdout.write(textOf(server.data, runToEnd(["dump", "--data", server.data]).stdout));
  } finally {
    await server.clean();
  }
}

if (process.argv[1] === import.meta.filename) await main();
