// PROTOCOL, "history".
import assert from "node:assert/strict";
import { onServers } from "./lib/harness.mjs";
import { Raw, frameOf } from "./lib/raw.mjs";
import { pump, wholeTimeline, wholeTimelineBackwards } from "./lib/traffic.mjs";

// Small generations, so that pages go over memory and runs.
onServers("History", { options: ["--memtable-bytes", "4M", "--checkpoint-s", "1"] }, (harness, it) => {
  // alice with messages to bob and carol in turn, and all of them as history gives them.
  async function alice(count, text = (n) => `m${n}`) {
    const client = await harness.login(harness.name());
    const [bob, carol] = [harness.name("bob"), harness.name("carol")];
    for (let n = 0; n < count; n += 100) {
      await Promise.all(
        Array.from({ length: Math.min(100, count - n) }, (_, i) => client.send((n + i) % 2 ? carol : bob, text(n + i), i % 10 ? {} : { key: `k${n + i}` })),
      );
    }
    return { client, bob, carol, timeline: await wholeTimeline(client) };
  }

  const texts = (page) => page.messages.map((message) => message.text);

  it("without bounds it is the newest 50, and more says that older ones remain", async () => {
    const { client, timeline } = await alice(120);
    const page = await client.history();
    assert.deepEqual(page.messages, timeline.slice(70));
    assert.equal(page.more, true);
    assert.equal(page.next, timeline[70].ts);
    const fields = Object.keys(page).sort();
    assert.deepEqual(fields, ["id", "messages", "more", "next", "op"]);
  });

  it("entries carry ts, mid, from, to and text, and the key of what this user sent with one", async () => {
    const client = await harness.login(harness.name());
    const bob = harness.name("bob");
    await client.send(bob, "m0", { key: "k0" });
    const [first] = (await client.history({ after: 0, limit: 1 })).messages;
    assert.deepEqual({ ...first, ts: 0, mid: "" }, { ts: 0, mid: "", from: client.user, to: bob, key: "k0", text: "m0" });
    const other = await harness.login(bob);
    for (const message of (await other.history()).messages) assert.deepEqual(Object.keys(message), ["ts", "mid", "from", "to", "text"]);
  });

  it("pages forwards and backwards give the same timeline", async () => {
    const { client, timeline } = await alice(500);
    for (const limit of [1, 7, 100, 499, 500, 501, 1000]) {
      if (limit === 1 && timeline.length > 200) continue;
      assert.deepEqual(await wholeTimelineBackwards(client, { limit }), timeline);
      assert.deepEqual(await wholeTimeline(client, { limit }), timeline);
    }
  });

  it("bounds are exclusive and may be combined", async () => {
    const { client, timeline } = await alice(30);
    const ts = timeline.map((message) => message.ts);
    assert.deepEqual((await client.history({ after: ts[4], before: ts[9] })).messages, timeline.slice(5, 9));
    assert.deepEqual((await client.history({ before: ts[10], limit: 3 })).messages, timeline.slice(7, 10));
    assert.deepEqual((await client.history({ after: ts[10], limit: 3 })).messages, timeline.slice(11, 14));
    const page = await client.history({ after: ts[4], before: ts[20], limit: 5 });
    assert.deepEqual(page.messages, timeline.slice(5, 10));
    assert.equal(page.more, true);
    assert.equal(page.next, ts[9]);
    assert.equal((await client.history({ after: ts[14], before: ts[20], limit: 5 })).more, false);
  });

  it("an empty or inverted range gives no messages and more false", async () => {
    const { client, timeline } = await alice(10);
    const ts = timeline.map((message) => message.ts);
    for (const range of [{ after: ts[9] }, { before: ts[0] }, { before: 0 }, { after: ts[5], before: ts[2] }, { after: ts[3], before: ts[3] }, { after: ts[3], before: ts[3] + 1 }, { after: 2 ** 53 - 1 }]) {
      const page = await client.history(range);
      assert.deepEqual(page.messages, [], JSON.stringify(range));
      assert.equal(page.more, false);
      assert.ok(!("next" in page));
    }
  });

  it("the largest bounds are no bounds", async () => {
    const { client, timeline } = await alice(5);
    assert.deepEqual((await client.history({ after: 0, before: 2 ** 53 - 1 })).messages, timeline);
  });

  it("with shows only what was exchanged with that user, both ways", async () => {
    const { client, bob, timeline } = await alice(60);
    const other = await harness.login(bob);
    await other.send(client.user, "back");
    await client.untilMessages(1);
    const all = [...timeline, ...(await wholeTimeline(client, { after: timeline.at(-1).ts }))];
    const wanted = all.filter((message) => message.to === bob || message.from === bob);
    assert.equal(wanted.length, 31);
    assert.deepEqual(await wholeTimeline(client, { with: bob, limit: 7 }), wanted);
    assert.deepEqual(await wholeTimelineBackwards(client, { with: bob, limit: 7 }), wanted);
    assert.deepEqual(await wholeTimeline(client, { with: harness.name("stranger") }), []);
  });

  it("with oneself shows the notes to oneself", async () => {
    const client = await harness.login(harness.name());
    await client.send(client.user, "note");
    await client.send(harness.name(), "other");
    assert.deepEqual(texts(await client.history({ with: client.user })), ["note"]);
  });

  it("a page's frame is at most 256 KiB, and has at least one message", async () => {
    const { client, timeline } = await alice(40, (n) => "\u0001".repeat(16000) + n);
    const page = await client.history({ limit: 1000 });
    assert.ok(page.messages.length >= 1 && page.messages.length < 5);
    assert.equal(page.more, true);
    const raw = await (await Raw.open(harness.server)).upgrade();
    raw.write(frameOf(JSON.stringify({ op: "login", user: client.user })));
    await raw.frame();
    for (const bound of ["", ',"after":0', `,"before":${timeline[20].ts}`]) {
      raw.write(frameOf(`{"op":"history","limit":1000${bound}}`));
      const { payload } = await raw.frame();
      assert.ok(payload.length <= 256 * 1024, `${payload.length} bytes`);
      const room = 256 * 1024 - payload.length;
      assert.ok(room < 100000, "one more of these would not have fitted");
    }
    raw.destroy();
    assert.deepEqual(await wholeTimelineBackwards(client), timeline);
    assert.deepEqual(await wholeTimeline(client), timeline);
  });

  it("with finds a message behind many others in one page", async () => {
    const client = await harness.login(harness.name());
    const [rare, often] = [harness.name("rare"), harness.name("often")];
    await client.send(rare, "needle");
    await pump(client, { to: often, count: 10500, text: (n) => `${n}`, window: 200 });
    for (const fields of [{}, { after: 0 }]) {
      const page = await client.history({ with: rare, ...fields });
      assert.deepEqual([texts(page), page.more], [["needle"], false]);
    }
  });

  it("a user that has nothing has an empty page", async () => {
    const client = await harness.login(harness.name());
    const page = await client.history();
    assert.deepEqual(page.messages, []);
    assert.equal(page.more, false);
  });
});
