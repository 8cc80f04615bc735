"""Ends in the way that the argument says, while it holds 100 blocks of 10001 bytes."""
import os
import sys
import threading

kept = [bytes(10001 - 33) for _ in range(100)]
stop = threading.Event()


def busy():
    while not stop.is_set():
        [bytes(n) for n in range(900)]


def fork(child):
    pid = os.fork()
    if pid == 0:
        more = [bytes(10002 - 33) for _ in range(10)]
        child()
        more.clear()
    else:
        assert os.waitpid(pid, 0) == (pid, 0)
    return pid


way = sys.argv[1]
print(way)
sys.stdout.flush()
if way == "exit":
    os._exit(0)
elif way == "daemons":
    for _ in range(3):
        threading.Thread(target=busy, daemon=True).start()
elif way == "fork":
    # From a thread, while others allocate; the child ends at once.
    others = [threading.Thread(target=busy) for _ in range(2)]
    forking = threading.Thread(target=fork, args=(lambda: os._exit(0),))
    for thread in [*others, forking]:
        thread.start()
    forking.join()
    stop.set()
    for thread in others:
        thread.join()
elif way == "both":
    # Parent and child end in an orderly way.
    fork(lambda: None)
elif way == "error":
    raise SystemExit(3)
