// For each check a small tree with bad examples and good ones: what it finds there must be exactly what is listed.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const file = "tests/lint/self_test.mjs";

const lines = (...all) => all.join("\n") + "\n";

// What stands in `files`, and where the findings are: FILE:LINE, and a part of what is said.
const examples = {
  names: {
    files: {
      "src/base/pool.h": lines(
        "/* pool_take() gives a slot, pool_grab() does not exist. See base/pool.h and base/gone.h, and */",
        "struct pool;",
        "void *pool_take(struct pool *pool);",
        "/* A name on its own, `pool`; one that is gone, `basin`; pool_slots of pool_*, not tub_*. struct pool, of struct tub. */",
        'const char *option = "--memory"; /* --memory, and --memoire; ./dev test and ./dev taste; listed_name */',
        'const char *text = "/* no_comment: a string */";'),
      dev: lines("#!/usr/bin/env bash", "do_test() {", "    true # runs all_tests", "}"),
      "tests/a.mjs": lines(
        "const text = `a ${b /* old_name */} // no_comment`",
        "let camelCase = /[/*]x/ // camelCase and goneCase"),
      "src/web/page.js": "let words = 1; // words, camelCase and lostCase\n",
      "README.md": lines(
        "Say `./dev test` or `./dev toast`, `src/base/` or `src/cellar/`, `pool_take()`, `pool`, `puddle`.",
        "",
        "    ./dev roast --memory",
        "",
        "```",
        '{"text": 1, "txet": 2}',
        "```",
        "A file `pool.h`, `wall.h`, `src/base/*.h`."),
      "tests/lint/external_names.txt": lines("# why", "listed_name  somebody else has it", "stale_name  nobody names it"),
    },
    findings: ["README.md:1: ./dev toast", "README.md:1: src/cellar/", "README.md:1: puddle", "README.md:3: ./dev roast",
      "README.md:6: txet", "README.md:8: wall.h", "dev:3: all_tests", "src/base/pool.h:1: pool_grab()", "src/base/pool.h:1: base/gone.h",
      "src/base/pool.h:4: basin", "src/base/pool.h:4: pool_slots", "src/base/pool.h:4: tub_*", "src/base/pool.h:4: type tub",
      "src/web/page.js:1: lostCase", "src/base/pool.h:5: --memoire", "src/base/pool.h:5: ./dev taste", "tests/a.mjs:1: old_name", "tests/a.mjs:2: goneCase",
      "tests/lint/external_names.txt:3: stale_name"],
  },
  format: {
    files: { ".clang-format": "BasedOnStyle: LLVM\n", "a.c": "int good;\n", "b.h": "int good;\nint   bad;\n" },
    findings: ["b.h:2: formatted"],
  },
  werror: {
    files: {
      dev: lines("do_test() {", "    must build release", "    must build asan", "    must build sim tests", "}",
        "do_fuzz() { build fuzz; }"),
      "CMakePresets.json": JSON.stringify({ configurePresets: [
        { name: "base", cacheVariables: { CHITCHAT_WERROR: "ON" } }, { name: "asan", inherits: "base" }, { name: "release" },
        { name: "sim", inherits: "base", cacheVariables: { CHITCHAT_WERROR: "OFF" } }, { name: "fuzz" }] }),
    },
    findings: ["CMakePresets.json:1: preset release", "CMakePresets.json:1: preset sim"],
  },
  shell: {
    files: { dev: "#!/usr/bin/env bash\nname=$1\necho $name\n", "good.sh": '#!/bin/sh\necho "$1"\n', text: "echo $name\n" },
    findings: ["dev:3: SC2086"],
  },
  links: {
    files: {
      "README.md": lines(
        "# One: the `first`",
        "",
        "See [a](docs/A.md), [b](docs/B.md), [c](#one-the-first), [d](#two), [e](docs/), [f](https://x.org/y).",
        "And [g](docs/A.md#part-1), [h](docs/A.md#part-2), `[i](none.md)`, [j][k].",
        "",
        "[k]: docs/K.md",
        '<img src="docs/A.md"> <img width="1" src="docs/a.png">'),
      "docs/A.md": lines("# Part", "# Part", "Back: [up](../README.md), [wrong](README.md)"),
    },
    findings: ["README.md:3: docs/B.md", "README.md:3: #two", "README.md:4: #part-2", "README.md:6: docs/K.md", "README.md:7: docs/a.png",
      "docs/A.md:3: docs/README.md"],
  },
  includes: {
    files: {
      "src/base/pool.h": lines('#include "protocol/http.h"', '#include "base/list.h"', "#include <stdio.h>"),
      "src/base/list.h": '/* #include "protocol/http.h" */\n',
      "src/protocol/http.h": lines('#include "base/pool.h"', '#include "base/gone.h"', "#include <liburing.h>", "#include <llhttp.h>"),
      "src/new/new.h": '#include "base/pool.h"\n',
      "src/base/own_private.h": "/* What own.c and own_walk.c share. No other file includes it. */\n",
      "src/base/own.c": '#include "base/own_private.h"\n',
      "src/base/other.c": '#include "base/own_private.h"\n',
      "tests/unit/test_pool.c": lines('#include "base/pool.h"', "#include <lmdb.h>"),
    },
    findings: ["src/base/other.c:1: no other file", "src/base/pool.h:1: may not include src/protocol/http.h", "src/new/new.h:1: no row for src/new",
      "src/protocol/http.h:2: no header base/gone.h", "src/protocol/http.h:3: <liburing.h>"],
  },
  circles: {
    files: {
      "src/base/pool.h": "int pool_take(void);\n",
      "src/base/pool.c": lines('#include "base/list.h"', "int pool_take(void)", "{", "    return list_next(pool_give);", "}"),
      "src/base/pool_give.c": lines("int pool_give(void)", "{", "    return pool_take();", "}"),
      "src/base/list.h": "int list_next(int (*give)(void));\n",
      "src/base/list.c": lines("int list_next(int (*give)(void))", "{", "    return hash_of(give);", "}"),
      "src/base/hash.c": lines("static int fill(void)", "{", "    return pool_take();", "}", "int hash_of(int x)", "{", "    return fill() + x;", "}"),
      "src/base/above.c": lines("int above_all(struct list_next *x)", "{", "    return x->hash_of + x.pool_take;", "}"),
      "src/base/below.c": lines("/* above_all */", "int below_it(void)", "{", '    return f("above_all");', "}", "static int hash_of(int x)", "{", "    return x;", "}"),
      "src/base/mark.h": lines("int mark_set(void);", "#define MARK(x) \\", "    ((x) ? 0 : mark_set())"),
      "src/base/mark.c": lines("int mark_set(void)", "{", "    return note_it();", "}"),
      "src/base/note.c": lines("static int quote(void)", "{", "    return '\"';", "}", "int note_it(void)", "{", "    return MARK(1);", "}",
        "static int end(void)", "{", "    return '\"';", "}"),
      "src/base/upper.c": lines("int upper_go(void)", "{", "    return below_it() + pool_take() + above_all(0);", "}"),
    },
    findings: ["src/base/hash.c:1: a circle of 3 modules", "src/base/mark.h:1: a circle of 2 modules"],
  },
  functions: {
    files: {
      "a.c": lines("int f(void)", "{", ...Array(68).fill("    ;"), "}", "int g(void)", "{", ...Array(69).fill("    ;"), "}"),
      "b.mjs": lines("export async function f() {", ...Array(69).fill("  //"), "}", "const x = {", ...Array(70).fill("  //"), "}"),
      "c.js": lines("class C {", "  async #g() {", ...Array(68).fill("    //"), "  }", "  static h(x) {", ...Array(69).fill("    //"), "  }", "}"),
    },
    findings: ["a.c:73: 71 lines", "b.mjs:1: 71 lines", "c.js:72: 71 lines"],
  },
  files: {
    files: { "a.c": "\n".repeat(600), "b.c": "\n".repeat(601), "README.md": "\n".repeat(101), "docs/README.md": "\n".repeat(101) },
    findings: ["b.c:601: 601 lines", "README.md:101: 101 lines"],
  },
  paths: {
    files: { "a.c": lines("/* /worker is none, $dir/" + "work neither */", "/* in /" + "work/x */"), "b.sh": "cd /tmp/" + "h-x\n" },
    findings: ["a.c:2: path", "b.sh:1: path"],
  },
};

function makeTree({ files }) {
  const root = mkdtempSync(join(tmpdir(), "lint-"));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return { root, files: new Map(Object.entries(files)) };
}

// Findings about the check itself: what it missed, and what it found that is no fault.
export function selfTest(name, check) {
  const example = examples[name];
  if (!example) return [{ file, line: 1, what: `${name} has no bad example` }];
  const tree = makeTree(example);
  const found = check(tree).map((finding) => `${finding.file}:${finding.line}: ${finding.what}`);
  rmSync(tree.root, { recursive: true });
  const findings = [];
  for (const expected of example.findings) {
    const [, place, what] = expected.match(/^([^:]+:\d+: )(.*)$/);
    const at = found.findIndex((text) => text.startsWith(place) && text.includes(what));
    if (at < 0) findings.push({ file, line: 1, what: `${name} did not find ${expected}` });
    else found.splice(at, 1);
  }
  return [...findings, ...found.map((text) => ({ file, line: 1, what: `${name} found what is no fault: ${text}` }))];
}
