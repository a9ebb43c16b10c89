// A port on loopback that nothing listened on a moment ago. It is below those that the kernel gives for port 0: while the
// test's server is down, no server of another test gets it.
import net from "node:net";

const FIRST = 10000;
const END = 32768;

export function freePort() {
  return new Promise((resolve, reject) => {
    const port = FIRST + Math.floor(Math.random() * (END - FIRST));
    const server = net.createServer();
    server.once("error", (error) => (error.code === "EADDRINUSE" ? resolve(freePort()) : reject(error)));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(port)));
  });
}
