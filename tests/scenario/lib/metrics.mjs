// Metrics of a server in the text format of Prometheus, read by a client of its own.
import assert from "node:assert/strict";
import { Api } from "./api.mjs";

const SAMPLE = /^([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? (\S+)$/i;

export class Scrape {
  text;
  samples; // { name, labels: { name: value }, value }

  constructor(text) {
    this.text = text;
    this.samples = text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).map(readSample);
  }

  static async take(server, options) {
    const api = new Api(server.admin, options);
    const { text, headers } = await api.expect(200, "GET", "/metrics");
    api.close();
    assert.equal(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    return new Scrape(text);
  }

  find(name, labels = {}) {
    return this.samples.filter((sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value));
  }

  // The sum over all shards; the name must exist.
  sum(name, labels) {
    const found = this.find(name, labels);
    assert.ok(found.length > 0, `${name} ${JSON.stringify(labels)}`);
    return found.reduce((sum, { value }) => sum + value, 0);
  }
}

function readSample(line) {
  const match = SAMPLE.exec(line);
  assert.ok(match, `no sample: ${line}`);
  const labels = Object.fromEntries([...(match[2] ?? "").matchAll(/([a-z_]+)="([^"]*)"/g)].map(([, key, value]) => [key, value]));
  return { name: match[1], labels, value: Number(match[3].replace("Inf", "Infinity")) };
}
