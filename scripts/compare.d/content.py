"""What is served: the same files for every server."""

import os

SIZES = {"1k.html": 1 << 10, "1.5k.html": 1500, "100k.bin": 100 << 10, "1m.bin": 1 << 20, "10m.bin": 10 << 20}
MANY = 10_000
LISTED = 200


def lay_out(root):
    """Fills the empty directory `root`; everyone may read it, for some servers change their user."""
    os.chmod(root, 0o755)
    for name, size in SIZES.items():
        write(f"{root}/{name}", os.urandom(size) if name.endswith(".bin") else text(name, size))
    os.mkdir(f"{root}/many")
    for number in range(MANY):
        write(f"{root}/many/{number}.html", text(f"file {number}", 1500))
    os.mkdir(f"{root}/listed")
    for number in range(LISTED):
        write(f"{root}/listed/file-{number:03}.txt", b"")


def text(name, size):
    line = f"<p>This is {name}, and it is here to be sent.\n".encode()
    return (line * (size // len(line) + 1))[:size]


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)
