// --live: pages follow the files.

import assert from "node:assert/strict";

import { browserTest } from "./harness.mjs";
import { until } from "./server.mjs";

const html = (title) => `<!DOCTYPE html><title>${title}</title><link rel="stylesheet" href="style.css">
<script src="script.js"></script><h1>${title}</h1>`;
const SITE = {
  "index.html": html("first"),
  "folder/other.html": "<!DOCTYPE html><title>other</title>",
  "style.css": "h1 { color: rgb(1, 1, 1) }",
  "script.js": "globalThis.version = 1;",
  "notes.txt": "old notes",
};

const colour = (page) => page.evaluate(() => getComputedStyle(document.querySelector("h1")).color);

const isStream = (reply) => reply.headers()["content-type"]?.startsWith("text/event-stream");
/** Waits until the page listens to changes. */
const subscribed = (page) => page.waitForEvent("response", isStream);

/** Opens a page that listens to changes: an earlier change would be in the page already. */
async function openLive(fixture, server, path = "") {
  const page = await fixture.open();
  await Promise.all([subscribed(page), page.goto(server.url + path)]);
  return page;
}

/** A variable that a reload would lose. */
const mark = (page) => page.evaluate(() => { globalThis.marked = true; });
const isMarked = (page) => page.evaluate(() => globalThis.marked === true);

browserTest("a page is loaded again when its HTML changes", async (fixture) => {
  const server = await fixture.serve(SITE, "--live");
  const page = await openLive(fixture, server);
  for (const title of ["second", "third"]) {
    const again = subscribed(page);
    server.write("index.html", html(title));
    await again;
    assert.equal(await page.title(), title);
  }
});

browserTest("a page is loaded again when a script changes", async (fixture) => {
  const server = await fixture.serve(SITE, "--live");
  const page = await openLive(fixture, server);
  server.write("script.js", "globalThis.version = 2;");
  await page.waitForFunction(() => globalThis.version === 2);
});

browserTest("a style sheet is exchanged without loading the page again", async (fixture) => {
  const server = await fixture.serve(SITE, "--live");
  const page = await openLive(fixture, server);
  await mark(page);
  for (const part of [2, 3]) {
    server.write("style.css", `h1 { color: rgb(${part}, ${part}, ${part}) }`);
    await until("the new colour", async () => (await colour(page)) === `rgb(${part}, ${part}, ${part})`);
  }
  assert(await isMarked(page));
});

browserTest("a file that is replaced by a rename counts, as editors save it", async (fixture) => {
  const server = await fixture.serve(SITE, "--live");
  const page = await openLive(fixture, server);
  server.replace("index.html", html("second"));
  await page.waitForFunction(() => document.title === "second");
});

browserTest("an error page recovers when the file appears", async (fixture) => {
  const server = await fixture.serve(SITE, "--live");
  fixture.expect(/status of 404/);
  const page = await openLive(fixture, server, "folder/late.html");
  assert.match(await page.title(), /404/);
  server.write("folder/late.html", "<!DOCTYPE html><title>late</title>");
  await page.waitForFunction(() => document.title === "late");
});

browserTest("a listing shows a new file by itself", async (fixture) => {
  const server = await fixture.serve(SITE, "--live");
  const page = await openLive(fixture, server, "folder/");
  server.write("folder/new.txt", "");
  await page.locator("tbody a", { hasText: "new.txt" }).waitFor();
});

browserTest("pages that do not have the script stay as they are", async (fixture) => {
  const server = await fixture.serve(SITE, "--live");
  const [text, still] = [await fixture.open(`${server.url}notes.txt`), await fixture.open(server.url, { javaScriptEnabled: false })];
  await mark(text);
  const live = await openLive(fixture, server);
  server.write("notes.txt", "new notes");
  server.write("index.html", html("second"));
  await live.waitForFunction(() => document.title === "second");
  assert.equal(await text.evaluate(() => document.body.innerText), "old notes");
  assert(await isMarked(text));
  assert.equal(await still.title(), "first");
});

browserTest("the file itself is not changed by the script", async (fixture) => {
  const server = await fixture.serve(SITE, "--live");
  const page = await openLive(fixture, server);
  const fetched = await page.evaluate(async () => [await (await fetch("script.js")).text(), await (await fetch("notes.txt")).text()]);
  assert.deepEqual(fetched, [SITE["script.js"], SITE["notes.txt"]]);
  assert.equal(await page.evaluate(() => document.querySelector("h1").textContent), "first");
});
