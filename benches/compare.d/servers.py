"""The servers: the floor, this server, and every other one that is installed. Each has one process or thread, no compression and no
log unless a work needs it, and no limit on requests for each connection."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time

import meters

IDLE_SECONDS = 600


def floor(place, port, log, work):
    return [f"{place.scratch}/floor", str(port), f"{place.root}/{work.floor}"] + (["close"] if work.closes() else [])


def httpoll(place, port, log, work):
    options = ([] if log else ["-q"]) + (["--compress"] if work.compresses else [])
    options += ["--tls-cert", place.certificate()] if work.tls else []
    return [place.binary, str(port), "-b", "127.0.0.1", "-d", place.root] + options


def build_of(binary):
    """Returns how to start another build of this server."""
    return lambda place, port, log, work: [binary] + httpoll(place, port, log, work)[1:]


def two_loops(place, port, log, work):
    return httpoll(place, port, log, work) + ["-n", "2"]


def nginx_with(cache=False, protocols=""):
    def nginx(place, port, log, work):
        home = place.home()
        tls = f"ssl_certificate {place.certificate()}; ssl_certificate_key {place.certificate()};" if work.tls else ""
        tls += f" ssl_protocols {protocols};" if tls and protocols else ""
        kept = "open_file_cache max=20000 inactive=60s; open_file_cache_errors on;" if cache else ""
        paths = " ".join(f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return ["nginx", "-e", f"{home}/error", "-c", place.write(f"{home}/conf", f"""
            daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 20000;
            pid {home}/pid; error_log {home}/error crit;
            events {{ worker_connections 19000; multi_accept on; }}
            http {{
                types {{ text/html html; text/plain txt; }}
                default_type application/octet-stream;
                {"gzip on;" if work.compresses else ""} access_log {log or "off"}; sendfile on; tcp_nopush on; {kept} {paths}
                keepalive_requests 1000000000; keepalive_timeout {IDLE_SECONDS}s;
                server {{ listen 127.0.0.1:{port} backlog=4096{" ssl" if tls else ""}; {tls} root {place.root}; autoindex on; }}
            }}""")]
    return nginx


def h2o(place, port, log, work):
    home = place.home()
    tls = f"ssl: {{certificate-file: {place.certificate()}, key-file: {place.certificate()}}}" if work.tls else ""
    return ["h2o", "-c", place.write(f"{home}/conf", f"""
num-threads: 1
max-connections: 19000
http1-request-timeout: {IDLE_SECONDS}
{"access-log: " + log if log else ""}
listen:
  host: 127.0.0.1
  port: {port}
  {tls}
hosts:
  default:
    paths:
      /:
        file.dir: {place.root}
        file.dirlisting: on
""")]


def lighttpd(place, port, log, work):
    home = place.home()
    return ["lighttpd", "-D", "-f", place.write(f"{home}/conf", f"""
