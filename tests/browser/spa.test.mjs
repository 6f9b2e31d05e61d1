// --spa: the page of a single-page application at every path of its router.

import assert from "node:assert/strict";

import { browserTest } from "./harness.mjs";

const SITE = {
  "index.html": `<!DOCTYPE html><title>application</title><base href="/"><script type="module" src="app.js"></script><h1></h1>`,
  "app.js": 'document.querySelector("h1").textContent = location.pathname;',
  "real.html": "<!DOCTYPE html><title>a page of its own</title>",
};

browserTest("a deep link shows the application, also after a reload", async (fixture) => {
  const server = await fixture.serve(SITE, "--spa");
  const page = await fixture.open();
  for (const go of [() => page.goto(`${server.url}app/deep/link?tab=2#part`), () => page.reload()]) {
    assert.equal((await go()).status(), 200);
    assert.equal(await page.title(), "application");
    assert.equal(await page.locator("h1").innerText(), "/app/deep/link");
    assert.equal(page.url(), `${server.url}app/deep/link?tab=2#part`);
  }
  await page.goto(`${server.url}real.html`);
  assert.equal(await page.title(), "a page of its own");
});

browserTest("missing assets stay 404", async (fixture) => {
  const server = await fixture.serve(SITE, "--spa");
  // An error page is no script.
  fixture.expect(/status of 404/, /MIME type \('text\/html'\) is not executable/);
  const page = await fixture.open(`${server.url}app/deep/link`);
  assert.equal(await page.title(), "application");
  const statuses = await page.evaluate(async () => {
    const scripted = new Promise((resolve) => {
      const script = document.head.appendChild(document.createElement("script"));
      script.onload = () => resolve("loaded");
      script.onerror = () => resolve("failed");
      script.src = "app/missing.js";
    });
    const fetched = await Promise.all(["missing.css", "img/missing.png", "api/data.json"].map((url) => fetch(url)));
    return [await scripted, ...fetched.map((reply) => reply.status)];
  });
  assert.deepEqual(statuses, ["failed", 404, 404, 404]);
});

browserTest("a fetch that accepts no HTML gets a 404", async (fixture) => {
  const server = await fixture.serve(SITE, "--spa");
  fixture.expect(/status of 404/);
  const page = await fixture.open(server.url);
  const statuses = await page.evaluate(async () => {
    const ask = async (accept) => (await fetch("/api/users", { headers: { accept } })).status;
    return [await ask("application/json"), await ask("text/html")];
  });
  assert.deepEqual(statuses, [404, 200]);
});
