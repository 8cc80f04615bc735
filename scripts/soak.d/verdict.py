"""What a recording says about itself, and what it should have."""
import json
import os
import subprocess
import time
from dataclasses import dataclass, field

from place import place


@dataclass
class Verdict:
    """Of one recording: counts for the table, and what is wrong."""

    processes: int = 0
    events: int = 0
    seconds: float = 0.0
    pids: set = field(default_factory=set)
    wrong: list = field(default_factory=list)


def read(unfreed, recording, deep=False):
    """Makes a report: 0 lost, nothing impossible (but see `Application.deep`), nothing that cannot be read."""
    counts = ["lost", "merge_mismatches"] + ([] if deep else ["impossible"])
    began = time.monotonic()
    with open(place("report.json"), "wb") as out:
        done = subprocess.run([unfreed, "report", recording, "-n", "1", "--format", "json"], stdout=out, stderr=subprocess.PIPE)
    verdict = Verdict(seconds=time.monotonic() - began)
    if done.returncode:
        verdict.wrong.append(f"unfreed report: status {done.returncode}: {done.stderr.decode(errors='replace').strip()[-300:]}")
        return verdict
    with open(place("report.json")) as file:
        report = json.load(file)
    verdict.events = report["totals"]["events"]
    if report["totals"]["lost"]:
        verdict.wrong.append(f"{report['totals']['lost']} of {verdict.events} events lost")
    verdict.wrong += report["recording"].get("unreadable", [])
    for process in report["recording"]["processes"]:
        verdict.processes += 1
        verdict.pids.add(process["pid"])
        name = f"pid {process['pid']} {os.path.basename(process['exe'] or '?')}"
        found = [f"{process[what]} {what}" for what in counts if process.get(what)]
        # Whoever is killed leaves what it had begun.
        if process.get("missing_stamps") and process["state"] != "killed":
            found.append(f"{process['missing_stamps']} missing_stamps")
        found += process.get("unreadable", [])
        if process["state"].startswith("stopped"):
            found.append(process["state"])
        if process["state"] == "running":
            found.append("it still runs")
        verdict.wrong += [f"{name}: {each}" for each in found]
    return verdict


def unpreloadable(path):
    """Whether the loader loads no library into this program: static, of another class, or changing its user."""
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
        static = head[:4] == b"\x7fELF" and b"ld-linux-x86-64" not in head and b"ld-musl-x86_64" not in head
        return static or bool(os.stat(path).st_mode & 0o6000)
    except OSError:
        return False


def unseen(verdict, watched):
    """Of the processes that were started: how many have no file, and those for which there is no reason.

    One that never executed a program and made no event of its own has none, and needs none.
    """
    missing = {pid: path for pid, path in watched.items() if pid not in verdict.pids}
    return len(missing), [f"pid {pid} {path} was not recorded" for pid, path in missing.items() if path and not unpreloadable(path)]
