"""Records the leaking app twice, after 10 requests and after 10 and 50 more; prints a report and the difference.

drive.py UNFREED DIRECTORY: `unfreed` is the binary, recordings go into DIRECTORY. Run by scripts/demo.
Ends with status 1 if the difference does not show the leak: 50 more blocks of 320,000 bytes on one stack.
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
# The header of a difference and the innermost frames of its first stack.
STACK_LINES = 24


def say(text):
    print(text, flush=True)


def record(unfreed, directory, batches):
    """Runs the app under `unfreed run`, sends it batches of requests, and ends it."""
    shutil.rmtree(directory, ignore_errors=True)
    app = [os.path.relpath(path) for path in (sys.executable, APP)]
    command = [unfreed, "run", "-o", str(directory), "--", *app]
    say("\n$ " + " ".join(command))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline().strip()
            if not port.isdigit():
                sys.exit("demo: the app did not start: " + server.stderr.read().strip())
            for count in batches:
                for _ in range(count):
                    requests.get(f"http://127.0.0.1:{port}/foo", timeout=ANSWER_SECONDS).raise_for_status()
                say(f"  {count} requests of http://127.0.0.1:{port}/foo")
        finally:
            server.send_signal(signal.SIGTERM)
            _, said = server.communicate(timeout=ANSWER_SECONDS)
    # The server's own log of the requests is not shown.
    say("\n".join(line for line in said.splitlines() if "HTTP/1.1" not in line))
    if server.returncode:
        sys.exit(f"demo: the app ended with status {server.returncode}")


def show(command, lines=None):
    """Runs a command and prints what it says, or the first lines of that."""
    say("\n$ " + " ".join(command) + (f" | head -{lines}" if lines else ""))
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        sys.exit("demo: that command failed")
    say("\n".join(result.stdout.splitlines()[:lines]))


def check(unfreed, old, new):
    """The one row that must be there: 50 more blocks, 320,000-odd bytes each."""
    command = [unfreed, "diff", str(old), str(new), "--format", "json"]
    sites = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)["sites"]
    leaks = [s for s in sites if s["delta_blocks"] == 50 and 320000 <= s["delta_bytes"] / 50 < 330000]
    if len(leaks) != 1 or leaks[0] is not sites[0]:
        rows = [(s["delta_blocks"], s["delta_bytes"]) for s in sites[:5]]
        sys.exit(f"demo: the leak of +50 blocks is not the first row; the first rows are {rows}")
    named = [frame["function"] for frame in leaks[0]["stack"] if frame["function"]]
    if not named:
        sys.exit("demo: no frame of the leaking row has a name")
    return leaks[0]["delta_bytes"], named


def main():
    unfreed, directory = sys.argv[1], pathlib.Path(sys.argv[2])
    old, new = directory / "10-requests", directory / "60-requests"
    record(unfreed, old, [10])
    record(unfreed, new, [10, 50])
    show([unfreed, "report", str(new), "--by", "function", "-n", "5"])
    delta, named = check(unfreed, old, new)
    show([unfreed, "diff", str(old), str(new)], lines=STACK_LINES)
    show([unfreed, "diff", str(old), str(new), "--by", "function", "-n", "3"])
    say(f"\nThe leak: 50 requests, +50 blocks, +{delta:,} bytes, allocated by {' < '.join(named[:5])}")


if __name__ == "__main__":
    main()
