// --site: _headers.

import assert from "node:assert/strict";

import { browserTest } from "./harness.mjs";

const HTML = "<!DOCTYPE html><title>untouched</title><script>document.title = 'the script ran';</script>";
const SITE = {
  "open.html": HTML,
  "strict/page.html": HTML,
  "isolated/page.html": "<!DOCTYPE html>",
  _headers: `# Fields of this site
/strict/*
  Content-Security-Policy: default-src 'self'
/isolated/*
  Cross-Origin-Opener-Policy: same-origin
  Cross-Origin-Embedder-Policy: require-corp
/*
  X-Site: all
`,
};

browserTest("a Content-Security-Policy of the file stops an inline script", async (fixture) => {
  const server = await fixture.serve(SITE, "--site");
  fixture.expect(/Content Security Policy/);
  const page = await fixture.open(`${server.url}open.html`);
  assert.equal(await page.title(), "the script ran");
  const reply = await page.goto(`${server.url}strict/page.html`);
  assert.equal(await page.title(), "untouched");
  // The fields of all rules that match are sent.
  assert.equal(reply.headers()["x-site"], "all");
});

browserTest("the two fields of isolation apply to their folder alone", async (fixture) => {
  const server = await fixture.serve(SITE, "--site");
  const page = await fixture.open(`${server.url}isolated/page.html`);
  assert.equal(await page.evaluate(() => crossOriginIsolated), true);
  await page.goto(`${server.url}open.html`);
  assert.equal(await page.evaluate(() => crossOriginIsolated), false);
});

browserTest("edited fields apply to a page that the browser has already", async (fixture) => {
  const server = await fixture.serve(SITE, "--site");
  fixture.expect(/Content Security Policy/);
  const page = await fixture.open(`${server.url}open.html`);
  server.write("_headers", "/open.html\n  Content-Security-Policy: default-src 'none'\n");
  await page.goto("about:blank");
  await page.goto(`${server.url}open.html`);
  assert.equal(await page.title(), "untouched");
});
