// bad_json: what is no JSON object by RFC 8259, and what PROTOCOL forbids beyond it. The connection always stays.
import assert from "node:assert/strict";
import { onServers } from "./lib/harness.mjs";

const BAD = [
  "", " ", "x", "null", "true", "7", '"text"', "[]", '[{"op":"ping"}]',
  "{", "}", "{]", '{"op"}', '{"op":}', '{"op":"ping",}', '{,"op":"ping"}', '{"op" "ping"}', "{'op':'ping'}", '{op:"ping"}',
  '{"op":"ping"} x', '{"op":"ping"}{"op":"ping"}', '{"op":"ping"},', '{"op":"ping"}\u0000', '\ufeff{"op":"ping"}', '/**/{"op":"ping"}',
  '{"op":"ping","a":01}', '{"op":"ping","a":+1}', '{"op":"ping","a":.5}', '{"op":"ping","a":1.}', '{"op":"ping","a":1e}',
  '{"op":"ping","a":-}', '{"op":"ping","a":0x1}', '{"op":"ping","a":NaN}', '{"op":"ping","a":Infinity}', '{"op":"ping","a":nul}',
  '{"op":"ping","a":True}', '{"op":"ping","a":"\n"}', '{"op":"ping","a":"\t"}', '{"op":"ping","a":"\u0000"}', '{"op":"ping","a":"\\x"}',
  '{"op":"ping","a":"\\u12"}', '{"op":"ping","a":"\\u12g4"}', '{"op":"ping","a":"', '{"op":"ping","a":"\\"}', '{"op":"ping","a":[1,]}',
  '{"op":"ping","a":[1 2]}', '{"op":"ping","a":[}', '{"op":"ping","a":{"b":1]}', '{"op":"ping"\u00a0}', '{"op":"ping"\f}',
];

const LONE_SURROGATES = ["\\ud800", "\\udc00", "\\ud800x", "\\ud800\\u0041", "\\udc00\\ud800", "\\ud83d\\ud83d", "x\\uDFFF"];

const nested = (levels) => `{"op":"ping","a":${"[".repeat(levels - 1)}${"]".repeat(levels - 1)}}`;
const nestedObjects = (levels) => `{"op":"ping","a":${'{"a":'.repeat(levels - 2)}{}${"}".repeat(levels - 2)}}`;

async function answer(client, text) {
  const reply = await client.strayAfter(text);
  return reply.op === "error" ? reply.code : reply.op;
}

onServers("JSON", {}, (harness, it) => {
  it("what is no JSON object is bad_json, and the connection stays", async () => {
    const client = await harness.login(harness.name());
    for (const text of BAD) assert.equal(await answer(client, text), "bad_json", JSON.stringify(text));
    await client.ok({ op: "ping" });
  });

  it("bad_json comes before the login is asked for", async () => {
    const client = await harness.client();
    assert.equal(await answer(client, '{"op":"ping",}'), "bad_json");
    assert.equal(await answer(client, '{"op":"ping"}'), "not_logged_in");
  });

  it("bad_json has no id, even where one stood before what is broken", async () => {
    const client = await harness.login(harness.name());
    const error = await client.strayAfter('{"id":7,"op":"ping",}');
    assert.equal(error.code, "bad_json");
    assert.ok(!("id" in error));
  });

  it("white space of RFC 8259 may be around everything", async () => {
    const client = await harness.login(harness.name());
    assert.equal(await answer(client, ' \t\r\n{ \n"op" :\t"ping" , "a" : [ 1 , 2 ] , "b" : { } }\r\n '), "ok");
  });

  it("every value of RFC 8259 may be in a field that the server does not know", async () => {
    const client = await harness.login(harness.name());
    for (const value of ["null", "true", "false", "0", "-0", "1.5e-7", "-12E+400", '"\\u00e9\\/\\b"', "[]", "{}", '[{"a":[]},null]', '"\\ud83d\\ude00"', '"\\u0000"'])
      assert.equal(await answer(client, `{"op":"ping","a":${value}}`), "ok", value);
  });

  it("nesting of 16 is taken, of 17 is bad_json", async () => {
    const client = await harness.login(harness.name());
    for (const build of [nested, nestedObjects]) {
      assert.equal(await answer(client, build(16)), "ok");
      assert.equal(await answer(client, build(17)), "bad_json");
    }
    assert.equal(await answer(client, nested(60000)), "bad_json");
  });

  it("a key that comes twice in any object is bad_json, however it is written", async () => {
    const client = await harness.login(harness.name());
    const twice = ['{"op":"ping","op":"ping"}', '{"op":"ping","a":1,"a":2}', '{"op":"ping","a":{"b":1,"b":1}}', '{"op":"ping","a":[{"b":1,"c":1,"b":2}]}',
      '{"op":"ping","\\u006fp":"ping"}', '{"op":"ping","é":1,"\\u00e9":1}', '{"op":"ping","":1,"":1}', '{"op":"ping","\\ud83d\\ude00":1,"😀":1}'];
    for (const text of twice) assert.equal(await answer(client, text), "bad_json", text);
    assert.equal(await answer(client, '{"op":"ping","a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}'), "ok");
  });

  it("an object with very many keys is searched for one that comes twice", async () => {
    const client = await harness.login(harness.name());
    const keys = Array.from({ length: 8000 }, (_, i) => `"k${i}":0`);
    assert.equal(await answer(client, `{"op":"ping",${keys.join(",")}}`), "ok");
    assert.equal(await answer(client, `{"op":"ping",${keys.join(",")},"k0":0}`), "bad_json");
  });

  it("a lone surrogate is bad_json, in a value and in a key", async () => {
    const client = await harness.login(harness.name());
    for (const text of LONE_SURROGATES) {
      assert.equal(await answer(client, `{"op":"ping","a":"${text}"}`), "bad_json", text);
      assert.equal(await answer(client, `{"op":"ping","${text}":1}`), "bad_json", text);
      assert.equal(await answer(client, `{"op":"send","to":"x","text":"${text}"}`), "bad_json", text);
    }
  });

  it("a pair of surrogates is one character", async () => {
    const client = await harness.login(harness.name());
    assert.equal(await answer(client, `{"op":"send","to":"${client.user}","text":"\\ud83d\\uDE00"}`), "ok");
    assert.equal((await client.history()).messages[0].text, "😀");
  });

  it("every bad frame among many good ones is answered, and only those", async () => {
    const client = await harness.login(harness.name());
    for (let i = 0; i < 300; i++) client.raw(i % 3 === 0 ? "{" : '{"op":"ping"}');
    await client.until(() => client.stray.length === 300, "all answers");
    assert.deepEqual(client.stray.map((reply) => reply.op), Array.from({ length: 300 }, (_, i) => (i % 3 === 0 ? "error" : "ok")));
  });
});
