// TLS in front of a plain server, for chitchat-load: node ends the TLS, and passes all bytes on.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import tls from "node:tls";

// A certificate that its own key signed, for `names`, such as "DNS:localhost" or "IP:127.0.0.1": { cert, key, certFile, keyFile }.
export function makeCertificate(dir, name, names) {
  const [certFile, keyFile] = ["cert", "key"].map((kind) => path.join(dir, `${name}-${kind}.pem`));
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", keyFile];
  const cert = ["-x509", "-days", "30", "-subj", `/CN=${name}`, "-addext", `subjectAltName=${names}`, "-out", certFile];
  execFileSync("openssl", ["req", ...key, ...cert], { stdio: "pipe" });
  return { cert: fs.readFileSync(certFile), key: fs.readFileSync(keyFile), certFile, keyFile };
}

// Resolves to { port, seen, close }; `seen` counts handshakes, and keeps the names and protocols that clients asked for.
export async function startTlsProxy(target, certificate, options = {}) {
  const seen = { handshakes: 0, resumed: 0, names: new Set(), versions: new Set(), alpn: new Set() };
  const proxy = tls.createServer({ ...certificate, ALPNProtocols: ["http/1.1"], ...options }, (secure) => {
    seen.handshakes++;
    seen.resumed += secure.isSessionReused() ? 1 : 0;
    seen.names.add(secure.servername);
    seen.versions.add(secure.getProtocol());
    seen.alpn.add(secure.alpnProtocol);
    const plain = net.connect(target, "127.0.0.1");
    for (const [from, to] of [[secure, plain], [plain, secure]]) {
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
      from.pipe(to);
    }
  });
  proxy.on("tlsClientError", () => {});
  const sockets = new Set();
  proxy.on("connection", (socket) => sockets.add(socket.on("close", () => sockets.delete(socket))));
  proxy.listen(0, "127.0.0.1");
  await new Promise((resolve) => proxy.once("listening", resolve));
  const close = () => {
    proxy.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port: proxy.address().port, seen, close };
}
