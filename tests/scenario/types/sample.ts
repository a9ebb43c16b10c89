// What an application writes: each name of the package, as its types say. Lines below @ts-expect-error must not compile.
import { ChatError, Client, IndexedDBStorage, isUserName, MemoryStorage, utf8Length } from "chitchat-client";
import type { Changes, ClientOptions, HistoryPage, Message, Outcome, Peer, Sending, Storage } from "chitchat-client";

const options: ClientOptions = { url: "wss://chat.example.org/ws", user: "alice", storage: new IndexedDBStorage("alice", { keep: 500 }), replayMax: 500 };
const client = new Client(options);
new Client({ url: "ws://localhost/ws", token: async () => (await fetch("/token")).text(), WebSocket: globalThis.WebSocket });

const end: () => void = client.on("message", ({ message, replayed, item }) => {
  const { from, text, key }: Message = message;
  console.log(replayed ? "old" : "new", from, text, key?.length, item?.status);
});
client.on("state", ({ state, reason, code, waitMs }) => state === "waiting" && console.log(reason, code, (waitMs ?? 0) / 1000));
client.on("outbox", ({ item, outcome }) => outcome && !outcome.ok && console.log(item.text, outcome.code, outcome.message));
client.on("presence", ({ user, online }: { user: string; online: boolean }) => console.log(user, online));
client.on("seen_by", ({ user, ts, mid }) => console.log(user, new Date(ts / 1000), mid));

await client.start();
const sending: Sending = client.send("bob", "hello", { key: "k1" });
const outcome: Outcome = await sending.outcome;
if (outcome.ok) console.log(outcome.ts, outcome.mid, outcome.dup);
const again: Sending | undefined = client.retry(sending.key);
const isGone: boolean = client.discard(again?.key ?? sending.key);

for await (const page of client.history({ with: "bob", limit: 50 })) {
  const { messages, more, next }: HistoryPage = page;
  if (!more || (next ?? 0) < 5) break;
  console.log(messages.map(({ ts }) => ts), isGone);
}
for await (const { peers } of client.peers()) peers.forEach((peer: Peer) => console.log(peer.user, peer.last.text, peer.unseen, peer.seen_by));
const isDurable: boolean = await client.seen("bob", 5);
const online: string[] = await client.watch(["bob"]);
client.typing("bob");
console.log(isDurable, online, client.online.has("bob"), utf8Length("x"), isUserName("bob"), client.outbox.length, client.cursor, client.login?.limits.text);

class NoStorage implements Storage {
  async load() { return { outbox: [] }; }
  async commit(changes: Changes) { console.log(changes.take?.cursor, changes.begin?.epoch, changes.put, changes.remove, changes.dropTo); }
  async entries() { return []; }
  async clear() {}
  close() {}
}
new Client({ ...options, storage: new NoStorage() });
new Client({ ...options, storage: new MemoryStorage() });

try {
  await client.logout();
} catch (error) {
  if (error instanceof ChatError) console.log(error.code, error.message);
}
end();

// @ts-expect-error there is no such event
client.on("massage", () => {});
// @ts-expect-error a message has no such field
client.on("message", ({ message }) => message.body);
// @ts-expect-error the address is required
new Client({ user: "alice" });
// @ts-expect-error the state is read-only
client.state = "live";
