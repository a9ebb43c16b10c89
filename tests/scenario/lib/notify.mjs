// A service manager's end of NOTIFY_SOCKET: what a service says to it. Node has no datagram sockets of this family, Perl
// is on each Debian.
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { until } from "./server.mjs";

const LISTEN = `use Socket; $| = 1; socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die; bind($s, sockaddr_un($ARGV[0])) or die $!;
chmod 0666, $ARGV[0]; print "bound\\n"; while (defined recv($s, my $m, 4096, 0)) { $m =~ s/\\n/ /g; print "$m\\n"; }`;

export class NotifySocket {
  path;
  #dir;
  #child;
  #text = "";

  static async open() {
    const socket = new NotifySocket();
    socket.#dir = fs.mkdtempSync(path.join(os.tmpdir(), "chitchat-notify-"));
    fs.chmodSync(socket.#dir, 0o755); // services of other users reach it
    socket.path = path.join(socket.#dir, "socket");
    socket.#child = spawn("perl", ["-e", LISTEN, socket.path], { stdio: ["ignore", "pipe", "inherit"] });
    socket.#child.stdout.setEncoding("utf8").on("data", (text) => (socket.#text += text));
    await until("the socket of the service manager", () => socket.messages[0] === "bound");
    return socket;
  }

  // Each message on a line of its own, its lines with blanks between.
  get messages() {
    return this.#text.split("\n").slice(0, -1);
  }

  count(pattern) {
    return this.messages.filter((message) => pattern.test(message)).length;
  }

  async until(pattern, count = 1) {
    await until(() => `${pattern} ${count} times:\n${this.#text}`, () => this.count(pattern) >= count);
  }

  close() {
    this.#child.kill();
    fs.rmSync(this.#dir, { recursive: true, force: true });
  }
}
