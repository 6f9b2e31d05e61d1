// HTTPS, with certificates of an authority that this Chromium trusts. No page ignores errors of certificates.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import { fileURLToPath } from "node:url";

import { issue, issueUntrusted, reasonToSkip } from "./certificates.mjs";
import { browserTest } from "./harness.mjs";
import { NAME, until } from "./server.mjs";

const OTHER = "other.test";
const ADMIN = ["--admin", "127.0.0.1:0"];
const PAGE = { "index.html": "<!DOCTYPE html><title>page</title>" };

const tlsTest = (name, body) => browserTest(name, body, reasonToSkip);
const optionsOf = ({ certificate, key }) => ["--tls-cert", certificate, "--tls-key", key];

const TLS = reasonToSkip ? [] : optionsOf(issue("files", [NAME, OTHER]));

/** Returns the subject of the certificate with which a new browser context gets the page. */
async function subject(fixture, url) {
  const page = await fixture.open();
  return (await (await page.goto(url)).securityDetails()).subjectName;
}

tlsTest("a page is a secure context, with a service worker and cryptography", async (fixture) => {
  const site = {
    ...PAGE,
    "worker.js": 'addEventListener("fetch", (event) => event.respondWith(new Response("by the worker")));',
  };
  const server = await fixture.serve(site, ...TLS);
  const page = await fixture.open(server.url);
  const digest = await page.evaluate(async () => {
    await navigator.serviceWorker.register("worker.js");
    await navigator.serviceWorker.ready;
    return isSecureContext && (await crypto.subtle.digest("SHA-256", new Uint8Array(1))).byteLength;
  });
  assert.equal(digest, 32);
  await page.reload();
  assert.equal(await page.textContent("body"), "by the worker");
});

tlsTest("the same page over HTTP is no secure context", async (fixture) => {
  const server = await fixture.serve(PAGE);
  const page = await fixture.open(server.url.replace("127.0.0.1", NAME));
  const features = await page.evaluate(() => [isSecureContext, "subtle" in crypto, "serviceWorker" in navigator]);
  assert.deepEqual(features, [false, false, false]);
});

tlsTest("a certificate of an unknown authority is refused", async (fixture) => {
  const server = await fixture.serve(PAGE, ...optionsOf(issueUntrusted("untrusted", [NAME])));
  const page = await fixture.open();
  await assert.rejects(page.goto(server.url), /ERR_CERT_AUTHORITY_INVALID/);
  // It is the certificate that is refused, and nothing else.
  const careless = await fixture.open(server.url, { ignoreHTTPSErrors: true });
  assert.equal(await careless.title(), "page");
});

tlsTest("a certificate for another name is refused", async (fixture) => {
  const server = await fixture.serve(PAGE, ...TLS);
  const page = await fixture.open();
  await assert.rejects(page.goto(server.url.replace(NAME, "third.test")), /ERR_CERT_COMMON_NAME_INVALID/);
});

tlsTest("twenty scripts come over at most six connections, all of TLS 1.3", async (fixture) => {
  const names = Array.from({ length: 20 }, (_, at) => `${at}.js`);
  const scripts = Object.fromEntries(names.map((name) => [name, "globalThis.count = (globalThis.count ?? 0) + 1;"]));
  const html = `<!DOCTYPE html>${names.map((name) => `<script src="${name}"></script>`).join("")}`;
  const server = await fixture.serve({ "index.html": html, ...scripts }, ...TLS, ...ADMIN);
  const page = await fixture.open();
  const reply = await page.goto(server.url);
  assert.equal((await reply.securityDetails()).protocol, "TLS 1.3");
  assert.equal(await page.evaluate(() => globalThis.count), 20);
  const handshakes = await server.metric("httpoll_tls_handshakes_total");
  assert(handshakes >= 1 && handshakes <= 6, `${handshakes} handshakes`);
});

tlsTest("a reload on new connections resumes the session", async (fixture) => {
  const server = await fixture.serve(PAGE, ...TLS, ...ADMIN, "--keep-alive", "1");
  const page = await fixture.open(server.url);
  const resumed = () => server.metric("httpoll_tls_handshakes_resumed_total");
  const before = await resumed();
  await until("the connections are closed", async () => (await server.metric("httpoll_connections")) === 0);
  await page.reload();
  assert.equal(await page.title(), "page");
  assert(await resumed() > before, "no session was resumed");
});

