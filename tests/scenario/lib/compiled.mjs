// Modules that are made from a document of the repository: made when the document, the maker or the packages have changed,
// and kept beside the packages. Loading ajv and yaml and compiling costs each process of tests up to 0.8 s of CPU time.
import crypto from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const DOCUMENTS = path.resolve(HERE, "../../../docs");
const CACHE = path.resolve(HERE, "../node_modules/.cache/chitchat");

function evaluate(source) {
  const module = { exports: {} };
  new Function("exports", "module", "require", source)(module.exports, module, createRequire(import.meta.url));
  return module.exports;
}

// Other processes may do the same at this moment: a file appears whole. A cache that cannot be written is none.
function keep(file, source, name) {
  try {
    fs.mkdirSync(CACHE, { recursive: true });
    for (const old of fs.readdirSync(CACHE)) if (old.startsWith(`${name}-`)) fs.rmSync(path.join(CACHE, old), { force: true });
    fs.writeFileSync(`${file}.${process.pid}`, source);
    fs.renameSync(`${file}.${process.pid}`, file);
  } catch (error) {
    if (!["EACCES", "EROFS", "ENOENT"].includes(error.code)) throw error;
  }
}

// What a module exports whose source the compiler beside this file makes from the document of this name.
export async function compiled(name) {
  const text = fs.readFileSync(path.join(DOCUMENTS, `${name}.yaml`), "utf8");
  const maker = `./${name}_compile.mjs`;
  const hash = crypto.createHash("sha256").update(text);
  for (const other of [maker, "../package-lock.json"]) hash.update(fs.readFileSync(path.join(HERE, other)));
  const file = path.join(CACHE, `${name}-${hash.digest("hex").slice(0, 32)}.cjs`);
  if (fs.existsSync(file)) return evaluate(fs.readFileSync(file, "utf8"));
  const { compile } = await import(maker);
  const source = compile(text);
  keep(file, source, name);
  return evaluate(source);
}
