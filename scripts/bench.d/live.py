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
from metered import ROOT, Unmeasured, place, shell
from programs import fresh

DORMANT_NS, TABLE_NS, TABLE_PER_CENT, REPORT_SECONDS = 3.0, 6.0, 30.0, 1.0
LOOP, BLOCKS, ROUNDS = 20_000_000, 1_000_000, 3


def preload(unfreed):
    told = shell(unfreed, "install", place("library")).decode().splitlines()
    found = dict(line.split("=", 1) for line in told if line.startswith("LD_PRELOAD="))
    return found | {"UNFREED_DIR": place("recording")}


def dormant(unfreed):
    """ns for each event, one for each round."""
    command, added = [native_programs.compiled("loop"), str(LOOP)], []
    env = preload(unfreed) | {"UNFREED_START": "off"}
    for number in range(ROUNDS):
        seconds = {}
        for way in ("bare", "dormant") if number % 2 == 0 else ("dormant", "bare"):
            os.makedirs(fresh("recording"))
            seconds[way] = metered.metered(command, env=env if way == "dormant" else None, core=0).cpu
        added.append((seconds["dormant"] - seconds["bare"]) / (2 * LOOP) * 1e9)
    return added


def table():
    """What the example prints: for each number of blocks the ns added to an event, and bytes of the table for each 100 of heap."""
    manifest = os.path.join(ROOT, "Cargo.toml")
    command = ["cargo", "run", "--release", "--locked", "-q", "--manifest-path", manifest, "-p", "interposer", "--example", "table_cost"]
    told = shell(*command).decode()
    added = re.findall(r"^(\d+) blocks: .* adds (-?[\d.]+) ns", told, re.MULTILINE)
    part = re.search(r": ([\d.]+) %", told)
    if not added or not part:
        raise Unmeasured(f"table_cost said: {told}")
    return [(int(blocks), float(ns)) for blocks, ns in added], float(part.group(1))


def report(unfreed):
    """Wall seconds of a report of a running process with a million blocks, and how many blocks it said."""
    program = native_programs.compiled("million")
    os.makedirs(fresh("recording"))
    env = os.environ | preload(unfreed)
    process = subprocess.Popen([program, str(BLOCKS)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        if not process.stdout.readline():
            raise Unmeasured("million.c ended early")
        seconds = []
        for _ in range(ROUNDS):
            began = time.monotonic()
            told = shell(unfreed, "report", place("recording"), "-n", "20", "--format", "json")
            seconds.append(time.monotonic() - began)
        return statistics.median(seconds), json.loads(told)["totals"]["unfreed_blocks"]
    finally:
        process.stdin.close()
        process.wait()


def measure(unfreed, targets):
    print("live: the live table and a dormant library", flush=True)
    ns = statistics.median(dormant(unfreed))
    targets.add("live", "dormant library", ns, "ns for an event", DORMANT_NS)
    added, part = table()
    for blocks, cost in added:
        targets.add("live", f"live table, {blocks:,} blocks in random order", cost, "ns for an event", TABLE_NS)
    targets.add("live", "live table", part, "% of the heap", TABLE_PER_CENT)
    seconds, blocks = report(unfreed)
    targets.add("live", f"report of {BLOCKS:,} blocks of a running process", seconds, "s", REPORT_SECONDS)
    targets.add("live", "blocks said beside these", abs(blocks - BLOCKS), "", 100)
    return {"dormant_ns": ns, "table_ns": added, "table_per_cent": part, "report_seconds": seconds, "blocks": blocks}
