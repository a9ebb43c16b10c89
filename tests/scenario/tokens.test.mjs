// --auth token over real sockets: the four algorithms as other libraries sign them, refusals, expiry, and files that
// change while the server runs.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { makeDataDir, removeDataDir, runToEnd, until } from "./lib/server.mjs";
import { scenario } from "./lib/harness.mjs";
import { makeKey, makeToken, now } from "./lib/jwt.mjs";

// A directory of key files: write(name, text, mode) gives the path. A file is replaced as cron jobs do: by a rename.
function keyDir() {
  const dir = makeDataDir();
  const write = (name, text, mode = 0o600) => {
    const file = path.join(dir, name);
    fs.writeFileSync(`${file}.new`, text);
    fs.chmodSync(`${file}.new`, mode);
    fs.renameSync(`${file}.new`, file);
    return file;
  };
  return { dir, write, remove: () => removeDataDir(dir) };
}

// A scenario with a directory of key files.
function tokenScenario(name, options, run) {
  scenario(name, options, async (harness) => {
    const keys = keyDir();
    try {
      await run(harness, keys);
    } finally {
      keys.remove();
    }
  });
}

const start = (harness, ...options) => harness.start({ options: ["--auth", "token", ...options] });

async function logIn(harness, token, fields = {}) {
  const client = await harness.client();
  const reply = await client.request({ op: "login", token, ...fields });
  assert.equal(reply.op, "ok", JSON.stringify(reply));
  assert.equal(reply.auth, "token");
  return client;
}

// The error, then the close, and nobody is logged in.
async function isRefused(harness, fields, word) {
  const client = await harness.client();
  assert.match((await client.error({ op: "login", ...fields }, "bad_token")).message, word);
  await until("the close", () => client.closed);
  assert.equal(client.closed.code, 4101);
}

// The log from here on has event=NAME.
async function logged(server, before, event) {
  return until(() => `event=${event}:\n${server.stderr.slice(before)}`, () => new RegExp(`event=${event}.*`).exec(server.stderr.slice(before))?.[0]);
}

tokenScenario("tokens of all four algorithms log in, by secrets, PEM files and a JWKS at once", {}, async (harness, keys) => {
  const [hs, rs, es, ed, first, second] = ["HS256", "RS256", "ES256", "EdDSA", "RS256", "RS256"].map(makeKey);
  await start(harness, "--token-secrets", keys.write("secrets", `${hs.secret}\n`), "--token-keys", keys.write("rs.pem", rs.publicPem),
    "--token-keys", keys.write("es.pem", es.publicPem + ed.publicPem, 0o644),
    "--token-keys", keys.write("jwks.json", JSON.stringify({ keys: [first.jwk({ kid: "1" }), second.jwk({ kid: "2" }), { kty: "oct-like", use: "enc" }] })));
  assert.match(await harness.server.logLine("token_keys_loaded"), /keys=6 skipped=1 which="key 3 \(use enc\)"/);
  const users = [];
  for (const key of [hs, rs, es, ed]) users.push(await logIn(harness, makeToken(key, { sub: harness.name() })));
  users.push(await logIn(harness, makeToken(second, { sub: harness.name() }, { kid: "2" })));
  await users[0].send(users[4].user, "hi");
  await users[4].untilMessages(1);
  await isRefused(harness, { token: makeToken(first, { sub: "a" }, { kid: "2" }) }, /signature is wrong/);
  await isRefused(harness, { token: makeToken(second, { sub: "a" }, { kid: "3" }) }, /signature is wrong/);
  await harness.end();
});

