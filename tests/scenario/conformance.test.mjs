// RFC 6455, strictly: the cases of the public conformance suite and more, in its sections: one table, on the echo server, on the chat server,
// and on that by TLS.
// Every case says all frames that the server answers. Behind a case that does not close the connection comes one more message: so nothing
// else was answered.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Harness } from "./lib/harness.mjs";
import { frameOf, OPCODE, Raw, upgradeRequest } from "./lib/raw.mjs";
import { BIN, DEADLINE_MS, SHORT } from "./lib/server.mjs";

const AT_ONCE = 16; // connections
const LAST = "the last one";

// -- servers: how a message with some content is written, and what comes back --

class EchoServer {
  #at = { host: "127.0.0.1", port: 0 };
  #child;
  messageMax = 16 << 20;
  hasBinary = true;
  takesAnyText = true;

  async start() {
    this.#child = spawn(path.join(path.dirname(BIN), "chitchat-echo"), ["0"], { stdio: ["ignore", "pipe", "inherit"] });
    this.#at.port = await new Promise((resolve, reject) => {
      this.#child.stdout.once("data", (data) => resolve(Number(/^ready (\d+)/.exec(data)[1])));
      this.#child.once("error", reject);
    });
  }

  async stop() {
    const ended = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.kill("SIGTERM");
    assert.equal(await ended, 0);
  }

  connect() {
    return Raw.open({ address: this.#at, isEcho: true });
  }

  // `bytes`: the length of the whole, if it is more.
  say(content, bytes = 0) {
    const said = Buffer.from(content);
    return Buffer.concat([said, Buffer.alloc(Math.max(0, bytes - said.length), "t")]);
  }

  check(payload, said) {
    assert.ok(payload.equals(said), `${payload.length} bytes came back, ${said.length} were sent`);
  }
}

// The content is the id of a `ping`, which comes back.
class ChatServer {
  #harness = new Harness(1);
  #isTls;
  messageMax = 131072;
  hasBinary = false;
  takesAnyText = false; // only JSON: neither an empty text, nor one with a NUL

  constructor(isTls) {
    this.#isTls = isTls;
  }

  start() {
    return this.#harness.start({ options: ["--frame-rate", "0"], listenTls: ["127.0.0.1:0"] });
  }

  stop() {
    return this.#harness.end();
  }

  connect() {
    const { server } = this.#harness;
    return Raw.open(server, this.#isTls ? server.tlsAddress : server.address);
  }

  say(content, bytes = 0) {
    const [front, back] = ['{"op":"ping","id":"', '"}'].map((text) => Buffer.from(text));
    const padding = Math.max(0, bytes - front.length - content.length - back.length);
    return Buffer.concat([Buffer.alloc(padding, " "), front, Buffer.from(content), back]);
  }

  check(payload, said) {
    const { id, ...rest } = JSON.parse(payload);
    assert.equal(id, JSON.parse(said).id);
    assert.deepEqual(rest, { op: "error", code: "not_logged_in", message: rest.message });
  }
}

// -- cases: { name, writes, answers }, or { name, steps }, where a step { writes, answers } waits for the answers of the one before it.
// An answer is { said }, { pong } or { close } --

const close = (code, reason = "") => frameOf(Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]), { opcode: OPCODE.close });
const ping = (payload, how = {}) => frameOf(payload, { opcode: OPCODE.ping, ...how });
const pong = (payload, how = {}) => frameOf(payload, { opcode: OPCODE.pong, ...how });
const next = (payload, fin) => frameOf(payload, { opcode: OPCODE.continuation, fin });

function chopped(data, size) {
  return Array.from({ length: Math.ceil(data.length / size) }, (_, i) => data.subarray(i * size, (i + 1) * size));
}

function fragments(payload, size, opcode = OPCODE.text) {
  const parts = chopped(payload, size);
  return parts.map((part, i) => frameOf(part, { opcode: i === 0 ? opcode : OPCODE.continuation, fin: i === parts.length - 1 }));
}

const binaryOf = (payload) => frameOf(payload, { opcode: OPCODE.binary });
const toBinary = (hasBinary, said) => (hasBinary ? [{ said, opcode: OPCODE.binary }] : [{ close: 1003 }]);

