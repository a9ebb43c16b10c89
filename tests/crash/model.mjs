// The model that a crash test compares the server with: every send with its outcome, every timeline as its user's connections
// received it, over all lives of the server, and up to which ts it was erased. A broken promise does not throw: the model counts
// it by kind, so that one run shows all that are found.

export class Model {
  broken = { lost: 0, duplicated: 0, reordered: 0, one_sided: 0, undone: 0 };
  findings = []; // the first of them, in words
  acknowledged = 0;
  entries = 0; // checked
  resent = 0;
  #sends = new Map(); // text -> send
  #seen = new Map(); // user -> Map(text -> { ts, mid, prev })
  #mids = new Map(); // user -> Map(mid -> text)
  erased = 0; // answered erasures
  #firsts = new Map(); // user -> up to which ts the entries are gone, as the server last reported it
  #newest = new Map(); // user -> the newest ts that was acknowledged to them
  #erasing = new Set(); // users with an erasure in this life that has no answer

  find(kind, what) {
    this.broken[kind]++;
    if (this.findings.length < 20) this.findings.push(`${kind}: ${what}`);
  }

  get isBroken() {
    return Object.values(this.broken).some((count) => count > 0);
  }

  // -- erasures --

  first(user) {
    return this.#firsts.get(user) ?? 0;
  }

