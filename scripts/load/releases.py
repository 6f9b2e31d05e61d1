"""A served directory that is replaced all the time: rebuilt, renamed over, or switched by a symbolic link.

Each directory is a release, and the content of its files tells its number. A reply may have any release from the one in place
when the request was sent to the last one begun when the reply was complete. 404 is also right if the name did not exist
at some moment in between.
"""

import multiprocessing
import os
import random
import shutil
import time

from .versions import content

# Numbers of files, which decide their sizes: kept in memory, at the limit of that, and sent from the descriptor. No file of
# Versions has one of these numbers.
FILES = {"small": 100 * 9 + 2, "medium": 100 * 9 + 5, "large": 100 * 9 + 7}
# Seconds that a release stays after it was built, because a request may have followed the link to it.
KEPT = 2


class Releases:
    """The releases, shared by all processes. `current` is the served path."""

    def __init__(self, folder):
        self.folder, self.current = folder, folder / "current"
        self.begun, self.settled, self.gaps_begun, self.gaps_ended = (
            multiprocessing.Value("q", 0, lock=False) for _ in range(4)
        )
        self.build(self.current, 1)
        self.begun.value = self.settled.value = 1

    @staticmethod
    def build(place, number):
        """Makes and fills a directory. Each file is renamed into place when it is complete."""
        place.mkdir()
        for name, file in FILES.items():
            (place / ".new").write_bytes(content(file, number))
            (place / ".new").rename(place / name)
        (place / f"release-{number}").touch()

    def remove(self):
        """Removes the current release; from now on 404 is right."""
        self.gaps_begun.value += 1
        if self.current.is_symlink():
            self.current.unlink()
        else:
            shutil.rmtree(self.current)

    def rebuild(self, number):
        self.remove()
        self.build(self.current, number)

    def rename(self, number):
        place = self.folder / f"built-{number}"
        self.build(place, number)
        self.remove()
        place.rename(self.current)

    def switch(self, number):
        """Replaces the symbolic link in one step; only a directory at its place has to be removed before."""
        place, link = self.folder / f"release-{number}", self.folder / "next"
        self.build(place, number)
        link.symlink_to(place.name)
        if not self.current.is_symlink():
            self.remove()
        os.replace(link, self.current)

    def keep_changing(self, stop):
        """Changes the release every few milliseconds, and at times after a pause, so that clients ask for a missed change."""
        while not stop.is_set():
            number = self.begun.value + 1
            self.begun.value = number
            random.choice((self.rebuild, self.rename, self.switch, self.switch))(number)
            self.settled.value, self.gaps_ended.value = number, self.gaps_begun.value
            self.tidy()
            time.sleep(random.choice((0, 0.005, 0.02, 0.3)))

    def tidy(self):
        """Removes old releases, except those that a request may have reached just before."""
        in_place = os.path.realpath(self.current)
        for old in self.folder.glob("release-*"):
            if str(old) != in_place and old.stat().st_mtime < time.time() - KEPT:
                shutil.rmtree(old)

    def moment(self):
        """Returns the state at the time of a request, for `possible` and `may_be_missing`."""
        return self.settled.value, self.gaps_ended.value

    def possible(self, moment):
        return range(moment[0], self.begun.value + 1)

    def may_be_missing(self, moment):
        return self.gaps_begun.value > moment[1]
