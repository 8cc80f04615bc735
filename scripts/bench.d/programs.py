"""What a measured program is, and a tool under which it runs."""
import os
import shutil
from dataclasses import dataclass, field
from typing import Callable, List, Optional

from metered import place


@dataclass(frozen=True)
class Leak:
    """What a program is known to leak: the function, the blocks, and for who names lines only, file:line."""

    function: str
    blocks: int
    line: str = ""


@dataclass(frozen=True)
class Program:
    """What it is, how to make it ready, its command and input, and what it leaks.

    `needs` are programs without which it is skipped; `client` is a command that drives a server, ends it, and prints the seconds of its
    load. `small` is what is different with less work, for the slowest tools.
    """

    name: str
    about: str
    needs: List[str]
    prepare: Callable[[], None]
    command: Callable[[], List[str]]
    stdin: str = os.devnull
    leak: Optional[Leak] = None
    client: Optional[List[str]] = None
    small: dict = field(default_factory=dict)
    python: bool = False


@dataclass(frozen=True)
class Tool:
    """A way to run a command: as another command, with more in the environment.

    What it writes is in the place `log`. `analysis` is the command that reads that, given the program's own command; what it prints is looked
    through for the leak. A slow one has a single round.
    """

    name: str
    about: str
    wrap: Callable[[List[str]], List[str]] = lambda command: command
    env: dict = field(default_factory=dict)
    log: str = ""
    analysis: Optional[Callable[[List[str]], List[str]]] = None
    slow: bool = False


def fresh(name):
    """The path of a file or folder of ours that is not there."""
    if os.path.isdir(place(name)):
        shutil.rmtree(place(name))
    elif os.path.exists(place(name)):
        os.remove(place(name))
    return place(name)


def disk_bytes(path):
    """What a file, or all files of a folder, occupy."""
    if not os.path.isdir(path):
        return os.stat(path).st_blocks * 512 if os.path.exists(path) else 0
    return sum(os.stat(os.path.join(at, name)).st_blocks * 512 for at, _, names in os.walk(path) for name in names)
