// What other programs check: clang-format over C, shellcheck over shell; and that the builds treat warnings as errors.
import { spawnSync } from "node:child_process";
import { lineOf, isShell } from "./tree.mjs";

// Runs a checker that prints FILE:LINE:COLUMN: what, and fails when it found something.
function run(tree, command, args, files) {
  if (files.length === 0) return [];
  const options = { cwd: tree.root, encoding: "utf8", maxBuffer: 1 << 28 };
  const { status, stdout, stderr, error } = spawnSync(command, [...args, ...files], options);
  if (error) return [{ file: files[0], line: 1, what: `${command} did not run: ${error.message}` }];
  if (status === 0) return [];
  const findings = [];
  for (const [, file, line, what] of (stdout + stderr).matchAll(/^([^\s:][^:\n]*):(\d+):\d+: (.*)$/gm)) {
    findings.push({ file, line: Number(line), what });
  }
  return findings.length > 0 ? findings : [{ file: files[0], line: 1, what: `${command} failed: ${stdout}${stderr}`.trim() }];
}

export function checkFormat(tree) {
  const files = [...tree.files.keys()].filter((file) => /\.[ch]$/.test(file));
  return run(tree, "clang-format", ["--style=file", "--dry-run", "--Werror"], files);
}

export function checkShell(tree) {
  const files = [...tree.files].filter(([file, text]) => isShell(file, text)).map(([file]) => file);
  return run(tree, "shellcheck", ["--format=gcc"], files);
}

// Each preset that `./dev test` builds has CHITCHAT_WERROR on, by itself or by what it inherits.
export function checkWerror(tree) {
  const file = "CMakePresets.json";
  const text = tree.files.get(file) ?? '{"configurePresets": []}';
  const presets = new Map(JSON.parse(text).configurePresets.map((preset) => [preset.name, preset]));
  const isOn = (name) => {
    const preset = presets.get(name);
    const own = preset?.cacheVariables?.CHITCHAT_WERROR;
    return own ? own === "ON" : [preset?.inherits ?? []].flat().some(isOn);
  };
  const body = tree.files.get("dev")?.match(/^do_test\(\) \{\n([\s\S]*?)^\}/m)?.[1] ?? "";
  const built = new Set([...body.matchAll(/\bbuild ([a-z]+)/g)].map((match) => match[1]));
  if (built.size === 0) return [{ file: "dev", line: 1, what: "no do_test that builds anything" }];
  return [...built].filter((name) => !isOn(name)).map((name) => {
    const line = lineOf(text, Math.max(text.indexOf(`"name": "${name}"`), 0));
    return { file, line, what: `preset ${name} is built by ./dev test without CHITCHAT_WERROR` };
  });
}
