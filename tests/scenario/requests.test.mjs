// Every request of PROTOCOL, its fields and its errors, and the order in which a request is checked.
import assert from "node:assert/strict";
import { onServers } from "./lib/harness.mjs";

const LONG_NAME = "n".repeat(128);
const BAD_NAMES = ["", "n".repeat(129), "a b", "a\"b", "a\\b", "ä", "a\tb", "a\u007fb", "\u0000", 7, null, true, ["a"], { a: 1 }];
const BAD_IDS = [null, true, 1.5, 2 ** 53, -(2 ** 53), "i".repeat(65), [], {}];

// The error has no id, as none could be read.
async function straysWith(client, text, code) {
  const error = await client.strayAfter(text);
  assert.equal(error.op, "error", text);
  assert.equal(error.code, code, `${text.slice(0, 200)} -> ${JSON.stringify(error)}`);
  assert.ok(!("id" in error));
  assert.ok(error.message.length > 0);
  return error;
}

onServers("Requests", {}, (harness, it) => {
  it("a login is answered with all that PROTOCOL names", async () => {
    const user = harness.name();
    const client = await harness.client();
    const { op, id, last, epoch, ...rest } = await client.request({ op: "login", user });
    assert.equal(op, "ok");
    assert.equal(id, 1);
    assert.equal(last, 0);
    assert.match(epoch, /^\S+$/);
    assert.equal(rest.user, user);
    assert.equal(rest.ping, 25);
    assert.equal(rest.auth, "none");
    assert.deepEqual(rest.limits, { text: 16384, frame: 131072 });
    assert.match(rest.server, /^chitchat\/\d+\.\d+\.\d+$/);
    assert.ok(!("reset" in rest));
  });

  it("the epoch is one for all users and connections", async () => {
    const one = await harness.login(harness.name());
    const other = await harness.login(harness.name());
    assert.equal(one.epoch, other.epoch);
  });

  it("a name of 128 bytes and of every allowed character logs in", async () => {
    const all = Array.from({ length: 0x7f - 0x21 }, (_, i) => String.fromCharCode(0x21 + i)).filter((c) => !"\"\\".includes(c)).join("");
    for (const user of [LONG_NAME, all, "x"]) assert.equal((await harness.login(user)).login.user, user);
  });

  it("names are compared byte by byte", async () => {
    const name = harness.name("Case");
    const upper = await harness.login(name);
    const lower = await harness.login(name.toLowerCase());
    await upper.send(name, "to myself");
    await upper.send(name.toLowerCase(), "to the other");
    await lower.untilMessages(1);
    assert.equal(lower.messages[0].text, "to the other");
  });

  it("a login as what is no user name is bad_request, and may be tried again", async () => {
    const client = await harness.client();
    for (const user of BAD_NAMES) {
      const error = await client.error({ op: "login", user }, "bad_request");
      assert.match(error.message, /user/);
    }
    await client.error({ op: "login" }, "bad_request");
    await client.loginAs(harness.name());
  });

  it("after and epoch of a login must be of their types and ranges", async () => {
    const client = await harness.client();
    const user = harness.name();
    for (const after of [-1, 1.5, 2 ** 53, "1", null, true, [], {}])
      assert.match((await client.error({ op: "login", user, after }, "bad_request")).message, /after/);
    for (const epoch of [1, null, true, [], {}, "a\u0000b"])
      assert.match((await client.error({ op: "login", user, epoch }, "bad_request")).message, /epoch/);
    await client.loginAs(user);
  });

  it("a second login is already_logged_in, whatever its fields", async () => {
    const client = await harness.login(harness.name());
    await client.error({ op: "login", user: harness.name() }, "already_logged_in");
    await client.error({ op: "login", user: 7 }, "already_logged_in");
    await client.ok({ op: "ping" });
  });

  it("send, history and ping need a login, whatever their fields", async () => {
    const client = await harness.client();
    await client.error({ op: "ping" }, "not_logged_in");
    await client.error({ op: "history", limit: 0 }, "not_logged_in");
    await client.error({ op: "send" }, "not_logged_in");
    await client.error({ op: "send", to: "x", text: "y".repeat(20000) }, "not_logged_in");
    await client.loginAs(harness.name());
  });

  it("a ping is answered ok and with nothing else", async () => {
    const client = await harness.login(harness.name());
    assert.deepEqual(await client.ok({ op: "ping", id: 77 }), { op: "ok", id: 77 });
  });

  it("a WebSocket ping is answered with its payload", async () => {
    const client = await harness.client();
    assert.equal(await client.ping("are you there"), "are you there");
  });

  it("an id is an integer of magnitude below 2^53 or a string of at most 64 bytes, and comes back as it was", async () => {
    const client = await harness.login(harness.name());
    for (const id of [0, 7, -3, 2 ** 53 - 1, -(2 ** 53) + 1, "", "i".repeat(64), "ä€😀", "a\"b\\c\n\u0001"])
      assert.deepEqual(await client.ok({ op: "ping", id }), { op: "ok", id });
  });

  it("the length of an id is counted in bytes", async () => {
    const client = await harness.login(harness.name());
    assert.equal((await client.ok({ op: "ping", id: "ä".repeat(32) })).id, "ä".repeat(32));
    await straysWith(client, JSON.stringify({ op: "ping", id: "ä".repeat(32) + "x" }), "bad_request");
  });

  it("an id of another form is bad_request without an id", async () => {
    const client = await harness.login(harness.name());
    for (const id of BAD_IDS) await straysWith(client, JSON.stringify({ op: "ping", id }), "bad_request");
    for (const id of ["1.0", "1e3", "-0.0", "1E0", "9007199254740993", "\"a\\u0000b\""])
      await straysWith(client, `{"op":"ping","id":${id}}`, "bad_request");
  });

  it("a request without an id is answered without one", async () => {
    const client = await harness.login(harness.name());
    assert.deepEqual(await client.strayAfter('{"op":"ping"}'), { op: "ok" });
    await straysWith(client, '{"op":"send"}', "bad_request");
    await straysWith(client, '{"op":"dance"}', "unknown_op");
  });

  it("the id is looked at before the op, the op before the login, the login before the fields", async () => {
    const client = await harness.client();
    await straysWith(client, '{"id":null,"op":"dance"}', "bad_request");
    await straysWith(client, '{"id":{},"op":7}', "bad_request");
    await client.error({ id: "x", op: 7 }, "bad_request");
    await client.error({ id: "x" }, "bad_request");
    await client.error({ op: null }, "bad_request");
    await client.error({ op: "dance", to: 7 }, "unknown_op");
    await client.error({ op: "send", to: 7 }, "not_logged_in");
    await client.loginAs(harness.name());
    await client.error({ op: "send", to: 7, text: "x" }, "bad_request");
  });

  it("an unknown op is unknown_op, also one that a server sends", async () => {
    const client = await harness.login(harness.name());
    for (const op of ["dance", "", "Login", "login ", "msg", "ok", "live", "error"]) await client.error({ op }, "unknown_op");
  });

  it("an op that contains U+0000 is bad_request", async () => {
    const client = await harness.login(harness.name());
    await client.error({ op: "ping\u0000" }, "bad_request");
  });

  it("fields that the server does not know are ignored", async () => {
    const client = await harness.client();
    await client.request({ op: "login", user: harness.name(), device: { a: [1, null, "x"] }, note: "\u0000" });
    await client.ok({ op: "ping", to: 7, text: null });
    await client.ok({ op: "send", to: harness.name(), text: "x", limit: -1, zero: 1e400 < 0 });
  });

  it("keys of the object may be written with escapes, and in any order", async () => {
    const client = await harness.login(harness.name());
    client.raw('{"\\u0069d":5,"\\u006fp":"p\\u0069ng"}');
    await client.until(() => client.violation || client.stray.length, "an answer").catch(() => {});
    assert.match(client.violation.message, /nobody waits[^]*"id":5/);
    client.violation = undefined;
  });

  it("a send is answered with ts, prev and mid, and nothing else", async () => {
    const client = await harness.login(harness.name());
    const reply = await client.send(harness.name(), "hi", { id: "s" });
    assert.deepEqual(Object.keys(reply).sort(), ["id", "mid", "op", "prev", "ts"]);
    assert.equal(reply.prev, 0);
    const now = Date.now() * 1000;
    assert.ok(Math.abs(now - reply.ts) < 3600e6, "ts is microseconds since the Unix epoch");
  });

  it("to of a send must be a user name", async () => {
    const client = await harness.login(harness.name());
    for (const to of BAD_NAMES) assert.match((await client.error({ op: "send", to, text: "x" }, "bad_request")).message, /\bto\b/);
    await client.error({ op: "send", text: "x" }, "bad_request");
    await client.send(LONG_NAME, "x");
  });

  it("text of a send must be a string of at least one byte without U+0000", async () => {
    const client = await harness.login(harness.name());
    const to = harness.name();
    for (const text of ["", 7, null, true, [], {}, "a\u0000b", "\u0000"])
      assert.match((await client.error({ op: "send", to, text }, "bad_request")).message, /text/);
    await client.error({ op: "send", to }, "bad_request");
    assert.equal((await client.history()).messages.length, 0);
  });

  it("a text of 16 KiB after unescaping is taken, one byte more is too_large", async () => {
    const client = await harness.login(harness.name());
    const reader = await harness.login(harness.name());
    const texts = ["x".repeat(16384), "\u0001".repeat(16384), "é".repeat(8192), "😀".repeat(4096)];
    for (const text of texts) {
      await client.send(reader.user, text);
      await client.error({ op: "send", to: reader.user, text: text + "x" }, "too_large");
    }
    await reader.untilMessages(texts.length);
    assert.deepEqual(reader.messages.map((message) => message.text), texts);
  });

  it("a text that is written with an escape for every byte counts as what it means", async () => {
    const client = await harness.login(harness.name());
    const text = "\\u0041".repeat(16384);
    client.raw(`{"op":"send","to":"${client.user}","text":"${text}"}`);
    await client.until(() => client.stray.length > 0, "the reply");
    assert.equal(client.stray[0].op, "ok", JSON.stringify(client.stray[0]));
    assert.equal((await client.history()).messages[0].text, "A".repeat(16384));
  });

  it("every kind of text comes out as it went in", async () => {
    const client = await harness.login(harness.name());
    const reader = await harness.login(harness.name());
    const texts = ["plain", "\"quoted\" and \\back\\", "\b\f\n\r\t\u0001\u001f\u007f", "</script>", "é ñ 中文 😀 𝄞", "\u2028\u2029\ufeff\uffff\u{10ffff}", " "];
    for (const text of texts) await client.send(reader.user, text);
    await reader.untilMessages(texts.length);
    assert.deepEqual(reader.messages.map((message) => message.text), texts);
    assert.deepEqual((await reader.history()).messages.map((message) => message.text), texts);
  });

  it("a key must be 1 to 64 bytes of text without U+0000", async () => {
    const client = await harness.login(harness.name());
    const to = harness.name();
    for (const key of ["", "k".repeat(65), "ä".repeat(33), "a\u0000", 7, null, true, [], {}])
      assert.match((await client.error({ op: "send", to, text: "x", key }, "bad_request")).message, /key/);
    for (const key of ["k", "k".repeat(64), "ä".repeat(32), "a\"\\\n"]) await client.send(to, "x", { key });
    assert.equal((await client.history()).messages.length, 4);
  });

  it("limit, after, before and with of a history must be of their types and ranges", async () => {
    const client = await harness.login(harness.name());
    for (const limit of [0, -1, 1001, 1.5, "5", null, true, [], {}])
      assert.match((await client.error({ op: "history", limit }, "bad_request")).message, /limit/);
    for (const bound of ["after", "before"])
      for (const value of [-1, 1.5, 2 ** 53, "5", null, true, [], {}])
        assert.match((await client.error({ op: "history", [bound]: value }, "bad_request")).message, new RegExp(bound));
    for (const name of BAD_NAMES)
      assert.match((await client.error({ op: "history", with: name }, "bad_request")).message, /with/);
    await client.history({ limit: 1, after: 0, before: 2 ** 53 - 1, with: LONG_NAME });
    await client.history({ limit: 1000, after: 2 ** 53 - 1, before: 0 });
  });

  it("integers are written without fraction or exponent", async () => {
    const client = await harness.login(harness.name());
    for (const limit of ["5.0", "5e0", "5E1", "0.5e1"])
      await straysWith(client, `{"op":"history","limit":${limit}}`, "bad_request");
    for (const after of ["0.0", "1e3", "9007199254740992"])
      await straysWith(client, `{"op":"history","after":${after}}`, "bad_request");
  });

  it("what was refused was not stored", async () => {
    const client = await harness.login(harness.name());
    const reader = await harness.login(harness.name());
    await client.error({ op: "send", to: reader.user, text: "" }, "bad_request");
    await client.error({ op: "send", to: reader.user, text: "x".repeat(16385) }, "too_large");
    await client.error({ op: "send", to: reader.user, text: "x", key: "" }, "bad_request");
    await client.send(reader.user, "the only one");
    await reader.untilMessages(1);
    assert.equal(reader.messages[0].prev, 0);
    assert.equal(reader.messages[0].text, "the only one");
  });
});
