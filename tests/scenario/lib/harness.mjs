// What tests have in common: a server for each number of shards with many tests on it, or a server of a test's own;
// clients that are closed and checked when the test is over; names that no other test uses.
import { after, afterEach, before, describe, test } from "node:test";
import { Client } from "./client.mjs";
import { Server, SHARDS, DEADLINE_MS } from "./server.mjs";

const TEST_MS = 8 * DEADLINE_MS;

export class Harness {
  server;
  shards;
  #clients = [];
  #servers = [];
  #names = 0;

  constructor(shards) {
    this.shards = shards;
  }

  // A name of this test: user names must not meet, as tests share a server.
  name(prefix = "user") {
    this.#names++;
    return `${prefix}-${this.#names}`;
  }

  async start(options = {}) {
    this.server = await Server.start({ shards: this.shards, ...options });
    this.#servers.push(this.server);
    return this.server;
  }

  // The same data again, after stop or kill.
  async startAgain(options = {}) {
    return this.start({ data: this.server.data, ...options });
  }

  async client(options) {
    const client = await Client.open(options?.server ?? this.server, options);
    this.#clients.push(client);
    return client;
  }

  async login(user, fields) {
    const client = await this.client();
    await client.loginAs(user, fields);
    return client;
  }

  // Ends the test's clients; throws the first broken promise that one saw.
  checkClients() {
    const clients = this.#clients;
    this.#clients = [];
    for (const client of clients) client.terminate();
    for (const client of clients) client.check();
  }

  // The server that is left ends well, and nothing of the others is left.
  async end() {
    try {
      await this.server.stop();
    } finally {
      await this.clean();
    }
  }

  async clean() {
    for (const client of this.#clients) client.terminate();
    for (const server of this.#servers.reverse()) await server.clean();
  }
}

// Tests that share a server: body(harness, it) declares them, once for each number of shards.
export function onServers(title, { shards = SHARDS, options = [], listenTls }, body) {
  for (const count of shards) {
    describe(`${title}, ${count} shards`, () => {
      const harness = new Harness(count);
      before(() => harness.start({ options, listenTls }), { timeout: TEST_MS });
      afterEach(() => harness.checkClients());
      after(() => harness.end(), { timeout: TEST_MS });
      body(harness, (name, run) => test(name, { timeout: TEST_MS }, run));
    });
  }
}

// A test that starts, stops and kills servers of its own, for each number of shards.
export function scenario(name, { shards = SHARDS } = {}, run) {
  for (const count of shards) {
    test(`${name}, ${count} shards`, { timeout: TEST_MS }, async () => {
      const harness = new Harness(count);
      try {
        await run(harness);
        harness.checkClients();
      } catch (error) {
        if (harness.server) error.message += `\nthe log of the server:\n${harness.server.newestLines(4000)}`;
        throw error;
      } finally {
        await harness.clean();
      }
    });
  }
}
