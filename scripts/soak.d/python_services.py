"""Python services with several workers: gunicorn of each kind, the system's uwsgi, and celery, in the soak's own environment (see `environment`)."""
import os
import signal

import environment
import http_client
import sampling
from application import Application
from place import place, source

PATHS = [f"/page/{n}" for n in range(30)] + [f"/items?q={n}" for n in range(10)] + [f"/rows/{n * 20}" for n in range(20)]
PATHS += [f"/digest/{n * 10}" for n in range(20)] + ["/visit", "/wrong", "/child", "/missing"] * 3
TASKS = 60


def seeded():
    """Sets in the same order in each run, and no files left in the sources."""
    return {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def serve(stage, where, *command):
    """Starts a server and asks it over its socket."""
    server = stage.start(*command, ready=http_client.listens(where), env=seeded())
    if http_client.get(where, PATHS[0])[0] != 200:
        raise RuntimeError(f"the application does not answer: {stage.last_words()}")
    stage.transcript += http_client.digests(where, PATHS * 2)
    return server


def gunicorn(*options, drop=False):
    def run(stage):
        where = stage.path("gunicorn.sock")
        words = ["-m", "gunicorn", "--bind", f"unix:{where}", "--pythonpath", source(""), "--workers", "2", *options]
        if drop and os.getuid() == 0:
            words += ["--user", "nobody", "--group", "nogroup"]
            os.chmod(stage.folder, 0o777)
        server = serve(stage, where, environment.PYTHON, *words, "web_app:app")
        old = set(sampling.tree(server.pid))
        server.send_signal(signal.SIGHUP)  # new workers
        stage.until(lambda: len(set(sampling.tree(server.pid)) - old) == 2 and len(sampling.tree(server.pid)) == 3)
        stage.transcript += http_client.digests(where, PATHS)
        stage.end(server)

    return run


def uwsgi(stage):
    where = stage.path("uwsgi.sock")
    words = ["--plugin", "python3", "--http-socket", where, "--master", "--workers", "2", "--threads", "2", "--enable-threads", "--die-on-term"]
    words += ["--home", place("venv"), "--pythonpath", source(""), "--module", "web_app:app", "--max-requests", "100"]
    server = serve(stage, where, "uwsgi", *words)
    stage.end(server)


def celery(stage):
    """Its messages and results are files; a worker is replaced after ten tasks."""
    words = [environment.PYTHON, source("celery_app.py"), stage.folder]
    stage.run(*words, "send", str(TASKS), env=seeded())
    worker = stage.start(*words, "work", ready=lambda: results(stage) >= TASKS, env=seeded())
    stage.run(*words, "results", str(TASKS), env=seeded())
    stage.end(worker)


def results(stage):
    folder = stage.path("results")
    return len(os.listdir(folder)) if os.path.isdir(folder) else 0


APPLICATIONS = [
    Application("gunicorn", [environment.PYTHON], gunicorn(), processes=5),
    Application("gunicorn-user", [environment.PYTHON], gunicorn(drop=True), processes=5),
    Application("gunicorn-gthread", [environment.PYTHON], gunicorn("--worker-class", "gthread", "--threads", "4", "--preload"), processes=5),
    Application("gunicorn-gevent", [environment.PYTHON], gunicorn("--worker-class", "gevent"), processes=5),
    Application("uwsgi", [environment.PYTHON, "uwsgi"], uwsgi, ["uwsgi-core", "uwsgi-plugin-python3"], processes=5),
    Application("celery", [environment.PYTHON], celery, processes=8),
]
