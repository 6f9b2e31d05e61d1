// The order of names with numbers in a listing.

import assert from "node:assert/strict";

import { browserTest } from "./harness.mjs";

browserTest("numbers in names are in the order of their values", async (fixture) => {
  const names = ["file-1.txt", "file-2.txt", "file-10.txt", "file-100.txt", "v1.9.zip", "v1.10.zip"];
  const server = await fixture.serve(Object.fromEntries(names.map((name) => [name, ""]).reverse()));
  const page = await fixture.open(server.url);
  assert.deepEqual(await page.locator("tbody a").allInnerTexts(), names);
  await page.getByRole("button", { name: "Name" }).click();
  await page.waitForURL("**/?sort=-name");
  assert.deepEqual(await page.locator("tbody a").allInnerTexts(), names.toReversed());
});
