"""The costs of a server without load: the time until its first reply, its memory at rest, and its memory for each idle
connection."""

import socket
import statistics
import time

import meters
from works import client_tls

REQUEST = b"GET /1k.html HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: idle\r\nAccept: */*\r\n\r\n"


def milliseconds_to_reply(start, is_tls, times=9):
    """Returns the time from the start of the program to the end of its first reply, as the median of `times` starts."""
    taken = []
    for _ in range(times):
        server = start()
        try:
            opened(server.port, is_tls).close()
            taken.append((time.perf_counter() - server.began) * 1000)
        finally:
            server.stop()
    return statistics.median(taken)


def memory_of(server, count, is_tls):
    """Returns the Pss of the server at rest, after 20 requests, and its growth for each of `count` idle connections, in bytes."""
    for _ in range(20):
        opened(server.port, is_tls).close()
    time.sleep(0.2)
    rest = meters.pss_bytes(server.pids())
    connections = []
    try:
        for number in range(count):
            connections.append(opened(server.port, is_tls, f"127.0.0.{2 + number % 8}"))
        # Some servers free memory a little later.
        time.sleep(0.5)
        full = meters.pss_bytes(server.pids())
        still_open = sum(is_open(connection) for connection in connections)
    finally:
        for connection in connections:
            connection.close()
    if still_open < count:
        raise ValueError(f"keeps only {still_open} of {count} connections")
    return {"rest": rest, "per_connection": (full - rest) / count}


def opened(port, is_tls, source="127.0.0.1"):
    """Returns a connection that has received one reply. Of TLS the client keeps nothing, and thousands need little memory."""
    connection = socket.socket()
    connection.settimeout(5)
    # Closing resets the connection, so that thousands of them do not stay in TIME_WAIT.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.bind((source, 0))
    connection.connect(("127.0.0.1", port))
    if is_tls:
        connection = client_tls().wrap_socket(connection)
    connection.sendall(REQUEST)
    got = b""
    while len(got.partition(b"\r\n\r\n")[2]) < 1024:
        piece = connection.recv(65536)
        if not piece:
            raise OSError("closed")
        got += piece
    if is_tls:
        connection = socket.socket(fileno=connection.detach())
    connection.setblocking(False)
    return connection


def is_open(connection):
    try:
        # With TLS, bytes may precede the end: tickets that were not read, and close_notify.
        while connection.recv(4096):
            pass
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False
