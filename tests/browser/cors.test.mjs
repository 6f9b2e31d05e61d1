// --cors: pages of other origins read the files.

import assert from "node:assert/strict";

import { browserTest } from "./harness.mjs";

const PAGE = { "index.html": "<!DOCTYPE html>" };
const DATA = { "data.bin": "0123456789", "module.mjs": "export const answer = 42;", "folder/x.txt": "x" };

/** Fetches a range from another origin, with a field for which the browser asks the server first. */
const fetchRange = (page, url) =>
  page.evaluate(async (url) => {
    const reply = await fetch(url, { headers: { Range: "bytes=2-4", "X-Custom": "1", "If-Range": '"other"' } }).catch(String);
    if (typeof reply === "string") return reply;
    const names = ["content-range", "accept-ranges", "etag", "content-length", "last-modified"];
    return { status: reply.status, text: await reply.text(), missing: names.filter((name) => !reply.headers.get(name)) };
  }, url);

browserTest("a fetch with a custom field is asked for, and answered with readable fields", async (fixture) => {
  const server = await fixture.serve(DATA, "--cors");
  const other = await fixture.serve(PAGE);
  const page = await fixture.open(other.url);
  // The condition is wrong, so that the whole file comes.
  const whole = await fetchRange(page, `${server.url}data.bin`);
  assert.deepEqual(whole, { status: 200, text: "0123456789", missing: ["content-range"] });
  const part = await page.evaluate(async (url) => {
    const reply = await fetch(url, { headers: { Range: "bytes=2-4", "X-Custom": "1" } });
    return [reply.status, await reply.text(), reply.headers.get("content-range"), reply.headers.get("etag") !== null];
  }, `${server.url}data.bin`);
  assert.deepEqual(part, [206, "234", "bytes 2-4/10", true]);
  // The browser keeps the answer to its first question.
  assert((await server.statuses("OPTIONS /data.bin ", 1)).every((status) => status === 200 || status === 204));
});

browserTest("modules, HEAD, listings and 404s are readable from another origin", async (fixture) => {
  const server = await fixture.serve(DATA, "--cors");
  const other = await fixture.serve(PAGE);
  fixture.expect(/status of 404/);
  const page = await fixture.open(other.url);
  const found = await page.evaluate(async (url) => {
    const { answer } = await import(`${url}module.mjs`);
    const listing = await fetch(`${url}folder/`, { headers: { accept: "application/json" } });
    const head = await fetch(`${url}data.bin`, { method: "HEAD" });
    const missing = await fetch(`${url}missing`);
    return [answer, listing.status, head.headers.get("content-length"), missing.status];
  }, server.url);
  assert.deepEqual(found, [42, 200, "10", 404]);
});

browserTest("a 304 is readable from another origin", async (fixture) => {
  const server = await fixture.serve(DATA, "--cors");
  const other = await fixture.serve(PAGE);
  const page = await fixture.open(other.url);
  const texts = await page.evaluate(async (url) => {
    const ask = async () => (await fetch(url, { cache: "no-cache" })).text();
    return [await ask(), await ask()];
  }, `${server.url}data.bin`);
  assert.deepEqual(texts, ["0123456789", "0123456789"]);
  assert.deepEqual(await server.statuses("GET /data.bin ", 2), [200, 304]);
});

browserTest("without the flag a page of another origin reads nothing", async (fixture) => {
  const server = await fixture.serve(DATA);
  const other = await fixture.serve(PAGE);
  fixture.expect(/CORS policy|Failed to load resource/);
  const page = await fixture.open(other.url);
  const error = await page.evaluate((url) => fetch(url).catch(String), `${server.url}data.bin`);
  assert.match(error, /TypeError/);
});
