// Prints a line for each test, as scripts/torture does: its file, ok or FAIL, the seconds that it took, and its name.

/** Returns the place and the message of what failed. */
function reason({ details: { error } }) {
  const { stack = "", message = error } = error.cause ?? error;
  // Lines above that of the test are those of libraries.
  const place = stack.match(/[\w-]+\.test\.mjs:\d+/)?.[0] ?? "";
  return `\n${place} ${message}`.trimEnd().replaceAll("\n", "\n    ");
}

export default async function* report(events) {
  const counts = { ok: 0, skip: 0, FAIL: 0 };
  let file;
  for await (const { type, data } of events) {
    if (type === "test:start" && data.nesting === 0) file = data.name;
    if (type !== "test:pass" && type !== "test:fail") continue;
    // A file has a line only if it cannot be run at all.
    const error = data.details.error;
    if (data.nesting === 0 && (!error || error.failureType === "subtestsFailed")) continue;
    const verdict = error ? "FAIL" : data.skip === undefined ? "ok" : "skip";
    counts[verdict] += 1;
    const seconds = (data.details.duration_ms / 1000).toFixed(1).padStart(5);
    const added = error ? reason(data) : data.skip ? ` (${data.skip})` : "";
    yield `${file.padEnd(15)} ${verdict.padEnd(4)} ${seconds} s  ${data.name}${added}\n`;
  }
  const sums = Object.entries(counts).map(([verdict, count]) => `${count} ${verdict}`);
  yield `browser: ${sums.join(", ")}\n`;
}
