"""The Python programs that are measured, in an environment of their own for each interpreter, and memray and tracemalloc.

Both peers see every object as we do. memray writes its recording and no report is made; tracemalloc is asked for no snapshot.
"""
import glob
import os
import shutil
import subprocess

from metered import place, source
from programs import Bar, Program, Tool, fresh

BARS = [Bar("memray-native", 1 / 4), Bar("tracemalloc-25", 1 / 2)]
VERSIONS = ["3.11", "3.13"]
SCRIPT_ROUNDS, FLASK_ROUNDS = 20, 600
ROUNDS_PER_LEAK = 10
NEEDED = "flask"
VERSION = "import sys; print('%d.%d.%d' % sys.version_info[:3], sys.executable)"


class Interpreter:
    """A Python of the user's, with a virtual environment of ours."""

    def __init__(self, path):
        told = subprocess.run([path, "-c", VERSION], capture_output=True, text=True)
        self.version, self.path = told.stdout.split(None, 1) if told.returncode == 0 else ("", path)
        self.path = self.path.strip()
        self.folder = place("venv" + self.path.replace("/", "-"))
        self.python = os.path.join(self.folder, "bin", "python")

    def missing(self):
        """Makes the environment, if it is not there; what is missing, or None."""
        if not self.version:
            return f"{self.path} does not run"
        if tuple(map(int, self.version.split("."))) < (3, 8):
            return f"Python {self.version} is older than 3.8"
        if self.has(NEEDED):
            return None
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.quiet(self.path, "-m", "venv", self.folder) and self.install(NEEDED):
            self.install("--only-binary", ":all:", "memray")
            return None
        return f"{self.path}: an environment with {NEEDED} cannot be made"

    def quiet(self, *command):
        return subprocess.run(command, capture_output=True).returncode == 0

    def install(self, *what):
        return self.quiet(self.python, "-m", "pip", "install", "--disable-pip-version-check", *what)

    def has(self, *modules):
        return os.path.exists(self.python) and self.quiet(self.python, "-c", "import " + ", ".join(modules))

    def programs(self):
        script, app, client = map(source, ("records.py", "flask_app.py", "flask_client.py"))
        return {
            "script": Program(
                f"Python {self.version}: records, JSON, formatting",
                [],
                lambda: None,
                lambda: [self.python, script, str(SCRIPT_ROUNDS)],
                leak=("keep_one", SCRIPT_ROUNDS),
            ),
            "flask": Program(
                f"Python {self.version}: {3 * FLASK_ROUNDS} requests to a Flask app over one connection",
                [],
                lambda: None,
                lambda: [self.python, app, fresh("port")],
                leak=("keep_one", FLASK_ROUNDS // ROUNDS_PER_LEAK),
                client=[self.python, client, place("port"), str(FLASK_ROUNDS)],
            ),
        }

    def tools(self):
        found = [tracemalloc(1), tracemalloc(25)]
        if self.has("memray"):
            return [memray("memray-native", "--native"), memray("memray"), *found]
        print(f"memray has no wheel for Python {self.version}: skipped")
        return found


def memray(name, *options):
    log = name + ".bin"
    command = ["-m", "memray", "run", "-q", "-f", *options, "--trace-python-allocators", "-o"]
    return Tool(name, lambda given: [given[0], *command, fresh(log), *given[1:]], log=log)


def tracemalloc(frames):
    return Tool(f"tracemalloc-{frames}", lambda given: [given[0], "-X", f"tracemalloc={frames}", *given[1:]])


def found():
    """Interpreters of the measured versions: with their own symbols first, as pyenv builds them."""
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    for version in VERSIONS:
        built = sorted(glob.glob(os.path.join(pyenv, "versions", version + ".*", "bin", "python3")))
        path = built[-1] if built else shutil.which("python" + version)
        if path:
            yield path
        else:
            print(f"Python {version} is not installed: skipped")
