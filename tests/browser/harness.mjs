// The tests' shared code: one Chromium for all, and a fixture for each test.
//
// Invariant: a test fails when a script or a policy of any of its pages fails, unless the test expects that message.

import assert from "node:assert/strict";
import { test } from "node:test";

import { chromium } from "playwright-core";

import { launchOptions } from "./certificates.mjs";
import { PATIENCE, Server } from "./server.mjs";

let launched;

function browser() {
  launched ??= chromium.launch({ executablePath: process.env.CHROMIUM, ...launchOptions });
  return launched;
}

export async function closeBrowser() {
  await (await launched)?.close();
}

/** What one test starts. All of it ends with the test: first the pages, so that no server waits for them. */
class Fixture {
  #servers = [];
  #contexts = [];
  #complaints = [];
  #expected = [];

  /** Starts the program. `files` are the contents of the files by their names. */
  async serve(files, ...options) {
    const server = new Server(files);
    this.#servers.push(server);
    await server.start(options);
    return server;
  }

  async serveExample(name) {
    const server = new Server();
    this.#servers.push(server);
    await server.startExample(name);
    return server;
  }

  /** Opens a page in a context of its own, which shares no cache and no credentials with others. */
  async open(url, options = {}) {
    const context = await (await browser()).newContext(options);
    this.#contexts.push(context);
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    page.on("pageerror", (error) => this.#complaints.push(String(error)));
    page.on("console", (message) => {
      const where = message.location().url;
      // Chromium asks every site for an icon.
      if (message.type() === "error" && !where.endsWith("/favicon.ico")) this.#complaints.push(`${message.text()} ${where}`);
    });
    page.on("dialog", (dialog) => {
      this.#complaints.push(`a dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    if (url) await page.goto(url);
    return page;
  }

  /** Permits messages on the console, such as that of a 404, which Chromium reports for pages, too. */
  expect(...patterns) {
    this.#expected.push(...patterns);
  }

  async end() {
    await Promise.all(this.#contexts.map((context) => context.close()));
    await Promise.all(this.#servers.map((server) => server.end()));
  }

  check() {
    const unexpected = this.#complaints.filter((text) => !this.#expected.some((pattern) => pattern.test(text)));
    assert(unexpected.length === 0, unexpected.join("\n"));
    for (const server of this.#servers) server.check();
  }
}

/** Registers a test. `body` takes the fixture. `skip` is a reason not to run it. */
export function browserTest(name, body, skip) {
  test(name, { timeout: 2 * PATIENCE, skip }, async () => {
    const fixture = new Fixture();
    try {
      await body(fixture);
    } finally {
      await fixture.end();
    }
    fixture.check();
  });
}

/** Says whether the page is wider than its window. */
export function scrollsSideways(page) {
  return page.evaluate(() => document.scrollingElement.scrollWidth > document.documentElement.clientWidth);
}
