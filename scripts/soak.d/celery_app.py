"""A celery application whose messages and results are files below a directory: celery_app.py DIRECTORY send N | work | results N"""
import hashlib
import os
import sys

from celery import Celery

folder = sys.argv[1]
queue = os.path.join(folder, "queue")
for needed in (queue, os.path.join(folder, "results")):
    os.makedirs(needed, exist_ok=True)
app = Celery("soak", broker="filesystem://", backend="file://" + os.path.join(folder, "results"))
app.conf.broker_transport_options = {
    "data_folder_in": queue,
    "data_folder_out": queue,
    "control_folder": os.path.join(folder, "control"),
    "polling_interval": 0.02,
}


@app.task(name="soak.digest")
def digest(number):
    lines = [f"line {line} of {number}" for line in range(200 + number % 50)]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def main(verb, *words):
    if verb == "send":
        for number in range(int(words[0])):
            digest.apply_async([number], task_id=f"task-{number}")
    elif verb == "results":
        for number in range(int(words[0])):
            print(number, app.AsyncResult(f"task-{number}").get(timeout=60))
    else:
        options = ["--pool", "prefork", "--concurrency", "2", "--max-tasks-per-child", "10", "--loglevel", "error"]
        app.worker_main(["worker", "--without-gossip", "--without-mingle", "--without-heartbeat", *options])


main(*sys.argv[2:])
