// What programs get: POST /messages over 16 connections that stay open, beside the sends of 16 WebSocket connections, by the same generator.
import { onServer } from "./bench_run.mjs";
import { row } from "./bench_table.mjs";

const rate = (r) => r.acknowledged / r.seconds;
const cost = (r) => (r.server_cpu_s * 1e6) / r.acknowledged;

export const programParts = (seconds, interleaved) => [
  {
    name: "programs: POST /messages, 16 x 1",
    async run() {
      const load = ["--connections", "16", "--window", "1", "--duration", seconds, "--warmup", "0.7"];
      const [sends, posts] = await interleaved(() => onServer(load), () => onServer(load, { http: true }));
      const against = (of) => posts.map((r, i) => of(r) / of(sends[i]));
      return [
        row(this.name, "WebSocket: sends acknowledged", "/s", sends.map(rate), { of: "sends" }),
        row(this.name, "HTTP: messages acknowledged", "/s", posts.map(rate), { of: "sends" }),
        row(this.name, "HTTP: share of the WebSocket's", "", against(rate), { least: 0.5 }),
        row(this.name, "WebSocket: send to ok, p99", "ms", sends.map((r) => r.ok.p99 / 1000), { of: "p99" }),
        row(this.name, "HTTP: request to answer, p99", "ms", posts.map((r) => r.ok.p99 / 1000), { of: "p99" }),
        row(this.name, "HTTP: p99, times the WebSocket's", "", against((r) => r.ok.p99), { most: 2 }),
        row(this.name, "WebSocket: CPU a send", "us", sends.map(cost), { of: "CPU" }),
        row(this.name, "HTTP: CPU a message", "us", posts.map(cost), { of: "CPU" }),
      ];
    },
  },
];
