// The limits of an address, of a user and of a connection. On loopback each 127.0.0.x is an address of its own.
import assert from "node:assert/strict";
import { linesOf } from "./lib/disk.mjs";
import { scenario } from "./lib/harness.mjs";
import { Raw, frameOf, upgradeRequest } from "./lib/raw.mjs";
import { until } from "./lib/server.mjs";

const ON_LOOPBACK = ["--limit-loopback", "1"];

// An upgraded connection from this address; null if it was answered 503.
async function connectFrom(harness, from, forwarded = {}) {
  const raw = await Raw.open(harness.server, harness.server.address, from);
  raw.write(upgradeRequest({ headers: forwarded }));
  const { status, headers } = await raw.response();
  if (status === 101) return raw;
  assert.equal(status, 503);
  assert.match(headers["retry-after"], /^[1-9]\d*$/);
  await raw.until(() => raw.isEnded && raw.received.includes("your address"), "the reason, and the end");
  raw.destroy();
  return null;
}

// The operator sees the cause, the address and the option; and the count when the server ends.
async function stopAndCheckLog(harness, cause, option, address, count) {
  await harness.server.stop();
  const log = harness.server.stderr;
  const line = new RegExp(`^.* level=warn event=refused shard=\\d+ cause=${cause} address=(\\S+) count=1 .*hint=".*${option}.*"$`, "m").exec(log);
  assert.ok(line, log);
  assert.equal(line[1], address);
  const counts = [...log.matchAll(new RegExp(`event=refusals shard=\\d+.* ${cause}=(\\d+)`, "g"))];
  assert.equal(counts.reduce((sum, [, at]) => sum + Number(at), 0), count, log);
}

scenario("connections of an address have a limit, others their own, and a place is free again when one leaves", {}, async (harness) => {
  await harness.start({ options: [...ON_LOOPBACK, "--address-connections", "3"] });
  const open = [];
  for (let i = 0; i < 3; i++) open.push(await connectFrom(harness, "127.0.0.2"));
  assert.ok(open.every((raw) => raw !== null));
  assert.equal(await connectFrom(harness, "127.0.0.2"), null);
  open.push(await connectFrom(harness, "127.0.0.3"));
  assert.ok(open.at(-1) !== null);
  open[0].destroy();
  let refused = 1;
  await until("a place for one more", async () => {
    const again = await connectFrom(harness, "127.0.0.2");
    refused += again === null;
    open.push(again);
    return again !== null;
  });
  for (const raw of open) raw?.destroy();
  await harness.server.untilAtRest(harness.shards);
  await stopAndCheckLog(harness, "address_connections", "--address-connections", "127.0.0.2", refused);
});

const CONTRADICTIONS = [
  ["contradict", { "X-Forwarded-For": "192.0.2.7", Forwarded: "for=192.0.2.8" }],
  ["are malformed", { "X-Forwarded-For": "192.0.2.7", Forwarded: 'for="' }],
  ["hide the client", { Forwarded: "for=unknown" }],
  ["are absent", {}],
];

for (const [what, headers] of CONTRADICTIONS)
  scenario(`the address of a trusted proxy counts where the forwarded headers ${what}`, { shards: [2] }, async (harness) => {
    await harness.start({ options: [...ON_LOOPBACK, "--trust-proxy", "127.0.0.2", "--address-connections", "2"] });
    const open = [];
    for (let i = 0; i < 2; i++) open.push(await connectFrom(harness, "127.0.0.2", headers));
    assert.ok(open.every((raw) => raw !== null));
    assert.equal(await connectFrom(harness, "127.0.0.2", headers), null);
    open.push(await connectFrom(harness, "127.0.0.2", { "X-Forwarded-For": "192.0.2.7" }));
    assert.ok(open.at(-1) !== null, "a client that the proxy names counts for itself");
    for (const raw of open) raw.destroy();
    await stopAndCheckLog(harness, "address_connections", "--address-connections", "127.0.0.2", 1);
  });

scenario("an IPv6 address counts with all of its /64, another /64 for itself", { shards: [2] }, async (harness) => {
  await harness.start({ options: ["--trust-proxy", "127.0.0.2", "--address-connections", "2"] });
  const clientAt = (address) => connectFrom(harness, "127.0.0.2", { "X-Forwarded-For": address });
  const open = [await clientAt("2001:db8:0:1::1"), await clientAt("2001:db8:0:1:ffff::2")];
  assert.equal(await clientAt("2001:db8:0:1::3"), null);
  open.push(await clientAt("2001:db8:0:2::1"));
  assert.ok(open.every((raw) => raw !== null));
  for (const raw of open) raw.destroy();
  await stopAndCheckLog(harness, "address_connections", "--address-connections", "2001:db8:0:1::3", 1);
});

