"""A served directory whose name leads to another one again and again: made anew, renamed over, or a symbolic link that is
switched.

Each is a release, and all its files tell its number. A reply may be of any release from the last that was in place when its
request was sent to the last that was begun when the reply had come. 404 is right as well, if the name led nowhere in between.
"""

import multiprocessing
import os
import random
import shutil
import time

from .versions import content

# Numbers of files, for their sizes: kept in memory, at the border of that, and sent by descriptor. None is a file of Versions.
FILES = {"small": 100 * 9 + 2, "medium": 100 * 9 + 5, "large": 100 * 9 + 7}
# Seconds for which a release stays after it was built, as a link may lead to it until then.
KEPT = 2


class Releases:
    """What is known of all releases, shared by all processes. `current` is the served name."""

    def __init__(self, folder):
        self.folder, self.current = folder, folder / "current"
        self.begun, self.settled, self.gaps_begun, self.gaps_ended = (
            multiprocessing.Value("q", 0, lock=False) for _ in range(4)
        )
        self.build(self.current, 1)
        self.begun.value = self.settled.value = 1

    @staticmethod
    def build(place, number):
        """Fills a directory. Each file appears there whole."""
        place.mkdir()
        for name, file in FILES.items():
            (place / ".new").write_bytes(content(file, number))
            (place / ".new").rename(place / name)
        (place / f"release-{number}").touch()

    def remove(self):
        """Removes what the name leads to; from now on 404 is right."""
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
        """Without a moment in which the name leads nowhere, unless it was a directory."""
        place, link = self.folder / f"release-{number}", self.folder / "next"
        self.build(place, number)
        link.symlink_to(place.name)
        if not self.current.is_symlink():
            self.remove()
        os.replace(link, self.current)

    def keep_changing(self, stop):
        """A release every few milliseconds; now and then one rests, so that a change that was not noticed is asked for."""
        while not stop.is_set():
            number = self.begun.value + 1
            self.begun.value = number
            random.choice((self.rebuild, self.rename, self.switch, self.switch))(number)
            self.settled.value, self.gaps_ended.value = number, self.gaps_begun.value
            self.tidy()
            time.sleep(random.choice((0, 0.005, 0.02, 0.3)))

    def tidy(self):
        """Removes old releases, but not what a request may have been led to just before."""
        in_place = os.path.realpath(self.current)
        for old in self.folder.glob("release-*"):
            if str(old) != in_place and old.stat().st_mtime < time.time() - KEPT:
                shutil.rmtree(old)

    def moment(self):
        """What a request must be younger than, for `possible` and `may_be_missing`."""
        return self.settled.value, self.gaps_ended.value

    def possible(self, moment):
        return range(moment[0], self.begun.value + 1)

    def may_be_missing(self, moment):
        return self.gaps_begun.value > moment[1]
