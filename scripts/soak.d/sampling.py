"""What a service takes from the system: of all its processes together, the recording apart.

Memory is what smaps says, in KiB. Pages of the recording that are mapped are counted as `log_resident`; they are the file's,
and the system takes them back when it needs them.
"""
import os
from dataclasses import dataclass, fields


@dataclass
class Sample:
    """Of a service at one moment. `resident` and `anonymous` are without the recording."""

    resident: int = 0
    anonymous: int = 0
    log_resident: int = 0
    log_disk: int = 0
    descriptors: int = 0
    mappings: int = 0
    threads: int = 0
    processes: int = 0


NAMES = [field.name for field in fields(Sample)]


def tree(pid):
    """A process and its descendants; those that end meanwhile are left out."""
    found = [pid]
    for parent in found:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children") as file:
                    found += map(int, file.read().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def add_memory(sample, pid, recording):
    in_recording = False
    with open(f"/proc/{pid}/smaps", errors="replace") as file:
        for line in file:
            first, *rest = line.split(None, 5)
            if not first.endswith(":"):
                in_recording = recording is not None and len(rest) == 5 and rest[4].startswith(recording)
                sample.mappings += 1
            elif first == "Rss:":
                name = "log_resident" if in_recording else "resident"
                setattr(sample, name, getattr(sample, name) + int(rest[0]))
            elif first == "Anonymous:":
                sample.anonymous += int(rest[0])


def disk_kib(directory):
    """What the files take on disk, holes not counted."""
    blocks = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                about = os.stat(os.path.join(folder, name))
            except FileNotFoundError:  # moved meanwhile, as its process exited
                continue
            blocks[about.st_ino] = about.st_blocks
    return sum(blocks.values()) // 2


def sample(pid, recording=None):
    """Of the service whose first process is `pid`, recorded to that directory if to one."""
    taken = Sample(log_disk=disk_kib(recording) if recording else 0)
    for each in tree(pid):
        try:
            add_memory(taken, each, recording)
            taken.descriptors += len(os.listdir(f"/proc/{each}/fd"))
            taken.threads += len(os.listdir(f"/proc/{each}/task"))
            taken.processes += 1
        except (FileNotFoundError, ProcessLookupError):
            continue
    return taken
