// The title of a date in a listing, which says how long ago it is.

import assert from "node:assert/strict";

import { browserTest } from "./harness.mjs";

browserTest("a date says how long ago it is", async (fixture) => {
  const server = await fixture.serve({});
  const [minute, hour] = [1 / 24 / 60, 1 / 24];
  // Half a unit more, so that the time of the test does not matter.
  for (const [name, age] of [["a", 13.5 * minute], ["b", 2.5 * hour], ["c", 3.5], ["d", 800]]) server.write(name, "", age);
  const page = await fixture.open(server.url);
  const titles = await page.locator("tbody time").evaluateAll((all) => all.map((time) => time.title));
  // The date of a row has no seconds.
  assert.match(titles[0], /^1[34] minutes ago$/);
  assert.deepEqual(titles.slice(1), ["2 hours ago", "3 days ago", "2 years ago"]);
});
