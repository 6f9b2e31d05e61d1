"""What the command lines of compare and count share: lists of names, and the program to measure."""

import argparse
import json
import os
import subprocess

ROOT = os.path.realpath(f"{os.path.dirname(os.path.abspath(__file__))}/../..")


def names_of(known):
    def parse(text):
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of: {', '.join(known)}")
        return names
    return parse


def built():
    """Builds the release binary of this project; returns its path."""
    build = ["cargo", "build", "--release", "--locked", "--message-format=json-render-diagnostics"]
    run = subprocess.run(build, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    paths = [json.loads(line).get("executable") for line in run.stdout.splitlines()]
    return next(path for path in paths if path)
