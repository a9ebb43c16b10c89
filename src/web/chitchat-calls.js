// history, peers, seen and watch, which are asked again after a reconnect or a refusal for a time; and typing.

export class ChatError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "ChatError";
    this.code = code;
  }
}

export class Calls {
  online = new Set();
  #calls = new Set(); // without a reply
  #marks = new Map(); // user -> the newest call of seen
  #watched = null;
  #watchCall = null;
  #typedAt = new Map(); // user -> when typing was sent
  #knowsTyping = true; // the server of this connection
  #port;

  // `port`: methods of the client, see there.
  constructor(port) {
    this.#port = port;
  }

  loggedIn() {
    for (const call of [...this.#calls]) this.#ask(call);
    if (this.#watched && !this.#calls.has(this.#watchCall)) this.#watch(this.#watched).catch((error) => this.#port.emit("error", error));
  }

  disconnected() {
    this.#typedAt.clear();
    this.#knowsTyping = true;
  }

  stop(code, reason) {
    for (const call of this.#calls) call.reject(new ChatError(code, reason));
    this.#calls.clear();
  }

  // The ts of marks that are not durable yet is of another data set.
  forgetMarks() {
    for (const call of this.#marks.values()) this.#withdraw(call);
  }

  forget() {
    this.#watched = null;
    this.online.clear();
  }

  // onOk gets the reply before the next frame is read.
  #call(fields, onOk = () => {}) {
    const call = { fields, onOk, refusals: 0 };
    call.reply = new Promise((resolve, reject) => Object.assign(call, { resolve, reject }));
    if (this.#port.isRunning()) {
      this.#calls.add(call);
      this.#ask(call);
    } else {
      call.reject(new ChatError("stopped", "the client is stopped"));
    }
    return call;
  }

  #ask(call) {
    if (!this.#port.isOpen() || !this.#calls.has(call)) return;
    this.#port.ask(call.fields, (reply) => {
      if (!reply || !this.#calls.has(call)) return;
      const wait = this.#port.waitFor(reply, call.refusals++);
      if (wait !== undefined) return this.#port.later(wait, () => this.#ask(call));
      this.#calls.delete(call);
      if (reply.op === "error") return call.reject(new ChatError(reply.code, reply.message));
      call.onOk(reply);
      call.resolve(reply);
    });
  }

  // A newer call takes the place of this one.
  #withdraw(call) {
    if (call && this.#calls.delete(call)) call.resolve(null);
  }

  async *pages(fields, bound) {
    // A bound is one of this data set.
    for (let epoch = fields[bound] === undefined ? undefined : this.#port.epoch(); ; ) {
      const { op, id, ...page } = await this.#call(fields).reply;
      if (epoch !== undefined && epoch !== this.#port.epoch()) throw new ChatError("reset", "the server has another data set now");
      epoch = this.#port.epoch();
      yield page;
      if (!page.more) return;
      fields = { ...fields, [bound]: page.next };
    }
  }

  // null: withdrawn, stopped, or an older server.
  #replyOf(call) {
    return call.reply.catch((error) => {
      if (error.code === "bad_request") throw error;
      return null;
    });
  }

  async seen(user, ts) {
    const before = this.#marks.get(user);
    this.#withdraw(before);
    const call = this.#call({ op: "seen", with: user, ts: Math.max(ts, before?.fields.ts ?? 0) });
    this.#marks.set(user, call);
    const reply = await this.#replyOf(call).finally(() => this.#marks.get(user) === call && this.#marks.delete(user));
    return reply !== null;
  }

  typing(to) {
    const now = this.#port.now();
    const ago = now - this.#typedAt.get(to); // negative if the clock was set back
    if (!this.#port.isOpen() || !this.#knowsTyping || (ago >= 0 && ago < 1000)) return;
    this.#typedAt.set(to, now);
    this.#port.ask({ op: "typing", to }, (reply) => {
      if (reply?.code === "unknown_op") this.#knowsTyping = false;
    });
  }

  watch(users) {
    this.#watched = users.length > 0 ? users : null;
    return this.#watch(users);
  }

  async #watch(users) {
    this.#withdraw(this.#watchCall);
    this.#watchCall = this.#call({ op: "watch", users }, ({ online }) => this.#setOnline(online));
    return (await this.#replyOf(this.#watchCall))?.online ?? [];
  }

  #setOnline(users) {
    for (const user of [...this.online]) if (!users.includes(user)) this.setPresence(user, false);
    for (const user of users) this.setPresence(user, true);
  }

  setPresence(user, isOnline) {
    if (this.online.has(user) === isOnline) return;
    if (isOnline) this.online.add(user);
    else this.online.delete(user);
    this.#port.emit("presence", { user, online: isOnline });
  }
}