// 800 connections have a table of 101 sets of 16 places. With 770 open from as many addresses, the set of another address
// is full in seven of a thousand cases: so the oldest leave, and others come, until that happens.
scenario("an address without a place in the table has no limits of its own, is served, and leaves a line", { shards: [1] }, async (harness) => {
  await harness.start({ options: [...ON_LOOPBACK, "--connections", "800", "--address-connections", "1", "--login-time-s", "600"] });
  const open = [];
  // Twice from an address: null if the second connection was refused.
  const twice = async (host) => {
    const from = `127.1.${host >> 8}.${host & 255}`;
    open.push(await (await Raw.open(harness.server, harness.server.address, from)).upgrade());
    const second = await connectFrom(harness, from);
    return second && { from, second };
  };
  const uncounted = await until("an address without a place", async () => {
    const begun = open.length;
    for (const raw of open.slice(Math.max(0, begun - 760), begun - 750)) raw.destroy();
    const all = await Promise.all(Array.from({ length: 10 }, (_, i) => twice(begun + i)));
    const found = all.filter((one) => one !== null);
    return found.length > 0 && found;
  }, { every: 0 });
  const line = /level=warn event=address_uncounted shard=0 address=(\S+) hint=".*--connections"/.exec(await harness.server.logLine("address_uncounted"));
  assert.ok(uncounted.some(({ from }) => from === line?.[1]), `${line}`);
  for (const raw of [...open, ...uncounted.map(({ second }) => second)]) raw.destroy();
  await harness.server.untilAtRest(harness.shards);
  await harness.server.stop();
});

scenario("a connection counts for its address when it has gone to the shard of its user, too", {}, async (harness) => {
  await harness.start({ options: [...ON_LOOPBACK, "--address-connections", "8"] });
  for (let i = 0; i < 8; i++) await (await harness.client({ from: "127.0.0.2" })).loginAs(harness.name());
  assert.equal(await connectFrom(harness, "127.0.0.2"), null);
  await harness.server.stop();
});

scenario("new connections of an address are limited by the second, those of others are not", {}, async (harness) => {
  const rate = 5;
  await harness.start({ options: [...ON_LOOPBACK, "--address-rate", String(rate)] });
  const begun = process.hrtime.bigint();
  const all = await Promise.all(Array.from({ length: 40 }, () => connectFrom(harness, "127.0.0.2")));
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
  const admitted = all.filter((raw) => raw !== null);
  assert.ok(admitted.length >= rate && admitted.length <= rate * (1 + seconds) + 1, `${admitted.length} in ${seconds} s`);
  const other = await connectFrom(harness, "127.0.0.3");
  assert.ok(other !== null);
  for (const raw of [...admitted, other]) raw.destroy();
  await stopAndCheckLog(harness, "address_rate", "--address-rate", "127.0.0.2", 40 - admitted.length);
});

scenario("after too many failed logins an address gets rate_limited and 1013; others log in; then it may again", {}, async (harness) => {
  await harness.start({ options: [...ON_LOOPBACK, "--address-login-rate", "5"] });
  let refused;
  await until("a login to be refused", async () => {
    const client = await harness.client({ from: "127.0.0.2" });
    for (let i = 0; i < 10 && refused === undefined; i++) {
      const reply = await client.request({ op: "login", user: "not a user" });
      if (reply.code === "rate_limited") refused = { client, reply };
      else assert.equal(reply.code, "bad_request");
    }
    return refused;
  }, { every: 0 });
  assert.ok(Number.isInteger(refused.reply.retry_after) && refused.reply.retry_after > 0 && refused.reply.retry_after <= 200);
  assert.equal((await refused.client.untilClosed()).code, 1013);
  await (await harness.client({ from: "127.0.0.3" })).loginAs(harness.name());
  await new Promise((resolve) => setTimeout(resolve, refused.reply.retry_after + 1));
  await (await harness.client({ from: "127.0.0.2" })).loginAs(harness.name());
  await stopAndCheckLog(harness, "address_login_rate", "block the address", "127.0.0.2", 1);
});

