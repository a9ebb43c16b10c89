// What a comment or a document names in code form exists in the tree.
//
// In documents code form is what stands in backticks, and code blocks. In comments it is also a word with an underscore, a
// word before (), a file name, an option, the word behind struct or ./dev, and in JavaScript a word in camel case. A name
// exists when the code of the tree, its comments left out, has it, or when external_names.txt lists it.
import { externalPath, Knowledge, typePattern } from "./knowledge.mjs";
import { lineOf, split, splitDocument } from "./tree.mjs";

const filePattern =
  /(?<![\w/.])(?:[\w.*/-]|\{[\w,.]+\})*[\w*}]\.(?:c|h|mjs|js|sh|md|cmake|html|json|yml|txt|\{c,h\}|\*)(?!\w|\.\w)/g;
const optionPattern = /(?<![\w-])(--[a-z][\w-]*)/g;
const commandPattern = /(?<![\w/])\.\/dev ([a-z][a-z-]*)/g;
const callPattern = /(?<![\w.])([A-Za-z_]\w*)\(\)/g;
const wordPattern = /(?<!\w)[A-Za-z_]\w*_\w*(?:\*|…)?/g;
const camelPattern = /\b[a-z]+[A-Z]\w{2,}\b/g;

// Looks at each match of `pattern` in `text` with inspect(name, offset), where the name is the last group. Returns the text
// without the matches, so that no other pattern finds them again.
function take(text, pattern, inspect) {
  for (const match of text.matchAll(pattern)) inspect(match.at(-1), match.index);
  return text.replace(pattern, (all) => " ".repeat(all.length));
}

// Gives what does not exist to report(offset, what).
function checkText(known, text, report, hasCamelCase) {
  let rest = take(text, /\bhttps?:\/\/\S+/g, () => {});
  rest = take(rest, filePattern, (name, at) => known.hasPath(name) || report(at, `no file ${name}`));
  rest = take(rest, optionPattern, (name, at) => known.hasOption(name) || report(at, `no option ${name}`));
  rest = take(rest, commandPattern, (name, at) => known.hasCommand(name) || report(at, `no command ./dev ${name}`));
  rest = take(rest, typePattern, (name, at) => known.hasType(name) || report(at, `no type ${name}`));
  rest = take(rest, callPattern, (name, at) => known.hasCall(name) || report(at, `no function ${name}()`));
  rest = take(rest, wordPattern, (name, at) => known.hasWord(name) || report(at, `no name ${name}`));
  if (hasCamelCase) take(rest, camelPattern, (name, at) => known.hasWord(name) || report(at, `no name ${name}`));
}

// A span of one word: it must exist whatever it looks like.
const wholeSpans = [
  [/^[A-Za-z_]\w*$/, "name", (known, text) => known.hasWord(text)],
  [/^[A-Za-z]\w*(-\w+)+$/, "name", (known, text) => known.hasText(text)],
  [/^\/[\w./-]+$/, "path", (known, text) => known.hasText(text)],
  [/^(?!\.\/dev$)[\w.*{},-]+\/[\w.*{},/-]*$/, "path", (known, text) => known.hasPath(text)],
];

// A span of more words, or a block.
const partsOfSpans = [
  [/"(\w+)":/g, "key", (known, name) => known.hasWord(name)],
  [/(?<![\w./-])(build\/[\w./-]+)/g, "path", (known, name) => known.hasPath(name)],
  [/(?<![\w./-])chitchat ([a-z]+)/g, "command chitchat", (known, name) => known.hasWord(name)],
];

function checkSpan(known, span, report) {
  const text = span.trim();
  const whole = wholeSpans.find(([pattern]) => pattern.test(text));
  if (whole) {
    const [, what, has] = whole;
    if (!has(known, text)) report(span.indexOf(text), `no ${what} ${text}`);
    return;
  }
  let rest = span;
  for (const [pattern, what, has] of partsOfSpans) {
    rest = take(rest, pattern, (name, at) => has(known, name) || report(at, `no ${what} ${name}`));
  }
  checkText(known, rest, report, false);
}

function checkComment(known, text, report, hasCamelCase) {
  const reportIn = (start) => (offset, what) => report(start + offset, what);
  const rest = take(text, /(?<!`)`([^`\n]+)`(?!`)/g, (span, at) => checkSpan(known, span, reportIn(at + 1)));
  checkText(known, rest, report, hasCamelCase);
}

export function checkNames(tree) {
  const findings = [];
  const known = new Knowledge(tree);
  for (const [file, text] of tree.files) {
    const reportIn = (start) => (offset, what) => findings.push({ file, line: lineOf(text, start + offset), what });
    const { kind, comments } = split(file, text);
    const spans = kind === "document" ? splitDocument(text).spans : [];
    for (const span of spans) checkSpan(known, span.text, reportIn(span.start));
    for (const comment of comments) checkComment(known, comment.text, reportIn(comment.start), kind === "js" || kind === "html");
  }
  for (const [name, line] of known.unusedExternal()) {
    findings.push({ file: externalPath, line, what: `nothing names ${name}, or the tree has it now` });
  }
  return findings;
}
