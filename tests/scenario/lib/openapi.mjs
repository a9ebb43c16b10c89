// Places in docs/openapi.yaml.
export const BASE = "openapi.yaml";
export const METHODS = ["get", "put", "post", "delete", "patch"];

// The reference of what lies at these keys.
export const pointer = (...keys) => `${BASE}#/${keys.map((key) => encodeURIComponent(String(key).replace(/~/g, "~0").replace(/\//g, "~1"))).join("/")}`;

// Where a response of the document lies, references followed: { keys, response }.
export function responseAt(document, keys) {
  const response = keys.reduce((value, key) => value?.[key], document);
  return response?.$ref ? responseAt(document, response.$ref.slice(2).split("/")) : { keys, response };
}
