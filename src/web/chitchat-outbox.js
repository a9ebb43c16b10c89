// The outbox of a client (PROTOCOL.md, section 12): which message is sent when.

const SENDS_IN_FLIGHT = 256;

// Each recipient has a lane with at most one item in flight. A lane whose item was refused is held until that item is
// accepted: so the order to each recipient is that of the calls of send.
export class Outbox {
  items = new Map(); // key -> item, in order; failed ones too
  #lanes = new Map(); // recipient -> { queue, sending, held, refusals }
  #ready = new Set(); // lanes that may send, in turns
  #inFlight = 0;
  #window = SENDS_IN_FLIGHT; // fewer in flight after rate_limited
  #port;

  // `port`: methods of the client, see there.
  constructor(port) {
    this.#port = port;
  }

  // Items of the storage stand before newer ones.
  load(items) {
    this.items = new Map([...items.map((item) => [item.key, item]), ...this.items]);
  }

  enqueue(item) {
    if (this.items.get(item.key) !== item || item.status !== "waiting") return;
    let lane = this.#lanes.get(item.to);
    if (!lane) this.#lanes.set(item.to, (lane = { queue: [], sending: false, held: false, refusals: 0 }));
    lane.queue.push(item);
    this.#release(lane);
    this.pump();
  }

  pump() {
    for (const lane of this.#ready) {
      if (!this.#port.isOpen() || this.#inFlight >= this.#window) return;
      this.#ready.delete(lane);
      this.#send(lane);
    }
  }

  // The connection has ended: everything waits for the next login.
  disconnected() {
    this.#inFlight = 0;
    this.#window = SENDS_IN_FLIGHT;
    for (const lane of this.#lanes.values()) {
      lane.sending = lane.held = false;
      lane.lookup = null;
      for (const item of lane.queue) this.#setStatus(item, "waiting");
      this.#release(lane);
    }
  }

  // The outcome of an item is known.
  settle(item, outcome) {
    this.items.delete(item.key);
    this.#leaveLane(item);
    this.#port.done(item, outcome);
  }

  fail(item, code, message) {
    item.error = { code, message };
    item.status = "failed";
    this.#leaveLane(item);
    this.#port.done(item, { ok: false, code, message });
  }

  discard(key) {
    const item = this.items.get(key);
    if (!item || !(item.status === "failed" || item.tried === undefined)) return false;
    this.settle(item, { ok: false, code: "discarded", message: "discarded" });
    return true;
  }

  #leaveLane(item) {
    const lane = this.#lanes.get(item.to);
    const at = lane ? lane.queue.indexOf(item) : -1;
    if (at < 0) return;
    lane.queue.splice(at, 1);
    if (lane.queue.length > 0 || lane.sending) return;
    this.#lanes.delete(item.to);
    this.#ready.delete(lane);
  }

  #release(lane) {
    if (!lane.sending && !lane.held && lane.queue.length > 0) this.#ready.add(lane);
  }

  #setStatus(item, status) {
    if (item.status === status) return;
    item.status = status;
    this.#port.emit("outbox", { item });
  }

  #send(lane) {
    const item = lane.queue[0];
    const fault = this.#port.faultOf(item);
    if (fault) {
      this.fail(item, ...fault);
      return this.#release(lane);
    }
    if (this.#port.isOld(item)) return this.#lookUp(lane, item);
    const isFirst = item.tried === undefined;
    lane.sending = true;
    this.#inFlight++;
    this.#port.transmit(item, (reply) => {
      lane.sending = false;
      this.#inFlight--;
      if (this.items.get(item.key) === item) this.#onReply(lane, item, reply, isFirst);
      if (lane.queue.length > 0) this.#release(lane);
      else if (this.#lanes.get(item.to) === lane) this.#lanes.delete(item.to);
      this.pump();
    });
    this.#setStatus(item, "sending");
  }

  // The key of the item no longer protects it: the history says whether it was stored.
  async #lookUp(lane, item) {
    const lookup = (lane.lookup = {});
    lane.held = true;
    const found = await this.#port.findSent(item);
    if (lane.lookup !== lookup) return; // the connection has ended
    lane.held = false;
    if (found === undefined) this.fail(item, "expired", "written long ago, and perhaps sent: see the history");
    else if (found) this.settle(item, { ok: true, ts: found.ts, mid: found.mid, dup: true });
    else item.tried = undefined; // never stored
    this.#release(lane);
    this.pump();
  }

  #onReply(lane, item, reply, isFirst) {
    if (reply.op === "ok") {
      this.#window = Math.min(SENDS_IN_FLIGHT, this.#window + 1);
      lane.refusals = 0;
      return this.settle(item, { ok: true, ts: reply.ts, mid: reply.mid, dup: reply.dup === true });
    }
    const wait = this.#port.waitFor(reply, lane.refusals);
    if (wait === undefined) return this.fail(item, reply.code, reply.message);
    if (reply.code === "unavailable") lane.refusals++;
    else if (isFirst) item.tried = undefined; // nothing was stored
    if (reply.code === "rate_limited") this.#window = Math.max(1, this.#inFlight >> 1);
    lane.held = true;
    this.#setStatus(item, "held");
    this.#port.later(wait, () => {
      lane.held = false;
      this.#release(lane);
      this.pump();
    });
  }
}
