"""The machine on which something was measured: what it is and the versions of what is on it, without names or paths of it."""
import os
import platform
import re
import shutil
import subprocess

import metered

VERSIONS = {
    "gcc": ["gcc", "--version"],
    "rustc": ["rustc", "--version"],
    "heaptrack": ["heaptrack", "--version"],
    "redis-server": ["redis-server", "--version"],
    "nginx": ["nginx", "-v"],
    "sqlite3": ["sqlite3", "--version"],
}
PACKAGES = {"jemalloc": "libjemalloc2", "gperftools": "libgoogle-perftools4"}


def first(pattern, text):
    found = re.search(pattern, text, re.MULTILINE)
    return found.group(1).strip() if found else None


def text_of(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def version(command):
    if not shutil.which(command[0]):
        return None
    done = subprocess.run(command, capture_output=True, text=True)
    return first(r"(\d+\.\d+(?:\.\d+)?)", re.sub(r"\([^)]*\)", "", done.stdout + done.stderr))


def packaged(package):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True) if shutil.which("dpkg-query") else None
    return done.stdout.split("-")[0] if done and done.returncode == 0 else None


def of(interpreters):
    """A dictionary of what holds while the benchmark runs."""
    commit = subprocess.run(["git", "-C", metered.ROOT, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    tools = {name: version(command) for name, command in VERSIONS.items()} | {name: packaged(package) for name, package in PACKAGES.items()}
    return {
        "cpu": first(r"^model name\s*:\s*(.+)", text_of("/proc/cpuinfo")),
        "cores": os.cpu_count(),
        "memory_gib": round(int(first(r"^MemTotal:\s+(\d+)", text_of("/proc/meminfo")) or 0) / 2**20),
        "kernel": ".".join(platform.release().split("-")[0].split(".")[:3]),
        "distribution": first(r'^PRETTY_NAME="?([^"\n]+)', text_of("/etc/os-release")),
        "libc": " ".join(platform.libc_ver()),
        "python": {interpreter.version: interpreter.versions() for interpreter in interpreters},
        "tools": {name: found for name, found in tools.items() if found},
        "commit": commit.stdout.strip() or None,
        "load_at_begin": round(os.getloadavg()[0], 2),
    }
