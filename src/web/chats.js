// What the page knows: conversations with their messages, marks and counts. It keeps them right while events and pages come
// in any order; it knows nothing of elements.

const PAGE = 50;
const PAGE_MAX = 1000;
const LISTED_MAX = 1000; // so many conversations are loaded again after a reconnect, and watched
const TYPING_MS = 6000; // the other side repeats `typing` while it goes on
const DELAY_MS = 250; // of requests that many events may cause
const KEEP = 400; // messages of a conversation that is not scrolled up

export class Conversation {
  user;
  last = null; // the newest message
  isListed = false; // the server has said what is seen
  unseen = 0; // received and not seen; 1,000 means more than 999
  seen = 0; // this user's mark
  seenBy = 0; // the newest own message that the other side has seen
  typingUntil = 0;
  draft = "";
  messages = []; // without holes up to the newest one
  hasNewest = false; // the server has given the newest page
  isLoading = false;
  more = false; // there are older ones
  next; // the bound to go on from
  problem = ""; // why a page did not come
  recent = []; // the ts of those received after the newest one that the server has counted

  constructor(user) {
    this.user = user;
  }

  insert(message) {
    let at = this.messages.length;
    while (at > 0 && this.messages[at - 1].ts >= message.ts) at--;
    if (this.messages[at]?.ts !== message.ts) this.messages.splice(at, 0, message);
  }

  // A page of the server: the newest, or the one before the first message here.
  takePage({ messages, more, next }, isNewest) {
    const newest = messages.at(-1)?.ts ?? 0;
    // Of what the browser had stored nothing is left: there may be a hole behind it.
    this.messages = [...messages, ...(isNewest ? this.messages.filter(({ ts }) => ts > newest) : this.messages)];
    Object.assign(this, { hasNewest: true, more, next });
    this.count();
  }

  // A message of the timeline, new or replayed.
  takeMessage(message) {
    if (this.hasNewest || this.isLoading) this.insert(message);
    if (this.last && message.ts <= this.last.ts) return;
    this.last = message;
    if (message.from !== this.user || message.to === this.user) return;
    if (this.recent.push(message.ts) > 1000) this.recent.shift();
    this.unseen = Math.min(1000, this.unseen + 1);
    this.typingUntil = 0;
  }

  // What the server says of the conversation; newer messages may have come since it said so.
  takePeer({ last, unseen, seen, seen_by: seenBy }) {
    this.isListed = true;
    this.recent = this.recent.filter((ts) => ts > last.ts);
    this.unseen = (seen < this.seen ? 0 : unseen) + this.recent.length;
    this.seen = Math.max(this.seen, seen);
    this.seenBy = Math.max(this.seenBy, seenBy);
    if (!this.last || last.ts >= this.last.ts) this.last = last;
    this.count();
  }

  // The messages up to this one are seen. Gives whether the count is right then.
  see(ts) {
    this.seen = Math.max(this.seen, ts);
    if (this.last && this.last.from === this.user && this.seen >= this.last.ts) this.unseen = 0;
    return this.count() || this.unseen === 0;
  }

  // Counts, if the messages here reach back to the mark.
  count() {
    const { messages, user, seen } = this;
    if (!this.isListed || !this.hasNewest || (this.more && messages.length > 0 && messages[0].ts > seen)) return false;
    this.unseen = Math.min(1000, messages.filter(({ ts, from, to }) => ts > seen && from === user && to !== user).length);
    return true;
  }

  // The messages up to `ts` are gone. Gives whether some are left.
  cut(ts) {
    this.messages = this.messages.filter((message) => message.ts > ts);
    return this.last !== null && this.last.ts > ts;
  }

  unload() {
    Object.assign(this, { messages: [], hasNewest: false, isLoading: false, more: false, next: undefined, problem: "" });
  }

  // A long conversation that is read at its end needs only its end.
  trim() {
    if (!this.hasNewest || this.isLoading || this.unseen > 0 || this.messages.length <= KEEP) return;
    this.messages = this.messages.slice(-KEEP / 2);
    Object.assign(this, { more: true, next: this.messages[0].ts });
  }
}

