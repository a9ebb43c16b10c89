// From docs/openapi.yaml to the source of a module that checks answers without ajv and yaml (lib/compiled.mjs).
import Ajv from "ajv/dist/2020.js";
import standaloneCode from "ajv/dist/standalone/index.js";
import { parse } from "yaml";
import { BASE, METHODS, pointer, responseAt } from "./openapi.mjs";

// The references of the schemas of all answers, and of errors.
function referencesOf(document) {
  const all = new Set([pointer("components", "schemas", "Error")]);
  for (const [template, item] of Object.entries(document.paths))
    for (const verb of METHODS.filter((one) => item[one]))
      for (const status of Object.keys(item[verb].responses)) {
        const { keys, response } = responseAt(document, ["paths", template, verb, "responses", status]);
        for (const type of Object.keys(response.content ?? {})) all.add(pointer(...keys, "content", type, "schema"));
      }
  return [...all];
}

// The source of a CommonJS module: DOCUMENT, and a validator of each of these schemas by its reference.
export function compile(text) {
  const document = parse(text);
  const ajv = new Ajv({ strict: false, allErrors: true, code: { source: true } });
  ajv.addSchema(document, BASE);
  const source = standaloneCode(ajv, Object.fromEntries(referencesOf(document).map((reference) => [reference, reference])));
  return `${source}\nexports.DOCUMENT = ${JSON.stringify(document)};\n`;
}
