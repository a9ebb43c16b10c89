// Metrics of a server in the text format of Prometheus, read by a client of its own.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
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
    return Scrape.at(server.admin, options);
  }

  static async at(address, options) {
    const api = new Api(address, options);
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

// -- docs/monitoring --

export const ROOT = path.resolve("../..");
export const MONITORING = path.join(ROOT, "docs/monitoring");
export const OF_CLUSTER = /^chitchat_(cluster_|barrier_|log_(connected|last_batch|applied_batch|run_batch|lag_batches|append))/;

const rules = fs.readFileSync(path.join(MONITORING, "alerts.yml"), "utf8");
const dashboard = JSON.parse(fs.readFileSync(path.join(MONITORING, "grafana-dashboard.json"), "utf8"));
export const MONITORED = {
  rules,
  dashboard,
  dashboardQueries: dashboard.panels.flatMap((panel) => (panel.targets ?? []).map((target) => target.expr)),
  expressions: [...rules.matchAll(/^ *expr: (.*)$/gm)].map(([, expr]) => expr),
};

// { name, labels } of each metric in queries: only labels that are compared with a fixed text.
function metricsIn(text) {
  return [...text.matchAll(/\b((?:chitchat|process)_[a-z_]+)(?:\{([^}]*)\})?/g)].map(([, name, labels]) => ({
    name,
    labels: Object.fromEntries([...(labels ?? "").matchAll(/([a-z_]+)="([^"$]*)"/g)].map(([, key, value]) => [key, value]).filter(([key]) => key !== "job")),
  }));
}

// What the alert rules and the dashboard name.
export function metricsMonitored() {
  return [...MONITORED.expressions, ...MONITORED.dashboardQueries, dashboard.templating.list[1].query.query].flatMap(metricsIn);
}

function readSample(line) {
  const match = SAMPLE.exec(line);
  assert.ok(match, `no sample: ${line}`);
  const labels = Object.fromEntries([...(match[2] ?? "").matchAll(/([a-z_]+)="([^"]*)"/g)].map(([, key, value]) => [key, value]));
  return { name: match[1], labels, value: Number(match[3].replace("Inf", "Infinity")) };
}
