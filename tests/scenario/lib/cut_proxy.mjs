// A TCP proxy on loopback before a server, which a test cuts, holds up or slows down.
import net from "node:net";

export class CutProxy {
  #server;
  #pairs = new Set();
  #isHeld = { server: false, client: false };
  port;
  isDown = false; // ends each new connection at once
  delayMs = 0; // of what is passed on from now on, in both directions
  // Called with the bytes that a client sent: returns "pass"; "drop": all connections end, and the server does not get
  // them; or a number: the server gets them, but of what it answers only so many bytes are passed on, and then all
  // connections end.
  onRequest = () => "pass";

  static async start(port) {
    const proxy = new CutProxy();
    proxy.#server = net.createServer((client) => {
      if (proxy.isDown) client.destroy();
      else proxy.#join(client, net.connect(port, "127.0.0.1"));
    });
    await new Promise((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    proxy.port = proxy.#server.address().port;
    return proxy;
  }

  #join(client, server) {
    const pair = { client, server, passes: Infinity, waiting: { client: [], server: [] } };
    this.#pairs.add(pair);
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on("error", () => {});
      socket.on("close", () => this.#end(pair));
    }
    server.on("data", (bytes) => {
      if (pair.passes === Infinity) return this.#pass(pair, "client", bytes);
      const part = bytes.subarray(0, pair.passes);
      pair.passes -= part.length;
      if (part.length > 0) client.write(part);
      if (part.length < bytes.length || pair.passes === 0) this.cut(); // the server has done it
    });
    client.on("data", (bytes) => {
      const what = this.onRequest(bytes);
      if (what === "drop") return this.cut();
      if (what !== "pass") pair.passes = what;
      this.#pass(pair, "server", bytes);
    });
  }

  // In order: a chunk that is held or late is never passed by a newer one.
  #pass(pair, side, bytes) {
    pair.waiting[side].push(bytes);
    if (this.delayMs > 0) setTimeout(() => this.#flush(pair, side, 1), this.delayMs);
    else this.#flush(pair, side, Infinity);
  }

  #flush(pair, side, count) {
    if (this.#isHeld[side]) return;
    for (const bytes of pair.waiting[side].splice(0, count)) if (!pair[side].destroyed) pair[side].write(bytes);
  }

  // What goes to the server, to the client, or to both waits, as if the network had swallowed it, until `release`.
  hold(...sides) {
    for (const side of sides) this.#isHeld[side] = true;
  }

  release() {
    this.#isHeld = { server: false, client: false };
    for (const pair of this.#pairs) for (const side of ["server", "client"]) this.#flush(pair, side, Infinity);
  }

  #end(pair) {
    this.#pairs.delete(pair);
    pair.client.destroy();
    pair.server.destroy();
  }

  // All connections end, in both directions.
  cut() {
    this.#pairs.forEach((pair) => this.#end(pair));
  }

  end() {
    this.cut();
    return new Promise((resolve) => this.#server.close(resolve));
  }
}
