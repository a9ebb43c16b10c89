// Where a client keeps account, entries and outbox, and which of several tabs sends what is in the outbox.

const KEEP = 1000;

// What becomes of the stored account. `begins`: entries are void; `isOther`: the outbox too; `takes`: the new entries are
// of this account. The cursor moves only over entries that are stored: another tab may be behind this one.
function planOf(stored, { begin, take }) {
  const isSame = stored && begin && stored.user === begin.user && stored.epoch === begin.epoch && stored.cursor <= begin.cursor;
  const begins = Boolean(begin) && !isSame;
  const account = begins ? begin : stored;
  const takes = Boolean(take) && account?.epoch === take.epoch;
  const moves = takes && take.from <= account.cursor && take.cursor > account.cursor;
  return {
    account: moves ? { ...account, cursor: take.cursor } : account,
    begins,
    isOther: begins && stored !== undefined && stored.user !== begin.user,
    takes,
  };
}

// The newest of these messages in the range, in ascending ts.
function newestOf(messages, user, { with: peer, before = Infinity, limit = Infinity } = {}) {
  const isIn = ({ ts, from, to }) => ts < before && (peer === undefined || (from === user ? to : from) === peer);
  return messages.filter(isIn).sort((a, b) => a.ts - b.ts).slice(-limit);
}

export class MemoryStorage {
  #keep;
  #account;
  #entries = new Map(); // ts -> message
  #outbox = new Map(); // key -> item

  constructor({ keep = KEEP } = {}) {
    this.#keep = keep;
  }

  async load() {
    return { account: this.#account, outbox: [...this.#outbox.values()].map((item) => ({ ...item })) };
  }

  async commit(changes) {
    const plan = planOf(this.#account, changes);
    if (plan.begins) this.#entries.clear();
    if (plan.isOther) this.#outbox.clear();
    this.#account = plan.account;
    if (plan.takes) for (const message of changes.take.messages) this.#entries.set(message.ts, message);
    for (const item of changes.put ?? []) this.#outbox.set(item.key, { ...item });
    for (const key of changes.remove ?? []) this.#outbox.delete(key);
    for (const ts of this.#entries.keys()) if (ts <= changes.dropTo) this.#entries.delete(ts);
    if (this.#entries.size > this.#keep * 1.25) this.#entries = new Map((await this.entries({ limit: this.#keep })).map((message) => [message.ts, message]));
  }

  async entries(range) {
    return newestOf([...this.#entries.values()], this.#account?.user, range);
  }

  async clear() {
    this.#account = undefined;
    this.#entries.clear();
    this.#outbox.clear();
  }

  close() {}
}

export class IndexedDBStorage {
  name;
  #keep;
  #factory;
  #database = null; // a promise
  #isDeleted = false; // by another tab: opening it would make it again, so only load() does

  constructor(name, { keep = KEEP, indexedDB = globalThis.indexedDB } = {}) {
    this.name = name;
    this.#keep = keep;
    this.#factory = indexedDB;
  }

  #open() {
    return new Promise((resolve, reject) => {
      const request = this.#factory.open(`chitchat:${this.name}`, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore("account");
        request.result.createObjectStore("entries", { keyPath: "ts" });
        request.result.createObjectStore("outbox", { keyPath: "place", autoIncrement: true }).createIndex("key", "key", { unique: true });
      };
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        request.result.onclose = () => this.close();
        request.result.onversionchange = ({ newVersion }) => {
          this.#isDeleted = newVersion === null;
          this.close();
        };
        resolve(request.result);
      };
    });
  }

  // give(value), called by work(stores, give), sets what it resolves with.
  async #transaction(mode, work) {
    this.#database ??= this.#open();
    const database = await this.#database.catch((error) => {
      this.#database = null;
      throw error;
    });
    return new Promise((resolve, reject) => {
      const names = ["account", "entries", "outbox"];
      const transaction = database.transaction(names, mode);
      let value;
      transaction.oncomplete = () => resolve(value);
      transaction.onabort = () => reject(transaction.error ?? new Error("the transaction was aborted"));
      work(Object.fromEntries(names.map((name) => [name, transaction.objectStore(name)])), (given) => (value = given));
    });
  }

