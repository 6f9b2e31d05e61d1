// Cross-origin isolation by the two fields of the recipe in README.md.

import assert from "node:assert/strict";

import { browserTest } from "./harness.mjs";

const ISOLATED = ["-H", "Cross-Origin-Opener-Policy: same-origin", "-H", "Cross-Origin-Embedder-Policy: require-corp"];
const SITE = {
  "index.html": '<!DOCTYPE html><title>page</title><img src="dot.svg">',
  "dot.svg": '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>',
  "worker.js": "onmessage = ({ data }) => { Atomics.store(new Int32Array(data), 0, 42); postMessage(crossOriginIsolated); };",
};

browserTest("a page with the two fields shares memory with its worker", async (fixture) => {
  const server = await fixture.serve(SITE, ...ISOLATED);
  const page = await fixture.open(server.url);
  const found = await page.evaluate(async () => {
    const memory = new SharedArrayBuffer(4);
    const worker = new Worker("worker.js");
    const answer = new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = reject;
    });
    worker.postMessage(memory);
    return [crossOriginIsolated, await answer, new Int32Array(memory)[0], document.images[0].naturalWidth];
  });
  assert.deepEqual(found, [true, true, 42, 1]);
});

browserTest("a page without them is not isolated", async (fixture) => {
  const server = await fixture.serve(SITE);
  const page = await fixture.open(server.url);
  assert.equal(await page.evaluate(() => crossOriginIsolated), false);
});
