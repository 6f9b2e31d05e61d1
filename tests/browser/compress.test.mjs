// --compress: coded replies, as a browser decodes them.

import assert from "node:assert/strict";
import zlib from "node:zlib";

import { browserTest } from "./harness.mjs";
import { until } from "./server.mjs";

const LINE = "It is long enough to be compressed. ";
const script = (coding) => `globalThis.${coding} = "${LINE.repeat(200)}".length;`;

/** Returns a Zstandard frame with its content in one block as it is (RFC 8878): not every Node can compress to this format. */
function zstd(text) {
  const [content, frame, block] = [Buffer.from(text), Buffer.alloc(9), Buffer.alloc(3)];
  frame.writeUInt32LE(0xfd2fb528, 0);
  // A single segment, and the size of the content in 4 bytes.
  frame.writeUInt8(0xa0, 4);
  frame.writeUInt32LE(content.length, 5);
  // The last block, of the type that is not compressed.
  block.writeUIntLE((content.length << 3) | 1, 0, 3);
  return Buffer.concat([frame, block, content]);
}

/** Opens a page, and gathers the fields of its replies by their paths, as they arrive from the network. */
async function openAndGather(fixture, url) {
  const page = await fixture.open();
  const fields = new Map();
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  session.on("Network.responseReceived", ({ response }) => {
    const lower = Object.entries(response.headers).map(([name, value]) => [name.toLowerCase(), value]);
    fields.set(new URL(response.url).pathname, Object.fromEntries(lower));
  });
  await page.goto(url);
  return { page, fields };
}

browserTest("siblings in brotli, Zstandard and gzip are decoded", async (fixture) => {
  const server = await fixture.serve(
    {
      "index.html": '<!DOCTYPE html><script src="br.js"></script><script src="zst.js"></script><script src="gz.js"></script>',
      "br.js": script("br"),
      "br.js.br": zlib.brotliCompressSync(script("br")),
      "zst.js": script("zst"),
      "zst.js.zst": zstd(script("zst")),
      "gz.js": script("gz"),
      "gz.js.gz": zlib.gzipSync(script("gz")),
    },
    "--compress",
  );
  const { page, fields } = await openAndGather(fixture, server.url);
  for (const [name, coding] of [["br", "br"], ["zst", "zstd"], ["gz", "gzip"]]) {
    assert.equal(await page.evaluate((name) => globalThis[name], name), LINE.length * 200);
    assert.equal(fields.get(`/${name}.js`)["content-encoding"], coding);
    assert.match(fields.get(`/${name}.js`)["content-type"], /javascript/);
    assert.match(fields.get(`/${name}.js`).vary, /accept-encoding/i);
  }
});

browserTest("a text is compressed once it was asked for, and decoded", async (fixture) => {
  const server = await fixture.serve({ "index.html": "<!DOCTYPE html>", "script.js": script("loaded") }, "--compress");
  const { page, fields } = await openAndGather(fixture, server.url);
  const text = () => page.evaluate(async () => (await fetch("script.js", { cache: "no-store" })).text());
  await until("a coded reply", async () => {
    assert.equal(await text(), script("loaded"));
    return ["br", "zstd", "gzip"].includes(fields.get("/script.js")["content-encoding"]);
  });
  // A reload asks with the tag of the coded reply.
  const statuses = await page.evaluate(async () => {
    const ask = async () => (await fetch("script.js", { cache: "no-cache" })).text();
    return [(await ask()).length, (await ask()).length];
  });
  assert.deepEqual(statuses, [script("loaded").length, script("loaded").length]);
  assert((await server.statuses("GET /script.js ", 4)).includes(304));
});

browserTest("an edited file is not shown from an old copy", async (fixture) => {
  const server = await fixture.serve({ "index.html": "<!DOCTYPE html>" }, "--compress");
  server.write("text.txt", "old ".repeat(1000), 1);
  server.write("text.txt.gz", zlib.gzipSync("old ".repeat(1000)), 1);
  const { page } = await openAndGather(fixture, server.url);
  const text = () => page.evaluate(async () => (await fetch("text.txt", { cache: "no-cache" })).text());
  assert.equal(await text(), "old ".repeat(1000));
  server.write("text.txt", "new ".repeat(1000));
  assert.equal(await text(), "new ".repeat(1000));
});

browserTest("what is compressed already, and the siblings themselves, are sent as they are", async (fixture) => {
  const gzip = zlib.gzipSync("x".repeat(5000));
  const server = await fixture.serve(
    { "index.html": "<!DOCTYPE html>", "picture.jpg": Buffer.alloc(5000), "data.txt": "x".repeat(5000), "data.txt.gz": gzip },
    "--compress",
  );
  const { page, fields } = await openAndGather(fixture, server.url);
  const length = (path) =>
    page.evaluate(async (path) => (await (await fetch(path, { cache: "no-store" })).arrayBuffer()).byteLength, path);
  for (const time of [1, 2, 3]) {
    assert.equal(await length("picture.jpg"), 5000, `request ${time}`);
    assert.equal(fields.get("/picture.jpg")["content-encoding"], undefined);
    assert.equal(await length("data.txt.gz"), gzip.length);
    assert.equal(fields.get("/data.txt.gz")["content-encoding"], undefined);
  }
});

browserTest("a listing is compressed and decoded", async (fixture) => {
  const names = Array.from({ length: 100 }, (_, number) => `name-${number}.txt`);
  const server = await fixture.serve(Object.fromEntries(names.map((name) => [name, ""])), "--compress");
  const { page, fields } = await openAndGather(fixture, server.url);
  await until("a coded listing", async () => {
    await page.reload();
    assert.equal(await page.locator("tbody a").count(), 100);
    return fields.get("/")["content-encoding"];
  });
});
