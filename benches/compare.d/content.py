"""What is served: the same files for every server."""

import os
from dataclasses import dataclass

SIZES = {"1k.html": 1 << 10, "1.5k.html": 1500, "100k.bin": 100 << 10, "1m.bin": 1 << 20, "10m.bin": 10 << 20}
LISTED = 200


@dataclass(frozen=True)
class Files:
    """Files of 1.5 KB, in one directory or spread over several, which are asked for at random."""

    name: str
    count: int
    directories: int = 1

    def path(self, number):
        below = f"{number % self.directories}/" if self.directories > 1 else ""
        return f"/{self.name}/{below}{number}.html"

    def path_in_lua(self):
        """The same as an expression of Lua, for its variable `number`."""
        below = f'number % {self.directories} .. "/" .. ' if self.directories > 1 else ""
        return f'"/{self.name}/" .. {below}number .. ".html"'


MANY = Files("many", 10_000)
MANY_DIRECTORIES = Files("many-dirs", 10_000, directories=100)
# 60 MB, and a loop of this server caches 32 MiB. In one directory mke2fs would take a minute to lay them out.
UNCACHED = Files("uncached", 40_000, directories=100)


def lay_out(root, works):
    """Fills the empty directory `root` with what `works` ask for; everyone may read it, for some servers change their user."""
    os.chmod(root, 0o755)
    for name, size in SIZES.items():
        write(f"{root}/{name}", os.urandom(size) if name.endswith(".bin") else text(name, size))
    for files in {work.files for work in works if work.files}:
        for number in range(files.count):
            path = root + files.path(number)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write(path, text(f"file {number}", 1500))
    os.mkdir(f"{root}/listed")
    for number in range(LISTED):
        write(f"{root}/listed/file-{number:03}.txt", b"")


def text(name, size):
    line = f"<p>This is {name}, and it is here to be sent.\n".encode()
    return (line * (size // len(line) + 1))[:size]


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)
