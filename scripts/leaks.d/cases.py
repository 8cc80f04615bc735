"""The cases of tests/leaks: what is in the head of each script.

Lines `# key: value` beneath the docstring. `python`: the version that runs it. `leaks` and `mended`: what pip is to install for the run that
leaks and for the one that does not; `mended-python`: the version that is mended, where the leak is Python's own. `verdict`: of the line that ends with
the comment `# the leak`, in the run that leaks. `bounded` instead of `leaks`: what is installed for a script of which nothing grows.
`server`: the database server that it needs, one of servers.py.
`bytes`: from-to, bytes a request. `also`: other lines that rightly grow. `function`: what names the leak instead of a line, where no Python
code is on its stack.
"""
import os
import re
from dataclasses import dataclass, field

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PLACE = os.path.join(ROOT, "tests", "leaks")
MARK = "# the leak"


@dataclass(frozen=True)
class Run:
    """A script with one interpreter and one set of packages."""

    python: str
    packages: tuple
    leaks: bool


@dataclass
class Case:
    name: str
    path: str
    head: dict
    requests: int
    line: int  # of the mark; 0: there is none
    runs: list = field(default_factory=list)

    def names(self, site):
        """Whether a site is what the case says that leaks."""
        headline = site["headline"] or {}
        if "function" in self.head:
            return self.head["function"] in (headline.get("function") or "")
        return (headline.get("file"), headline.get("line")) == (self.path, self.line)

    def expects(self, site):
        """Whether a site that grows may do so."""
        headline = site["headline"] or {}
        also = [int(line) for line in self.head.get("also", "").split()]
        return self.names(site) or headline.get("file") == self.path and headline.get("line") in also

    def range(self):
        """From and to of the bytes a request."""
        if "bytes" not in self.head:
            return None
        return tuple(int(end) for end in self.head["bytes"].split("-"))


def read(path):
    with open(path) as file:
        lines = file.read().splitlines()
    head = dict(found.groups() for line in lines if (found := re.match(r"# ([a-z-]+): (.*)", line)))
    requests = next(int(found[1].replace("_", "")) for line in lines if (found := re.match(r"REQUESTS = ([\d_]+)", line)))
    line = next((number for number, line in enumerate(lines, 1) if line.endswith(MARK)), 0)
    case = Case(os.path.basename(path)[:-3], path, head, requests, line)
    if "bounded" in head:
        case.runs = [Run(head["python"], tuple(word for word in head["bounded"].split() if word != "-"), False)]
    else:
        case.runs = [Run(head["python"], tuple(head.get("leaks", "").split()), True)]
    if "mended" in head or "mended-python" in head:
        case.runs += [Run(head.get("mended-python", head["python"]), tuple(head.get("mended", "").split()), False)]
    return case


def cases(names):
    """Those of these names, or all."""
    found = sorted(name[:-3] for name in os.listdir(PLACE) if name.endswith(".py"))
    unknown = set(names) - set(found)
    if unknown:
        raise SystemExit(f"scripts/leaks: no {', '.join(sorted(unknown))} in {PLACE}")
    return [read(os.path.join(PLACE, name + ".py")) for name in found if not names or name in names]
