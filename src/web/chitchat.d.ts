/**
 * chitchat-client: a client of the chitchat wire protocol, version 1, that loses, doubles and reorders nothing.
 *
 * ```js
 * import { Client, IndexedDBStorage } from "chitchat-client";
 *
 * const client = new Client({ url: "wss://chat.example.org/ws", user: "alice", storage: new IndexedDBStorage("alice") });
 * client.on("message", ({ message }) => console.log(message.from, message.text));
 * await client.start();
 * client.send("bob", "hello");
 * ```
 * @packageDocumentation
 */

/**
 * `connecting`, `logging-in`: no login yet. `replay`: takes missed entries. `live`: takes new ones. `waiting`: connects
 * again after a random time. `stopped`: does nothing until {@link Client.start}.
 */
export type State = "stopped" | "connecting" | "logging-in" | "replay" | "live" | "waiting";

/** An entry of the user's timeline. */
export interface Message {
  /** Its place in this user's timeline: microseconds since the Unix epoch. `new Date(ts / 1000)` is the time to show. */
  ts: number;
  /** The message's name, the same for sender and recipient, unique for ever. */
  mid: string;
  from: string;
  to: string;
  text: string;
  /** Only in messages of this user that were sent with a key. */
  key?: string;
}

/** A message of this user that has no outcome yet, or was refused for good. Treat it as read-only. */
export interface OutboxItem {
  key: string;
  to: string;
  text: string;
  /** When the user wrote it, in ms since the Unix epoch. */
  at: number;
  /** When it was first sent, if it may have been stored. Of an item read from the storage: `at`. */
  tried?: number;
  /** The tab in which it was written. */
  tab?: string;
  /** `waiting`, `sending` (sent, no reply yet), `held` (the server is busy; sent again soon) or `failed` (see error). */
  status: "waiting" | "sending" | "held" | "failed";
  /** Why it will never be accepted. Such an item stays until {@link Client.discard}. */
  error?: { code: FailureCode; message: string };
}

/**
 * `expired`: it was tried more than 23 hours ago, and no reply came, so its key may no longer protect it. The client
 * searches the history for it, and sends it again if it is not there. This code says that the history could not be read,
 * or begins later: the message may have been stored.
 */
export type FailureCode = "too_large" | "bad_request" | "key_conflict" | "expired";

/** What became of a send. */
export type Outcome =
  | { ok: true; ts: number; mid: string; /** Stored before, by an attempt without a reply. */ dup: boolean }
  | { ok: false; code: FailureCode | "discarded"; message: string };

/** What {@link Client.send} gives: the item, with its outcome. */
export interface Sending extends OutboxItem {
  /** Never rejects. Pending while there is no outcome, also while the client is stopped. */
  readonly outcome: Promise<Outcome>;
}

/** A conversation, as `peers` gives it. */
export interface Peer {
  user: string;
  last: Message;
  /** Received messages above `seen`: 0 to 999, 1000 means more. */
  unseen: number;
  /** This user's mark, 0 if none. */
  seen: number;
  /** The `ts`, in this user's timeline, of the newest own message that the peer has seen; 0 if none. */
  seen_by: number;
}

/** One page of the timeline, in ascending `ts`. */
export interface HistoryPage {
  messages: Message[];
  more: boolean;
  /** Only if `more`: the bound to go on from. */
  next?: number;
}

/** One page of conversations, the one with the newest message first. */
export interface PeersPage {
  peers: Peer[];
  more: boolean;
  next?: number;
}

/** The reply to a login. */
export interface Login {
  user: string;
  last: number;
  first: number;
  epoch: string;
  ping: number;
  auth: "none" | "token";
  limits: { text: number; frame: number };
  server: string;
  reset?: true;
  skipped_until?: number;
}

