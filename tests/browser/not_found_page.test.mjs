// --site: 404.html, the nearest one upwards.

import assert from "node:assert/strict";

import { browserTest } from "./harness.mjs";

const html = (title) => `<!DOCTYPE html><title>${title}</title><link rel="stylesheet" href="/style.css"><h1>${title}</h1>`;
const SITE = {
  "404.html": html("lost"),
  "docs/404.html": html("lost in docs"),
  "docs/deep/page.html": html("a page"),
  "style.css": "h1 { color: rgb(1, 2, 3) }",
};

browserTest("404.html is shown with status 404 and its style sheet", async (fixture) => {
  const server = await fixture.serve(SITE, "--site");
  fixture.expect(/status of 404/);
  const page = await fixture.open();
  for (const [path, title] of [
    ["missing", "lost"],
    ["no/such/folder/", "lost"],
    ["docs/missing.html", "lost in docs"],
    ["docs/deep/missing", "lost in docs"],
    ["docs/none/at/all", "lost in docs"],
  ]) {
    const reply = await page.goto(server.url + path);
    assert.equal(reply.status(), 404, path);
    assert.equal(await page.title(), title, path);
    assert.equal(page.url(), server.url + path);
    assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector("h1")).color), "rgb(1, 2, 3)");
  }
});

browserTest("a page is found without its .html", async (fixture) => {
  const server = await fixture.serve(SITE, "--site");
  const page = await fixture.open();
  for (const path of ["docs/deep/page", "docs/deep/page.html"]) {
    assert.equal((await page.goto(server.url + path)).status(), 200, path);
    assert.equal(await page.title(), "a page");
  }
});

browserTest("an edited 404.html is shown at once", async (fixture) => {
  const server = await fixture.serve(SITE, "--site");
  fixture.expect(/status of 404/);
  const page = await fixture.open(`${server.url}missing`);
  assert.equal(await page.title(), "lost");
  server.write("404.html", html("still lost"));
  await page.goto(`${server.url}missing`);
  assert.equal(await page.title(), "still lost");
});
