// A program that uses the HTTP API: requests over node's http, on connections that stay. What it is given of each answer
// is checked: against docs/openapi.yaml, and the one shape of errors.
import assert from "node:assert/strict";
import http from "node:http";
import https from "node:https";
import { checkAnswer } from "./contract.mjs";
import { DEADLINE_MS, within } from "./server.mjs";

export class Api {
  #at;
  #agent;
  #token;

  // `at`: an address of Server.admins or Server.addresses. `sockets`: connections at a time.
  constructor(at, { token, sockets = 1 } = {}) {
    this.#at = at;
    this.#token = token;
    this.#agent = new (at.isTls ? https : http).Agent({ keepAlive: true, maxSockets: sockets });
  }

  // { status, headers, text, json, isReused }. `body`: an object, or a text as it is. json: undefined if it is none.
  async request(method, path, { body, headers = {}, token = this.#token } = {}) {
    const text = body === undefined || typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    const all = { ...(text !== undefined && { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) }), ...(token && { Authorization: `Bearer ${token}` }), ...headers };
    const answer = await within(DEADLINE_MS, `the answer to ${method} ${path}`, this.#send(method, path, all, text));
    const isJson = answer.headers["content-type"] === "application/json" && answer.text !== "";
    answer.json = isJson ? JSON.parse(answer.text) : undefined;
    if (answer.status >= 400 && method !== "HEAD") assertError(answer);
    checkAnswer(method, path, answer);
    return answer;
  }

  #send(method, path, headers, text) {
    const { host, port, isTls, ca } = this.#at;
    return new Promise((resolve, reject) => {
      const options = { host: host.replace(/[[\]]/g, ""), port, method, path, headers, agent: this.#agent, ...(isTls && { ca }) };
      const request = (isTls ? https : http).request(options, (response) => {
        const parts = [];
        response.on("data", (part) => parts.push(part));
        response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text: Buffer.concat(parts).toString("utf8"), isReused: request.reusedSocket }));
        response.on("error", reject);
      });
      request.on("error", reject);
      request.end(text);
    });
  }

  get = (path, options) => this.request("GET", path, options);
  post = (path, body, options) => this.request("POST", path, { body, ...options });
  delete = (path, options) => this.request("DELETE", path, options);

  // The answer, whose status must be this one.
  async expect(status, method, path, options) {
    const answer = await this.request(method, path, options);
    assert.equal(answer.status, status, `${method} ${path}: ${answer.text}`);
    return answer;
  }

  close() {
    this.#agent.destroy();
  }
}

// {"error":"code","message":"text"}, and "retry_after" exactly where there is a Retry-After.
function assertError({ status, headers, json, text }) {
  assert.ok(json, `an error is JSON: ${status} ${text}`);
  assert.match(json.error, /^[a-z_]+$/, text);
  assert.ok(json.message.length > 10, text);
  assert.equal("retry_after" in json, "retry-after" in headers, text);
  if ("retry_after" in json) assert.equal(Number(headers["retry-after"]), Math.ceil(json.retry_after / 1000));
  assert.equal("www-authenticate" in headers, status === 401);
  assert.deepEqual(Object.keys(json).filter((name) => !["error", "message", "retry_after"].includes(name)), []);
}
