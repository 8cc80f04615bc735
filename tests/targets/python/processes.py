"""Processes that come from a Python process, each of which keeps as many blocks as it was told: processes.py WAY."""

import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
import threading

CHILDREN = (1, 2, 3)

kept = []


def leak():
    return bytes(20_000)  # the leak


def keep(count):
    for _ in range(count):
        kept.append(leak())


def by_multiprocessing(way):
    context = multiprocessing.get_context(way)
    children = [context.Process(target=keep, args=(count,)) for count in CHILDREN]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0


def by_pool():
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, context) as pool:
        assert list(pool.map(keep, CHILDREN)) == [None] * len(CHILDREN)


def by_subprocess():
    for count in CHILDREN:
        subprocess.run([sys.executable, __file__, "keep", str(count)], check=True)


def by_fork():
    for count in CHILDREN:
        child = os.fork()
        if child == 0:
            keep(count)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0


def by_fork_in_thread():
    done = threading.Event()

    def allocate():
        while not done.is_set():
            bytes(20_000)

    busy = threading.Thread(target=allocate)
    forking = threading.Thread(target=by_fork)
    busy.start()
    forking.start()
    forking.join()
    done.set()
    busy.join()


def main():
    way = sys.argv[1]
    if way == "keep":
        return keep(int(sys.argv[2]))
    keep(4)
    ways = {"pool": by_pool, "subprocess": by_subprocess, "os.fork": by_fork, "thread": by_fork_in_thread}
    if way in ways:
        ways[way]()
    else:
        by_multiprocessing(way)


if __name__ == "__main__":
    main()
