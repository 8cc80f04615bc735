"""What a measured program is, and a tool under which it runs."""
import os
import shutil
from dataclasses import dataclass, field
from typing import Callable, List, Optional, Tuple

from metered import place


@dataclass(frozen=True)
class Program:
    """What it is, how to make it ready, its command and input, and the function that leaks and how many blocks.

    `needs` are programs without which it is skipped; `client` is a command that drives a server and ends it.
    """

    about: str
    needs: List[str]
    prepare: Callable[[], None]
    command: Callable[[], List[str]]
    stdin: str = os.devnull
    leak: Optional[Tuple[str, int]] = None
    client: Optional[List[str]] = None


@dataclass(frozen=True)
class Tool:
    """A way to run a command: as another command, with more in the environment. What it writes is in the place `log`."""

    name: str
    wrap: Callable[[List[str]], List[str]] = lambda command: command
    env: dict = field(default_factory=dict)
    log: str = ""


@dataclass(frozen=True)
class Bar:
    """At most this part of a peer's overhead."""

    peer: str
    part: float


def fresh(name):
    """The path of a file or folder of ours that is not there."""
    if os.path.isdir(place(name)):
        shutil.rmtree(place(name))
    elif os.path.exists(place(name)):
        os.remove(place(name))
    return place(name)


def disk_bytes(path):
    """What a file, or all files of a folder, occupy."""
    if os.path.isfile(path):
        return os.stat(path).st_blocks * 512
    return sum(os.stat(os.path.join(at, name)).st_blocks * 512 for at, _, names in os.walk(path) for name in names)