tokenScenario("what is no good token is refused with its reason, and the operator sees it", { shards: [2] }, async (harness, keys) => {
  const [key, other] = [makeKey("HS256"), makeKey("HS256")];
  await start(harness, "--token-secrets", keys.write("secrets", key.secret), "--token-audience", "chat", "--token-issuer", "https://issuer.example");
  const claims = { sub: "alice", aud: ["x", "chat"], iss: "https://issuer.example" };
  const good = makeToken(key, claims);
  const [header, payload, signature] = good.split(".");
  const none = Buffer.from('{"alg":"none"}').toString("base64url");
  const bad = [
    [{}, /wants a token/],
    [{ user: "alice" }, /wants a token/],
    [{ token: 7 }, /wants a token/],
    [{ token: "" }, /three parts/],
    [{ token: `${none}.${payload}.` }, /no signature/],
    [{ token: `${none}.${payload}.${signature}` }, /alg is none: have its issuer sign/],
    [{ token: "2YotnFZFEjr1zCsicMWpAA" }, /opaque access token/],
    [{ token: `${header}.${payload}.${signature.slice(0, -2)}` }, /signature/],
    [{ token: `${header}.${Buffer.from('{"sub":"bob","exp":9999999999}').toString("base64url")}.${signature}` }, /signature is wrong/],
    [{ token: makeToken(other, claims) }, /signature is wrong/],
    [{ token: makeToken(key, { ...claims, exp: now() - 31 }) }, /expired/],
    [{ token: makeToken(key, { ...claims, nbf: now() + 60 }) }, /nbf/],
    [{ token: makeToken(key, { ...claims, exp: undefined }) }, /exp/],
    [{ token: makeToken(key, { ...claims, sub: undefined }) }, /sub/],
    [{ token: makeToken(key, { ...claims, sub: "two words" }) }, /no user name/],
    [{ token: makeToken(key, { ...claims, aud: "x" }) }, /aud is x, not the audience/],
    [{ token: makeToken(key, { ...claims, iss: "https://issuer.example/" }) }, /iss is https:\/\/issuer\.example\/, not the issuer/],
    [{ token: makeToken(key, claims, { crit: ["b64"], b64: false }) }, /crit/],
    [{ token: makeToken(key, { ...claims, filler: "x".repeat(9000) }) }, /longer than 8192/],
    [{ token: good, user: "bob" }, /another user/],
  ];
  for (const [fields, word] of bad) await isRefused(harness, fields, word);
  assert.match(await harness.server.logLine("refused"), /cause=token address=127\.0\.0\.1 .*reason="this server wants a token/);
  await logIn(harness, good, { user: "alice" });
  await harness.server.stop();
  const counted = [...harness.server.stderr.matchAll(/event=refusals .*\btoken=(\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
  assert.equal(counted, bad.length);
  assert.ok(!harness.server.stderr.includes(signature), "no token is logged");
});

tokenScenario("a token that expires ends the connection with 4101, and a newer one extends it", {}, async (harness, keys) => {
  const key = makeKey("ES256");
  await start(harness, "--token-keys", keys.write("key.pem", key.publicPem));
  // With the leeway of 30 s these have two seconds left. Where that is too short for a busy machine, it is tried again.
  const ending = () => makeToken(key, { sub: "alice", exp: now() - 28 });
  const logInWith = (...tokens) =>
    until("a login in time", async () => {
      const client = await harness.client();
      for (const token of tokens.map((make) => make()))
        if (client.closed || (await client.request({ op: "login", token, after: 0 })).op !== "ok") return undefined;
      return client;
    });
  const short = await logInWith(ending);
  const long = await logInWith(ending, () => makeToken(key, { sub: "alice" }), () => makeToken(key, { sub: "alice", exp: now() + 60 }));
  await until("the close", () => short.closed);
  assert.deepEqual(short.closed, { code: 4101, reason: "the token has expired: log in with a new one" });
  await long.ping();
  assert.equal(long.lives.length, 1, "that of the first login");
  assert.match((await long.error({ op: "login", token: makeToken(key, { sub: "bob" }) }, "bad_token")).message, /another user/);
  await until("the close", () => long.closed);
  assert.equal(long.closed.code, 4101);
  await harness.end();
});

tokenScenario("the user can be named by another claim", { shards: [2] }, async (harness, keys) => {
  const key = makeKey("EdDSA");
  await start(harness, "--token-keys", keys.write("key.pem", key.publicPem), "--token-claim", "preferred_username");
  const client = await logIn(harness, makeToken(key, { sub: "3f0c", preferred_username: "alice" }));
  assert.equal(client.user, "alice");
  await isRefused(harness, { token: makeToken(key, { sub: "alice" }) }, /claim for the user/);
  await harness.end();
});

tokenScenario("secrets are rotated without a restart: a changed file is noticed, and nobody is dropped", {}, async (harness, keys) => {
  const [old, fresh] = [makeKey("HS256"), makeKey("HS256")];
  const file = keys.write("secrets", old.secret);
  await start(harness, "--token-secrets", file);
  const alice = await logIn(harness, makeToken(old, { sub: "alice" }));
  await isRefused(harness, { token: makeToken(fresh, { sub: "alice" }) }, /signature is wrong/);
  let before = harness.server.stderr.length;
  keys.write("secrets", `${fresh.secret}\n${old.secret}\n`);
  assert.match(await logged(harness.server, before, "token_keys_loaded"), /keys=2/);
  for (const key of [old, fresh]) await logIn(harness, makeToken(key, { sub: "alice" }));
  before = harness.server.stderr.length;
  keys.write("secrets", fresh.secret);
  assert.match(await logged(harness.server, before, "token_keys_loaded"), /keys=1/);
  await isRefused(harness, { token: makeToken(old, { sub: "alice" }) }, /signature is wrong/);
  await logIn(harness, makeToken(fresh, { sub: "alice" }));
  await alice.ping();
  await harness.end();
});

tokenScenario("SIGHUP reads the files, and a bad one keeps the keys and says why", {}, async (harness, keys) => {
  const [first, second] = [makeKey("RS256"), makeKey("RS256")];
  const set = (...all) => JSON.stringify({ keys: all.map((key, at) => key.jwk({ kid: String(at) })) });
  const file = keys.write("jwks.json", set(first), 0o644);
  await start(harness, "--token-keys", file);
  const alice = await logIn(harness, makeToken(first, { sub: "alice" }, { kid: "0" }));
  const bad = [
    [() => keys.write("jwks.json", '{"keys":['), /no valid JSON/],
    [() => keys.write("jwks.json", ""), /is empty/],
    [() => keys.write("jwks.json", first.privatePem), /private key/],
    [() => keys.write("jwks.json", set(second), 0o666), /chmod o-w/],
    [() => fs.rmSync(file), /No such file/],
  ];
  for (const [spoil, word] of bad) {
    const before = harness.server.stderr.length;
    spoil();
    harness.server.signal("SIGHUP");
    assert.match(await logged(harness.server, before, "token_keys_kept"), word);
    await logIn(harness, makeToken(first, { sub: "alice" }, { kid: "0" }));
  }
  const before = harness.server.stderr.length;
  keys.write("jwks.json", set(first, second), 0o644);
  harness.server.signal("SIGHUP");
  assert.match(await logged(harness.server, before, "token_keys_loaded"), /keys=2/);
  await logIn(harness, makeToken(second, { sub: "bob" }, { kid: "1" }));
  await alice.ping();
  // The bad files were logged as errors, as they should be; nothing else was.
  harness.server.signal("SIGTERM");
  assert.deepEqual(await harness.server.ended(), { code: 0, signal: null });
  assert.deepEqual([...new Set([...harness.server.stderr.matchAll(/level=error event=(\w+)/g)].map(([, event]) => event))], ["token_keys_kept"]);
});

tokenScenario("what `chitchat token` prints logs in, for each kind of key", { shards: [2] }, async (harness, keys) => {
  const secrets = path.join(keys.dir, "made");
  const made = runToEnd(["token", "--new-secret", secrets]);
  assert.deepEqual([made.status, made.stdout, made.stderr], [0, "", ""]);
  assert.equal(fs.statSync(secrets).mode & 0o777, 0o600);
  const again = runToEnd(["token", "--new-secret", secrets]);
  assert.equal(again.status, 1);
  assert.match(again.stderr, /exists/);
  const pairs = ["RS256", "ES256", "EdDSA"].map(makeKey);
  await start(harness, "--token-secrets", secrets, ...pairs.flatMap((key) => ["--token-keys", keys.write(`${key.alg}.pub`, key.publicPem, 0o644)]),
    "--token-claim", "name", "--token-audience", "chat", "--token-issuer", "us");
  const signers = [["--secret-file", secrets], ...pairs.map((key) => ["--key-file", keys.write(`${key.alg}.pem`, key.privatePem)])];
  for (const signer of signers) {
    const user = harness.name();
    const end = runToEnd(["token", ...signer, "--user", user, "--for", "1h", "--claim", "name", "--audience", "chat", "--issuer", "us"]);
    assert.equal(end.status, 0, end.stderr);
    const claims = JSON.parse(Buffer.from(end.stdout.split(".")[1], "base64url"));
    assert.equal(claims.exp - claims.iat, 3600);
    assert.equal((await logIn(harness, end.stdout.trim())).user, user);
  }
  await harness.end();
});

test("files that cannot be trusted are refused at the start, and by `chitchat token`", () => {
  const keys = keyDir();
  try {
    const key = makeKey("ES256");
    const bad = [
      ["--token-secrets", keys.write("a", "short"), /line 1/],
      ["--token-secrets", keys.write("b", makeKey("HS256").secret, 0o644), /chmod o-rwx/],
      ["--token-secrets", keys.write("c", key.publicPem), /--token-keys/],
      ["--token-secrets", keys.write("d", ""), /empty/],
      ["--token-secrets", keys.dir, /no regular file/],
      ["--token-keys", path.join(keys.dir, "nowhere"), /No such file/],
      ["--token-keys", keys.write("e", key.privatePem), /private key/],
      ["--token-keys", keys.write("f", JSON.stringify(key.jwk({ d: "AAAA" }))), /private part "d"/],
      ["--token-keys", keys.write("g", makeKey("HS256").secret), /no public key/],
    ];
    for (const [option, file, word] of bad) {
      const end = runToEnd(["serve", "--listen", "127.0.0.1:0", "--data", path.join(keys.dir, "data"), "--auth", "token", option, file]);
      assert.equal(end.status, 1);
      assert.match(end.stderr, /^[^\n]+\n$/, "one line");
      assert.match(end.stderr, word);
      assert.ok(end.stderr.includes(file), end.stderr);
    }
    assert.ok(!fs.existsSync(path.join(keys.dir, "data")), "nothing was made");
    assert.match(runToEnd(["token", "--key-file", keys.write("h", key.privatePem, 0o604), "--user", "u"]).stderr, /chmod o-rwx/);
    assert.match(runToEnd(["token", "--key-file", keys.write("i", key.publicPem), "--user", "u"]).stderr, /no private key/);
    assert.match(runToEnd(["token", "--secret-file", keys.write("j", makeKey("HS256").secret), "--user", "two words"]).stderr, /user name/);
  } finally {
    keys.remove();
  }
});

scenario("the start says what is not protected, and --allow-anyone too", { shards: [2] }, async (harness) => {
  await harness.start();
  assert.match(await harness.server.logLine("ready"), / open=http:\/\/127\.0\.0\.1:\d+\/ auth=none .*note="not protected: whoever reaches the address can log in as any user/);
  assert.doesNotMatch(harness.server.stderr, /anyone_may_log_in/);
  await harness.server.stop();
  await harness.startAgain({ listen: ["0.0.0.0:0"], options: ["--allow-anyone"] });
  assert.match(await harness.server.logLine("ready"), / open=http:\/\/localhost:\d+\/ auth=none /);
  assert.match(await harness.server.logLine("anyone_may_log_in"), /level=warn/);
  await harness.server.stop();
});

scenario("tokens on an address without TLS beyond loopback leave a warning", { shards: [2] }, async (harness) => {
  const keys = keyDir();
  try {
    const options = ["--auth", "token", "--token-secrets", keys.write("secrets", makeKey("HS256").secret)];
    await harness.start({ listen: ["0.0.0.0:0"], options });
    assert.match(await harness.server.logLine("tokens_in_clear"), /level=warn .*--listen-tls/);
    await harness.server.stop();
    await harness.startAgain({ options });
    await harness.server.logLine("ready");
    await harness.server.stop();
    assert.doesNotMatch(harness.server.stderr, /tokens_in_clear/);
  } finally {
    keys.remove();
  }
});
