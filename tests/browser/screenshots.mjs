// Draws the pictures of README.md. Names, sizes and dates of the example are fixed, so a picture changes only where its page does.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { browserTest } from "./harness.mjs";

const DOCS = fileURLToPath(new URL("../../docs/", import.meta.url));
const MAX_BYTES = 100_000;

const FOLDER = "summer-2026";
// A directory has no size here; the files are sparse and take no room on the disk.
const ENTRIES = [
  ["photos", undefined, "2026-08-24T18:02Z"],
  ["recordings", undefined, "2026-08-19T21:40Z"],
  ["harbour at dawn.mp4", 846_310_400, "2026-08-21T05:48Z"],
  ["all-photos.zip", 3_650_722_201, "2026-08-25T10:30Z"],
  ["packing-list.txt", 1_874, "2026-07-28T20:11Z"],
  ["route.gpx", 188_416, "2026-08-02T07:05Z"],
  ["sunset.jpg", 4_928_307, "2026-08-20T20:37Z"],
  ["the café.jpg", 3_612_740, "2026-08-18T11:22Z"],
];

function makeExample(root) {
  for (const [name, size, date] of ENTRIES) {
    const entry = path.join(root, FOLDER, name);
    if (size === undefined) {
      fs.mkdirSync(entry, { recursive: true });
    } else {
      fs.writeFileSync(entry, "");
      fs.truncateSync(entry, size);
    }
    fs.utimesSync(entry, new Date(date), new Date(date));
  }
}

const PICTURES = [
  { picture: "listing-light.png", colorScheme: "light", target: `${FOLDER}/`, height: 560 },
  { picture: "listing-dark.png", colorScheme: "dark", target: `${FOLDER}/`, height: 560 },
  { picture: "error-light.png", colorScheme: "light", target: `${FOLDER}/sunrise.jpg`, height: 240 },
];

for (const { picture, colorScheme, target, height } of PICTURES) {
  browserTest(`docs/${picture}`, async (fixture) => {
    const server = await fixture.serve({});
    makeExample(server.root);
    fixture.expect(/status of 404/);
    const page = await fixture.open(server.url + target, { colorScheme, viewport: { width: 840, height } });
    const drawn = await page.screenshot({ path: path.join(DOCS, picture) });
    assert(drawn.length < MAX_BYTES, `${drawn.length} bytes, and fewer than ${MAX_BYTES} are allowed`);
  });
}
