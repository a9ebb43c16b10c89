// chitchat-load by TLS: through a proxy that ends the TLS before the real server. And its tokens.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { makeKey, makeToken } from "./lib/jwt.mjs";
import { freePort, load } from "./lib/load.mjs";
import { makeDataDir, removeDataDir, runToEnd, Server } from "./lib/server.mjs";
import { makeCertificate, startTlsProxy } from "./lib/tls_proxy.mjs";

const QUICK = ["--duration", "0.3", "--warmup", "0.1"];

let server, dir, certificate, proxy;
before(async () => {
  server = await Server.start({ shards: 2 });
  dir = makeDataDir();
  certificate = makeCertificate(dir, "here", "DNS:localhost,IP:127.0.0.1");
  proxy = await startTlsProxy(server.address.port, certificate);
});
after(async () => {
  proxy.close();
  await server.end();
  removeDataDir(dir);
});

const secured = (args, at = `127.0.0.1:${proxy.port}`) => load(["--tls", ...args, ...QUICK, at]);

async function verified(args, at) {
  const json = path.join(dir, "report.json");
  const end = await secured(["--tls-ca", certificate.certFile, "--json", json, ...args], at);
  assert.equal(end.status, 0, end.stdout + end.stderr);
  assert.match(end.stdout, /^verified: /m);
  assert.match(end.stdout, /^TLSv1\.[23], \S+; \d+ handshakes, of which \d+ resumed a session; the certificate was checked$/m);
  // The report counts those of the measured time, which on a busy machine may be none; the sentence counts all.
  const resumed = Number(/of which (\d+) resumed/.exec(end.stdout)[1]);
  return { ...JSON.parse(fs.readFileSync(json, "utf8")), resumed };
}

// -- every scenario --

const SCENARIOS = {
  pairs: ["--connections", "20", "--window", "8", "--text", "5000", "--threads", "2"],
  fanout: ["--connections", "30", "--users", "2"],
  idle: ["--connections", "20"],
  history: ["--connections", "4", "--fill", "120", "--window", "4"],
  replay: ["--connections", "4", "--fill", "120"],
  churn: ["--connections", "20", "--churn", "40"],
  logins: ["--connections", "4"],
};
for (const [scenario, args] of Object.entries(SCENARIOS))
  test(`load: ${scenario} by TLS verifies all that it gets`, async () => {
    const report = await verified(["--scenario", scenario, ...args]);
    assert.ok(report.tls === true && report.resumed === 0);
  });

test("load: TLS 1.2 too, and the name of the host and http/1.1 are asked for", async (context) => {
  const old = await startTlsProxy(server.address.port, certificate, { maxVersion: "TLSv1.2" });
  context.after(() => old.close());
  await verified(["--connections", "4"], `localhost:${old.port}`);
  assert.deepEqual([...old.seen.versions], ["TLSv1.2"]);
  assert.deepEqual([...old.seen.names], ["localhost"]);
  assert.deepEqual([...old.seen.alpn], ["http/1.1"]);
});

test("load: an address is no name, so it is not sent", async () => {
  await verified(["--connections", "2"]);
  assert.deepEqual([...proxy.seen.names], [false]);
});

for (const version of ["TLSv1.2", "TLSv1.3"])
  test(`load: with --tls-resume each login but the first of a connection resumes its ${version} session`, async (context) => {
    const own = await startTlsProxy(server.address.port, certificate, { minVersion: version, maxVersion: version });
    context.after(() => own.close());
    await verified(["--scenario", "logins", "--connections", "3", "--tls-resume"], `127.0.0.1:${own.port}`);
    assert.ok(own.seen.handshakes > 3);
    assert.equal(own.seen.handshakes - own.seen.resumed, 3);
  });

test("load: plain logins, to compare, count no handshakes", async () => {
  const json = path.join(dir, "plain.json");
  const end = await load(["--scenario", "logins", "--connections", "4", "--json", json, ...QUICK, `127.0.0.1:${server.address.port}`]);
  assert.equal(end.status, 0, end.stdout + end.stderr);
  const logins = /^verified: (\d+) logins: each was answered, and none got anything$/m.exec(end.stdout);
  assert.ok(Number(logins?.[1]) >= 8, end.stdout);
  const report = JSON.parse(fs.readFileSync(json, "utf8"));
  assert.ok(report.tls === false && report.handshakes === 0);
});

