"""The load of a server on a Unix socket: load.py SOCKET LOAD [END]

Waits until the server listens, runs the command LOAD, prints the seconds that it took, and runs END, which ends the server.
"""
import shlex
import socket
import subprocess
import sys
import time

LONGEST_START = 120  # seconds


def wait_for(path):
    deadline = time.monotonic() + LONGEST_START
    while True:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                return connection.connect(path)
            except OSError:
                if time.monotonic() > deadline:
                    sys.exit("the server did not come up")
        time.sleep(0.01)


def main(path, load, *ends):
    wait_for(path)
    began = time.monotonic()
    subprocess.run(shlex.split(load), check=True, stdout=subprocess.DEVNULL)
    print(time.monotonic() - began, flush=True)
    for end in ends:
        subprocess.run(shlex.split(end), check=True, stdout=subprocess.DEVNULL)


main(*sys.argv[1:])
