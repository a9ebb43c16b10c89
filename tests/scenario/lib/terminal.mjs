// Commands of the binary that go on while a test does: in pipes, and in a terminal that tmux emulates.
import { execFile, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { BIN, DEADLINE_MS, ENVIRONMENT, until, within } from "./server.mjs";

const runFile = promisify(execFile);
// libedit never frees the names of functions that a program adds to it. Nothing of ours calls wcsdup.
const LSAN_OPTIONS = `print_suppressions=0:suppressions=${path.resolve("lib/leaks.txt")}`;

// `chitchat ARGS` with pipes. `lines`: of stdout, as they come.
export class Piped {
  lines = [];
  stderr = "";
  #child;
  #rest = "";
  #ended;

  constructor(args) {
    this.#child = spawn(BIN, args, { env: ENVIRONMENT });
    this.pid = this.#child.pid;
    this.#child.stdout.setEncoding("utf8").on("data", (text) => {
      const parts = (this.#rest + text).split("\n");
      this.#rest = parts.pop();
      this.lines.push(...parts);
    });
    this.#child.stderr.setEncoding("utf8").on("data", (text) => (this.stderr += text));
    this.#child.stdin.on("error", () => {});
    this.#ended = new Promise((resolve) => this.#child.on("close", (code, signal) => resolve({ code, signal })));
  }

  write(text) {
    this.#child.stdin.write(text);
  }

  end(text = "") {
    this.#child.stdin.end(text);
    return this.ended();
  }

  signal(name) {
    this.#child.kill(name);
  }

  ended() {
    return within(DEADLINE_MS, `the end of chitchat:\n${this.stderr}`, this.#ended);
  }

  // The objects of --json with this op.
  objects(op) {
    return this.lines.map((line) => JSON.parse(line)).filter((object) => object.op === op);
  }

  async untilLines(count) {
    await until(() => `${count} lines; there are ${this.lines.length}:\n${this.stderr}`, () => this.lines.length >= count);
    return this.lines;
  }

  async untilLive() {
    await until(() => `a login:\n${this.stderr}`, () => this.objects("state").at(-1)?.state === "live");
  }

  clean() {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGKILL");
  }
}

// `chitchat ARGS` in a terminal of tmux, with a tmux server of its own. When it has ended, the screen says "exit N".
export class Terminal {
  #dir;
  #socket;

  static async open(args, { width = 80, height = 24, env = {} } = {}) {
    const terminal = new Terminal();
    terminal.#dir = fs.mkdtempSync(path.join(os.tmpdir(), "chitchat-tmux-"));
    terminal.#socket = path.join(terminal.#dir, "socket");
    const script = path.join(terminal.#dir, "run.sh");
    const quoted = [BIN, ...args].map((word) => `'${word.replace(/'/g, "'\\''")}'`).join(" ");
    const sets = Object.entries(env).map(([name, value]) => `${name}='${value}'; export ${name}\n`).join("");
    fs.writeFileSync(script, `trap : INT; unset NO_COLOR EDITRC; HOME='${terminal.#dir}'; export HOME\n${sets}${quoted}\necho "exit $?"\nsleep 1000\n`);
    await terminal.#tmux("-f", "/dev/null", "new-session", "-d", "-x", String(width), "-y", String(height), `sh ${script}`);
    return terminal;
  }

  // The shell of the script must outlive ^C, which all in the foreground get.
  async #tmux(...args) {
    return (await runFile("tmux", ["-u", "-S", this.#socket, ...args], { env: { ...ENVIRONMENT, LC_ALL: "C.UTF-8", LSAN_OPTIONS } })).stdout;
  }

  // Keys as tmux names them: Enter, C-c, Up.
  async keys(...names) {
    await this.#tmux("send-keys", ...names);
  }

  async type(text) {
    await this.#tmux("send-keys", "-l", "--", text);
  }

  async enter(text) {
    await this.type(text);
    await this.keys("Enter");
  }

  // The lines on the screen; hasStyles: with their escape sequences. all: with what was scrolled out.
  async screen({ hasStyles = false, all = false } = {}) {
    const text = await this.#tmux("capture-pane", "-p", ...(hasStyles ? ["-e"] : []), ...(all ? ["-S", "-"] : []));
    return text.replace(/\n+$/, "").split("\n");
  }

  // Waits until `wanted`, a pattern, is on the screen; gives the lines.
  async shows(wanted, options) {
    let lines = [];
    const found = async () => wanted.test((lines = await this.screen(options)).join("\n"));
    const due = Date.now() + DEADLINE_MS;
    while (!(await found())) {
      if (Date.now() > due) throw new Error(`${wanted} is not on the screen:\n${lines.join("\n")}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return lines;
  }

  async resize(width, height) {
    await this.#tmux("resize-window", "-x", String(width), "-y", String(height));
  }

  // Ends this tmux server and what runs in it.
  async close() {
    await this.#tmux("kill-server").catch(() => {});
    fs.rmSync(this.#dir, { recursive: true, force: true });
  }
}
