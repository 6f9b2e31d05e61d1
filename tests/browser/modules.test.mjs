// Scripts and modules that a browser takes only with the right media type.

import assert from "node:assert/strict";

import { browserTest } from "./harness.mjs";

// (module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
const WASM = Buffer.from("0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b", "hex");
const STRICT = ["-H", "X-Content-Type-Options: nosniff"];

browserTest("modules run: .mjs, .js, JSON, a style sheet and a worker", async (fixture) => {
  const server = await fixture.serve(
    {
      "index.html": '<!DOCTYPE html><link rel="stylesheet" href="page.css"><script type="module" src="main.mjs"></script>',
      "page.css": "body { color: rgb(1, 2, 3) }",
      "main.mjs": `
        import { two } from "./part.js";
        import three from "./three.json" with { type: "json" };
        import sheet from "./sheet.css" with { type: "css" };
        const worker = new Worker("worker.mjs", { type: "module" });
        worker.onmessage = ({ data }) => { globalThis.found = [two, three, sheet.cssRules.length, data]; };
        worker.onerror = () => { globalThis.found = "the worker failed"; };`,
      "part.js": "export const two = 2;",
      "three.json": "3",
      "sheet.css": "p { color: red }",
      "worker.mjs": 'import { two } from "./part.js"; postMessage(two * 2);',
    },
    ...STRICT,
  );
  const page = await fixture.open(server.url);
  const found = await page.waitForFunction(() => globalThis.found);
  assert.deepEqual(await found.jsonValue(), [2, 3, 1, 4]);
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).color), "rgb(1, 2, 3)");
});

browserTest("WebAssembly is compiled while it arrives", async (fixture) => {
  const server = await fixture.serve({ "index.html": "<!DOCTYPE html>", "add.wasm": WASM }, ...STRICT);
  const page = await fixture.open(server.url);
  const sum = await page.evaluate(async () => {
    const { instance } = await WebAssembly.instantiateStreaming(fetch("add.wasm"));
    return instance.exports.add(2, 3);
  });
  assert.equal(sum, 5);
});

browserTest("an SVG picture is shown with nosniff", async (fixture) => {
  const server = await fixture.serve(
    {
      "index.html": '<!DOCTYPE html><img src="square.svg">',
      "square.svg": '<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"><rect width="30" height="20"/></svg>',
    },
    ...STRICT,
  );
  const page = await fixture.open(server.url);
  assert.deepEqual(await page.evaluate(() => [document.images[0].naturalWidth, document.images[0].naturalHeight]), [30, 20]);
});
