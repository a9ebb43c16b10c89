// Lengths of functions and files, and paths of one machine.
import { lineOf, split } from "./tree.mjs";

const functionLines = 70;
const fileLines = 600;
const documentLines = 800; // read by section
const readmeLines = 100; // the one of the tree, for somebody with five minutes
// Put together here, so that this file does not hold them.
const machinePaths = new RegExp(`(?<![\\w.$}/-])(/${"work"}(?!\\w)|/${"tmp"}/h-)`, "g");

// A C function begins with a brace in the first column; one of JavaScript at the top of a file with its own keyword, or it is
// a method of a class there. It ends at a brace as far in.
const functionStart = { c: /^()\{$/, js: /^(?:()(?:export )?(?:default )?(?:async )?function\b.*|(  )(?:static |async |get |set |\*)*#?\w+\(.*\) )\{$/ };

export function checkFunctions(tree) {
  const findings = [];
  for (const [file, text] of tree.files) {
    const { kind, code } = split(file, text);
    if (!functionStart[kind]) continue;
    let start = 0;
    let end;
    for (const [index, line] of code.split("\n").entries()) {
      const begun = functionStart[kind].exec(line);
      if (begun) [start, end] = [index + 1, `${begun[1] ?? begun[2]}}`];
      if (!start || !line.startsWith(end)) continue;
      const length = index + 2 - start;
      if (length > functionLines)
        findings.push({ file, line: start, what: `a function of ${length} lines: at most ${functionLines}` });
      start = 0;
    }
  }
  return findings;
}

export function checkFiles(tree) {
  const findings = [];
  for (const [file, text] of tree.files) {
    if (file.endsWith("package-lock.json")) continue;
    const length = text.split("\n").length - 1;
    const most = file === "README.md" ? readmeLines : file.endsWith(".md") ? documentLines : fileLines;
    if (length > most) findings.push({ file, line: most + 1, what: `a file of ${length} lines: at most ${most}` });
  }
  return findings;
}

export function checkMachinePaths(tree) {
  const findings = [];
  for (const [file, text] of tree.files) {
    for (const match of text.matchAll(machinePaths)) {
      findings.push({ file, line: lineOf(text, match.index), what: `${match[0]} is a path of one machine` });
    }
  }
  return findings;
}
