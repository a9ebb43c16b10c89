// No include against the direction.
//
// The table says for each folder what its files may include, beside the folder itself: folders, or single headers where the
// rest of a folder is closed. To forbid an include, take it out of the table. A folder with C files that is not in the table is
// a finding, and so is an entry that no file needs, so that the table says what holds and no more.
import { basename, dirname, join } from "node:path";
import { lineOf, split } from "./tree.mjs";

export const directions = {
  // What all use, and what knows nothing of chat.
  "src/base": [],
  shard: ["src/base"],

  // What survives: a folder knows those above it in this list, and single headers of others.
  storage: ["src/base", "storage/wal/wal.h"],
  "storage/wal": ["src/base", "storage"],
  "storage/runs": ["src/base", "storage", "storage/wal/segment.h", "storage/datadir/backup_lock.h"],
  "storage/memtable": ["src/base", "storage", "storage/runs/run_source.h"],
  "storage/datadir": ["src/base", "storage", "storage/offline/copy.h"],
  "storage/offline": ["src/base", "storage", "storage/wal", "storage/runs", "storage/memtable", "storage/datadir"],

  // Plug-ins: nothing includes them, and they know the table that they fill.
  "storage/engines/postgresql": ["src/base", "storage/log_engine.h"],

  // Pure, and the commands that need no server.
  "src/protocol": ["src/base"],
  "src/auth": ["src/base", "src/protocol"],
  "src/cli": ["src/base", "src/protocol", "src/auth", "storage", "storage/datadir", "storage/offline"],

  // Who owns the slots of a cluster: pure.
  "src/cluster": ["src/base", "storage"],

  // The server. All share src/server/core.h, the state of a shard. Beside it a folder knows those above it in this list,
  // but for durability, which knows delivery alone.
  "src/connection": ["src/base", "src/protocol", "shard", "src/server/core.h", "src/server/barrier.h"],
  "src/history": ["src/base", "src/protocol", "shard/worker.h", "storage/memtable", "storage/runs", "src/server/core.h",
    "src/connection"],
  "src/timeline": ["src/base", "src/protocol", "storage", "storage/memtable", "src/server/core.h", "src/server/letter.h",
    "src/connection/conn.h", "src/history/reads.h", "src/history/replay.h"],
  "src/ephemeral": ["src/base", "src/protocol", "src/server/core.h", "src/server/letter.h", "src/connection/backpressure.h",
    "src/history/reads.h"],
  "src/operations": ["src/base", "src/protocol", "src/auth", "src/server/core.h", "src/server/letter.h", "src/history", "src/timeline",
    "src/ephemeral",
    "src/http/exchanges.h"],
  "src/http": ["src/base", "src/protocol", "src/auth", "src/server/core.h", "src/connection/conn.h"],
  "src/api": ["src/base", "src/protocol", "src/server/core.h", "src/server/barrier.h", "src/server/metrics_text.h", "src/history/page_reads.h",
    "src/timeline/posts.h", "src/http/exchange.h", "src/http/routes.h"],
  "src/durability": ["src/base", "shard/io.h", "shard/timers.h", "shard/worker.h", "storage", "storage/wal", "storage/runs", "storage/datadir", "src/cluster", "src/server/core.h",
    "src/server/service_notify.h", "src/server/starting.h",
    "src/timeline/delivery.h"],
  "src/server": ["src/base", "src/protocol", "src/auth", "shard", "storage", "storage/memtable", "storage/runs", "storage/datadir", "storage/offline/manifests.h",
    "storage/offline/offline.h", "src/cli/config.h", "src/cli/config_value.h", "src/cli/command.h", "src/connection", "src/history", "src/timeline", "src/ephemeral",
    "src/operations", "src/durability", "src/http", "src/api/batches.h", "src/api/api.h"],

  // The load generator knows the wire, not the server.
  "bench/load": ["src/base", "src/cli/client_tls.h", "shard/io.h", "bench/times.h"],
  bench: ["src/base", "bench/load", "shard/io.h", "storage/log_engine.h", "storage/record.h", "storage/datadir/datadir.h", "storage/runs/run.h"],
  "bench/micro": ["src/base", "bench/times.h", "src/protocol", "src/auth", "shard", "storage/log.h", "storage/wal", "storage/memtable", "storage/runs"],
};