scenario("who is not logged in within the login time leaves a line that says what was missing", { shards: [1] }, async (harness) => {
  await harness.start({ options: ["--login-time-s", "1"] });
  const [silent, stranger] = [await Raw.open(harness.server), await (await Raw.open(harness.server)).upgrade()];
  await silent.until(() => silent.isEnded, "the end");
  assert.equal(await stranger.closeCode(), 4002);
  for (const raw of [silent, stranger]) raw.destroy();
  assert.match(await harness.server.logLine("refused"), /reason="no complete (HTTP head|login)"/);
  await stopAndCheckLog(harness, "login_time", "--login-time-s", "127.0.0.1", 2);
});

// The memory for parts of messages is a thirty-second of what is left of --memory (budget.h): 7 MiB, for some 100 of these.
scenario("messages of which a part has come take all memory for them: 1011 with a line, and others are served", { shards: [1] }, async (harness) => {
  await harness.start({ options: ["--memory", "352M", "--memtable-bytes", "8M", "--connections", "2000", "--login-time-s", "600"] });
  const alice = await harness.login("alice");
  const part = frameOf("x".repeat(60000), { fin: false });
  const raws = [];
  for (let i = 0; i < 200; i++) {
    raws.push(await (await Raw.open(harness.server)).upgrade());
    raws.at(-1).write(part);
  }
  const refused = await until("those without room to be closed", () => raws.find((raw) => raw.received.includes("the memory for messages is used up")));
  assert.equal(await refused.closeCode(), 1011);
  assert.match(await harness.server.logLine("refused"), /cause=input address=127\.0\.0\.1 count=1 .*reason="[^"]*part[^"]*" hint=".*--memory"/);
  await alice.send("bob", "one frame needs no such memory");
  for (const raw of raws) raw.destroy();
  harness.checkClients();
  await harness.server.untilAtRest(harness.shards);
  await harness.server.stop();
  assert.match(harness.server.stderr, /event=refusals .*\binput=[1-9]/);
});

scenario("loopback addresses have no limits unless they are asked for", { shards: [2] }, async (harness) => {
  await harness.start({ options: ["--address-connections", "1", "--address-rate", "1", "--address-login-rate", "1"] });
  for (let i = 0; i < 5; i++) {
    const client = await harness.client();
    await client.error({ op: "login", user: "not a user" }, "bad_request");
    await client.loginAs(harness.name());
  }
  await harness.server.stop();
});

scenario("requests for history have a rate for each connection, after which they are answered", {}, async (harness) => {
  await harness.start({ options: ["--history-rate", "5"] });
  const [alice, again] = [await harness.login("alice"), await harness.login("alice")];
  const replies = await Promise.all(Array.from({ length: 200 }, () => alice.request({ op: "history" })));
  const refused = replies.filter((reply) => reply.op === "error");
  assert.ok(refused.length > 0 && refused.length <= 195, `${refused.length} were refused`);
  for (const reply of refused) {
    assert.equal(reply.code, "rate_limited");
    assert.ok(Number.isInteger(reply.retry_after) && reply.retry_after > 0);
  }
  await again.history();
  await new Promise((resolve) => setTimeout(resolve, refused.at(-1).retry_after + 1));
  await alice.history();
  await stopAndCheckLog(harness, "history_rate", "--history-rate", "127.0.0.1", refused.length);
});

scenario("peers, typing and watch count in the rate of pages, seen in that of sends", { shards: [1] }, async (harness) => {
  await harness.start({ options: ["--history-rate", "5", "--send-rate", "5"] });
  for (const fields of [{ op: "peers" }, { op: "typing", to: "bob" }, { op: "watch", users: ["bob"] }, { op: "seen", with: "bob", ts: 0 }]) {
    const client = await harness.login(harness.name());
    const replies = await Promise.all(Array.from({ length: 200 }, () => client.request(fields)));
    const refused = replies.filter(({ op }) => op === "error");
    assert.ok(refused.length > 0 && refused.length <= 195, `${fields.op}: ${refused.length} were refused`);
    assert.ok(refused.every(({ code, retry_after }) => code === "rate_limited" && retry_after > 0), fields.op);
    if (fields.op === "seen") await client.history();
    else await client.send("bob", "the other rate is not used up");
  }
});

