// Video and audio: a browser seeks with ranges.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";

import { browserTest } from "./harness.mjs";

const SECONDS = 600;
const BYTES_A_SECOND = 44_100 * 4;
const BYTES = SECONDS * BYTES_A_SECOND;

/** Returns the head of a WAV file of two channels with 16 bits. */
function wavHead() {
  const head = Buffer.alloc(44);
  head.write("RIFF", 0);
  head.writeUInt32LE(36 + BYTES, 4);
  head.write("WAVEfmt ", 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(2, 22);
  head.writeUInt32LE(44_100, 24);
  head.writeUInt32LE(BYTES_A_SECOND, 28);
  head.writeUInt16LE(4, 32);
  head.writeUInt16LE(16, 34);
  head.write("data", 36);
  head.writeUInt32LE(BYTES, 40);
  return head;
}

browserTest("a video element seeks with ranges", async (fixture) => {
  const server = await fixture.serve({
    "index.html": '<!DOCTYPE html><video src="long.wav" preload="metadata" controls></video>',
    "long.wav": wavHead(),
  });
  // The silence is a hole in the file.
  fs.truncateSync(path.join(server.root, "long.wav"), 44 + BYTES);
  const page = await fixture.open();
  const replies = [];
  page.on("response", (reply) => reply.url().endsWith(".wav") && replies.push(reply));
  await page.goto(server.url);
  const seek = (seconds) =>
    page.evaluate(async (seconds) => {
      const video = document.querySelector("video");
      if (!video.readyState) await new Promise((resolve) => video.addEventListener("loadedmetadata", resolve, { once: true }));
      const seeked = new Promise((resolve) => video.addEventListener("seeked", resolve, { once: true }));
      video.currentTime = seconds;
      await seeked;
      return [video.duration, video.currentTime, video.readyState >= video.HAVE_CURRENT_DATA];
    }, seconds);
  assert.deepEqual(await seek(540), [SECONDS, 540, true]);
  assert.deepEqual(await seek(300), [SECONDS, 300, true]);
  const starts = replies.map((reply) => Number(reply.headers()["content-range"].match(/bytes (\d+)-/)[1]));
  assert.deepEqual([...new Set(replies.map((reply) => reply.status()))], [206]);
  // One request for each seek begins near the place, so that what lies before it is not loaded.
  for (const seconds of [540, 300]) {
    const near = starts.some((start) => Math.abs(start / BYTES_A_SECOND - seconds) < 20);
    assert(near, `no range begins near ${seconds * BYTES_A_SECOND}: ${starts}`);
  }
});
