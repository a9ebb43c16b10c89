// From docs/asyncapi.yaml to the source of a module that checks frames without ajv and yaml (lib/compiled.mjs).
import Ajv, { _ } from "ajv";
import standaloneCode from "ajv/dist/standalone/index.js";
import { parse } from "yaml";

// Bytes of UTF-8, which the limits of PROTOCOL.md count and JSON Schema cannot.
const maxBytes = {
  keyword: "x-max-bytes",
  type: "string",
  schemaType: "number",
  code: (context) => context.fail(_`Buffer.byteLength(${context.data}) > ${context.schema}`),
  error: { message: ({ schema }) => _`${`must have at most ${schema} bytes`}` },
};

const last = (reference) => reference.$ref.split("/").at(-1);

// Which schemas the operations have, and the `op` of each: { requests: { op: NAME }, replies: { op of the request: [NAME…] },
// pushes: { op: NAME }, refusals: [NAME…], ops: { NAME: op } }.
export function tableOf({ operations, components: { messages, schemas } }) {
  const schemaOf = (reference) => last(messages[last(reference)].payload);
  const opOf = ({ properties, allOf }) => properties?.op.const ?? opOf(schemas[last(allOf[0])]);
  const table = { requests: {}, replies: {}, pushes: {}, refusals: [], ops: {} };
  for (const message of Object.values(messages)) table.ops[last(message.payload)] = opOf(schemas[last(message.payload)]);
  for (const [name, { action, messages: first, reply }] of Object.entries(operations)) {
    const names = first.map(schemaOf);
    if (name === "refuse") table.refusals = names;
    else if (action === "send") for (const push of names) table.pushes[table.ops[push]] = push;
    else {
      table.requests[table.ops[names[0]]] = names[0];
      table.replies[table.ops[names[0]]] = reply.messages.map(schemaOf);
    }
  }
  return table;
}

// The source of a CommonJS module: a validator of each message by the name of its schema, TABLE and CLOSE_CODES.
export function compile(text) {
  const document = parse(text);
  const ajv = new Ajv({ strictTypes: false, strictRequired: false, code: { source: true }, keywords: [maxBytes] });
  ajv.addVocabulary(["components"]);
  ajv.addSchema({ $id: "wire", components: { schemas: document.components.schemas } });
  const table = tableOf(document);
  const source = standaloneCode(ajv, Object.fromEntries(Object.keys(table.ops).map((name) => [name, `wire#/components/schemas/${name}`])));
  const closeCodes = Object.keys(document.channels.chat["x-close-codes"]).map(Number);
  return `${source}\nexports.TABLE = ${JSON.stringify(table)};\nexports.CLOSE_CODES = ${JSON.stringify(closeCodes)};\n`;
}
