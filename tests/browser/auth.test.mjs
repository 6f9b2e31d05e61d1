// --auth: a user and a password for everything. The password of users.htpasswd is "open sesame".

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

import { browserTest } from "./harness.mjs";

const USERS = ["--auth", fileURLToPath(new URL("users.htpasswd", import.meta.url))];
const SITE = {
  "index.html": '<!DOCTYPE html><title>private</title><link rel="stylesheet" href="style.css"><script src="script.js"></script>',
  "script.js": "globalThis.loaded = true;",
  "style.css": "body { color: rgb(1, 2, 3) }",
};

browserTest("credentials in the address open the page and what it loads", async (fixture) => {
  const server = await fixture.serve(SITE, ...USERS);
  const page = await fixture.open();
  const reply = await page.goto(server.url.replace("//", "//alice:open%20sesame@"));
  assert.equal(reply.status(), 200);
  assert.equal(await page.title(), "private");
  assert.equal(await page.evaluate(() => globalThis.loaded), true);
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).color), "rgb(1, 2, 3)");
});

browserTest("a browser that is asked for credentials opens the page", async (fixture) => {
  const server = await fixture.serve(SITE, ...USERS);
  const page = await fixture.open(undefined, { httpCredentials: { username: "alice", password: "open sesame" } });
  const reply = await page.goto(server.url);
  assert.equal(reply.status(), 200);
  assert.equal(await page.evaluate(() => globalThis.loaded), true);
  // The first request has no credentials: the reply names the scheme, and the browser asks again.
  assert.deepEqual(await server.statuses("GET / ", 2), [401, 200]);
});

browserTest("wrong or no credentials are 401", async (fixture) => {
  const server = await fixture.serve(SITE, ...USERS);
  fixture.expect(/status of 401/, /ERR_INVALID_AUTH_CREDENTIALS/);
  for (const httpCredentials of [
    undefined,
    { username: "alice", password: "open" },
    { username: "bob", password: "open sesame" },
  ]) {
    const page = await fixture.open(undefined, { httpCredentials });
    const replied = page.waitForEvent("response");
    // Where nothing answers the question for credentials, Chromium takes the navigation for failed.
    await page.goto(`${server.url}script.js`).catch(() => {});
    const reply = await replied;
    assert.equal(reply.status(), 401, JSON.stringify(httpCredentials));
    assert.match(reply.headers()["www-authenticate"], /^Basic realm="/);
  }
  assert.deepEqual([...new Set(await server.statuses("GET /script.js ", 3))], [401]);
});