// -- certificates --

test("load: a certificate that nobody trusts ends the run with what to do", async () => {
  const end = await secured(["--connections", "3"]);
  assert.equal(end.status, 2, end.stdout);
  assert.match(end.stderr, /^chitchat-load: the server's certificate is not trusted: self-signed certificate: give the certificate of its CA by --tls-ca, or do not check it with --tls-insecure \(0 of 3 connections are open\)$/m);
});

test("load: --tls-insecure checks no certificate, and says so", async () => {
  const end = await secured(["--connections", "3", "--tls-insecure"]);
  assert.equal(end.status, 0, end.stdout + end.stderr);
  assert.match(end.stdout, /the certificate was not checked/);
});

test("load: a certificate for another host ends the run", async (context) => {
  const other = makeCertificate(dir, "elsewhere", "DNS:chat.example.org");
  const own = await startTlsProxy(server.address.port, other);
  context.after(() => own.close());
  for (const host of ["localhost", "127.0.0.1"]) {
    const end = await secured(["--connections", "1", "--tls-ca", other.certFile], `${host}:${own.port}`);
    assert.equal(end.status, 2, end.stdout);
    assert.match(end.stderr, /not trusted: (hostname|IP address) mismatch: connect to a name that stands in it/);
  }
});

test("load: --tls to a plain server says that it is one", async () => {
  const end = await secured(["--connections", "1"], `127.0.0.1:${server.address.port}`);
  assert.equal(end.status, 2, end.stdout);
  assert.match(end.stderr, /the server does not answer in TLS: leave out --tls, or give the port of --listen-tls/);
});

// -- the server's own TLS and tokens, if it has the options --

const help = runToEnd(["serve", "--help"]).stdout;
const needs = (option) => ({ skip: help.includes(option) ? false : `the server has no ${option}` });

test("load: the server's own TLS, which resumes sessions", needs("--listen-tls"), async (context) => {
  const at = `127.0.0.1:${await freePort()}`;
  const own = await Server.start({ options: ["--listen-tls", at, "--tls-cert", certificate.certFile, "--tls-key", certificate.keyFile] });
  context.after(() => own.clean());
  await verified(["--connections", "20", "--window", "8"], at);
  const report = await verified(["--scenario", "logins", "--connections", "3", "--tls-resume"], at);
  assert.ok(report.resumed > 0);
});

test("load: the server takes the tokens, and refuses those of another secret", needs("--token-secrets"), async (context) => {
  const [right, wrong] = ["right", "wrong"].map((name) => {
    const file = path.join(dir, `${name}-secret`);
    fs.writeFileSync(file, `${randomBytes(32).toString("base64url")}\n`, { mode: 0o600 });
    return file;
  });
  const own = await Server.start({ options: ["--auth", "token", "--token-secrets", right] });
  context.after(() => own.clean());
  const at = `127.0.0.1:${own.address.port}`;
  const end = await load(["--scenario", "churn", "--connections", "10", "--token-secret-file", right, ...QUICK, at]);
  assert.equal(end.status, 0, end.stdout + end.stderr);
  for (const [args, hint] of [[["--token-secret-file", wrong], /is --token-secret-file its secret\?/], [[], /give its secret by --token-secret-file/]]) {
    const refused = await load(["--connections", "2", ...args, ...QUICK, at]);
    assert.equal(refused.status, 2, refused.stdout);
    assert.match(refused.stderr, hint);
  }
});

test("load: tokens that are given log in, whatever has signed them, and each is for its user", needs("--token-keys"), async (context) => {
  const keys = ["HS256", "RS256", "ES256", "EdDSA"].map(makeKey);
  const write = (name, text) => {
    const file = path.join(dir, name);
    fs.writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  const own = await Server.start({ options: ["--auth", "token", "--token-secrets", write("secrets", keys[0].secret), "--token-keys", write("keys.pem", keys.slice(1).map((key) => key.publicPem).join(""))] });
  context.after(() => own.clean());
  const tokens = (first) => Array.from({ length: 8 }, (_, i) => makeToken(keys[i % 4], { sub: `load-${first + i}` })).join("\n");
  const run = (file, ...args) => load(["--scenario", "logins", "--connections", "8", "--token-file", file, ...args, ...QUICK, `127.0.0.1:${own.address.port}`]);
  const end = await run(write("tokens", tokens(0)));
  assert.equal(end.status, 0, end.stdout + end.stderr);
  const strange = await run(write("strange", tokens(0).replace(/\.[^.]*$/, ".AAAA")));
  assert.equal(strange.status, 2, strange.stdout);
  assert.match(strange.stderr, /bad_token.*; is each line of --token-file a token of its user/);
  const fewer = await run(write("tokens", tokens(0)), "--connections", "9");
  assert.equal(fewer.status, 2, fewer.stdout);
  assert.match(fewer.stderr, /it has 8 tokens, but there are 9 users: give a line for each$/m);
});

// -- options --

const SECRET = randomBytes(32).toString("base64url");
const REFUSED = [
  [["--tls-ca", "x"], "--tls-ca needs --tls"],
  [["--tls-insecure"], "--tls-insecure needs --tls"],
  [["--tls-resume", "--scenario", "churn"], "--tls-resume needs --tls"],
  [["--tls", "--tls-resume"], "--tls-resume is for connections that come back: logins, replay, churn, storm, --kill-server"],
  [["--tls", "--tls-insecure", "--tls-ca", "x"], "--tls-ca has no effect with --tls-insecure, which checks no certificate"],
  [["--tls", "--protocol", "nats"], "--tls is for chitchat, not for --protocol nats"],
  [["--tls", "--protocol", "http"], "--tls is for WebSockets, not for --protocol http"],
  [["--token-secret-file", "x", "--protocol", "nats"], "--token-secret-file is for chitchat, not for --protocol nats"],
  [["--token-file", "x", "--protocol", "nats"], "--token-file is for chitchat, not for --protocol nats"],
  [["--token-file", "x", "--token-secret-file", "x"], "--token-file must be left out with --token-secret-file, by which the run makes tokens"],
  [["--token-file", "x", "--scenario", "peers"], "--token-file needs --prefix here: without it the names of the users hold the run's number"],
  [["--scenario", "logins", "--window", "2"], "--window is for scenarios that send"],
];
for (const [args, why] of REFUSED)
  test(`load: ${args.join(" ")} is refused`, async () => {
    const { status, stderr } = await load([...args, "127.0.0.1:9"]);
    assert.equal(status, 2);
    assert.ok(stderr.startsWith(`chitchat-load: ${why}`), stderr);
  });

const FILES = [
  ["--tls-ca", undefined, /^chitchat-load: --tls-ca \S+: .*; give a file with one or more certificates in PEM\n$/],
  ["--tls-ca", "no certificate\n", /^chitchat-load: --tls-ca \S+: .*; give a file with one or more certificates in PEM\n$/],
  ["--token-secret-file", undefined, /^chitchat-load: --token-secret-file \S+: No such file or directory\n$/],
  ["--token-file", undefined, /^chitchat-load: --token-file \S+: No such file or directory\n$/],
  ["--token-secret-file", `\n${SECRET}\n`, /its first line is empty; it must be the server's secret\n$/],
  ["--token-secret-file", `${SECRET}=\n`, /its first line is not base64url \(letters, digits, - and _, no =\) of at most 1024 bytes\n$/],
  ["--token-secret-file", `${randomBytes(1025).toString("base64url")}\n`, /its first line is not base64url/],
  ["--token-secret-file", `${randomBytes(31).toString("base64url")}\n`, /the secret has 31 bytes, and a server takes no fewer than 32\n$/],
];
FILES.forEach(([option, text, why], i) =>
  test(`load: a wrong file is refused (${option}, ${i + 1})`, async () => {
    const file = path.join(dir, `wrong-${i}`);
    if (text !== undefined) fs.writeFileSync(file, text);
    const { status, stderr } = await load([...(option === "--tls-ca" ? ["--tls"] : []), option, file, "127.0.0.1:9"]);
    assert.equal(status, 2);
    assert.match(stderr, why);
  }),
);
