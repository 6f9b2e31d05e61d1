// The box of a listing that filters its rows.

import assert from "node:assert/strict";

import { browserTest, scrollsSideways } from "./harness.mjs";

const NAMES = ["Invoice-2026.pdf", "invoice-2025.pdf", "notes.txt", "photos/beach.jpg", "<b>bold.txt", "a.b+c(d).txt"];
const SITE = Object.fromEntries(NAMES.map((name) => [name, "x"]));

const box = (page) => page.getByRole("searchbox");
const shown = (page) => page.locator("tbody tr:visible bdi").locator("xpath=..").allInnerTexts();

browserTest("typing shows the rows that match, and their number", async (fixture) => {
  const server = await fixture.serve(SITE);
  const page = await fixture.open(server.url);
  const all = await shown(page);
  assert.equal(all.length, NAMES.length);
  await box(page).pressSequentially("INVOICE");
  assert.deepEqual(await shown(page), ["invoice-2025.pdf", "Invoice-2026.pdf"]);
  assert.match(await page.getByRole("status").innerText(), /^2 of 6\b/);
  await box(page).fill("nothing has this name");
  assert.deepEqual(await shown(page), []);
  await box(page).press("Escape");
  assert.equal(await box(page).inputValue(), "");
  assert.deepEqual(await shown(page), all);
});

browserTest("what is typed is text, and neither a pattern nor markup", async (fixture) => {
  const server = await fixture.serve(SITE);
  const page = await fixture.open(server.url);
  for (const [typed, names] of [
    ["a.b+c(d)", ["a.b+c(d).txt"]],
    ["<b>", ["<b>bold.txt"]],
    [".*", []],
    ["photos", ["photos/"]],
    ["<img src=x onerror=alert(1)>", []],
  ]) {
    await box(page).fill(typed);
    assert.deepEqual(await shown(page), names, typed);
  }
});

browserTest("the box does not lead away from the page", async (fixture) => {
  const server = await fixture.serve(SITE);
  const page = await fixture.open(`${server.url}?sort=-size`);
  await box(page).fill("notes");
  await box(page).press("Enter");
  // A form that was sent would have asked for the page again.
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve)));
  assert.equal(page.url(), `${server.url}?sort=-size`);
  assert.equal((await server.statuses("GET /", 1)).length, 1);
});

browserTest("the way up is shown always, and a name in another case or form of Unicode matches", async (fixture) => {
  const server = await fixture.serve({ "folder/cafe\u0301.txt": "", "folder/other.txt": "" });
  const page = await fixture.open(`${server.url}folder/`);
  await box(page).fill("CAF\u00c9");
  assert.deepEqual(await shown(page), ["cafe\u0301.txt"]);
  await page.getByTitle("Parent directory").click();
  await page.waitForURL(server.url);
});

browserTest("the box fits on a phone", async (fixture) => {
  const server = await fixture.serve(SITE);
  const page = await fixture.open(server.url, { viewport: { width: 320, height: 640 }, isMobile: true });
  assert(await box(page).isVisible());
  assert(!(await scrollsSideways(page)));
});

browserTest("the box is not shown without scripts", async (fixture) => {
  const server = await fixture.serve(SITE);
  const page = await fixture.open(server.url, { javaScriptEnabled: false });
  assert.equal((await shown(page)).length, NAMES.length);
  assert.equal(await page.locator("main input:visible").count(), 0);
});
