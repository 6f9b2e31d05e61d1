"""Clients that verify the certificate and check what they get."""

import http.client
import json
import socket
import ssl
import urllib.request

from . import HELLO, LARGE, check, find, run, serving, tries

NODE = """
const [url, ca] = process.argv.slice(1);
const https = require("https");
const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ca: require("fs").readFileSync(ca) });
const get = () => new Promise((resolve, reject) => https.get(url, { agent }, (reply) => {
  const { socket } = reply;
  const found = { reused: socket.isSessionReused(), protocol: socket.getProtocol(), port: socket.localPort, length: 0 };
  reply.on("data", (chunk) => { found.length += chunk.length; });
  reply.on("end", () => resolve(found));
}).on("error", reject));
(async () => {
  const found = [await get(), await get()];
  agent.destroy();
  console.log(JSON.stringify([...found, await get()]));
  agent.destroy();
})();
"""


def same(text, expected):
    check(text.encode() == expected, f"got {text[:200]!r}")


@tries("curl", "versions, a kept connection, redirects")
def curl(certificates):
    with serving(certificates.ecdsa, "-q", "--redirect-http", "127.0.0.1:0") as server:
        words = ["curl", "--silent", "--show-error", "--cacert", certificates.ca]
        for version in ("1.2", "1.3"):
            same(run(*words, f"--tlsv{version}", "--tls-max", version, f"{server.url}/hello.txt"), HELLO)
        for option in ("--http1.0", "--http1.1", "--http2"):
            same(run(*words, option, f"{server.url}/hello.txt"), HELLO)
        text = run(*words, "--verbose", *[f"{server.url}/hello.txt"] * 2)
        check("Re-using existing connection" in text, text)
        check("200" in run(*words, "--head", f"{server.url}/large.bin"), "HEAD")
        text = run(*words, "--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0", server.url, code=35)
        check("alert" in text, text)
        check("certificate" in run("curl", "--silent", "--show-error", server.url, code=60), "an unknown authority")
        redirecting = server.process.stdout.readline().decode().split()[1]
        for plain in (f"http://localhost:{server.port}/", redirecting):
            same(run(*words, "--location", f"{plain}hello.txt"), HELLO)
    return "TLS 1.2 and 1.3, HTTP/1.0 and 1.1, two requests on a connection; HTTP leads to HTTPS"


@tries("wget", "a file of 4 MiB, and HTTP that leads to it")
def wget(certificates):
    place = certificates.path / "wget.bin"
    with serving(certificates.pairs["RSA"], "-q") as server:
        for scheme in ("https", "http"):
            url = f"{scheme}://localhost:{server.port}/large.bin"
            run("wget", "-q", f"--ca-certificate={certificates.ca}", "-O", place, url)
            check(place.read_bytes() == LARGE, "the file differs")
    return "whole, with a certificate of RSA"


@tries("Python ssl", "http.client, urllib, unwrap")
def python(certificates):
    context = ssl.create_default_context(cafile=certificates.ca)
    with serving(certificates.ecdsa, "-q") as server:
        connection = http.client.HTTPSConnection("localhost", server.port, context=context, timeout=10)
        for name, content in (("hello.txt", HELLO), ("large.bin", LARGE), ("hello.txt", HELLO)):
            connection.request("GET", f"/{name}")
            check(connection.getresponse().read() == content, name)
        connection.close()
        with urllib.request.urlopen(f"{server.url}/large.bin", context=context, timeout=10) as reply:
            check(reply.read() == LARGE, "urllib")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            ends_with_close_notify(server, certificates, version)
    return "three requests on a connection; close_notify is answered with close_notify"


def ends_with_close_notify(server, certificates, version):
    context = ssl.create_default_context(cafile=certificates.ca)
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("localhost", server.port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as stream:
            stream.sendall(b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
            check(stream.recv(4096).startswith(b"HTTP/1.1 200 OK"), "no reply")
            # Raises an error if the server ends without close_notify.
            stream.unwrap()


@tries("Node.js", "an agent that keeps its connection, then resumes the session")
def node(certificates):
    with serving(certificates.ecdsa, "-q") as server:
        text = run("node", "-e", NODE, f"{server.url}/large.bin", certificates.ca)
    first, second, third = json.loads(text)
    check({part["length"] for part in (first, second, third)} == {len(LARGE)}, text)
    check(first["port"] == second["port"] != third["port"], f"connections: {text}")
    check(third["reused"] and not first["reused"], f"resumption: {text}")
    return f"two requests on a connection, the next one resumes; {first['protocol']}"


@tries("gnutls-cli", "a request, and close_notify at once")
def gnutls(certificates):
    find("gnutls-cli")
    request = b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with serving(certificates.ecdsa, "-q") as server:
        for version in ("1.2", "1.3"):
            priority = f"--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}"
            words = [f"--x509cafile={certificates.ca}", priority, f"--port={server.port}", "localhost"]
            text = run("gnutls-cli", *words, input=request)
            check("The certificate is trusted" in text and "HTTP/1.1 200 OK" in text, f"TLS {version}: {text[-300:]}")
    return "TLS 1.2 and 1.3; the reply comes although the client's side has ended"
