// The package of the JavaScript client: what npm packs, its types, and the reference that is made from them.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import test from "node:test";
import { DEADLINE_MS, LONG, withDataDir } from "./lib/server.mjs";

const WEB = path.resolve("../../src/web");
const MODULES = path.resolve("node_modules");

const run = (file, args, cwd) => spawnSync(process.execPath, [path.join(MODULES, file), ...args], { cwd, encoding: "utf8", timeout: 5 * DEADLINE_MS, env: { ...process.env, NODE_DISABLE_COMPILE_CACHE: "1" } });

// An application in `dir` that has installed what npm packs.
function install(dir) {
  const [{ filename, files }] = JSON.parse(execFileSync("npm", ["pack", WEB, "--json", "--pack-destination", dir], { cwd: dir, encoding: "utf8" }));
  const target = path.join(dir, "node_modules/chitchat-client");
  fs.mkdirSync(target, { recursive: true });
  execFileSync("tar", ["-xzf", path.join(dir, filename), "-C", target, "--strip-components=1"]);
  fs.writeFileSync(path.join(dir, "package.json"), '{ "type": "module" }');
  return files.map((file) => file.path).sort();
}

// The sample also has lines that must not compile.
function compileSample(dir) {
  const config = JSON.parse(fs.readFileSync("types/tsconfig.json", "utf8"));
  fs.writeFileSync(path.join(dir, "tsconfig.json"), JSON.stringify({ ...config, files: ["sample.ts"] }));
  fs.copyFileSync("types/sample.ts", path.join(dir, "sample.ts"));
  return run("typescript/bin/tsc", ["-p", "."], dir);
}

test("npm pack gives a package that imports, and whose types fit an application", async () => {
  await withDataDir(async (dir) => {
    const files = install(dir);
    const modules = fs.readdirSync(WEB).filter((name) => /^chitchat.*\.js$/.test(name));
    assert.deepEqual(files, [...modules, "chitchat.d.ts", "package.json"].sort());
    const found = compileSample(dir);
    assert.deepEqual([found.status, found.stdout], [0, ""]);
    const text = execFileSync(process.execPath, ["-e", 'import("chitchat-client").then((all) => console.log(Object.keys(all).sort().join()))'], { cwd: dir, encoding: "utf8" });
    assert.equal(text.trim(), "ChatError,Client,IndexedDBStorage,MemoryStorage,isUserName,utf8Length");
  });
});

test("the types name what the modules have: classes, methods, functions", async () => {
  const types = fs.readFileSync(path.join(WEB, "chitchat.d.ts"), "utf8");
  const all = await import("../../src/web/chitchat.js");
  const declared = [...types.matchAll(/^export declare (?:class|function) (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(declared.sort(), Object.keys(all).sort());
  for (const name of ["Client", "MemoryStorage", "IndexedDBStorage"]) {
    const body = new RegExp(`^export declare class ${name}[^]*?^\\}`, "m").exec(types)[0];
    const members = [...body.matchAll(/^ {2}(?:readonly )?(\w+)[(:<]/gm)].map(([, member]) => member);
    const has = Object.getOwnPropertyNames(all[name].prototype);
    const fields = name === "IndexedDBStorage" ? ["name"] : [];
    assert.deepEqual([...new Set(members)].sort(), [...has, ...fields].sort(), name);
  }
});

test("the reference is made from the types without a warning", { skip: LONG ? false : "for the soak" }, async () => {
  await withDataDir(async (dir) => {
    const { status, stdout, stderr } = run("typedoc/bin/typedoc", ["--options", path.resolve("types/typedoc.json"), "--tsconfig", path.resolve("types/tsconfig.json"), "--out", path.join(dir, "out")], process.cwd());
    assert.equal(status, 0, stdout + stderr);
    assert.match(fs.readFileSync(path.join(dir, "out/classes/Client.html"), "utf8"), /Puts a message at the end of the outbox/);
  });
});
