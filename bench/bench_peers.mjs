// The peer that Debian ships, nats-server with JetStream, measured in turns with the server: the same number of connections, the same text,
// publish with acknowledgement, and delivery. Where the two cannot do the same, the comparison favours the peer.
import { row } from "./bench_table.mjs";

export const promises = [
  "chitchat acknowledges when the message is in the WAL with O_DSYNC, in both users' timelines: it survives a power cut; it is delivered after that, in order, with proof of gaps.",
  "JetStream (file store, one replica, as shipped) acknowledges when the message is written to the file, without fsync: it syncs every 2 minutes, and Debian's 2.9.10 has no option to change that (sync_interval: always is newer). A power cut loses what was acknowledged since.",
  "nats-server's delivery here is a plain subscription beside the stream, its fastest way: it promises nothing if the reader is not connected, and need not wait for the store.",
];

const cost = (r) => (r.server_cpu_s * 1e6) / r.acknowledged;

const FIGURES = [
  ["sends acknowledged", "/s", (r) => r.acknowledged / r.seconds],
  ["CPU a send", "us", cost],
  ["send to ok, p50", "ms", (r) => r.ok.p50 / 1000],
  ["send to ok, p99", "ms", (r) => r.ok.p99 / 1000],
  ["send to delivery, p99", "ms", (r) => r.delivery.p99 / 1000],
];

// Each figure of both, one below the other.
export const besideJetStream = (size, server, nats) =>
  FIGURES.flatMap(([figure, unit, value]) => [
    row(`beside JetStream: ${size}`, `${figure}: chitchat, durable`, unit, server.map(value), { of: figure }),
    row(`beside JetStream: ${size}`, `${figure}: JetStream, not durable`, unit, nats.map(value), { of: figure, who: "other" }),
  ]);
