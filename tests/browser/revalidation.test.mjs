// Caching in the browser: a page that is visited again is asked for, and loaded only if it has changed.

import assert from "node:assert/strict";

import { browserTest } from "./harness.mjs";

const PAGE = '<!DOCTYPE html><link rel="stylesheet" href="style.css"><script src="script.js"></script><a href="/">back</a>';

browserTest("an edited script runs at the next visit, and the rest is 304", async (fixture) => {
  const server = await fixture.serve({});
  // Without Cache-Control a browser takes what has not changed for 100 days for fresh for 10 more (RFC 9111 §4.2.2).
  server.write("index.html", '<!DOCTYPE html><a href="page.html">page</a>', 100);
  server.write("page.html", PAGE, 100);
  server.write("style.css", "body { color: rgb(1, 2, 3) }", 100);
  server.write("script.js", "globalThis.version = 'old';", 100);
  const page = await fixture.open(server.url);
  const visit = async () => {
    await page.getByRole("link", { name: "page" }).click();
    await page.waitForURL("**/page.html");
    const version = await page.evaluate(() => globalThis.version);
    await page.getByRole("link", { name: "back" }).click();
    await page.waitForURL(server.url);
    return version;
  };
  assert.equal(await visit(), "old");
  server.write("script.js", "globalThis.version = 'new';");
  assert.equal(await visit(), "new");
  assert.equal(await visit(), "new");
  assert.deepEqual(await server.statuses("GET /script.js ", 3), [200, 200, 304]);
  assert.deepEqual(await server.statuses("GET /style.css ", 3), [200, 304, 304]);
  assert.deepEqual(await server.statuses("GET /page.html ", 3), [200, 304, 304]);
});

browserTest("a listing shows a new file at the next visit", async (fixture) => {
  const server = await fixture.serve({ "folder/first.txt": "", "index.html": '<!DOCTYPE html><a href="folder/">folder</a>' });
  const page = await fixture.open(server.url);
  const visit = async () => {
    await page.getByRole("link", { name: "folder" }).click();
    await page.waitForURL("**/folder/");
    const names = await page.locator("tbody a").allInnerTexts();
    await page.getByRole("link", { name: "/", exact: true }).first().click();
    await page.waitForURL(server.url);
    return names;
  };
  assert.deepEqual(await visit(), ["../", "first.txt"]);
  server.write("folder/second.txt", "");
  assert.deepEqual(await visit(), ["../", "first.txt", "second.txt"]);
});

browserTest("a file that appears is found after its 404", async (fixture) => {
  fixture.expect(/status of 404/);
  const server = await fixture.serve({ "index.html": '<!DOCTYPE html><a href="late.html">late</a>' });
  const page = await fixture.open(server.url);
  await page.getByRole("link").click();
  await page.waitForURL("**/late.html");
  assert.match(await page.title(), /404/);
  server.write("late.html", '<!DOCTYPE html><title>late</title>', 100);
  await page.goto(server.url);
  await page.getByRole("link").click();
  await page.waitForURL("**/late.html");
  assert.equal(await page.title(), "late");
});