export class Chats {
  client;
  current = null; // the open conversation
  hasLoaded = false; // the list has come
  onChange = () => {}; // something is to be shown anew
  onIncoming = () => {}; // (conversation, message): a new message of another user
  #storage;
  #all = new Map(); // user -> conversation
  #pages = null; // of conversations: what is left of them
  #listed = 0; // conversations in the pages so far
  #endsUnseen = false; // the last one of these has what was not seen, so older ones may have, too
  #round = 0; // of the data: pages that were asked for before a reset are dropped
  #watched = ""; // the list of the last `watch`
  #timers = new Map(); // what to do soon -> its timer

  constructor(client, storage) {
    this.client = client;
    this.#storage = storage;
    client.on("login", () => this.#refresh());
    client.on("message", (event) => this.#onMessage(event));
    client.on("reset", () => this.#reset());
    client.on("cut", ({ first }) => this.#cut(first));
    client.on("skipped", () => this.#unload());
    client.on("seen", (event) => this.#onSeen(event));
    client.on("seen_by", (event) => this.#onSeenBy(event));
    client.on("typing", ({ from }) => this.#onTyping(from));
    for (const type of ["presence", "outbox", "state"]) client.on(type, () => this.onChange());
  }

  get me() {
    return this.client.user;
  }

  of(user) {
    if (!this.#all.has(user)) this.#all.set(user, new Conversation(user));
    return this.#all.get(user);
  }

  // Conversations with messages, and the open one, the newest activity first: { it, item, at }, where `item` is the newest
  // message without an outcome and `at` a ts.
  list() {
    const items = new Map(this.client.outbox.map((item) => [item.to, item]));
    for (const user of items.keys()) this.of(user);
    return [...this.#all.values()]
      .filter((it) => it.last || items.has(it.user) || it === this.current)
      .map((it) => ({ it, item: items.get(it.user), at: Math.max(it.last?.ts ?? 0, (items.get(it.user)?.at ?? 0) * 1000) }))
      .sort((a, b) => (b.at || Infinity) - (a.at || Infinity));
  }

  unseen() {
    return [...this.#all.values()].reduce((sum, { unseen }) => sum + unseen, 0);
  }

  isConnected() {
    return this.client.state === "live" || this.client.state === "replay";
  }

  isOnline(user) {
    return this.isConnected() && this.client.online.has(user);
  }

  isTyping({ typingUntil }) {
    return this.isConnected() && typingUntil > Date.now();
  }

  // Messages of the conversation that have no outcome, or were refused.
  items({ user }) {
    return this.client.outbox.filter((item) => item.to === user);
  }

  // -- what the user does --

  // null: none is open.
  open(user) {
    this.current?.trim();
    this.current = user === null ? null : this.of(user);
    if (this.current && !this.current.hasNewest) this.#load(this.current);
    this.#watch();
    this.onChange();
  }

  // The user has seen the messages of the open conversation up to this one.
  saw(ts) {
    const it = this.current;
    if (ts <= it.seen) return;
    it.see(ts);
    this.#mark(it);
    this.onChange();
  }

  // At once, and then not too often.
  #mark(it) {
    if (this.#timers.has(it)) return;
    const { user, seen } = it;
    this.client.seen(user, seen).catch(() => {});
    this.#soon(it, DELAY_MS, () => it.seen > seen && this.#mark(it));
  }

  // Older messages of the open conversation, or the page that has not come.
  older() {
    const it = this.current;
    if (it.isLoading || (it.hasNewest && !it.more)) return;
    if (it.hasNewest) this.#page(it, it.next);
    else this.#load(it);
  }

  // -- pages --

  // What the browser has stored is shown until the server's page comes.
  async #load(it) {
    if (it.isLoading) return;
    it.isLoading = true;
    const round = this.#round;
    const stored = await this.#storage.entries({ with: it.user, limit: PAGE }).catch(() => []);
    if (round !== this.#round) return;
    stored.forEach((message) => it.insert(message));
    it.isLoading = false;
    if (this.hasLoaded) await this.#page(it);
    else this.onChange(); // the list first: it says what is seen
  }

  async #page(it, before) {
    const round = this.#round;
    Object.assign(it, { isLoading: true, problem: "" });
    this.onChange();
    try {
      // The newest page reaches back to what is seen.
      const limit = before === undefined ? Math.min(PAGE_MAX, PAGE + it.unseen) : PAGE;
      const { value } = await this.client.history({ with: it.user, before, limit }).next();
      if (round !== this.#round) return;
      it.takePage(value, before === undefined);
    } catch (error) {
      if (round !== this.#round) return;
      it.problem = error.message;
    }
    it.isLoading = false;
    this.onChange();
  }

  // After each login, since marks of other connections are not replayed: the conversations, as many as there were, and on
  // as long as a page ends with one that is not seen. The title counts those that are loaded.
  async #refresh() {
    const wanted = Math.min(LISTED_MAX, Math.max(PAGE, this.#listed));
    this.#pages = this.client.peers({ limit: PAGE });
    this.#listed = 0;
    this.#watched = "";
    const pages = this.#pages;
    const isWanted = () => this.#listed < wanted || (this.#endsUnseen && this.#listed < LISTED_MAX);
    while (pages === this.#pages && isWanted() && (await this.#nextPeers(pages)));
    if (pages === this.#pages && this.current && !this.current.hasNewest) this.#load(this.current);
  }

  // More conversations, when the list is scrolled to its end.
  moreConversations() {
    const pages = this.#pages;
    if (this.hasLoaded && pages) this.#soon("peers", 0, () => this.#nextPeers(pages));
  }

  // Gives whether there may be another page.
  async #nextPeers(pages) {
    const round = this.#round;
    try {
      const { value, done } = await pages.next();
      if (done || round !== this.#round || pages !== this.#pages) return false;
      for (const peer of value.peers) this.of(peer.user).takePeer(peer);
      this.#listed += value.peers.length;
      this.#endsUnseen = value.peers.at(-1)?.unseen > 0;
    } catch (error) {
      if (error.code !== "unknown_op") return false; // the next login asks again
    }
    this.hasLoaded = true;
    this.#watch();
    this.onChange();
    return true;
  }

  #watch() {
    const users = this.list().map(({ it }) => it.user).slice(0, LISTED_MAX);
    if (this.current && !users.includes(this.current.user)) users[Math.min(users.length, LISTED_MAX - 1)] = this.current.user;
    const watched = users.sort().join(" ");
    if (!this.hasLoaded || watched === this.#watched) return;
    this.#watched = watched;
    this.client.watch(users).catch(() => {});
  }

  // -- what comes --

  #onMessage({ message, replayed }) {
    const isOwn = message.from === this.me;
    const it = this.of(isOwn ? message.to : message.from);
    // The server shows presence to users with a conversation, and looks at that when it gets the list.
    if (!it.last) this.#watched = "";
    if (!it.isListed) this.#soon("refresh", DELAY_MS, () => this.#refresh());
    it.takeMessage(message);
    this.#soon("watch", DELAY_MS, () => this.#watch());
    if (!isOwn && !replayed) this.onIncoming(it, message);
    this.onChange();
  }

  #onSeen({ with: user, ts }) {
    if (!this.of(user).see(ts)) this.#soon("refresh", DELAY_MS, () => this.#refresh());
    this.onChange();
  }

  #onSeenBy({ user, ts }) {
    const it = this.of(user);
    it.seenBy = Math.max(it.seenBy, ts);
    this.onChange();
  }

  #onTyping(user) {
    const it = this.of(user);
    it.typingUntil = Date.now() + TYPING_MS;
    this.#soon(`typing ${user}`, TYPING_MS + 1, () => this.onChange());
    this.onChange();
  }

  // Another data set: nothing that was loaded stands, drafts do.
  #reset() {
    this.#round++;
    this.hasLoaded = false;
    this.#listed = 0;
    for (const it of this.#all.values()) {
      it.unload();
      Object.assign(it, { last: null, isListed: false, unseen: 0, seen: 0, seenBy: 0, recent: [] });
    }
    this.onChange();
  }

  #cut(first) {
    for (const it of this.#all.values()) if (!it.cut(first)) Object.assign(it, { last: null, unseen: 0, recent: [] });
    this.#unload();
  }

  // Messages were left out: what is shown would have a hole.
  #unload() {
    this.#round++;
    for (const it of this.#all.values()) it.unload();
    this.onChange();
  }

  // Once for many calls within the time.
  #soon(what, ms, callback) {
    clearTimeout(this.#timers.get(what));
    this.#timers.set(what, setTimeout(() => this.#timers.delete(what) && callback(), ms));
  }

  stop() {
    this.#round++;
    this.#pages = null;
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }
}
