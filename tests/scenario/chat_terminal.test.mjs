// `chitchat chat` as a person has it: in a terminal that tmux emulates.
import assert from "node:assert/strict";
import { certificate } from "./lib/certificate.mjs";
import { scenario } from "./lib/harness.mjs";
import { until } from "./lib/server.mjs";
import { Terminal } from "./lib/terminal.mjs";
import { wholeTimeline } from "./lib/traffic.mjs";

const argsOf = (server, user, ...rest) => [
  "chat", "--user", user, ...(server.address.isTls ? ["--tls-ca", certificate().cert] : []), ...rest, server.url()];

// A scenario with a server and a way to open terminals.
function terminals(name, body) {
  scenario(name, {}, async (harness) => {
    const server = await harness.start();
    const open = [];
    const terminal = async (user, rest = [], options = {}) => {
      open.push(await Terminal.open(argsOf(server, user, ...rest), options));
      return open.at(-1);
    };
    try {
      await body(harness, server, terminal);
    } finally {
      for (const one of open) await one.close();
    }
    await harness.end();
  });
}

terminals("two people talk", async (harness, server, terminal) => {
  const alice = await terminal("alice", ["--to", "bob"]);
  const bob = await terminal("bob", ["--to", "alice"]);
  await alice.shows(/^bob> *$/m);
  await bob.shows(/^alice> *$/m);
  await alice.enter("hello bob");
  await bob.shows(/^\d\d:\d\d alice {2}hello bob$/m);
  await alice.shows(/^\d\d:\d\d alice {2}hello bob$/m);
  await bob.enter("hello alice, 漢字 ä");
  const lines = await alice.shows(/bob {2}hello alice, 漢字 ä$/m);
  assert.equal(lines.filter((line) => line.includes("hello bob")).length, 1, lines.join("\n"));
  assert.match(lines.at(-1), /^bob> *$/);
  await alice.keys("Up");
  await alice.shows(/^bob> hello bob$/m);
  await alice.keys("C-c");
  await alice.shows(/^bob> *$/m);
  await alice.enter("/quit");
  await alice.shows(/^exit 0$/m);
  await bob.keys("C-d");
  await bob.shows(/^exit 0$/m);
});

terminals("a line that is being edited stays whole while others come", async (harness, server, terminal) => {
  const alice = await terminal("alice", ["--to", "bob"], { width: 40 });
  const bob = await harness.login("bob");
  const carol = await harness.login("carol");
  const draft = "a draft of äöü and 漢字漢字漢字 that needs more than two rows of this terminal, word by word";
  await alice.shows(/^bob> *$/m);
  await alice.type(draft);
  await alice.keys("C-a");
  await alice.keys("C-f");
  for (let i = 0; i < 5; i++) await bob.ok({ op: "send", to: "alice", text: `line ${i}\nand its second line` });
  await carol.ok({ op: "send", to: "alice", text: "a message of another conversation that is cut at the width" });
  await alice.shows(/\[carol 1\] bob> a draft/);
  const lines = await alice.screen();
  const at = lines.findIndex((line) => line.startsWith("[carol 1] bob>"));
  // tmux pads a row whose last column a wide character does not fit into.
  assert.equal(lines.slice(at).join("").replace(/ +/g, ""), `[carol 1] bob> ${draft}`.replace(/ +/g, ""));
  assert.deepEqual(lines.filter((line) => /bob {2}line \d/.test(line)).map((line) => line.slice(-6)), [0, 1, 2, 3, 4].map((i) => `line ${i}`));
  assert.equal(lines.filter((line) => line.startsWith("         and its second line")).length, 5);
  assert.ok(lines.some((line) => /^\d\d:\d\d \[carol\] a message of .*…$/.test(line) && line.length < 40), lines.join("\n"));
  await alice.keys("X", "Enter");
  const wanted = `aX${draft.slice(1)}`;
  await until("the draft", async () => (await wholeTimeline(await harness.login("bob"))).at(-1).text === wanted, { every: 100 });
});

terminals("the tab key completes commands, and the user of /with", async (harness, server, terminal) => {
  for (const user of ["bob", "bonnie", "carol"]) await (await harness.login(user)).send("alice", `from ${user}`);
  const alice = await terminal("alice");
  await alice.shows(/^\[carol 1, bonnie 1, bob 1\] *> *$/m);
  await alice.type("/w");
  await alice.keys("Tab");
  await alice.shows(/> \/with$/m);
  await alice.type(" c");
  await alice.keys("Tab");
  await alice.shows(/> \/with carol$/m);
  await alice.keys("BSpace", "BSpace", "BSpace", "BSpace", "BSpace");
  await alice.type("b");
  await alice.keys("Tab");
  await alice.shows(/> \/with bo$/m);
  await alice.keys("Tab");
  const lines = await alice.shows(/^ {2}bonnie {2}bob *$/m);
  assert.match(lines.at(-1), /> \/with bo$/, lines.join("\n"));
  await alice.type("n");
  await alice.keys("Tab", "Enter");
  await alice.shows(/--- with bonnie ---/);
  await alice.type("a\ttab is no text");
  await alice.shows(/^.*bonnie> atab is no text$/m);
});