  #raiseFirst(user, first) {
    if (first > this.first(user)) this.#firsts.set(user, first);
  }

  // Before the request. Returns what eraseEnds is to be given.
  eraseBegins(user) {
    this.#erasing.add(user);
    return this.#newest.get(user) ?? 0;
  }

  // The answer: the new `first`, or 0 if nothing was erased. Without an answer this is not called.
  eraseEnds(user, newest, first) {
    this.#erasing.delete(user);
    if (first === 0) return;
    this.erased++;
    if (first <= newest) this.find("undone", `${user} is erased up to ${first}, and ${newest} was acknowledged before`);
    this.#raiseFirst(user, first);
  }

  // A login's `first`; `before`: what was known when the login was sent.
  login(user, before, first) {
    if (first < before) this.find("undone", `${user} was erased up to ${before}, and a login says ${first}`);
    if (first > before && first > this.first(user) && !this.#erasing.has(user)) this.find("lost", `${user} has the first ${first}, and nobody erased them`);
    this.#raiseFirst(user, first);
  }

  // All users have logged in after a start: the outcome of each erasure without an answer is known.
  endErasing() {
    this.#erasing.clear();
  }

  // -- sends and entries --

  // A new send: its text names it. `stream` is a connection and a recipient: what it accepts keeps its order.
  send(send) {
    this.#sends.set(send.text, { ...send, reply: null, wasResent: false, firstFrom: this.first(send.from), firstTo: this.first(send.to) });
  }

  // Keyed sends of `user` whose outcome is unknown.
  unknown(user) {
    return [...this.#sends.values()].filter((send) => send.from === user && send.key && send.reply === null);
  }

  resend(text) {
    this.resent++;
    this.#sends.get(text).wasResent = true;
  }

  // The reply to a send; after an error the outcome stays unknown.
  reply(text, reply) {
    const send = this.#sends.get(text);
    if (reply.op !== "ok") return;
    const seen = this.#seen.get(send.from)?.get(text);
    if (seen && (seen.mid !== reply.mid || seen.ts !== reply.ts))
      this.find("duplicated", `${text} has the mid ${reply.mid} at ${reply.ts}, and was seen as ${seen.mid} at ${seen.ts}`);
    if (send.reply && send.reply.mid !== reply.mid) this.find("duplicated", `${text} was stored twice`);
    if (reply.dup && !send.wasResent) this.find("duplicated", `${text} is called dup and was sent once`);
    if (reply.ts <= send.firstFrom) this.find("lost", `${text} was sent after an erasure up to ${send.firstFrom}, and acknowledged at ${reply.ts}`);
    if (send.reply === null) this.acknowledged++;
    this.#newest.set(send.from, Math.max(reply.ts, this.#newest.get(send.from) ?? 0));
    send.reply = { ts: reply.ts, mid: reply.mid };
  }

  // The entry after an erasure follows `first`; a connection that received it before may have an older prev.
  #whole(user, prev) {
    return Math.max(prev, this.first(user));
  }

  // An entry that a connection of `user` received; the client has checked that its prev is the cursor.
  see(user, { text, ts, mid, prev }) {
    const seen = this.#seen.get(user) ?? new Map();
    const mids = this.#mids.get(user) ?? new Map();
    this.#seen.set(user, seen);
    this.#mids.set(user, mids);
    this.entries++;
    if (!this.#sends.has(text)) return this.find("duplicated", `${user} got ${text}, which nobody sent`);
    const before = seen.get(text);
    if (before && (before.ts !== ts || before.mid !== mid)) this.find("duplicated", `${user} got ${text} at ${before.ts} and at ${ts}`);
    if (before?.prev !== undefined && prev !== undefined && this.#whole(user, before.prev) !== this.#whole(user, prev))
      this.find("reordered", `${text} of ${user} followed ${before.prev} and then ${prev}`);
    if ((mids.get(mid) ?? text) !== text) this.find("duplicated", `${user} got the mid ${mid} for two messages`);
    mids.set(mid, text);
    seen.set(text, { ts, mid, prev: prev ?? before?.prev });
  }

  // In the end: `timelines` are user -> whole timeline by pages, `replays` the same by replay.
  checkAll(timelines, replays) {
    for (const [user, timeline] of timelines) {
      this.#checkTimeline(user, timeline);
      const replay = replays.get(user);
      const differs = replay.length !== timeline.length || replay.some((entry, index) => entry.mid !== timeline[index].mid);
      if (differs) this.find("lost", `${user}: ${replay.length} entries by replay, ${timeline.length} by pages, or not the same`);
    }
    const held = new Map([...timelines].map(([user, timeline]) => [user, new Map(timeline.map((entry) => [entry.text, entry]))]));
    for (const send of this.#sends.values()) this.#checkSend(send, held);
  }

  #checkTimeline(user, timeline) {
    const last = new Map(); // stream -> newest number of it
    let ts = this.first(user);
    let prev = ts;
    if (timeline.length > 0 && timeline[0].ts <= ts) this.find("undone", `${user} has ${timeline[0].text} at ${timeline[0].ts}, and was erased up to ${ts}`);
    const texts = new Set();
    for (const entry of timeline) {
      if (entry.ts <= ts) this.find("reordered", `${user}: ${entry.ts} comes after ${ts}`);
      if (texts.has(entry.text)) this.find("duplicated", `${entry.text} is twice in the timeline of ${user}`);
      texts.add(entry.text);
      this.see(user, entry);
      const known = this.#seen.get(user)?.get(entry.text);
      if (known?.prev !== undefined && this.#whole(user, known.prev) !== prev)
        this.find("lost", `${user}: ${entry.text} was received after ${known.prev} and is stored after ${prev}`);
      const send = this.#sends.get(entry.text);
      if (send && !send.wasResent) {
        if ((last.get(send.stream) ?? -1) > send.number) this.find("reordered", `${entry.text} comes after one that was sent later`);
        last.set(send.stream, send.number);
      }
      ts = prev = entry.ts;
    }
    for (const [text, seen] of this.#seen.get(user) ?? [])
      if (seen.ts > this.first(user) && !texts.has(text)) this.find("lost", `${user} had received ${text}, which is lost`);
  }

  #checkSend(send, held) {
    const here = held.get(send.from).get(send.text);
    const there = held.get(send.to).get(send.text);
    const mayLackHere = this.first(send.from) > send.firstFrom; // an erasure that came after the send
    const mayLackThere = this.first(send.to) > send.firstTo;
    if ((here && !there && !mayLackThere) || (there && !here && !mayLackHere)) this.find("one_sided", `${send.text} is with its ${here ? "sender" : "recipient"} only`);
    if (here && there && here.mid !== there.mid) this.find("duplicated", `${send.text} has the mids ${here.mid} and ${there.mid}`);
    if (send.reply === null) return;
    if (!here && send.reply.ts > this.first(send.from)) this.find("lost", `${send.text} was acknowledged`);
    if (!there && !mayLackThere) this.find("lost", `${send.text} was acknowledged, and its recipient lacks it`);
    if (here && (here.mid !== send.reply.mid || here.ts !== send.reply.ts))
      this.find("duplicated", `${send.text} was acknowledged at ${send.reply.ts} and is stored at ${here.ts}`);
  }
}
