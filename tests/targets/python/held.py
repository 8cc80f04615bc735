"""Holds 100 blocks until the end, which comes by: return, exit, exception, os_exit, kill, terminate or exec."""

import os
import signal
import sys

byte = b"x"
kept = [None] * 100


def keep():
    for number in range(100):
        kept[number] = byte * 5000  # held


def end(way):
    if way == "exit":
        sys.exit(3)
    elif way == "exception":
        raise ValueError
    elif way == "os_exit":
        os._exit(4)
    elif way == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif way == "terminate":
        os.kill(os.getpid(), signal.SIGTERM)
    elif way == "exec":
        os.execv(sys.executable, [sys.executable, "-c", "print('another program')"])


keep()
end(sys.argv[1])
