// The files of the tree, and for each its code without the comments, and its comments.
import { execFileSync } from "node:child_process";
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

// All files that git does not ignore. Where git has nothing to say (an unpacked archive): all but what is built.
function listFiles(root) {
  try {
    const args = ["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    const listed = String(execFileSync("git", args, { cwd: root, stdio: ["ignore", "pipe", "ignore"] })).split("\0");
    return listed.filter((path) => path && lstatSync(join(root, path), { throwIfNoEntry: false })?.isFile());
  } catch {
    return walk(root, "");
  }
}

const notWalked = [".git", "build", "data", "node_modules"];

function walk(root, folder) {
  const entries = readdirSync(join(root, folder), { withFileTypes: true }).filter(({ name }) => !notWalked.includes(name));
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? walk(root, path) : entry.isFile() ? [path] : [];
  });
}

// A tree is { root, files: Map of path to text }. The self-test makes one of its own.
export function readTree(root) {
  const paths = listFiles(root);
  return { root, files: new Map(paths.sort().map((path) => [path, readFileSync(join(root, path), "utf8")])) };
}

export function isShell(path, text) {
  return path.endsWith(".sh") || /^#!.*\b(ba)?sh\b/.test(text);
}

export function kindOf(path, text) {
  if (/\.[ch]$/.test(path)) return "c";
  if (/\.(mjs|js|ts)$/.test(path)) return "js";
  if (path.endsWith(".md")) return "document";
  if (path.endsWith(".html")) return "html";
  if (path.endsWith("CMakeLists.txt") || path.endsWith(".cmake")) return "hash";
  return isShell(path, text) ? "hash" : "other";
}

export function lineOf(text, offset) {
  let line = 1;
  for (let at = text.indexOf("\n"); at >= 0 && at < offset; at = text.indexOf("\n", at + 1)) line++
  return line;
}

// Splits a text: code in which each comment is blanked out, and comments as { start, text }.
export function split(path, text) {
  const kind = kindOf(path, text);
  const comments = [];
  if (kind === "c") scanC(text, comments);
  if (kind === "js") scanJs(text, 0, text.length, comments);
  if (kind === "hash") scanHash(text, comments);
  if (kind === "html") scanHtml(text, comments);
  let code = "";
  let end = 0;
  for (const comment of comments) {
    code += text.slice(end, comment.start) + blank(comment.text);
    end = comment.start + comment.text.length;
  }
  return { kind, code: code + text.slice(end), comments: joinLines(text, comments) };
}

export function blank(text) {
  return text.replace(/[^\n]/g, " ");
}

// Comments of one line each that follow each other are one comment.
function joinLines(text, comments) {
  const joined = [];
  for (const { start, text: words } of comments) {
    const last = joined.at(-1);
    const between = last ? text.slice(last.start + last.text.length, start) : "x";
    if (last && /^\s*$/.test(between) && (between.match(/\n/g) ?? []).length <= 1) last.text += between + words;
    else joined.push({ start, text: words });
  }
  return joined;
}

// The offset behind a string that starts at `at`.
function skipString(text, at) {
  const quote = text[at];
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === quote || text[i] === "\n") return i + 1;
  }
  return text.length;
}

function lineEnd(text, at) {
  const end = text.indexOf("\n", at);
  return end < 0 ? text.length : end;
}

function blockEnd(text, at) {
  const end = text.indexOf("*/", at + 2);
  return end < 0 ? text.length : end + 2;
}

function scanC(text, comments) {
  for (let i = 0; i < text.length;) {
    const two = text.slice(i, i + 2);
    if (two === "/*" || two === "//") i = addComment(text, i, two === "/*" ? blockEnd(text, i) : lineEnd(text, i), comments);
    else if (text[i] === '"' || text[i] === "'") i = skipString(text, i);
    else i++
  }
}

function addComment(text, start, end, comments) {
  comments.push({ start, text: text.slice(start, end) });
  return end;
}

