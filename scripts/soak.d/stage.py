"""Where an application runs: its folder, its environment, and what it said and did, to be compared with another run."""
import os
import shutil
import signal
import subprocess
import time

from place import fresh, place

LIMIT = 600  # seconds; far above what any step takes, only a hang reaches it
# Of the user's environment only what programs need: everything else could make two runs differ.
KEPT = ["PATH", "TERM"]
NOBODY = 65534


class Stage:
    """One run of an application, bare or recorded. `transcript` is what both runs must have in common."""

    def __init__(self, name, user=False, recording=None, library=None):
        self.folder = fresh("work", name)
        self.transcript = []
        self.environment = {key: os.environ[key] for key in KEPT if key in os.environ}
        self.environment |= {"HOME": self.folder, "TMPDIR": self.folder, "LC_ALL": "C.UTF-8"}
        if recording:
            os.chmod(recording, 0o1777)
            self.environment |= {"LD_PRELOAD": library, "UNFREED_DIR": recording}
        self.started = []
        self.as_user = {}
        if user and os.getuid() == 0:
            self.as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            os.chown(self.folder, NOBODY, NOBODY)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text):
        path = self.path(name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def say(self, *what):
        self.transcript.append(" ".join(map(str, what)))

    def run(self, *command, data="", quiet=False, env=None):
        """Runs a command to its end; its status and (unless `quiet`) all that it printed are compared."""
        done = subprocess.run(
            command,
            input=data.encode(),
            capture_output=True,
            cwd=self.folder,
            env=self.environment | (env or {}),
            timeout=LIMIT,
            **self.as_user,
        )
        text = done.stdout.decode(errors="replace")
        name = " ".join([os.path.basename(command[0]), *command[1:]])
        self.say(f"$ {name}: status {done.returncode}")
        if done.returncode:
            self.say(done.stderr.decode(errors="replace")[-2000:])
        if not quiet:
            self.say(text)
            self.say(done.stderr.decode(errors="replace"))
        return text

    def start(self, *command, ready, env=None):
        """Starts a server and waits until `ready()`; what it prints is kept in the folder, not compared."""
        with open(self.path(f"output.{len(self.started)}"), "wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                env=self.environment | (env or {}),
                start_new_session=True,
                **self.as_user,
            )
        self.started.append(process)
        self.until(ready, process)
        return process

    def until(self, ready, process=None):
        deadline = time.monotonic() + LIMIT
        while not ready():
            if process and process.poll() is not None:
                raise RuntimeError(f"{process.args[0]} ended with status {process.returncode}: {self.last_words()}")
            if time.monotonic() > deadline:
                raise RuntimeError("it takes too long")
            time.sleep(0.02)

    def end(self, process, number=signal.SIGTERM):
        """Sends a signal; the exit status is compared."""
        process.send_signal(number)
        self.say(f"{os.path.basename(process.args[0])} ends with {process.wait(LIMIT)}")

    def last_words(self):
        with open(self.path(f"output.{len(self.started) - 1}"), errors="replace") as file:
            return file.read()[-500:].strip()

    def close(self):
        """Ends what a failed run has left."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
