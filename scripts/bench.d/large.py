"""A recording of 1 GB, of four threads: how long replay takes on one core and on two, and a report, and what memory it takes."""
import os

import metered
import native_programs
from metered import place
from programs import disk_bytes, fresh

BLOCKS = 132_000_000
SECONDS, MIB = 12.0, 500.0
ONE_CORE, TWO_CORES = 15.0, 25.0  # million events a second


def measure(unfreed, targets):
    print(f"large: a recording of {BLOCKS / 1e6:.0f} M blocks on four threads", flush=True)
    program = native_programs.compiled("threads")
    run = metered.metered([unfreed, "run", "--max-log", "unlimited", "-o", fresh("large"), "--", program, str(BLOCKS)])
    size, events = disk_bytes(place("large")), 2 * BLOCKS
    print(f"  recorded in {run.wall:.1f} s: {size / 1e9:.2f} GB")
    one = metered.metered([unfreed, "inspect", place("large")], core=0)
    two = metered.metered([unfreed, "inspect", place("large")])
    report = metered.metered([unfreed, "report", place("large")])
    fresh("large")
    targets.add("large", "replay on one core", events / one.cpu / 1e6, "M events/s", ONE_CORE, upper=False)
    targets.add("large", "replay on two cores", events / two.wall / 1e6 if (os.cpu_count() or 1) > 1 else None, "M events/s", TWO_CORES, upper=False)
    targets.add("large", f"report of {size / 1e9:.2f} GB", report.wall / (size / 1e9), "s for each GB", SECONDS)
    targets.add("large", "memory of that", report.tree, "MiB", MIB)
    return {"bytes": size, "events": events, "record_wall": run.wall, "replay_cpu": one.cpu, "replay_wall": two.wall, "report_wall": report.wall, "report_mib": report.tree}
