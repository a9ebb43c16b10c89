// The real nginx and HAProxy in front of a server, with the configurations that docs/OPERATIONS.md shows. A proxy runs in
// the foreground, with all its files in a directory of its own, and is ended by its process id.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { DEADLINE_MS, sleep, within } from "./server.mjs";
import { freePort } from "./port.mjs";

const OPERATIONS = fs.readFileSync(new URL("../../../docs/OPERATIONS.md", import.meta.url), "utf8");
export const NAME = "chat.example.org"; // in the documented configurations
const STARTS_MAX = 20;

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

// The code blocks of a language, in their order.
function documented(language) {
  return [...OPERATIONS.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, "gm"))].map(([, text]) => text);
}

// Each of `pairs` must stand in the text.
function replaceAll(text, pairs) {
  for (const [from, to] of pairs) {
    assert.ok(text.includes(from), `docs/OPERATIONS.md has no longer: ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

function nginxFiles({ dir, ports, server, hasPrefix }) {
  const [site, location] = documented("nginx");
  const pairs = [
    ["listen 80;", `listen 127.0.0.1:${ports.plain};`],
    ["listen 443 ssl;", `listen 127.0.0.1:${ports.tls} ssl;`],
    ["/etc/ssl/chat.example.org.crt", `${dir}/site.crt`],
    ["/etc/ssl/chat.example.org.key", `${dir}/site.key`],
  ];
  const root = /^ {4}location \/ \{[^}]*\}\n/m;
  assert.match(site, root);
  const whole = replaceAll(hasPrefix ? site.replace(root, location) : site, [...pairs, ["127.0.0.1:8080", `${server.host}:${server.port}`]]);
  fs.writeFileSync(`${dir}/site.conf`, whole);
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${dir}/${name};`).join("\n");
  fs.writeFileSync(`${dir}/nginx.conf`, `daemon off;\nmaster_process off;\npid ${dir}/pid;\nerror_log stderr;\nevents {}\n
http {\naccess_log off;\n${temp}\ninclude ${dir}/site.conf;\n}\n`);
  return ["nginx", "-p", dir, "-e", "stderr", "-c", `${dir}/nginx.conf`];
}

function haproxyFiles({ dir, ports, server, hasPrefix }) {
  const [site, prefix] = documented("haproxy");
  const whole = replaceAll(hasPrefix ? site + prefix : site, [
    ["bind :80\n", `bind 127.0.0.1:${ports.plain}\n`],
    ["bind :443 ssl", `bind 127.0.0.1:${ports.tls} ssl`],
    ["/etc/ssl/chat.example.org.pem", `${dir}/site.pem`],
    ["127.0.0.1:8080", `${server.host}:${server.port}`],
  ]);
  fs.writeFileSync(`${dir}/haproxy.cfg`, whole);
  return ["haproxy", "-db", "-f", `${dir}/haproxy.cfg`];
}

const FILES = { nginx: nginxFiles, haproxy: haproxyFiles };

function makeCertificate(dir) {
  const args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", `/CN=${NAME}`, "-addext", `subjectAltName=DNS:${NAME}`, "-keyout", `${dir}/site.key`, "-out", `${dir}/site.crt`];
  const made = spawnSync("openssl", args, { encoding: "utf8", timeout: DEADLINE_MS });
  assert.equal(made.status, 0, made.stderr);
  fs.writeFileSync(`${dir}/site.pem`, fs.readFileSync(`${dir}/site.crt`, "utf8") + fs.readFileSync(`${dir}/site.key`, "utf8"));
  return fs.readFileSync(`${dir}/site.crt`);
}

export class Proxy {
  #child;
  #ended;
  #dir = fs.mkdtempSync(path.join(os.tmpdir(), "chitchat-proxy-"));
  certificate;
  ports;
  log = "";

  // kind: nginx or haproxy. server: where the chat server listens. hasPrefix: under /chat/ instead of /.
  static async start(kind, { server, hasPrefix }) {
    const proxy = new Proxy();
    proxy.certificate = makeCertificate(proxy.#dir);
    for (let left = STARTS_MAX; ; left--) {
      proxy.ports = { plain: await freePort(), tls: await freePort() };
      proxy.#spawn(FILES[kind]({ dir: proxy.#dir, ports: proxy.ports, server, hasPrefix }));
      if (await within(DEADLINE_MS, "the proxy", proxy.#serves(hasPrefix))) return proxy;
      // Somebody else may have taken a port in between.
      if (left === 0 || !/in use/i.test(proxy.log)) throw new Error(`${kind} does not start:\n${proxy.log}`);
      proxy.log = "";
    }
  }

  #spawn([command, ...args]) {
    // Debian has both in a directory of administrators' commands.
    const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
    this.#child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env });
    running.add(this.#child);
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream.setEncoding("utf8").on("data", (text) => (this.log += text));
    this.#ended = new Promise((resolve) => {
      this.#child.on("error", (error) => resolve((this.log += `${error.message}\n`)));
      this.#child.on("close", resolve);
    }).then(() => running.delete(this.#child));
  }

  // Whether it passes requests on; false when it has ended.
  async #serves(hasPrefix) {
    const url = `http://127.0.0.1:${this.ports.plain}${hasPrefix ? "/chat" : ""}/healthz`;
    for (; running.has(this.#child); await sleep(20)) if ((await bodyOf(url)) === "ok\n") return true;
    return false;
  }

  async end() {
    if (running.has(this.#child)) this.#child.kill("SIGKILL");
    await this.#ended;
    fs.rmSync(this.#dir, { recursive: true, force: true });
  }
}

function bodyOf(url) {
  return new Promise((resolve) => {
    const request = http.get(url, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text) => (body += text)).on("end", () => resolve(body));
    });
    request.on("error", () => resolve(null));
  });
}
