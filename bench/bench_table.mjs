// Medians, ranges, and the one table.

export function summary(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return { median: sorted[sorted.length >> 1], min: sorted[0], max: sorted.at(-1) };
}

const digitsOf = (value) => (value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3);

export function show(value, digits = digitsOf(Math.abs(value))) {
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function showSummary({ median, min, max }) {
  const digits = digitsOf(Math.abs(median));
  return min === max ? show(median, digits) : `${show(median, digits)} (${show(min, digits)} to ${show(max, digits)})`;
}

// A row: its group and name, one figure with its unit, and how to show it: {least} or {most}, the target; {of}, what is compared (the rows of a
// group with the same one have bars on one scale); {who} the figure belongs to, if not to chitchat: "other" or "generator".
export function row(group, name, unit, values, { least, most, of = "", who = "chitchat" } = {}) {
  const figure = summary(values);
  const wanted = least !== undefined ? `at least ${show(least)}` : most !== undefined ? `at most ${show(most)}` : "";
  let verdict = "";
  if (least !== undefined) verdict = figure.median >= least ? "yes" : "no";
  if (most !== undefined) verdict = figure.median <= most ? "yes" : "no";
  return { group, name, unit, figure, wanted, verdict, of, who };
}

export function markdown(rows) {
  const lines = [];
  const cells = rows.map((r) => [r.name, showSummary(r.figure), r.unit, r.wanted, r.verdict]);
  const heads = ["what", "median (range)", "unit", "target", "met"];
  const widths = heads.map((head, i) => Math.max(head.length, ...cells.map((cell) => cell[i].length)));
  const line = (cell) => `| ${cell.map((text, i) => text.padEnd(widths[i])).join(" | ")} |`;
  lines.push(line(heads), `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`);
  let group = "";
  rows.forEach((r, i) => {
    if (r.group !== group) lines.push(line([`**${r.group}**`, "", "", "", ""]));
    group = r.group;
    lines.push(line(cells[i]));
  });
  return lines.join("\n");
}
