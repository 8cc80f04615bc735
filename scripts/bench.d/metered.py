"""Commands and what they cost: CPU time, wall time and memory of a program and of every process that it started.

Everything is built and written in PLACE, which is also where commands run.
"""
import os
import signal
import subprocess
import sys
from dataclasses import dataclass

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCES = os.path.join(ROOT, "scripts", "bench.d")
PLACE = os.path.join(ROOT, ".bench")
LONGEST_RUN = 240  # seconds


class Unmeasured(Exception):
    """Why something could not be measured."""


def fail(text):
    print(f"{sys.argv[0]}: {text}", file=sys.stderr)
    sys.exit(2)


def source(name):
    return os.path.join(SOURCES, name)


def place(name):
    return os.path.join(PLACE, name)


def shell(*command, data=None):
    """Runs a command for its output."""
    done = subprocess.run(command, input=data, stdin=None if data is not None else subprocess.DEVNULL, capture_output=True)
    if done.returncode:
        raise Unmeasured(f"{' '.join(command[:3])}: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return done.stdout


def compiled(name, compiler="cc", *flags):
    """The program, or with -shared the library, of a source file; made again when the source is newer."""
    out, made_of = place(os.path.splitext(name)[0]), source(name)
    if not os.path.exists(out) or os.path.getmtime(out) <= os.path.getmtime(made_of):
        shell(compiler, *flags, made_of, "-o", out + ".new")
        os.rename(out + ".new", out)
    return out


@dataclass(frozen=True)
class Run:
    """A finished command: seconds of all its processes, and MiB of the largest one and of those alive together (meter.c says how)."""

    cpu: float
    wall: float
    largest: float
    tree: float


def metered(command, stdin=os.devnull, out=os.devnull, core=None, env=None, client=None):
    """Runs a command that has to succeed. A `client` drives it, is not part of the cost, and prints the seconds of its load: these are the
    wall time then."""
    meter = compiled("meter.c", "cc", "-O2")
    if core is not None:
        command = ["taskset", "-c", str(core), *command]
    with open(stdin, "rb") as given, open(out, "wb") as said, open(place("stderr"), "wb") as errors:
        program = subprocess.Popen(
            [meter, place("meter.out"), "env", *(f"{name}={value}" for name, value in (env or {}).items()), *command],
            stdin=given, stdout=said, stderr=errors, cwd=PLACE, start_new_session=True,
        )  # fmt: skip
    beside = None
    try:
        if client:
            with open(place("client.stderr"), "wb") as errors:
                beside = subprocess.Popen(client, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, cwd=PLACE)
            load = beside.communicate(timeout=LONGEST_RUN)[0]
            if beside.returncode:
                raise Unmeasured(f"the client: status {beside.returncode}: {errors_of('client.stderr')} {errors_of('stderr')}")
        program.wait(LONGEST_RUN)
    except subprocess.TimeoutExpired:
        raise Unmeasured(f"more than {LONGEST_RUN} s") from None
    finally:
        for process in filter(None, (program, beside)):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL) if process is program else process.kill()
                process.wait()
    with open(place("meter.out")) as file:
        wall, cpu, largest, tree, status = map(int, file.read().split())
    if status:
        raise Unmeasured(f"{os.path.basename(command[0])}: status {status}: {errors_of('stderr')}")
    return Run(cpu / 1e6, float(load) if client else wall / 1e9, largest / 1024, tree / 1024)


def errors_of(name):
    """The end of what was said on standard error."""
    with open(place(name), errors="replace") as file:
        return file.read().strip()[-400:]
