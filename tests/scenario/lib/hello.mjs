// The first record of a TLS client.
import net from "node:net";
import tls from "node:tls";
import { until } from "./server.mjs";

// A whole ClientHello, as bytes.
export async function clientHello() {
  let bytes = Buffer.alloc(0);
  const listener = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (data) => (bytes = Buffer.concat([bytes, data])));
  });
  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const client = tls.connect({ host: "127.0.0.1", port: listener.address().port });
  client.on("error", () => {});
  await until("a ClientHello", () => bytes.length > 5 && bytes.length >= 5 + bytes.readUInt16BE(3), { every: 5 });
  client.destroy();
  listener.close();
  return bytes;
}
