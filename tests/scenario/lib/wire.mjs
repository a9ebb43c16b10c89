// docs/asyncapi.yaml as what frames are checked against. Client and Raw check every frame of the server, and Client every
// request by its outcome, so no test need do it.
import assert from "node:assert/strict";
import { compiled } from "./compiled.mjs";

const { TABLE: table, CLOSE_CODES: closeCodes, ...validators } = await compiled("asyncapi");
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
