// --site: _redirects.

import assert from "node:assert/strict";

import { browserTest } from "./harness.mjs";

const html = (title) => `<!DOCTYPE html><title>${title}</title>`;
const SITE = {
  "index.html": html("home"),
  "new.html": html("new"),
  "blog/2026/spring.html": html("spring"),
  "app/index.html": html("application"),
  _redirects: `# The rules of this site
/old             /new.html              301
/temporary       /new.html              302
/news/*          /blog/:splat           301
/:year/post/:title  /blog/:year/:title.html  308
/app/*           /app/index.html        200
/gone            /                      410
/new.html        /index.html            301
/index.html      /new.html              301!
`,
};

browserTest("redirects lead to the new address", async (fixture) => {
  const server = await fixture.serve(SITE, "--site");
  const page = await fixture.open();
  for (const [path, status, end, title] of [
    ["old?utm=1", 301, "/new.html", "new"],
    ["temporary", 302, "/new.html", "new"],
    ["news/2026/spring.html", 301, "/blog/2026/spring.html", "spring"],
    ["2026/post/spring", 308, "/blog/2026/spring.html", "spring"],
  ]) {
    const reply = await page.goto(server.url + path);
    const first = await reply.request().redirectedFrom()?.response();
    assert.equal(first?.status(), status, path);
    assert.equal(new URL(page.url()).pathname, end, path);
    assert.equal(await page.title(), title, path);
  }
});

browserTest("a rewrite keeps the address", async (fixture) => {
  const server = await fixture.serve(SITE, "--site");
  const page = await fixture.open();
  const reply = await page.goto(`${server.url}app/users/7`);
  assert.equal(reply.status(), 200);
  assert.equal(page.url(), `${server.url}app/users/7`);
  assert.equal(await page.title(), "application");
});

browserTest("a path that is gone is 410", async (fixture) => {
  const server = await fixture.serve(SITE, "--site");
  fixture.expect(/status of 410/);
  const page = await fixture.open();
  assert.equal((await page.goto(`${server.url}gone`)).status(), 410);
});

browserTest("a rule replaces a file only with a !", async (fixture) => {
  const server = await fixture.serve(SITE, "--site");
  const page = await fixture.open(`${server.url}new.html`);
  assert.equal(await page.title(), "new");
  await page.goto(`${server.url}index.html`);
  assert.equal(page.url(), `${server.url}new.html`);
});

browserTest("the file of the rules is not served, and edited rules apply at once", async (fixture) => {
  const server = await fixture.serve(SITE, "--site");
  fixture.expect(/status of 404/);
  const page = await fixture.open();
  assert.equal((await page.goto(`${server.url}_redirects`)).status(), 404);
  server.write("_redirects", "/temporary /blog/2026/spring.html 302\n");
  await page.goto(`${server.url}temporary`);
  assert.equal(await page.title(), "spring");
});
