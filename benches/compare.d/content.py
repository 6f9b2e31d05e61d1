"""The served files, which are the same for every server."""

import os
from dataclasses import dataclass

SIZES = {"1k.html": 1 << 10, "1.5k.html": 1500, "100k.bin": 100 << 10, "1m.bin": 1 << 20, "10m.bin": 10 << 20}
LISTED = 200


@dataclass(frozen=True)
class Files:
    """Files of 1.5 KB, in one directory or spread over several; clients ask for them at random."""

    name: str
    count: int
    directories: int = 1

    def path(self, number):
        below = f"{number % self.directories}/" if self.directories > 1 else ""
        return f"/{self.name}/{below}{number}.html"

    def path_in_lua(self):
        """Returns the path as a Lua expression with the variable `number`."""
        below = f'number % {self.directories} .. "/" .. ' if self.directories > 1 else ""
        return f'"/{self.name}/" .. {below}number .. ".html"'


MANY = Files("many", 10_000)
MANY_DIRECTORIES = Files("many-dirs", 10_000, directories=100)
# 60 MB; a loop of this server caches 32 MiB. They are spread over directories because mke2fs takes a minute for a single one.
UNCACHED = Files("uncached", 40_000, directories=100)


def lay_out(root, works):
    """Fills the empty directory `root` with the files of `works`, readable for all users: some servers change theirs."""
    os.chmod(root, 0o755)
    for name, size in SIZES.items():
        write(f"{root}/{name}", os.urandom(size) if name.endswith(".bin") else text(name, size))
    # Hexadecimal digits shrink to half of their size.
    write(f"{root}/coded.html", os.urandom(1 << 10).hex().encode())
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
