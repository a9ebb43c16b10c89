// What TLS costs: the same load by TLS and plain, in turns.
import { onServer } from "./bench_run.mjs";
import { row } from "./bench_table.mjs";

const us = (seconds, count) => (seconds * 1e6) / count;
const sendCost = (r) => us(r.server_cpu_s, r.acknowledged);
const ownCost = (r) => us(r.own_cpu_s, r.acknowledged);
const loginCost = (r) => us(r.server_cpu_s, r.logins);
const rss = (r) => (r.server_rss_end - r.server_rss_idle) / r.connections;

// One turn after the other was measured, so the same turn of both is compared.
const against = (reports, others, of, how) => reports.map((r, i) => how(of(r), of(others[i])));
const times = (a, b) => a / b;
const more = (a, b) => a - b;

const sends = (timing, interleaved) => ({
  name: "TLS: sends 100 x 16, 1,000 x 1",
  async run() {
    const args = (connections, window) => ["--connections", connections, "--window", window, ...timing];
    const sizes = [["100 x 16", args("100", "16"), 1.5], ["1,000 x 1", args("1000", "1")]];
    const sets = await interleaved(...sizes.flatMap(([, each]) => [() => onServer(each), () => onServer(each, { tls: true })]));
    return sizes.flatMap(([size, , most], i) => {
      const [plain, tls] = sets.slice(2 * i);
      return [
        row(this.name, `${size}, plain: CPU a send`, "us", plain.map(sendCost), { of: `CPU ${size}` }),
        row(this.name, `${size}, TLS: CPU a send`, "us", tls.map(sendCost), { of: `CPU ${size}` }),
        row(this.name, `${size}: times plain`, "", against(tls, plain, sendCost, times), { most }),
        row(this.name, `${size}, TLS: sends acknowledged`, "/s", tls.map((r) => r.acknowledged / r.seconds)),
        row(this.name, `${size}: generator, plain: CPU a send`, "us", plain.map(ownCost), { of: `CPU ${size}`, who: "generator" }),
        row(this.name, `${size}: generator, TLS: CPU a send`, "us", tls.map(ownCost), { of: `CPU ${size}`, who: "generator" }),
      ];
    });
  },
});

const handshakes = (timing, interleaved) => ({
  name: "TLS: handshakes",
  async run() {
    const args = ["--scenario", "logins", "--connections", "50", ...timing];
    const resumed = [...args, "--tls-resume"];
    const [plain, full, again] = await interleaved(() => onServer(args), () => onServer(args, { tls: true }), () => onServer(resumed, { tls: true }));
    return [
      row(this.name, "plain: CPU a connect, upgrade and login", "us", plain.map(loginCost), { of: "CPU" }),
      row(this.name, "the same with a full handshake, P-256", "us", full.map(loginCost), { of: "CPU" }),
      row(this.name, "the same with a resumed handshake", "us", again.map(loginCost), { of: "CPU" }),
      row(this.name, "CPU a full handshake: the difference", "us", against(full, plain, loginCost, more), { of: "handshake" }),
      row(this.name, "CPU a resumed handshake: the difference", "us", against(again, plain, loginCost, more), { of: "handshake" }),
      row(this.name, "full handshakes", "/s", full.map((r) => r.handshakes / r.seconds)),
      row(this.name, "resumed handshakes", "/s", again.map((r) => r.resumed / r.seconds)),
    ];
  },
});

const idle = (interleaved) => ({
  name: "TLS: idle connection memory",
  async run() {
    const args = ["--scenario", "idle", "--connections", "2000", "--duration", "2", "--warmup", "0.5"];
    const [plain, tls] = await interleaved(() => onServer(args), () => onServer(args, { tls: true }));
    return [
      row(this.name, "plain: RSS a connection", "bytes", plain.map(rss), { of: "RSS" }),
      row(this.name, "TLS: RSS a connection", "bytes", tls.map(rss), { of: "RSS", most: 12 * 1024 }),
      row(this.name, "TLS: what that is more", "bytes", against(tls, plain, rss, more), { of: "RSS" }),
    ];
  },
});

// Half the time of the other parts, so that all of `./dev bench` keeps within its ten minutes.
export const tlsParts = (seconds, interleaved) => {
  const timing = ["--duration", String(Math.max(seconds / 2, 0.1)), "--warmup", "0.5"];
  return [sends(timing, interleaved), handshakes(timing, interleaved), idle(interleaved)];
};