function startsRegex(text, at) {
  const before = text.slice(0, at).trimEnd();
  return before === "" || /[([{,;=:!&|?+\-*%<>~^]$/.test(before) || /\b(return|typeof|case|of|in)$/.test(before);
}

function skipRegex(text, at) {
  let inClass = false;
  for (let i = at + 1; i < text.length && text[i] !== "\n"; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === "[") inClass = true;
    else if (text[i] === "]") inClass = false;
    else if (text[i] === "/" && !inClass) return i + 1;
  }
  return at + 1;
}

// Scans code up to `end`, or up to the brace that closes it when it is the inside of a ${}. Returns where it stopped.
function scanJs(text, start, end, comments, nested = false) {
  let depth = 0;
  for (let i = start; i < end;) {
    const two = text.slice(i, i + 2);
    if (two === "/*" || two === "//") i = addComment(text, i, two === "/*" ? blockEnd(text, i) : lineEnd(text, i), comments);
    else if (text[i] === '"' || text[i] === "'") i = skipString(text, i);
    else if (text[i] === "`") i = skipTemplate(text, i, end, comments);
    else if (text[i] === "/" && startsRegex(text, i)) i = skipRegex(text, i);
    else if (nested && text[i] === "}" && depth-- === 0) return i;
    else depth += text[i++] === "{" ? 1 : 0;
  }
  return end;
}

function skipTemplate(text, at, end, comments) {
  for (let i = at + 1; i < end; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === "`") return i + 1;
    else if (text.startsWith("${", i)) i = scanJs(text, i + 2, end, comments, true);
  }
  return end;
}

// Shell and CMake. What a shell prints from <<'TEXT' to TEXT is help, read like a comment.
function scanHash(text, comments) {
  let start = 0;
  let help = -1;
  for (const line of text.split("\n")) {
    if (help >= 0) {
      if (line === "TEXT") help = addComment(text, help, start, comments) && -1;
    } else if (line.endsWith("<<'TEXT'")) {
      help = start + line.length + 1;
    } else {
      const at = hashAt(line);
      if (at >= 0) addComment(text, start + at, start + line.length, comments);
    }
    start += line.length + 1;
  }
}

function hashAt(line) {
  let quote = "";
  for (let i = 0; i < line.length; i++) {
    if (line[i] === "\\") i++;
    else if (quote) quote = line[i] === quote ? "" : quote;
    else if (line[i] === '"' || line[i] === "'") quote = line[i];
    else if (line[i] === "#" && (i === 0 || /\s/.test(line[i - 1])) && !line.startsWith("#!", i)) return i;
  }
  return -1;
}

function scanHtml(text, comments) {
  for (const match of text.matchAll(/<!--[\s\S]*?-->|<script[^>]*>([\s\S]*?)<\/script>/g)) {
    if (match[1] === undefined) addComment(text, match.index, match.index + match[0].length, comments);
    else scanJs(text, match.index + match[0].indexOf(">") + 1, match.index + match[0].length - "</script>".length, comments);
  }
}

// A document without its code, each line as long as before; with the code spans and blocks as { start, text }.
export function splitDocument(text) {
  const spans = [];
  let prose = text.replace(/^(```|~~~)[^\n]*\n([\s\S]*?)^\1[^\n]*$/gm, (all, fence, code, at) => {
    spans.push({ start: at + all.indexOf("\n") + 1, text: code });
    return blank(all);
  });
  prose = prose.replace(/(?<=(^|\n)[ \t]*\n)((    |\t)[^\n]*\n?)+/g, (all, _, _1, _2, at) => {
    spans.push({ start: at, text: all });
    return blank(all);
  });
  prose = prose.replace(/(`+)([^`]+?)\1(?!`)/g, (all, ticks, code, at) => {
    spans.push({ start: at + ticks.length, text: code.replace(/\n/g, " ") });
    return blank(all);
  });
  return { prose, spans };
}
