"""Where the soak keeps its things (.soak/ below the project), and how it speaks."""
import os
import shutil
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCES = os.path.join(ROOT, "scripts", "soak.d")
PLACE = os.path.join(ROOT, ".soak")


def say(text):
    print(text, flush=True)


def fail(text):
    print(f"scripts/soak: {text}", file=sys.stderr)
    sys.exit(2)


def source(name):
    return os.path.join(SOURCES, name)


def place(*names):
    return os.path.join(PLACE, *names)


def remove(*names):
    path = place(*names)
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.exists(path):
        os.remove(path)


def fresh(*names):
    """An empty directory."""
    remove(*names)
    os.makedirs(place(*names))
    return place(*names)
