// docs/asyncapi.yaml is a correct document and says what the server and PROTOCOL.md say. All scenarios check their frames
// against it (lib/wire.mjs); this one looks for what one has and the other has not, and at the check itself.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import asyncapi from "@asyncapi/parser";
import { WebSocketServer } from "ws";
import { parse } from "yaml";
import { Client } from "./lib/client.mjs";
import { CLOSE_CODES, TABLE, checkCloseCode, checkFrame, checkRequest } from "./lib/wire.mjs";

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const read = (file) => fs.readFileSync(path.join(ROOT, file), "utf8");
const TEXT = read("docs/asyncapi.yaml");
const DOCUMENT = parse(TEXT);
const SCHEMAS = DOCUMENT.components.schemas;
const PROTOCOL = read("PROTOCOL.md");

const found = (text, pattern) => [...text.matchAll(pattern)].map(([, name]) => name);
const section = (title) => new RegExp(`^## ${title}$([^]*?)(?=^## |$(?![^]))`, "m").exec(PROTOCOL)[1];
const sources = fs.readdirSync(path.join(ROOT, "src"), { recursive: true }).filter((file) => /\.[ch]$/.test(file)).map((file) => read(path.join("src", file))).join("\n");
const requestSource = read("src/protocol/request.c");

test("the document is valid AsyncAPI 3", async () => {
  const { document, diagnostics } = await new asyncapi.Parser().parse(TEXT);
  const bad = diagnostics.filter(({ code }) => code !== "asyncapi-latest-version");
  assert.deepEqual(bad.map(({ code, message, path: where }) => `${code} at ${where.join(".")}: ${message}`), []);
  assert.equal(document.version(), "3.0.0");
});

test("what the server sends has no field that the document does not name", () => {
  const isStrict = (schema) => schema.additionalProperties === false || schema.allOf?.some(({ $ref }) => $ref && isStrict(SCHEMAS[$ref.split("/").at(-1)]));
  const requests = Object.values(TABLE.requests);
  for (const name of Object.keys(TABLE.ops)) assert.equal(!!isStrict(SCHEMAS[name]), !requests.includes(name), name);
  const inner = Object.entries(SCHEMAS).filter(([, { type }]) => type === "object").filter(([name]) => !requests.includes(name));
  for (const [name, schema] of inner) assert.equal(schema.additionalProperties, false, name);
});

