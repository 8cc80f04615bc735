"""The runs of one program: each tool beside the bare program, in rounds that alternate their order, and what the last logs hold."""
import dataclasses
import json
import re
import statistics

import metered
from metered import Unmeasured, place
from programs import disk_bytes

CLOCKS = ("cpu", "wall")


def run_once(tool, program):
    return metered.metered(tool.wrap(program.command()), program.stdin, env=tool.env, client=program.client)


def rounds_of(program, tools, rounds):
    """name of a tool -> (bare, tool) of each round, or why it has none."""
    pairs = {tool.name: [] for tool in tools}
    run_once(tools[0], program)  # the first run reads files that the later ones find in memory
    for number in range(rounds):
        usual = [tool for tool in tools if not tool.slow]
        runs = {tool.name: attempt(tool, program) for tool in (usual if number % 2 == 0 else reversed(usual))}
        for name, run in runs.items():
            add(pairs, name, runs["bare"], run)
    small = dataclasses.replace(program, **program.small)
    for tool in (tool for tool in tools if tool.slow):
        add(pairs, tool.name, attempt(tools[0], small), attempt(tool, small))
    return pairs


def attempt(tool, program):
    """A run, or why there is none."""
    try:
        return run_once(tool, program)
    except Unmeasured as why:
        if tool.name == "bare":
            raise
        return str(why)


def add(pairs, name, bare, run):
    if isinstance(run, str):
        pairs[name] = run
    elif isinstance(pairs[name], list):
        pairs[name].append((bare, run))


def spread(values):
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def costs(pairs):
    """Medians of one tool's runs, and its overhead over the bare run of the same round."""
    found = {what: statistics.median(getattr(run, what) for _, run in pairs) for what in ("cpu", "wall", "largest", "tree")}
    found["overhead"] = {clock: spread([getattr(run, clock) / max(getattr(bare, clock), 1e-3) - 1 for bare, run in pairs]) for clock in CLOCKS}
    return found | {"rounds": len(pairs), "added_mib": statistics.median(run.largest - bare.largest for bare, run in pairs)}


def read(command, core=None):
    """What it takes to read a log, as a Run; what is printed is in the file `read`."""
    return metered.metered(command, out=place("read"), core=core)


def analysed(tool, program):
    """What a tool's own analysis costs, and whether it names the leak."""
    run = read(tool.analysis(program.command()))
    found = {"cpu": run.cpu, "wall": run.wall, "tree": run.tree}
    if program.leak:
        with open(place("read"), errors="replace") as file:
            text = file.read()
        found["named"] = program.leak.function in text or bool(program.leak.line) and program.leak.line in text
    return found


def recorded(unfreed, program, added):
    """Of our last recording: events, bytes, the heap's peak, what replay and a report take, and the leaked blocks."""
    report = last_report()
    events = report["totals"]["events"]
    replay = [unfreed, "inspect", place("recording")]
    found = {
        "events": events,
        "lost": report["totals"]["lost"],
        "bytes_per_event": disk_bytes(place("recording")) / events,
        "heap_mib": max(process["peak_bytes"] or 0 for process in report["recording"]["processes"]) / 2**20,
        "added_mib": added,
        "replay_cpu": min(read(replay, core=0).cpu for _ in range(3)),
        "replay_wall": min(read(replay).wall for _ in range(3)),
    }
    if program.leak:
        leaks = re.compile(rf"\b{program.leak.function}\b").search  # C++ and Rust put namespaces around it
        named = [site for site in report["sites"] if any(leaks(frame["function"] or "") for frame in site["stack"])]
        found["leaked"] = sum(site["unfreed_blocks"] for site in named)
    return found


def last_report():
    with open(place("read")) as file:
        return json.load(file)


def line(name, found):
    if "error" in found:
        return f"  {name:14} not measured: {found['error']}"
    text = f"  {name:14} {found['cpu']:6.2f} s CPU {found['wall']:6.2f} s wall {found['tree']:6.0f} MiB"
    if name != "bare":
        for clock in CLOCKS:
            over = found["overhead"][clock]
            text += f"  {clock} {percent(over['median'])} ({percent(over['lowest'])} to {percent(over['highest'])})"
    if found.get("disk"):
        text += f"  {found['disk'] / 1e6:.1f} MB"
    if "analysis" in found:
        analysis = found["analysis"]
        named = {True: ", names the leak", False: ", does not name the leak", None: ""}[analysis.get("named")]
        text += f"  analysis: {analysis.get('error') or '%.2f s CPU %.2f s wall %.0f MiB' % (analysis['cpu'], analysis['wall'], analysis['tree'])}{named}"
    return text


def percent(part):
    return f"{part * 100:+.0f} %"


def measure(program, tools, rounds, unfreed):
    """The result of one program, printed as it comes: see docs/performance.md."""
    print(f"{program.name}: {program.about}", flush=True)
    program.prepare()
    pairs = rounds_of(program, tools, rounds)
    result = {"name": program.name, "about": program.about, "python": program.python, "tools": {}}
    result["leak"] = dataclasses.asdict(program.leak) if program.leak else None
    for tool in tools:
        of_tool = pairs[tool.name]
        found = {"error": of_tool} if isinstance(of_tool, str) else costs(of_tool)
        result["tools"][tool.name] = found
        if "error" not in found:
            written(tool, program, found)
            if tool.name == "unfreed" and "error" not in found["analysis"]:
                alone = pairs.get("preloaded")
                result["log"] = recorded(unfreed, program, costs(alone)["added_mib"] if isinstance(alone, list) and alone else None)
        print(line(tool.name, found), flush=True)
    return result


def written(tool, program, found):
    """Adds what a tool wrote last, and its analysis."""
    if tool.log:
        found["disk"] = disk_bytes(place(tool.log))
    if tool.analysis:
        try:
            found["analysis"] = analysed(tool, program)
        except Unmeasured as why:
            found["analysis"] = {"error": str(why)}
