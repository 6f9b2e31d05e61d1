// Runs the files of tests that are its arguments, all of them in this process, so that they share one Chromium.

import path from "node:path";
import { after, describe } from "node:test";

import { closeBrowser } from "./harness.mjs";

for (const file of process.argv.slice(2)) {
  describe(path.basename(file).split(".")[0], { concurrency: 2 }, () => import(`./${file}`));
}

after(closeBrowser);
