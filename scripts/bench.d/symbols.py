"""What looking up symbols costs: 20,000 addresses spread over the code of each measured Python's library, which has debug information."""
import os
import re
import subprocess

import python_programs
from metered import ROOT, Unmeasured, shell

ADDRESSES, SECONDS, ROUNDS = 20_000, 0.2, 3
LIBRARY = "import sysconfig as c; print(c.get_config_var('LIBDIR'), c.get_config_var('INSTSONAME'), sep='/')"


def measure(unfreed, targets):
    print(f"symbols: {ADDRESSES:,} addresses of Python's library", flush=True)
    found = {}
    for path in python_programs.found():
        library = subprocess.check_output([path, "-c", LIBRARY], text=True).strip()
        # A Python without a shared library has its code in the program.
        library = library if ".so" in library and os.path.exists(library) else os.path.realpath(path)
        manifest = os.path.join(ROOT, "Cargo.toml")
        command = ["cargo", "run", "--release", "--locked", "-q", "--manifest-path", manifest, "-p", "analyzer", "--example", "symbol_cost", "--"]
        seconds = []
        for _ in range(ROUNDS):
            told = shell(*command, library, str(ADDRESSES)).decode()
            said = re.search(r"addresses, \d+ frames: ([\d.]+) s", told)
            if not said:
                raise Unmeasured(f"symbol_cost said: {told}")
            seconds.append(float(said.group(1)))
        name = os.path.basename(library)
        found[name] = min(seconds)
        targets.add("symbols", f"{ADDRESSES:,} addresses of {name}", found[name], "s", SECONDS)
    if not found:
        raise Unmeasured("no Python that is measured is installed")
    return found
