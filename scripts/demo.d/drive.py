"""Records the leaking app while it serves, with a mark after 10 requests and one after 50 more; prints what changed between
the two marks and a report.

drive.py UNFREED DIRECTORY: `unfreed` is the binary, the recording goes into DIRECTORY. Run by scripts/demo.
Ends with status 1 if the difference does not begin with the leak: in `_get_foo`, the line that appends, 50 more
blocks of 320,000 bytes.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import requests

APP = pathlib.Path(__file__).with_name("app.py")
ANSWER_SECONDS = 60
# Of the list that a request leaves: what the interpreter asks for to hold 40,000 pointers.
LIST_BYTES = 8 * 40_000


def say(text):
    print(text, flush=True)


def command_line(words):
    return "\n$ " + " ".join(str(word) for word in words)


def show(*command):
    """Runs a command and prints what it says."""
    say(command_line(command))
    if subprocess.run(command).returncode:
        sys.exit("demo: that command failed")


def demonstrate(unfreed, recording):
    """Runs the app under `unfreed run` and sends it requests; marks, compares and reports while it serves."""
    shutil.rmtree(recording, ignore_errors=True)
    app = [os.path.relpath(path) for path in (sys.executable, APP)]
    command = [unfreed, "run", "-o", str(recording), "--", *app]
    say(command_line(command))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline().strip()
            if not port.isdigit():
                sys.exit("demo: the app did not start: " + server.stderr.read().strip())
            for count, mark in [(10, "warm"), (50, "end")]:
                for _ in range(count):
                    requests.get(f"http://127.0.0.1:{port}/foo", timeout=ANSWER_SECONDS).raise_for_status()
                say(f"  {count} requests of http://127.0.0.1:{port}/foo")
                show(unfreed, "mark", str(recording), mark)
            moments = [f"{recording}@{mark}" for mark in ("warm", "end")]
            show(unfreed, "diff", *moments, "--by", "line", "-n", "3")
            show(unfreed, "diff", *moments, "-n", "1")
            check(unfreed, *moments)
        finally:
            server.send_signal(signal.SIGTERM)
            _, said = server.communicate(timeout=ANSWER_SECONDS)
    say("\nThe app is ended.")
    # Its own log of the requests is not shown.
    say("\n".join(line for line in said.splitlines() if "HTTP/1.1" not in line))
    if server.returncode:
        sys.exit(f"demo: the app ended with status {server.returncode}")
    show(unfreed, "report", str(recording), "--by", "line", "--phase", "run", "-n", "5")
    return check(unfreed, *moments)


def line_of_the_leak():
    lines = APP.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if "kept.append" in line)


def first(unfreed, old, new, by):
    """The first row of the difference."""
    command = [unfreed, "diff", str(old), str(new), "--by", by, "--format", "json", "-n", "1"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)["sites"][0]


def check(unfreed, old, new):
    """The leak is the first stack and the first line, to the block."""
    stack, line = (first(unfreed, old, new, by) for by in ("stack", "line"))
    named = stack["headline"]
    place = (named["function"], os.path.basename(named["file"] or ""), named["line"])
    expected = ("_get_foo", APP.name, line_of_the_leak())
    if place != expected:
        sys.exit(f"demo: the first stack is named after {place}, not after {expected}")
    if (stack["delta_blocks"], stack["delta_bytes"]) != (50, 50 * LIST_BYTES):
        sys.exit(f"demo: the first stack has {stack['delta_blocks']} more blocks, {stack['delta_bytes']} bytes")
    if line["name"] != f"{named['file']}:{named['line']}" or not 0 <= line["delta_bytes"] / stack["delta_bytes"] - 1 < 0.01:
        sys.exit(f"demo: the first line is {line['name']}, {line['delta_bytes']} more bytes")
    return stack


def main():
    unfreed, directory = sys.argv[1], pathlib.Path(sys.argv[2])
    leak = demonstrate(unfreed, directory / "shop")
    place = f"{APP.name}:{leak['headline']['line']} {leak['headline']['function']}"
    say(f"\nThe leak: {place}, 50 requests, +{leak['delta_blocks']} blocks, +{leak['delta_bytes']:,} bytes")


if __name__ == "__main__":
    main()