/** The events of a client, and what their listeners get. */
export interface Events {
  /** The state has changed. */
  state: {
    state: State;
    /** Why, for people: of `waiting` and `stopped`. */
    reason?: string;
    /** The close code or the error code behind it. */
    code?: number | string;
    /** Of `waiting`: how long, in ms. */
    waitMs?: number;
  };
  /** A login was accepted. Comes before the state changes to `replay` or `live`. */
  login: Login;
  /** The next entry of the timeline, received or sent, in order, each once for each client object. */
  message: {
    message: Message;
    /** Stored before this login. */
    replayed: boolean;
    /** The outbox item of this client that it is, if it is one. */
    item?: OutboxItem;
  };
  /** An item was added, changed its status, or has left the outbox. */
  outbox: { item: OutboxItem; outcome?: Outcome };
  /** The server has another data set: every `ts` is void; the stored entries are dropped, the outbox is kept. */
  reset: { epoch: string; last: number };
  /** Entries up to `first` are gone on the server. The stored ones are dropped. */
  cut: { first: number };
  /** With `replayMax`: entries above `after` and up to `until` were left out. The history has them. */
  skipped: { after: number; until: number };
  /** Another connection of this user has moved the mark of a conversation. */
  seen: { with: string; ts: number };
  /** `user` has seen this user's messages up to `ts` (in this user's timeline). May come before the message's `ok`. */
  seen_by: { user: string; ts: number; mid: string };
  typing: { from: string };
  /** A user of {@link Client.watch} came or left. */
  presence: { user: string; online: boolean };
  /** Something failed that the client goes on without: the storage, or the token callback. */
  error: Error;
}

/** A request was refused for good, or the client has stopped. */
export declare class ChatError extends Error {
  constructor(code: string | number, message: string);
  /** A code of the protocol, or why the client was stopped: `stopped`, `logout`, `no_token`, a close code. `reset`: the server has another data set; `user`: another user is logged in. An older server gives `unknown_op`. */
  readonly code: string | number;
}

/** What the client needs of a WebSocket: browsers and npm's `ws` have it. */
export interface WebSocketLike {
  readonly readyState: number;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  /** npm's `ws` has it: ends a dead connection at once. */
  terminate?(): void;
}

/** Time, for tests. */
export interface Clock {
  now(): number;
  setTimeout(callback: () => void, ms: number): unknown;
  clearTimeout(timer: any): void;
}

/** What a storage holds of the account. */
export interface Account {
  user: string;
  epoch: string;
  /** The newest `ts` up to which the storage has everything that came. */
  cursor: number;
}

/** What is stored together, in one transaction. */
export interface Changes {
  /**
   * A login: the account begins here. If the same user and epoch are stored, with a cursor at or below this one, nothing
   * is done. Else the stored entries are dropped, and with another user the outbox too.
   */
  begin?: Account;
  /**
   * Entries in order, and the cursor before the first and after the last. Written only if `epoch` is the stored one.
   * The cursor moves only if the stored one is at or above `from`: another tab may be behind.
   */
  take?: { epoch: string; from: number; cursor: number; messages: Message[] };
  /** Entries with `ts` up to this are dropped. */
  dropTo?: number;
  /** Items to add at the end of the outbox, or to change (by key). */
  put?: OutboxItem[];
  /** Keys of items to remove. */
  remove?: string[];
}

/** Where a client keeps account, cursor, entries and outbox. Several tabs may use one storage at the same time. */
export interface Storage {
  load(): Promise<{ account?: Account; outbox: OutboxItem[] }>;
  /** All or nothing, in the order of the fields of {@link Changes}. The next call comes when this one has ended. */
  commit(changes: Changes): Promise<void>;
  /** The newest stored entries, in ascending `ts`. */
  entries(range?: { with?: string; before?: number; limit?: number }): Promise<Message[]>;
  /** Forgets everything. */
  clear(): Promise<void>;
  close(): void;
  /** Names the storage among the tabs of a browser. Without it the client does not look for other tabs. */
  readonly name?: string;
}

/** In memory: what it holds ends with the page or process. */
export declare class MemoryStorage implements Storage {
  /** @param options `keep`: how many of the newest entries, default 1,000. */
  constructor(options?: { keep?: number });
  load(): Promise<{ account?: Account; outbox: OutboxItem[] }>;
  commit(changes: Changes): Promise<void>;
  entries(range?: { with?: string; before?: number; limit?: number }): Promise<Message[]>;
  clear(): Promise<void>;
  close(): void;
}

/** In IndexedDB. Tabs of one user share it: an outbox of a tab that is gone is sent by another one. */
export declare class IndexedDBStorage implements Storage {
  /** @param name One for each user and server. @param options `keep`: how many of the newest entries, default 1,000. */
  constructor(name: string, options?: { keep?: number; indexedDB?: IDBFactory });
  readonly name: string;
  load(): Promise<{ account?: Account; outbox: OutboxItem[] }>;
  commit(changes: Changes): Promise<void>;
  entries(range?: { with?: string; before?: number; limit?: number }): Promise<Message[]>;
  /** Deletes the content, and then the database. Call it at a logout, when the client is stopped. */
  clear(): Promise<void>;
  close(): void;
}

