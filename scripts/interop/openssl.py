"""openssl s_client: what is refused, and the extensions that it shows."""

import subprocess
import time

from . import check, find, run, serving, tries

REQUEST = b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
# Without this, a client of today would not even offer the old versions.
OLD = ["-cipher", "ALL:@SECLEVEL=0"]


def s_client(server, certificates, *options, request=b"", code=0):
    words = ["-connect", f"localhost:{server.port}", "-CAfile", certificates.ca, "-verify_return_error", *options]
    return run("openssl", "s_client", *words, input=request, code=code)


def get(server, certificates, *options):
    """Asks for a file and waits for the end of the connection."""
    text = s_client(server, certificates, "-ign_eof", *options, request=REQUEST)
    check("HTTP/1.1 200 OK" in text and "hello over TLS" in text, f"{options}: {text[-500:]}")
    return text


@tries("openssl s_client", "each version and group")
def versions(certificates):
    # With TLS 1.2, a client has to offer the curve of an ECDSA certificate, too.
    with serving(certificates.pairs["RSA"], "-q") as server:
        for option, name in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
            for group in ("X25519", "P-256", "P-384"):
                text = get(server, certificates, option, "-groups", group)
                check(f"New, {name}, Cipher is" in text, f"{option} {group}: {text}")
        text = s_client(server, certificates, "-groups", "P-521", code=1)
        check("alert handshake failure" in text, text)
    return "X25519, P-256 and P-384 with TLS 1.2 and 1.3; P-521 is refused"


@tries("openssl s_client", "old versions and suites")
def old(certificates):
    refused = [("-tls1", *OLD), ("-tls1_1", *OLD)]
    refused += [("-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0") for suite in ("AES128-SHA", "AES128-GCM-SHA256", "ECDHE+AESCCM")]
    refused += [("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"), ("-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256")]
    with serving(certificates.ecdsa, "-q") as server:
        for options in refused:
            text = s_client(server, certificates, *options, code=1)
            check("SSL alert number" in text and "Cipher is (NONE)" in text, f"{options}: {text}")
    return f"{len(refused)} offers are refused, each with an alert"


@tries("openssl s_client", "renegotiation")
def renegotiation(certificates):
    with serving(certificates.ecdsa) as server:
        words = ["-connect", f"localhost:{server.port}", "-tls1_2", "-CAfile", certificates.ca, "-legacy_renegotiation"]
        client = subprocess.Popen(
            [find("openssl"), "s_client", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        # A line with this letter is an order only after the handshake.
        time.sleep(0.5)
        text = client.communicate(b"R\n", timeout=20)[0].decode(errors="replace")
        check("RENEGOTIATING" in text and ":no renegotiation:" in text, text)
        get(server, certificates)
    return "is refused with the alert no_renegotiation"


@tries("openssl s_client", "resumption by tickets")
def resumption(certificates):
    with serving(certificates.ecdsa, "-q") as server:
        for option in ("-tls1_2", "-tls1_3"):
            session = certificates.path / f"session{option}"
            text = get(server, certificates, option, "-sess_out", session)
            check("\nNew, " in text and (option == "-tls1_2" or "Max Early Data: 0" in text), text)
            # Each ticket is followed by another one.
            for _ in range(2):
                text = get(server, certificates, option, "-sess_in", session, "-sess_out", session)
                check("\nReused, " in text, f"{option}: {text}")
    return "TLS 1.2 and 1.3; tickets permit no early data"


@tries("openssl s_client", "ALPN and server names")
def extensions(certificates):
    with serving(certificates.ecdsa, "-q") as server:
        text = get(server, certificates, "-alpn", "h2,http/1.1", "-servername", "localhost")
        check("ALPN protocol: http/1.1" in text, text)
        text = s_client(server, certificates, "-alpn", "h2", code=1)
        check("alert no application protocol" in text, text)
        get(server, certificates, "-servername", "unknown.example")
        get(server, certificates, "-noservername")
    return "http/1.1 is chosen; h2 alone is refused; an unknown name gets the first certificate"


@tries("openssl s_client", "stapled OCSP response")
def ocsp(certificates):
    pair = certificates.stapled()
    with serving(pair, "-q") as server:
        for option in ("-tls1_2", "-tls1_3"):
            text = get(server, certificates, option, "-status")
            check("OCSP Response Status: successful" in text and "Cert Status: good" in text, f"{option}: {text[:800]}")
    with serving(certificates.ecdsa, "-q") as server:
        check("OCSP response: no response sent" in get(server, certificates, "-status"), "a response that is not there")
    return "is sent with TLS 1.2 and 1.3 if its file is there"