// Each write, and the same in single bytes.
const alsoInBytes = (cases) => cases.flatMap((one) => [one, { ...one, name: `${one.name}, byte by byte`, writes: chopped(Buffer.concat(one.writes), 1) }]);

function framing({ say, hasBinary, takesAnyText, messageMax }) {
  const sizes = [125, 126, 127, 128, 65535, 65536].map((bytes) => ({ bytes, said: say("a", bytes) }));
  const binary = [0, 125, 126, 127, 128, 65535, 65536].map((bytes) => Buffer.alloc(bytes, 0xfe));
  return [
    ...(takesAnyText ? [{ name: "no bytes", writes: [frameOf("")], answers: [{ said: Buffer.alloc(0) }] }] : []),
    ...sizes.map(({ bytes, said }) => ({ name: `${bytes} bytes`, writes: [frameOf(said)], answers: [{ said }] })),
    ...sizes.slice(-1).map(({ bytes, said }) => ({ name: `${bytes} bytes in pieces of 997`, writes: chopped(frameOf(said), 997), answers: [{ said }] })),
    ...binary.map((said) => ({
      name: `${said.length} bytes, binary`,
      writes: [binaryOf(said)],
      answers: toBinary(hasBinary, said),
    })),
    { name: "a length in too many bytes", writes: [frameOf("short", { lengthBytes: 2 })], answers: [{ close: 1002 }] },
    { name: "a length in far too many bytes", writes: [frameOf("short", { lengthBytes: 8 })], answers: [{ close: 1002 }] },
    { name: "no mask", writes: [frameOf("x", { mask: false })], answers: [{ close: 1002 }] },
    { name: "a message of the largest size", writes: [frameOf(say("a", messageMax))], answers: [{ said: say("a", messageMax) }] },
    { name: "a message that is too large", writes: [frameOf(say("a", messageMax + 1)).subarray(0, 20)], answers: [{ close: 1009 }] },
  ];
}

function pings() {
  const payloads = ["", "Hello, world!", Buffer.from([0, 255, 254, 253, 252, 251, 0, 255]), Buffer.alloc(125, 0xfe)];
  const ten = Array.from({ length: 10 }, (_, i) => `payload-${i}`);
  return alsoInBytes([
    ...payloads.map((payload) => ({ name: `a ping of ${payload.length} bytes`, writes: [ping(payload)], answers: [{ pong: payload }] })),
    { name: "a ping of 126 bytes", writes: [ping(Buffer.alloc(126, 0xfe))], answers: [{ close: 1002 }] },
    { name: "a pong that nobody asked for", writes: [pong("")], answers: [] },
    { name: "a pong with a payload", writes: [pong("unsolicited")], answers: [] },
    { name: "a pong, then a ping", writes: [pong("unsolicited"), ping("asked")], answers: [{ pong: "asked" }] },
    { name: "ten pings", writes: ten.map((text) => ping(text)), answers: ten.map((text) => ({ pong: text })) },
  ]);
}

function reservedBits({ say }) {
  const said = say("before");
  const bits = [1, 2, 3, 4, 5, 6, 7];
  return [
    ...bits.map((rsv) => ({ name: `a text with ${rsv}`, writes: [frameOf(say("x"), { rsv })], answers: [{ close: 1002 }] })),
    ...alsoInBytes(
      [2, 3, 4].map((rsv) => ({ name: `a text, one with ${rsv}, and a ping`, writes: [frameOf(said), frameOf(said, { rsv }), ping("x")], answers: [{ said }, { close: 1002 }] })),
    ),
    ...bits.map((rsv) => ({ name: `a binary with ${rsv}`, writes: [frameOf("x", { opcode: OPCODE.binary, rsv })], answers: [{ close: 1002 }] })),
    ...bits.map((rsv) => ({ name: `a ping with ${rsv}`, writes: [ping("x", { rsv })], answers: [{ close: 1002 }] })),
    { name: "a close with 7", writes: [frameOf("", { opcode: OPCODE.close, rsv: 7 })], answers: [{ close: 1002 }] },
    { name: "a continuation with 1", writes: [frameOf("a", { fin: false }), frameOf("b", { opcode: OPCODE.continuation, rsv: 1 })], answers: [{ close: 1002 }] },
  ];
}

