"""What a capture takes in the running program, with its id: ns on average, said by a library that is built to be measured.

`--cfg unfreed_timed` makes the library read the processor's counter around each capture and say the average at exit, without what the
reading takes (interposer/src/timed.rs); the shipped library does not have it.
"""
import os
import re
import shutil
import statistics

import metered
import native_programs
from metered import ROOT, Unmeasured, place, shell, source
from programs import fresh

ROUNDS = 3
LINK = "-nostartfiles -nostdlib -Wl,--as-needed,-z,now,-z,nodelete,--gc-sections,-soname,libunfreed.so"
SAID = re.compile(r"unfreed: captures (\d+) native ([\d.]+) ns python ([\d.]+) ns")


def library():
    """The library as analyzer/build.rs builds it, but timed."""
    flags = ["--cfg", "unfreed_preload", "--cfg", "unfreed_timed"]
    command = ["env", "CARGO_ENCODED_RUSTFLAGS=" + "\x1f".join(flags), "cargo", "rustc", "-q", "--locked", "--profile", "preload", "-p", "interposer"]
    target = re.search(r"^host: (\S+)", shell("rustc", "-vV").decode(), re.MULTILINE).group(1)
    command += ["--lib", "--crate-type", "cdylib", "--target", target, "--manifest-path", os.path.join(ROOT, "Cargo.toml"), "--target-dir", place("timed")]
    shell(*command, "--", *(f"-Clink-arg={argument}" for argument in LINK.split()))
    return place(f"timed/{target}/preload/libinterposer.so")


def programs():
    """(name, program or command, most ns)"""
    python = shutil.which("python3", path="/usr/bin:/bin")
    native = {program.name: program for program in native_programs.programs()}
    for name, bound in (("rust", 120), ("cc1plus", 200)):
        program = native[name]
        if all(map(shutil.which, program.needs)):
            program.prepare()
            yield name, program.command, program.client, bound
        else:
            print(f"skipped: capture in {name}: {', '.join(program.needs)} are needed")
    if python:
        yield "the system's python3", lambda: [python, source("records.py"), "5"], None, 120


def captured(preload, command, client):
    """(captures, ns of one) of a run: of its process with the most."""
    os.makedirs(fresh("recording"))
    metered.metered(command(), env={"LD_PRELOAD": preload, "UNFREED_DIR": place("recording")}, client=client)
    with open(place("stderr"), errors="replace") as file:
        said = [(int(captures), float(native) + float(python)) for captures, native, python in SAID.findall(file.read())]
    if not said:
        raise Unmeasured("the library did not say what its captures took")
    return max(said)


def measure(unfreed, targets):
    print("capture: what a stack and its id take in the running program", flush=True)
    preload, found = library(), {}
    for about, command, client, bound in programs():
        runs = [captured(preload, command, client) for _ in range(ROUNDS)]
        found[about] = statistics.median(ns for _, ns in runs)
        targets.add("capture", f"{about}: a capture, one of {runs[0][0]:,}", found[about], "ns", bound)
    return found
