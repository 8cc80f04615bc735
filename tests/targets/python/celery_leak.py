"""A celery application whose task keeps a block; the messages are files below a directory.

celery_leak.py DIRECTORY send N: leaves N tasks there.
celery_leak.py DIRECTORY work: two workers, forked before they work; each task prints `done` and its process's pid.
"""

import multiprocessing
import os
import pathlib
import sys

from celery import Celery

directory = pathlib.Path(sys.argv[1])
queue = directory / "queue"
queue.mkdir(parents=True, exist_ok=True)

app = Celery("celery_leak", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": str(queue),
    "data_folder_out": str(queue),
    "control_folder": str(directory / "control"),
    "polling_interval": 0.02,
}
app.conf.worker_redirect_stdouts = False
# The first task of each worker waits for the other one's.
both = multiprocessing.Barrier(2)
kept = []


def leak():
    return bytes(100_000)  # the leak


@app.task
def task():
    if not kept:
        both.wait()
    kept.append(leak())
    os.write(1, b"done %d\n" % os.getpid())


if __name__ == "__main__":
    if sys.argv[2] == "send":
        for _ in range(int(sys.argv[3])):
            task.delay()
    else:
        options = ["--pool", "prefork", "--concurrency", "2", "--loglevel", "error"]
        app.worker_main(["worker", "--without-gossip", "--without-mingle", "--without-heartbeat"] + options)
