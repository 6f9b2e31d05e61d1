// Server-Sent Events of the example `events`.

import assert from "node:assert/strict";

import { browserTest } from "./harness.mjs";

browserTest("an EventSource gets the events of the example in order", async (fixture) => {
  const server = await fixture.serveExample("events");
  const page = await fixture.open();
  // Every path of the example is the stream, so this page is none of its replies.
  await page.route("**/page", (route) => route.fulfill({ contentType: "text/html", body: "<!DOCTYPE html>" }));
  await page.goto(`${server.url}page`);
  const events = await page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const [source, events] = [new EventSource("/"), []];
        source.onerror = () => reject(new Error("the stream has ended"));
        source.onmessage = ({ data, lastEventId }) => {
          if (events.push([data, Number(lastEventId)]) < 3) return;
          source.close();
          resolve(events);
        };
      }),
  );
  const first = events[0][1];
  assert.deepEqual(events, [0, 1, 2].map((more) => [`tick ${first + more}`, first + more]));
});
