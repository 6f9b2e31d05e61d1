// The README that is shown below a listing.

import assert from "node:assert/strict";

import { browserTest, scrollsSideways } from "./harness.mjs";

const HOSTILE = "# Title <b>bold</b>\n</pre><script>alert(1)</script><img src=x onerror=alert(2)>\n\n    code & more";

for (const name of ["README.md", "README.txt"]) {
  browserTest(`${name} is shown as plain text`, async (fixture) => {
    const server = await fixture.serve({ [name]: HOSTILE, "other.txt": "" });
    const page = await fixture.open(server.url);
    const text = await page.locator("main").innerText();
    assert(text.includes(HOSTILE), text);
    assert.equal(await page.locator("main b, main img").count(), 0);
  });
}

browserTest("a long line of a README does not widen a phone's page", async (fixture) => {
  const server = await fixture.serve({ "README.md": `# Title\n\n${"w".repeat(3000)}\n${"words ".repeat(500)}` });
  const page = await fixture.open(server.url, { viewport: { width: 360, height: 640 }, isMobile: true });
  assert((await page.locator("main").innerText()).includes("# Title"));
  assert(!(await scrollsSideways(page)));
});
