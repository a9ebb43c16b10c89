// ./dev lint [CHECK...]: what a compiler does not see, in the tree of the working directory. Prints each finding as
// FILE:LINE: what, and how many checks passed. Each check is first shown a bad example, which it must find: self_test.mjs.
import { checkCircles } from "./circles.mjs";
import { checkIncludes } from "./includes.mjs";
import { checkLinks } from "./links.mjs";
import { checkNames } from "./names.mjs";
import { selfTest } from "./self_test.mjs";
import { checkFiles, checkFunctions, checkMachinePaths } from "./shape.mjs";
import { checkFormat, checkShell, checkWerror } from "./tools.mjs";
import { readTree } from "./tree.mjs";

const checks = {
  names: checkNames,
  format: checkFormat,
  werror: checkWerror,
  shell: checkShell,
  links: checkLinks,
  includes: checkIncludes,
  circles: checkCircles,
  functions: checkFunctions,
  files: checkFiles,
  paths: checkMachinePaths,
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !checks[name]);
if (unknown.length > 0) {
  console.error(`./dev lint: unknown check ${unknown.join(", ")}: there are ${Object.keys(checks).join(", ")}`);
  process.exit(2);
}

const tree = readTree(process.cwd());
let passed = 0;
let failed = 0;

function report(name, findings) {
  for (const { file, line, what } of findings) console.log(`${file}:${line}: ${what}`);
  console.log(`lint: ${name}: ${findings.length === 0 ? "ok" : `${findings.length} findings`}`);
  if (findings.length === 0) passed++;
  else failed++;
}

for (const [name, check] of Object.entries(checks)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  report(`${name}, self-test`, selfTest(name, check));
  report(name, check(tree));
}
console.log(`lint: ${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
