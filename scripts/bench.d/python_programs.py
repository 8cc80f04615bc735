"""The Python programs that are measured, in an environment of their own for each interpreter, with the peers that pip has for it."""
import glob
import os
import shutil
import subprocess

from metered import place, source
from programs import Leak, Program, fresh

NAMES = ("script", "flask")
VERSIONS = ["3.11", "3.13"]
SCRIPT_ROUNDS, FLASK_ROUNDS = 15, 400
SMALL = 5  # times less, for the slowest tools
ROUNDS_PER_LEAK = 10
NEEDED = "flask"
PEERS = ["memray", "filprofiler"]
VERSION = "import sys; print('%d.%d.%d' % sys.version_info[:3], sys.executable)"


def line_of(text, name):
    """NAME:LINE of the line that begins with this text, but for spaces."""
    with open(source(name)) as file:
        return next(f"{name}:{number}" for number, line in enumerate(file, 1) if line.strip().startswith(text))


class Interpreter:
    """A Python of the user's, with a virtual environment of ours."""

    def __init__(self, path):
        told = subprocess.run([path, "-c", VERSION], capture_output=True, text=True)
        self.version, self.path = told.stdout.split(None, 1) if told.returncode == 0 else ("", path)
        self.path = self.path.strip()
        self.folder = place("venv" + self.path.replace("/", "-"))
        self.python = os.path.join(self.folder, "bin", "python")

    def missing(self, *peers):
        """Makes the environment, with these peers as far as there are wheels, if it is not there; what is missing, or None."""
        if not self.version:
            return f"{self.path} does not run"
        if tuple(map(int, self.version.split("."))) < (3, 8):
            return f"Python {self.version} is older than 3.8"
        if not self.has(NEEDED):
            shutil.rmtree(self.folder, ignore_errors=True)
            if not (self.quiet(self.path, "-m", "venv", self.folder) and self.install(NEEDED)):
                return f"{self.path}: an environment with {NEEDED} cannot be made"
        for peer in peers:
            if not self.has(peer):
                self.install("--only-binary", ":all:", peer)
        return None

    def quiet(self, *command):
        return subprocess.run(command, capture_output=True).returncode == 0

    def install(self, *what):
        return self.quiet(self.python, "-m", "pip", "install", "--disable-pip-version-check", *what)

    def has(self, module):
        find = f"import importlib.util as util, sys; sys.exit(util.find_spec('{module}') is None)"
        return os.path.exists(self.python) and self.quiet(self.python, "-c", find)

    def versions(self):
        """name -> version of the peers that are there."""
        ask = "import importlib.metadata as data, sys; print(data.version(sys.argv[1]))"
        return {name: subprocess.check_output([self.python, "-c", ask, name], text=True).strip() for name in PEERS if self.has(name)}

    def programs(self):
        script, app, client = map(source, ("records.py", "flask_app.py", "flask_client.py"))
        short = ".".join(self.version.split(".")[:2])
        yield Program(
            f"script-{short}",
            f"Python {self.version}: records, JSON, formatting",
            [],
            lambda: None,
            lambda: [self.python, script, str(SCRIPT_ROUNDS)],
            leak=Leak("keep_one", SCRIPT_ROUNDS, line_of("return bytes(5000)", "records.py")),
            small={"command": lambda: [self.python, script, str(SCRIPT_ROUNDS // SMALL)]},
            python=True,
        )
        yield Program(
            f"flask-{short}",
            f"Python {self.version}: {3 * FLASK_ROUNDS:,} requests to a Flask app over one connection",
            [],
            lambda: None,
            lambda: [self.python, app, fresh("port")],
            leak=Leak("keep_one", FLASK_ROUNDS // ROUNDS_PER_LEAK, line_of("return bytes(5000)", "flask_app.py")),
            client=[self.python, client, place("port"), str(FLASK_ROUNDS)],
            small={"client": [self.python, client, place("port"), str(FLASK_ROUNDS // SMALL)]},
            python=True,
        )


def found():
    """Interpreters of the measured versions: with their own symbols first, as pyenv builds them."""
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    for version in VERSIONS:
        built = sorted(glob.glob(os.path.join(pyenv, "versions", version + ".*", "bin", "python3")))
        path = built[-1] if built else shutil.which("python" + version)
        if path:
            yield path
        else:
            print(f"skipped: Python {version} is not installed")