function opcodes({ say }) {
  const said = say("before");
  return [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].flatMap((opcode) => [
    { name: `${opcode} without a payload`, writes: [frameOf("", { opcode })], answers: [{ close: 1002 }] },
    { name: `${opcode} with a payload`, writes: [frameOf("reserved", { opcode })], answers: [{ close: 1002 }] },
    ...alsoInBytes(
      ["", "x"].map((payload) => ({
        name: `${opcode} of ${payload.length} bytes behind a text, before a ping`,
        writes: [frameOf(said), frameOf(payload, { opcode }), ping("x")],
        answers: [{ said }, { close: 1002 }],
      })),
    ),
  ]);
}

function fragmentation({ say, hasBinary, takesAnyText }) {
  const said = say("fragment1fragment2");
  const half = said.length >> 1;
  const [first, second] = [frameOf(said.subarray(0, half), { fin: false }), next(said.subarray(half), true)];
  const between = fragments(said, 4);
  const bad = (name, ...writes) => ({ name, writes, answers: [{ close: 1002 }] });
  return [
    ...alsoInBytes([
      bad("a ping in two", ping("a", { fin: false }), next("b", true)),
      bad("a pong in two", pong("a", { fin: false }), next("b", true)),
      { name: "a text in two", writes: [first, second], answers: [{ said }] },
      { name: "a ping between", writes: [first, ping("between"), second], answers: [{ pong: "between" }, { said }] },
      { name: "a ping behind each fragment", writes: between.flatMap((frame, i) => [frame, ping(`${i}`)]), answers: [...between.slice(1).map((_, i) => ({ pong: `${i}` })), { said }, { pong: `${between.length - 1}` }] },
      bad("a continuation of nothing, the last", next("x", true), frameOf(said)),
      bad("a continuation of nothing, not the last", next("x", false), frameOf(said)),
      ...[true, false].map((fin) => bad(`a continuation of nothing, ${fin ? "the last" : "not the last"}, and a message, twice`, ...Array(2).fill([next("x", fin), first, second]).flat())),
      { ...bad("a continuation behind a whole message", frameOf(said), next("x", true)), answers: [{ said }, { close: 1002 }] },
      { ...bad("a continuation behind fragments, and a text", first, second, next("x", false), frameOf(said)), answers: [{ said }, { close: 1002 }] },
      bad("a text within a text", first, frameOf(said)),
      bad("a binary within a text", first, frameOf("x", { opcode: OPCODE.binary })),
    ]),
    {
      name: "pings that are answered before the fragments behind them are written",
      steps: [
        { writes: [between[0], between[1], ping("1")], answers: [{ pong: "1" }] },
        { writes: [between[2], between[3], ping("2")], answers: [{ pong: "2" }] },
        { writes: between.slice(4), answers: [{ said }] },
      ],
    },
    { name: "in one write", writes: [Buffer.concat([first, second])], answers: [{ said }] },
    ...(takesAnyText ? [{ name: "three empty fragments", writes: [frameOf("", { fin: false }), next("", false), next("", true)], answers: [{ said: Buffer.alloc(0) }] }] : []),
    { name: "empty fragments around", writes: [frameOf("", { fin: false }), next(said, false), next("", false), next("", true)], answers: [{ said }] },
    ...[1, 64, 256, 1300, 4096].map((size) => ({ name: `64 KiB in fragments of ${size}`, writes: [Buffer.concat(fragments(say("a", 65536), size))], answers: [{ said: say("a", 65536) }] })),
    { name: "a binary in fragments", writes: fragments(said, half, OPCODE.binary), answers: toBinary(hasBinary, said) },
  ];
}