terminals("hostile texts do nothing to the terminal, and NO_COLOR is respected", async (harness, server, terminal) => {
  const plain = await terminal("alice", ["--to", "bob"], { env: { NO_COLOR: "1" } });
  const coloured = await terminal("alice", ["--to", "bob"]);
  const bob = await harness.login("bob");
  for (const screen of [plain, coloured]) await screen.shows(/^bob> *$/m);
  await bob.ok({ op: "send", to: "alice", text: "\u001b[2J\u001b[H\u001b]0;owned\u0007\u009b31mred \u202egnp\rover\bx" });
  const lines = await plain.shows(/\^\[\[2J\^\[\[H\^\[\]0;owned\^G\\u009b31mred \\u202egnp\^Mover\^Hx/);
  assert.match(lines[0], /\/help/);
  assert.doesNotMatch((await plain.screen({ hasStyles: true })).join("\n"), /\u001b/);
  await coloured.shows(/\u001b\[[0-9;]*m/, { hasStyles: true });
});

terminals("conversations: counts, opening, older messages, a message of another device", async (harness, server, terminal) => {
  const bob = await harness.login("bob");
  const carol = await harness.login("carol");
  for (let i = 0; i < 50; i++) await bob.ok({ op: "send", to: "alice", text: `old ${i}` });
  const alice = await terminal("alice");
  await alice.shows(/> *$/m); // with counts in front, where the server keeps them
  await alice.enter("lost?");
  await alice.shows(/no conversation is open/);
  await carol.ok({ op: "send", to: "alice", text: "one" });
  await carol.ok({ op: "send", to: "alice", text: "two" });
  await alice.shows(/\bcarol 2\b.*\] > *$/m);
  await alice.enter("/with bob");
  const opened = await alice.shows(/bob {2}old 49$/m);
  assert.ok(!opened.some((line) => /old 29$/.test(line)));
  await alice.enter("/history");
  await alice.shows(/--- end of older messages ---/);
  const all = await alice.screen({ all: true });
  assert.ok(all.some((line) => /bob {2}old 10$/.test(line)) && all.some((line) => /bob {2}old 29$/.test(line)), all.join("\n"));
  const phone = await harness.login("alice");
  await phone.ok({ op: "send", to: "bob", text: "from the phone" });
  await alice.shows(/alice {2}from the phone$/m);
  await alice.enter("/with carol");
  await alice.shows(/^carol> *$/m);
  await alice.enter("/peers");
  await alice.shows(/^ {2}carol.*\(open\)$/m);
  await alice.enter("/with bob bonnie");
  await alice.shows(/\/with needs the name of a user/);
  await alice.shows(/^carol> *$/m);
  await alice.enter("/help");
  await alice.shows(/tab for names\.$/m);
  await alice.enter("/nonsense");
  await alice.shows(/there is no command \/nonsense/);
  await alice.enter("//slash");
  await alice.shows(/alice {2}\/slash$/m);
});

scenario("a terminal outlives its server", {}, async (harness) => {
  let server = await harness.start();
  const { port } = server.address;
  const alice = await Terminal.open(argsOf(server, "alice", "--to", "bob"));
  try {
    await alice.shows(/^bob> *$/m);
    server.signal("SIGKILL");
    await server.ended();
    await alice.shows(/not connected: .*; trying again|not connected: [^]*trying/);
    await alice.enter("written offline 1");
    await alice.enter("written offline 2");
    await alice.shows(/\(offline\) \(2 unsent\) bob> *$|\(connecting\) \(2 unsent\) bob> *$/m);
    await alice.enter("/quit");
    await alice.shows(/2 messages are not sent yet/);
    await alice.type("half a line");
    server = await harness.startAgain({ listen: [`127.0.0.1:${port}`] });
    await alice.shows(/alice {2}written offline 1\n\d\d:\d\d alice {2}written offline 2\nbob> half a line$/m);
    const bob = await harness.login("bob");
    assert.deepEqual((await wholeTimeline(bob)).map(({ text }) => text), ["written offline 1", "written offline 2"]);
    await alice.resize(60, 20);
    await alice.keys("C-u");
    await alice.enter("/quit");
    await alice.shows(/^exit 0$/m);
  } finally {
    await alice.close();
  }
  await harness.end();
});

scenario("a login that is refused ends it with the reason", {}, async (harness) => {
  const server = await harness.start({ options: ["--user-connections", "1"] });
  await harness.login("alice");
  const alice = await Terminal.open(argsOf(server, "alice"));
  try {
    const lines = await alice.shows(/^exit 3$/m);
    assert.match(lines.join(" "), /4201/);
  } finally {
    await alice.close();
  }
  await harness.end();
});

terminals("who is typing is shown, and said while a message is written", async (harness, server, terminal) => {
  const alice = await terminal("alice", ["--to", "bob"]);
  const bob = await harness.login("bob");
  await alice.shows(/^bob> *$/m);
  await bob.ok({ op: "typing", to: "alice" });
  await alice.shows(/^\(bob is typing\) bob> *$/m);
  await bob.ok({ op: "send", to: "alice", text: "done" });
  await alice.shows(/bob {2}done\nbob> *$/m);
  await alice.type("/help");
  await alice.keys("C-u");
  await alice.type("a mess");
  const typing = () => bob.pushes.filter(({ op }) => op === "typing");
  await until("typing", () => typing().length > 0, { every: 50 });
  assert.deepEqual(typing()[0], { op: "typing", from: "alice" });
});
