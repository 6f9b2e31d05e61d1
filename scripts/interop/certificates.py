"""An authority, and certificates of it with keys on P-256 and of RSA, made by openssl."""

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from faults import Skip

KEYS = {"P-256": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "RSA": ["rsa:2048"]}
# The defaults of OpenSSL would make every certificate an authority.
CONFIG = "[req]\ndistinguished_name = dn\n[dn]\n"


@dataclass
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path

    def options(self):
        return ["--tls-cert", str(self.certificate), "--tls-key", str(self.key)]


class Certificates:
    """The files, in a temporary directory."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="httpoll-tls-")
        self.path = Path(self.folder.name)
        (self.path / "openssl.cnf").write_text(CONFIG)
        authority = self.make("authority", KEYS["P-256"], ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign,cRLSign"])
        self.authority = authority
        self.ca = str(authority.certificate)
        names = ["subjectAltName=DNS:localhost,IP:127.0.0.1", "basicConstraints=CA:FALSE", "extendedKeyUsage=serverAuth"]
        self.pairs = {kind: self.make(kind, key, names, issuer=authority) for kind, key in KEYS.items()}
        self.ecdsa = self.pairs["P-256"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def make(self, name, key, extensions, issuer=None):
        pair = Pair(self.path / f"{name}.pem", self.path / f"{name}.key")
        words = ["req", "-x509", "-config", self.path / "openssl.cnf", "-newkey", *key, "-nodes", "-days", "30"]
        words += ["-subj", f"/CN={name}", "-keyout", pair.key, "-out", pair.certificate]
        words += [word for extension in extensions for word in ("-addext", extension)]
        if issuer:
            words += ["-CA", issuer.certificate, "-CAkey", issuer.key]
        openssl(*words)
        return pair

    def stapled(self):
        """Makes a pair with an OCSP response beside its certificate."""
        pair = self.make("stapled", KEYS["P-256"], ["subjectAltName=DNS:localhost"], issuer=self.authority)
        serial = openssl("x509", "-in", pair.certificate, "-noout", "-serial").split("=")[1].strip()
        index = self.path / "index.txt"
        index.write_text(f"V\t491231235959Z\t\t{serial}\tunknown\t/CN=stapled\n")
        signer = ["-rsigner", self.authority.certificate, "-rkey", self.authority.key, "-CA", self.ca, "-issuer", self.ca]
        response = ["-cert", pair.certificate, "-ndays", "1", "-noverify", "-respout", f"{pair.certificate}.ocsp"]
        openssl("ocsp", "-index", index, *signer, *response)
        return pair


def openssl(*words):
    try:
        done = subprocess.run(["openssl", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError:
        raise Skip("openssl is not installed") from None
    if done.returncode:
        raise RuntimeError(f"openssl {' '.join(map(str, words))}: {done.stderr}")
    return done.stdout
