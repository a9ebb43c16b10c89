// The results as one page that needs no other file: bars of medians with their ranges, by group; the open loop over time; the machine.
import { show, showSummary } from "./bench_table.mjs";

const escape = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

const style = `
:root{color-scheme:light dark;--a:#2a6fb5;--b:#c26a1b;--c:#888;--line:#8885;--good:#22773f;--bad:#b3263c}
@media(prefers-color-scheme:dark){:root{--a:#6cb0f0;--b:#f0a04b;--good:#5cc880;--bad:#ff7b8c}}
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .4rem}p{margin:.4rem 0}.dim{opacity:.7}
.row{display:grid;grid-template-columns:minmax(10rem,1.2fr) 1.7fr minmax(15.5rem,1fr);gap:.2rem .8rem;align-items:center;padding:.25rem 0;border-bottom:1px solid var(--line)}
.wide{grid-column:span 2}.row .v{text-align:right;font-variant-numeric:tabular-nums}.bar{position:relative;height:.9rem}
.bar i{position:absolute;inset:0 auto 0 0;background:var(--a);border-radius:2px}.key i{display:inline-block;width:.9em;height:.9em;border-radius:2px;background:var(--a);margin:0 .4em -.1em 0}
.other i{background:var(--b)}.generator i{background:var(--c)}
.key span{margin-right:1.2em}
.bar u{position:absolute;top:45%;height:2px;background:currentColor;opacity:.6}
.yes{color:var(--good)}.no{color:var(--bad)}.yes,.no{font-weight:600}small{opacity:.85}
.w{overflow-x:auto}svg{width:100%;min-width:36em;height:auto;display:block}svg text{font-size:12px;fill:currentColor;opacity:.75}
@media(max-width:38rem){.row{grid-template-columns:1fr auto}.row .bar{grid-column:1/-1;order:3}.wide{grid-column:auto}}`;

// A bar shows the share of the longest bar that it is compared with (row.of); a row without another one to compare has no bar. The thin line
// is the range.
function bar(r, rows) {
  const alike = rows.filter((other) => other.of === r.of && other.unit === r.unit);
  if (r.of === "" || alike.length < 2) return "";
  const longest = Math.max(...alike.map((other) => other.figure.max)) || 1;
  const percent = (value) => ((100 * value) / longest).toFixed(2);
  const { median, min, max } = r.figure;
  const range = max > min ? `<u style="left:${percent(min)}%;width:${percent(max - min)}%"></u>` : "";
  return `<div class="bar ${r.who}"><i style="width:${percent(median)}%"></i>${range}</div>`;
}

function verdict(r) {
  if (!r.wanted) return "";
  return `<br><small>target: ${escape(r.wanted)} <span class="${r.verdict}">${r.verdict === "yes" ? "✓ met" : "✗ not met"}</span></small>`;
}

function group(name, rows) {
  const lines = rows.map((r) => {
    const drawn = bar(r, rows);
    const value = `<div class=v>${escape(showSummary(r.figure))} <small>${escape(r.unit)}</small></div>`;
    return `<div class=row><div${drawn === "" ? " class=wide" : ""}>${escape(r.name)}${verdict(r)}</div>${drawn}${value}</div>`;
  });
  return `<h2>${escape(name)}</h2>${lines.join("\n")}`;
}

// Moves places apart that are closer than `gap`, keeps their order, and moves none beyond `most`.
export function spread(places, gap, most) {
  const order = places.map((_, i) => i).sort((a, b) => places[a] - places[b]);
  const moved = [...places];
  order.forEach((i, k) => k > 0 && (moved[i] = Math.max(moved[i], moved[order[k - 1]] + gap)));
  let limit = most;
  for (const i of order.reverse()) {
    moved[i] = Math.min(moved[i], limit);
    limit = moved[i] - gap;
  }
  return moved;
}

// A step for each interval; an interval without an answer breaks the line. `points`: {from, to, value}; value 0: no answer.
export function steps(points, x, y) {
  let path = "", before = 0;
  for (const { from, to, value } of points) {
    if (value > 0) path += `${before > 0 ? "L" : "M"}${x(from).toFixed(1)} ${y(value).toFixed(1)}H${x(to).toFixed(1)}`;
    before = value;
  }
  return path;
}

// p50, p99 and max of each interval, on a logarithmic scale of ms.
function overTime(report) {
  const [width, height, left, bottom] = [900, 240, 60, 26];
  const SERIES = [["max", "var(--bad)"], ["p99", "var(--b)"], ["p50", "var(--a)"]];
  const points = report.points, end = points.at(-1)?.at;
  const last = points.findLast((p) => p.max > 0);
  if (!last) return "";
  const low = 0.01, high = 10 ** Math.ceil(Math.log10(Math.max(...points.map((p) => p.max)) / 1000 + 1e-9));
  const x = (at) => left + (at / end) * (width - left - 90);
  const y = (ms) => height - bottom - (Math.log(Math.max(ms, low) / low) / Math.log(high / low)) * (height - bottom - 12);
  let out = "";
  for (let ms = low; ms <= high * 1.01; ms *= 10)
    out += `<path d="M${left} ${y(ms)}H${width - 90}" stroke="currentColor" opacity=".15"/><text x="${left - 6}" y="${y(ms) + 4}" text-anchor="end">${ms < 999 ? `${+ms.toPrecision(1)} ms` : `${Math.round(ms / 1000)} s`}</text>`;
  const labels = spread(SERIES.map(([key]) => y(last[key] / 1000) + 4), 13, height - bottom);
  SERIES.forEach(([key, colour], i) => {
    const values = points.map((p, k) => ({ from: k > 0 ? points[k - 1].at : 0, to: p.at, value: p[key] / 1000 }));
    out += `<path fill="none" stroke="${colour}" stroke-width="2" d="${steps(values, x, y)}"/>`;
    out += `<text x="${width - 84}" y="${labels[i].toFixed(1)}" style="fill:${colour};opacity:1">${key}</text>`;
  });
  for (const share of [0, 0.25, 0.5, 0.75, 1])
    out += `<text x="${x(end * share)}" y="${height - 6}" text-anchor="middle">${show(end * share, 1)} s</text>`;
  return `<h2>Open loop over time: send to ok</h2><div class=w><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="latency over time">${out}</svg></div>`;
}

const KEY = `<p class=key><span><i></i>chitchat</span><span class=other><i></i>what it is compared with</span><span class=generator><i></i>the generator</span></p>`;

export function writePage({ machine, commit, runs, seconds, took, rows, notes, openLoop }) {
  const names = [...new Set(rows.map((r) => r.group))];
  const targets = rows.filter((r) => r.wanted), met = targets.filter((r) => r.verdict === "yes");
  return `<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">
<title>chitchat: ./dev bench</title><style>${style}</style>
<h1>chitchat: <code>./dev bench</code></h1>
<p>${escape(machine)}; commit ${escape(commit)}; ${show(took / 60, 1)} minutes</p>
<p>${runs === 1 ? "One run" : `Medians of ${runs} runs`} each, in turns, ${escape(seconds)} s of closed loop each; the thin line is the range. One shard on CPU 0, the generator on CPU 1,
text of 64 bytes, everything durable, everything received verified. <b>${met.length} of ${targets.length} targets met.</b></p>
${KEY}
${names.map((name) => group(name, rows.filter((r) => r.group === name))).join("\n")}
${openLoop ? overTime(openLoop) : ""}
${notes.map((note) => `<p class=dim>${escape(note)}</p>`).join("\n")}
</html>
`;
}
