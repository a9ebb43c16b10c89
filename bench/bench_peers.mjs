// The peer that Debian ships, nats-server with JetStream, beside the server: the same number of connections, the same text, publish
// with acknowledgement, and delivery. Written so that it favours the peer where the two cannot be the same.
import { onNats, onServer } from "./bench_run.mjs";
import { row, show } from "./bench_table.mjs";

export const promises = [
  "chitchat acknowledges when the message is in the log with O_DSYNC, in both users' timelines: it survives a power cut; it is delivered after that, in order, with proof of gaps.",
  "JetStream (file store, one replica, as shipped) acknowledges when the message is written to the file, without fsync: it syncs every 2 minutes, and Debian's 2.9.10 knows no option to change that (sync_interval: always came later). A power cut loses what was acknowledged since.",
  "nats-server's delivery here is a plain subscription beside the stream, its fastest way: it promises nothing if the reader is away, and need not wait for the store.",
];

const rate = (r) => r.acknowledged / r.seconds;
const cost = (r) => (r.server_cpu_s * 1e6) / r.acknowledged;

export function peers(interleaved, times) {
  return [
    [1000, 1],
    [100, 1],
    [100, 16],
  ].map(([connections, window]) => ({
    name: `beside JetStream: ${show(connections, 0)} x ${window}`,
    async run() {
      const args = ["--connections", String(connections), "--window", String(window), ...times];
      const [server, nats] = await interleaved(() => onServer(args), () => onNats(args));
      return [
        ["chitchat, durable", server],
        ["JetStream, not durable", nats],
      ].flatMap(([name, reports]) => [
        row(this.name, `${name}: sends acknowledged`, "/s", reports.map(rate)),
        row(this.name, `${name}: CPU a send`, "us", reports.map(cost)),
        row(this.name, `${name}: send to ok, p50`, "ms", reports.map((r) => r.ok.p50 / 1000)),
        row(this.name, `${name}: send to ok, p99`, "ms", reports.map((r) => r.ok.p99 / 1000)),
        row(this.name, `${name}: send to delivery, p99`, "ms", reports.map((r) => r.delivery.p99 / 1000)),
      ]);
    },
  }));
}
