// The page of an error.

import assert from "node:assert/strict";

import { browserTest, scrollsSideways } from "./harness.mjs";

browserTest("a missing file has a page with a style", async (fixture) => {
  const server = await fixture.serve({});
  fixture.expect(/status of 404/);
  const page = await fixture.open();
  const reply = await page.goto(`${server.url}missing`);
  assert.equal(reply.status(), 404);
  assert.match(await page.title(), /404/);
  assert.match(await page.getByRole("heading").innerText(), /not found/i);
  assert.notEqual(await page.evaluate(() => getComputedStyle(document.body).maxWidth), "none");
});

browserTest("a hostile path runs nothing and fits on a phone", async (fixture) => {
  const server = await fixture.serve({});
  fixture.expect(/status of 404/);
  const page = await fixture.open(undefined, { viewport: { width: 360, height: 640 }, isMobile: true });
  for (const path of ["<script>alert(1)</script>", `"onload="alert(1)`, "w".repeat(2000), "%0d%0a%3Cimg src=x onerror=alert(1)%3E"]) {
    const reply = await page.goto(`${server.url}${path}`);
    assert.equal(reply.status(), 404, path);
    assert.equal(await page.locator("script, main img").count(), 0);
    assert(!(await scrollsSideways(page)), path);
  }
});

browserTest("dark and light follow the preference of the reader", async (fixture) => {
  const server = await fixture.serve({});
  fixture.expect(/status of 404/);
  const page = await fixture.open(`${server.url}missing`, { colorScheme: "dark" });
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await background();
  await page.emulateMedia({ colorScheme: "light" });
  assert.notEqual(dark, await background());
});