test("operations and pushes are the same in the document, PROTOCOL.md and the server", () => {
  const ofServer = found(requestSource, /\{\{"([a-z_]+)", \d+\}, REQUEST_[A-Z]+\}/g);
  assert.ok(ofServer.length >= 4, "the table of request.c was found");
  assert.deepEqual(ofServer.sort(), Object.keys(TABLE.requests).sort());
  assert.deepEqual(found(section("5\\. Operations"), /^### 5\.\d+ ([a-z_]+)$/gm).sort(), ofServer);
  const pushes = found(section("6\\. Pushes"), /^### 6\.\d+ ([a-z_, ]+)$/gm).flatMap((title) => title.split(", "));
  assert.deepEqual(pushes.sort(), Object.keys(TABLE.pushes).sort());
});

test("PROTOCOL.md names every field of the document where it describes the operation or the push", () => {
  const named = (text, name, where) => assert.match(text, new RegExp(`[\`"]([a-z]+\\[\\]\\.)?${name}[\`"]`), `${name} in ${where}`);
  const part = (title) => new RegExp(`^### [56]\\.\\d+ (?:[a-z_]+, )*${title}(?:, [a-z_]+)*$([^]*?)(?=^###? |$(?![^]))`, "m").exec(PROTOCOL)[1];
  for (const op of Object.keys(TABLE.requests))
    for (const name of [TABLE.requests[op], ...TABLE.replies[op].filter((reply) => TABLE.ops[reply] !== "error")])
      for (const field of Object.keys(SCHEMAS[name].properties)) named(part(op), field, op);
  for (const op of Object.keys(TABLE.pushes))
    for (const field of Object.keys(SCHEMAS[TABLE.pushes[op]].properties)) named(part(op), field, op);
});

test("error codes are the same in the document, PROTOCOL.md and the server", () => {
  const codes = SCHEMAS.ErrorCode.enum.toSorted();
  assert.deepEqual(found(requestSource, /\[ERROR_[A-Z_]+\] = "([a-z_]+)"/g).filter((code) => code !== "none").sort(), codes);
  assert.deepEqual(found(section("8\\. Errors"), /^\| `([a-z_]+)` \|/gm).filter((code) => !Object.keys(SCHEMAS.Error.properties).includes(code)).sort(), codes);
  const used = Object.values(SCHEMAS).flatMap(({ allOf }) => allOf?.[1]?.properties?.code?.enum ?? []);
  assert.deepEqual([...new Set(used)].sort(), codes, "each is the answer to something");
});

test("close codes are the same in the document, PROTOCOL.md and the server", () => {
  const ofServer = [...found(sources, /\b(?:conn_close|fail)\([^;]*?, (\d{4}),/g), ...found(sources, /#define \w*CODE\w* (\d{4})u?$/gm)];
  assert.deepEqual([...new Set(ofServer)].map(Number).sort(), CLOSE_CODES.toSorted());
  assert.deepEqual(found(section("9\\. Close codes"), /^\| (\d{4}) \|/gm).map(Number).sort(), CLOSE_CODES.toSorted());
});

const MSG = { op: "msg", ts: 2, prev: 1, mid: "m", from: "a", to: "b", text: "x" };

test("a frame, a request or a close code that the document does not have is noticed", () => {
  const { text, ...without } = MSG;
  const bad = [[{ ...MSG, extra: 1 }], [without], [{ ...MSG, ts: "2" }], [{ ...MSG, id: 1 }], [{ ...MSG, text: "é".repeat(8193) }], [{ op: "dance" }], [{}],
    [{ op: "ok" }, "send"], [{ op: "ok", ts: 2, prev: 1, mid: "m", dup: true }, "send"], [{ op: "history", messages: [], more: true }, "history"],
    [{ op: "error", code: "dance", message: "x" }], [{ op: "error", code: "busy", message: "x" }], [{ op: "error", code: "bad_json", message: "x", retry_after: 1 }],
    [{ op: "error", code: "key_conflict", message: "x" }, "ping"], [{ op: "ok" }, "dance"]];
  for (const [frame, op] of bad) assert.throws(() => checkFrame(frame, op), JSON.stringify(frame));
  for (const [frame, op] of [[MSG], [{ ...MSG, text: "é".repeat(8192) }], [{ op: "ok" }, "ping"], [{ op: "error", code: "unknown_op", message: "x" }, "dance"]]) checkFrame(frame, op);
  const send = { op: "send", to: "b", text: "x" };
  checkRequest(send, { op: "ok" });
  checkRequest({ ...send, to: "a b" }, { op: "error", code: "bad_request" });
  assert.throws(() => checkRequest({ ...send, to: "a b" }, { op: "ok" }), /User|to must/);
  assert.throws(() => checkRequest(send, { op: "error", code: "bad_request" }), /allows what is bad_request/);
  assert.throws(() => checkRequest({ op: "dance" }, { op: "ok" }), /no request dance/);
  checkCloseCode(4001, "slow");
  checkCloseCode(4999, "disconnected by an operator");
  assert.throws(() => checkCloseCode(4999, ""), /no close code 4999/);
});

test("a client keeps the first frame that the document does not have", async () => {
  const liar = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  liar.on("connection", (socket) => socket.on("message", (data) => socket.send(JSON.stringify({ op: "ok", id: JSON.parse(data).id, more: 1 }))));
  await new Promise((resolve) => liar.once("listening", resolve));
  const client = await Client.open({ url: () => `ws://127.0.0.1:${liar.address().port}/ws`, address: {} }, { protocol: null });
  await client.request({ op: "ping" });
  assert.throws(() => client.check(), /no such reply to ping.*additional/);
  client.terminate();
  liar.close();
});
