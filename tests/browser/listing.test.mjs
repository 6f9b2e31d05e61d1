// The page of a directory.

import assert from "node:assert/strict";

import { browserTest, scrollsSideways } from "./harness.mjs";

const PHONE = { viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true };
const TREE = { "big.bin": "x".repeat(3000), "middle.txt": "x".repeat(200), "small.txt": "x", "folder/inner/note.txt": "note" };
const HOSTILE = [
  "<img src=x onerror=alert(1)>.txt",
  "<svg onload=alert(1)>",
  "a\"b'&.html",
  '"onmouseover="alert(1)',
  "javascript:alert(1)",
  "data:text,alert(1)",
  "&lt;b&gt;.txt",
  "\u202egnp.exe",
  "\u2066isolate\u2068.txt",
  "line\nbreak.txt",
  "return\rtab\t.txt",
  "escape\u001b[31m.txt",
  " spaces  inside ",
  "?sort=size",
  "#fragment",
  "100%.txt",
  "%41.txt",
  "%2e%2e",
  "back\\slash",
  "~tilde;semicolon",
  "e\u0301 \u00e9.txt",
  "🎉.txt",
  `${"w".repeat(250)}.txt`,
];

/** Returns the names in the order of the rows, without the way up. */
const names = (page) => page.locator("tbody tr:not(:has([title='Parent directory'])) td:first-child").allInnerTexts();

/** Returns the brightness of the colours of the page's text and background, from 0 to 255. */
const brightness = (page) =>
  page.evaluate(() => {
    const { color, backgroundColor } = getComputedStyle(document.body);
    const mean = (colour) => colour.match(/\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part) / 3, 0);
    return { text: mean(color), background: mean(backgroundColor) };
  });

async function checkSorting(page) {
  assert.deepEqual(await names(page), ["folder/", "big.bin", "middle.txt", "small.txt"]);
  await page.getByRole("button", { name: "Size" }).click();
  await page.waitForURL("**/?sort=-size");
  assert.deepEqual(await names(page), ["folder/", "big.bin", "middle.txt", "small.txt"]);
  assert.equal(await page.getByRole("columnheader", { name: "Size" }).getAttribute("aria-sort"), "descending");
  await page.getByRole("button", { name: "Size" }).click();
  await page.waitForURL("**/?sort=size");
  assert.deepEqual(await names(page), ["folder/", "small.txt", "middle.txt", "big.bin"]);
  await page.getByRole("button", { name: "Modified" }).click();
  await page.waitForURL("**/?sort=-date");
  assert.deepEqual(await names(page), ["folder/", "small.txt", "big.bin", "middle.txt"]);
}

async function serveTree(fixture) {
  const server = await fixture.serve({});
  const ages = { "big.bin": 2, "middle.txt": 3, "small.txt": 1 };
  for (const [name, content] of Object.entries(TREE)) server.write(name, content, ages[name]);
  return server;
}

browserTest("buttons sort the rows", async (fixture) => {
  const server = await serveTree(fixture);
  await checkSorting(await fixture.open(server.url));
});

browserTest("buttons and links work without scripts", async (fixture) => {
  const server = await serveTree(fixture);
  const page = await fixture.open(server.url, { javaScriptEnabled: false });
  await checkSorting(page);
  await page.getByRole("link", { name: "folder/" }).click();
  await page.getByRole("link", { name: "inner/" }).click();
  await page.getByRole("heading").getByRole("link", { name: "/", exact: true }).click();
  await page.waitForURL(server.url);
});

browserTest("hostile names are text and lead to their files", async (fixture) => {
  const server = await fixture.serve(Object.fromEntries(HOSTILE.map((name) => [name, `content of ${name}`])));
  const page = await fixture.open(server.url);
  const links = await page.locator("tbody a").evaluateAll((all) => all.map((link) => [link.innerText, link.href]));
  assert.equal(links.length, HOSTILE.length);
  const contents = [];
  for (const [text, href] of links) {
    // Controls, line ends and marks that turn the direction of text.
    assert.doesNotMatch(text, /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/u);
    assert.equal(new URL(href).origin, new URL(server.url).origin);
    contents.push(await (await page.request.get(href)).text());
  }
  assert.deepEqual(contents.sort(), HOSTILE.map((name) => `content of ${name}`).sort());
  assert.equal(await page.locator("tbody img, tbody svg, tbody script").count(), 0);
});

browserTest("a click opens the file of a hostile name", async (fixture) => {
  const hostile = ["<img src=x onerror=alert(1)>.txt", "javascript:alert(1).txt", "?sort=size.txt", "line\nbreak.txt"];
  const server = await fixture.serve(Object.fromEntries(hostile.map((name) => [name, `content of ${name}`])));
  const page = await fixture.open(server.url);
  const opened = [];
  for (let row = 0; row < hostile.length; row += 1) {
    await page.locator("tbody a").nth(row).click();
    await page.waitForURL((url) => url.href !== server.url);
    opened.push(await page.evaluate(() => document.body.innerText));
    await page.goBack();
  }
  assert.deepEqual(opened.sort(), hostile.map((name) => `content of ${name}`).sort());
});

browserTest("hostile names of directories are text in the heading and the title", async (fixture) => {
  const [name, inner] = ["<script>alert(1)<", "<img src=x onerror=alert(2)>\u202e\n"];
  const server = await fixture.serve({ [`${name}/${inner}/file.txt`]: "" });
  const page = await fixture.open(server.url);
  await page.locator("tbody a").click();
  await page.locator("tbody a", { hasText: "onerror" }).click();
  assert.deepEqual(await names(page), ["file.txt"]);
  const [title, heading] = [await page.title(), await page.locator("h1").innerText()];
  for (const text of [title, heading]) {
    assert(text.includes(name) && text.includes("<img src=x onerror=alert(2)>"), text);
    assert(!text.includes("\u202e"), text);
  }
  await page.locator("h1 a", { hasText: name }).click();
  await page.waitForURL((url) => decodeURIComponent(url.pathname) === `/${name}/`);
});

browserTest("a phone does not scroll sideways", async (fixture) => {
  const server = await fixture.serve(Object.fromEntries(HOSTILE.map((name) => [`${"deep".repeat(50)}/${name}`, "x"])));
  const page = await fixture.open(`${server.url}${"deep".repeat(50)}/`, PHONE);
  assert(!(await scrollsSideways(page)));
  const right = await page.locator("tbody a, th button").evaluateAll((all) => all.map((one) => one.getBoundingClientRect().right));
  assert(Math.max(...right) <= PHONE.viewport.width, `up to ${Math.max(...right)}`);
});

browserTest("dark and light follow the preference of the reader", async (fixture) => {
  const server = await fixture.serve(TREE);
  const page = await fixture.open(server.url, { colorScheme: "dark" });
  const dark = await brightness(page);
  await page.emulateMedia({ colorScheme: "light" });
  const light = await brightness(page);
  assert(dark.background < 60 && dark.text > 200, JSON.stringify(dark));
  assert(light.background > 200 && light.text < 60, JSON.stringify(light));
});

browserTest("all rows of a long listing are shown", async (fixture) => {
  const files = Array.from({ length: 1000 }, (_, number) => [`file-${String(number).padStart(4, "0")}`, ""]);
  const server = await fixture.serve(Object.fromEntries(files));
  const page = await fixture.open(server.url);
  assert.equal(await page.locator("tbody tr").count(), 1000);
  assert.equal(await page.locator("tbody tr:last-child a").innerText(), "file-0999");
});