// The stress test of Markus Kuhn, and the boundaries of RFC 3629.
const hex = (text) => Buffer.from(text.replaceAll(" ", ""), "hex");
const WORD = hex("ce ba e1 bd b9 cf 83 ce bc ce b5"); // of five characters
const SENTENCE = Buffer.from("Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!");
const codePoints = (...numbers) => numbers.map((number) => Buffer.from(String.fromCodePoint(number)));
const bytesOf = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const alone = (from, to) => Buffer.from(bytesOf(from, to).flatMap((byte) => [byte, 0x20]));
const CUT = ["c0", "e0 80", "f0 80 80", "f8 80 80 80", "fc 80 80 80 80", "df", "ef bf", "f7 bf bf", "fb bf bf bf", "fd bf bf bf bf"].map(hex);
const VALID = [
  ...[11, 2, 5, 7, 9].map((bytes) => WORD.subarray(0, bytes)),
  SENTENCE,
  ...["$", "\u00a2", "\u20ac", "\u{24b62}"].map((text) => Buffer.from(`hello${text}world`)),
  ...["7f", "c2 80", "df bf", "e0 a0 80", "ef bf bf", "f0 90 80 80", "f4 8f bf bf", "ed 9f bf", "ee 80 80"].map(hex),
  ...codePoints(0xfff9, 0xfffa, 0xfffb, 0xfffc, 0xfffd),
  ...bytesOf(0, 16).flatMap((plane) => codePoints(plane * 0x10000 + 0xfffe, plane * 0x10000 + 0xffff)), // no characters, but valid
];
const INVALID = [
  ...[
    "ce ba e1 bd b9 cf 83 ce bc ce b5 ed a0 80 65 64 69 74 65 64", "ce ba e1 bd b9 cf 83 ce bc ce b5 f4 90 80 80 65 64 69 74 65 64", "f8 88 80 80 80", "fc 84 80 80 80 80",
    "f7 bf bf bf", "f4 90 80 80", "fb bf bf bf bf", "fd bf bf bf bf bf", "80", "bf", "80 bf", "80 bf 80", "80 bf 80 bf", "80 bf 80 bf 80", "80 bf 80 bf 80 bf",
    "fe", "ff", "fe fe ff ff", "c0 af", "e0 80 af", "f0 80 80 af", "f8 80 80 80 af", "fc 80 80 80 80 af", "c1 bf", "e0 9f bf", "f0 8f bf bf", "f8 87 bf bf bf",
    "fc 83 bf bf bf bf", "c0 80", "e0 80 80", "f0 80 80 80", "f8 80 80 80 80", "fc 80 80 80 80 80", "ed a0 80", "ed ad bf", "ed ae 80", "ed af bf", "ed b0 80", "ed be 80", "ed bf bf",
  ].map(hex),
  ...["ed a0 80", "ed ad bf", "ed ae 80", "ed af bf"].flatMap((high) => ["ed b0 80", "ed bf bf"].map((low) => hex(`${high} ${low}`))),
  ...[1, 3, 4, 6, 8, 10].map((bytes) => WORD.subarray(0, bytes)),
  Buffer.from(bytesOf(0x80, 0xbf)), alone(0xc0, 0xdf), alone(0xe0, 0xef), alone(0xf0, 0xf7), alone(0xf8, 0xfb), alone(0xfc, 0xfd),
  ...CUT, Buffer.concat(CUT),
];

// How many bytes of `said` it takes until they are no beginning of any text; 0: they are one.
function firstWrong(said) {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  for (let i = 0; i < said.length; i++)
    try {
      decoder.decode(said.subarray(i, i + 1), { stream: true });
    } catch {
      return i + 1;
    }
  return 0;
}

function utf8({ say, takesAnyText }) {
  const whole = [...VALID, ...(takesAnyText ? [Buffer.of(0)] : [])].map((content) => ({ content, said: say(content) }));
  const wrong = INVALID.map((content) => ({ content, said: say(content) }));
  const answers = whole.map(({ said }) => ({ said }));
  const sentence = say(SENTENCE);
  const middle = sentence.indexOf("\u00fc");
  const fails = (name, content, ...writes) => ({ name: `${content.toString("hex")} ${name}`, writes, answers: [{ close: 1007 }] });
  return [
    { name: "all that is valid", writes: whole.map(({ said }) => frameOf(said)), answers },
    { name: "the same in fragments of a byte", writes: whole.map(({ said }) => Buffer.concat(fragments(said, 1))), answers },
    { name: "two fragments that are texts", writes: [frameOf(sentence.subarray(0, middle), { fin: false }), next(sentence.subarray(middle), true)], answers: [{ said: sentence }] },
    { name: "the same byte by byte", writes: chopped(Buffer.concat(whole.map(({ said }) => frameOf(said))), 1), answers },
    ...wrong.map(({ content, said }) => fails("in one frame", content, frameOf(said))),
    ...wrong.map(({ content, said }) => fails("in fragments of a byte", content, Buffer.concat(fragments(said, 1)))),
    // At once, though the message, or the frame, has not ended.
    ...wrong.filter(({ said }) => firstWrong(said) > 0).flatMap(({ content, said }) => {
      const bytes = firstWrong(said);
      const frame = frameOf(Buffer.concat([said, said]));
      return [
        fails("at the end of its fragment", content, frameOf(said.subarray(0, bytes), { fin: false })),
        {
          name: `${content.toString("hex")} in the fragment behind what is the beginning of a text`,
          steps: [
            { writes: [frameOf(said.subarray(0, bytes - 1), { fin: false }), ping("so far")], answers: [{ pong: "so far" }] },
            { writes: [next(said.subarray(bytes - 1, bytes), false)], answers: [{ close: 1007 }] },
          ],
        },
        fails("within its frame", content, frame.subarray(0, frame.length - 2 * said.length + bytes)),
      ];
    }),
  ];
}

