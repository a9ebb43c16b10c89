// No new circle of modules: of modules that call each other, at once or over others.
//
// Modules in a circle cannot be read, tested or replaced one by one. What must call upward takes a table of functions that
// is filled in above it, as `struct conn_callbacks` is. The circles that are left stand here; one of them that is gone is a
// finding too, so that the list says what holds and no more.
//
// A module is a header with the sources of its name: `conn_read.c` is of the module of `conn.c`, since there is no header for
// it alone. Whoever names a function of another module calls it, or a macro that names one.
import { lineOf, split } from "./tree.mjs";

export const circles = [
  ["src/base/assert", "src/base/log"],
  ["src/connection/backpressure", "src/connection/conn", "src/connection/tls"],
  ["src/timeline/delivery", "src/timeline/fanout", "src/timeline/idempotency"],
  ["src/http/exchange", "src/http/exchanges"],
  ["src/durability/recovery", "src/durability/recovery_standby"],
  ["src/server/reload", "src/server/service_notify"],
  ["src/auth/token", "src/auth/token_keys", "src/auth/token_signature"],
  ["src/cli/chat_commands", "src/cli/chat_tty"],
  ["src/cli/client", "src/cli/client_link"],
  ["shard/io_accept", "shard/io_socket", "shard/io_uring"],
  ["storage/memtable/mem_entries", "storage/memtable/memtable"],
  ["storage/runs/manifest", "storage/runs/manifest_rows"],
  ["check", "connect", "query", "schema", "session"].map((name) => `storage/engines/postgresql/${name}`),
];

const definition = /^(static )?(?!typedef |return |else )[A-Za-z_][\w *]*?[ *](\w+)\([^;{}]*\)\n\{/gm;
const macro = /^#define (\w+)\([^)]*\)((?:.*\\\n)*.*)$/gm;
const word = /(?<![\w.>])(?<!\b(?:struct|enum|union) )[A-Za-z_]\w*/g;

function moduleOf(tree, file) {
  const stem = file.slice(0, -2);
  if (tree.files.has(`${stem}.h`)) return stem;
  for (let at = stem.lastIndexOf("_"); at > stem.lastIndexOf("/"); at = stem.lastIndexOf("_", at - 1)) {
    if (tree.files.has(`${stem.slice(0, at)}.c`)) return stem.slice(0, at);
  }
  return stem;
}

// Each source: its module, its code without comments, strings and includes, and the functions that it defines.
function readSource(tree, file, text) {
  const code = split(file, text).code.replace(/'(\\.|[^'\\])+'|"(\\.|[^"\\])*"/g, '""').replace(/^#include.*$/gm, "");
  const defined = [...code.matchAll(definition)];
  return {
    module: moduleOf(tree, file),
    code,
    own: new Set(defined.map(([, , name]) => name)),
    shared: defined.filter(([, isStatic]) => !isStatic).map(([, , name]) => name),
  };
}

// Map of each macro of a header to the words in it.
function readMacros(tree) {
  const headers = [...tree.files].filter(([file]) => /^(src|shard|storage)\/.*\.h$/.test(file));
  const texts = headers.map(([file, text]) => split(file, text).code);
  return new Map(texts.flatMap((text) => [...text.matchAll(macro)].map(([, name, body]) => [name, [...body.matchAll(word)].flat()])));
}

// Map of a module to the modules that it calls, each with the name of one function.
function readCalls(tree) {
  const files = [...tree.files].filter(([file]) => /^(src|shard|storage)\/.*\.c$/.test(file));
  const sources = files.map(([file, text]) => readSource(tree, file, text));
  const owners = new Map(sources.flatMap(({ module, shared }) => shared.map((name) => [name, module])));
  const macros = readMacros(tree);
  const calls = new Map(sources.map(({ module }) => [module, new Map()]));
  for (const { module, code, own } of sources) {
    const named = new Set([...code.matchAll(word)].flatMap(([name]) => [name, ...(macros.get(name) ?? [])]));
    for (const name of named) {
      const owner = owners.get(name);
      if (owner && owner !== module && !own.has(name)) calls.get(module).set(owner, name);
    }
  }
  return calls;
}

function reachedFrom(calls, module) {
  const reached = new Set();
  const queue = [module];
  while (queue.length > 0) {
    for (const next of calls.get(queue.pop()).keys()) {
      if (reached.has(next)) continue;
      reached.add(next);
      queue.push(next);
    }
  }
  return reached;
}

function findCircles(calls) {
  const reached = new Map([...calls.keys()].map((module) => [module, reachedFrom(calls, module)]));
  const found = new Map();
  for (const [module, others] of reached) {
    const circle = [...others].filter((other) => reached.get(other).has(module)).sort();
    if (circle.length > 1) found.set(circle.join(), circle);
  }
  return found;
}

function describe(calls, circle) {
  const pairs = circle.flatMap((module) =>
    [...calls.get(module)].filter(([other]) => circle.includes(other)).map(([other, name]) => `${module} calls ${name} of ${other}`));
  return `a circle of ${circle.length} modules that tests/lint/circles.mjs does not have: ${pairs.join(", ")}`;
}

export function checkCircles(tree, table = "tests/lint/circles.mjs") {
  const calls = readCalls(tree);
  const found = findCircles(calls);
  const listed = new Set(circles.map((circle) => circle.join()));
  const findings = [...found].filter(([key]) => !listed.has(key)).map(([, circle]) => {
    const file = [`${circle[0]}.h`, `${circle[0]}.c`].find((path) => tree.files.has(path));
    return { file, line: 1, what: describe(calls, circle) };
  });
  if (!tree.files.has(table)) return findings;
  for (const circle of circles) {
    if (found.has(circle.join())) continue;
    const text = tree.files.get(table);
    findings.push({ file: table, line: lineOf(text, text.indexOf(circle[0])), what: `${circle.join(", ")} are no circle any more: take them out` });
  }
  return findings;
}
