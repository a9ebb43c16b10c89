// What the code of the tree says: its words, functions, types, options, files, and the commands of ./dev.
import { split } from "./tree.mjs";

export const externalPath = "tests/lint/external_names.txt";
export const typePattern = /\b(struct|enum|union) (?!(?:of|for|in|is|has|with|and|or|that|which|whose|stands)\b)([a-z]\w*)/g;

// Text that names what is not there: documents, the lint with its bad examples, and lists that are no code of ours.
function saysNothing(path) {
  return path.endsWith(".md") || path.startsWith("tests/lint/") || path.endsWith("package-lock.json");
}

// What tests hand to a program may be an option that does not exist.
function mayBeWrong(path) {
  return path.startsWith("tests/unit/") || path.startsWith("tests/scenario/");
}

// Lines of "name  why"; others are comments. Gives the line of each name.
function parseExternal(text) {
  const names = new Map();
  for (const [index, line] of text.split("\n").entries()) {
    const match = line.match(/^([^\s#]\S*)\s+\S/);
    if (match) names.set(match[1], index + 1);
  }
  return names;
}

export class Knowledge {
  #words = new Set();
  #calls = new Set();
  #types = new Set();
  #commands = new Set(["help"]);
  #headers = new Set(); // those of libraries
  #files;
  #folders = new Set();
  #code = "";
  #optionCode = "";
  #external;
  #used = new Set(); // of external names

  constructor(tree) {
    this.#external = parseExternal(tree.files.get(externalPath) ?? "");
    this.#files = [...tree.files.keys()];
    for (const [path, text] of tree.files) {
      for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) this.#folders.add(path.slice(0, at));
      if (!saysNothing(path)) this.#learn(path, split(path, text).code);
    }
  }

  #learn(path, code) {
    this.#code += `${code}\n`;
    if (!mayBeWrong(path)) this.#optionCode += `${code}\n`;
    for (const [word] of code.matchAll(/[A-Za-z_]\w*/g)) this.#words.add(word);
    for (const [, name] of code.matchAll(/([A-Za-z_]\w*)\s*\(/g)) this.#calls.add(name);
    for (const [, , name] of code.matchAll(typePattern)) this.#types.add(name);
    for (const [, name] of code.matchAll(/#include <([\w./]+)>/g)) this.#headers.add(name.split("/").at(-1));
    if (path === "dev") for (const [, name] of code.matchAll(/^do_([\w-]+)\(\)/gm)) this.#commands.add(name);
  }

  #isExternal(name) {
    if (this.#external.has(name)) this.#used.add(name);
    return this.#external.has(name);
  }

  // Names of the list that nothing asked for, with their lines.
  unusedExternal() {
    return [...this.#external].filter(([name]) => !this.#used.has(name));
  }

  // `run_*` and `run_…` stand for any end, `_max` for any start, `_on_` for both.
  hasWord(name) {
    if (this.#words.has(name)) return true;
    const start = name.replace(/[*…]$/, "");
    const isLike = (word) => {
      if (start !== name) return word.startsWith(start);
      if (!name.startsWith("_")) return false;
      return name.endsWith("_") ? word.includes(name) : word.endsWith(name);
    };
    return [...this.#words].some(isLike) || this.#isExternal(name);
  }

  hasCall(name) {
    return this.#calls.has(name) || this.#isExternal(name);
  }

  hasType(name) {
    return this.#types.has(name) || this.#isExternal(name);
  }

  hasCommand(name) {
    return this.#commands.has(name);
  }

  // Tables of options name them without the dashes.
  hasOption(name) {
    return this.#optionCode.includes(name) || this.#optionCode.includes(`"${name.slice(2)}"`) || this.#isExternal(name);
  }

  hasText(text) {
    return this.#code.includes(text) || this.#isExternal(text);
  }

  // A path from the top or the last parts of one, with {a,b} and *; a library's header; or what a program makes.
  hasPath(name) {
    const path = name.replace(/^\.\//, "").replace(/\/$/, "");
    if (expand(path).every((one) => this.#isInTree(one))) return true;
    return this.#isLibrary(path) || this.#isMade(path) || this.#isExternal(name);
  }

  #isInTree(path) {
    const pattern = new RegExp(`(^|/)${path.replace(/[.+]/g, "\\$&").replace(/\*/g, "[^/]*")}$`);
    return this.#files.some((file) => pattern.test(file)) || [...this.#folders].some((folder) => pattern.test(folder));
  }

  #isLibrary(path) {
    return this.#headers.has(path.split("/").at(-1)) && !this.#folders.has(path.split("/")[0]);
  }

  // Something built, a report, a part of the data directory: a string of the code says its last part. Never a source file.
  #isMade(path) {
    if (/\.(c|h|mjs|md|sh)$/.test(path) || this.#folders.has(path.split("/")[0])) return false;
    const last = path.split("/").at(-1).replace(/[.*+]/g, "\\$&");
    return new RegExp(`["'\`/ (]${last}["'\`/ )]`).test(this.#code);
  }
}

function expand(name) {
  const match = name.match(/\{([^{}]*)\}/);
  return match ? match[1].split(",").flatMap((part) => expand(name.replace(match[0], part))) : [name];
}
