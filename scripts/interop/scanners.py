"""Scanners of TLS, which try what a client could: all versions, suites and known attacks."""

import json
import subprocess
import sys
import venv
import xml.etree.ElementTree as xml

from faults import Skip
from faults.server import TARGET

from . import VERSIONS, check, find, run, serving, tries

GROUPS = {"x25519", "secp256r1", "secp384r1"}
# sslyze brings OpenSSL 1.0, which can still offer what other clients have given up.
SSLYZE = "sslyze>=6.1,<7"
FOLDER = TARGET / "sslyze"
VERSIONS["sslyze"] = (str(FOLDER / "bin/python"), "-c", "import importlib.metadata as m; print(m.version('sslyze'))")


@tries("sslscan", "versions, suites, groups, attacks")
def sslscan(certificates):
    find("sslscan")
    found = [scanned(certificates.pairs[kind], family) for kind, family in (("P-256", "ECDSA"), ("RSA", "RSA"))]
    return f"TLS 1.2 and 1.3, {found[0]} suites with ECDSA and {found[1]} with RSA; X25519, P-256, P-384"


def scanned(pair, family):
    with serving(pair, "-q") as server:
        text = run("sslscan", "--xml=-", f"localhost:{server.port}", stderr=subprocess.DEVNULL)
    scan = xml.fromstring(text).find("ssltest")
    check(scan is not None, text)
    protocols = [at.attrib for at in scan.iter("protocol") if at.get("enabled") == "1"]
    check({f"TLSv{at['version']}" for at in protocols if at["type"] == "tls"} == {"TLSv1.2", "TLSv1.3"}, f"versions: {protocols}")
    check(all(at["type"] == "tls" for at in protocols), f"versions: {protocols}")
    suites = {at.get("cipher"): at for at in scan.iter("cipher")}
    allowed = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
    allowed |= {f"ECDHE-{family}-{name}" for name in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")}
    check(set(suites) == allowed, f"suites: {sorted(suites)}")
    check({at.get("name").split(" ")[0] for at in scan.iter("group")} == GROUPS, "groups")
    check(scan.find("renegotiation").get("supported") == "0", "renegotiation")
    beats = [at.get("vulnerable") for at in scan.iter("heartbleed")]
    check(beats and set(beats) == {"0"}, f"Heartbleed: {beats}")
    return len(suites)


@tries("sslyze", "the same with OpenSSL 1.0, and Mozilla's intermediate profile")
def sslyze(certificates):
    tool = install_sslyze()
    found = [analyzed(tool, certificates, pair) for pair in certificates.pairs.values()]
    return f"as the profile wants it; refuses {found[0]} suites, of RC4, 3DES and export, too; no early data"


def analyzed(tool, certificates, pair):
    with serving(pair, "-q") as server:
        address = f"localhost:{server.port}"
        words = [tool, "--certinfo_ca_file", certificates.ca]
        verdict = run(*words, "--mozilla_config=intermediate", address)
        check("OK - Compliant" in verdict, verdict[-800:])
        kinds = ["sslv2", "sslv3", "tlsv1", "tlsv1_1", "tlsv1_2", "tlsv1_3", "compression", "openssl_ccs", "fallback"]
        kinds += ["heartbleed", "robot", "reneg", "ems", "early_data"]
        text = run(*words, *(f"--{kind}" for kind in kinds), "--json_out=-", address, stderr=subprocess.DEVNULL)
    (host,) = json.loads(text)["server_scan_results"]
    results = {name: part["result"] for name, part in host["scan_result"].items() if part["status"] == "COMPLETED"}
    answers = {
        ("tls_compression", "supports_compression"): False,
        ("tls_1_3_early_data", "supports_early_data"): False,
        ("openssl_ccs_injection", "is_vulnerable_to_ccs_injection"): False,
        ("tls_fallback_scsv", "supports_fallback_scsv"): True,
        ("heartbleed", "is_vulnerable_to_heartbleed"): False,
        ("robot", "robot_result"): "NOT_VULNERABLE_RSA_NOT_SUPPORTED",
        ("session_renegotiation", "is_vulnerable_to_client_renegotiation_dos"): False,
        ("tls_extended_master_secret", "supports_ems_extension"): True,
    }
    for (part, name), expected in answers.items():
        check(results[part][name] == expected, f"{part}: {results[part]}")
    return refused(results)


def refused(results):
    """Checks that only what sslscan has found is accepted; returns how many suites were refused."""
    suites = {name: part for name, part in results.items() if name.endswith("cipher_suites")}
    accepted = {name for name, part in suites.items() if part["accepted_cipher_suites"]}
    check(accepted == {"tls_1_2_cipher_suites", "tls_1_3_cipher_suites"}, f"accepted: {accepted}")
    rejected = [suite["cipher_suite"]["name"] for part in suites.values() for suite in part["rejected_cipher_suites"]]
    for kind in ("RC4", "3DES", "EXPORT", "NULL", "anon"):
        check(any(kind in name for name in rejected), f"{kind} was not tried")
    return len(set(rejected))


def install_sslyze():
    """Returns the path of sslyze, in an environment of its own that later runs find again."""
    tool = FOLDER / "bin/sslyze"
    if not tool.exists():
        try:
            venv.create(FOLDER, with_pip=True)
            command = [FOLDER / "bin/python", "-m", "pip", "install", "--quiet", "--retries=1", "--timeout=10", SSLYZE]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=90)
        except (OSError, subprocess.SubprocessError):
            raise Skip(f"pip cannot install {SSLYZE} for {sys.executable}") from None
    return str(tool)
