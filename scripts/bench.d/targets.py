"""What the project holds to, and whether it holds: each target is printed as soon as it is known."""
import statistics
from dataclasses import asdict, dataclass
from typing import Optional

OF_HEAPTRACK, OF_HEAPTRACK_ON_AVERAGE, OF_NATIVE_STACKS, OF_OBJECTS = 1 / 2, 1 / 4, 1 / 4, 1.0
LEAST_OVERHEAD = 0.02  # a peer that costs less than the noise of a run is taken to cost this
BYTES_PER_EVENT, BYTES_OF = 3.0, ("script", "flask", "cc1plus", "redis", "sqlite3")
ADDED_MIB, ADDED_PART = 32.0, 0.30
ONE_CORE, TWO_CORES = 15.0, 25.0  # million events a second
ENOUGH_EVENTS = 1_000_000  # fewer say how long it takes to begin


@dataclass(frozen=True)
class Target:
    """`value` is None if it could not be measured."""

    workload: str
    what: str
    value: Optional[float]
    unit: str
    bound: float
    upper: bool

    @property
    def holds(self):
        if self.value is None:
            return None
        return self.value <= self.bound if self.upper else self.value >= self.bound

    @property
    def state(self):
        return {True: "holds", False: "MISSED", None: "not measured"}[self.holds]

    def __str__(self):
        return f"{self.what}: {figure(self.value)} {self.unit}".rstrip() + f" (at {'most' if self.upper else 'least'} {figure(self.bound)}: {self.state})"


def figure(value):
    """A count as it is, else two decimals."""
    return "-" if value is None else f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


class Targets:
    def __init__(self):
        self.all = []

    def add(self, workload, what, value, unit, bound, upper=True):
        target = Target(workload, what, value, unit, bound, upper)
        self.all.append(target)
        print(f"  {target}", flush=True)

    def json(self):
        return [asdict(target) | {"holds": target.holds} for target in self.all]

    def status(self):
        """Exit status: 1 if one is missed, 2 if one could not be measured."""
        states = [target.holds for target in self.all]
        return 1 if False in states else 2 if None in states or not states else 0


def part(result, peer, clock):
    """Our overhead as a part of a peer's; None where one of them is not known."""
    ours, theirs = (result["tools"].get(name, {}).get("overhead", {}).get(clock) for name in ("unfreed", peer))
    return None if ours is None or theirs is None else ours["median"] / max(theirs["median"], LEAST_OVERHEAD)


def of_program(result, targets):
    """The targets of one program's result."""
    name, log = result["name"], result.get("log")
    peers = [("memray-native", OF_NATIVE_STACKS), ("memray", OF_OBJECTS)] if result["python"] else [("heaptrack", OF_HEAPTRACK)]
    for peer, bound in peers:
        if peer in result["tools"]:
            for clock in ("cpu", "wall"):
                targets.add(name, f"overhead in {clock} time", part(result, peer, clock), f"of {peer}'s", bound)
    if not log:
        return targets.add(name, "recording", None, "", 0)
    targets.add(name, "events lost", log["lost"], f"of {log['events']:,}", 0)
    if result["leak"]:
        targets.add(name, f"blocks of {result['leak']['function']} too many or too few", abs(log["leaked"] - result["leak"]["blocks"]), "", 0)
    if name.startswith(BYTES_OF):
        targets.add(name, "disk for an event", log["bytes_per_event"], "bytes", BYTES_PER_EVENT)
    bound = ADDED_MIB + ADDED_PART * log["heap_mib"]
    targets.add(name, f"added memory, with a heap of {log['heap_mib']:,.0f} MiB", log["added_mib"], "MiB", bound)
    if log["events"] >= ENOUGH_EVENTS:
        targets.add(name, "replay on one core", log["events"] / log["replay_cpu"] / 1e6, "M events/s", ONE_CORE, upper=False)


def on_average(results, targets):
    """The targets of all native programs that ran under heaptrack together."""
    if not any("heaptrack" in result["tools"] and not result["python"] for result in results):
        return
    print("all native programs")
    for clock in ("cpu", "wall"):
        parts = [part(result, "heaptrack", clock) for result in results if not result["python"] and "heaptrack" in result["tools"]]
        known = [each for each in parts if each is not None]
        targets.add("native", f"overhead in {clock} time, on average", statistics.mean(known) if known else None, "of heaptrack's", OF_HEAPTRACK_ON_AVERAGE)
