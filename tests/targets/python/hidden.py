"""docstring-7c1e: what is in code and in memory, but not in a recording."""

import os
import sys


def keep(secret, kept):
    """docstring-7c1e of a function"""
    constant = "constant-7c1e"
    local = {secret: [constant * 3, secret.encode(), secret + constant], constant: b"constant-7c1e"}
    kept.append(local)
    return lambda variable=secret: (variable, local, "constant-7c1e")


kept = []
secret = sys.stdin.readline().strip()
os.environ[secret] = os.environ["SECRET"] + secret
for _ in range(1000):
    kept.append(keep(secret, kept))
