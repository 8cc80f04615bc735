"""The tools under which programs run: ours in each mode, the least that an interposer can cost, and peers with what reads their logs.

All but `jemalloc-prof`, as it is by default, record every allocation; of Python programs memray, tracemalloc and Fil record every object, as
we do, heaptrack and the allocators' profilers only what reaches malloc. `jemalloc-*` and `gperftools` replace the allocator.
"""
import glob
import os
import re
import shutil
import subprocess

import metered
from metered import place, shell, source
from programs import Tool, fresh

HEAPTRACK = ["heaptrack_print", "-l", "1", "-p", "0", "-a", "0", "-T", "0", "-s", "1", "-f"]
NATIVE_STACKS, OBJECTS = "memray-native", "memray"


def into(folder, command):
    os.makedirs(fresh(folder))
    return command


def newest(pattern):
    found = glob.glob(place(pattern))
    return max(found, key=os.path.getmtime) if found else place(pattern)


def ours(unfreed):
    """Bare, the least cost, and ours: a whole run with its summary, and the library alone in each mode."""
    told = shell(unfreed, "install", place("library")).decode().splitlines()
    library = next(line.split("=", 1)[1] for line in told if line.startswith("LD_PRELOAD="))
    noop = metered.compiled("noop.c", "cc", "-O2", "-shared", "-fPIC")

    def report(name):
        return lambda _: [unfreed, "report", place(name), "-n", "20", "--format", "json"]

    def alone(name, about, analysis=None, **options):
        env = {"LD_PRELOAD": library, "UNFREED_DIR": place(name)} | options
        return Tool(name, about, lambda command: into(name, command), env, log=name, analysis=analysis)

    return [
        Tool("bare", "nothing"),
        Tool("noop", "a preload that only forwards", env={"LD_PRELOAD": noop}),
        Tool(
            "unfreed",
            "unfreed run, with its summary at the end",
            lambda command: [unfreed, "run", "-o", fresh("recording"), "--", *command],
            log="recording",
            analysis=report("recording"),
        ),
        alone("preloaded", "the library alone, which is the whole recording"),
        alone("counts", "the library with --max-log 0: what is unfreed and totals, no events", report("counts"), UNFREED_MAX_LOG="0"),
        alone("dormant", "the library with --off", UNFREED_START="off"),
    ]


def executable(command):
    return os.path.realpath(shutil.which(command[0]) or command[0])


def library(name):
    """The path of a library that the loader knows, or None."""
    ldconfig = shutil.which("ldconfig", path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin")
    told = subprocess.run([ldconfig, "-p"], capture_output=True, text=True).stdout if ldconfig else ""
    found = re.search(rf"^\s+{re.escape(name)} \([^)]*x86-64[^)]*\) => (\S+)", told, re.MULTILINE)
    return found and found.group(1)


def heaptrack(slow=False):
    return Tool(
        "heaptrack",
        "heaptrack, all processes",
        lambda command: into("heaptrack", ["heaptrack", "-o", place("heaptrack/log"), *command]),
        log="heaptrack",
        analysis=lambda _: [*HEAPTRACK, newest("heaptrack/log*")],
        slow=slow,
    )


def native():
    """(tool or None, what is missing): peers that any program runs under."""
    yield heaptrack() if shutil.which("heaptrack") else None, "heaptrack (apt-get install heaptrack)"
    jemalloc, tcmalloc = library("libjemalloc.so.2"), library("libtcmalloc.so.4")
    for name, about, sample, slow in (
        ("jemalloc-prof", "jemalloc's profiler as it is by default, one byte of 512 KiB sampled", "", False),
        ("jemalloc-exact", "jemalloc's profiler with every allocation", ",lg_prof_sample:0", True),
    ):
        conf = f"prof:true,prof_final:true,prof_prefix:{place('jemalloc')}/heap{sample}"
        yield jemalloc and Tool(
            name,
            about,
            lambda command: into("jemalloc", command),
            {"LD_PRELOAD": jemalloc, "MALLOC_CONF": conf},
            log="jemalloc",
            analysis=lambda command: ["jeprof", "--text", executable(command), newest("jemalloc/heap*.heap")],
            slow=slow,
        ), "jemalloc (apt-get install libjemalloc2 libjemalloc-dev)"
    env = {"HEAPPROFILE": place("gperftools/heap"), "HEAP_PROFILE_ALLOCATION_INTERVAL": "0", "HEAP_PROFILE_INUSE_INTERVAL": "0"}
    yield tcmalloc and Tool(
        "gperftools",
        "gperftools' heap profiler",
        lambda command: into("gperftools", command),
        {"LD_PRELOAD": tcmalloc} | env,
        log="gperftools",
        analysis=lambda command: ["google-pprof", "--text", "--inuse_space", executable(command), newest("gperftools/heap*.heap")],
        slow=True,
    ), "gperftools (apt-get install google-perftools)"


def python(interpreter):
    """(tool or None, what is missing): peers of a Python program."""
    version = interpreter.version
    for name, about, options in (
        (NATIVE_STACKS, "memray --native --trace-python-allocators", ["--native"]),
        (OBJECTS, "memray --trace-python-allocators", []),
    ):
        yield memray(interpreter, name, about, options) if interpreter.has("memray") else None, f"memray (pip has no wheel for Python {version})"
    for frames, slow in ((1, False), (25, True)):
        yield tracemalloc(interpreter, frames, slow), ""
    fil = os.path.join(interpreter.folder, "bin", "fil-profile")
    yield Tool(
        "filprofiler",
        "Fil",
        lambda command: [fil, "-o", fresh("fil"), "--no-browser", "run", *command[1:]],
        log="fil",
        analysis=lambda _: ["sh", "-c", f"cat {place('fil')}/*/peak-memory.prof"],
        slow=True,
    ) if os.path.exists(fil) else None, f"filprofiler (pip has no wheel for Python {version})"
    yield heaptrack(slow=True) if shutil.which("heaptrack") else None, "heaptrack (apt-get install heaptrack)"


def memray(interpreter, name, about, options):
    command = ["-m", "memray", "run", "-q", "-f", *options, "--trace-python-allocators", "-o"]
    return Tool(
        name,
        about,
        lambda given: [given[0], *command, fresh(name + ".bin"), *given[1:]],
        log=name + ".bin",
        analysis=lambda _: [interpreter.python, source("memray_unfreed.py"), place(name + ".bin")],
    )


def tracemalloc(interpreter, frames, slow):
    name = f"tracemalloc-{frames}"
    return Tool(
        name,
        f"tracemalloc with {frames} frame{'s' if frames > 1 else ''}, and a snapshot at the end",
        lambda given: [given[0], source("tracemalloc_run.py"), fresh(name), str(frames), *given[1:]],
        log=name,
        analysis=lambda _: ["cat", place(name)],
        slow=slow,
    )


def installed(tools):
    """Those that are there; of each other one a line."""
    found = []
    for tool, lacking in tools:
        if tool:
            found.append(tool)
        else:
            print(f"skipped: {lacking} is not installed")
    return found
