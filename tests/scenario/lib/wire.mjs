// docs/asyncapi.yaml as what frames are checked against. Client and Raw check every frame of the server, and Client every
// request by its outcome, so no test need do it. The validators are compiled when the document or the compiler has
// changed, and kept beside the packages.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const DOCUMENT_FILE = path.resolve(HERE, "../../../docs/asyncapi.yaml");
const CACHE = path.resolve(HERE, "../node_modules/.cache/chitchat");

function evaluate(source) {
  const module = { exports: {} };
  new Function("exports", "module", "require", source)(module.exports, module, createRequire(import.meta.url));
  return module.exports;
}

// Other processes may do the same at this moment: a file appears whole. A cache that cannot be written is none.
function keep(file, source) {
  try {
    fs.mkdirSync(CACHE, { recursive: true });
    for (const old of fs.readdirSync(CACHE)) if (old.startsWith("wire-")) fs.rmSync(path.join(CACHE, old), { force: true });
    fs.writeFileSync(`${file}.${process.pid}`, source);
    fs.renameSync(`${file}.${process.pid}`, file);
  } catch (error) {
    if (!["EACCES", "EROFS", "ENOENT"].includes(error.code)) throw error;
  }
}

async function load() {
  const text = fs.readFileSync(DOCUMENT_FILE, "utf8");
  const hash = crypto.createHash("sha256").update(text);
  for (const other of ["wire_compile.mjs", "../package-lock.json"]) hash.update(fs.readFileSync(path.join(HERE, other)));
  const file = path.join(CACHE, `wire-${hash.digest("hex").slice(0, 32)}.cjs`);
  if (fs.existsSync(file)) return evaluate(fs.readFileSync(file, "utf8"));
  const { compile } = await import("./wire_compile.mjs");
  const source = compile(text);
  keep(file, source);
  return evaluate(source);
}

const { TABLE: table, CLOSE_CODES: closeCodes, ...validators } = await load();
export const TABLE = table;
export const CLOSE_CODES = closeCodes;
const byOp = (names) => names.reduce((all, name) => ({ ...all, [TABLE.ops[name]]: [...(all[TABLE.ops[name]] ?? []), name] }), {});
const REFUSALS = byOp(TABLE.refusals);
const REPLIES = Object.fromEntries(Object.entries(TABLE.replies).map(([op, names]) => [op, byOp(names)]));
const ANY_REPLY = byOp([...new Set([...Object.values(TABLE.replies).flat(), ...TABLE.refusals])]);
const PUSHES = byOp(Object.values(TABLE.pushes));

const words = (name) => validators[name].errors.map(({ instancePath, message, params }) => `${name}${instancePath} ${message} ${JSON.stringify(params)}`).join(", ");

function fits(names, value, what) {
  if (names?.some((name) => validators[name](value))) return;
  assert.fail(`docs/asyncapi.yaml has no such ${what}: ${JSON.stringify(value).slice(0, 500)}: ${(names ?? []).map(words).join("; ")}`);
}

export const isPush = (frame) => Object.hasOwn(PUSHES, frame.op);

// Throws if the document does not allow this frame of the server. `op`: of the request that it answers, if that is known.
export function checkFrame(frame, op) {
  if (isPush(frame)) fits(PUSHES[frame.op], frame, "push");
  else fits((op === undefined ? ANY_REPLY : REPLIES[op] ?? REFUSALS)[frame.op], frame, op === undefined ? "reply" : `reply to ${op}`);
}

// Throws if server and document disagree on what a correct request is. What the server has done must fit; what it calls a
// bad request or too large must not. Whether a login needs a token is known to the server alone.
export function checkRequest(request, reply) {
  const name = TABLE.requests[request.op];
  if (reply.op !== "error") {
    assert.ok(name, `docs/asyncapi.yaml has no request ${request.op}`);
    fits([name], request, "request");
  } else if (name && name !== "Login" && ["bad_request", "too_large"].includes(reply.code)) {
    assert.ok(!validators[name](request), `docs/asyncapi.yaml allows what is ${reply.code}: ${JSON.stringify(request).slice(0, 500)}`);
  }
}

// An operator may choose another code. 1005 and 1006 say that there was no code and no close frame.
export function checkCloseCode(code, reason) {
  const isKnown = CLOSE_CODES.includes(code) || [1005, 1006].includes(code) || reason === "disconnected by an operator";
  assert.ok(isKnown, `docs/asyncapi.yaml has no close code ${code} (${reason})`);
}
