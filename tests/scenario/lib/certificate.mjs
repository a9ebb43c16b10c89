// Certificates of tests, made by openssl, and connections that trust them. They are removed when the process ends.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import tls from "node:tls";

// Set: servers of scenarios listen with TLS alone, and clients speak TLS.
export const TLS = process.env.CHITCHAT_SCENARIO_TLS === "1";

let dir;
let count = 0;

function directory() {
  if (dir) return dir;
  dir = fs.mkdtempSync(path.join(os.tmpdir(), "chitchat-certificate-"));
  process.on("exit", () => fs.rmSync(dir, { recursive: true, force: true }));
  return dir;
}

// `key`: the arguments of openssl for a new key. `dates`: [from, until] as YYYYMMDDHHMMSSZ. { cert, key, ca }: two paths,
// and the certificate's text.
export function makeCertificate({ key = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], name = "localhost", dates } = {}) {
  const base = path.join(directory(), String(++count));
  const made = { cert: `${base}.pem`, key: `${base}.key` };
  const run = (...args) => execFileSync("openssl", args, { stdio: ["ignore", "pipe", "pipe"] });
  const subject = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name},IP:127.0.0.1,IP:::1`];
  if (dates) makeDated(base, made, run, key, dates, name);
  else run("req", "-x509", "-newkey", ...key, "-noenc", "-keyout", made.key, "-out", made.cert, "-days", "30", ...subject);
  fs.chmodSync(made.key, 0o600);
  return { ...made, ca: fs.readFileSync(made.cert, "utf8") };
}

// `openssl req` cannot set dates; `openssl ca` can.
function makeDated(base, made, run, key, [from, until], name) {
  fs.writeFileSync(`${base}.index`, "");
  fs.writeFileSync(`${base}.serial`, "01\n");
  const config = `[ca]\ndefault_ca=x\n[x]\nnew_certs_dir=${directory()}\ndatabase=${base}.index\nserial=${base}.serial\n` +
    "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n";
  fs.writeFileSync(`${base}.cnf`, config);
  run("req", "-new", "-newkey", ...key, "-noenc", "-keyout", made.key, "-out", `${base}.csr`, "-subj", `/CN=${name}`);
  run("ca", "-batch", "-selfsign", "-config", `${base}.cnf`, "-in", `${base}.csr`, "-keyfile", made.key, "-out", made.cert,
    "-startdate", from, "-enddate", until, "-notext");
}

let shared;
// The certificate of all servers that need no other.
export function certificate() {
  shared ??= makeCertificate();
  return shared;
}

export const optionsOf = (made) => ["--tls-cert", made.cert, "--tls-key", made.key];

// A socket to `at` that is ready to write when it emits `readyEvent(at)`.
export function connectTo(at, options = {}) {
  const to = { host: at.host.replace(/[[\]]/g, ""), port: at.port, ...options };
  return at.isTls ? tls.connect({ ca: at.ca, ...to }) : net.connect(to);
}

export const readyEvent = (at) => (at.isTls ? "secureConnect" : "connect");