const FOLDER = { "folder/a b.html": "<!DOCTYPE html><title>found</title>" };
const TARGET = "folder/a%20b.html?x=1&y=%2F";

tlsTest("HTTP on the port of HTTPS leads to the same page, with its path and query", async (fixture) => {
  const server = await fixture.serve(FOLDER, ...TLS);
  await followRedirect(fixture, server.url.replace("https:", "http:") + TARGET, server.url + TARGET);
});

tlsTest("--redirect-http leads to the same page, with its path and query", async (fixture) => {
  const server = await fixture.serve(FOLDER, ...TLS, "--redirect-http", "127.0.0.1:0");
  const plain = (await server.address("Redirecting")).replace("localhost", NAME);
  await followRedirect(fixture, plain + TARGET, server.url + TARGET);
});

async function followRedirect(fixture, from, to) {
  const page = await fixture.open();
  const reply = await page.goto(from);
  assert.equal(page.url(), to);
  assert.equal(await page.title(), "found");
  const redirected = reply.request().redirectedFrom();
  assert.equal(redirected.url(), from);
  assert.equal((await redirected.response()).status(), 308);
}

tlsTest("--live loads a page again when it changes", async (fixture) => {
  const server = await fixture.serve(PAGE, ...TLS, "--live");
  const page = await fixture.open();
  const isStream = (reply) => reply.headers()["content-type"]?.startsWith("text/event-stream");
  const subscribed = () => page.waitForEvent("response", isStream);
  await Promise.all([subscribed(), page.goto(server.url)]);
  const again = subscribed();
  server.write("index.html", "<!DOCTYPE html><title>new</title>");
  await again;
  assert.equal(await page.title(), "new");
});

tlsTest("--auth asks for a password, and --compress sends the page compressed", async (fixture) => {
  const users = fileURLToPath(new URL("users.htpasswd", import.meta.url));
  const site = { "index.html": `<!DOCTYPE html><p>${"words ".repeat(1000)}` };
  const server = await fixture.serve(site, ...TLS, "--auth", users, "--compress");
  const page = await fixture.open(undefined, { httpCredentials: { username: "alice", password: "open sesame" } });
  await page.goto(server.url);
  assert.deepEqual(await server.statuses("GET / ", 2), [401, 200]);
  await until("the page comes compressed", async () => (await page.goto(server.url)).headers()["content-encoding"]);
  assert.equal((await page.textContent("p")).length, 6000);
});

tlsTest("a page of another origin fetches a range with CORS", async (fixture) => {
  const data = await fixture.serve({ "data.bin": "0123456789" }, ...TLS, "--cors");
  const other = await fixture.serve(PAGE, ...TLS);
  const page = await fixture.open(other.url.replace(NAME, OTHER));
  const part = await page.evaluate(async (url) => {
    const reply = await fetch(url, { headers: { Range: "bytes=2-4", "X-Custom": "1" } });
    return [reply.status, await reply.text()];
  }, `${data.url}data.bin`);
  assert.deepEqual(part, [206, "234"]);
});

tlsTest("a download of 20 MB is whole", async (fixture) => {
  const content = crypto.randomBytes(20_000_000);
  const site = { "index.html": '<!DOCTYPE html><a href="large.bin" download>large</a>', "large.bin": content };
  const server = await fixture.serve(site, ...TLS);
  const page = await fixture.open(server.url);
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("a")]);
  assert(fs.readFileSync(await download.path()).equals(content), "the file differs");
});

tlsTest("two names have a certificate each", async (fixture) => {
  const pairs = [NAME, OTHER].map((name) => issue(`of ${name}`, [name]));
  const server = await fixture.serve(PAGE, ...pairs.flatMap(optionsOf));
  for (const name of [NAME, OTHER]) {
    assert.equal(await subject(fixture, server.url.replace(NAME, name)), `of ${name}`);
  }
});

tlsTest("a new connection gets the certificate that was renewed, and the old connections stay", async (fixture) => {
  const first = issue("first", [NAME]);
  const server = await fixture.serve(PAGE, ...optionsOf(first));
  const page = await fixture.open(server.url);
  assert.equal(await subject(fixture, server.url), "first");
  const second = issue("second", [NAME]);
  fs.renameSync(second.certificate, first.certificate);
  fs.renameSync(second.key, first.key);
  server.signal("SIGHUP");
  await until("the new certificate is in force", async () => (await subject(fixture, server.url)) === "second");
  // The page still has the connection of before.
  assert.equal((await (await page.reload()).securityDetails()).subjectName, "first");
});