  load() {
    this.#isDeleted = false;
    return this.#transaction("readonly", ({ account, outbox }, give) => {
      account.get("account").onsuccess = ({ target: { result: stored } }) => {
        outbox.getAll().onsuccess = ({ target: { result: items } }) => give({ account: stored, outbox: items.map(({ place, ...item }) => item) });
      };
    });
  }

  async commit(changes) {
    if (this.#isDeleted) return;
    await this.#transaction("readwrite", ({ account, entries, outbox }) => {
      account.get("account").onsuccess = ({ target: { result: stored } }) => {
        const plan = planOf(stored, changes);
        if (plan.begins) entries.clear();
        if (plan.isOther) outbox.clear();
        if (plan.account !== stored) account.put(plan.account, "account");
        if (plan.takes) for (const message of changes.take.messages) entries.put(message);
        if (changes.dropTo !== undefined) entries.delete(IDBKeyRange.upperBound(changes.dropTo));
        this.#writeOutbox(outbox, changes);
        if (plan.takes && changes.take.messages.length > 0) this.#trim(entries);
      };
    });
  }

  #writeOutbox(outbox, { put = [], remove = [] }) {
    const place = (key, callback) => (outbox.index("key").getKey(key).onsuccess = ({ target }) => callback(target.result));
    for (const item of put) place(item.key, (at) => outbox.put(at === undefined ? { ...item } : { ...item, place: at }));
    for (const key of remove) place(key, (at) => at !== undefined && outbox.delete(at));
  }

  #trim(entries) {
    entries.count().onsuccess = ({ target: { result: count } }) => {
      if (count <= this.#keep * 1.25) return;
      entries.getAllKeys(null, count - this.#keep).onsuccess = ({ target }) => entries.delete(IDBKeyRange.upperBound(target.result.at(-1)));
    };
  }

  async entries(range) {
    if (this.#isDeleted) return [];
    return this.#transaction("readonly", ({ account, entries }, give) => {
      account.get("account").onsuccess = ({ target: { result: stored } }) => {
        entries.getAll().onsuccess = ({ target }) => give(newestOf(target.result, stored?.user, range));
      };
    });
  }

  // The database goes too, since its name may hold the user's. If another tab is not done with it, it goes after that.
  async clear() {
    await this.#transaction("readwrite", (stores) => Object.values(stores).forEach((store) => store.clear()));
    this.close();
    await new Promise((resolve) => {
      const request = this.#factory.deleteDatabase(`chitchat:${this.name}`);
      request.onsuccess = request.onerror = request.onblocked = resolve;
    });
  }

  close() {
    this.#database?.then((database) => database.close(), () => {});
    this.#database = null;
  }
}

// The tabs that share a storage. Each sends what was written in it, and in tabs that are gone: a tab holds a lock while it
// lives. Without locks each sends all that it finds: the keys make that harmless.
export class Tabs {
  id;
  #storage;
  #onItems; // gets items of the storage that this tab sends from now on
  #onLogout;
  #channel = null;
  #left = null; // an AbortController
  #awaited = new Set();

  constructor(id, storage, onItems, onLogout) {
    this.id = id;
    this.#storage = storage;
    this.#onItems = onItems;
    this.#onLogout = onLogout;
  }

  async enter(outbox) {
    this.leave();
    this.#channel = this.#openChannel();
    if (this.#channel) this.#channel.onmessage = ({ data }) => this.#onTab(data);
    const locks = this.#storage.name === undefined ? undefined : globalThis.navigator?.locks;
    if (!locks) return this.#onItems(outbox);
    this.#left = new AbortController();
    const untilLeft = new Promise((release) => this.#left.signal.addEventListener("abort", release));
    await new Promise((hold) => locks.request(this.#lockOf(this.id), () => (hold(), untilLeft)).catch(hold));
    this.#onItems(outbox.filter((item) => item.tab === this.id || item.tab === undefined));
    for (const item of outbox) this.#awaitEnd(item.tab);
    this.#channel?.postMessage({ op: "hello", tab: this.id });
  }

  leave() {
    this.#left?.abort();
    this.#left = null;
    this.#awaited.clear();
    this.#channel?.close();
    this.#channel = null;
  }

  // All other tabs of this storage forget the user too.
  tellLogout() {
    const channel = this.#openChannel();
    channel?.postMessage({ op: "logout" });
    channel?.close();
  }

  #openChannel() {
    const { name } = this.#storage;
    return name !== undefined && globalThis.BroadcastChannel ? new BroadcastChannel(`chitchat:${name}`) : null;
  }

  #onTab({ op, tab }) {
    if (op === "logout") return this.#onLogout();
    if (op === "hello") this.#channel?.postMessage({ op: "here", tab: this.id });
    this.#awaitEnd(tab);
  }

  #lockOf(tab) {
    return `chitchat:${this.#storage.name}:${tab}`;
  }

  // Takes the items of another tab when that is gone.
  #awaitEnd(tab) {
    if (!this.#left || tab === undefined || tab === this.id || this.#awaited.has(tab)) return;
    this.#awaited.add(tab);
    const { signal } = this.#left;
    const take = async () => {
      const { outbox } = await this.#storage.load();
      this.#awaited.delete(tab);
      if (!signal.aborted) this.#onItems(outbox.filter((item) => item.tab === tab));
    };
    navigator.locks.request(this.#lockOf(tab), { signal }, take).catch(() => {}); // aborted
  }
}

// The commits of a client: what comes while one runs is one transaction after it.
export class Commits {
  all = Promise.resolve(); // resolves when all that was added is stored, or has failed
  #batch = null; // waits for the commit before it
  #storage;
  #onError;

  constructor(storage, onError) {
    this.#storage = storage;
    this.#onError = onError;
  }

  // Resolves when these changes are stored, or have failed.
  add({ begin, take, dropTo, put = [], remove = [] }) {
    if (!this.#batch || begin || dropTo) {
      const batch = { begin, take, dropTo, outbox: new Map() };
      this.#batch = batch;
      this.all = this.all.then(() => this.#commit(batch)).catch(this.#onError);
    } else if (take && this.#batch.take) {
      this.#batch.take.messages.push(...take.messages);
      this.#batch.take.cursor = take.cursor;
    } else {
      this.#batch.take ??= take;
    }
    for (const item of put) this.#batch.outbox.set(item.key, item);
    for (const key of remove) this.#batch.outbox.set(key, null);
    return this.all;
  }

  #commit(batch) {
    if (this.#batch === batch) this.#batch = null;
    const { outbox, ...changes } = batch;
    const put = [...outbox.values()].filter((item) => item !== null);
    const remove = [...outbox.keys()].filter((key) => outbox.get(key) === null);
    return this.#storage.commit({ ...changes, put, remove });
  }
}
