"""Interpreters, and packages of PyPI in directories that are kept outside of the tree, one for each set."""
import glob
import os
import shutil
import subprocess

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "unfreed-leaks")
INTERPRETERS = ["~/.pyenv/versions/{0}.*/bin/python3", "~/.local/share/uv/python/cpython-{0}.*/bin/python3", "/usr/bin/python{0}"]


class Absent(Exception):
    """Why a case cannot be run here."""


def interpreter(version):
    """The path of the interpreter of this version, such as 3.11."""
    for place in INTERPRETERS:
        for path in sorted(glob.glob(os.path.expanduser(place.format(version)))):
            return path
    raise Absent(f"no Python {version}")


def packages(python, wanted):
    """The directory to be in PYTHONPATH; it is called site-packages, so that what is in it is not the user's own."""
    if not wanted:
        return None
    version = subprocess.check_output([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], text=True).strip()
    place = os.path.join(CACHE, version + "-" + "+".join(wanted).replace("==", "-"), "site-packages")
    if os.path.exists(os.path.join(place, ".complete")):
        return place
    shutil.rmtree(place, ignore_errors=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", "--target", place, *wanted]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip() and "hint:" not in line] or ["pip failed"]
        raise Absent(f"no {' '.join(wanted)}: {next((line for line in said if line.startswith('ERROR')), said[-1])[:120]}")
    open(os.path.join(place, ".complete"), "w").close()
    return place
