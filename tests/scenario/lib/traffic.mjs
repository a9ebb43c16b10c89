// Many sends, and whole timelines to compare them with.
import assert from "node:assert/strict";
import { sleep } from "./server.mjs";

// Sends texts from text(0) to text(count - 1) with `window` of them in flight, again where the answer is `busy`.
// Returns what was acknowledged: { index, text, key, ts, mid }. Ends early when the connection ends or `stopped()`; with
// `mayFail` also at `unavailable`.
export async function pump(client, { to, count = Infinity, text, key, window = 200, stopped = () => false, mayFail = false }) {
  const acknowledged = [];
  let next = 0;
  let hasFailed = false;
  const one = async (index) => {
    const fields = { op: "send", to, text: text(index), ...(key ? { key: key(index) } : {}) };
    for (;;) {
      const reply = await client.request(fields);
      if (reply.op === "ok") return acknowledged.push({ index, ...fields, ts: reply.ts, mid: reply.mid, dup: reply.dup });
      if (reply.op === "closed") return undefined;
      if (mayFail && reply.code === "unavailable") {
        hasFailed = true;
        return undefined;
      }
      assert.equal(reply.code, "busy", JSON.stringify(reply));
      assert.ok(reply.retry_after > 0, "busy says when to come again");
      await sleep(reply.retry_after);
    }
  };
  const worker = async () => {
    while (next < count && !stopped() && !hasFailed && !client.closed) await one(next++);
  };
  await Promise.all(Array.from({ length: Math.min(window, count) }, worker));
  return acknowledged;
}

// The whole timeline of the logged-in user by pages, oldest first, each page checked against the one before.
export async function wholeTimeline(client, fields = {}) {
  const all = [];
  for (let after = fields.after ?? 0; ; ) {
    const page = await client.history({ limit: 1000, ...fields, after });
    checkAscending(page.messages, after);
    all.push(...page.messages);
    if (!page.more) return all;
    assert.ok(page.next > after, `next ${page.next} goes on from ${after}`);
    after = page.next;
  }
}

// The same from the newest backwards.
export async function wholeTimelineBackwards(client, fields = {}) {
  let all = [];
  for (let before; ; ) {
    const page = await client.history({ limit: 1000, ...fields, ...(before === undefined ? {} : { before }) });
    checkAscending(page.messages, 0);
    all = [...page.messages, ...all];
    if (!page.more) return all;
    assert.ok(before === undefined || page.next < before, `next ${page.next} goes on below ${before}`);
    before = page.next;
  }
}

export function checkAscending(messages, after) {
  for (const message of messages) {
    assert.ok(message.ts > after, `${message.ts} does not come after ${after}`);
    after = message.ts;
  }
}

// Every acknowledged message is in the timeline exactly once, with the mid that was acknowledged, and, where the
// timeline is the sender's, with its ts.
export function checkHolds(timeline, acknowledged, { isSender }) {
  const byText = new Map();
  for (const message of timeline) byText.set(message.text, [...(byText.get(message.text) ?? []), message]);
  for (const sent of acknowledged) {
    const found = byText.get(sent.text) ?? [];
    assert.equal(found.length, 1, `${sent.text} stands ${found.length} times in the timeline`);
    assert.equal(found[0].mid, sent.mid);
    if (isSender) assert.equal(found[0].ts, sent.ts);
  }
}
