// A relative link in a document, and the #anchor in it, leads somewhere.
import { dirname, join, normalize } from "node:path";
import { lineOf, splitDocument } from "./tree.mjs";

// The anchors of a document's headings, as GitHub makes them, and those that it sets itself.
export function anchorsOf(text) {
  const anchors = new Set();
  const withoutBlocks = text.replace(/^(```|~~~)[^\n]*\n[\s\S]*?^\1[^\n]*$/gm, "");
  for (const [, heading] of withoutBlocks.matchAll(/^#{1,6} +(.*?) *#*$/gm)) {
    const words = heading.replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/[`*]/g, "").toLowerCase();
    const slug = words.replace(/[^\p{L}\p{N}\p{M} _-]/gu, "").replace(/ /g, "-");
    let anchor = slug;
    for (let again = 1; anchors.has(anchor); again++) anchor = `${slug}-${again}`;
    anchors.add(anchor);
  }
  for (const [, name] of withoutBlocks.matchAll(/<a (?:id|name)="([^"]+)"/g)) anchors.add(name);
  return anchors;
}

function check(tree, file, target) {
  if (/^([a-z][a-z+.-]*:|\/\/)/i.test(target)) return null;
  const [path, anchor] = target.split("#");
  const to = path === "" ? file : normalize(join(dirname(file), decodeURI(path))).replace(/\/$/, "");
  const isFolder = to === "." || [...tree.files.keys()].some((known) => known.startsWith(`${to}/`));
  if (!tree.files.has(to)) return isFolder && !anchor ? null : `no file ${to}, to which a link leads`;
  if (!anchor || !to.endsWith(".md") || anchorsOf(tree.files.get(to)).has(anchor)) return null;
  return `no heading for #${anchor} in ${to}`;
}

export function checkLinks(tree) {
  const findings = [];
  for (const [file, text] of tree.files) {
    if (!file.endsWith(".md")) continue;
    const { prose } = splitDocument(text);
    for (const match of prose.matchAll(/\]\(\s*<?([^)\s>]+)>?[^)]*\)|^ {0,3}\[[^\]^]+\]:\s*<?([^\s>]+)|<(?:img|a)\s[^>]*?\b(?:src|href)="([^"]+)"/gm)) {
      const what = check(tree, file, match[1] ?? match[2] ?? match[3]);
      if (what) findings.push({ file, line: lineOf(text, match.index), what });
    }
  }
  return findings;
}