function closes({ say, messageMax }) {
  const said = say("before");
  const many = Array.from({ length: 4000 }, (_, i) => say(`${i}`, 128));
  const large = Array((1 << 18) / Math.min(messageMax, 1 << 18)).fill(say("a", Math.min(messageMax, 1 << 18)));
  const answered = (name, code, ...writes) => ({ name, writes, answers: [{ close: code }] });
  return [
    { name: "behind a text", writes: [frameOf(said), close(1000)], answers: [{ said }, { close: 1000 }] },
    answered("twice", 1000, close(1000), close(1000)),
    answered("a ping behind it", 1000, close(1000), ping("x")),
    answered("a text behind it", 1000, close(1000), frameOf(said)),
    answered("within a message", 1000, frameOf("a", { fin: false }), close(1000), next("b", true)),
    {
      name: "behind 256 KiB and a text, before a ping",
      writes: [...[...large, said].map((each) => frameOf(each)), close(1000), ping("x")],
      answers: [...[...large, said].map((each) => ({ said: each })), { close: 1000 }],
    },
    {
      name: "behind many texts that are not read yet, before as many",
      writes: [Buffer.concat([...many.map((each) => frameOf(each)), close(1000), ...many.map((each) => frameOf(each))])],
      answers: [...many.map((each) => ({ said: each })), { close: 1000 }],
    },
    ...alsoInBytes([
      answered("without a payload", 1000, frameOf("", { opcode: OPCODE.close })),
      answered("of one byte", 1002, frameOf("a", { opcode: OPCODE.close })),
      answered("with a reason", 1000, close(1000, "Hello World!")),
      answered("with the longest reason", 1000, close(1000, "*".repeat(123))),
      answered("with a reason that is too long", 1002, close(1000, "*".repeat(124))),
      answered("with a reason that is not UTF-8", 1007, close(1000, hex("ce ba ed a0 80"))),
      answered("in two", 1002, frameOf("", { opcode: OPCODE.close, fin: false })),
    ]),
    ...[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999].map((code) => answered(`${code}`, code, close(code))),
    ...[0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535].flatMap((code) => [
      answered(`${code}`, 1002, close(code)),
      answered(`${code} with a reason`, 1002, close(code, "reason")),
    ]),
  ];
}

