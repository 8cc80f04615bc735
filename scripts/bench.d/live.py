"""What the live table costs, what a dormant library costs, and how fast a running process's unfreed set is reported.

Dormant: CPU time of the loop, bare and with the library switched off, in turn. Table: `interposer/examples/table_cost.rs`, which puts the
blocks of a program into the table and takes them out again, beside the same without. Report: of a million unfreed blocks of
a process that runs, by wall time, as somebody waits for it.
"""
import json
import os
import re
import statistics
import subprocess
import time

import metered
import native_programs
from metered import ROOT, fail, place, shell
from programs import fresh

DORMANT_NS, TABLE_NS, TABLE_PART, REPORT_SECONDS = 3.0, 6.0, 0.30, 1.0
LOOP, BLOCKS = 20_000_000, 1_000_000


def dormant(unfreed, rounds):
    """ns for each event, one for each round."""
    native_programs.compiled("loop")
    command, added = [place("loop"), str(LOOP)], []
    env = preload(unfreed) | {"UNFREED_START": "off"}
    for number in range(rounds):
        seconds = {}
        for way in ("bare", "dormant") if number % 2 == 0 else ("dormant", "bare"):
            if way == "dormant":
                os.makedirs(fresh("recording"))
            run = metered.metered(command, env=env if way == "dormant" else None, core=0)
            if run.status:
                fail(f"the loop, {way}: status {run.status}: {metered.errors()}")
            seconds[way] = run.cpu
        added.append((seconds["dormant"] - seconds["bare"]) / (2 * LOOP) * 1e9)
    return added


def preload(unfreed):
    told = shell(unfreed, "install", place("library")).decode().splitlines()
    found = dict(line.split("=", 1) for line in told if line.startswith("LD_PRELOAD="))
    return found | {"UNFREED_DIR": place("recording")}


def table():
    """What the example prints: for each number of blocks the ns added to an event, and bytes of the table for each byte of heap."""
    manifest = os.path.join(ROOT, "Cargo.toml")
    command = ["cargo", "run", "--release", "--locked", "-q", "--manifest-path", manifest, "-p", "interposer", "--example", "table_cost"]
    told = shell(*command).decode()
    added = re.findall(r"^(\d+) blocks: .* adds (-?[\d.]+) ns", told, re.MULTILINE)
    part = re.search(r": ([\d.]+) %", told)
    if not added or not part:
        fail(f"table_cost said: {told}")
    return [(int(blocks), float(ns)) for blocks, ns in added], float(part.group(1)) / 100


def report(unfreed, rounds):
    """Wall seconds of a report of a running process with a million blocks, and how many blocks it said."""
    shell("cc", "-O2", "-g", "-fno-optimize-sibling-calls", metered.source("million.c"), "-o", place("million"))
    os.makedirs(fresh("recording"))
    env = os.environ | preload(unfreed)
    program = subprocess.Popen([place("million"), str(BLOCKS)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        if not program.stdout.readline():
            fail("million.c ended early")
        seconds = []
        for _ in range(rounds):
            began = time.monotonic()
            told = shell(unfreed, "report", place("recording"), "-n", "20", "--format", "json")
            seconds.append(time.monotonic() - began)
        return seconds, json.loads(told)["totals"]["unfreed_blocks"]
    finally:
        program.stdin.close()
        program.wait()


def measure(unfreed, rounds, bar):
    print("live: the live table and a dormant library", flush=True)
    ns = dormant(unfreed, rounds)
    middle = statistics.median(ns)
    bar(f"dormant {middle:.2f} ns an event ({min(ns):.2f} to {max(ns):.2f})", middle <= DORMANT_NS, f"at most {DORMANT_NS:.0f}")
    added, part = table()
    for blocks, ns in added:
        bar(f"live table {ns:.1f} ns an event, {blocks:,} blocks in random order", ns <= TABLE_NS, f"at most {TABLE_NS:.0f}")
    bar(f"live table {part * 100:.1f} % of the heap", part <= TABLE_PART, f"at most {TABLE_PART * 100:.0f} %")
    seconds, blocks = report(unfreed, rounds)
    bar(f"report of {blocks:,} blocks in {statistics.median(seconds):.2f} s", statistics.median(seconds) <= REPORT_SECONDS, f"at most {REPORT_SECONDS:.0f} s")
    bar(f"{blocks:,} blocks said", BLOCKS < blocks < BLOCKS + 100, f"{BLOCKS:,} and some of the C library")
