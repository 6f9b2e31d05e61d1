// The link of an error page that leads back into the site.

import assert from "node:assert/strict";

import { browserTest } from "./harness.mjs";

browserTest("links of error pages lead back into the site", async (fixture) => {
  const server = await fixture.serve({ "folder/file.txt": "" });
  fixture.expect(/status of 404/);
  for (const [path, levels] of [["missing?query=/", 1], ["folder/missing", 1], ["folder/missing/deeper/", 2]]) {
    const page = await fixture.open(server.url + path);
    for (let level = 0; level < levels; level += 1) {
      const before = page.url();
      assert.match(await page.title(), /404/, before);
      await page.locator("main a").click();
      await page.waitForURL((url) => url.href !== before);
    }
    assert.match(await page.title(), /^Index of/, path);
  }
});
