// docs/openapi.yaml as what answers are checked against: the status must be one that the document has for the path and
// method, the content type too, and the body must fit its schema.
import assert from "node:assert/strict";
import { compiled } from "./compiled.mjs";
import { pointer, responseAt } from "./openapi.mjs";

const { DOCUMENT: document, ...validators } = await compiled("openapi");
export const DOCUMENT = document;
// What any path answers to a request that is not for it: the document says so in its head.
const ANYWHERE = [400, 404, 405, 408, 413, 431, 501, 505];

const words = (errors) => errors.map(({ instancePath, message }) => `${instancePath} ${message}`).join(", ");

function fits(reference, value, what) {
  const validate = validators[reference];
  assert.ok(validate, `${reference} was not compiled`);
  assert.ok(validate(value), `${what} does not fit ${reference}: ${words(validate.errors ?? [])}: ${JSON.stringify(value).slice(0, 500)}`);
}

// The template of docs/openapi.yaml that a target fits; undefined: none.
export function templateOf(target) {
  const segments = target.split("?")[0].split("/");
  return Object.keys(DOCUMENT.paths).find((template) => {
    const parts = template.split("/");
    return parts.length === segments.length && parts.every((part, i) => /^{.*}$/.test(part) || part === segments[i]);
  });
}

const seen = new Set();
// "METHOD template status" of all answers that were checked in this process.
export const answersSeen = () => seen;

// Throws if the document does not allow this answer.
export function checkAnswer(method, target, { status, headers, text }) {
  const what = `${method} ${target} ${status}`;
  const template = templateOf(target);
  const verb = (method === "HEAD" ? "GET" : method).toLowerCase();
  const operation = template && DOCUMENT.paths[template][verb];
  if (method === "OPTIONS" && status === 204) return;
  const { keys, response } = operation ? responseAt(DOCUMENT, ["paths", template, verb, "responses", status]) : {};
  if (!response) {
    assert.ok(ANYWHERE.includes(status) || (!operation && [401, 403].includes(status)), `docs/openapi.yaml has no answer ${what}`);
    fits(pointer("components", "schemas", "Error"), text === "" ? { error: "head", message: "" } : JSON.parse(text), what);
    return;
  }
  seen.add(`${method} ${template} ${status}`);
  if (method === "HEAD") return;
  const type = headers["content-type"]?.split(";")[0];
  const content = response.content?.[type];
  assert.ok(content, `docs/openapi.yaml has no ${type} for ${what}`);
  const reference = pointer(...keys, "content", type, "schema");
  if (type === "application/json") fits(reference, JSON.parse(text), what);
  else if (type === "application/x-ndjson") for (const line of text.split("\n").slice(0, -1)) fits(reference, JSON.parse(line), what);
  else fits(reference, text, what);
}
