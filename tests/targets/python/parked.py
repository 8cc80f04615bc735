"""THREADS threads wait in a recursion; prints how many, when all are there."""
import os
import sys
import threading

wanted = int(sys.argv[1])
there = threading.Semaphore(0)
never = threading.Event()


def wait_deep(depth):
    if depth:
        wait_deep(depth - 1)
    else:
        there.release()
        never.wait()


for _ in range(wanted):
    threading.Thread(target=wait_deep, args=(200,), daemon=True).start()
for _ in range(wanted):
    there.acquire()
print(wanted)
sys.stdout.flush()
os._exit(0)
