"""Commands and what they cost: CPU time and memory of a program and of every process that it started."""
import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCES = os.path.join(ROOT, "scripts", "bench.d")
PLACE = os.path.join(ROOT, ".bench")
PR_SET_CHILD_SUBREAPER = 36


def fail(text):
    print(f"scripts/bench: {text}", file=sys.stderr)
    sys.exit(2)


def source(name):
    return os.path.join(SOURCES, name)


def place(name):
    return os.path.join(PLACE, name)


def shell(*command, data=None):
    """Runs a command for its output; what it says on failure ends the benchmark."""
    done = subprocess.run(command, input=data, stdin=None if data is not None else subprocess.DEVNULL, capture_output=True)
    if done.returncode:
        fail(f"{' '.join(command[:3])}: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return done.stdout


def adopt_orphans():
    """Makes this process the one that waits for processes whose parent is gone, such as a tool's helper."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@dataclass(frozen=True)
class Run:
    """A finished command: seconds of all its processes, the largest peak of one of them in MiB, its exit status.

    The system counts the memory of who started a process as that process's too: no peak is below our own, some 15 MiB.
    """

    cpu: float
    wall: float
    peak: float
    status: int


def spawn(command, env, stdin, out, errors):
    files = [
        (os.POSIX_SPAWN_OPEN, 0, stdin, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
        (os.POSIX_SPAWN_OPEN, 2, errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
    ]
    return os.posix_spawnp(command[0], command, env, file_actions=files, setpgroup=0)


def metered(command, stdin=os.devnull, out=os.devnull, core=None, env=None, client=None):
    """Runs a command. A `client` runs beside it and is not part of the cost; if it fails, the command is ended and has its status."""
    if core is not None:
        command = ["taskset", "-c", str(core), *command]
    began = time.monotonic()
    child = spawn(command, os.environ | (env or {}), stdin, out, place("stderr"))
    beside = spawn(client, os.environ, os.devnull, os.devnull, place("client.stderr")) if client else None
    cpu, wall, peak, status, refused = 0.0, 0.0, 0.0, None, 0
    try:
        while True:
            try:
                pid, ended, usage = os.wait4(-1, 0)
            except ChildProcessError:
                return Run(cpu, wall, peak, refused or status)
            if pid == beside:
                refused = os.waitstatus_to_exitcode(ended)
                if refused and status is None:
                    os.killpg(child, signal.SIGTERM)
                continue
            cpu += usage.ru_utime + usage.ru_stime
            peak = max(peak, usage.ru_maxrss / 1024)
            if pid == child:
                wall, status = time.monotonic() - began, os.waitstatus_to_exitcode(ended)
    except KeyboardInterrupt:
        for group in filter(None, (child, beside)):
            os.killpg(group, signal.SIGTERM)
        raise


def errors():
    """The end of what the last command said on standard error."""
    text = ""
    for name in ("stderr", "client.stderr"):
        if os.path.exists(place(name)):
            with open(place(name), errors="replace") as file:
                text += file.read()
    return text.strip()[-500:]
