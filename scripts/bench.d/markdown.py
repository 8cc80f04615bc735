"""The tables of docs/performance.md out of a result in JSON; what stands around them is written by hand."""
from targets import figure

BEGIN, END = "<!-- written by scripts/bench -->", "<!-- end of what scripts/bench wrote -->"


def table(head, rows):
    yield "| " + " | ".join(head) + " |"
    yield "|" + "|".join("---" if number == 0 else "---:" for number in range(len(head))) + "|"
    for row in rows:
        yield "| " + " | ".join(str(cell) for cell in row) + " |"


def percent(over):
    return f"{over['median'] * 100:+.0f} % ({over['lowest'] * 100:+.0f} to {over['highest'] * 100:+.0f})"


def number(value, form):
    return "-" if value is None else format(value, form)


def machine(of):
    pythons = ", ".join(f"Python {version}" + "".join(f", {name} {found}" for name, found in peers.items()) for version, peers in of["python"].items())
    tools = ", ".join(f"{name} {version}" for name, version in of["tools"].items())
    yield f"{of['cpu']}, {of['cores']} cores, {of['memory_gib']} GiB; {of['distribution']}, Linux {of['kernel']}, {of['libc']}; {tools}; {pythons}."


def targets(of):
    missed = [target for target in of if target["holds"] is not True]
    yield f"{len(of) - len(missed)} of {len(of)} targets hold."
    yield ""
    rows = [
        (
            target["workload"],
            target["what"],
            f"{figure(target['value'])} {target['unit']}".strip(),
            f"at {'most' if target['upper'] else 'least'} {figure(target['bound'])}",
            {True: "holds", False: "**missed**", None: "not measured"}[target["holds"]],
        )
        for target in of
    ]
    yield from table(["workload", "target", "measured", "wanted", ""], rows)


def tool_row(name, found):
    if "error" in found:
        return name, "not measured", *[""] * 7
    analysis = found.get("analysis") or {}
    over = found["overhead"]
    return (
        name,
        found["rounds"],
        f"{found['cpu']:.2f}",
        "" if name == "bare" else percent(over["cpu"]),
        f"{found['wall']:.2f}",
        "" if name == "bare" else percent(over["wall"]),
        f"{found['tree']:.0f}",
        f"{found['disk'] / 1e6:.1f}" if found.get("disk") else "",
        f"{analysis['cpu']:.2f}, {analysis['wall']:.2f}, {analysis['tree']:.0f}" if "cpu" in analysis else "failed" if analysis else "",
        {True: "yes", False: "no", None: ""}[analysis.get("named")],
    )


def written(result):
    """What an event takes before the files are compressed: where the library was alone."""
    found = result["tools"].get("preloaded", {})
    return f" ({found['disk'] / result['log']['events']:.2f} as written)" if "disk" in found else ""


def program(result):
    yield f"### {result['name']}"
    yield ""
    leak = result["leak"]
    yield f"{result['about']}. " + (f"Leaks {leak['blocks']:,} blocks in `{leak['function']}`." if leak else "No leak is known.")
    yield ""
    head = ["tool", "rounds", "CPU s", "overhead", "wall s", "overhead", "MiB of all", "MB on disk", "analysis: CPU s, wall s, MiB", "names the leak"]
    yield from table(head, [tool_row(name, found) for name, found in result["tools"].items()])
    log = result.get("log")
    if log:
        yield ""
        text = f"{log['events']:,} events, {log['lost']:,} lost; {log['bytes_per_event']:.2f} bytes for each{written(result)}; heap of {log['heap_mib']:.0f} MiB, "
        text += f"{number(log['added_mib'], '.0f')} MiB added; replayed at {log['events'] / log['replay_cpu'] / 1e6:.1f} M events/s on one core"
        yield text + (f"; {log['leaked']:,} blocks named as leaked." if "leaked" in log else ".")
    yield ""


def sizes(of):
    """What reading generated recordings takes."""
    yield "### scale"
    yield ""
    yield "Recordings of four threads by the real encoder; the cost of an event is CPU time on one core, M/s is by wall time on two."
    yield ""
    head = ["events", "unfreed blocks", "stacks", "MB", "replay: ns, M/s, MiB", "report: s, MiB", "report from events: ns, s, MiB"]
    rows = [
        (
            f"{size['events']:,}",
            f"{size['live']:,}",
            f"{size['stacks']:,}",
            f"{size['bytes'] / 1e6:,.0f}",
            f"{size['replay_ns']:.1f}, {size['two_cores']:.1f}, {size['replay_mib']:,.0f}",
            f"{size['report_seconds']:.2f}, {size['report_mib']:,.0f}",
            f"{size['from_events_ns']:.1f}, {size['from_events_seconds']:.2f}, {size['from_events_mib']:,.0f}",
        )
        for size in of
    ]
    yield from table(head, rows)
    yield ""


def lines(result):
    yield f"Measured on {result['date']} of commit {result['machine']['commit']} in {result['minutes']:.0f} minutes, {result['rounds']} rounds, with:"
    yield ""
    yield from machine(result["machine"])
    yield ""
    yield "## Targets"
    yield ""
    yield from targets(result["targets"])
    yield ""
    yield "## Programs"
    yield ""
    for each in result["programs"]:
        yield from program(each)
    if "scale" in result["others"]:
        yield from sizes(result["others"]["scale"]["sizes"])
    for why in result["unmeasured"]:
        yield f"- not measured: {why}"


def write(path, result):
    """Puts the tables between their markers."""
    with open(path) as file:
        text = file.read()
    before, _, rest = text.partition(BEGIN)
    _, marker, after = rest.partition(END)
    if not marker:
        raise SystemExit(f"scripts/bench: {path} has no place for what was measured: {BEGIN} .. {END}")
    with open(path, "w") as file:
        file.write(before + BEGIN + "\n\n" + "\n".join(lines(result)).rstrip() + "\n\n" + END + after)
