// A server of the tests: the program, or an example, as a process of its own with a temporary directory to serve.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";

const DAY = 24 * 60 * 60;
/** How long a test waits for anything, in milliseconds. */
export const PATIENCE = 10_000;
const BINARY = process.env.HTTPOLL_BINARY;
/** The name by which the tests ask for servers that speak HTTPS. */
export const NAME = "files.test";

// A test that is stopped because it takes too long does not end its servers.
const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** Waits until `condition` returns something true, and returns that. */
export async function until(what, condition) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert(Date.now() < end, `not within ${PATIENCE / 1000} s: ${what}`);
    await setTimeout(20);
  }
}

/** Returns the status in a line of the access log. */
const statusOf = (line) => Number(line.match(/" (\d{3}) /)[1]);

export class Server {
  #folder = fs.mkdtempSync(path.join(os.tmpdir(), "httpoll-browser-"));
  #child;
  #lastWords;
  #lines = [];

  /** The directory that is served. */
  root = path.join(this.#folder, "site");

  /** Makes the site. `files` are the contents of the files by their names. */
  constructor(files = {}) {
    fs.mkdirSync(this.root);
    for (const [name, content] of Object.entries(files)) this.write(name, content);
  }

  /** Starts the program with these options. */
  async start(options) {
    await this.#run(BINARY, ["0", "-b", "127.0.0.1", "-d", this.root, ...options]);
  }

  /** Starts an example of the same build, or of the debug build beside it. Its first argument is its address. */
  async startExample(name) {
    const places = ["examples", "../debug/examples"].map((folder) => path.join(path.dirname(BINARY), folder, name));
    const program = places.find((place) => fs.existsSync(place));
    assert(program, `not built: cargo build --release --example ${name}`);
    await this.#run(program, ["127.0.0.1:0"]);
  }

  async #run(program, words) {
    const log = fs.openSync(path.join(this.#folder, "log"), "a");
    this.#child = spawn(program, words, { stdio: ["ignore", "pipe", log] });
    fs.closeSync(log);
    running.add(this.#child);
    const lines = createInterface(this.#child.stdout);
    lines.on("line", (line) => this.#lines.push(line));
    const [banner] = await Promise.race([once(lines, "line"), once(this.#child, "exit")]);
    const port = String(banner).match(/ port (\d+) |:(\d+)\/$/);
    assert(port, `the server did not start: ${this.log() || banner}`);
    const origin = banner.includes("HTTPS") ? `https://${NAME}` : "http://127.0.0.1";
    this.url = `${origin}:${port[1] ?? port[2]}/`;
  }

  /** Returns the address in the line of the banner that begins like this. */
  async address(beginning) {
    const found = () => this.#lines.find((line) => line.startsWith(beginning));
    const line = await until(`a line that begins with ${beginning}`, found);
    return line.match(/http\S+/)[0];
  }

  /** Returns a metric, as the sum over its labels. The server was started with `--admin`. */
  async metric(name) {
    const reply = await fetch(`${await this.address("Health and metrics")}metrics`);
    const lines = (await reply.text()).split("\n").filter((line) => line.split(/[ {]/)[0] === name);
    return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  }

  signal(name) {
    this.#child.kill(name);
  }

  /** Writes a file of the site, and the directories above it. `age` is the time since its last change, in days. */
  write(name, content, age = 0) {
    const file = path.join(this.root, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, content);
    const time = Date.now() / 1000 - age * DAY;
    fs.utimesSync(file, time, time);
  }

  /** Replaces a file of the site by renaming another, as editors do. */
  replace(name, content) {
    this.write(`${name}.new`, content);
    fs.renameSync(path.join(this.root, `${name}.new`), path.join(this.root, name));
  }

  /** Returns what the server has written to its standard error: the access log, and messages. */
  log() {
    return fs.readFileSync(path.join(this.#folder, "log"), "utf8");
  }

  /**
   * Returns the status of each request with this beginning, such as "GET /a.js ", in the order of the log. It waits until there are
   * `count`, because a line may be written after its reply.
   */
  async statuses(request, count) {
    const statuses = () => this.log().split("\n").filter((line) => line.includes(`"${request}`)).map(statusOf);
    await until(`${count} lines of ${request} in ${this.log()}`, () => statuses().length >= count);
    return statuses();
  }

  /** Ends the server by SIGTERM, and removes its directory. */
  async end() {
    if (this.#child?.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill("SIGTERM");
      await once(this.#child, "exit");
    }
    running.delete(this.#child);
    this.#lastWords = this.#child && this.log();
    fs.rmSync(this.#folder, { recursive: true });
  }

  /** Checks how the server has ended. The signal ends an example, which does not handle it. */
  check() {
    const { exitCode, signalCode } = this.#child;
    assert(exitCode === 0 || signalCode === "SIGTERM", `exit code ${exitCode}: ${this.#lastWords}`);
    assert(!this.#lastWords.includes("panicked"), this.#lastWords);
  }
}
