// Certificates of an authority that only the Chromium of the tests trusts: it is in the store of a home directory of its own.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "httpoll-browser-home-"));
process.on("exit", () => fs.rmSync(folder, { recursive: true, force: true }));

// The defaults of OpenSSL would make every certificate an authority.
const CONFIG = path.join(folder, "openssl.cnf");
fs.writeFileSync(CONFIG, "[req]\ndistinguished_name = dn\n[dn]\n");

function run(program, ...words) {
  execFileSync(program, words, { stdio: ["ignore", "ignore", "pipe"] });
}

/** Makes a certificate with this subject, and its key; returns the paths of both. Without an issuer it signs itself. */
function make(subject, extensions, issuer) {
  const [certificate, key] = [path.join(folder, `${subject}.pem`), path.join(folder, `${subject}.key`)];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", `/CN=${subject}`];
  const added = extensions.flatMap((extension) => ["-addext", extension]);
  const signed = issuer ? ["-CA", issuer.certificate, "-CAkey", issuer.key] : [];
  run("openssl", "req", "-x509", "-config", CONFIG, ...kind, ...added, ...signed, "-keyout", key, "-out", certificate);
  return { certificate, key };
}

const makeAuthority = (subject) => make(subject, ["basicConstraints=critical,CA:TRUE"]);

const makeFor = (names, subject, issuer) =>
  make(subject, ["basicConstraints=critical,CA:FALSE", `subjectAltName=${names.map((name) => `DNS:${name}`)}`], issuer);

/**
 * Makes the home directory of Chromium. Its store of certificates is where Chromium on Linux looks for authorities that the user
 * trusts. Without one of the programs for this it stays empty.
 */
function makeHome() {
  try {
    const authority = makeAuthority("authority");
    const store = path.join(folder, ".pki/nssdb");
    fs.mkdirSync(store, { recursive: true });
    run("certutil", "-d", `sql:${store}`, "-N", "--empty-password");
    run("certutil", "-d", `sql:${store}`, "-A", "-t", "C,,", "-n", "tests", "-i", authority.certificate);
    return { authority };
  } catch (error) {
    if (error.code === "ENOENT") return { missing: `${error.path} is not installed` };
    throw error;
  }
}

const { authority, missing } = makeHome();

/** Why there are no certificates. */
export const reasonToSkip = missing;

/** How Chromium is started: with this home, and with the server names of the tests at hand. */
export const launchOptions = {
  env: { ...process.env, HOME: folder },
  args: ["--host-resolver-rules=MAP *.test 127.0.0.1"],
};

/** Makes a certificate for these names. */
export const issue = (subject, names) => makeFor(names, subject, authority);

/** Makes a certificate for these names that no browser trusts. */
export const issueUntrusted = (subject, names) => makeFor(names, subject, makeAuthority("another authority"));
