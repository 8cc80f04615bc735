"""The web service soak: two instances of one service, bare and recorded, under the same steady load.

Every answer must be the same from both. What each takes from the system is sampled while no request is on its way; a straight
line through the samples after warming up says what 24 hours would add. Recording may add to the log alone: no memory,
descriptor, mapping, thread or process more than the bare instance gains.
"""
import csv
import http.client
import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import sampling
import trend
from place import fresh, place, say, source

WORKERS, THREADS = 2, 4
# Requests that are sent at once, so that several threads of a worker serve.
AT_ONCE = 4
ANSWER_SECONDS = 120
SAMPLE_SECONDS = 5
# Of the time, until caches are filled and every worker has all its threads.
WARM_UP = 0.25
DAY = 86400
# Of the log for each request, at least twice what was measured.
LOG_BYTES = 80_000
# What 24 hours may add at most, as the samples surely show. KiB: one arena of Python's allocator for each process comes and goes.
ALLOWED = {"resident": 4096, "anonymous": 4096, "descriptors": 1, "mappings": 4, "threads": 1, "processes": 0}


class Service:
    """gunicorn with the application, its first process in a session of its own."""

    def __init__(self, name, python, recording=None, library=None):
        self.folder, self.recording = fresh("web", name), recording
        self.port_file = os.path.join(self.folder, "port")
        command = [python, "-m", "gunicorn", "--config", source("gunicorn_port.py"), "--pythonpath", source("")]
        command += ["--workers", str(WORKERS), "--worker-class", "gthread", "--threads", str(THREADS), "web_app:app"]
        env = os.environ | {"HOME": self.folder, "SOAK_PORT_FILE": self.port_file, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        if recording:
            env |= {"LD_PRELOAD": library, "UNFREED_DIR": recording}
        with open(os.path.join(self.folder, "output"), "wb") as output:
            self.process = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )

    def wait(self):
        deadline = time.monotonic() + ANSWER_SECONDS
        while not os.path.exists(self.port_file):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the service does not start: see {self.folder}/output")
            time.sleep(0.05)
        with open(self.port_file) as file:
            self.port = int(file.read())

    def answer(self, request):
        path, body, cookie = request
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        headers = {"Cookie": cookie} if cookie else {}
        if body:
            headers["Content-Type"] = "application/json"
        connection.request("POST" if body else "GET", path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, text

    def sample(self):
        return sampling.sample(self.process.pid, self.recording)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=ANSWER_SECONDS)


def request(number):
    """The same sequence for each instance: path, body, cookie."""
    kind = number % 10
    if number % 100 == 99:
        return "/child", None, None
    if kind < 3:
        return f"/page/{number % 1000}", None, None
    if kind < 5:
        return f"/items?q={number % 7}", None, None
    if kind == 5:
        lines = [{"item": f"item {line}", "price": 2.5, "count": line} for line in range(number % 40)]
        return "/orders", json.dumps({"lines": lines}), None
    path = {6: f"/rows/{number % 500}", 7: f"/digest/{number % 5000}", 8: "/visit", 9: "/wrong"}[kind]
    return path, None, None


def run(python, library, seconds, rate, check):
    """Soaks for so long with `rate` requests a second to each; returns what is wrong. `check(recording)` judges the recording."""
    recording = fresh("web", "recording")
    services = {"bare": Service("bare", python), "recorded": Service("recorded", python, recording, library)}
    wrong = []
    try:
        for service in services.values():
            service.wait()
        samples, sent = load(services, seconds, rate, wrong)
    finally:
        statuses = {name: service.end() for name, service in services.items()}
    if statuses["bare"] != statuses["recorded"]:
        wrong.append(f"exit statuses {statuses}")
    wrong += judge(samples, sent, seconds)
    return wrong + check(recording)


def load(services, seconds, rate, wrong):
    """Requests in bursts, one a second; samples in between. Returns the samples of each and how many requests were sent."""
    samples, sent, began, sampled = {name: [] for name in services}, 0, time.monotonic(), 0
    with ThreadPoolExecutor(AT_ONCE) as pool, open(place("web", "samples.csv"), "w", newline="") as file:
        rows = csv.writer(file)  # all samples, for whoever wants to draw them
        rows.writerow(["instance", "seconds", "requests", *sampling.NAMES])
        for second in range(seconds):
            wanted = [request(number) for number in range(sent, sent + rate)]
            answers = [list(pool.map(service.answer, wanted)) for service in services.values()]
            if answers[0] != answers[1] and len(wrong) < 5:
                different = next(i for i in range(rate) if answers[0][i] != answers[1][i])
                wrong.append(f"{wanted[different][0]}: {answers[0][different]} became {answers[1][different]}")
            sent += rate
            if time.monotonic() >= began + sampled * SAMPLE_SECONDS:
                sampled += 1
                for name, service in services.items():
                    samples[name].append((time.monotonic() - began, sent, service.sample()))
                    rows.writerow([name, *samples[name][-1][:2], *vars(samples[name][-1][2]).values()])
                file.flush()
            time.sleep(max(0.0, began + second + 1 - time.monotonic()))
            if time.monotonic() > began + seconds:
                break
    return samples, sent


def judge(samples, sent, seconds):
    """Prints the table; returns what grows."""
    warm = {name: taken[int(len(taken) * WARM_UP) :] for name, taken in samples.items()}
    if any(len(taken) < trend.STRETCHES for taken in warm.values()):
        return [f"{len(warm['bare'])} samples are too few for a line"]
    wrong = []
    say(f"  {sent} requests to each, {len(warm['bare'])} samples of each after warming up for {seconds * WARM_UP:.0f} s")
    say(f"  {'':14}{'bare':>12}{'recorded':>12}  added in 24 h by recording (95 %)")
    for name in sampling.NAMES:
        of = {instance: [getattr(one, name) for _, _, one in taken] for instance, taken in warm.items()}
        times = {instance: [at for at, _, _ in taken] for instance, taken in warm.items()}
        lines = {instance: trend.slope(times[instance], of[instance]) for instance in of}
        added = lines["recorded"].minus(lines["bare"])
        text = f"  {name:14}{of['bare'][-1]:12,}{of['recorded'][-1]:12,}  {added.value * DAY:+,.1f} ± {added.error * DAY:,.1f}"
        if name in ALLOWED:
            grows = (added.value - added.error) * DAY > ALLOWED[name]
            text += f" (at most {ALLOWED[name]:,}): {'GROWS' if grows else 'ok'}"
            wrong += [f"{name} grows by {added.value * DAY:,.0f} in 24 h"] if grows else []
        say(text)
    first, last = warm["recorded"][0], warm["recorded"][-1]
    log = (last[2].log_disk - first[2].log_disk) * 1024 / (last[1] - first[1])
    say(f"  the log grows by {log:,.0f} bytes for each request: {log * sent / seconds * DAY / 1e9:.1f} GB in 24 h at this rate")
    return wrong
