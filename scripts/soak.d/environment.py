"""The Python environment with the services' packages, in .soak/venv. Only `install` makes it."""
import os
import subprocess
import sys

from place import place

PACKAGES = ["flask", "gunicorn", "gevent", "packaging", "celery"]
PYTHON = place("venv", "bin", "python")


def install():
    """With the system's interpreter, which every user can read, or the one that runs the soak; returns what failed."""
    usable = (path for path in ("/usr/bin/python3", sys.executable) if subprocess.call([path, "-c", "import venv, ensurepip"]) == 0)
    make = [next(usable, sys.executable), "-m", "venv", place("venv")]
    fill = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
    for command in (make, fill):
        if subprocess.run(command).returncode:
            return [" ".join(command)]
    return []
