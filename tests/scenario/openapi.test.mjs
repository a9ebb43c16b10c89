// docs/openapi.yaml is a correct document, and says what the server does. All scenarios of the API check their answers
// against it (lib/api.mjs); this one looks for what one has and the other has not.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Api } from "./lib/api.mjs";
import { checkAnswer, DOCUMENT } from "./lib/contract.mjs";
import { scenario } from "./lib/harness.mjs";
import { METHODS } from "./lib/openapi.mjs";

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");

// "METHOD /path" of the table in src/api/api_routes.c.
function routesOfServer() {
  const source = fs.readFileSync(path.join(ROOT, "src/api/api_routes.c"), "utf8");
  return [...source.matchAll(/\{METHOD_([A-Z]+),\s*"([^"]+)",\s*"([^"]*)"/g)].map(([, method, route, queries]) => ({ method, route, queries }));
}

function operationsOfDocument() {
  return Object.entries(DOCUMENT.paths).flatMap(([route, item]) =>
    METHODS.filter((method) => item[method]).map((method) => {
      const parameters = [...(item.parameters ?? []), ...(item[method].parameters ?? [])].map((parameter) => (parameter.$ref ? DOCUMENT.components.parameters[parameter.$ref.split("/").at(-1)] : parameter));
      return { method: method.toUpperCase(), route, queries: parameters.filter(({ in: where }) => where === "query").map(({ name }) => name).join(" ") };
    }));
}

test("the document is valid OpenAPI 3.1", async () => {
  const { valid, errors } = await new Validator().validate(structuredClone(DOCUMENT));
  assert.ok(valid, JSON.stringify(errors, null, 1));
  assert.match(DOCUMENT.openapi, /^3\.1\./);
});

test("the document has the routes of the server with their query parameters, and no others", () => {
  const words = ({ method, route, queries }) => `${method} ${route} ${queries.split(" ").sort().join(" ")}`;
  assert.deepEqual(operationsOfDocument().map(words).sort(), routesOfServer().map(words).sort());
});

test("an answer that the document does not have is noticed", () => {
  const headers = { "content-type": "application/json" };
  const bad = [
    ["GET", "/livez", { status: 200, headers, text: '{"status":"dead"}' }],
    ["GET", "/livez", { status: 200, headers, text: '{"status":"live","more":1}' }],
    ["GET", "/livez", { status: 200, headers: { "content-type": "text/plain" }, text: "live" }],
    ["GET", "/livez", { status: 201, headers, text: '{"status":"live"}' }],
    ["GET", "/nothing", { status: 200, headers, text: "{}" }],
    ["GET", "/nothing", { status: 404, headers, text: '{"error":"not_found"}' }],
    ["DELETE", "/api/v1/users/a/connections", { status: 200, headers, text: '{"user":"a b","closed":0}' }],
  ];
  for (const [method, target, answer] of bad) assert.throws(() => checkAnswer(method, target, answer), JSON.stringify(answer));
  checkAnswer("GET", "/livez", { status: 200, headers, text: '{"status":"live"}' });
});

scenario("each path says in Allow the methods that the document has", { shards: [2] }, async (harness) => {
  await harness.start({ options: ["--admin", "127.0.0.1:0"] });
  const api = new Api(harness.server.admin);
  for (const route of Object.keys(DOCUMENT.paths)) {
    const { headers } = await api.expect(204, "OPTIONS", route.replace("{user}", "nobody"));
    const wanted = METHODS.filter((method) => DOCUMENT.paths[route][method]).map((method) => method.toUpperCase());
    assert.deepEqual(headers.allow.split(", ").filter((method) => !["HEAD", "OPTIONS"].includes(method)).sort(), wanted.sort(), route);
  }
  api.close();
  await harness.end();
});
