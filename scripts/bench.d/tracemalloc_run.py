"""Runs a script under tracemalloc and writes the lines that hold most at its end: tracemalloc_run.py OUT FRAMES SCRIPT ARGUMENTS.."""
import atexit
import runpy
import sys
import tracemalloc

out, frames = sys.argv[1:3]
sys.argv = sys.argv[3:]


def finish():
    snapshot = tracemalloc.take_snapshot()
    tracemalloc.stop()
    with open(out, "w") as file:
        for line in snapshot.statistics("lineno")[:100]:
            print(line, file=file)


atexit.register(finish)
tracemalloc.start(int(frames))
runpy.run_path(sys.argv[0], run_name="__main__")