scenario("within the default rates: sends to 500 recipients at once, and scrolling through 50 pages", { shards: [2] }, async (harness) => {
  await harness.start({ hasRates: true });
  const alice = await harness.login("alice");
  await Promise.all(Array.from({ length: 500 }, (_, n) => alice.send(`friend-${n}`, `text ${n}`, { key: `key-${n}` })));
  let page = await alice.history({ limit: 10 });
  for (let i = 1; i < 50; i++) page = await alice.history({ limit: 10, before: page.next });
  assert.equal(page.more, false);
  await harness.server.stop();
  assert.doesNotMatch(harness.server.stderr, /event=refus/);
});

scenario("frames and sends over their rates leave a line for the operator too", { shards: [2] }, async (harness) => {
  await harness.start({ options: ["--send-rate", "5", "--frame-rate", "300"] });
  const alice = await harness.login("alice");
  const countRefused = async (count, request) =>
    (await Promise.all(Array.from({ length: count }, () => alice.request(request)))).filter((reply) => reply.code === "rate_limited").length;
  const sends = await countRefused(200, { op: "send", to: "bob", text: "x" });
  assert.ok(sends > 0);
  assert.ok((await countRefused(5000, { op: "ping" })) > 0);
  await harness.server.stop();
  assert.match(harness.server.stderr, /event=refused .*cause=frame_rate .*--frame-rate/);
  assert.match(harness.server.stderr, /event=refused .*cause=send_rate .*--send-rate/);
  assert.match(harness.server.stderr, /event=refusals .*frame_rate=[1-9]/);
});

// What came back, and the end of the connection, of a request that is no upgrade.
async function headFrom(harness, from, head) {
  const raw = await Raw.open(harness.server, harness.server.address, from);
  raw.write(head);
  const { status } = await raw.response();
  await raw.until(() => raw.isEnded, "the end");
  return status;
}

scenario("what is no valid request leaves a line with the reason and the address, and is counted", { shards: [2] }, async (harness) => {
  await harness.start({});
  for (let i = 0; i < 3; i++) assert.equal(await headFrom(harness, "127.0.0.2", "GET /ws HTTP/1.1\r\n\r\n"), 400);
  assert.equal(await headFrom(harness, "127.0.0.2", "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"), 426);
  assert.equal(await headFrom(harness, "127.0.0.2", "GET /favicon.ico HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"), 404); // no refusal
  const alice = await harness.login("alice");
  assert.equal((await alice.request({ op: "dance" })).code, "unknown_op");
  assert.equal((await alice.request({ op: "send", to: "bob" })).code, "bad_request");
  await harness.server.stop();
  const lines = linesOf(harness.server.stderr, "refused").filter((line) => line.includes("cause=request"));
  assert.ok(lines.length >= 1 && lines.length <= harness.shards, lines.join("\n")); // one a minute and shard
  const reasons = /reason="(the Host header is missing|this path is a WebSocket[^"]*|op must be one of [^"]*|[^"]*\btext\b[^"]*)" hint="[^"]* stands in PROTOCOL\.md, for programs in docs\/HTTP_API\.md"$/;
  for (const line of lines) assert.match(line, new RegExp(`address=127\\.0\\.0\\.[12] count=1 left_out=0 ${reasons.source}`));
  const counts = [...harness.server.stderr.matchAll(/event=refusals .*\brequest=(\d+)/g)];
  assert.equal(counts.reduce((sum, [, count]) => sum + Number(count), 0), 6, harness.server.stderr);
});

scenario("frames that break the protocol leave a line with the reason and the address, and are counted", { shards: [2] }, async (harness) => {
  await harness.start({});
  for (const frame of [frameOf("{}", { mask: false }), frameOf("{}", { rsv: 4 }), frameOf(Buffer.from([0xff]))]) {
    const raw = await connectFrom(harness, "127.0.0.2");
    raw.write(frame);
    assert.ok([1002, 1007].includes(await raw.closeCode()));
  }
  await harness.server.stop();
  const lines = linesOf(harness.server.stderr, "refused");
  assert.ok(lines.length >= 1 && lines.length <= harness.shards, lines.join("\n"));
  for (const line of lines) assert.match(line, /cause=protocol address=127\.0\.0\.2 count=1 left_out=0 reason="[^"]+" hint="[^"]+"$/);
  const counts = [...harness.server.stderr.matchAll(/event=refusals .*\bprotocol=(\d+)/g)];
  assert.equal(counts.reduce((sum, [, count]) => sum + Number(count), 0), 3, harness.server.stderr);
});