// Libraries, and who may include them.
export const libraries = {
  "liburing.h": ["shard", "tests"],
  "ck_ring.h": ["shard"],
  "lmdb.h": ["storage/runs", "bench/wall_btree.c", "tests"],
  "llhttp.h": ["src/protocol"],
  "wslay/wslay.h": ["src/protocol", "src/cli"],
  "openssl/evp.h": ["src/protocol", "src/auth", "src/cli", "bench/micro/token.c", "tests"],
  "openssl/sha.h": ["src/protocol", "src/cli", "storage/log_batch.c"],
  "histedit.h": ["src/cli"],
  "openssl/ssl.h": ["src/connection", "src/cli", "bench/load", "bench/hostile_hello.c", "tests"],
  "systemd/sd-daemon.h": ["src/server"],
  "libpq-fe.h": ["storage/engines/postgresql"],
  "jansson.h": ["src/auth", "src/cli", "bench/load", "tests"],
  "criterion/criterion.h": ["tests"],
};

// The folders that includes are looked up in, after that of the file itself.
const searched = ["", "src", "bench", "tests/sim"];

function findHeader(tree, file, name) {
  for (const folder of [dirname(file), ...searched]) {
    const path = join(folder, name);
    if (tree.files.has(path)) return path;
  }
  return null;
}

// A folder stands for its own files, not for the folders inside.
function entryFor(allowed, header) {
  return allowed.find((entry) => entry === header || entry === dirname(header));
}

function checkOwn(tree, file, name, used) {
  const header = findHeader(tree, file, name);
  if (!header) return `no header ${name}`;
  const folder = dirname(file);
  if (folder.startsWith("tests/") || dirname(header) === folder) return null;
  if (!directions[folder]) return `tests/lint/includes.mjs has no row for ${folder}`;
  const entry = entryFor(directions[folder], header);
  used.add(`${folder} ${entry}`);
  return entry ? null : `${folder} may not include ${header}`;
}

// A header whose first comment says that no other file includes it names each file that does, but for tests.
function checkPrivate(tree, file, name) {
  const header = file.startsWith("tests/") ? null : findHeader(tree, file, name);
  const [about] = header ? /^\/\*[^]*?\*\//.exec(tree.files.get(header)) ?? [""] : [""];
  const isPrivate = /No other\s+(\*\s+)?file\s+(\*\s+)?includes/.test(about);
  return isPrivate && !about.includes(basename(file)) ? `${header} says that no other file includes it` : null;
}

function checkLibrary(file, name) {
  const allowed = libraries[name];
  if (!allowed || allowed.some((entry) => file === entry || file.startsWith(`${entry}/`))) return null;
  return `only ${allowed.join(", ")} may include <${name}>`;
}

export function checkIncludes(tree, table = "tests/lint/includes.mjs") {
  const findings = [];
  const used = new Set();
  for (const [file, text] of tree.files) {
    const { kind, code } = split(file, text);
    if (kind !== "c") continue;
    for (const match of code.matchAll(/^#include (?:"([^"]+)"|<([^>]+)>)/gm)) {
      const what = match[1] ? checkOwn(tree, file, match[1], used) ?? checkPrivate(tree, file, match[1]) : checkLibrary(file, match[2]);
      if (what) findings.push({ file, line: lineOf(text, match.index), what });
    }
  }
  if (!tree.files.has(table)) return findings;
  for (const [folder, allowed] of Object.entries(directions)) {
    for (const entry of allowed) {
      if (used.has(`${folder} ${entry}`)) continue;
      const text = tree.files.get(table);
      const line = lineOf(text, text.indexOf(entry, text.search(new RegExp(`^  '?${folder}'?: \\[`, "m"))));
      findings.push({ file: table, line, what: `no file of ${folder} includes ${entry}: take it out of the table` });
    }
  }
  return findings;
}