export interface ClientOptions {
  /** `ws://` or `wss://`, with the path `/ws`. */
  url: string;
  /** Who logs in. With `token` it may be left out. */
  user?: string;
  /**
   * Gives a token. Called before the first login, some time before the last token expires, and after the server has
   * refused one. A rejection is retried with a random wait; `null` stops the client with `no_token`.
   */
  token?: () => string | null | Promise<string | null>;
  /** Default: a new {@link MemoryStorage}. */
  storage?: Storage;
  /** Default: `globalThis.WebSocket`. In node 20 hand in that of npm's `ws`. */
  WebSocket?: new (url: string, protocol: string) => WebSocketLike;
  /** At most so many missed entries are replayed at a login: 0 to 10,000. Default: all. See the event `skipped`. */
  replayMax?: number;
  /** For tests. */
  clock?: Clock;
  /** For tests: 0 to below 1. */
  random?: () => number;
}

export declare class Client {
  constructor(options: ClientOptions);

  readonly state: State;
  /** Who is logged in, or was: from the option or the storage before that. */
  readonly user: string | undefined;
  /** The newest login's reply. */
  readonly login: Login | undefined;
  /** The newest `ts` that this client has. */
  readonly cursor: number | undefined;
  /** Items of this client without an outcome, and failed ones, in order. */
  readonly outbox: readonly OutboxItem[];
  /** The users of the last `watch` who are online, as far as known. */
  readonly online: ReadonlySet<string>;

  /** Calls `listener` for each event of this type. Gives a function that ends that. */
  on<T extends keyof Events>(type: T, listener: (event: Events[T]) => void): () => void;

  /** Reads the storage, then connects, and stays connected until {@link stop}. Resolves when the storage is read. */
  start(): Promise<void>;
  /** Closes the connection. Resolves when all that came is stored. */
  stop(): Promise<void>;
  /** Stops, and forgets everything: storage, outbox, token, user. In all tabs of the storage. Rejects if the storage cannot be cleared. */
  logout(): Promise<void>;
  /** Ends a wait before the next connect, or checks the connection with a ping. Called by itself at `online` and when the page becomes visible. */
  wake(): void;

  /**
   * Puts a message at the end of the outbox; it is sent when its turn comes. Throws a `TypeError` if `to` is no user
   * name or `text` is empty or no string. Lone surrogates become U+FFFD.
   * @param options `key`: default a random one.
   */
  send(to: string, text: string, options?: { key?: string }): Sending;
  /** Sends a failed item anew, as a new item with a new key. Gives `undefined` if the item is not a failed one. */
  retry(key: string): Sending | undefined;
  /** Removes an item that has failed, or was never sent. Gives whether it did. */
  discard(key: string): boolean;

  /**
   * Pages of the timeline: backwards from `before` or the newest; with `after`, forwards. `with`: only messages with
   * that user. Waits for a connection, and asks again after `busy` or a lost connection. Throws {@link ChatError}.
   */
  history(options?: { with?: string; before?: number; after?: number; limit?: number }): AsyncIterableIterator<HistoryPage>;
  /** Pages of the conversations. Throws {@link ChatError} with `unknown_op` on an older server. */
  peers(options?: { before?: number; limit?: number }): AsyncIterableIterator<PeersPage>;

  /**
   * Moves the mark of the conversation with this user to `ts`. Resolves when it is durable; with `false` if the server
   * does not know marks or has another data set now, a newer call has replaced this one, or the client is stopped.
   */
  seen(user: string, ts: number): Promise<boolean>;
  /** The user is typing to `to`. Call it at each key: it is sent at most once a second, and only while connected. */
  typing(to: string): void;
  /**
   * Watches who of these (at most 1,000) is online, in place of an earlier list, until the client stops; also after a
   * reconnect. Resolves with those online; with none if the server does not know `watch`.
   */
  watch(users: readonly string[]): Promise<string[]>;
}

/** How many bytes of UTF-8 a text has: limits count these. */
export declare function utf8Length(text: string): number;
/** Whether the server accepts this as a user name. */
export declare function isUserName(name: unknown): boolean;