server.document-root = "{place.root}"
server.bind = "127.0.0.1"
server.port = {port}
server.max-fds = 30000
server.max-connections = 14000
server.max-keep-alive-requests = 1000000000
server.max-keep-alive-idle = {IDLE_SECONDS}
server.listen-backlog = 4096
server.modules += ( "mod_dirlisting" )
dir-listing.activate = "enable"
mimetype.assign = ( ".html" => "text/html", ".txt" => "text/plain", "" => "application/octet-stream" )
""" + (f'server.modules += ( "mod_accesslog" )\naccesslog.filename = "{log}"\n' if log else ""))]


def caddy(place, port, log, work):
    home = place.home()
    logs = f"log {{\n output file {log}\n }}" if log else ""
    # It would not serve a request without a Host field under the name 127.0.0.1.
    site = f"https://:{port}" if work.tls else f"http://127.0.0.1:{port}"
    tls = f"bind 127.0.0.1\n tls {place.certificate()} {place.certificate()}" if work.tls else ""
    return ["env", "GOMAXPROCS=1", f"HOME={home}", "caddy", "run", "--adapter", "caddyfile", "--config",
            place.write(f"{home}/conf", f"""
{{
    admin off
    auto_https off
}}
{site} {{
    {tls}
    root * {place.root}
    {"encode gzip" if work.compresses else ""}
    file_server browse
    {logs}
}}
""")]


def static_web_server(place, port, log, work):
    return ["static-web-server", "-a", "127.0.0.1", "-p", str(port), "-d", place.root, "--threads-multiplier", "1",
            "--directory-listing", "true", "--log-level", "info" if log else "error"]


def python(place, port, log, work):
    return [sys.executable, "-m", "http.server", str(port), "-b", "127.0.0.1", "-d", place.root, "-p", "HTTP/1.1"]


# name: how to start it, the program it needs, the command that prints its version
SERVERS = {
    "floor": (floor, "cc", None),
    "httpoll": (httpoll, None, None),
    "h2o": (h2o, "h2o", ["h2o", "--version"]),
    "lighttpd": (lighttpd, "lighttpd", ["lighttpd", "-v"]),
    "nginx file cache": (nginx_with(cache=True), "nginx", ["nginx", "-v"]),
    "nginx": (nginx_with(), "nginx", ["nginx", "-v"]),
    # Versions before 1.23.4 speak TLS 1.2 by default.
    "nginx TLS 1.3": (nginx_with(protocols="TLSv1.2 TLSv1.3"), "nginx", None),
    "static-web-server": (static_web_server, "static-web-server", ["static-web-server", "--version"]),
    "caddy": (caddy, "caddy", ["caddy", "version"]),
    "python": (python, None, [sys.executable, "--version"]),
    # Both loops share the one processor, so every extra cost is what the loops cost each other.
    "httpoll -n 2": (two_loops, None, None),
}
# The servers that are measured by default.
USUAL = [name for name in SERVERS if name != "httpoll -n 2"]
# lighttpd has TLS in a package of its own, static-web-server only with HTTP/2, and Python from 3.14 on.
WITHOUT_TLS = {"lighttpd", "static-web-server", "python"}
ONLY_TLS = {"nginx TLS 1.3"}


def can_do(name, work):
    """Returns whether this server is measured at this work."""
    if name == "floor":
        return bool(work.floor)
    return name not in (WITHOUT_TLS if work.tls else ONLY_TLS)


def installed(names):
    """Returns the names of the servers that are installed here, and the names of the others."""
    there = [name for name in names if SERVERS[name][1] is None or shutil.which(SERVERS[name][1])]
    return there, [name for name in names if name not in there]


def build_floor(scratch):
    """Compiles the floor to the path that `floor` starts."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "floor.c")
    subprocess.run(["cc", "-O2", "-o", f"{scratch}/floor", source], check=True)


class Place:
    """The place where servers run: the files that they share, and their processor."""

    def __init__(self, scratch, root, binary, core):
        self.scratch, self.root, self.binary, self.core = scratch, root, binary, core
        self.homes = 0
        self.pem = None

    def home(self):
        """Makes a directory for one server."""
        self.homes += 1
        home = f"{self.scratch}/home-{self.homes}"
        os.mkdir(home)
        # h2o writes its log as another user, `nobody`.
        os.chmod(home, 0o777)
        return home

    def certificate(self):
        """Returns the path of a file with a certificate for 127.0.0.1 and its key on P-256, made at the first call."""
        if not self.pem:
            pem = f"{self.scratch}/certificate.pem"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                            "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
                            "-keyout", f"{pem}.key", "-out", f"{pem}.cert"], capture_output=True, check=True)
            # Its key is no secret: some servers read it as another user.
            self.pem = self.write(pem, meters.read(f"{pem}.cert") + meters.read(f"{pem}.key"))
        return self.pem

    def write(self, path, text):
        with open(path, "w") as file:
            file.write(text)
        return path

    def start(self, name, work):
        return Server(self, name, work)


class Server:
    """A running server, configured for one work and all works that need the same configuration."""

    def __init__(self, place, name, work):
        self.port = free_port()
        log = f"{place.home()}/log" if work.logs else None
        command = SERVERS[name][0](place, self.port, log, work)
        output = open(f"{log}.stderr" if log else os.devnull, "wb")
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=output, cwd=place.scratch,
            start_new_session=True, preexec_fn=lambda: meters.pin([place.core]))
        # Popen returns once the program was executed.
        self.began = time.perf_counter()
        output.close()
        self.await_port()

    def await_port(self):
        while time.perf_counter() < self.began + 5:
            if self.process.poll() is not None:
                raise ValueError(f"ended at once with exit code {self.process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.0002)
        self.stop()
        raise ValueError("does not listen within 5 s")

    def pids(self):
        return meters.tree(self.process.pid)

    def stop(self):
        for pid in self.pids():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        self.process.wait()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def versions(names):
    """Returns the version that each server reports."""
    said = {}
    for name in names:
        command = SERVERS[name][2]
        if command:
            run = subprocess.run(command, capture_output=True, text=True)
            version = re.search(r"\d+\.\d[\w.-]*", run.stdout + run.stderr)
            said[name] = version.group() if version else "?"
    return said
