"""What reading a recording costs at 10^6 to 10^9 events, 10^4 to 10^7 unfreed blocks and 10^3 to 10^6 distinct stacks.

The recordings are generated (tests/generate: four threads, the real encoder), and what is true of them is known: every reading is
compared with it. `inspect` replays all events and looks up no symbols; `report` reads the live table of a large recording, and with
`--from events` all events. One is written, read and deleted after the other: some 4 GB of disk, and 10 minutes.

The cost of an event is CPU time on one core, the least of the rounds; events a second on two cores are by wall time.
"""
import json
import os
import re
import shutil

import metered
from metered import ROOT, Unmeasured, place, shell
from programs import fresh
from targets import ONE_CORE, TWO_CORES

THREADS, LIVE, STACKS, EVENTS = 4, 100_000, 10_000, 100_000_000
MANY = 10 * EVENTS
# What is varied, and (events, unfreed blocks, stacks) of each size.
AXES = {
    "events": [(events, LIVE, STACKS) for events in (EVENTS // 100, EVENTS // 10, EVENTS, MANY)],
    "unfreed blocks": [(EVENTS, live, STACKS) for live in (10_000, LIVE, 1_000_000, 10_000_000)],
    "stacks": [(EVENTS, LIVE, stacks) for stacks in (1_000, STACKS, 100_000, 1_000_000)],
}
GIGABYTE = (340_000_000, LIVE, STACKS)
FLAT, REPORT_SECONDS, REPORT_MIB = 1.3, 12.0, 500.0
ROUNDS = 3
REPORT = ["-n", "20", "--format", "json"]


def generated(plan):
    """What is true of a new recording, which is in the place `scale`."""
    manifest = os.path.join(ROOT, "Cargo.toml")
    command = ["cargo", "run", "--release", "--locked", "-q", "--manifest-path", manifest, "-p", "generate", "--"]
    return json.loads(shell(*command, fresh("scale"), *map(str, plan), str(THREADS)))


def read(unfreed, *command, core, rounds):
    """The run of a command on the recording that took the least CPU time, and the one that took the least wall time."""
    runs = [metered.metered([unfreed, command[0], place("scale"), *command[1:]], out=place("read"), core=core) for _ in range(rounds)]
    return min(runs, key=lambda run: run.cpu), min(runs, key=lambda run: run.wall)


def check(truth, found):
    wanted = tuple(truth[name] for name in ("events", "unfreed_bytes", "unfreed_blocks"))
    if wanted != found:
        raise Unmeasured(f"events, unfreed bytes and blocks are {found}, not {wanted}")


def check_inspected(truth):
    with open(place("read")) as file:
        said = file.read()
    events = re.search(r"^ +(\d+) events, ", said, re.MULTILINE)
    unfreed = re.search(r"^ +unfreed (\d+) bytes in (\d+) blocks", said, re.MULTILINE)
    if not events or not unfreed:
        raise Unmeasured(f"inspect said: {said}")
    check(truth, (int(events[1]), int(unfreed[1]), int(unfreed[2])))


def check_reported(truth):
    with open(place("read")) as file:
        report = json.load(file)
    check(truth, tuple(report["totals"][name] for name in ("events", "unfreed_bytes", "unfreed_blocks")))
    largest = sorted([site["unfreed_blocks"], site["unfreed_bytes"]] for site in report["sites"])
    # Of sites with as many bytes as the last one any may be the last.
    least = min(size for _, size in truth["largest"])
    if [site for site in largest if site[1] > least] != sorted(site for site in truth["largest"] if site[1] > least):
        raise Unmeasured(f"the largest sites are {largest}, not {truth['largest']}")


def measured(unfreed, plan):
    """A size as JSON."""
    truth = generated(plan)
    try:
        rounds = ROUNDS if plan[0] <= EVENTS else 1
        replay, _ = read(unfreed, "inspect", core=0, rounds=rounds)
        _, on_two = read(unfreed, "inspect", core="0,1", rounds=rounds)
        check_inspected(truth)
        table, _ = read(unfreed, "report", *REPORT, core="0,1", rounds=rounds)
        check_reported(truth)
        events, _ = read(unfreed, "report", *REPORT, "--from", "events", core=0, rounds=rounds)
        _, events_on_two = read(unfreed, "report", *REPORT, "--from", "events", core="0,1", rounds=rounds)
        check_reported(truth)
    finally:
        shutil.rmtree(place("scale"))
    size = truth["events"]
    found = dict(
        events=size, live=plan[1], stacks=plan[2], bytes=truth["file_bytes"],
        replay_ns=replay.cpu / size * 1e9, replay_mib=replay.largest, two_cores=size / on_two.wall / 1e6,
        report_seconds=table.wall, report_mib=table.largest,
        from_events_ns=events.cpu / size * 1e9, from_events_seconds=events_on_two.wall, from_events_mib=events.largest,
    )  # fmt: skip
    print(
        f"  {size:>13,} {plan[1]:>10,} {plan[2]:>9,} {truth['file_bytes'] / 1e6:8,.0f} MB  {found['replay_ns']:6.1f} ns {found['two_cores']:5.1f} M/s"
        f" {found['replay_mib']:6,.0f} MiB  {found['report_seconds']:6.2f} s {found['report_mib']:6,.0f} MiB"
        f"  {found['from_events_ns']:6.1f} ns {found['from_events_seconds']:6.2f} s {found['from_events_mib']:6,.0f} MiB",
        flush=True,
    )
    return found


def measure(unfreed, targets):
    print("scale: generated recordings: replay on one core and on two; report; report from events on one core and on two")
    print(f"  {'events':>13} {'unfreed':>10} {'stacks':>9}", flush=True)
    sizes = {}
    for plan in dict.fromkeys([plan for plans in AXES.values() for plan in plans] + [GIGABYTE]):
        sizes[plan] = measured(unfreed, plan)
    for axis, plans in AXES.items():
        for what, name in (("replay", "replay_ns"), ("report from events", "from_events_ns")):
            costs = [sizes[plan][name] for plan in plans]
            targets.add("scale", f"{what}: the largest cost of an event over the smallest, as {axis} grow", max(costs) / min(costs), "", FLAT)
    middle, gigabyte = sizes[EVENTS, LIVE, STACKS], sizes[GIGABYTE]
    targets.add("scale", "replay on one core", 1e3 / middle["replay_ns"], "M events/s", ONE_CORE, upper=False)
    targets.add("scale", "replay on two cores", middle["two_cores"], "M events/s", TWO_CORES, upper=False)
    for what, name in (("report", "report"), ("report from events", "from_events")):
        targets.add("scale", f"{what} of {gigabyte['bytes'] / 1e9:.2f} GB", gigabyte[name + "_seconds"], "s", REPORT_SECONDS)
        targets.add("scale", f"{what} of {gigabyte['bytes'] / 1e9:.2f} GB", gigabyte[name + "_mib"], "MiB", REPORT_MIB)
    return {"sizes": list(sizes.values())}
