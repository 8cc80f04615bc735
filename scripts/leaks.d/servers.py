"""Database servers of this machine: each for as long as a case runs, with a data directory of its own, on a free port of 127.0.0.1.

A script finds its server's port in the environment as PORT.
"""
import contextlib
import glob
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time

from environment import Absent

# Only a server that does not come up reaches it.
PATIENCE = 60


@contextlib.contextmanager
def serving(kind):
    """Nothing for a case without server; else starts it, and gives what is to be in the environment of the script."""
    if kind is None:
        yield {}
        return
    # Servers that will not run as root become this user.
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    with tempfile.TemporaryDirectory(prefix="unfreed-server-") as place:
        if os.geteuid() == 0:
            os.chown(place, pwd.getpwnam(user).pw_uid, -1)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        with open(os.path.join(place, "log"), "w") as log:
            how = {"cwd": place, "stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **({"user": user} if os.geteuid() == 0 else {})}
            server = subprocess.Popen(SERVERS[kind](place, port, user, how), **how)
            try:
                wait(kind, server, int(port))
                yield {"PORT": port}
            finally:
                server.terminate()
                server.wait()


def wait(kind, server, port):
    """Until it accepts connections."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.1)
    raise Absent(f"{kind} did not start")


def program(kind, name, *places):
    found = [path for place in places for path in sorted(glob.glob(place))] + [shutil.which(name)]
    if not found[0]:
        raise Absent(f"no {kind} server on this machine")
    return found[0]


def prepare(kind, command, how):
    if subprocess.run(command, **how).returncode:
        raise Absent(f"{os.path.basename(command[0])} cannot make a data directory for {kind}")


def redis(place, port, _user, _how):
    return [program("redis", "redis-server"), "--port", port, "--bind", "127.0.0.1", "--dir", place, "--save", "", "--maxclients", "2000"]


def postgresql(place, port, _user, how):
    data, directory = os.path.join(place, "data"), "/usr/lib/postgresql/*/bin/"
    prepare("postgresql", [program("postgresql", "initdb", directory + "initdb"), "-D", data, "-U", "test", "-A", "trust", "--no-sync"], how)
    return [program("postgresql", "postgres", directory + "postgres"), "-D", data, "-p", port, "-k", place, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=500"]


def mariadb(place, port, user, how):
    data = os.path.join(place, "data")
    prepare("mariadb", [program("mariadb", "mariadb-install-db"), "--no-defaults", f"--datadir={data}", f"--user={user}", "--auth-root-authentication-method=normal", "--skip-test-db"], how)
    server = program("mariadb", "mariadbd", "/usr/sbin/mariadbd", "/usr/libexec/mariadbd")
    # Its own user is a login without password then.
    return [server, "--no-defaults", f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1", f"--socket={place}/socket", f"--pid-file={place}/pid", "--max-connections=500", "--skip-grant-tables", "--skip-networking=0"]


SERVERS = {"redis": redis, "postgresql": postgresql, "mariadb": mariadb}