// By size, in fragments, in pieces, one after the other, and many at once. echo.test.mjs has random bytes, and readers that are slow.
function limits({ say, hasBinary, messageMax }) {
  const kinds = [
    { kind: "text", of: (bytes) => say("a", bytes), opcode: OPCODE.text },
    ...(hasBinary ? [{ kind: "binary", of: (bytes) => Buffer.alloc(bytes, 0xfe), opcode: OPCODE.binary }] : []),
  ];
  const small = Array.from({ length: 1000 }, (_, i) => say(`${i}`));
  const largest = Math.min(messageMax, SHORT ? 1 << 20 : 4 << 20);
  return [
    ...kinds.flatMap(({ kind, of, opcode }) => {
      const answers = (bytes) => [{ said: of(bytes), opcode }];
      const piece = Math.min(messageMax, 1 << 20);
      return [
        ...[16, 18, 20, 22, 23].map((bits) => 2 ** bits).filter((bytes) => bytes < messageMax && (!SHORT || bytes <= largest))
          .map((bytes) => ({ name: `${bytes} bytes, ${kind}`, writes: [frameOf(of(bytes), { opcode })], answers: answers(bytes) })),
        ...[6, 8, 10, 12, 14, 16, 18, 20, 22].map((bits) => 2 ** bits).filter((size) => size < largest)
          .map((size) => ({ size, bytes: size < 1024 ? largest / 4 : largest }))
          .map(({ size, bytes }) => ({ name: `${kind} in fragments of ${size}`, writes: [Buffer.concat(fragments(of(bytes), size, opcode))], answers: answers(bytes) })),
        ...[64, 128, 256, 512, 1024, 2048].map((size) => ({ name: `${kind} in pieces of ${size}`, writes: chopped(frameOf(of(piece), { opcode }), size), answers: answers(piece) })),
        ...[1, 16, 64, 256, 1024, 4096].map((bytes) => ({
          name: `100 times ${bytes} bytes, ${kind}, each when the one before it is answered`,
          steps: Array(100).fill({ writes: [frameOf(of(bytes), { opcode })], answers: answers(bytes) }),
        })),
      ];
    }),
    { name: "1,000 messages", writes: [Buffer.concat(small.map((each) => frameOf(each)))], answers: small.map((each) => ({ said: each })) },
  ];
}

const SECTIONS = { framing, pings, "reserved bits": reservedBits, opcodes, fragmentation, "UTF-8": utf8, closes, limits };

// -- running them --

async function checkAnswer(server, raw, answer) {
  const frame = await raw.frame();
  assert.ok(frame, "the server closed without an answer");
  assert.ok(frame.fin);
  if (answer.said !== undefined) {
    assert.equal(frame.opcode, answer.opcode ?? OPCODE.text);
    server.check(frame.payload, answer.said);
  } else if (answer.pong !== undefined) {
    assert.equal(frame.opcode, OPCODE.pong);
    assert.ok(frame.payload.equals(Buffer.from(answer.pong)));
  } else {
    assert.equal(frame.opcode, OPCODE.close);
    assert.equal(frame.payload.readUInt16BE(0), answer.close);
  }
}

async function runCase(server, { writes, answers, steps = [{ writes, answers }] }) {
  const raw = await (await server.connect()).upgrade();
  const ends = steps.at(-1).answers.at(-1)?.close !== undefined;
  const last = server.say(LAST);
  for (const [i, step] of steps.entries()) {
    for (const data of step.writes) raw.write(data);
    if (i === steps.length - 1 && !ends) raw.write(frameOf(last));
    for (const answer of step.answers) await checkAnswer(server, raw, answer);
  }
  if (ends) {
    raw.end();
    assert.equal(await raw.frame(), null, "nothing comes behind a close");
  } else await checkAnswer(server, raw, { said: last });
  raw.destroy();
}

async function runSection(server, section) {
  const cases = section({ ...server, say: (...args) => server.say(...args) });
  const queue = [...cases];
  const work = async () => {
    for (let one; (one = queue.shift()) !== undefined; )
      await runCase(server, one).catch((error) => {
        error.message = `${one.name}: ${error.message}`;
        throw error;
      });
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

const SERVERS = { "the echo server": () => new EchoServer(), "the chat server": () => new ChatServer(false), "the chat server by TLS": () => new ChatServer(true) };

for (const [name, make] of Object.entries(SERVERS)) {
  describe(`${name} keeps RFC 6455`, { timeout: 8 * DEADLINE_MS }, () => {
    const server = make();
    before(() => server.start());
    after(() => server.stop());
    for (const [title, section] of Object.entries(SECTIONS)) test(title, () => runSection(server, section));

    test("compression is not taken when it is offered", async () => {
      const raw = await server.connect();
      raw.write(upgradeRequest({ headers: { "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits" } }));
      const { status, headers } = await raw.response();
      assert.equal(status, 101);
      assert.equal(headers["sec-websocket-extensions"], undefined);
      raw.write(frameOf(server.say("x"), { rsv: 4 }));
      assert.equal(await raw.closeCode(), 1002);
      raw.destroy();
    });
  });
}
