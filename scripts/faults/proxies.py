"""Proxies between the client and the server."""

import contextlib
import os
import shutil
import socket
import subprocess
from types import SimpleNamespace
from urllib.parse import quote, urljoin, urlsplit

from . import Skip, check, fault, wait_until
from .client import ask
from .server import Server, Site

CONFIGURATION = """
daemon off; master_process off; pid {home}/pid; error_log {home}/error;
events {{}}
http {{
    access_log off; client_max_body_size 0;
    client_body_temp_path {home}; proxy_temp_path {home}; fastcgi_temp_path {home}; uwsgi_temp_path {home};
    scgi_temp_path {home};
    server {{ listen 127.0.0.1:{port}; {rules} }}
}}
"""


def listens(address):
    with contextlib.suppress(OSError), socket.create_connection(address, 1):
        return True
    return False


def nginx(server, location):
    """Runs nginx as a proxy that shows the server below the path `location`; yields the address of nginx."""
    return run_nginx(f"location {location} {{ proxy_pass http://{server.host}:{server.port}/; }}")


@contextlib.contextmanager
def run_nginx(rules, wrap=()):
    """Runs nginx with these rules of its server, and with the words `wrap` before the command; yields its address."""
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if not program:
        raise Skip("nginx is missing (apt-get install nginx-light)")
    with Site() as home, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host, port = free.getsockname()
        free.close()
        text = CONFIGURATION.format(home=home.path, port=port, rules=rules)
        configuration = home.file("conf", text.encode())
        with subprocess.Popen([*wrap, program, "-e", home.path / "error", "-p", home.path, "-c", configuration]) as process:
            try:
                wait_until("nginx listens", lambda: listens((host, port)))
                yield SimpleNamespace(host=host, port=port)
            finally:
                process.terminate()


@fault("behind-nginx")
def behind_nginx():
    """nginx shows the server below another path, so a redirect with a path from the root would lead outside of it."""
    names = ("docs", "docs/deeper", "with space", "with:colon", "with?mark", "with%percent")
    with Site() as site, Server(site) as server, nginx(server, "/files/") as front:
        for name in names:
            (site.path / name).mkdir()
            (site.path / name / "index.html").write_text(name)
            for query in ("", "?a=b/c"):
                path = f"/files/{quote(name)}"
                reply = ask(front, path + query)
                check(reply.status == 301, f"{path}: status {reply.status}")
                location = urljoin(f"http://{front.host}:{front.port}{path}", reply.fields["location"])
                leads = urlsplit(location)
                check(leads.netloc == f"{front.host}:{front.port}", f"{path}{query}: redirected to {location}")
                target = location.partition(leads.netloc)[2]
                check(target == f"{path}/{query}", f"{path}{query}: redirected to {target}")
                check(ask(front, target).body == name.encode(), f"{target}: wrong bytes")
    return f"{2 * len(names)} redirects to directories, with odd names and queries, stay below the path of nginx"
