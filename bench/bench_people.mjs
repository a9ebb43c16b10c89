// What conversations cost: pages of one of them, `peers`, marks and `typing`.
import { atPace, onServer } from "./bench_run.mjs";
import { row } from "./bench_table.mjs";

const us = (seconds, count) => (seconds * 1e6) / count;
const pageCost = (r) => us(r.server_cpu_s, r.pages);
const needRuns = (reports, runs) => {
  const fewest = Math.min(...reports.map((r) => r.runs));
  if (fewest < runs) throw new Error(`there were only ${fewest} runs, but this needs ${runs}`);
};

// A timeline of 1 M messages: to 10,000 users, 100 with each, or to 100 users, 10,000 with each. They are in runs, and mostly merged, when they are
// read.
const withPages = (seconds, interleaved) => ({
  name: "history with a user, of 1 M entries",
  async run() {
    const fill = ["--connections", "1", "--fill", "1000000"];
    const args = (users) => ["--scenario", "history", ...fill, "--recipients", users, "--window", "16", "--warmup", "6", "--duration", seconds];
    const how = { options: ["--checkpoint-s", "1"] };
    const ways = [args("10000"), [...args("10000"), "--with"], [...args("100"), "--with"]];
    const [plain, one, often] = await interleaved(...ways.map((way) => () => onServer(way, how)));
    needRuns([...plain, ...one, ...often], 1);
    const times = (reports) => reports.map((r, i) => pageCost(r) / pageCost(plain[i]));
    return [
      row(this.name, "pages of 50 of the timeline: CPU a page", "us", plain.map(pageCost), { of: "CPU" }),
      row(this.name, "pages of 50 with one of 10,000 users: CPU a page", "us", one.map(pageCost), { of: "CPU" }),
      row(this.name, "times a page of the timeline", "", times(one), { most: 2 }),
      row(this.name, "pages of 50 with a user of 10,000 messages: CPU a page", "us", often.map(pageCost), { of: "CPU" }),
      row(this.name, "times a page of the timeline, then", "", times(often), { most: 2 }),
    ];
  },
});

// As in "history from 16 runs": merges fail. Each connection has 1,000 conversations, and marks a tenth of what it receives.
const peersPages = (seconds, interleaved, keepRuns) => ({
  name: "peers, pages of 50 from 16 runs",
  async run() {
    const args = ["--scenario", "peers", "--connections", "50", "--recipients", "1000", "--fill", "15000", "--warmup", "1", "--duration", seconds];
    const [reports] = await interleaved(() => onServer(args, keepRuns));
    needRuns(reports, 16);
    return [
      row(this.name, "pages", "/s", reports.map((r) => r.peers_pages / r.seconds)),
      row(this.name, "CPU a page", "us", reports.map((r) => us(r.server_cpu_s, r.peers_pages)), { most: 100 }),
    ];
  },
});

const marks = (timing, interleaved) => ({
  name: "marks, 100 x 16",
  async run() {
    const args = ["--connections", "100", "--window", "16", ...timing];
    const [without, marked] = await interleaved(() => onServer(args), () => onServer([...args, "--seen", "1"]));
    const send = without.map((r) => us(r.server_cpu_s, r.acknowledged));
    const mark = marked.map((r, i) => us(r.server_cpu_s, r.marks) - (send[i] * r.acknowledged) / r.marks);
    return [
      row(this.name, "without marks: CPU a send", "us", send, { of: "CPU" }),
      row(this.name, "marks, of all that is received", "/s", marked.map((r) => r.marks / r.seconds)),
      row(this.name, "CPU a mark: what is more than that of the sends", "us", mark, { of: "CPU" }),
      row(this.name, "times a send", "", mark.map((cost, i) => cost / send[i]), { most: 1 }),
    ];
  },
});

// One connection that sends and marks in turns, each so often a second, and evenly: so each has a write of the log to itself. In the second case
// a reader looks each message up in a run.
const EVEN_RATE = 1000;
const evenMarks = (seconds, interleaved) => ({
  name: "marks at an even rate",
  async run() {
    const [reports, ofRuns] = await interleaved(() => atPace(EVEN_RATE, seconds), () => atPace(EVEN_RATE, seconds, { isInRuns: true }));
    const cpu = (part) => us(part.server_cpu_s, part.count);
    const written = (part) => part.server_written / part.count;
    const rate = (part) => part.count / part.seconds;
    const times = (all, of) => all.map(({ sends, marks }) => of(marks) / of(sends));
    return [
      row(this.name, `${EVEN_RATE} a second of one connection: sends`, "/s", reports.map(({ sends }) => rate(sends)), { of: "rate" }),
      row(this.name, "the same: marks", "/s", reports.map(({ marks }) => rate(marks)), { of: "rate" }),
      row(this.name, "CPU a send", "us", reports.map(({ sends }) => cpu(sends)), { of: "CPU" }),
      row(this.name, "CPU a mark", "us", reports.map(({ marks }) => cpu(marks)), { of: "CPU" }),
      row(this.name, "times a send", "", times(reports, cpu), { most: 1 }),
      row(this.name, "bytes written to the disk, times a send's", "", times(reports, written)),
      row(this.name, "messages that only a run has: CPU a mark", "us", ofRuns.map(({ marks }) => cpu(marks)), { of: "CPU" }),
      row(this.name, "times a send, then", "", times(ofRuns, cpu), { most: 1 }),
    ];
  },
});

const typing = (timing, interleaved) => ({
  name: "typing, 100 x 16",
  async run() {
    const [reports] = await interleaved(() => onServer(["--scenario", "typing", "--connections", "100", "--window", "16", ...timing]));
    return [
      row(this.name, "answered", "/s", reports.map((r) => r.typed / r.seconds)),
      row(this.name, "CPU of one", "us", reports.map((r) => us(r.server_cpu_s, r.typed))),
    ];
  },
});

// `interleaved` is that of bench.mjs; `keepRuns` lets a server have 16 runs.
export function peopleParts(seconds, interleaved, keepRuns) {
  const timing = ["--duration", seconds, "--warmup", "0.7"];
  return [withPages(seconds, interleaved), peersPages(seconds, interleaved, keepRuns), marks(timing, interleaved), evenMarks(seconds, interleaved), typing(timing, interleaved)];
}
